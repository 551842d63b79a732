"""Rows of pooling (notes 7.2)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .base import IMAGE, Case, Refused, rows, x

LINE, VOLUME = (2, 3, 7), (1, 2, 4, 5, 3)


def unpool(
    shape: tuple[int, ...], rank: int, size: Sequence[int] | None = None, **kwargs: Any
) -> Case:
    """Maxima of an image of this shape, put back into it, or into one of ``size``."""

    def make(dtype: torch.dtype, device: str) -> tuple[Any, ...]:
        image = torch.randn(shape, dtype=dtype, device=device)
        pool = getattr(torch.nn, f"MaxPool{rank}d")(**kwargs, return_indices=True)
        maxima, index = pool(image)
        return maxima.requires_grad_(), index, *([] if size is None else [size])

    label = "" if size is None else "to " + "x".join(map(str, size))
    return Case("7.2", f"MaxUnpool{rank}d", shape, kwargs, make=make, label=label)


CASES: list[Case] = [
    *rows("7.2", "MaxPool1d", LINE, (3, 7), (0, 3, 7), kernel_size=2),
    *rows("7.2", "MaxPool1d", LINE, kernel_size=3, stride=2, padding=1, ceil_mode=True),
    *rows("7.2", "MaxPool1d", LINE, kernel_size=(2,), stride=1, dilation=3, return_indices=True),
    *rows("7.2", "MaxPool2d", IMAGE, (3, 6, 5), (0, 3, 6, 5), kernel_size=2),
    *rows("7.2", "MaxPool2d", IMAGE, kernel_size=3, stride=2, padding=1),
    *rows("7.2", "MaxPool2d", IMAGE, kernel_size=(3, 2), stride=(1, 2), dilation=(2, 1)),
    *rows("7.2", "MaxPool2d", IMAGE, kernel_size=2, ceil_mode=True),
    *rows("7.2", "MaxPool2d", IMAGE, kernel_size=3, stride=2, padding=1, ceil_mode=True),
    *rows("7.2", "MaxPool2d", IMAGE, kernel_size=2, stride=1, dilation=3, padding=1),
    *rows("7.2", "MaxPool2d", IMAGE, (3, 6, 5), kernel_size=3, stride=2, return_indices=True),
    *rows("7.2", "MaxPool2d", IMAGE, kernel_size=7, ceil_mode=True, return_indices=True),
    *rows("7.2", "MaxPool2d", IMAGE, kernel_size=1, stride=2),
    *rows("7.2", "MaxPool2d", (1, 1, 17, 18), kernel_size=17, return_indices=True),
    *rows("7.2", "MaxPool3d", VOLUME, VOLUME[1:], (0, *VOLUME[1:]), kernel_size=2),
    *rows("7.2", "MaxPool3d", VOLUME, kernel_size=(2, 3, 1), stride=(1, 2, 3), padding=(1, 1, 0)),
    *rows("7.2", "MaxPool3d", VOLUME, kernel_size=2, dilation=(1, 2, 1), return_indices=True),
    *rows("7.2", "MaxPool3d", VOLUME, kernel_size=2, ceil_mode=True, return_indices=True),
    *rows("7.2", "AvgPool1d", LINE, (3, 7), (0, 3, 7), kernel_size=2),
    *rows("7.2", "AvgPool1d", LINE, kernel_size=(3,), stride=2, padding=(1,), ceil_mode=True),
    *rows("7.2", "AvgPool1d", LINE, kernel_size=3, padding=1, count_include_pad=False),
    *rows("7.2", "AvgPool2d", IMAGE, (3, 6, 5), (0, 3, 6, 5), kernel_size=2),
    *rows("7.2", "AvgPool2d", IMAGE, kernel_size=3, stride=2, padding=1),
    *rows("7.2", "AvgPool2d", IMAGE, kernel_size=3, stride=2, padding=1, count_include_pad=False),
    *rows("7.2", "AvgPool2d", IMAGE, kernel_size=(3, 2), stride=(1, 2), ceil_mode=True),
    *rows("7.2", "AvgPool2d", IMAGE, kernel_size=3, stride=2, padding=1, ceil_mode=True),
    *rows("7.2", "AvgPool2d", IMAGE, kernel_size=2, divisor_override=3),
    *rows("7.2", "AvgPool2d", IMAGE, kernel_size=1, stride=2),
    *rows("7.2", "AvgPool3d", VOLUME, VOLUME[1:], (0, *VOLUME[1:]), kernel_size=2),
    *rows("7.2", "AvgPool3d", VOLUME, kernel_size=(2, 3, 1), stride=(1, 2, 3), padding=(1, 1, 0)),
    *rows("7.2", "AvgPool3d", VOLUME, kernel_size=2, padding=1, count_include_pad=False),
    *rows("7.2", "AvgPool3d", VOLUME, kernel_size=2, ceil_mode=True, divisor_override=3),
    *rows("7.2", "AdaptiveAvgPool1d", LINE, (3, 7), (0, 3, 7), output_size=3),
    *rows("7.2", "AdaptiveAvgPool1d", LINE, output_size=(1,)),
    *rows("7.2", "AdaptiveAvgPool2d", IMAGE, (3, 6, 5), (0, 3, 6, 5), output_size=3),
    *rows("7.2", "AdaptiveAvgPool2d", IMAGE, output_size=(None, 2)),
    *rows("7.2", "AdaptiveAvgPool2d", IMAGE, output_size=(8, 1)),
    *rows("7.2", "AdaptiveAvgPool3d", VOLUME, VOLUME[1:], (0, *VOLUME[1:]), output_size=2),
    *rows("7.2", "AdaptiveAvgPool3d", VOLUME, output_size=(None, 3, 5)),
    *rows("7.2", "AdaptiveMaxPool1d", LINE, (3, 7), (0, 3, 7), output_size=3),
    *rows("7.2", "AdaptiveMaxPool1d", LINE, output_size=(4,), return_indices=True),
    *rows("7.2", "AdaptiveMaxPool2d", IMAGE, (3, 6, 5), (0, 3, 6, 5), output_size=3),
    *rows("7.2", "AdaptiveMaxPool2d", IMAGE, output_size=(None, 2), return_indices=True),
    *rows("7.2", "AdaptiveMaxPool2d", IMAGE, output_size=(2, 5), return_indices=True),
    *rows("7.2", "AdaptiveMaxPool3d", VOLUME, VOLUME[1:], (0, *VOLUME[1:]), output_size=2),
    *rows("7.2", "AdaptiveMaxPool3d", VOLUME, output_size=(None, 3, 5), return_indices=True),
    unpool((2, 3, 6), 1, kernel_size=2),
    unpool((3, 6), 1, kernel_size=2),
    unpool((0, 3, 6), 1, kernel_size=2),
    unpool(LINE, 1, LINE, kernel_size=2, stride=3, padding=1),
    unpool((2, 3, 6, 4), 2, kernel_size=2),
    unpool((3, 6, 4), 2, kernel_size=2),
    unpool((0, 3, 6, 4), 2, kernel_size=2),
    unpool((2, 3, 7, 6), 2, kernel_size=(3, 2), stride=(3, 2), padding=(1, 0)),
    unpool(IMAGE, 2, IMAGE, kernel_size=2),
    unpool(IMAGE, 2, [7, 5], kernel_size=2),
    unpool((1, 2, 4, 4, 2), 3, kernel_size=2),
    unpool((2, 4, 4, 2), 3, kernel_size=2),
    unpool((0, 2, 4, 4, 2), 3, kernel_size=2),
    unpool(VOLUME, 3, VOLUME[2:], kernel_size=(2, 3, 1), stride=(2, 3, 2), padding=(0, 1, 0)),
]


def numbers(*shape: int, dtype: torch.dtype) -> Callable[[], tuple[Tensor, ...]]:
    """An input of this shape and type."""
    return lambda: (torch.ones(shape, dtype=dtype),)


def maxima(
    index: int, dtype: torch.dtype = torch.int64, *size: Any
) -> Callable[[], tuple[Any, ...]]:
    """Maxima of a 6 x 4 image in windows of 2 x 2, all of them from one place."""
    return lambda: (torch.randn(1, 3, 2), torch.full((1, 3, 2), index, dtype=dtype), *size)


def refused(
    name: str,
    value: str,
    args: Callable[[], tuple[Any, ...]] | None,
    error: type[Exception] = RuntimeError,
    **kwargs: Any,
) -> Refused:
    """One row."""
    return Refused("7.2", name, kwargs, args, error, value)


REFUSED: list[Refused] = [
    refused("MaxPool1d", "(7,)", x(7), kernel_size=2),
    refused("MaxPool1d", "(2, 0, 7)", x(2, 0, 7), kernel_size=2),
    refused("MaxPool1d", "(2, 2)", x(3, 7), kernel_size=(2, 2)),
    refused(
        "MaxPool1d", "int64", numbers(3, 7, dtype=torch.int64), NotImplementedError, kernel_size=2
    ),
    refused("MaxPool2d", "(7, 6)", x(7, 6), kernel_size=2),
    refused("MaxPool2d", "(0, 7, 6)", x(0, 7, 6), kernel_size=2),
    refused("MaxPool2d", "pad=2", x(3, 7, 6), kernel_size=2, padding=2),
    refused("MaxPool2d", "pad=2", x(3, 7, 6), kernel_size=2, padding=2, dilation=3),
    refused("MaxPool2d", "pad=-1", x(3, 7, 6), kernel_size=2, padding=-1),
    refused("MaxPool2d", "(9, 9)", x(3, 7, 6), kernel_size=9),
    refused("MaxPool2d", "(0, 0)", x(3, 7, 6), kernel_size=2, stride=0),
    refused("MaxPool2d", "(0, 1)", x(3, 7, 6), kernel_size=2, dilation=(0, 1)),
    refused(
        "MaxPool2d", "bool", numbers(3, 7, 6, dtype=torch.bool), NotImplementedError, kernel_size=2
    ),
    refused("MaxPool3d", "(4, 5, 3)", x(4, 5, 3), kernel_size=2),
    refused("MaxPool3d", "(2, 2)", x(*VOLUME), kernel_size=(2, 2)),
    refused("AvgPool1d", "(1, 1, 1, 7)", x(1, 1, 1, 7), kernel_size=2),
    refused("AvgPool1d", "(9,)", x(3, 7), kernel_size=9),
    refused("AvgPool2d", "(7, 6)", x(7, 6), IndexError, kernel_size=2),
    refused("AvgPool2d", "1, 7, 6)", x(1, 1, 1, 7, 6), kernel_size=2),
    refused("AvgPool2d", "pad=2", x(3, 7, 6), kernel_size=2, padding=2),
    refused("AvgPool2d", "divisor_override", x(3, 7, 6), kernel_size=2, divisor_override=0),
    refused(
        "AvgPool2d",
        "int32",
        numbers(3, 7, 6, dtype=torch.int32),
        NotImplementedError,
        kernel_size=2,
    ),
    refused("AvgPool3d", "(4, 5, 3)", x(4, 5, 3), kernel_size=2),
    refused("AvgPool3d", "(4, 4, 4)", x(*VOLUME), kernel_size=4, padding=2),
    refused("AdaptiveAvgPool1d", "None", x(3, 7), TypeError, output_size=None),
    refused("AdaptiveAvgPool1d", "(3, 0)", x(3, 0), output_size=2),
    refused("AdaptiveAvgPool2d", "None", x(3, 7, 6), TypeError, output_size=None),
    refused("AdaptiveAvgPool2d", "(2,)", x(3, 7, 6), output_size=(2,)),
    refused("AdaptiveAvgPool2d", "-1", x(3, 7, 6), output_size=(-1, 2)),
    refused("AdaptiveAvgPool2d", "(7, 6)", x(7, 6), output_size=2),
    refused("AdaptiveAvgPool3d", "(1, 0, 4, 5, 3)", x(1, 0, 4, 5, 3), output_size=2),
    refused("AdaptiveMaxPool1d", "(None,)", x(3, 7), TypeError, output_size=(None,)),
    refused("AdaptiveMaxPool2d", "(2, 0, 7, 6)", x(2, 0, 7, 6), output_size=2),
    refused(
        "AdaptiveMaxPool2d",
        "int64",
        numbers(3, 7, 6, dtype=torch.int64),
        NotImplementedError,
        output_size=2,
    ),
    refused("AdaptiveMaxPool3d", "-2", x(*VOLUME), output_size=-2),
    refused("MaxUnpool1d", "12", lambda: (torch.ones(2, 3), torch.full((2, 3), 12)), kernel_size=2),
    refused("MaxUnpool2d", "24", maxima(24), kernel_size=2),
    refused("MaxUnpool2d", "-1", maxima(-1), kernel_size=2),
    refused("MaxUnpool2d", "int32", maxima(1, torch.int32), kernel_size=2),
    refused("MaxUnpool2d", "[9, 9]", maxima(1, torch.int64, [9, 9]), ValueError, kernel_size=2),
    refused("MaxUnpool2d", "[6]", maxima(1, torch.int64, [6]), ValueError, kernel_size=2),
    refused(
        "MaxUnpool2d",
        "(1, 3, 1)",
        lambda: (torch.ones(1, 3, 2), torch.zeros(1, 3, 1, dtype=torch.int64)),
        kernel_size=2,
    ),
    refused("MaxUnpool2d", "(3, 2)", lambda: (torch.ones(3, 2), torch.ones(3, 2)), kernel_size=2),
    refused(
        "MaxUnpool3d",
        "99",
        lambda: (torch.ones(1, 2, 2, 2), torch.full((1, 2, 2, 2), 99)),
        kernel_size=2,
    ),
]
