"""Rows of dropout (notes 6.5)."""

from .base import IMAGE, ROW, Case, Refused, rows, x

CHANNELS = {"Dropout1d": (2, 3, 4), "Dropout2d": (2, 3, 2, 2), "Dropout3d": (2, 3, 1, 2, 2)}

CASES: list[Case] = [
    *rows("6.5", "Dropout", ROW, IMAGE),
    *rows("6.5", "Dropout", ROW, p=0.2),
    *rows("6.5", "Dropout", ROW, p=0.0),
    *rows("6.5", "Dropout", ROW, p=1.0),
    *rows("6.5", "Dropout1d", (4, 3, 5), (3, 5)),
    *rows("6.5", "Dropout2d", (4, 3, 2, 2)),
    *rows("6.5", "Dropout3d", (4, 3, 1, 2, 2), (3, 1, 2, 2)),
    *[
        case
        for name, shape in CHANNELS.items()
        for p in (0.2, 0.0, 1.0)
        for case in rows("6.5", name, shape, p=p)
    ],
]

REFUSED: list[Refused] = [
    Refused("6.5", "Dropout", dict(p=1.5), None, ValueError, "1.5"),
    Refused("6.5", "Dropout", dict(p=-0.1), None, ValueError, "-0.1"),
    *[Refused("6.5", name, dict(p=1.5), None, ValueError, "1.5") for name in CHANNELS],
    Refused("6.5", "Dropout1d", {}, x(4, 3, 2, 2), RuntimeError, "4D"),
    Refused("6.5", "Dropout1d", {}, x(4), RuntimeError, "1D"),
]
