"""Rows of the affine layer (notes 3.3)."""

from .base import ROW, Case, Refused, rows, x

CASES: list[Case] = [
    *rows("3.2", "Identity", ROW, (), (0, 3)),
    *rows("3.2", "Identity", ROW, any_name=1),
    *rows("3.3", "Linear", (4, 5), (5,), (2, 3, 5), (0, 5), in_features=5, out_features=3),
    *rows("3.3", "Linear", (4, 5), in_features=5, out_features=3, bias=False),
]

REFUSED: list[Refused] = [
    Refused("3.3", "Linear", dict(in_features=5, out_features=3), x(4, 6), RuntimeError, "(4, 6)"),
]
