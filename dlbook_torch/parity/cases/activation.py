"""Rows of the activations (notes 3.2, 3.4).

Those that take no ``dim`` work element by element, and are put through a battery of edges as well.
"""

from .base import IMAGE, ROW, Case, Refused, rows, x

CASES: list[Case] = [
    *rows("3.2.1", "Sigmoid", ROW, IMAGE, (), (0, 3)),
    *rows("3.2.1", "LogSigmoid", ROW, IMAGE, (), (0, 3)),
    *rows("3.2.1", "Hardsigmoid", ROW, IMAGE, (), (0, 3)),
    *rows("3.2.1", "SiLU", ROW, IMAGE, (), (0, 3)),
    *rows("3.2.1", "Hardswish", ROW, IMAGE, (), (0, 3)),
    *rows("3.2.2", "Tanh", ROW, IMAGE, (), (0, 3)),
    *rows("3.2.2", "Hardtanh", ROW, IMAGE, (), (0, 3)),
    *rows("3.2.2", "Hardtanh", ROW, min_val=-0.3, max_val=0.7),
    *rows("3.2.3", "ReLU", ROW, IMAGE, (), (0, 3)),
    *rows("3.2.3", "ReLU6", ROW, IMAGE, (), (0, 3)),
    *rows("3.2.3", "LeakyReLU", ROW, IMAGE, (), (0, 3)),
    *rows("3.2.3", "LeakyReLU", ROW, negative_slope=-0.3),
    *rows("3.2.3", "LeakyReLU", ROW, negative_slope=1.5),
    *rows("3.2.3", "ELU", ROW, IMAGE, (), (0, 3)),
    *rows("3.2.3", "ELU", ROW, alpha=2.5),
    *rows("3.2.3", "ELU", ROW, alpha=-0.5),
    *rows("3.2.3", "Softplus", ROW, IMAGE, (), (0, 3)),
    *rows("3.2.3", "Softplus", ROW, beta=2.0, threshold=1.1),
    *rows("3.2.3", "Softplus", ROW, beta=0.5),
    *rows("3.2.3", "GELU", ROW, IMAGE, (), (0, 3)),
    *rows("3.2.3", "GELU", ROW, IMAGE, approximate="tanh"),
    *rows("3.4", "Softmax", ROW, (5,), IMAGE, dim=-1),
    *rows("3.4", "Softmax", IMAGE, (0, 3), dim=1),
    *rows("3.4", "Softmax", (0, 3), (), dim=0),
    *rows("3.4", "Softmin", ROW, (5,), IMAGE, dim=-1),
    *rows("3.4", "Softmin", IMAGE, (0, 3), dim=1),
    *rows("3.4", "LogSoftmax", ROW, (5,), IMAGE, dim=-1),
    *rows("3.4", "LogSoftmax", IMAGE, (0, 3), dim=1),
    *rows("3.4", "LogSoftmax", (0, 3), (), dim=0),
]

REFUSED: list[Refused] = [
    Refused("3.2.2", "Hardtanh", dict(min_val=1.0, max_val=1.0), None, AssertionError, "1.0"),
    Refused("3.2.3", "GELU", dict(approximate="erf"), x(4, 5), RuntimeError, "erf"),
    Refused("3.4", "Softmax", dict(dim=2), x(4, 5), IndexError, "2"),
    Refused("3.4", "Softmax", dict(dim=1.5), x(4, 5), TypeError, "1.5"),
    Refused("3.4", "Softmin", dict(dim=-3), x(4, 5), IndexError, "-3"),
    Refused("3.4", "LogSoftmax", dict(dim=2), x(4, 5), IndexError, "2"),
]
