"""Convolution via unfold (notes 7.1).

Letters: N images, C channels in, O filters, G groups, K cells of a kernel, L window positions.
"""

from collections.abc import Iterator
from functools import reduce
from math import prod
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.autograd import Function

from ._autocast import cast
from .geometry import Image, Size, Window, tuple_of
from .linear import Weighted

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]

# Images are unfolded a few at a time: what is kept of the columns stays in the cache, and the
# memory of a step does not grow with the batch. One image is unfolded whole, whatever its size.
CHUNK_BYTES = 4 * 2**20


def im2col(x: Tensor, window: Window) -> Tensor:
    """Lay every window of the image out as one column: (N, C, *image) to (N, CK, L)."""
    image = x.shape[2:]
    padded = x.new_zeros(*x.shape[:2], *window.padded(image))
    padded[window.inside(image)] = x
    columns = x.new_empty(*x.shape[:2], prod(window.kernel), *window.positions(image))
    for k, tap in enumerate(window.taps(image)):
        columns[:, :, k] = padded[tap]
    return columns.flatten(3).flatten(1, 2)


def col2im(columns: Tensor, image: Image, window: Window) -> Tensor:
    """The adjoint of :func:`im2col`: add every column back into the window it came from."""
    columns = columns.unflatten(1, (-1, prod(window.kernel)))
    columns = columns.unflatten(3, window.positions(image))
    padded = columns.new_zeros(*columns.shape[:2], *window.padded(image))
    for k, tap in enumerate(window.taps(image)):
        padded[tap] += columns[:, :, k]
    return padded[window.inside(image)]


def chunks(image: Image, channels: int, window: Window, *batches: Tensor) -> Iterator:
    """Cut batches alike, so that the columns of one piece stay under ``CHUNK_BYTES``."""
    column = channels * prod(window.kernel) * prod(window.positions(image))
    n = max(1, CHUNK_BYTES // max(1, column * batches[0].element_size()))
    return zip(*(batch.split(n) for batch in batches), strict=True)


# Convolution is linear in x and in w. With the inner product of its output and some dy it makes one
# number, F(x, w, dy) = <conv(x, w), dy>, and the three functions below are the derivatives of F by
# dy, by x and by w. So the backward of each one consists of the other two, to any order.


class _Convolve(Function):
    """Filters times columns: dF/d(dy)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, weight, bias, window, groups):
        image, w = x.shape[2:], weight.flatten(1).unflatten(0, (groups, -1))  # (G, O/G, CK/G)
        out = []
        for (part,) in chunks(image, x.shape[1], window, x):
            y = w @ im2col(part, window).unflatten(1, (groups, -1))  # (N, G, O/G, L)
            y = y.flatten(1, 2)
            out.append(y if bias is None else y.add_(bias.unsqueeze(-1)))
        return torch.cat(out).unflatten(2, window.positions(image))

    @staticmethod
    def setup_context(ctx, inputs, y):
        x, weight, _, *ctx.how = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        dx, dw, db, *_ = ctx.needs_input_grad
        return (
            _ConvolveInput.apply(dy, weight, x.shape[2:], *ctx.how) if dx else None,
            _ConvolveWeight.apply(x, dy, *ctx.how) if dw else None,
            dy.flatten(2).sum((0, 2)) if db else None,
            None,
            None,
        )


class _ConvolveInput(Function):
    """Filters, transposed, times dy, folded back: dF/dx."""

    generate_vmap_rule = True

    @staticmethod
    def forward(dy, weight, image, window, groups):
        w, channels = weight.flatten(1).unflatten(0, (groups, -1)), weight.shape[1] * groups
        out = []
        for (part,) in chunks(image, channels, window, dy):
            columns = w.mT @ part.flatten(2).unflatten(1, (groups, -1))  # (N, G, CK/G, L)
            out.append(col2im(columns.flatten(1, 2), image, window))
        return torch.cat(out)

    @staticmethod
    def setup_context(ctx, inputs, dx):
        dy, weight, _, *ctx.how = inputs
        ctx.save_for_backward(dy, weight)

    @staticmethod
    def backward(ctx, ddx):
        dy, weight = ctx.saved_tensors
        return (
            _Convolve.apply(ddx, weight, None, *ctx.how),
            _ConvolveWeight.apply(ddx, dy, *ctx.how),
            None,
            None,
            None,
        )


class _ConvolveWeight(Function):
    """dy times the columns, transposed, summed over the images: dF/dw."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, dy, window, groups):
        dw = (
            (dpart.flatten(2).unflatten(1, (groups, -1)) @ columns.mT).sum(0)  # (G, O/G, CK/G)
            for part, dpart in chunks(x.shape[2:], x.shape[1], window, x, dy)
            for columns in [im2col(part, window).unflatten(1, (groups, -1))]
        )
        return reduce(torch.add, dw).flatten(0, 1).unflatten(1, (-1, *window.kernel))

    @staticmethod
    def setup_context(ctx, inputs, dw):
        x, dy, *ctx.how = inputs
        ctx.save_for_backward(x, dy)

    @staticmethod
    def backward(ctx, ddw):
        x, dy = ctx.saved_tensors
        return (
            _ConvolveInput.apply(dy, ddw, x.shape[2:], *ctx.how),
            _Convolve.apply(x, ddw, None, *ctx.how),
            None,
            None,
        )


def margins(
    padding: int | tuple[int, ...] | str,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    """Pixels to add before and after each axis; ``"same"`` puts the odd one after.

    Raises: ValueError for another string, or for ``"same"`` with a stride.
    """
    if padding == "valid":
        padding = 0
    if padding == "same":
        if any(s != 1 for s in stride):
            raise ValueError(f"padding='same' is not supported with a stride, got {stride}")
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    if isinstance(padding, str):
        raise ValueError(f"padding must be 'same', 'valid' or integers, got {padding!r}")
    sizes = tuple_of(padding, len(kernel), "padding")
    if any(p < 0 for p in sizes):
        raise RuntimeError(f"negative padding is not supported, got {padding}")
    return tuple((p, p) for p in sizes)


def extend(x: Tensor, padding: tuple[tuple[int, int], ...], mode: PaddingMode) -> Tensor:
    """Surround every image with copies of its own pixels: mirrored, repeated or wrapped around."""
    for axis, (before, after) in enumerate(padding, x.dim() - len(padding)):
        n = x.shape[axis]
        if mode != "replicate" and max(before, after) > n - (mode == "reflect"):
            raise RuntimeError(f"{mode} padding of {(before, after)} is too wide for {n} pixels")
        index = torch.arange(-before, n + after, device=x.device)
        if mode == "replicate":
            index = index.clamp(0, n - 1)
        elif mode == "circular":
            index = index % n
        else:
            index = (n - 1) - ((n - 1) - index.abs()).abs()
        x = x.index_select(axis, index)
    return x


def _convolve(x, weight, bias, stride, padding, dilation, groups) -> Tensor:
    """Any number of axes: as many as the weight has behind its filters and channels."""
    rank, channels = weight.dim() - 2, weight.shape[1] * groups
    if x.dim() not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input, "
            f"got input of size {tuple(x.shape)}"
        )
    if x.shape[-rank - 1] != channels:
        raise RuntimeError(
            f"expected {channels} input channels, got {x.shape[-rank - 1]} in {tuple(x.shape)}"
        )
    kernel = tuple(weight.shape[2:])
    stride = tuple_of(stride, rank, "stride")
    dilation = tuple_of(dilation, rank, "dilation")
    if any(n < 1 for n in (*stride, *dilation)):
        raise RuntimeError(f"stride and dilation must be positive, got {stride} and {dilation}")
    window = Window(kernel, stride, margins(padding, kernel, stride, dilation), dilation)
    batched = x.dim() == rank + 2
    x, weight, bias = cast(x if batched else x.unsqueeze(0), weight, bias)
    y = _Convolve.apply(x, weight, bias, window, groups)
    return y if batched else y.squeeze(0)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """See :class:`Conv2d`."""
    return _convolve(input, weight, bias, stride, padding, dilation, groups)


class _ConvNd(Weighted):
    """What convolutions of every rank share: the arguments, the filters and their first values."""

    rank: int

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: PaddingMode = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        if groups <= 0:
            raise ValueError(f"groups must be a positive integer, got {groups}")
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"in_channels={in_channels} and out_channels={out_channels} must be divisible "
                f"by groups={groups}"
            )
        if padding_mode not in get_args(PaddingMode):
            modes = ", ".join(get_args(PaddingMode))
            raise ValueError(f"padding_mode must be one of {modes}, got {padding_mode!r}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = tuple_of(kernel_size, self.rank, "kernel_size")
        self.stride = tuple_of(stride, self.rank, "stride")
        self.dilation = tuple_of(dilation, self.rank, "dilation")
        self.padding: tuple[int, ...] | str = (
            padding if isinstance(padding, str) else tuple_of(padding, self.rank, "padding")
        )
        self.transposed, self.output_padding = False, (0,) * self.rank
        self.padding_mode = padding_mode
        margins(self.padding, self.kernel_size, self.stride, self.dilation)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self._create(shape, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        padding: Size | str = self.padding
        if self.padding_mode != "zeros":
            around = margins(padding, self.kernel_size, self.stride, self.dilation)
            input, padding = extend(input, around, self.padding_mode), 0
        return _convolve(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}"]
        parts += [f"kernel_size={self.kernel_size}, stride={self.stride}"]
        plain = dict(padding=(0,) * self.rank, dilation=(1,) * self.rank, groups=1)
        parts += [f"{k}={getattr(self, k)}" for k, v in plain.items() if getattr(self, k) != v]
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class Conv2d(_ConvNd):
    r"""Slide O filters over the image; an output is the inner product of one filter and one window.

    .. math::
        y_{nohw} = b_o + \sum_{cij} w_{ocij}\, x_{n,\,c,\,sh + i,\,sw + j}, \qquad
        \mathrm{d}w = \mathrm{d}y\, \mathrm{col}(x)^\top, \quad
        \mathrm{d}x = \mathrm{col}^\top(w^\top \mathrm{d}y)

    (written for one group and no dilation). It is a cross-correlation: the filter is not flipped.
    Only the input and the filters are kept for the backward pass, which unfolds anew; the columns
    in memory at one time stay under 4 MiB or one image's, whichever is larger.

    Args:
        in_channels: C, channels of the image.
        out_channels: O, filters.
        kernel_size: cells of a filter, one number or one per axis.
        stride: pixels from one window to the next.
        padding: pixels added on each side, ``"valid"`` (none) or ``"same"`` (output as the input).
        dilation: pixels from one cell of a filter to the next.
        groups: blocks of channels that do not see each other.
        bias: add one learned number per filter.
        padding_mode: what the added pixels hold: ``zeros``, ``reflect``, ``replicate``,
            ``circular``.
        device: where the parameters live.
        dtype: their type.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)`` to ``(N, O, H', W')`` or ``(O, H', W')``, H' by
        :func:`~dlbook_torch.nn.geometry.output_size`.
    Raises: RuntimeError for an input of another rank, with other channels, or smaller than the
        kernel; ValueError for arguments that fit no input.
    Source: notes 7.1.
    """

    rank = 2
