"""Rows of pooling (notes 7.2)."""

from .base import IMAGE, Case, Refused, rows, x

CASES: list[Case] = [
    *rows("7.2", "MaxPool2d", IMAGE, (3, 6, 5), (0, 3, 6, 5), kernel_size=2),
    *rows("7.2", "MaxPool2d", IMAGE, kernel_size=3, stride=2, padding=1),
    *rows("7.2", "MaxPool2d", IMAGE, kernel_size=(3, 2), stride=(1, 2), dilation=(2, 1)),
    *rows("7.2", "MaxPool2d", IMAGE, kernel_size=2, ceil_mode=True),
    *rows("7.2", "MaxPool2d", IMAGE, kernel_size=3, stride=2, padding=1, ceil_mode=True),
    *rows("7.2", "MaxPool2d", IMAGE, kernel_size=2, stride=1, dilation=3, padding=1),
    *rows("7.2", "MaxPool2d", IMAGE, (3, 6, 5), kernel_size=3, stride=2, return_indices=True),
    *rows("7.2", "AvgPool2d", IMAGE, (3, 6, 5), (0, 3, 6, 5), kernel_size=2),
    *rows("7.2", "AvgPool2d", IMAGE, kernel_size=3, stride=2, padding=1),
    *rows("7.2", "AvgPool2d", IMAGE, kernel_size=3, stride=2, padding=1, count_include_pad=False),
    *rows("7.2", "AvgPool2d", IMAGE, kernel_size=(3, 2), stride=(1, 2), ceil_mode=True),
    *rows("7.2", "AvgPool2d", IMAGE, kernel_size=3, stride=2, padding=1, ceil_mode=True),
    *rows("7.2", "AvgPool2d", IMAGE, kernel_size=2, divisor_override=3),
]

REFUSED: list[Refused] = [
    Refused("7.2", "MaxPool2d", dict(kernel_size=2), x(7, 6), RuntimeError, "(7, 6)"),
    Refused("7.2", "MaxPool2d", dict(kernel_size=2, padding=2), x(3, 7, 6), RuntimeError, "pad=2"),
    Refused("7.2", "MaxPool2d", dict(kernel_size=9), x(3, 7, 6), RuntimeError, "(9, 9)"),
    Refused("7.2", "MaxPool2d", dict(kernel_size=2, stride=0), x(3, 7, 6), RuntimeError, "(0, 0)"),
    Refused("7.2", "AvgPool2d", dict(kernel_size=2), x(1, 1, 1, 7, 6), RuntimeError, "1, 7, 6)"),
    Refused("7.2", "AvgPool2d", dict(kernel_size=2, padding=2), x(3, 7, 6), RuntimeError, "pad=2"),
    Refused(
        "7.2",
        "AvgPool2d",
        dict(kernel_size=2, divisor_override=0),
        x(3, 7, 6),
        RuntimeError,
        "divisor_override",
    ),
]
