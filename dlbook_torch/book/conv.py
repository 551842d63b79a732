"""The book's convolution: images to rows of a matrix, and one product (notes 7.1)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..nn.functional import fold, unfold
from .layer import Layer, parameter


def im2col(x: Tensor, filter_h: int, filter_w: int, stride: int = 1, pad: int = 0) -> Tensor:
    """Lay every window of every image out as one row.

    Law: the columns of torch's ``F.unfold``, transposed, and all images below each other.

    Shape: ``(N, C, H, W)`` to ``(N * out_h * out_w, C * filter_h * filter_w)``.
    Raises: RuntimeError for a window that does not fit, sizes below 1 or a pad below 0.
    Source: notes 7.1; the book's, with its arguments and its layout.
    """
    columns = unfold(x, (filter_h, filter_w), padding=pad, stride=stride)
    return columns.mT.flatten(0, 1)


def col2im(
    col: Tensor,
    input_shape: Sequence[int],
    filter_h: int,
    filter_w: int,
    stride: int = 1,
    pad: int = 0,
) -> Tensor:
    """Add every row back into the window that it came from.

    Law: torch's ``F.fold``; the adjoint of :func:`im2col`, not its inverse.

    Args:
        col: what :func:`im2col` gives for such images.
        input_shape: (N, C, H, W) of the images.
        filter_h: height of the window.
        filter_w: its width.
        stride: pixels from one window to the next.
        pad: pixels of margin that are dropped.

    Shape: ``(N * out_h * out_w, C * filter_h * filter_w)`` to ``(N, C, H, W)``.
    Raises: RuntimeError for rows that do not fit the images.
    Source: notes 7.1; the book's.
    """
    n, _, *image = input_shape
    columns = col.unflatten(0, (n, -1)).mT
    return fold(columns, tuple(image), (filter_h, filter_w), padding=pad, stride=stride)


def images(matrix: Tensor, n: int, height: int) -> Tensor:
    """One row per pixel, (N * H * W, C), as images, (N, C, H, W)."""
    return matrix.unflatten(0, (n, height, -1)).movedim(-1, 1)


def pixels(x: Tensor) -> Tensor:
    """The other way."""
    return x.movedim(1, -1).flatten(0, -2)


class Convolution(Layer):
    r"""Every filter slides over the image and weighs what it sees: one matrix product.

    .. math:: y = \operatorname{col}(x)\, W^\top + b, \qquad
        \mathrm{d}x = \operatorname{col}^\top(\mathrm{d}y\, W), \quad
        \mathrm{d}W = \mathrm{d}y^\top \operatorname{col}(x), \quad
        \mathrm{d}b = \sum \mathrm{d}y

    with one row of y per pixel and one of W per filter.

    Law: torch's ``Conv2d(C, FN, (FH, FW), stride, pad)`` with the very same weight and bias.

    Args:
        W: (FN, C, FH, FW), FN filters.
        b: (FN).
        stride: pixels from one window to the next.
        pad: pixels of zero added on each side.

    Shape: ``(N, C, H, W)`` to ``(N, FN, out_h, out_w)``.
    Raises: RuntimeError for other channels, or for a filter that does not fit.
    Source: notes 7.1.
    """

    def __init__(self, W: Tensor, b: Tensor, stride: int = 1, pad: int = 0):
        super().__init__()
        self.W, self.b = parameter(W), parameter(b)
        self.stride, self.pad = stride, pad

    def forward(self, x: Tensor) -> Tensor:
        _, channels, height, width = self.W.shape
        if x.dim() != 4 or x.shape[1] != channels:
            raise RuntimeError(f"expected images of {channels} channels, got {tuple(x.shape)}")
        col = im2col(x, height, width, self.stride, self.pad)
        self.keep(col, x.shape)
        out_h = (x.shape[2] + 2 * self.pad - height) // self.stride + 1
        return images(col @ self.W.flatten(1).T + self.b, len(x), out_h)

    @torch.no_grad()
    def backward(self, dout: Tensor) -> Tensor:
        col, shape = self.kept()
        _, _, height, width = self.W.shape
        dy = pixels(dout)
        self.write(W=(dy.T @ col).reshape(self.W.shape), b=dy.sum(0))
        return col2im(dy @ self.W.flatten(1), shape, height, width, self.stride, self.pad)

    def extra_repr(self) -> str:
        return f"{tuple(self.W.shape)}, stride={self.stride}, pad={self.pad}"
