"""Rows of the convolutions (notes 7.1)."""

from typing import Any

from .base import IMAGE, Case, Refused, x


def conv(shape: tuple[int, ...] = (2, 2, 6, 5), **kwargs: Any) -> Case:
    """A convolution of two channels into four."""
    return Case("7.1", "Conv2d", shape, dict(in_channels=2, out_channels=4) | kwargs)


CHANNELS = dict(in_channels=4, out_channels=6, kernel_size=3)

CASES: list[Case] = [
    conv(kernel_size=3),
    conv((2, 6, 5), kernel_size=3),
    conv((0, 2, 6, 5), kernel_size=3),
    conv(kernel_size=(3, 2), stride=2, padding=(1, 0)),
    conv(kernel_size=2, bias=False),
    conv(kernel_size=1),
    conv(kernel_size=(6, 5)),
    conv((2, 6, 5), kernel_size=(6, 5)),
    conv(kernel_size=3, stride=(3, 2)),
    conv(kernel_size=3, dilation=2),
    conv(kernel_size=(2, 3), dilation=(3, 1), stride=(1, 2), padding=(2, 1)),
    conv(kernel_size=3, groups=2),
    conv(kernel_size=3, groups=2, stride=2, padding=1, bias=False),
    Case("7.1", "Conv2d", IMAGE, dict(in_channels=3, out_channels=6, kernel_size=3, groups=3)),
    conv(kernel_size=3, padding="same"),
    conv(kernel_size=(4, 2), padding="same", dilation=(1, 3)),
    conv(kernel_size=3, padding="valid"),
    conv(kernel_size=3, padding=1, padding_mode="reflect"),
    conv(kernel_size=3, padding=(2, 1), padding_mode="replicate"),
    conv(kernel_size=3, padding=2, padding_mode="circular"),
    conv(kernel_size=(4, 3), padding="same", padding_mode="circular"),
]

REFUSED: list[Refused] = [
    Refused("7.1", "Conv2d", CHANNELS, x(2, 3, 7, 6), RuntimeError, "got 3"),
    Refused("7.1", "Conv2d", CHANNELS, x(4, 7), RuntimeError, "(4, 7)"),
    Refused("7.1", "Conv2d", CHANNELS, x(2, 4, 2, 6), RuntimeError, "(2, 6)"),
    Refused("7.1", "Conv2d", CHANNELS | dict(groups=3), None, ValueError, "groups=3"),
    Refused("7.1", "Conv2d", CHANNELS | dict(groups=0), None, ValueError, "0"),
    Refused("7.1", "Conv2d", CHANNELS | dict(padding="full"), None, ValueError, "full"),
    Refused("7.1", "Conv2d", CHANNELS | dict(padding="same", stride=2), None, ValueError, "(2, 2)"),
    Refused("7.1", "Conv2d", CHANNELS | dict(padding_mode="wrap"), None, ValueError, "wrap"),
    Refused("7.1", "Conv2d", CHANNELS | dict(stride=0), x(2, 4, 7, 6), RuntimeError, "(0, 0)"),
    Refused(
        "7.1",
        "Conv2d",
        CHANNELS | dict(padding=7, padding_mode="reflect"),
        x(2, 4, 7, 6),
        RuntimeError,
        "(7, 7)",
    ),
]
