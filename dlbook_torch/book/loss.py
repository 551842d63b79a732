"""The book's losses (notes 4.2)."""

import torch
from torch import Tensor

from ..nn.functional import softmax
from .layer import Layer

DELTA = 1e-7  # the book's: keeps the logarithm of 0 finite


def sum_squared_error(y: Tensor, t: Tensor) -> Tensor:
    """See :class:`SumSquaredError`."""
    return 0.5 * ((y - t) ** 2).sum()


class SumSquaredError(Layer):
    r"""Half the squared distance, summed over everything there is.

    .. math:: L = \frac{1}{2} \sum_i (y_i - t_i)^2, \qquad \mathrm{d}y = y - t

    Law: n / 2 times torch's ``MSELoss`` of n numbers. A batch is not averaged either: twice the
    samples are twice the gradient.

    Shape: ``(*)`` and a target of the same shape to ``()``.
    Source: notes 4.2, which name it without a formula.
    """

    def forward(self, y: Tensor, t: Tensor) -> Tensor:
        self.keep(y, t)
        return sum_squared_error(y, t)

    @torch.no_grad()
    def backward(self, dout: float | Tensor = 1.0) -> Tensor:
        y, t = self.kept()
        return dout * (y - t)


def one_hot(t: Tensor, y: Tensor) -> Tensor:
    """Labels as one row of probabilities per row of ``y``, from class numbers or from such rows.

    Raises: ValueError for labels of another shape.
    """
    if t.shape == y.shape:
        return t.to(y.dtype)
    if t.shape == y.shape[:-1]:
        return torch.zeros_like(y).scatter(-1, t.unsqueeze(-1).long(), 1)
    raise ValueError(
        f"expected labels of shape {tuple(y.shape[:-1])}, or one-hot {tuple(y.shape)}, "
        f"got {tuple(t.shape)}"
    )


def rows(y: Tensor) -> int:
    """How many samples there are: a single one may come without its batch."""
    if y.dim() not in (1, 2):
        raise ValueError(f"expected one row of classes per sample, got {tuple(y.shape)}")
    return len(y) if y.dim() == 2 else 1


def cross_entropy_error(y: Tensor, t: Tensor) -> Tensor:
    r"""How surprising the true classes are to the probabilities ``y``, on average over the batch.

    .. math:: L = -\frac{1}{N} \sum_n \sum_k t_{nk} \log(y_{nk} + 10^{-7})

    Law: torch's ``F.nll_loss(y.log(), t)`` less the mean of :math:`\log(1 + 10^{-7} / y_t)`. So a
    sure mistake costs 16.118 and not infinity, and a sure answer -1e-7: the loss can be negative.

    Args:
        y: probabilities; of a single sample, one axis is enough.
        t: the classes, or one-hot rows.

    Shape: ``(N, K)`` and ``(N)`` or ``(N, K)``, or ``(K)`` and ``()`` or ``(K)``, to ``()``.
    Raises: ValueError for other shapes.
    Source: notes 4.2, which name it without a formula.
    """
    n = rows(y)
    return -(one_hot(t, y) * (y + DELTA).log()).sum() / n


class SoftmaxWithLoss(Layer):
    r"""Softmax and cross-entropy in one, because together their derivative is y - t.

    .. math:: y = \operatorname{softmax}(x), \quad
        L = -\frac{1}{N} \sum_n \sum_k t_{nk} \log(y_{nk} + 10^{-7}), \qquad
        \mathrm{d}x = \frac{y - t}{N}

    Law: ``backward`` is exactly the gradient of torch's ``CrossEntropyLoss``, though the loss
    itself is :func:`cross_entropy_error`'s. autograd, which sees the 1e-7, gives
    :math:`y_t / (y_t + 10^{-7})` times that per sample: nothing at all for a mistake sure enough.

    Args of forward:
        x: scores.
        t: the classes, or one-hot rows.

    Shape: as :func:`cross_entropy_error`'s.
    Raises: as :func:`cross_entropy_error`.
    Source: notes 3.4, 4.2, 5. The book's backward ignores the gradient that it is given; this one
        multiplies by it.
    """

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        y = softmax(x, -1)
        self.keep(y, one_hot(t, y))
        return cross_entropy_error(y, t)

    @torch.no_grad()
    def backward(self, dout: float | Tensor = 1.0) -> Tensor:
        y, t = self.kept()
        return dout * (y - t) / rows(y)
