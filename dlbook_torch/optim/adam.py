"""Adam (notes 6.2)."""

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .optimizer import Group, Optimizer, State
from .tensors import Tensors


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
        foreach: whole groups at once, see :class:`Optimizer`.
        maximize: climb instead.
        capturable: keep the step counter a tensor beside the parameter.
        differentiable: record the step itself.
        fused: as ``foreach``.
        decoupled_weight_decay: shrink w by :math:`\eta \lambda w` and leave g alone (AdamW).

    The step does not change when all gradients are multiplied by a number, but for eps.

    Raises: ValueError for a negative lr, eps or weight decay, or a beta outside [0, 1) or not of
        the other's type; RuntimeError for a sparse gradient.
    Source: notes 6.2.4, Kingma and Ba 2015 (arXiv 1412.6980), Reddi et al. 2018 (arXiv 1904.09237)
        for amsgrad. The notes' code adds epsilon before v is corrected ("epsilon-hat"); torch and
        this class add it after.
    """

    ELEMENTWISE = True

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
        if foreach and not capturable and any(isinstance(v, Tensor) for v in (lr, *betas)):
            raise ValueError(
                "foreach=True without capturable=True does not take a tensor for lr or betas, "
                f"got lr={lr} and betas={betas}"
            )
        if not any(all(isinstance(b, kind) for b in betas) for kind in (float, Tensor)):
            raise ValueError(f"betas must be two floats or two tensors, got {betas}")
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

    def memory(self, w: Tensor, group: Group) -> dict[str, Tensor]:
        names = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * group["amsgrad"]
        return {"step": self.scalar(0.0, w, group)} | {name: torch.zeros_like(w) for name in names}

    def update(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        lr, (beta1, beta2), eps = group["lr"], group["betas"], group["eps"]
        m, v, t = state["exp_avg"], state["exp_avg_sq"], self.tick(state, group)

        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, 1 - beta2)
        if group["amsgrad"]:
            v = state["max_exp_avg_sq"].maximum_(v)
        root = v.sqrt().div_((1 - beta2**t) ** 0.5).add_(eps)
        w.addcdiv_(m, root, -lr / (1 - beta1**t))
