"""Transposed convolution, the adjoint of a convolution as a layer of its own (notes 7.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ._precision import cast_once
from .conv import _ConvNd, _ConvolveInput, check, steps
from .conv_ways import way_of
from .geometry import Size, Window, margins, tuple_of
from .padding import PaddingMode


def _spread(rank, x, weight, bias, stride, padding, output_padding, groups, dilation) -> Tensor:
    """Any number of axes. The window slides over the output; x holds one number per position."""
    if isinstance(padding, str):
        raise TypeError(f"padding must be integers, got {padding!r}")
    (x, weight, bias), context = cast_once(x, weight, bias)
    check(x, weight, bias, groups, rank, transposed=True)
    stride, dilation = steps(stride, dilation, rank)
    kernel, unseen = tuple(weight.shape[2:]), tuple_of(output_padding, rank, "output_padding")
    for extra, s, d in zip(unseen, stride, dilation, strict=True):
        if not 0 <= extra < max(s, d):
            raise RuntimeError(
                f"output_padding must be smaller than either stride or dilation and not negative, "
                f"got output_padding={unseen}, stride={stride} and dilation={dilation}"
            )
    pads = margins(padding, kernel, stride, dilation)
    # output_padding: pixels at the far edge that the window does not reach
    reach = tuple((p, p - extra) for (p, _), extra in zip(pads, unseen, strict=True))
    window = Window(kernel, stride, reach, dilation)
    image = tuple(
        (n - 1) * s + window.extent(axis) - before - after
        for axis, (n, s, (before, after)) in enumerate(
            zip(x.shape[-rank:], stride, reach, strict=True)
        )
    )
    if min(image) < 1:
        raise RuntimeError(
            f"output of size {image} is too small, for an input of {tuple(x.shape)} and {padding=}"
        )
    batched = x.dim() == rank + 2
    with context:
        x = x if batched else x.unsqueeze(0)
        way = way_of(x, weight, image, window, groups)
        y = _ConvolveInput.apply(x, weight, bias, image, way, window, groups)
    return y if batched else y.squeeze(0)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """See :class:`ConvTranspose1d`."""
    return _spread(1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """See :class:`ConvTranspose2d`."""
    return _spread(2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor:
    """See :class:`ConvTranspose3d`."""
    return _spread(3, input, weight, bias, stride, padding, output_padding, groups, dilation)


class _ConvTranspose(_ConvNd):
    """A transposed convolution of any rank."""

    transposed = True
    padding: tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: PaddingMode = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        if padding_mode != "zeros":
            raise ValueError(f"padding_mode must be 'zeros' here, got {padding_mode!r}")
        if isinstance(padding, str):
            raise TypeError(f"padding must be integers, got {padding!r}")
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            device=device,
            dtype=dtype,
        )
        self.output_padding = tuple_of(output_padding, self.rank, "output_padding")

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return _spread(
            self.rank,
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self._output_padding(input, output_size),
            self.groups,
            self.dilation,
        )

    def _output_padding(self, input: Tensor, output_size: Sequence[int] | None) -> tuple[int, ...]:
        """What to add to the smallest output to make it as large as wanted."""
        if output_size is None:
            return self.output_padding
        leading = 2 if input.dim() == self.rank + 2 else 1
        wanted, image = tuple(output_size), input.shape[leading:]
        if len(wanted) == leading + self.rank:
            wanted = wanted[leading:]
        if len(wanted) != self.rank:
            raise ValueError(
                f"output_size must have {self.rank} or {leading + self.rank} elements, got {wanted}"
            )
        sides = zip(image, self.kernel_size, self.stride, self.padding, self.dilation, strict=True)
        least = tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in sides)
        extra = tuple(size - low for size, low in zip(wanted, least, strict=True))
        if any(not 0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            most = tuple(low + s - 1 for low, s in zip(least, self.stride, strict=True))
            raise ValueError(f"output_size must be from {least} to {most}, got {wanted}")
        return extra


class ConvTranspose1d(_ConvTranspose):
    r"""Lay a filter along a sequence for every input, weighted by it, and add up.

    .. math:: y_{n,\,o,\,p} = b_o + \sum_{c,\; sl + i = p} w_{coi}\, x_{ncl}

    Everything else is as in :class:`ConvTranspose2d`.

    Shape: ``(N, C, L)`` or ``(C, L)`` to ``(N, O, L')`` or ``(O, L')``.
    Source: notes 7.2, upsampling.
    """

    rank = 1


class ConvTranspose2d(_ConvTranspose):
    r"""Lay O filters over the output for every pixel of the input, weighted by it, and add up.

    .. math::
        y = b + \mathrm{col}^\top(w^\top x), \quad\text{that is}\quad
        y_{n,\,o,\,p} = b_o + \sum_{cij,\; (sh + i,\, sw + j) = p} w_{coij}\, x_{nchw}

    (for one group and no dilation). It is what :class:`Conv2d` does to a gradient: its stride
    spreads the input out, so it enlarges images where a convolution shrinks them. It undoes the
    shape of a convolution of the same arguments, not its values.

    Args:
        in_channels: C, channels of the input.
        out_channels: O, channels of the output.
        kernel_size: cells of a filter, one number or one per axis.
        stride: pixels of the output from one input to the next.
        padding: pixels to take away on each side of the output.
        output_padding: pixels to add to its far edge, which see the bias alone unless ``padding``
            had taken them away: a strided convolution maps several sizes to one, and this says
            which of them it was.
        groups: blocks of channels that do not see each other.
        bias: add one learned number per filter.
        dilation: pixels from one cell of a filter to the next.
        padding_mode: only ``zeros``.
        device: where the parameters live.
        dtype: their type.

    The call takes an ``output_size`` too, which sets ``output_padding`` for that call.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)`` to ``(N, O, H', W')`` or ``(O, H', W')`` with
        ``H' = (H - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + 1 + output_padding``.
    Raises: RuntimeError for an input of another rank, with other channels, or of which nothing
        remains, and for an ``output_padding`` that reaches both stride and dilation; ValueError for
        another ``padding_mode`` and for an ``output_size`` that no ``output_padding`` gives.
    Source: notes 7.2, upsampling.
    """

    rank = 2


class ConvTranspose3d(_ConvTranspose):
    r"""Lay a filter into a volume for every input, weighted by it, and add up.

    .. math:: y_{n,\,o,\,p} = b_o + \sum_{ckij,\; (sd + k,\, sh + i,\, sw + j) = p}
        w_{cokij}\, x_{ncdhw}

    Everything else is as in :class:`ConvTranspose2d`.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)`` to ``(N, O, D', H', W')`` or ``(O, D', H', W')``.
    Source: notes 7.2, upsampling.
    """

    rank = 3
