"""Pooling that is told the size of its output, not that of its windows (notes 7.2).

Along an axis of n pixels, window i of m begins at pixel floor(i n / m) and ends before pixel
ceil((i + 1) n / m). Where m does not divide n, windows share pixels and differ in size.
"""

from collections.abc import Iterator, Sequence
from functools import partial, reduce
from math import gcd

import torch
from torch import Tensor
from torch.nn import Module

from ._fast import Function
from ._precision import wide
from .geometry import Index
from .pooling import OfImages, checked, duel, innermost, pieces

OutputSize = int | Sequence[int | None]


def _sizes(rank: int, output_size: OutputSize, x: Tensor) -> tuple[int, ...]:
    """One size per axis; None, which torch takes from two axes on, keeps the size of the input."""
    sizes = (output_size,) * rank if isinstance(output_size, int) else output_size
    if not isinstance(sizes, Sequence) or (rank == 1 and None in sizes):
        raise TypeError(f"output_size must be an integer or one per axis, got {output_size}")
    if len(sizes) != rank:
        raise RuntimeError(f"expected output_size of {rank} integers, got {output_size}")
    if any(m is not None and m < 0 for m in sizes):
        raise RuntimeError(f"output_size must not be negative, got {output_size}")
    return tuple(n if m is None else m for m, n in zip(sizes, x.shape[-rank:], strict=True))


def _windows(n: int, m: int, device: torch.device) -> Tensor:
    """The pixels of m windows over n, one column each, in the order of :func:`_knockout`.

    A window that is too short repeats its last pixel.
    """
    longest, order = max(-(-(i + 1) * n // m) - i * n // m for i in range(m)), [0]
    while len(order) < longest:
        order = [2 * i for i in order] + [2 * i + 1 for i in order]
    i = torch.arange(m, device=device)
    first, last = i * n // m, ((i + 1) * n - 1) // m
    return torch.minimum(first + torch.tensor(order, device=device).unsqueeze(1), last)


def _sweep(n: int, m: int, axis: int) -> Iterator[tuple[Index, list[Index]]]:
    """Windows along an axis that lie evenly spaced: which they are, and the pixels of each cell.

    Window i + m / g begins n / g pixels behind window i, for g = gcd(n, m).
    """
    others = (slice(None),) * (-axis - 1)
    each, stride = m // gcd(n, m), n // gcd(n, m)
    for i in range(each):
        cells = [
            (..., slice(first, first + n - stride + 1, stride), *others)
            for first in range(i * n // m, -(-(i + 1) * n // m))
        ]
        yield (..., slice(i, m, each), *others), cells


class _Sums(Function):
    """The sums of m windows over n pixels, along one axis counted from the last.

    Pixel p lies in the windows floor(p m / n) to ceil((p + 1) m / n) - 1: the adjoint is the same
    with n and m exchanged.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x, axis, m):
        shape = list(x.shape)
        shape[axis] = m
        y = x.new_empty(shape)
        for windows, (first, *others) in _sweep(x.shape[axis], m, axis):
            y[windows] = x[first]
            for pixels in others:
                y[windows] += x[pixels]
        return y

    @staticmethod
    def setup_context(ctx, inputs, y):
        x, ctx.axis, _ = inputs
        ctx.n = x.shape[ctx.axis]

    @staticmethod
    def backward(ctx, dy):
        return _Sums.apply(dy, ctx.axis, ctx.n), None, None


def _means(x: Tensor, axis: int, m: int) -> Tensor:
    """The means of m windows along one axis, counted from the last."""
    n = x.shape[axis]
    if m and n % m == 0:
        return x.unflatten(axis, (m, n // m)).mean(axis)
    i = torch.arange(m, device=x.device)
    count = ((i + 1) * n + m - 1) // max(m, 1) - i * n // max(m, 1)
    return _Sums.apply(x, axis, m) / count.view(-1, *[1] * (-axis - 1))


def _adaptive_avg_pool(rank: int, input: Tensor, output_size: OutputSize) -> Tensor:
    """See :class:`AdaptiveAvgPool2d`."""
    x = checked(input, rank, -rank if rank < 3 else 1)
    inner = innermost(x, rank)
    y = wide(x).movedim(inner, -1)  # channels last: a reduction lays out its result afresh
    for axis, m in enumerate(_sizes(rank, output_size, x), -rank):
        y = _means(y, axis - (inner != -1), m)
    return y.movedim(-1, inner).to(x.dtype)


def _maxima(x: Tensor, m: int) -> Tensor:
    """The maxima of m windows along the last axis."""
    n = x.shape[-1]
    if n % m == 0:
        return x.unflatten(-1, (m, n // m)).amax(-1)
    y = x.new_empty(*x.shape[:-1], m)
    for images, maxima in pieces(x, y):
        for windows, cells in _sweep(n, m, -1):
            maxima[windows] = reduce(torch.maximum, [images[pixels] for pixels in cells])
    return y


def _knockout(x: Tensor, place: Tensor, axis: int, cells: int) -> tuple[Tensor, Tensor]:
    """The largest cell of every window along an axis, and its place: one half against the other.

    The windows stand side by side: first a cell of each, then another cell of each, and so on, such
    that neighbours meet first; the order of 8 cells is 0, 4, 2, 6, 1, 5, 3, 7.
    """
    m = x.shape[axis] // cells
    while cells > 1:
        cells //= 2
        (left, right), (near, far) = (
            [t.narrow(axis, start, cells * m) for start in (0, cells * m)] for t in (x, place)
        )
        x, larger = duel(left.clone(), right.clone())
        place = torch.maximum(near, larger.to(place.dtype).mul_(far))
    return x, place


def _places(x: Tensor, y: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """The flat index of the largest pixel of every window: first its row, then its place in it.

    y is the maxima within each row, as :func:`_maxima` finds them.
    """
    n, m, rank = x.shape[-1], sizes[-1], len(sizes)
    row, below = torch.zeros((), dtype=torch.int32, device=x.device), 1
    for axis in range(-2, -rank - 1, -1):
        cells = _windows(x.shape[axis], sizes[axis], x.device)
        pixels = cells.flatten()
        row = row.index_select(axis, pixels) if below > 1 else row
        row = row + (pixels * below).int().view(-1, *[1] * (-axis - 1))
        y, row = _knockout(y.index_select(axis, pixels), row, axis, len(cells))
        below *= x.shape[axis]
    row = row.long().expand(y.shape) * n
    cells = _windows(n, m, x.device)
    index = (row.unsqueeze(-2) + cells).flatten(-2)
    y = x.flatten(-rank).gather(-1, index.flatten(-rank)).view(index.shape)
    return row + _knockout(y, cells.flatten().int().expand(y.shape), -1, len(cells))[1]


class _Places(OfImages):
    """The flat index of the largest pixel of every window, for all images."""

    @staticmethod
    def forward(x, sizes):
        index = x.new_empty(*x.shape[: -len(sizes)], *sizes, dtype=torch.int64)
        for maxima, images, places in pieces(_maxima(x, sizes[-1]), x, index):
            places.copy_(_places(images, maxima, sizes))
        return index

    @staticmethod
    def setup_context(ctx, inputs, index):
        pass  # an index has no gradient


def _adaptive_max_pool(
    rank: int, input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """See :class:`AdaptiveMaxPool2d`."""
    x = checked(input, rank, 1)
    sizes = _sizes(rank, output_size, x)
    if 0 in sizes:
        nothing = x.flatten(-rank)[..., :0].unflatten(-1, sizes)
        return (nothing, nothing.detach().long()) if return_indices else nothing
    index = _Places.apply(x.detach(), sizes)
    if innermost(x, rank) == -1:
        y = x.flatten(-rank).gather(-1, index.flatten(-rank))
    else:  # channels last
        y = x.flatten(-rank).mT.gather(-2, index.flatten(-rank).mT).mT
    y = y.unflatten(-1, sizes)
    return (y, index) if return_indices else y


def _adaptive_max_pool_with_indices(
    rank: int, input: Tensor, output_size: OutputSize, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """See :class:`AdaptiveMaxPool2d`: its output, and the flat index of every maximum."""
    y, index = _adaptive_max_pool(rank, input, output_size, return_indices=True)
    return y, index


adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (
    partial(_adaptive_avg_pool, rank) for rank in (1, 2, 3)
)
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (
    partial(_adaptive_max_pool, rank) for rank in (1, 2, 3)
)
(
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d_with_indices,
) = (partial(_adaptive_max_pool_with_indices, rank) for rank in (1, 2, 3))


class _AdaptiveAvgPoolNd(Module):
    """What adaptive average pooling of every rank shares: everything but the rank."""

    rank: int

    def __init__(self, output_size: OutputSize):
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return _adaptive_avg_pool(self.rank, input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """Pool the means of as many windows as are asked for: :class:`AdaptiveAvgPool2d` on one axis.

    Shape: ``(N, C, L)`` or ``(C, L)`` to ``(N, C, output_size)`` or ``(C, output_size)``.
    Raises: as :class:`AdaptiveAvgPool2d`; also TypeError for an ``output_size`` of None.
    Source: notes 7.2.
    """

    rank = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    r"""Pool the means of as many windows as are asked for, whatever the size of the image.

    .. math:: y_{ij} = \frac{1}{|R_i|\,|C_j|} \sum_{h \in R_i} \sum_{w \in C_j} x_{hw}, \qquad
        R_i = \left[\left\lfloor \tfrac{i H}{H'} \right\rfloor,
        \left\lceil \tfrac{(i + 1) H}{H'} \right\rceil\right)

    The mean of a box is the mean of its rows' means, so it is taken axis by axis. A size of 1 is
    the mean of the whole image (global average pooling).

    Args:
        output_size: H', W', or one number for both; None keeps the size of the input.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)`` to ``(N, C, H', W')`` or ``(C, H', W')``.
    Raises: RuntimeError for an input of another rank, for an empty image, or for sizes that are
        negative or too many; NotImplementedError for integers.
    Source: notes 7.2.
    """

    rank = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """Pool the means of as many windows as are asked for: :class:`AdaptiveAvgPool2d` on three axes.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)`` to the same rank.
    Raises: as :class:`AdaptiveAvgPool2d`; also RuntimeError for a batch without channels.
    Source: notes 7.2.
    """

    rank = 3


class _AdaptiveMaxPoolNd(Module):
    """What adaptive max pooling of every rank shares: everything but the rank."""

    rank: int

    def __init__(self, output_size: OutputSize, return_indices: bool = False):
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return _adaptive_max_pool(self.rank, input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """Pool the maxima of as many windows as are asked for: :class:`AdaptiveMaxPool2d` on one axis.

    Shape: ``(N, C, L)`` or ``(C, L)`` to ``(N, C, output_size)`` or ``(C, output_size)``.
    Raises: as :class:`AdaptiveMaxPool2d`; also TypeError for an ``output_size`` of None.
    Source: notes 7.2.
    """

    rank = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    r"""Pool the maxima of as many windows as are asked for, whatever the size of the image.

    .. math:: y_{ij} = \max_{h \in R_i,\, w \in C_j} x_{hw}

    over the windows of :class:`AdaptiveAvgPool2d`. They are copied side by side, a short one with
    its last pixel repeated, and pooled as by :class:`MaxPool2d`, with the same rule for ties.

    Args:
        output_size: H', W', or one number for both; None keeps the size of the input.
        return_indices: also return the flat index of each maximum, for :class:`MaxUnpool2d`.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)`` to ``(N, C, H', W')`` or ``(C, H', W')``.
    Raises: RuntimeError for an input of another rank, or empty but for its first axis, or for
        sizes that are negative or too many; NotImplementedError for integers.
    Source: notes 7.2.
    """

    rank = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """Pool the maxima of as many windows as are asked for: the same on three axes.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)`` to the same rank.
    Raises: as :class:`AdaptiveMaxPool2d`.
    Source: notes 7.2.
    """

    rank = 3
