"""AdaGrad (notes 6.2.3)."""

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .optimizer import Group, Optimizer, State
from .tensors import Tensors


class Adagrad(Optimizer):
    r"""Let every element's rate fall as its own gradients add up.

    .. math::
        g &\leftarrow g + \lambda w \\
        h &\leftarrow h + g^2 \\
        w &\leftarrow w - \frac{\eta}{1 + (t - 1) \kappa}\, g / (\sqrt h + \varepsilon)

    Args:
        params: parameters, or groups of them.
        lr: :math:`\eta`.
        lr_decay: :math:`\kappa`.
        weight_decay: :math:`\lambda`, the L2 penalty.
        initial_accumulator_value: h before the first step.
        eps: :math:`\varepsilon`, keeps the division finite.
        foreach: whole groups at once, see :class:`Optimizer`.
        maximize: climb instead.
        differentiable: record the step itself.
        fused: as ``foreach``.

    The rate of an element never rises again, and reaches 0 only in the limit. Sparse gradients are
    taken: elements without one stay where they are.

    Raises: ValueError for a negative hyper-parameter; RuntimeError for weight decay of a sparse
        gradient.
    Source: notes 6.2.3, Duchi et al. 2011. The notes' formula has no epsilon, their code 1e-7, and
        torch and this class 1e-10.
    """

    SPARSE = True
    ELEMENTWISE = True

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        super().__init__(
            params,
            lr=lr,
            lr_decay=lr_decay,
            eps=eps,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            foreach=foreach,
            maximize=maximize,
            differentiable=differentiable,
            fused=fused,
        )
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = self.memory(p, group)

    def share_memory(self) -> None:
        """Move the sums to shared memory, for training by several processes."""
        for state in self.state.values():
            state["sum"].share_memory_()

    def memory(self, w: Tensor, group: Group) -> dict[str, Tensor]:
        start = self.defaults["initial_accumulator_value"]
        start = complex(start, start) if w.is_complex() else start
        return {"step": self.scalar(0.0, w, group), "sum": torch.full_like(w, start)}

    def update(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        h, t, eps = state["sum"], self.tick(state, group), group["eps"]
        rate = group["lr"] / (1 + (t - 1) * group["lr_decay"])
        if g.is_sparse:
            g = g.each(torch.Tensor.coalesce)
            h.add_(g * g)
            g = g.each(lambda g, h: _scaled(g, h, eps), h)
            w.add_(g, -rate)
        else:
            h.addcmul_(g, g)
            w.addcdiv_(g, h.sqrt().add_(eps), -rate)


def _scaled(g: Tensor, h: Tensor, eps: float) -> Tensor:
    """The elements of a sparse g over the roots of theirs of h."""
    root = h.sparse_mask(g).values().sqrt().add_(eps)
    return torch.sparse_coo_tensor(g.indices(), g.values() / root, g.shape, check_invariants=False)
