"""Undoing max pooling: the maxima go back to their places, among zeros (notes 7.2)."""

from collections.abc import Sequence
from functools import partial
from math import prod

import torch
from torch import Tensor
from torch.nn import Module

from .fold import channels_last
from .geometry import Size, tuple_of
from .pooling import checked


def _image(
    pooled: Sequence[int],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    output_size: Sequence[int] | None,
) -> tuple[int, ...]:
    """The size of the image that was pooled: of all that may have been, the wanted or the least.

    Raises: ValueError for a size that cannot have been pooled so.
    """
    geometry = zip(pooled, kernel, stride, padding, strict=True)
    sizes = tuple((n - 1) * s + k - 2 * p for n, k, s, p in geometry)
    if output_size is not None:
        wanted = tuple(output_size)
        wanted = wanted[2:] if len(wanted) == len(kernel) + 2 else wanted
        if len(wanted) != len(kernel):
            raise ValueError(f"expected output_size of {len(kernel)} integers, got {output_size}")
        if any(abs(m - n) >= s for m, n, s in zip(wanted, sizes, stride, strict=True)):
            raise ValueError(f"output_size must be within {stride} of {sizes}, got {output_size}")
        sizes = wanted
    if any(n < 0 for n in sizes):
        raise ValueError(f"the image would have a negative size: {sizes}")
    return sizes


def _max_unpool(
    rank: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """See :class:`MaxUnpool2d`."""
    kernel, pads = tuple_of(kernel_size, rank, "kernel_size"), tuple_of(padding, rank, "padding")
    steps = kernel if stride is None else tuple_of(stride, rank, "stride")
    x = checked(input, rank, 1, listed=True)
    image = _image(x.shape[-rank:], kernel, steps, pads, output_size)
    if indices.dtype != torch.int64:
        raise RuntimeError(f"indices must be int64, got {indices.dtype}")
    if indices.shape != x.shape:
        raise RuntimeError(f"indices of size {tuple(indices.shape)} for a {tuple(x.shape)} input")
    inner = rank == 2 and channels_last(x)  # the output of two axes lies in memory as the input
    values, places = (t.flatten(-rank).mT if inner else t.flatten(-rank) for t in (x, indices))
    axis = -2 if inner else -1
    shape = list(values.shape)
    shape[axis] = prod(image)
    y = x.new_zeros(shape).scatter(axis, places, values)
    return (y.mT if inner else y).unflatten(-1, image)


max_unpool1d, max_unpool2d, max_unpool3d = (partial(_max_unpool, rank) for rank in (1, 2, 3))


class _MaxUnpoolNd(Module):
    """What max unpooling of every rank shares: everything but the rank."""

    rank: int

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0):
        super().__init__()
        self.kernel_size = tuple_of(kernel_size, self.rank, "kernel_size")
        self.stride = self.kernel_size if stride is None else tuple_of(stride, self.rank, "stride")
        self.padding = tuple_of(padding, self.rank, "padding")

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        return _max_unpool(
            self.rank, input, indices, self.kernel_size, self.stride, self.padding, output_size
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpoolNd):
    """Put every maximum back to its place, among zeros: :class:`MaxUnpool2d` on one axis.

    Shape: ``(N, C, L)`` or ``(C, L)``, the indices alike, to the same rank.
    Raises: as :class:`MaxUnpool2d`.
    Source: notes 7.2.
    """

    rank = 1


class MaxUnpool2d(_MaxUnpoolNd):
    r"""Put every maximum back to the place that :class:`MaxPool2d` took it from, among zeros.

    .. math:: y_{\text{index}_p} = x_p, \qquad \mathrm{d}x_p = \mathrm{d}y_{\text{index}_p}

    Args:
        kernel_size: pixels of the window that pooled, one number or one per axis.
        stride: pixels from one window to the next; default ``kernel_size``.
        padding: pixels that were added on each side.

    The call takes the maxima, their indices, and an ``output_size`` that tells apart the images
    that pool to the same size; without it the image is the least one that the windows cover.
    Windows that overlap may have one maximum in common. Then the last of them is written, and each
    gets the whole gradient, as in torch on the CPU; no gradient check passes there.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)``, the indices alike, to the same rank with H' =
        (H - 1) stride - 2 padding + kernel.
    Raises: RuntimeError for an input of another rank, or for indices of another size or type than
        they must have, or that lie outside the image; ValueError for an ``output_size`` that no
        such pooling starts from; NotImplementedError for integer inputs.
    Source: notes 7.2.
    """

    rank = 2


class MaxUnpool3d(_MaxUnpoolNd):
    """Put every maximum back to its place, among zeros: :class:`MaxUnpool2d` on three axes.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)``, the indices alike, to the same rank.
    Raises: as :class:`MaxUnpool2d`.
    Source: notes 7.2.
    """

    rank = 3
