r"""Convolution of few channels: columns with a row of ones below (notes 7.1).

.. math:: y = \begin{pmatrix} w & b \end{pmatrix}
    \begin{pmatrix} \mathrm{col}(x) \\ 1 \end{pmatrix}, \qquad
    \begin{pmatrix} \mathrm{d}w & \mathrm{d}b \end{pmatrix} =
    \mathrm{d}y \begin{pmatrix} \mathrm{col}(x) \\ 1 \end{pmatrix}^\top

Where a column has 25 numbers and a pixel 30 filters, reading and writing costs as much as the
products. Here the bias costs one more number in a column: neither y nor dy is gone through again.

Letters: N images, C channels in, O filters, K cells of a kernel, L window positions.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from .conv_unfold import Columns, chunks, convolve_input, convolve_weight, small
from .fold import channels_last, images_of, join, rows_of, total
from .geometry import Image, Window

# Two of them as they are the plain way's.
__all__ = ["convolve", "convolve_input", "convolve_weight", "gradients"]

MOST = 200  # numbers of a column: with more of them, the products are what costs


def suits(weight: Tensor, window: Window, groups: int) -> bool:
    """Whether a convolution can go this way: one group."""
    return groups == 1


def pays(weight: Tensor, window: Window, image: Image, n: int) -> bool:
    """Whether it is the fastest: short columns, and channels less than half the filters."""
    return prod(weight.shape[1:]) <= MOST and 2 * weight.shape[1] < weight.shape[0]


class ColumnsAndOnes(Columns):
    """(N, 1, CK + 1, L), or (1, 1, CK + 1, NL) side by side."""

    def __init__(self, window: Window, side_by_side: bool):
        super().__init__(window, 1, side_by_side, more=1)

    def _prepare(self, x: Tensor) -> None:
        super()._prepare(x)
        self.columns[:, :, -1] = 1


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, window: Window, groups: int) -> Tensor:
    """Filters and bias times columns and ones."""
    image, b = x.shape[2:], weight.new_zeros(len(weight)) if bias is None else bias
    w = torch.cat([weight.flatten(1), b.unsqueeze(1)], 1)
    positions = window.positions(image)
    columns = ColumnsAndOnes(window, small(x, positions))

    def piece(part: Tensor) -> Tensor:
        return images_of(w @ columns.of(part), part.shape[0], positions)

    parts = chunks(image, x.shape[1], weight.shape[0], window, x)
    return join(piece, parts, x, channels_last(x) or channels_last(weight))


def gradients(
    x: Tensor, weight: Tensor, dy: Tensor, window: Window, groups: int, needed: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """What the input, the filters and the bias of :func:`convolve` get, as far as needed."""
    side_by_side = small(dy, dy.shape[2:])
    columns = ColumnsAndOnes(window, side_by_side)

    def piece(part: Tensor, dpart: Tensor) -> Tensor:
        d = rows_of(dpart, 1, side_by_side)
        return (d @ columns.of(part).mT).sum((0, 1))  # (O, CK + 1)

    dx = convolve_input(dy, weight, None, x.shape[2:], window, groups) if needed[0] else None
    if not (needed[1] or needed[2]):
        return dx, None, None
    parts = chunks(x.shape[2:], x.shape[1], dy.shape[1], window, x, dy)
    t = total(piece, parts)
    dw, db = t[:, :-1].reshape(weight.shape), t[:, -1].clone()
    return dx, dw if needed[1] else None, db if needed[2] else None
