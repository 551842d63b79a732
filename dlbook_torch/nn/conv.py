"""Convolution via unfold (notes 7.1).

Letters: N images, C channels in, O filters, G groups, K cells of a kernel, L window positions.
"""

from typing import Any, get_args

import torch
from torch import Tensor
from torch.nn import Parameter

from . import conv_ways
from ._fast import Function
from ._precision import cast_once
from .algorithm import chosen
from .conv_ways import WAYS, opaque, way_of
from .geometry import Size, Window, margins, tuple_of
from .linear import Weighted
from .padding import PaddingMode, extend

# Convolution is linear in x and in w. With the inner product of its output and some dy it makes one
# number, F(x, w, dy) = <conv(x, w), dy>, and the three functions below are the derivatives of F by
# dy, by x and by w. So the backward of each one consists of the other two, to any order.


class _Convolve(Function):
    """y = w * x + b: dF/d(dy)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, weight, bias, way, window, groups):
        return WAYS[way].convolve(x, weight, bias, window, groups)

    @staticmethod
    def setup_context(ctx, inputs, y):
        x, weight, _, *ctx.how = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        dx, dw, db, *_ = ctx.needs_input_grad
        recorded = torch.is_grad_enabled() or torch.compiler.is_compiling()
        at_once = getattr(WAYS[ctx.how[0]], "gradients", None)
        if at_once and not recorded:  # nobody differentiates them, so they may share their work
            return *at_once(x, weight, dy, *ctx.how[1:], (dx, dw, db)), None, None, None
        return (
            _ConvolveInput.apply(dy, weight, None, x.shape[2:], *ctx.how) if dx else None,
            _ConvolveWeight.apply(x, dy, *ctx.how) if dw else None,
            dy.sum((0, *range(2, dy.dim()))) if db else None,
            None,
            None,
            None,
        )


class _ConvolveInput(Function):
    """dx = w, turned round, * dy: dF/dx. As a layer, with a bias, a transposed convolution."""

    generate_vmap_rule = True

    @staticmethod
    def forward(dy, weight, bias, image, way, window, groups):
        return WAYS[way].convolve_input(dy, weight, bias, image, window, groups)

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
            None,
        )


class _ConvolveWeight(Function):
    """dw = dy times what each weight met: dF/dw."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, dy, way, window, groups):
        return WAYS[way].convolve_weight(x, dy, window, groups)

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


def _window(rank, x, weight, bias, stride, padding, dilation, groups) -> Window:
    check(x, weight, bias, groups, rank)
    stride, dilation = steps(stride, dilation, rank)
    kernel = tuple(weight.shape[2:])
    return Window(kernel, stride, margins(padding, kernel, stride, dilation), dilation)


def _convolve(rank, x, weight, bias, stride, padding, dilation, groups) -> Tensor:
    (x, weight, bias), context = cast_once(x, weight, bias)
    window = _window(rank, x, weight, bias, stride, padding, dilation, groups)
    batched = x.dim() == rank + 2
    x = x if batched else x.unsqueeze(0)
    with context:
        if opaque(x):
            how = (*window.stride, *sum(window.padding, ()), *window.dilation, groups)
            y = conv_ways.convolve(x, weight, bias, how, chosen("convolution"))
        else:
            way = way_of(x, weight, x.shape[2:], window, groups)
            y = _Convolve.apply(x, weight, bias, way, window, groups)
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
        return _convolve(self.rank, *self._operands(input))

    def algorithm(self, input: Tensor) -> str:
        """The way that this input goes: one of the names that ``nn.algorithms`` takes."""
        x, weight, *how = self._operands(input)
        window = _window(self.rank, x, weight, *how)
        x = x if x.dim() == self.rank + 2 else x.unsqueeze(0)
        return way_of(x, weight, x.shape[2:], window, self.groups)

    def _operands(self, input: Tensor) -> tuple[Any, ...]:
        """What :func:`conv2d` takes."""
        padding: Size | str = self.padding
        if self.padding_mode != "zeros":
            around = margins(padding, self.kernel_size, self.stride, self.dilation)
            input, padding = extend(input, around, self.padding_mode), 0
        how = (self.stride, padding, self.dilation, self.groups)
        return input, self.weight, self.bias, *how


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
    cut in pieces, so that what a pass holds beside its result does not grow with them.

    In float32 on a CPU the fastest of several ways is taken, by shape: ``winograd`` for square
    kernels of 3 to 5 on many channels, ``ones`` for few channels and many filters, ``unfold`` for
    the rest; :meth:`algorithm` tells which. Inside
    ``with nn.algorithms(convolution="unfold"):`` (or another of them) all layers go that way, where
    they can; other types and devices always go the plain way, ``unfold``. ``torch.compile`` on a
    CPU looks into float32 convolutions only where ``unfold`` is set, and else calls them as they
    are. All are exact but ``winograd``, whose error is some 2e-6 of the largest answer, 6e-6 for
    kernels of 5 (torch's: 4e-7 and 6e-7), and an infinite pixel makes a tile of answers NaN.

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
