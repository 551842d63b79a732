"""Adam (notes 6.2)."""

from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .optimizer import Optimizer


class Adam(Optimizer):
    r"""Momentum for the direction, AdaGrad for the scale, both as unbiased moving averages.

    .. math::
        g &\leftarrow g + \lambda w \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, & \hat m &= m / (1 - \beta_1^t) \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) g^2, & \hat v &= v / (1 - \beta_2^t) \\
        w &\leftarrow w - \eta\, \hat m / (\sqrt{\hat v} + \varepsilon)

    Args:
        params: parameters, or groups of them.
        lr: :math:`\eta`, about the largest step that an element takes.
        betas: :math:`\beta_1, \beta_2`, the memory of the two averages.
        eps: :math:`\varepsilon`, keeps the division finite.
        weight_decay: :math:`\lambda`, the L2 penalty.
        amsgrad: divide by the largest v so far.
        foreach: kept for torch's twin, see :class:`Optimizer`.
        maximize: climb instead.
        capturable: keep the step counter beside the parameter.
        differentiable: record the step itself for differentiation.
        fused: kept for torch's twin.
        decoupled_weight_decay: shrink w by :math:`\eta \lambda w` and leave g alone (AdamW).

    Raises: ValueError for a negative lr, eps or weight decay, or a beta outside [0, 1).
    Source: notes 6.2.4, Kingma and Ba 2015 (arXiv 1412.6980). The notes' code adds epsilon before v
        is corrected ("epsilon-hat"); torch and this class add it after.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ):
        super().__init__(
            params,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=decoupled_weight_decay,
        )

    def update(self, w: Tensor, g: Tensor, group: dict[str, Any]) -> None:
        if g.is_sparse:
            raise RuntimeError("Adam does not support sparse gradients, got one: use SparseAdam")
        state = self.state[w]
        if not state:
            state["step"] = self.counter(w, group)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(w), torch.zeros_like(w)
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = torch.zeros_like(w)
        state["step"] += 1
        lr, (beta1, beta2), t = group["lr"], group["betas"], state["step"].item()
        m, v = state["exp_avg"], state["exp_avg_sq"]

        if group["decoupled_weight_decay"]:
            w.mul_(1 - lr * group["weight_decay"])
        elif group["weight_decay"] != 0:
            g = g + group["weight_decay"] * w
        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).add_((1 - beta2) * (g * g))
        if group["amsgrad"]:
            v = torch.maximum(state["max_exp_avg_sq"], v, out=state["max_exp_avg_sq"])
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        w.sub_(lr * m_hat.div_(v_hat.sqrt_().add_(group["eps"])))
