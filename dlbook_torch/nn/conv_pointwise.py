r"""Convolution by kernels of one cell: a product per image, and nothing to unfold (notes 7.1).

.. math:: y_n = w\, x_n, \qquad \mathrm{d}x_n = w^\top \mathrm{d}y_n, \qquad
    \mathrm{d}w = \sum_n \mathrm{d}y_n\, x_n^\top

where an image is a matrix, its pixels in a row.

Letters: N images, C channels in, O filters, L pixels.
"""

from math import prod

from torch import Tensor

from .conv_unfold import chunks
from .fold import channels_last, join
from .geometry import Image, Window

LEAST = 256  # pixels of an image: with less of them, one product for several images is faster


def suits(weight: Tensor, window: Window, groups: int) -> bool:
    """Whether a convolution can go this way: one group and one cell, on every pixel."""
    cells = {*window.kernel, *window.stride}
    return groups == 1 and cells == {1} and not any(map(any, window.padding))


def pays(weight: Tensor, window: Window, image: Image, n: int) -> bool:
    """Whether it is the fastest: large images."""
    return prod(image) >= LEAST


def times(w: Tensor, x: Tensor, bias: Tensor | None, last: bool) -> Tensor:
    """The filters times every image."""
    rank = x.dim() - 2
    b = None if bias is None else bias.unflatten(0, (-1, *[1] * rank))

    def piece(part: Tensor) -> Tensor:
        y = (w.expand(part.shape[0], -1, -1) @ part.flatten(2)).unflatten(2, x.shape[2:])
        return y if b is None else y + b

    window = Window((1,) * rank, (1,) * rank, ((0, 0),) * rank, (1,) * rank)
    return join(piece, chunks(x.shape[2:], w.shape[1], w.shape[0], window, x), x, last)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, window: Window, groups: int) -> Tensor:
    """The filters times every image."""
    return times(weight.flatten(1), x, bias, channels_last(x) or channels_last(weight))


def convolve_input(
    dy: Tensor, weight: Tensor, bias: Tensor | None, image: Image, window: Window, groups: int
) -> Tensor:
    """The filters, transposed, times every dy."""
    return times(weight.flatten(1).mT, dy, bias, channels_last(dy) or channels_last(weight))


def convolve_weight(x: Tensor, dy: Tensor, window: Window, groups: int) -> Tensor:
    """The sum over the images of dy times x, transposed."""
    dw = (dy.flatten(2) @ x.flatten(2).mT).sum(0)
    return dw.unflatten(1, (-1, *window.kernel))
