"""The perceptron, and logic made of it (notes 2)."""

import torch
from torch import Tensor
from torch.nn import Module

from ._fast import Function
from .linear import Linear


class _Step(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return (x > 0).to(x.dtype)

    @staticmethod
    def setup_context(ctx, inputs, y):
        pass

    @staticmethod
    def backward(ctx, dy):
        return torch.zeros_like(dy)


def step(input: Tensor) -> Tensor:
    """See :class:`Step`."""
    return _Step.apply(input)


class Step(Module):
    r"""Fire or do not: 1 above zero, else 0.

    .. math:: y = [x > 0], \qquad \frac{\partial L}{\partial x} = 0

    ``torch.heaviside(x, 0)``, with a derivative: it is 0 wherever it exists, so nothing below a
    step learns by gradients.

    Shape: ``(*)`` to ``(*)``.
    Source: notes 2.1, 3.2.
    """

    def forward(self, input: Tensor) -> Tensor:
        return step(input)


class Perceptron(Linear):
    r"""A weighted sum of the inputs that fires above a threshold.

    .. math:: y = [w_1 x_1 + \dots + w_n x_n + b > 0]

    The bias b is minus the threshold: how easily it fires. The line (plane, hyperplane) where the
    sum is 0 parts the inputs that fire from those that do not.

    Args:
        out_features: number of perceptrons side by side, on the same inputs.

    Shape: ``(*, in_features)`` to ``(*, out_features)``, each 0 or 1.
    Raises: RuntimeError if the last axis is not ``in_features`` long.
    Source: notes 2.1, whose formula is the sum alone: the threshold is in their code only.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int = 1,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__(in_features, out_features, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return step(super().forward(input))

    @torch.no_grad()
    def learn(self, x: Tensor, t: Tensor, lr: float = 1.0) -> int:
        r"""Go through the samples once, and after each mistake turn towards the truth.

        .. math:: w \leftarrow w + \eta\, (t - y)\, x, \qquad b \leftarrow b + \eta\, (t - y)

        Repeated, this comes to an end without a mistake if a plane parts the two classes
        (Rosenblatt, Novikoff), and never does if none can: XOR.

        Args:
            x: samples, ``(N, in_features)``.
            t: what to answer, 0 or 1, ``(N, out_features)``.
            lr: how far to turn.

        Returns: the number of wrong answers on the way.
        Raises: ValueError if the targets are not ``(N, out_features)``.
        """
        if t.shape != (len(x), self.out_features):
            expected = (len(x), self.out_features)
            raise ValueError(f"expected targets of size {expected}, got {tuple(t.shape)}")
        mistakes = 0
        for x_n, t_n in zip(x, t, strict=True):
            error = t_n - self(x_n)
            self.weight.add_(lr * error[:, None] * x_n)
            if self.bias is not None:
                self.bias.add_(lr * error)
            mistakes += int(error.abs().sum())
        return mistakes


class _Gate(Perceptron):
    """A perceptron that is born knowing."""

    w: tuple[float, ...]
    b: float

    def __init__(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None):
        super().__init__(len(self.w), device=device, dtype=dtype)

    def reset_parameters(self) -> None:
        """Set the weights to those of the notes."""
        with torch.no_grad():
            self.weight.copy_(torch.tensor(self.w))
            if self.bias is not None:
                self.bias.fill_(self.b)


class AND(_Gate):
    r"""Fire if both inputs do: :math:`[x_1 / 2 + x_2 / 2 > 0.7]`.

    Shape: ``(*, 2)`` to ``(*, 1)``.
    Source: notes 2.2.
    """

    w, b = (0.5, 0.5), -0.7


class NAND(_Gate):
    r"""Fire unless both inputs do: :class:`AND` with every sign turned.

    Shape: ``(*, 2)`` to ``(*, 1)``.
    Source: notes 2.2, which call it NOT.
    """

    w, b = (-0.5, -0.5), 0.7


class OR(_Gate):
    r"""Fire if one input does, or both: :class:`AND` with a lower threshold.

    Shape: ``(*, 2)`` to ``(*, 1)``.
    Source: notes 2.2.
    """

    w, b = (0.5, 0.5), -0.2


class NOT(_Gate):
    r"""Fire if the input does not: :math:`[0.25 - x / 2 > 0]`.

    Shape: ``(*, 1)`` to ``(*, 1)``.
    Source: notes 2.2, which announce it and then show NAND: the weights are ours.
    """

    w, b = (-0.5,), 0.25


class XOR(Module):
    r"""Fire if exactly one input does: :math:`\text{AND}(\text{NAND}(x), \text{OR}(x))`.

    No single perceptron can, for no line parts (0, 0) and (1, 1) from (0, 1) and (1, 0). Two layers
    of them bend the line.

    Shape: ``(*, 2)`` to ``(*, 1)``.
    Source: notes 2.3, which stop before it.
    """

    def __init__(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None):
        super().__init__()
        self.nand, self.or_ = NAND(device, dtype), OR(device, dtype)
        self.and_ = AND(device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return self.and_(torch.cat([self.nand(input), self.or_(input)], -1))
