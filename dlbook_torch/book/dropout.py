"""The book's dropout (notes 6.5)."""

import torch
from torch import Tensor

from .layer import Layer


class Dropout(Layer):
    r"""In training, silence every element with probability p; in evaluation, turn all down.

    .. math:: y = m \odot x, \quad m = [u > p], \quad u \sim U[0, 1)
        \qquad \text{or} \qquad y = (1 - p)\, x

    The gradient is let through, or turned down, as x was.

    Law: torch's ``Dropout`` with everything times 1 - p: in training with the same mask, in
    evaluation, and in both gradients. So it is torch's followed by ``Scale(1 - p)``, and torch's is
    this one followed by ``Scale(1 / (1 - p))``. What stands in front of it learns from a gradient
    that is 1 - p times the inverted one, at the same learning rate.

    Args:
        dropout_ratio: p.

    Shape: ``(*)`` to ``(*)``.
    Raises: ValueError for p outside [0, 1].
    Source: notes 6.5, the second of their two scalings, and the book's code.
    """

    def __init__(self, dropout_ratio: float = 0.5):
        super().__init__()
        if not 0 <= dropout_ratio <= 1:
            raise ValueError(f"dropout_ratio must be in [0, 1], got {dropout_ratio}")
        self.dropout_ratio = dropout_ratio

    def forward(self, x: Tensor) -> Tensor:
        p = self.dropout_ratio
        share = torch.rand_like(x) > p if self.training else 1 - p
        self.keep(share)
        return x * share

    @torch.no_grad()
    def backward(self, dout: Tensor) -> Tensor:
        (share,) = self.kept()
        return dout * share

    def extra_repr(self) -> str:
        return f"dropout_ratio={self.dropout_ratio}"
