r"""Convolution as a product of two matrices, filters times columns (notes 7.1).

.. math:: y = w\, \mathrm{col}(x), \qquad \mathrm{d}w = \mathrm{d}y\, \mathrm{col}(x)^\top, \qquad
    \mathrm{d}x = \mathrm{col}^\top(w^\top \mathrm{d}y)

Every kernel, stride, padding, dilation, number of groups and axes goes this way.

Letters: N images, C channels in, O filters, G groups, K cells of a kernel, L window positions.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from ._fast import scratch
from ._precision import wide_type
from .fold import Windows, channels_last, col2im, images_of, join, rows_of, total
from .geometry import Image, Window

# Images are unfolded a few at a time: what is kept of the columns stays in a cache, and the
# memory of a step does not grow with the batch. One image is unfolded whole, whatever its size.
CHUNK_BYTES = 3 * 2**20
LONG = 256  # least windows of an image that is a matrix of its own
FEW = 64  # a GPU has no use for small products: there, so many times more


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
    room = CHUNK_BYTES * (1 if batches[0].device.type == "cpu" else FEW)
    n = room // max(1, numbers * wide_type(batches[0].dtype).itemsize)
    return list(zip(*[batch.split(max(1, n)) for batch in batches], strict=True))


def exact(t: Tensor) -> Tensor:
    """Half precision on the CPU is computed in single and rounded at the end, as torch does it."""
    return t.to(wide_type(t.dtype)) if t.device.type == "cpu" else t


def filters_of(weight: Tensor, groups: int) -> Tensor:
    """One matrix per group: (O, C/G, *kernel) to (G, O/G, CK/G)."""
    return exact(weight).flatten(1).unflatten(0, (groups, -1))


class Columns:
    """The columns of the images of a piece, in memory that is used again.

    There may be some more rows below them, for the caller to fill.
    """

    def __init__(self, window: Window, groups: int, side_by_side: bool, more: int = 0):
        self.how, self.shape = (window, groups, side_by_side, more), torch.Size()
        steps, margins = {*window.kernel, *window.stride}, {*sum(window.padding, ())}
        self.image_itself = steps == {1} and margins == {0} and not more

    def of(self, x: Tensor) -> Tensor:
        """(N, C, *image) to (N, G, CK/G, L), or (1, G, CK/G, NL) side by side."""
        x = exact(x)
        if self.image_itself:
            return rows_of(x, *self.how[1:3])
        if self.shape == x.shape:
            self.target.copy_(self.windows.of(x))
        else:  # the first piece, or the last
            self._prepare(x)
        return self.columns

    def _prepare(self, x: Tensor) -> None:
        window, groups, side_by_side, more = self.how
        self.shape, self.windows = x.shape, Windows(x, window, side_by_side)
        t, rows = self.windows.of(x), x.shape[1] * prod(window.kernel)
        n = 1 if side_by_side else x.shape[0]
        columns = scratch(t, (n, rows + more, t.numel() // (n * rows)), use="columns")
        self.target = columns[:, :rows].view(t.shape).copy_(t)
        self.columns = columns.unflatten(1, (groups, -1))


def small(x: Tensor, positions: Image) -> bool:
    """Whether to lay images side by side, since to multiply by the columns of one takes too long.

    A graphics card multiplies one large matrix, and an exported graph takes images of any size.
    """
    return not x.is_cpu or torch.compiler.is_exporting() or prod(positions) < LONG


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, window: Window, groups: int) -> Tensor:
    """Filters times columns."""
    image, w = x.shape[2:], filters_of(weight, groups)
    b = None if bias is None else exact(bias).unflatten(0, (-1, *[1] * len(image)))
    positions = window.positions(image)
    columns = Columns(window, groups, small(x, positions))

    def piece(part: Tensor) -> Tensor:
        y = images_of(w @ columns.of(part), part.shape[0], positions)
        return y if b is None else y + b

    parts = chunks(image, x.shape[1], weight.shape[0], window, x)
    return join(piece, parts, x, channels_last(x) or channels_last(weight))


def convolve_input(
    dy: Tensor, weight: Tensor, bias: Tensor | None, image: Image, window: Window, groups: int
) -> Tensor:
    """Filters, transposed, times dy, folded back."""
    channels, w = weight.shape[1] * groups, filters_of(weight, groups).mT.contiguous()
    b = None if bias is None else exact(bias).unflatten(0, (-1, *[1] * len(image)))
    side_by_side = small(dy, dy.shape[2:])

    def piece(part: Tensor) -> Tensor:
        columns = (w @ rows_of(exact(part), groups, side_by_side)).flatten(1, 2)  # (N, CK, L)
        if side_by_side:
            columns = columns[0].unflatten(1, (part.shape[0], prod(part.shape[2:])))
        x = col2im(columns, image, window, side_by_side)
        return x if b is None else x + b

    parts = chunks(image, channels, weight.shape[0], window, dy)
    return join(piece, parts, dy, channels_last(dy) or channels_last(weight))


def convolve_weight(x: Tensor, dy: Tensor, window: Window, groups: int) -> Tensor:
    """The product of dy and the columns, transposed, summed over the images.

    It is made the other way round, columns times dy, transposed: a higher matrix is made faster.
    """
    side_by_side = small(dy, dy.shape[2:])
    columns = Columns(window, groups, side_by_side)

    def piece(part: Tensor, dpart: Tensor) -> Tensor:
        d = rows_of(exact(dpart), groups, side_by_side)
        return (columns.of(part) @ d.mT).sum(0, dtype=wide_type(x.dtype))  # (G, CK/G, O/G)

    parts = chunks(x.shape[2:], x.shape[1], dy.shape[1], window, x, dy)
    return total(piece, parts).to(x.dtype).mT.flatten(0, 1).unflatten(1, (-1, *window.kernel))


def turned(window: Window) -> Window:
    """The window of dy in which a pixel of x finds all that it had a part in, at stride 1."""
    reach = [window.extent(axis) - 1 for axis in range(len(window.kernel))]
    padding = tuple(
        (n - before, n - after) for n, (before, after) in zip(reach, window.padding, strict=True)
    )
    return window._replace(padding=padding)


def gradients(
    x: Tensor, weight: Tensor, dy: Tensor, window: Window, groups: int, needed: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """What the input, the filters and the bias of :func:`convolve` get, as far as needed.

    At stride 1 dx is dy, convolved with the filters turned round, and dw is x times what that one
    has as its columns: dy is unfolded once for both, and nothing is to be folded back. That is
    faster as long as dy has up to twice as many channels as x.
    """
    db = dy.sum((0, *range(2, dy.dim()))) if needed[2] else None
    if needed[0] and needed[1] and set(window.stride) == {1} and len(weight) <= 2 * x.shape[1]:
        around = turned(window)
        if min(map(min, around.padding)) >= 0:
            return *both(x, weight, dy, around, groups), db
    dx = convolve_input(dy, weight, None, x.shape[2:], window, groups) if needed[0] else None
    return dx, convolve_weight(x, dy, window, groups) if needed[1] else None, db


def both(
    x: Tensor, weight: Tensor, dy: Tensor, around: Window, groups: int
) -> tuple[Tensor, Tensor]:
    """:func:`convolve_input` and :func:`convolve_weight` at stride 1, from one set of columns."""
    axes = [*range(2, dy.dim())]
    w = weight.flip(axes).unflatten(0, (groups, -1)).transpose(1, 2)  # (G, C/G, O/G, *kernel)
    rows = exact(w).flatten(3).flatten(2)  # (G, C/G, OK/G)
    side_by_side, dw = small(x, x.shape[2:]), list[Tensor]()
    columns = Columns(around, groups, side_by_side)

    def piece(part: Tensor, dpart: Tensor) -> Tensor:
        t = columns.of(dpart)  # (N, G, OK/G, L)
        term = t @ rows_of(exact(part), groups, side_by_side).mT
        term = term.sum(0, dtype=wide_type(x.dtype))  # (G, OK/G, C/G)
        dw[:] = [dw[0].add_(term) if dw else term]
        return images_of(rows @ t, part.shape[0], part.shape[2:])

    parts = chunks(dy.shape[2:], dy.shape[1], x.shape[1], around, x, dy)
    dx = join(piece, parts, dy, channels_last(dy) or channels_last(weight))
    d = dw[0].to(x.dtype).mT.unflatten(2, w.shape[2:])  # as w
    return dx, d.transpose(1, 2).flatten(0, 1).flip(axes)
