"""Adamax (notes 6.2.4)."""

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .optimizer import Group, Optimizer, State
from .tensors import Tensors


class Adamax(Optimizer):
    r"""Adam with the largest recent gradient in place of the root mean square.

    .. math::
        g &\leftarrow g + \lambda w \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad \hat m = m / (1 - \beta_1^t) \\
        u &\leftarrow \max(\beta_2 u,\; |g| + \varepsilon) \\
        w &\leftarrow w - \eta\, \hat m / u

    Args:
        params: parameters, or groups of them.
        lr: :math:`\eta`, the largest step that an element takes.
        betas: :math:`\beta_1, \beta_2`, the memory of the average and of the maximum.
        eps: :math:`\varepsilon`, keeps the division finite.
        weight_decay: :math:`\lambda`, the L2 penalty.
        foreach: whole groups at once, see :class:`Optimizer`.
        maximize: climb instead.
        differentiable: record the step itself.
        capturable: keep the step counter a tensor beside the parameter.

    Raises: ValueError for a negative hyper-parameter or a beta outside [0, 1); RuntimeError for a
        sparse gradient.
    Source: notes 6.2.4 (the rule it varies), Kingma and Ba 2015, section 7 (arXiv 1412.6980).
    """

    ELEMENTWISE = True

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            foreach=foreach,
            maximize=maximize,
            differentiable=differentiable,
            capturable=capturable,
        )

    def memory(self, w: Tensor, group: Group) -> dict[str, Tensor]:
        return {
            "step": self.scalar(0.0, w, group),
            "exp_avg": torch.zeros_like(w),
            "exp_inf": torch.zeros_like(w),
        }

    def update(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        lr, (beta1, beta2) = group["lr"], group["betas"]
        m, u, t = state["exp_avg"], state["exp_inf"], self.tick(state, group)

        m.lerp_(g, 1 - beta1)
        u.mul_(beta2).maximum_(g.abs().add_(group["eps"]))
        w.addcdiv_(m, u, -lr / (1 - beta1**t))
