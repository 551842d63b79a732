r"""Convolution by evaluating polynomials: fewer multiplications for kernels of 3 to 5 (notes 7.1).

A filter of r numbers slides over m + r - 1 = P pixels and gives m answers. Slid backwards this is
the product of two polynomials, of degrees r - 1 and m - 1, which is known from its values at P
points, and a value of the product costs one multiplication. So Toom and Cook multiply by

.. math:: a * g = E^{-1}\left[(G g) \cdot (A a)\right]

with A, G and E the powers of the P points: as many columns as a and g and their product have
numbers, and for the point at infinity the last number alone. The adjoint of ``a -> a * g`` is the
sliding filter, so that (Winograd), with B the transposed inverse of E,

.. math:: y = A^\top\left[(G g) \cdot (B x)\right]

In two dimensions each of A, B and G acts on rows and on columns. With C channels and O filters the
PP multiplications become PP matrix products, one for each pair of points, over all tiles:

.. math:: y = \mathcal{A}^\top (U\, \mathcal{B} x), \qquad
    \mathrm{d}x = \mathcal{B}^\top (U^\top \mathcal{A}\, \mathrm{d}y), \qquad
    \mathrm{d}U = \sum_{tiles} \mathcal{A}\, \mathrm{d}y\, (\mathcal{B} x)^\top

where U = G w G^T, and :func:`to_points` and its adjoint :func:`from_points` are both of the script
letters. A 3 by 3 kernel, with 6 points, has m = 4: 36 multiplications give 16 answers, which
plainly take 144; a 5 by 5 kernel, with 8, has 64 for 16 answers instead of 400.

The usual points 0, 1, -1, 2, -2 make additions of the small matrices. Here these are matrix
products too, and other points cost nothing: at 0, 3/5, -3/5, 5/3, -5/3 the rounding errors are less
than half as large, some 1e-6 of the largest answer in float32; at the 8 points they are some 6e-6.
An infinite pixel makes its whole tile NaN, where a plain sum has some infinite ones.

Letters: N images, C channels in, O filters, P points; m answers and P pixels along a side of a
tile.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from math import ceil, prod

import torch
from torch import Tensor

from .fold import channels_last, join, overlap, slide, total
from .geometry import Image, Window

SIX = (0, 3 / 5, -3 / 5, 5 / 3, -5 / 3)  # and infinity
EIGHT = (0, 11 / 20, -11 / 20, 1, -1, 5 / 3, -5 / 3)
POINTS = {3: SIX, 4: SIX, 5: EIGHT}  # by kernel
PIECE = 2**18  # numbers of the images that are treated together, at all points: cached
ROWS = 128  # least tiles treated together: less, and the filters would be read too often
LARGE = 2**17  # numbers of filters that are not treated at all points at once
CHANNELS, TILES = 16, 64  # least that pay: of channels and of filters, and of tiles
GAIN = 2.5  # least ratio of plain multiplications to these
WORTH = 1600  # least of channels times filters times that


def matrices(r: int) -> tuple[Tensor, Tensor, Tensor]:
    """A and B, and G for both axes at once: (PP, r * r), whose rows go by column and row."""
    side = len(POINTS[r]) + 1

    def powers(n: int) -> Tensor:
        finite = torch.tensor([[p**i for i in range(n)] for p in POINTS[r]], dtype=torch.float64)
        return torch.cat([finite, torch.eye(n, dtype=torch.float64)[-1:]])

    a, g, b = powers(side + 1 - r), powers(r), powers(side).inverse().mT
    scale = g.abs().sum(1, keepdim=True)  # all points alike: nothing else is changed by it
    g, b = g / scale, (b * scale).contiguous()
    return a, b, (g[None, :, :, None] * g[:, None, None, :]).reshape(side**2, r * r)


MATRICES = {r: matrices(r) for r in POINTS}


def suits(weight: Tensor, window: Window, groups: int) -> bool:
    """Whether a convolution can go this way: one group, a square kernel slid pixel by pixel."""
    return (
        groups == 1
        and len(window.kernel) == 2
        and window.kernel[0] == window.kernel[1]
        and window.kernel[0] in MATRICES
        and window.stride == window.dilation == (1, 1)
        and min(map(min, window.padding)) >= 0
    )


def pays(weight: Tensor, window: Window, image: Image, n: int) -> bool:
    """Whether it is the fastest: enough channels, tiles, and answers in a tile."""
    positions, (a, b, _) = window.positions(image), MATRICES[window.kernel[0]]
    tiles = prod(ceil(size / a.shape[1]) for size in positions)
    gain = prod(window.kernel) * prod(positions) / (b.numel() * tiles)
    enough = min(weight.shape[:2]) >= CHANNELS and n * tiles >= TILES
    return enough and gain >= GAIN and gain * prod(weight.shape[:2]) >= WORTH


class Tiles:
    """How a convolution is cut in tiles: the script letters of the formulas, and U."""

    def __init__(self, image: Image, window: Window, like: Tensor):
        self.a, self.b, self.g = (t.to(like) for t in MATRICES[window.kernel[0]])
        (self.side, self.m), self.positions = self.a.shape, window.positions(image)
        self.count = [ceil(size / self.m) for size in self.positions]
        self.size, self.before = tuple(image), [before for before, _ in window.padding]

    def parts(self, channels: int, *batches: Tensor) -> list:
        """Cut batches alike: few images, so that they stay in the cache, but many tiles."""
        tiles = prod(self.count)
        n = ceil(max(PIECE // (self.side**2 * channels), ROWS) / tiles)
        return list(zip(*[batch.split(n) for batch in batches], strict=True))

    def of_image(self, x: Tensor) -> Tensor:
        """B x: what the tiles see, at all points, (PP, NT, C)."""
        sizes = [n * self.m + self.side - self.m for n in self.count]
        return to_points(lay(x, self.before, sizes), self.b, self.m).unflatten(1, (-1, x.shape[1]))

    def image(self, t: Tensor, n: int) -> Tensor:
        """The adjoint of :meth:`of_image`: (H, W, N, C)."""
        return cut(from_points(t, self.b, self.m, self.count), self.before, self.size, n)

    def of_answers(self, dy: Tensor) -> Tensor:
        """A dy: (PP, NT, O)."""
        sizes = [n * self.m for n in self.count]
        return to_points(lay(dy, (0, 0), sizes), self.a, self.m).unflatten(1, (-1, dy.shape[1]))

    def answers(self, t: Tensor, n: int) -> Tensor:
        """The adjoint of :meth:`of_answers`: (H', W', N, O)."""
        return cut(from_points(t, self.a, self.m, self.count), (0, 0), self.positions, n)


class Filters:
    """U = G w G^T: (PP, O, C). A large one is made for some points at a time, for every piece."""

    def __init__(self, weight: Tensor, g: Tensor):
        self.g, self.w, self.shape = g, weight.flatten(2).flatten(0, 1).mT, weight.shape
        self.step = len(g) if weight.numel() <= LARGE else len(g) // 6

    @cached_property
    def whole(self) -> Tensor:
        """All points."""
        return next(self.made())

    def made(self) -> Iterator[Tensor]:
        """So many points at a time."""
        for rows in self.g.split(self.step):
            yield (rows @ self.w).unflatten(1, self.shape[:2])

    def times(self, t: Tensor, turned: bool = False) -> Tensor:
        """The product with what there is at each point, of images: (PP, NT, C) to (PP, NT, O).

        With ``turned`` the other way, as for what has the answers' shape.
        """
        if self.step == len(self.g):
            return t @ (self.whole if turned else self.whole.mT)
        parts = zip(t.split(self.step), self.made(), strict=True)
        return join(lambda part, u: part @ (u if turned else u.mT), parts, t, last=False)

    def gradient(self, d: Tensor, t: Tensor) -> Tensor:
        """What w gets from one piece, (r * r, OC): of both, at the points."""
        parts = zip(*(a.split(self.step) for a in (self.g, d, t)), strict=True)
        return total(lambda g, a, b: g.mT @ (a.mT @ b).flatten(1), parts)

    def unfolded(self, dw: Tensor) -> Tensor:
        """(r * r, OC) to (O, C, r, r)."""
        return dw.mT.contiguous().view(self.shape)


def lay(x: Tensor, before: Image, sizes: Image) -> Tensor:
    """The numbers of a pixel of all images side by side, zeros around: (*sizes, NC)."""
    n, c, h, w = x.shape
    if channels_last(x):
        t = x.permute(2, 3, 0, 1).flatten(2)
    else:
        t = x.reshape(n * c, h * w).mT.contiguous().unflatten(0, (h, w))
    (top, left), (height, width) = before, sizes
    if (h, w) == (height, width):
        return t
    padded = t.new_zeros(height, width, n * c)
    padded[top : top + h, left : left + w] = t
    return padded


def cut(t: Tensor, before: Image, sizes: Image, n: int) -> Tensor:
    """The adjoint of :func:`lay`, with images and channels apart: (H, W, N, C)."""
    (top, left), (height, width) = before, sizes
    return t[top : top + height, left : left + width].unflatten(2, (n, -1))


def images(t: Tensor, last: bool) -> Tensor:
    """(H, W, N, C) to (N, C, H, W); or to (NC, HW), which is faster to copy from."""
    return t.permute(2, 3, 0, 1) if last else t.flatten(2).flatten(0, 1).mT


def to_points(t: Tensor, matrix: Tensor, m: int) -> Tensor:
    """Rows and columns of all tiles times the matrix: (H, W, NC) to (PP, TNC), T tiles."""
    side = matrix.shape[1]
    down, across = ((n - side) // m + 1 for n in t.shape[:2])
    rows = slide(t, -3, 1, side, down, m).flatten(2)  # down, side, W NC
    t = torch.bmm(matrix.expand(down, -1, -1), rows).unflatten(2, t.shape[1:])
    columns = slide(t, -2, 0, side, across, m).transpose(1, 2)  # side, P, down, across, NC
    return (matrix @ columns.reshape(side, -1)).view(len(matrix) ** 2, -1)


def from_points(t: Tensor, matrix: Tensor, m: int, count: Image) -> Tensor:
    """The adjoint of :func:`to_points`: (PP, TNC) to (H, W, NC)."""
    (points, side), (down, across) = matrix.shape, count
    t = (matrix.mT @ t.reshape(points, -1)).view(side, points * down, across, -1)
    t = meet(t, m)  # P down, W, NC
    t = (matrix.mT @ t.reshape(points, -1)).view(side, 1, down, -1)
    return meet(t, m).view(down * m + side - m, across * m + side - m, -1)


def meet(t: Tensor, m: int) -> Tensor:
    """Tiles side by side, m pixels from one to the next: (side, ..., T, NC) to (..., W, NC)."""
    if len(t) == m:
        return t.permute(1, 2, 0, 3).flatten(1, 2)
    return overlap(t, -2, 0, (t.shape[2] - 1) * m + len(t), m)


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, window: Window, groups: int = 1
) -> Tensor:
    """Filters times tiles, at all points."""
    tiles = Tiles(x.shape[2:], window, x)
    u, last = Filters(weight, tiles.g), channels_last(x) or channels_last(weight)

    def piece(part: Tensor) -> Tensor:
        y = tiles.answers(u.times(tiles.of_image(part)), part.shape[0])
        return images(y if bias is None else y + bias, last)

    parts, shape = tiles.parts(max(weight.shape[:2]), x), (len(weight), *tiles.positions)
    return join(piece, parts, x, last, shape)


def convolve_input(
    dy: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    image: Image,
    window: Window,
    groups: int = 1,
) -> Tensor:
    """The adjoint of :func:`convolve` as a function of its input."""
    tiles = Tiles(image, window, dy)
    u, last = Filters(weight, tiles.g), channels_last(dy) or channels_last(weight)

    def piece(part: Tensor) -> Tensor:
        x = tiles.image(u.times(tiles.of_answers(part), turned=True), part.shape[0])
        return images(x if bias is None else x + bias, last)

    parts, shape = tiles.parts(max(weight.shape[:2]), dy), (weight.shape[1], *image)
    return join(piece, parts, dy, last, shape)


def convolve_weight(x: Tensor, dy: Tensor, window: Window, groups: int = 1) -> Tensor:
    """The adjoint of :func:`convolve` as a function of its filters."""
    tiles = Tiles(x.shape[2:], window, x)
    u = Filters(x.new_empty(dy.shape[1], x.shape[1], *window.kernel), tiles.g)

    def piece(part: Tensor, dpart: Tensor) -> Tensor:
        return u.gradient(tiles.of_answers(dpart), tiles.of_image(part))

    return u.unfolded(total(piece, tiles.parts(max(u.shape[:2]), x, dy)))


def gradients(
    x: Tensor, weight: Tensor, dy: Tensor, window: Window, groups: int, needed: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """What the input, the filters and the bias of :func:`convolve` get, as far as needed."""
    db = dy.sum((0, 2, 3)) if needed[2] else None
    if needed[0] and needed[1]:
        return *both(x, weight, dy, window), db
    dx = convolve_input(dy, weight, None, x.shape[2:], window) if needed[0] else None
    return dx, convolve_weight(x, dy, window) if needed[1] else None, db


def both(x: Tensor, weight: Tensor, dy: Tensor, window: Window) -> tuple[Tensor, Tensor]:
    """:func:`convolve_input` and :func:`convolve_weight`, which share what dy is at the points."""
    tiles = Tiles(x.shape[2:], window, x)
    u, last = Filters(weight, tiles.g), channels_last(dy) or channels_last(weight)
    dw: list[Tensor] = []

    def piece(part: Tensor, dpart: Tensor) -> Tensor:
        d = tiles.of_answers(dpart)
        term = u.gradient(d, tiles.of_image(part))
        dw[:] = [dw[0].add_(term) if dw else term]
        t = u.times(d, turned=True)
        del d, term  # before as much again is made
        return images(tiles.image(t, part.shape[0]), last)

    dx = join(piece, tiles.parts(max(weight.shape[:2]), x, dy), dy, last, x.shape[1:])
    return dx, u.unfolded(dw[0])
