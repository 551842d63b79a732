"""Rows of the convolutions, of unfold and fold, and of the transposed ones (notes 7.1, 7.2)."""

from typing import Any

import torch

from .base import IMAGE, Case, Refused, x

SERIES, VOLUME = (2, 2, 7), (1, 2, 4, 3, 4)


def conv(shape: tuple[int, ...] = (2, 2, 6, 5), **kwargs: Any) -> Case:
    """A convolution of two channels into four."""
    return Case("7.1", "Conv2d", shape, dict(in_channels=2, out_channels=4) | kwargs)


def series(shape: tuple[int, ...] = SERIES, **kwargs: Any) -> Case:
    """The same along one axis."""
    return Case("7.1", "Conv1d", shape, dict(in_channels=2, out_channels=4) | kwargs)


def volume(shape: tuple[int, ...] = VOLUME, **kwargs: Any) -> Case:
    """The same along three axes, two filters."""
    return Case("7.1", "Conv3d", shape, dict(in_channels=2, out_channels=2) | kwargs)


def spread(rank: int, shape: tuple[int, ...], **kwargs: Any) -> Case:
    """A transposed convolution of two channels into four."""
    kwargs = dict(in_channels=2, out_channels=4) | kwargs
    return Case("7.2", f"ConvTranspose{rank}d", shape, kwargs)


def sized(rank: int, shape: tuple[int, ...], size: tuple[int, ...], **kwargs: Any) -> Case:
    """A transposed convolution that is told how large its output has to be."""

    def make(dtype: torch.dtype, device: str) -> tuple[Any, ...]:
        return torch.randn(shape, dtype=dtype, device=device, requires_grad=True), list(size)

    label = f"output_size={'x'.join(map(str, size))}"
    kwargs = dict(in_channels=2, out_channels=2) | kwargs
    return Case("7.2", f"ConvTranspose{rank}d", shape, kwargs, make=make, label=label)


def rearranged(name: str, shape: tuple[int, ...], axes: tuple[int, ...], **kwargs: Any) -> Case:
    """An input whose axes lie in another order in memory."""

    def make(dtype: torch.dtype, device: str) -> tuple[Any, ...]:
        order = sorted(range(len(axes)), key=axes.__getitem__)
        t = torch.randn([shape[a] for a in axes], dtype=dtype, device=device).permute(order)
        return (t.requires_grad_(),)

    label = f"memory={''.join(map(str, axes))}"
    kwargs = dict(in_channels=2, out_channels=4, kernel_size=2) | kwargs
    notes = "7.2" if "Transpose" in name else "7.1"
    return Case(notes, name, shape, kwargs, make=make, label=label)


CHANNELS = dict(in_channels=4, out_channels=6, kernel_size=3)

WIDE = dict(dilation=(2, 1), padding=(1, 2), stride=(1, 2))
SMALL: dict[str, Any] = dict(in_channels=2, out_channels=4, kernel_size=3)


def unfold(shape: tuple[int, ...] = (2, 3, 4, 5), **kwargs: Any) -> Case:
    """Images to columns."""
    return Case("7.1", "Unfold", shape, kwargs)


def fold(shape: tuple[int, ...], **kwargs: Any) -> Case:
    """Columns to images."""
    return Case("7.1", "Fold", shape, kwargs)


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
    series(kernel_size=3),
    series((2, 7), kernel_size=3),
    series((0, 2, 7), kernel_size=3),
    series(kernel_size=3, stride=2, padding=2, dilation=2, groups=2, bias=False),
    series(kernel_size=4, padding="same", dilation=3),
    series(kernel_size=2, padding="valid"),
    series(kernel_size=3, padding=2, padding_mode="reflect"),
    series(kernel_size=3, padding=3, padding_mode="replicate", stride=2),
    series(kernel_size=2, padding="same", padding_mode="circular"),
    volume(kernel_size=2),
    volume((2, 4, 3, 4), kernel_size=2),
    volume((0, 2, 4, 3, 4), kernel_size=2),
    volume(kernel_size=(2, 1, 3), stride=(1, 2, 1), padding=(0, 1, 1), dilation=(2, 1, 1)),
    volume(kernel_size=2, groups=2, bias=False),
    volume(kernel_size=(2, 3, 1), padding="same"),
    volume(kernel_size=2, padding="valid"),
    volume(kernel_size=2, padding=1, padding_mode="reflect"),
    volume(kernel_size=2, padding=(1, 0, 2), padding_mode="replicate"),
    volume(kernel_size=(1, 2, 3), padding="same", padding_mode="circular"),
    rearranged("Conv1d", (2, 2, 5), (0, 2, 1)),
    rearranged("Conv2d", (2, 2, 4, 3), (0, 2, 3, 1)),
    rearranged("Conv2d", (2, 2, 4, 3), (1, 0, 3, 2), padding=1),
    rearranged("Conv3d", (1, 2, 3, 2, 3), (0, 2, 3, 4, 1)),
    rearranged("ConvTranspose2d", (2, 2, 4, 3), (0, 2, 3, 1)),
    rearranged("ConvTranspose2d", (2, 2, 4, 3), (1, 0, 3, 2), stride=2),
    spread(2, (2, 2, 4, 3), kernel_size=3),
    spread(2, (2, 4, 3), kernel_size=3),
    spread(2, (0, 2, 4, 3), kernel_size=3),
    spread(2, (2, 2, 4, 3), kernel_size=(3, 2), stride=(2, 3), padding=(1, 0)),
    spread(2, (2, 2, 4, 3), kernel_size=3, stride=(3, 2), output_padding=(2, 1)),
    spread(2, (2, 2, 4, 3), kernel_size=2, stride=2, dilation=3, output_padding=2, padding=1),
    spread(2, (2, 2, 4, 3), kernel_size=(2, 3), dilation=(3, 1), bias=False),
    spread(2, (2, 2, 4, 3), kernel_size=2, groups=2, stride=2, output_padding=1),
    spread(2, (2, 2, 4, 3), kernel_size=2, padding=2, stride=2),
    spread(2, (2, 2, 4, 3), kernel_size=1, stride=3),
    spread(2, (2, 2, 4, 3), kernel_size=2, padding_mode="zeros"),
    sized(2, (2, 2, 4, 3), (9, 10), kernel_size=2, stride=(2, 3)),
    sized(2, (2, 4, 3), (2, 9, 6), kernel_size=2, stride=2),
    spread(1, (2, 2, 5), kernel_size=3),
    spread(1, (2, 5), kernel_size=2, stride=3, output_padding=2),
    spread(1, (0, 2, 5), kernel_size=3),
    spread(1, (2, 2, 5), kernel_size=3, stride=2, padding=1, dilation=2, groups=2, bias=False),
    spread(1, (2, 2, 5), kernel_size=2, padding_mode="zeros"),
    sized(1, (2, 2, 5), (2, 2, 12), kernel_size=2, stride=3, padding=1),
    spread(3, (1, 2, 2, 3, 2), kernel_size=2, out_channels=2),
    spread(3, (2, 2, 1, 2), kernel_size=2, stride=(2, 1, 3), output_padding=(1, 0, 2)),
    spread(3, (0, 2, 2, 3, 2), kernel_size=2),
    spread(3, (1, 2, 2, 3, 2), kernel_size=2, padding=(1, 0, 1), dilation=(1, 2, 1), groups=2),
    spread(3, (1, 2, 2, 3, 2), kernel_size=(1, 2, 2), bias=False, padding_mode="zeros"),
    sized(3, (1, 2, 2, 2, 2), (4, 5, 2), kernel_size=(2, 2, 1), stride=(2, 3, 1)),
    unfold(kernel_size=2),
    unfold((3, 4, 5), kernel_size=2),
    unfold((0, 3, 4, 5), kernel_size=2),
    unfold(kernel_size=(2, 3), dilation=(2, 1), padding=(1, 2), stride=(1, 2)),
    fold((2, 12, 12), output_size=(4, 5), kernel_size=2),
    fold((12, 12), output_size=(4, 5), kernel_size=2),
    fold((0, 12, 12), output_size=(4, 5), kernel_size=2),
    fold((2, 12, 9), output_size=4, kernel_size=2),
    fold((2, 12, 16), output_size=(4, 5), kernel_size=(2, 3), **WIDE),
]


def refused(
    name: str, value: str, shape: tuple[int, ...] | None = None, error: Any = None, **kwargs: Any
) -> Refused:
    """A layer that torch cannot build, or (with a shape) cannot call."""
    kind = error or (RuntimeError if shape else ValueError)
    notes = "7.2" if "Transpose" in name else "7.1"
    return Refused(notes, name, kwargs, x(*shape) if shape else None, kind, value)


def asked(size: list[int], value: str) -> Refused:
    """An output size that no output_padding gives."""
    args: Any = lambda: (torch.randn(2, 2, 5, 6), size)  # noqa: E731
    return Refused("7.2", "ConvTranspose2d", SMALL | dict(stride=2), args, ValueError, value)


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
    refused("Conv1d", "got 3", (2, 3, 7), **SMALL),
    refused("Conv1d", "(1, 2, 7, 1)", (1, 2, 7, 1), **SMALL),
    refused("Conv1d", "(2,)", (2, 2, 2), **SMALL),
    refused("Conv1d", "groups=3", **SMALL | dict(groups=3)),
    refused("Conv1d", "'full'", **SMALL, padding="full"),
    refused("Conv1d", "(2,)", **SMALL, padding="same", stride=2),
    refused("Conv1d", "wrap", **SMALL, padding_mode="wrap"),
    refused("Conv2d", "(2, 2, 0, 6)", (2, 2, 0, 6), **SMALL, padding=2),
    refused("Conv2d", "-1", (2, 2, 5, 6), **SMALL, padding=-1),
    refused("Conv2d", "(1, 2, 3)", (2, 2, 5, 6), **SMALL, stride=(1, 2, 3)),
    refused("Conv3d", "got 3", (2, 3, 4, 4, 4), **SMALL),
    refused("Conv3d", "(2, 4, 4)", (2, 4, 4), **SMALL),
    refused("Conv3d", "(4, 2, 4)", (2, 4, 2, 4), **SMALL),
    refused("Conv3d", "got 0", **SMALL | dict(groups=0)),
    refused("Conv3d", "wrap", **SMALL, padding_mode="wrap"),
    refused("ConvTranspose1d", "got 3", (2, 3, 7), **SMALL),
    refused("ConvTranspose1d", "(2,)", (2, 2, 5), **SMALL, stride=2, output_padding=2),
    refused("ConvTranspose1d", "reflect", **SMALL, padding_mode="reflect"),
    refused("ConvTranspose2d", "got 3", (2, 3, 5, 6), **SMALL),
    refused("ConvTranspose2d", "(5, 6)", (5, 6), **SMALL),
    refused("ConvTranspose2d", "(2, 2, 0, 6)", (2, 2, 0, 6), **SMALL),
    refused("ConvTranspose2d", "(-1, 0)", (2, 2, 5, 6), **SMALL, padding=4),
    refused("ConvTranspose2d", "-1", (2, 2, 5, 6), **SMALL, padding=-1),
    refused("ConvTranspose2d", "(0, 0)", (2, 2, 5, 6), **SMALL, stride=0),
    refused("ConvTranspose2d", "(1, 1)", (2, 2, 5, 6), **SMALL, output_padding=1),
    refused("ConvTranspose2d", "(1, 0)", (2, 2, 5, 6), **SMALL, output_padding=(1, 0)),
    refused("ConvTranspose2d", "(-1, -1)", (2, 2, 5, 6), **SMALL, output_padding=-1, stride=2),
    refused("ConvTranspose2d", "'same'", (2, 2, 5, 6), TypeError, **SMALL, padding="same"),
    refused("ConvTranspose2d", "groups=3", **SMALL | dict(groups=3)),
    refused("ConvTranspose2d", "got 0", **SMALL | dict(groups=0)),
    refused("ConvTranspose2d", "replicate", **SMALL, padding_mode="replicate"),
    asked([13, 13], "(13, 13)"),
    asked([11, 12], "(11, 12)"),
    asked([12], "(12,)"),
    refused("ConvTranspose3d", "got 3", (2, 3, 4, 4, 4), **SMALL),
    refused("ConvTranspose3d", "(1, 1, 1)", (2, 2, 4, 4, 4), **SMALL, output_padding=1),
    refused("ConvTranspose3d", "circular", **SMALL, padding_mode="circular"),
    refused("Unfold", "(1, 2, 3, 5, 6)", (1, 2, 3, 5, 6), kernel_size=2),
    refused("Unfold", "(5, 6)", (5, 6), IndexError, kernel_size=2),
    refused("Unfold", "(0, 5, 6)", (0, 5, 6), kernel_size=2),
    refused("Unfold", "(2, 2, 0, 6)", (2, 2, 0, 6), kernel_size=2, padding=2),
    refused("Unfold", "(0, 0)", (2, 5, 6), kernel_size=0),
    refused("Unfold", "(0, 1)", (2, 5, 6), kernel_size=2, dilation=(0, 1)),
    refused("Unfold", "(1, 0)", (2, 5, 6), kernel_size=2, stride=(1, 0)),
    refused("Unfold", "(-1, -1)", (2, 5, 6), kernel_size=2, padding=-1),
    refused("Unfold", "(6, 7)", (2, 5, 6), kernel_size=(6, 7)),
    refused("Unfold", "(3,)", (2, 5, 6), kernel_size=(3,)),
    refused("Fold", "(2, 2, 4, 12)", (2, 2, 4, 12), output_size=(4, 5), kernel_size=2),
    refused("Fold", "(12,)", (12,), output_size=(4, 5), kernel_size=2),
    refused("Fold", "(0, 12)", (0, 12), output_size=(4, 5), kernel_size=2),
    refused("Fold", "got 7", (7, 12), output_size=(4, 5), kernel_size=2),
    refused("Fold", "got 11", (2, 4, 11), output_size=(4, 5), kernel_size=2),
    refused("Fold", "(1, 5)", (4, 12), output_size=(1, 5), kernel_size=2),
    refused("Fold", "(4, 5, 6)", (4, 12), output_size=(4, 5, 6), kernel_size=2),
    refused("Fold", "(-1, -1)", (4, 12), output_size=(4, 5), kernel_size=2, padding=-1),
    refused("Fold", "(0, 0)", (4, 12), output_size=(4, 5), kernel_size=2, stride=0),
]
