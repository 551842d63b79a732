"""Rows of the normalizations (notes 6.4)."""

from .base import IMAGE, Case, Refused, rows, x

CASES: list[Case] = [
    *rows("6.4", "BatchNorm1d", (4, 3), (4, 3, 5), num_features=3),
    *rows("6.4", "BatchNorm2d", IMAGE, (2, 3, 1, 1), (1, 3, 4, 2), num_features=3),
    *[
        case
        for name, shape in (("BatchNorm1d", (4, 3)), ("BatchNorm2d", IMAGE))
        for kwargs in (
            dict(affine=False),
            dict(track_running_stats=False),
            dict(affine=False, track_running_stats=False),
            dict(momentum=None),
            dict(momentum=0.3, eps=0.1),
        )
        for case in rows("6.4", name, shape, num_features=3, **kwargs)
    ],
]

REFUSED: list[Refused] = [
    Refused("6.4", "BatchNorm1d", dict(num_features=3), x(4, 3, 2, 2), ValueError, "4D"),
    Refused("6.4", "BatchNorm1d", dict(num_features=3), x(1, 3), ValueError, "(1, 3)"),
    Refused("6.4", "BatchNorm2d", dict(num_features=3), x(4, 3), ValueError, "2D"),
    Refused("6.4", "BatchNorm2d", dict(num_features=3), x(1, 3, 1, 1), ValueError, "(1, 3, 1, 1)"),
    Refused("6.4", "BatchNorm2d", dict(num_features=3), x(2, 4, 5, 5), RuntimeError, "3 channels"),
]
