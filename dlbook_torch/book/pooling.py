"""The book's pooling (notes 7.2)."""

import torch
from torch import Tensor

from .conv import col2im, im2col, images, pixels
from .layer import Layer


class Pooling(Layer):
    r"""Keep the largest pixel of every window, channel by channel.

    .. math:: y_{c,hw} = \max_{ij} x_{c,\, sh + i,\, sw + j}, \qquad
        \mathrm{d}y_{c,hw} \text{ goes to the first pixel that is the largest}

    Law: torch's ``MaxPool2d(pool, stride)`` for a pad of 0. A margin is of zeros here, as in the
    book, and torch's of minus infinity: with one, the layer is ``MaxPool2d`` behind a
    ``ZeroPad2d``, which is torch's padding only where no window at the edge is all negative.

    Args:
        pool_h: height of the window.
        pool_w: its width.
        stride: pixels from one window to the next.
        pad: pixels of zero added on each side.

    Shape: ``(N, C, H, W)`` to ``(N, C, out_h, out_w)``.
    Raises: RuntimeError for a window that does not fit, sizes below 1 or a pad below 0.
    Source: notes 7.2. The book counts the windows without the margin, (4 - 2) / 2 + 1 = 2 of 3 at a
        pad of 1, and then cannot put its numbers in place; here they are counted with it.
    """

    def __init__(self, pool_h: int, pool_w: int, stride: int = 1, pad: int = 0):
        super().__init__()
        self.pool_h, self.pool_w = pool_h, pool_w
        self.stride, self.pad = stride, pad

    def forward(self, x: Tensor) -> Tensor:
        col = im2col(x, self.pool_h, self.pool_w, self.stride, self.pad)
        y, cell = col.unflatten(1, (x.shape[1], -1)).max(-1)
        self.keep(cell, x.shape)
        out_h = (x.shape[2] + 2 * self.pad - self.pool_h) // self.stride + 1
        return images(y, len(x), out_h)

    @torch.no_grad()
    def backward(self, dout: Tensor) -> Tensor:
        cell, shape = self.kept()
        dmax = dout.new_zeros(*cell.shape, self.pool_h * self.pool_w)
        dmax.scatter_(-1, cell.unsqueeze(-1), pixels(dout).unsqueeze(-1))
        return col2im(dmax.flatten(1), shape, self.pool_h, self.pool_w, self.stride, self.pad)

    def extra_repr(self) -> str:
        return f"{self.pool_h}, {self.pool_w}, stride={self.stride}, pad={self.pad}"
