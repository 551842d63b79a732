"""RMSprop (notes 6.2.3)."""

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .optimizer import Group, Optimizer, State
from .tensors import Tensors


class RMSprop(Optimizer):
    r"""AdaGrad that forgets: divide by the root of a moving average of the squared gradient.

    .. math::
        g &\leftarrow g + \lambda w \\
        v &\leftarrow \alpha v + (1 - \alpha) g^2 \\
        a &\leftarrow \alpha a + (1 - \alpha) g \qquad \text{(centered; else } a = 0) \\
        b &\leftarrow \mu b + g / (\sqrt{v - a^2} + \varepsilon) \\
        w &\leftarrow w - \eta b

    Args:
        params: parameters, or groups of them.
        lr: :math:`\eta`.
        alpha: :math:`\alpha`, the memory of the averages.
        eps: :math:`\varepsilon`, keeps the division finite.
        weight_decay: :math:`\lambda`, the L2 penalty.
        momentum: :math:`\mu`.
        centered: divide by the standard deviation of the gradient.
        capturable: keep the step counter a tensor beside the parameter.
        foreach: whole groups at once, see :class:`Optimizer`.
        maximize: climb instead.
        differentiable: record the step itself.

    Raises: ValueError for a negative hyper-parameter; RuntimeError for a sparse gradient.
    Source: notes 6.2.3, Hinton's lecture 6e (2012), Graves 2013 (arXiv 1308.0850) for the centred
        form. The notes' code has epsilon 1e-7, torch and this class 1e-8.
    """

    ELEMENTWISE = True

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        if not alpha >= 0:
            raise ValueError(f"alpha must be at least 0, got {alpha}")
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            alpha=alpha,
            eps=eps,
            centered=centered,
            weight_decay=weight_decay,
            capturable=capturable,
            foreach=foreach,
            maximize=maximize,
            differentiable=differentiable,
        )

    def memory(self, w: Tensor, group: Group) -> dict[str, Tensor]:
        names = ["square_avg"]
        names += ["momentum_buffer"] * (group["momentum"] > 0) + ["grad_avg"] * group["centered"]
        return {"step": self.scalar(0.0, w, group)} | {name: torch.zeros_like(w) for name in names}

    def update(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        self.tick(state, group)
        lr, alpha, mu, v = group["lr"], group["alpha"], group["momentum"], state["square_avg"]

        v.mul_(alpha).addcmul_(g, g, 1 - alpha)
        if group["centered"]:
            a = state["grad_avg"].lerp_(g, 1 - alpha)
            v = v.clone().addcmul_(a, a, -1)
        root = v.sqrt().add_(group["eps"])
        if mu > 0:
            b = state["momentum_buffer"].mul_(mu).addcdiv_(g, root)
            w.add_(b, -lr)
        else:
            w.addcdiv_(g, root, -lr)
