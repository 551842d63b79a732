"""Pooling (notes 7.2)."""

from math import prod

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import Module

from .geometry import Image, Size, Window, tuple_of


def _window(
    x: Tensor,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size = 1,
    ceil_mode: bool = False,
    rank: int = 2,
) -> Window:
    """The window of a pooling layer; its stride is its size unless said otherwise."""
    if x.dim() not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input, "
            f"got input of size {tuple(x.shape)}"
        )
    kernel = tuple_of(kernel_size, rank, "kernel_size")
    steps = kernel if stride in (None, (), []) else tuple_of(stride, rank, "stride")
    pads, gaps = tuple_of(padding, rank, "padding"), tuple_of(dilation, rank, "dilation")
    if any(n < 1 for n in (*kernel, *steps, *gaps)):
        raise RuntimeError(
            f"kernel_size, stride and dilation must be positive, got {kernel}, {steps} and {gaps}"
        )
    for k, p, d in zip(kernel, pads, gaps, strict=True):
        if not 0 <= p <= (d * (k - 1) + 1) // 2:
            raise RuntimeError(
                f"pad should be non-negative and at most half of effective kernel size, but got "
                f"pad={p}, kernel_size={k} and dilation={d}"
            )
    return Window(kernel, steps, tuple((p, p) for p in pads), gaps, ceil_mode)


def _grid(axes: list[Tensor], image: Image) -> Tensor:
    """Row and column indices, one list per axis, as flat indices into the image."""
    index = torch.zeros((), dtype=torch.long, device=axes[0].device)
    for axis, size in zip(axes, image, strict=True):
        index = index.unsqueeze(-1) * size + axis
    return index


class _MaxPool(Function):
    """The largest pixel of every window, and where it stands."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, window):
        rank = len(window.kernel)
        image = x.shape[-rank:]
        padded = x.new_full((*x.shape[:-rank], *window.padded(image)), -torch.inf)
        padded[window.inside(image)] = x
        here = torch.arange(prod(image), device=x.device).view(image)
        places = here.new_zeros(window.padded(image))
        places[window.inside(image)] = here
        taps = window.taps(image)
        best, index = padded[next(taps)].clone(), _first(window, image, x.device)
        for tap in taps:
            pixel = padded[tap]
            larger = (pixel > best) | pixel.isnan()  # strictly: of equal pixels the first one wins
            best, index = torch.where(larger, pixel, best), torch.where(larger, places[tap], index)
        return best, index.expand(best.shape)

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        x, window = inputs
        ctx.image = x.shape[-len(window.kernel) :]
        ctx.save_for_backward(outputs[1])
        ctx.mark_non_differentiable(outputs[1])

    @staticmethod
    def backward(ctx, dy, _):
        (index,) = ctx.saved_tensors
        rank = len(ctx.image)
        dx = dy.new_zeros(*dy.shape[:-rank], prod(ctx.image))
        dx = dx.scatter_add(-1, index.flatten(-rank), dy.flatten(-rank))
        return dx.unflatten(-1, ctx.image), None


def _first(window: Window, image: Image, device: torch.device) -> Tensor:
    """Flat index of the first pixel of each window that lies inside the image."""
    axes = []
    geometry = zip(
        window.positions(image), window.stride, window.padding, window.dilation, strict=True
    )
    for n, stride, (before, _), dilation in geometry:
        start = torch.arange(n, device=device) * stride - before
        axes.append(torch.where(start < 0, start % dilation, start))
    return _grid(axes, image)


def max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """See :class:`MaxPool2d`: its output, and the flat index of every maximum in its image."""
    window = _window(input, kernel_size, stride, padding, dilation, ceil_mode)
    return _MaxPool.apply(input, window)


def max_pool2d(
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """See :class:`MaxPool2d`."""
    pooled = max_pool2d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
    return pooled if return_indices else pooled[0]


class MaxPool2d(Module):
    r"""Keep the largest pixel of every window of every channel.

    .. math:: y_{hw} = \max_{ij} x_{sh + i,\, sw + j}, \qquad
        \mathrm{d}x_p = \sum_{hw:\, \text{argmax} = p} \mathrm{d}y_{hw}

    Of several equal maxima the first in reading order gets the gradient, as in torch. A nan wins
    over every number. Padding counts as minus infinity.

    Args:
        kernel_size: pixels of the window, one number or one per axis.
        stride: pixels from one window to the next; default ``kernel_size``.
        padding: pixels added on each side, at most half of the window.
        dilation: pixels from one cell of the window to the next.
        return_indices: also return the flat index of each maximum.
        ceil_mode: let the last window hang over the far edge.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)`` to the same rank, H' by
        :func:`~dlbook_torch.nn.geometry.output_size`.
    Raises: RuntimeError for an input of another rank, or for padding over half of the window.
    Source: notes 7.2. It tolerates small shifts; the rotation and scale invariance that the notes
        promise, it has not.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class _SumPool(Function):
    """Sum every window; linear, so its backward is its adjoint, and the adjoint's is itself."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, window):
        image = x.shape[-len(window.kernel) :]
        padded = x.new_zeros(*x.shape[: -len(image)], *window.padded(image))
        padded[window.inside(image)] = x
        taps = window.taps(image)
        y = padded[next(taps)].clone()
        for tap in taps:
            y += padded[tap]
        return y

    @staticmethod
    def setup_context(ctx, inputs, y):
        x, ctx.window = inputs
        ctx.image = x.shape[-len(ctx.window.kernel) :]

    @staticmethod
    def backward(ctx, dy):
        return _SpreadPool.apply(dy, ctx.image, ctx.window), None


class _SpreadPool(Function):
    """Add every value to all pixels of its window: the adjoint of :class:`_SumPool`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(dy, image, window):
        padded = dy.new_zeros(*dy.shape[: -len(image)], *window.padded(image))
        for tap in window.taps(image):
            padded[tap] += dy
        return padded[window.inside(image)]

    @staticmethod
    def setup_context(ctx, inputs, dx):
        ctx.window = inputs[2]

    @staticmethod
    def backward(ctx, ddx):
        return _SumPool.apply(ddx, ctx.window), None, None


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


def avg_pool2d(
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
    window = _window(input, kernel_size, stride, padding, ceil_mode=ceil_mode)
    total = _SumPool.apply(input, window)
    if divisor_override is not None:
        return total / divisor_override
    return total / _cells(window, input.shape[-2:], input, count_include_pad)


class AvgPool2d(Module):
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
    Raises: RuntimeError for an input of another rank, or for padding over half of the window.
    Source: notes 7.2.
    """

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
        return avg_pool2d(
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
