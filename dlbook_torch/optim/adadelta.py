"""Adadelta (notes 6.2.3)."""

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .optimizer import Group, Optimizer, State
from .tensors import Tensors


class Adadelta(Optimizer):
    r"""Give the step the unit of the parameter: the size of past steps over that of gradients.

    .. math::
        g &\leftarrow g + \lambda w \\
        v &\leftarrow \rho v + (1 - \rho) g^2 \\
        d &= g\, \sqrt{u + \varepsilon} / \sqrt{v + \varepsilon} \\
        u &\leftarrow \rho u + (1 - \rho) d^2 \\
        w &\leftarrow w - \eta d

    Args:
        params: parameters, or groups of them.
        lr: :math:`\eta`, a factor that the paper does not have.
        rho: :math:`\rho`, the memory of the averages.
        eps: :math:`\varepsilon`, lets the first step be more than 0.
        weight_decay: :math:`\lambda`, the L2 penalty.
        foreach: whole groups at once, see :class:`Optimizer`.
        capturable: keep the step counter a tensor beside the parameter.
        maximize: climb instead.
        differentiable: record the step itself.

    Raises: ValueError for a negative hyper-parameter or rho above 1; RuntimeError for a sparse
        gradient.
    Source: notes 6.2.3, which name it as the cure of AdaGrad's fading rate; Zeiler 2012 (arXiv
        1212.5701).
    """

    ELEMENTWISE = True

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        if not 0 <= rho <= 1:
            raise ValueError(f"rho must be in [0, 1], got {rho}")
        super().__init__(
            params,
            lr=lr,
            rho=rho,
            eps=eps,
            weight_decay=weight_decay,
            maximize=maximize,
            capturable=capturable,
            foreach=foreach,
            differentiable=differentiable,
        )

    def memory(self, w: Tensor, group: Group) -> dict[str, Tensor]:
        return {
            "step": self.scalar(0.0, w, group),
            "square_avg": torch.zeros_like(w),
            "acc_delta": torch.zeros_like(w),
        }

    def update(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        self.tick(state, group)
        rho, eps, v, u = group["rho"], group["eps"], state["square_avg"], state["acc_delta"]

        v.mul_(rho).addcmul_(g, g, 1 - rho)
        d = (u + eps).sqrt().div_((v + eps).sqrt()).mul_(g)
        u.mul_(rho).addcmul_(d, d, 1 - rho)
        w.add_(d, -group["lr"])
