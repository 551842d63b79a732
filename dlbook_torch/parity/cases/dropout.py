"""Rows of dropout (notes 6.5)."""

from .base import IMAGE, ROW, Case, Refused, rows

CASES: list[Case] = [
    *rows("6.5", "Dropout", ROW, IMAGE),
    *rows("6.5", "Dropout", ROW, p=0.2),
    *rows("6.5", "Dropout", ROW, p=0.0),
    *rows("6.5", "Dropout", ROW, p=1.0),
]

REFUSED: list[Refused] = [
    Refused("6.5", "Dropout", dict(p=1.5), None, ValueError, "1.5"),
    Refused("6.5", "Dropout", dict(p=-0.1), None, ValueError, "-0.1"),
]
