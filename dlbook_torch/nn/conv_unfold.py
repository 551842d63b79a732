r"""Convolution as a product of two matrices, filters times columns (notes 7.1).

.. math:: y = w\, \mathrm{col}(x), \qquad \mathrm{d}w = \mathrm{d}y\, \mathrm{col}(x)^\top, \qquad
    \mathrm{d}x = \mathrm{col}^\top(w^\top \mathrm{d}y)

Every kernel, stride, padding, dilation, number of groups and axes goes this way.

Letters: N images, C channels in, O filters, G groups, K cells of a kernel, L window positions.
"""

from functools import reduce
from math import prod

import torch
from torch import Tensor

from ._precision import wide_type
from .fold import apart, channels_last, col2im, im2col, join, side_by_side
from .geometry import Image, Window

# Images are unfolded a few at a time: what is kept of the columns stays in the cache, and the
# memory of a step does not grow with the batch. One image is unfolded whole, whatever its size.
CHUNK_BYTES = 2**20
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


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, window: Window, groups: int) -> Tensor:
    """Filters times columns."""
    image, w = x.shape[2:], filters_of(weight, groups)
    b = None if bias is None else exact(bias).unflatten(0, (-1, *[1] * len(image)))

    def piece(part: Tensor) -> Tensor:
        columns = im2col(exact(part), window, side_by_side=True).flatten(1)
        columns = columns.unflatten(0, (groups, -1))  # (G, CK/G, NL)
        y = apart(w @ columns, part.shape[0], window.positions(image))  # of (G, O/G, NL)
        return y if b is None else y + b

    parts = chunks(image, x.shape[1], weight.shape[0], window, x)
    return join(piece, parts, x, channels_last(x) or channels_last(weight))


def convolve_input(
    dy: Tensor, weight: Tensor, bias: Tensor | None, image: Image, window: Window, groups: int
) -> Tensor:
    """Filters, transposed, times dy, folded back."""
    channels, w = weight.shape[1] * groups, filters_of(weight, groups)
    b = None if bias is None else exact(bias).unflatten(0, (-1, *[1] * len(image)))

    def piece(part: Tensor) -> Tensor:
        columns = w.mT @ side_by_side(exact(part).flatten(2), groups)  # (G, CK/G, NL)
        columns = columns.flatten(0, 1).unflatten(1, (part.shape[0], prod(part.shape[2:])))
        x = col2im(columns, image, window, side_by_side=True)
        return x if b is None else x + b

    parts = chunks(image, channels, weight.shape[0], window, dy)
    return join(piece, parts, dy, channels_last(dy) or channels_last(weight))


def convolve_weight(x: Tensor, dy: Tensor, window: Window, groups: int) -> Tensor:
    """The product of dy and the columns, transposed, summed over the images."""

    def piece(part: Tensor, dpart: Tensor) -> Tensor:
        columns = im2col(exact(part), window, side_by_side=True).flatten(1)
        columns = columns.unflatten(0, (groups, -1))  # (G, CK/G, NL)
        return side_by_side(exact(dpart).flatten(2), groups) @ columns.mT  # (G, O/G, CK/G)

    parts = chunks(x.shape[2:], x.shape[1], dy.shape[1], window, x, dy)
    dw = reduce(Tensor.add_, (piece(*part).to(wide_type(x.dtype)) for part in parts))
    return dw.to(x.dtype).flatten(0, 1).unflatten(1, (-1, *window.kernel))
