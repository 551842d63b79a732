"""Dropout (notes 6.5)."""

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import Module


class _Dropout(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, mask, inplace):
        return x.mul_(mask) if inplace else x * mask

    @staticmethod
    def setup_context(ctx, inputs, y):
        x, mask, inplace = inputs
        if inplace:
            ctx.mark_dirty(x)
        ctx.save_for_backward(mask)

    @staticmethod
    def backward(ctx, dy):
        (mask,) = ctx.saved_tensors
        return dy * mask, None, None


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """See :class:`Dropout`."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if p == 0 or not training:
        return input
    mask = torch.empty_like(input).bernoulli_(1 - p)
    return _Dropout.apply(input, mask if p == 1 else mask.div_(1 - p), inplace)


class Dropout(Module):
    r"""In training, silence every element with probability ``p`` and scale up the survivors.

    .. math:: y = \frac{m \odot x}{1 - p}, \quad m \sim \mathrm{Bernoulli}(1 - p), \qquad
        \mathrm{d}x = \frac{m \odot \mathrm{d}y}{1 - p}

    In evaluation y = x: the expectation was kept by the scaling. The noise adds a variance of
    :math:`x^2 p / (1 - p)`, which grows with p. The same seed gives the same mask as torch's
    layer (on the CPU).

    Args:
        p: probability of an element to be zeroed.
        inplace: write y over x.

    Shape: ``(*)`` to ``(*)``.
    Raises: ValueError for p outside [0, 1].
    Source: notes 6.5, the first of their two scalings; the book's own code scales by
        :math:`1 - p` at test time instead.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
