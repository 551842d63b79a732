"""Rows of the activations (notes 3.2, 3.4)."""

from .base import IMAGE, ROW, Case, Refused, rows

CASES: list[Case] = [
    *rows("3.2.1", "Sigmoid", ROW, IMAGE, (), (0, 3)),
    *rows("3.2.2", "Tanh", ROW, IMAGE, (), (0, 3)),
    *rows("3.2.3", "ReLU", ROW, IMAGE, (), (0, 3)),
    *rows("3.4", "Softmax", ROW, (5,), IMAGE, dim=-1),
    *rows("3.4", "Softmax", IMAGE, (0, 3), dim=1),
    *rows("3.4", "LogSoftmax", ROW, (5,), IMAGE, dim=-1),
    *rows("3.4", "LogSoftmax", IMAGE, (0, 3), dim=1),
]

REFUSED: list[Refused] = []
