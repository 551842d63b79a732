"""Average pooling (notes 7.2)."""

from functools import partial, reduce
from math import prod

import torch
from torch import Tensor
from torch.nn import Module

from ._fast import Function
from ._precision import answer, wide_type
from .geometry import Image, Size, Window, tuple_of
from .pooling import checked, full, surround, sweeps, window_of


class _SumPooling(Function):
    """Sum every window; linear, so its backward is its adjoint, and the adjoint's is itself."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, window):
        y = surround(x, window, 0)
        for taps in sweeps(window, x.shape[-len(window.kernel) :]):
            y = reduce(torch.add, [y[tap] for tap in taps])
        return answer(y if prod(window.kernel) > 1 else y.clone(), x)  # never a view

    @staticmethod
    def setup_context(ctx, inputs, y):
        x, ctx.window = inputs
        ctx.image = x.shape[-len(ctx.window.kernel) :]

    @staticmethod
    def backward(ctx, dy):
        return SpreadPooling.apply(dy, ctx.image, ctx.window), None


class SpreadPooling(Function):
    """Add every value to all pixels of its window: the adjoint of :class:`_SumPooling`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(dy, image, window):
        sizes, padded = list(dy.shape[-len(image) :]), window.padded(image)
        if torch.compiler.is_compiling() and _tiles(window, image):
            return _repeat(dy, window.kernel)
        for axis, taps in enumerate(sweeps(window, image)):
            sizes[axis] = padded[axis]
            dx = full(dy, sizes, 0)
            for tap in taps:
                if window.extent(axis) > window.stride[axis]:
                    dx[tap] += dy
                else:
                    dx[tap] = dy
            dy = dx
        return dy if tuple(padded) == tuple(image) else dy[window.inside(image)]

    @staticmethod
    def setup_context(ctx, inputs, dx):
        ctx.window = inputs[2]

    @staticmethod
    def backward(ctx, ddx):
        return _SumPooling.apply(ddx, ctx.window), None, None


def _tiles(window: Window, image: Image) -> bool:
    """Whether the windows stand side by side and cover the image, and nothing else."""
    covered = (n * k for n, k in zip(window.positions(image), window.kernel, strict=True))
    return window.kernel == window.stride and [*covered] == [*image] == [*window.padded(image)]


def _repeat(x: Tensor, times: tuple[int, ...]) -> Tensor:
    """Every pixel as a box of equal ones: what windows side by side spread, without an addition."""
    for axis, k in enumerate(times, -len(times)):
        boxes = x.unsqueeze(axis)
        shape = list(boxes.shape)
        shape[axis] = k
        x = boxes.expand(shape).flatten(axis - 1, axis)
    return x


def _cells(window: Window, image: Image, x: Tensor, count_include_pad: bool) -> Tensor:
    """How many pixels each window averages: it is cut at the margin, or at the image itself."""
    area = x.new_ones(())
    geometry = zip(
        image, window.positions(image), window.kernel, window.stride, window.padding, strict=True
    )
    for size, n, kernel, stride, (before, after) in geometry:
        start = torch.arange(n, device=x.device) * stride - before
        end = (start + kernel).clamp(max=size + after)
        if not count_include_pad:
            start, end = start.clamp(min=0), end.clamp(max=size)
        area = area.unsqueeze(-1) * (end - start).to(x.dtype)
    return area


def _avg_pool(
    rank: int,
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """See :class:`AvgPool2d`."""
    if divisor_override == 0:
        raise RuntimeError("divisor_override must not be zero, got 0")
    if rank == 2 and input.dim() < 3:
        raise IndexError(f"expected 3 or (batched) 4 axes, got input of size {tuple(input.shape)}")
    window = window_of(rank, kernel_size, stride, padding, ceil_mode=ceil_mode)
    x = checked(input, rank, -rank - 1, (torch.int64,))
    image = x.shape[-rank:]
    if rank == 3 and any(k > n for k, n in zip(window.kernel, image, strict=True)):
        raise RuntimeError(f"kernel size {window.kernel} is larger than the image {tuple(image)}")
    total = _SumPooling.apply(x.to(wide_type(x.dtype)), window)
    K = divisor_override or _cells(window, image, total, count_include_pad)
    if x.is_floating_point():
        return (total / K).to(x.dtype)
    return torch.div(total, K, rounding_mode="trunc")


def avg_pool1d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """See :class:`AvgPool1d`."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


avg_pool2d, avg_pool3d = (partial(_avg_pool, rank) for rank in (2, 3))


class _AvgPoolNd(Module):
    """What average pooling of every rank shares: everything but the rank."""

    rank: int

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return _avg_pool(
            self.rank,
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        names = ("kernel_size", "stride", "padding")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class AvgPool1d(_AvgPoolNd):
    """Replace every window of every channel by its mean: :class:`AvgPool2d` on one axis.

    As in torch it has no ``divisor_override``, and keeps its sizes as tuples.

    Shape: ``(N, C, L)`` or ``(C, L)`` to the same rank.
    Raises: as :class:`AvgPool2d`.
    Source: notes 7.2.
    """

    rank = 1

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        kernel = tuple_of(kernel_size, 1, "kernel_size")
        steps = kernel if stride is None else tuple_of(stride, 1, "stride")
        pads = tuple_of(padding, 1, "padding")
        super().__init__(kernel, steps, pads, ceil_mode, count_include_pad)


class AvgPool2d(_AvgPoolNd):
    r"""Replace every window of every channel by its mean.

    .. math:: y_{hw} = \frac{1}{K} \sum_{ij} x_{sh + i,\, sw + j}, \qquad
        \mathrm{d}x_p = \frac{1}{K} \sum_{hw:\, p \in \text{window}} \mathrm{d}y_{hw}

    Args:
        kernel_size: pixels of the window, one number or one per axis.
        stride: pixels from one window to the next; default ``kernel_size``.
        padding: pixels of zero added on each side, at most half of the window.
        ceil_mode: let the last window hang over the far edge.
        count_include_pad: K counts the padding too.
        divisor_override: divide by this instead of K.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)`` to the same rank, H' by
        :func:`~dlbook_torch.nn.geometry.output_size`.
    Raises: RuntimeError for an input of another rank, or empty but for its batch, or for padding
        over half of the window; IndexError for an input of fewer axes (in two dimensions, as in
        torch); NotImplementedError for integers, except int64, whose means are rounded towards
        zero.
    Source: notes 7.2.
    """

    rank = 2


class AvgPool3d(_AvgPoolNd):
    """Replace every window of every channel by its mean: :class:`AvgPool2d` on three axes.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)`` to the same rank.
    Raises: as :class:`AvgPool2d`; also RuntimeError for an image smaller than the window, whatever
        its padding.
    Source: notes 7.2.
    """

    rank = 3
