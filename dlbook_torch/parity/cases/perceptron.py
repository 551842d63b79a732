"""Rows of the perceptron and the gates (notes 2), whose twins torch has no class for."""

from typing import Any

import torch
from torch import Tensor

from .base import IMAGE, ROW, Case, Refused


def heaviside(x: Tensor) -> Tensor:
    """Torch's step, which has no derivative, and beside it a zero, which has."""
    y = torch.heaviside(x.detach(), torch.zeros((), dtype=x.dtype, device=x.device))
    return y + x.masked_fill(torch.ones_like(x, dtype=torch.bool), 0)


class Step(torch.nn.Module):
    """``torch.heaviside`` as a module."""

    def forward(self, x: Tensor) -> Tensor:
        """1 above zero, else 0."""
        return heaviside(x)


class Perceptron(torch.nn.Linear):
    """torch's affine layer and torch's step."""

    def __init__(self, in_features: int, out_features: int = 1, bias: bool = True):
        super().__init__(in_features, out_features, bias)

    def forward(self, x: Tensor) -> Tensor:
        """The weighted sum, and whether it is above zero."""
        return heaviside(super().forward(x))


class _Gate(Perceptron):
    """A perceptron whose first weights are given."""

    def __init__(self, *w: float, b: float):
        with torch.random.fork_rng(devices=[]):
            super().__init__(len(w))
        with torch.no_grad():
            self.weight.copy_(torch.tensor(w))
            self.bias.fill_(b)


class AND(_Gate):
    """As the notes have it."""

    def __init__(self) -> None:
        super().__init__(0.5, 0.5, b=-0.7)


class NAND(_Gate):
    """As the notes have it."""

    def __init__(self) -> None:
        super().__init__(-0.5, -0.5, b=0.7)


class OR(_Gate):
    """As the notes have it."""

    def __init__(self) -> None:
        super().__init__(0.5, 0.5, b=-0.2)


class NOT(_Gate):
    """The gate that the notes leave out."""

    def __init__(self) -> None:
        super().__init__(-0.5, b=0.25)


class XOR(torch.nn.Module):
    """Two layers of gates."""

    def __init__(self) -> None:
        super().__init__()
        self.nand, self.or_, self.and_ = NAND(), OR(), AND()

    def forward(self, x: Tensor) -> Tensor:
        """NAND and OR, and then AND of both."""
        return self.and_(torch.cat([self.nand(x), self.or_(x)], dim=-1))


def unit(
    notes: str, twin: type[torch.nn.Module], *shapes: tuple[int, ...], **kw: Any
) -> list[Case]:
    """The same arguments on every shape, beside a twin made above."""
    return [Case(notes, twin.__name__, shape, kw, twin=twin) for shape in shapes]


CASES: list[Case] = [
    *unit("2.1", Step, ROW, IMAGE, (), (0, 3)),
    *unit("2.1", Perceptron, (4, 5), (5,), (2, 3, 5), (0, 5), in_features=5),
    *unit("2.1", Perceptron, (4, 5), in_features=5, out_features=3, bias=False),
    *unit("2.2", AND, (4, 2), (2,)),
    *unit("2.2", NAND, (4, 2), (2,)),
    *unit("2.2", OR, (4, 2), (2,)),
    *unit("2.2", NOT, (4, 1), (1,)),
    *unit("2.3", XOR, (4, 2), (2,), (2, 3, 2)),
]

REFUSED: list[Refused] = []
