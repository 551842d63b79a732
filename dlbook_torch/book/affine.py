"""The book's affine layer (notes 3.3, 5)."""

import torch
from torch import Tensor

from .layer import Layer, parameter


class Affine(Layer):
    r"""Every output is a weighted sum of all inputs, plus a bias.

    .. math:: y = x W + b, \qquad
        \mathrm{d}x = \mathrm{d}y\, W^\top, \quad
        \mathrm{d}W = x^\top \mathrm{d}y, \quad
        \mathrm{d}b = \sum_n \mathrm{d}y_n

    Law: torch's ``Linear`` behind a ``Flatten``, with ``Linear.weight = W.T``.

    Args:
        W: (in, out), as the notes write it.
        b: (out).

    Shape: ``(N, *)``, in numbers per sample, to ``(N, out)``; the gradient of x has x's shape.
    Raises: RuntimeError for another count of numbers per sample.
    Source: notes 3.3.
    """

    def __init__(self, W: Tensor, b: Tensor):
        super().__init__()
        self.W, self.b = parameter(W), parameter(b)

    def forward(self, x: Tensor) -> Tensor:
        n = len(self.W)
        if x.dim() < 2 or x.shape[1:].numel() != n:
            raise RuntimeError(f"expected a batch of {n} numbers per sample, got {tuple(x.shape)}")
        self.keep(x)
        return x.flatten(1) @ self.W + self.b

    @torch.no_grad()
    def backward(self, dout: Tensor) -> Tensor:
        (x,) = self.kept()
        self.write(W=x.flatten(1).T @ dout, b=dout.sum(0))
        return (dout @ self.W.T).reshape(x.shape)

    def extra_repr(self) -> str:
        return f"{self.W.shape[0]}, {self.W.shape[1]}"
