"""Convolution via unfold (notes 7.1).

Letters: N images, C channels in, O filters, G groups, K cells of a kernel, L window positions.
"""

from functools import reduce
from math import prod
from typing import get_args

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import Parameter

from ._precision import cast_once, wide_type
from .fold import apart, channels_last, col2im, im2col, join, side_by_side
from .geometry import Image, Size, Window, margins, tuple_of
from .linear import Weighted
from .padding import PaddingMode, extend

# Images are unfolded a few at a time: what is kept of the columns stays in the cache, and the
# memory of a step does not grow with the batch. One image is unfolded whole, whatever its size.
CHUNK_BYTES = 4 * 2**20


def chunks(image: Image, channels: int, filters: int, window: Window, *batches: Tensor) -> list:
    """Cut batches alike, and small: what a piece needs stays in the cache, whatever the batch.

    Its padded images, its columns and its products each stay under ``CHUNK_BYTES``, or are those of
    a single image. An exported graph is not cut, since it has to serve batches of every size.
    """
    if torch.compiler.is_exporting():
        return [batches]
    cells, positions = prod(window.kernel), prod(window.positions(image))
    padded = prod(window.padded(image))
    numbers = max(channels * cells * positions, channels * padded, filters * positions)
    n = CHUNK_BYTES // max(1, numbers * wide_type(batches[0].dtype).itemsize)
    return list(zip(*[batch.split(max(1, n)) for batch in batches], strict=True))


def exact(t: Tensor) -> Tensor:
    """Half precision on the CPU is computed in single and rounded at the end, as torch does it."""
    return t.to(wide_type(t.dtype)) if t.device.type == "cpu" else t


def filters_of(weight: Tensor, groups: int) -> Tensor:
    """One matrix per group: (O, C/G, *kernel) to (G, O/G, CK/G)."""
    return exact(weight).flatten(1).unflatten(0, (groups, -1))


# Convolution is linear in x and in w. With the inner product of its output and some dy it makes one
# number, F(x, w, dy) = <conv(x, w), dy>, and the three functions below are the derivatives of F by
# dy, by x and by w. So the backward of each one consists of the other two, to any order.


class _Convolve(Function):
    """Filters times columns: dF/d(dy)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, weight, bias, window, groups):
        image, w = x.shape[2:], filters_of(weight, groups)
        b = None if bias is None else exact(bias).unflatten(0, (groups, -1)).unsqueeze(-1)

        def piece(part):
            columns = side_by_side(im2col(exact(part), window, side_by_side=True), groups)
            y = w @ columns if b is None else torch.baddbmm(b, w, columns)  # (G, O/G, NL)
            return apart(y, part.shape[0], window.positions(image))

        parts = chunks(image, x.shape[1], weight.shape[0], window, x)
        return join(piece, parts, x, channels_last(x) or channels_last(weight))

    @staticmethod
    def setup_context(ctx, inputs, y):
        x, weight, _, *ctx.how = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        dx, dw, db, *_ = ctx.needs_input_grad
        return (
            _ConvolveInput.apply(dy, weight, None, x.shape[2:], *ctx.how) if dx else None,
            _ConvolveWeight.apply(x, dy, *ctx.how) if dw else None,
            dy.sum((0, *range(2, dy.dim()))) if db else None,
            None,
            None,
        )


class _ConvolveInput(Function):
    """Filters, transposed, times dy, folded back: dF/dx."""

    generate_vmap_rule = True

    @staticmethod
    def forward(dy, weight, bias, image, window, groups):
        channels, w = weight.shape[1] * groups, filters_of(weight, groups)
        b = None if bias is None else exact(bias).unflatten(0, (-1, *[1] * len(image)))

        def piece(part):
            columns = w.mT @ side_by_side(exact(part).flatten(2), groups)  # (G, CK/G, NL)
            x = col2im(apart(columns, part.shape[0], part.shape[2:]).flatten(2), image, window)
            return x if b is None else x + b

        parts = chunks(image, channels, weight.shape[0], window, dy)
        return join(piece, parts, dy, channels_last(dy) or channels_last(weight))

    @staticmethod
    def setup_context(ctx, inputs, dx):
        dy, weight, _, _, *ctx.how = inputs
        ctx.save_for_backward(dy, weight)

    @staticmethod
    def backward(ctx, ddx):
        dy, weight = ctx.saved_tensors
        ddy, dw, db, *_ = ctx.needs_input_grad
        return (
            _Convolve.apply(ddx, weight, None, *ctx.how) if ddy else None,
            _ConvolveWeight.apply(ddx, dy, *ctx.how) if dw else None,
            ddx.sum((0, *range(2, ddx.dim()))) if db else None,
            None,
            None,
            None,
        )


class _ConvolveWeight(Function):
    """dy times the columns, transposed, summed over the images: dF/dw."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, dy, window, groups):
        def piece(part, dpart):
            columns = side_by_side(im2col(exact(part), window, side_by_side=True), groups)
            return side_by_side(exact(dpart).flatten(2), groups) @ columns.mT  # (G, O/G, CK/G)

        parts = chunks(x.shape[2:], x.shape[1], dy.shape[1], window, x, dy)
        dw = reduce(torch.add, (piece(*part).to(wide_type(x.dtype)) for part in parts))
        return dw.to(x.dtype).flatten(0, 1).unflatten(1, (-1, *window.kernel))

    @staticmethod
    def setup_context(ctx, inputs, dw):
        x, dy, *ctx.how = inputs
        ctx.save_for_backward(x, dy)

    @staticmethod
    def backward(ctx, ddw):
        x, dy = ctx.saved_tensors
        dx, ddy, *_ = ctx.needs_input_grad
        return (
            _ConvolveInput.apply(dy, ddw, None, x.shape[2:], *ctx.how) if dx else None,
            _Convolve.apply(x, ddw, None, *ctx.how) if ddy else None,
            None,
            None,
        )


def check(
    x: Tensor, weight: Tensor, bias: Tensor | None, groups: int, rank: int, transposed: bool = False
) -> None:
    """Raise RuntimeError unless the operands of a convolution fit together."""
    if x.dim() not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input, "
            f"got input of size {tuple(x.shape)}"
        )
    if weight.dim() != rank + 2:
        raise RuntimeError(f"expected {rank + 2}D weight, got weight of size {tuple(weight.shape)}")
    if groups < 1 or len(weight) < groups or len(weight) % groups:
        raise RuntimeError(f"cannot part weight of size {tuple(weight.shape)} in {groups} groups")
    channels, filters = weight.shape[1] * groups, len(weight)
    if transposed:
        channels, filters = filters, channels
    if x.shape[-rank - 1] != channels:
        raise RuntimeError(
            f"expected {channels} input channels, got {x.shape[-rank - 1]} in {tuple(x.shape)}"
        )
    if 0 in (*x.shape[-rank:], *weight.shape[2:]):
        sizes = f"input of size {tuple(x.shape)} and weight of size {tuple(weight.shape)}"
        raise RuntimeError(f"expected at least one pixel, got {sizes}")
    if bias is not None and bias.shape != (filters,):
        raise RuntimeError(f"expected bias of size {(filters,)}, got {tuple(bias.shape)}")
    dtypes = [t.dtype for t in (x, weight, bias) if t is not None]
    if len(set(dtypes)) > 1:
        raise RuntimeError(f"expected input, weight and bias of one type, got {dtypes}")


def steps(stride: Size, dilation: Size, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Stride and dilation per axis. Raises: RuntimeError for one below 1."""
    stride, dilation = tuple_of(stride, rank, "stride"), tuple_of(dilation, rank, "dilation")
    if any(n < 1 for n in (*stride, *dilation)):
        raise RuntimeError(f"stride and dilation must be positive, got {stride} and {dilation}")
    return stride, dilation


def _convolve(rank, x, weight, bias, stride, padding, dilation, groups) -> Tensor:
    (x, weight, bias), context = cast_once(x, weight, bias)
    check(x, weight, bias, groups, rank)
    stride, dilation = steps(stride, dilation, rank)
    kernel = tuple(weight.shape[2:])
    window = Window(kernel, stride, margins(padding, kernel, stride, dilation), dilation)
    batched = x.dim() == rank + 2
    with context:
        y = _Convolve.apply(x if batched else x.unsqueeze(0), weight, bias, window, groups)
    return y if batched else y.squeeze(0)


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """See :class:`Conv1d`."""
    return _convolve(1, input, weight, bias, stride, padding, dilation, groups)


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
    return _convolve(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """See :class:`Conv3d`."""
    return _convolve(3, input, weight, bias, stride, padding, dilation, groups)


class _ConvNd(Weighted):
    """What convolutions of every rank share: the arguments, the filters and their first values."""

    rank: int
    transposed = False

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
        self.output_padding, self.padding_mode = (0,) * self.rank, padding_mode
        if isinstance(padding, str):
            margins(padding, self.kernel_size, self.stride, self.dilation)
        outer, inner = (out_channels, in_channels)[:: -1 if self.transposed else 1]
        shape = (outer, inner // groups, *self.kernel_size)
        self.weight = Parameter(torch.empty(shape, device=device, dtype=dtype))
        shift = Parameter(torch.empty(out_channels, device=device, dtype=dtype)) if bias else None
        self.register_parameter("bias", shift)
        self.reset_parameters()

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}"]
        parts += [f"kernel_size={self.kernel_size}, stride={self.stride}"]
        zeros, ones = (0,) * self.rank, (1,) * self.rank
        plain = dict(padding=zeros, dilation=ones, output_padding=zeros, groups=1)
        parts += [f"{k}={getattr(self, k)}" for k, v in plain.items() if getattr(self, k) != v]
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Conv(_ConvNd):
    """A convolution of any rank: pad, unless with zeros, and convolve."""

    def forward(self, input: Tensor) -> Tensor:
        padding: Size | str = self.padding
        if self.padding_mode != "zeros":
            around = margins(padding, self.kernel_size, self.stride, self.dilation)
            input, padding = extend(input, around, self.padding_mode), 0
        return _convolve(
            self.rank,
            input,
            self.weight,
            self.bias,
            self.stride,
            padding,
            self.dilation,
            self.groups,
        )


class Conv1d(_Conv):
    r"""Slide O filters along a sequence; an output is the inner product of one filter and a window.

    .. math:: y_{nol} = b_o + \sum_{ci} w_{oci}\, x_{n,\,c,\,sl + i}

    Everything else is as in :class:`Conv2d`.

    Shape: ``(N, C, L)`` or ``(C, L)`` to ``(N, O, L')`` or ``(O, L')``.
    Source: notes 7.1.
    """

    rank = 1


class Conv2d(_Conv):
    r"""Slide O filters over the image; an output is the inner product of one filter and one window.

    .. math::
        y_{nohw} = b_o + \sum_{cij} w_{ocij}\, x_{n,\,c,\,sh + i,\,sw + j}, \qquad
        \mathrm{d}w = \mathrm{d}y\, \mathrm{col}(x)^\top, \quad
        \mathrm{d}x = \mathrm{col}^\top(w^\top \mathrm{d}y)

    (written for one group and no dilation). It is a cross-correlation: the filter is not flipped.
    Only the input and the filters are kept for the backward pass, which unfolds anew. Batches are
    cut in pieces: beside its result a pass holds at most 12 MiB, or three times the columns of one
    image.

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


class Conv3d(_Conv):
    r"""Slide O filters through a volume; an output is the inner product of one filter and a window.

    .. math:: y_{nodhw} = b_o + \sum_{ckij} w_{ockij}\, x_{n,\,c,\,sd + k,\,sh + i,\,sw + j}

    Everything else is as in :class:`Conv2d`.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)`` to ``(N, O, D', H', W')`` or ``(O, D', H', W')``.
    Source: notes 7.1.
    """

    rank = 3
