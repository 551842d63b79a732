"""The book's activation layers (notes 3.2, 5)."""

import torch
from torch import Tensor

from ..nn.functional import sigmoid
from .layer import Layer


class Relu(Layer):
    r"""Let the positive through and stop the rest.

    .. math:: y = \max(0, x), \qquad \mathrm{d}x = \mathrm{d}y \cdot [x > 0]

    Law: torch's ``ReLU``, gradient included, which at 0 is 0 in both.

    Shape: ``(*)`` to ``(*)``.
    Source: notes 3.2.3. The book's own backward zeroes the gradient that it is given in place.
    """

    def forward(self, x: Tensor) -> Tensor:
        mask = x <= 0
        self.keep(mask)
        return x.masked_fill(mask, 0)

    @torch.no_grad()
    def backward(self, dout: Tensor) -> Tensor:
        (mask,) = self.kept()
        return dout.masked_fill(mask, 0)


class Sigmoid(Layer):
    r"""Squash every element into (0, 1).

    .. math:: y = \frac{1}{1 + e^{-x}}, \qquad \mathrm{d}x = \mathrm{d}y\, (1 - y)\, y

    Law: torch's ``Sigmoid``.

    Shape: ``(*)`` to ``(*)``.
    Source: notes 3.2.1.
    """

    def forward(self, x: Tensor) -> Tensor:
        y = sigmoid(x)
        self.keep(y)
        return y

    @torch.no_grad()
    def backward(self, dout: Tensor) -> Tensor:
        (y,) = self.kept()
        return dout * (1 - y) * y
