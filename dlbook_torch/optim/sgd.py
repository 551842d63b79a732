"""Stochastic gradient descent, with and without momentum (notes 6.2)."""

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .optimizer import Group, Optimizer, State
from .tensors import Tensors


class SGD(Optimizer):
    r"""Step down the slope, or let the slope accelerate a velocity.

    .. math::
        g &\leftarrow g + \lambda w \\
        v &\leftarrow \mu v + (1 - \tau) g, \qquad v_1 = g \\
        w &\leftarrow w - \eta\, (v \;\text{or, with Nesterov,}\; g + \mu v)

    Args:
        params: parameters, or groups of them.
        lr: :math:`\eta`.
        momentum: :math:`\mu`; 0 is plain SGD and keeps no state.
        dampening: :math:`\tau`.
        weight_decay: :math:`\lambda`, the L2 penalty.
        nesterov: look ahead along the velocity.
        maximize: climb instead.
        foreach: whole groups at once, see :class:`Optimizer`.
        differentiable: record the step itself.
        fused: as ``foreach``.

    Under a constant gradient the velocity grows to :math:`g / (1 - \mu)`, ten times g for 0.9.
    Sparse gradients are taken.

    Raises: ValueError for a negative lr, momentum or weight decay, or for Nesterov without
        momentum or with dampening.
    Source: notes 6.2.1, 6.2.2. Their velocity has the learning rate inside, :math:`v \leftarrow
        \mu v - \eta g`: the same run while the rate is constant, another one under a schedule.
    """

    SPARSE = True
    ELEMENTWISE = True

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float | Tensor = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                "Nesterov momentum requires a momentum and zero dampening, "
                f"got momentum={momentum} and dampening={dampening}"
            )
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
            foreach=foreach,
            differentiable=differentiable,
            fused=fused,
        )

    def update(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        lr, mu = group["lr"], group["momentum"]
        if mu != 0:
            v = state.get("momentum_buffer")
            if v is None:
                v = state["momentum_buffer"] = g.detach().clone()
            else:
                v.mul_add_(mu, g, 1 - group["dampening"])
            g = g.add(v, mu) if group["nesterov"] else v
        w.add_(g, -lr)
