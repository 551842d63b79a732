"""Rows of what changes only the shape (notes 7)."""

from .base import IMAGE, Case, Refused, rows, x

CASES: list[Case] = [
    *rows("7", "Flatten", IMAGE, (4, 5), (0, 3)),
    *rows("7", "Flatten", IMAGE, (), start_dim=0),
    *rows("7", "Flatten", (4, 5), start_dim=-2),
    *rows("7", "Flatten", IMAGE, start_dim=1, end_dim=2),
]

REFUSED: list[Refused] = [
    Refused("7", "Flatten", dict(start_dim=3), x(4, 5), IndexError, "3"),
    Refused("7", "Flatten", dict(start_dim=2), x(4, 5), IndexError, "2"),
    Refused("7", "Flatten", dict(start_dim=-3), x(4, 5), IndexError, "-3"),
    Refused("7", "Flatten", dict(start_dim=1, end_dim=0), x(4, 5), RuntimeError, "start_dim=1"),
]
