"""Averaged stochastic gradient descent (notes 6.2.1)."""

from math import inf

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .optimizer import Group, Optimizer, State
from .tensors import Tensors


class ASGD(Optimizer):
    r"""SGD with a falling rate, that keeps the mean of the places it came through.

    .. math::
        g &\leftarrow g + \lambda w \\
        w &\leftarrow (1 - \lambda_d \eta_t) w - \eta_t g, \qquad
        \eta_{t+1} = \eta / (1 + \lambda_d \eta t)^\alpha \\
        a &\leftarrow a + \mu_t (w - a), \qquad \mu_{t+1} = 1 / \max(1, t - t_0)

    Args:
        params: parameters, or groups of them.
        lr: :math:`\eta`, the rate of the first step.
        lambd: :math:`\lambda_d`, the decay of the weights, and of the rate.
        alpha: :math:`\alpha`, the power by which the rate falls.
        t0: :math:`t_0`, the step after which the mean begins; until then a is w.
        weight_decay: :math:`\lambda`, the L2 penalty.
        foreach: whole groups at once, see :class:`Optimizer`.
        maximize: climb instead.
        differentiable: record the step itself.
        capturable: the counters are never read as numbers.

    The mean is ``state[w]["ax"]``: whoever trains puts it in place of w at the end.

    Raises: ValueError for a negative lr or weight decay; RuntimeError for a sparse gradient.
    Source: notes 6.2.1 (the rule it averages), Polyak and Juditsky 1992.
    """

    ELEMENTWISE = True
    SCALARS = ("step", "eta", "mu")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        super().__init__(
            params,
            lr=lr,
            lambd=lambd,
            alpha=alpha,
            t0=t0,
            weight_decay=weight_decay,
            foreach=foreach,
            maximize=maximize,
            differentiable=differentiable,
            capturable=capturable,
        )

    def scalar(self, value: float, w: Tensor, group: Group) -> Tensor:
        return super().scalar(value, w, group | {"capturable": True})  # beside w always, in torch

    def memory(self, w: Tensor, group: Group) -> dict[str, Tensor]:
        lr = group["lr"].item() if isinstance(group["lr"], Tensor) else group["lr"]
        return {
            "step": self.scalar(0.0, w, group),
            "eta": self.scalar(lr, w, group),
            "mu": self.scalar(1.0, w, group),
            "ax": torch.zeros_like(w),
        }

    def update(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        lr, lambd, a = group["lr"], group["lambd"], state["ax"]
        eta, mu = (self.read(name, state, group) for name in ("eta", "mu"))
        t = self.tick(state, group)

        w.mul_(1 - lambd * eta).add_(g, -eta)
        if isinstance(mu, Tensors) or mu != 1:
            a.add_((w - a) * mu)
        else:
            a.copy_(w)
        state["eta"].fill_(lr / (1 + lambd * lr * t) ** group["alpha"])
        since = t - group["t0"]
        state["mu"].fill_(1 / (since.clamp_(1, inf) if isinstance(t, Tensors) else max(1, since)))
