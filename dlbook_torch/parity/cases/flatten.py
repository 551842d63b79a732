"""Rows of what changes only the shape (notes 7)."""

import torch

from .base import IMAGE, Case, Refused, rows, x

CASES: list[Case] = [
    *rows("7", "Flatten", IMAGE, (4, 5), (0, 3)),
    *rows("7", "Flatten", IMAGE, (), start_dim=0),
    *rows("7", "Flatten", (4, 5), start_dim=-2),
    *rows("7", "Flatten", IMAGE, start_dim=1, end_dim=2),
    *rows("7", "Unflatten", (4, 6), (6, 6, 2), dim=1, unflattened_size=(2, 3)),
    *rows("7", "Unflatten", (4, 6), dim=-1, unflattened_size=[3, -1]),
    *rows("7", "Unflatten", (6,), dim=0, unflattened_size=torch.Size([1, 2, 3])),
    *rows("7", "Unflatten", (4, 0), dim=1, unflattened_size=(3, -1)),
]

REFUSED: list[Refused] = [
    Refused("7", "Flatten", dict(start_dim=3), x(4, 5), IndexError, "3"),
    Refused("7", "Flatten", dict(start_dim=2), x(4, 5), IndexError, "2"),
    Refused("7", "Flatten", dict(start_dim=-3), x(4, 5), IndexError, "-3"),
    Refused("7", "Flatten", dict(start_dim=1, end_dim=0), x(4, 5), RuntimeError, "start_dim=1"),
    *[
        Refused("7", "Unflatten", dict(dim=dim, unflattened_size=sizes), x(4, 6), error, value)
        for dim, sizes, error, value in [
            (2, (2, 3), IndexError, "2"),
            (1, (4, 2), RuntimeError, "(4, 2)"),
            (1, (4, -1), RuntimeError, "(4, -1)"),
            (1, (-1, -1), RuntimeError, "(-1, -1)"),
            (1, (-2, -3), RuntimeError, "(-2, -3)"),
            (1, (0, -1), RuntimeError, "(0, -1)"),
            (1, (), RuntimeError, "()"),
            (1, 6, TypeError, "6"),
            (1, (2.0, 3), TypeError, "2.0"),
        ]
    ],
]
