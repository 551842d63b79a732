"""NAdam (notes 6.2.4)."""

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .optimizer import Group, Optimizer, State
from .tensors import Tensors


class NAdam(Optimizer):
    r"""Adam that looks ahead as Nesterov does, with a momentum that warms up.

    .. math::
        g &\leftarrow g + \lambda w \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad \hat v = v / (1 - \beta_2^t) \\
        \mu_t &= \beta_1 (1 - \tfrac12 0.96^{t \psi}) \\
        \hat m &= \frac{\mu_{t+1}}{1 - \prod_{i=1}^{t+1} \mu_i} m
            + \frac{1 - \mu_t}{1 - \prod_{i=1}^{t} \mu_i} g \\
        w &\leftarrow w - \eta\, \hat m / (\sqrt{\hat v} + \varepsilon)

    Args:
        params: parameters, or groups of them.
        lr: :math:`\eta`.
        betas: :math:`\beta_1, \beta_2`, the memory of the two averages.
        eps: :math:`\varepsilon`, keeps the division finite.
        weight_decay: :math:`\lambda`, the L2 penalty.
        momentum_decay: :math:`\psi`, how fast :math:`\mu` rises from half of :math:`\beta_1`.
        decoupled_weight_decay: shrink w by :math:`\eta \lambda w` and leave g alone.
        foreach: whole groups at once, see :class:`Optimizer`.
        maximize: climb instead.
        capturable: keep the counters tensors beside the parameter.
        differentiable: record the step itself.

    Raises: ValueError for a negative hyper-parameter or a beta outside [0, 1); RuntimeError for a
        sparse gradient.
    Source: notes 6.2.4 (the rule it builds on), Dozat 2016.
    """

    ELEMENTWISE = True
    SCALARS = ("step", "mu_product")

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
            foreach=foreach,
            capturable=capturable,
            differentiable=differentiable,
        )

    def memory(self, w: Tensor, group: Group) -> dict[str, Tensor]:
        return {
            "step": self.scalar(0.0, w, group),
            "mu_product": self.scalar(1.0, w, group),
            "exp_avg": torch.zeros_like(w),
            "exp_avg_sq": torch.zeros_like(w),
        }

    def update(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        lr, (beta1, beta2), psi = group["lr"], group["betas"], group["momentum_decay"]
        m, v, t = state["exp_avg"], state["exp_avg_sq"], self.tick(state, group)
        mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (k * psi)) for k in (t, t + 1))
        state["mu_product"].mul_(mu)
        product = self.read("mu_product", state, group)

        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, 1 - beta2)
        root = (v / (1 - beta2**t)).sqrt().add_(group["eps"])
        w.addcdiv_(g, root, -lr * (1 - mu) / (1 - product))
        w.addcdiv_(m, root, -lr * mu_next / (1 - product * mu_next))
