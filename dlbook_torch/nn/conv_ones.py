r"""Convolution of few channels: columns with a row of ones below (notes 7.1).

.. math:: y = \begin{pmatrix} w & b \end{pmatrix}
    \begin{pmatrix} \mathrm{col}(x) \\ 1 \end{pmatrix}, \qquad
    \begin{pmatrix} \mathrm{d}w & \mathrm{d}b \end{pmatrix} =
    \mathrm{d}y \begin{pmatrix} \mathrm{col}(x) \\ 1 \end{pmatrix}^\top

Where a column has 25 numbers and a pixel 30 filters, reading and writing costs as much as the
products. Here the bias costs one more number in a column: neither y nor dy is gone through again.

The second product is made transposed, with rows of zeros in dy until the filters are a multiple of
16: matrix libraries write results in blocks as wide as that.

Letters: N images, C channels in, O filters, K cells of a kernel, L window positions.
"""

from collections.abc import Sequence
from functools import reduce
from math import prod

import torch
from torch import Tensor

from ._fast import product
from .conv_unfold import chunks, columns_of, convolve_input, convolve_weight  # noqa: F401 (its own too)
from .fold import apart, channels_last, join
from .geometry import Image, Window

BLOCK = 16
MOST = 200  # numbers of a column: with more of them, the products are what costs


def suits(weight: Tensor, window: Window, groups: int) -> bool:
    """Whether a convolution can go this way: one group."""
    return groups == 1


def pays(weight: Tensor, window: Window, image: Image, n: int) -> bool:
    """Whether it is the fastest: short columns."""
    return prod(weight.shape[1:]) <= MOST


def columns_and_ones(x: Tensor, window: Window) -> Tensor:
    """(CK + 1, NL)."""
    columns = columns_of(x, window, 1, more=1)[0]
    columns[-1:] = 1
    return columns


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, window: Window, groups: int) -> Tensor:
    """Filters and bias times columns and ones."""
    image, b = x.shape[2:], weight.new_zeros(len(weight)) if bias is None else bias
    w = torch.cat([weight.flatten(1), b.unsqueeze(1)], 1)

    def piece(part: Tensor) -> Tensor:
        y = product(w, columns_and_ones(part, window))
        return apart(y.unsqueeze(0), part.shape[0], window.positions(image))

    parts = chunks(image, x.shape[1], weight.shape[0], window, x)
    return join(piece, parts, x, channels_last(x) or channels_last(weight))


def gradients(
    x: Tensor, weight: Tensor, dy: Tensor, window: Window, groups: int, needed: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """What the input, the filters and the bias of :func:`convolve` get, as far as needed."""
    filters = dy.shape[1]

    def piece(part: Tensor, dpart: Tensor) -> Tensor:
        d = dpart.new_empty(-(-filters // BLOCK) * BLOCK, len(part), *dpart.shape[2:])
        d[:filters], d[filters:] = dpart.transpose(0, 1), 0
        return product(columns_and_ones(part, window), d.flatten(1).mT)  # (CK + 1, O and zeros)

    dx = convolve_input(dy, weight, None, x.shape[2:], window, groups) if needed[0] else None
    if not (needed[1] or needed[2]):
        return dx, None, None
    parts = chunks(x.shape[2:], x.shape[1], filters, window, x, dy)
    t = reduce(Tensor.add_, (piece(*part) for part in parts))[:, :filters]
    dw, db = t[:-1].mT.reshape(weight.shape), t[-1].clone()
    return dx, dw if needed[1] else None, db if needed[2] else None
