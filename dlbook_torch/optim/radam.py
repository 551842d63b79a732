"""RAdam (notes 6.2.4)."""

from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .optimizer import Group, Optimizer, State
from .tensors import Tensors


class RAdam(Optimizer):
    r"""Adam that trusts its scale only once enough gradients have been averaged.

    .. math::
        g &\leftarrow g + \lambda w \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, & \hat m &= m / (1 - \beta_1^t) \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) g^2, &
        \rho &= \rho_\infty - 2 t \beta_2^t / (1 - \beta_2^t), \quad
        \rho_\infty = \tfrac{2}{1 - \beta_2} - 1 \\
        r &= \sqrt{\frac{(\rho - 4)(\rho - 2)\rho_\infty}
            {(\rho_\infty - 4)(\rho_\infty - 2)\rho}} \\
        w &\leftarrow w - \eta\, \hat m\, \begin{cases}
            r \sqrt{1 - \beta_2^t} / (\sqrt v + \varepsilon) & \rho > 5 \\
            1 & \text{else} \end{cases}

    Args:
        params: parameters, or groups of them.
        lr: :math:`\eta`.
        betas: :math:`\beta_1, \beta_2`, the memory of the two averages.
        eps: :math:`\varepsilon`, keeps the division finite.
        weight_decay: :math:`\lambda`, the L2 penalty.
        decoupled_weight_decay: shrink w by :math:`\eta \lambda w` and leave g alone.
        foreach: whole groups at once, see :class:`Optimizer`.
        maximize: climb instead.
        capturable: keep the step counter a tensor beside the parameter.
        differentiable: record the step itself.

    With the default betas the first five steps are plain momentum.

    Raises: ValueError for a negative hyper-parameter or a beta outside [0, 1); RuntimeError for a
        sparse gradient.
    Source: notes 6.2.4 (the rule it builds on), Liu et al. 2020 (arXiv 1908.03265).
    """

    ELEMENTWISE = True

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            decoupled_weight_decay=decoupled_weight_decay,
            differentiable=differentiable,
        )

    def memory(self, w: Tensor, group: Group) -> dict[str, Tensor]:
        return {
            "step": self.scalar(0.0, w, group),
            "exp_avg": torch.zeros_like(w),
            "exp_avg_sq": torch.zeros_like(w),
        }

    def update(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        lr, (beta1, beta2), eps = group["lr"], group["betas"], group["eps"]
        m, v, t = state["exp_avg"], state["exp_avg_sq"], self.tick(state, group)

        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, 1 - beta2)
        step = (m / (1 - beta1**t)).mul_(lr)
        limit = 2 / (1 - beta2) - 1
        rho = limit - 2 * t * beta2**t / (1 - beta2**t)
        r2 = (rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho)
        if isinstance(rho, Tensors):  # not to be read: both steps are made, one is taken
            step = _scaled(step, v, r2, 1 - beta2**t, eps).each(_where_above_5, rho, step)
        elif rho > 5:
            step = _scaled(step, v, r2, 1 - beta2**t, eps)
        w.add_(step, -1)


def _scaled(step: Tensors, v: Tensors, r2: Any, correction: Any, eps: float) -> Tensors:
    return (step * (correction**0.5 / v.sqrt().add_(eps))).mul_(r2**0.5)


def _where_above_5(scaled: Tensor, rho: Tensor, plain: Tensor) -> Tensor:
    return torch.where(rho > 5, scaled, plain)
