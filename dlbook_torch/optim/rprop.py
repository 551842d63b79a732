"""Resilient backpropagation (notes 6.2.1)."""

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .optimizer import Group, Optimizer, State
from .tensors import Tensors


class Rprop(Optimizer):
    r"""Look at the sign of the gradient only: steps grow while it stays and shrink when it turns.

    .. math::
        s &\leftarrow \operatorname{clip}(s\, \eta^{\pm}) \qquad
            \eta^+ \text{ where } g\, g_{t-1} > 0, \; \eta^- \text{ where } < 0, \; 1
            \text{ where } = 0 \\
        g &\leftarrow 0 \quad \text{where } g\, g_{t-1} < 0 \\
        w &\leftarrow w - s \operatorname{sign}(g)

    Args:
        params: parameters, or groups of them.
        lr: s before the first step.
        etas: :math:`\eta^-, \eta^+`, how steps shrink and grow.
        step_sizes: the smallest and the largest s.
        capturable: keep the step counter a tensor beside the parameter.
        foreach: whole groups at once, see :class:`Optimizer`.
        maximize: climb instead.
        differentiable: record the step itself.

    For gradients of the whole data set: noise turns the sign, and the steps die.

    Raises: ValueError for a negative lr, or etas that are not 0 < shrink < 1 < grow; RuntimeError
        for a sparse gradient.
    Source: notes 6.2.1 (the slope it takes the sign of), Riedmiller and Braun 1993.
    """

    ELEMENTWISE = True

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        if not 0 < etas[0] < 1 < etas[1]:
            raise ValueError(f"etas must be 0 < shrink < 1 < grow, got {etas}")
        super().__init__(
            params,
            lr=lr,
            etas=etas,
            step_sizes=step_sizes,
            foreach=foreach,
            maximize=maximize,
            differentiable=differentiable,
            capturable=capturable,
        )

    def memory(self, w: Tensor, group: Group) -> dict[str, Tensor]:
        lr = group["lr"].item() if isinstance(group["lr"], Tensor) else group["lr"]
        return {
            "step": self.scalar(0.0, w, group),
            "prev": torch.zeros_like(w),
            "step_size": torch.full_like(w, complex(lr, lr) if w.is_complex() else lr),
        }

    def update(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        self.tick(state, group)
        shrink, grow = group["etas"]
        s, before = state["step_size"], state["prev"]
        turn = (g * before).sign()

        s.mul_(turn.each(_choose, shrink, grow)).clamp_(*group["step_sizes"])
        g = g.each(_unless_turned, turn)
        w.addcmul_(g.sign(), s, -1)
        before.copy_(g)


def _choose(turn: Tensor, shrink: float, grow: float) -> Tensor:
    """By which factor a step changes whose gradient turned (-1), stayed (1) or was 0."""
    return torch.where(turn > 0, grow, torch.where(turn < 0, shrink, turn.where(turn != 0, 1.0)))


def _unless_turned(g: Tensor, turn: Tensor) -> Tensor:
    return torch.where(turn < 0, 0.0, g)
