"""What every update rule shares (notes 6.1): the loop over parameters, the legal ranges."""

from collections.abc import Callable
from math import inf
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

# A hyper-parameter means the same in every rule, so its range is written once: low <= value < high.
RANGES: dict[str, tuple[float, float]] = {
    "lr": (0, inf),
    "eps": (0, inf),
    "weight_decay": (0, inf),
    "momentum": (0, inf),
    "betas": (0, 1),
}


class Optimizer(torch.optim.Optimizer):
    r"""Repeat :math:`w \leftarrow w - (\text{something made of the gradient})`.

    A rule is one method, :meth:`update`; this class walks the groups and calls it. Parameter
    groups, hooks and ``state_dict`` are torch's own, and a rule keeps its state under torch's
    names, so a run passes between a rule and its twin in either direction, at any step.

    ``foreach`` and ``fused`` choose among torch's implementations of one rule; they are kept for
    the twin and make no difference here, and neither does ``capturable``, but for where the step
    counter lives.

    Raises: ValueError for a hyper-parameter outside its range.
    Source: notes 6.1.
    """

    def __init__(self, params: ParamsT, **defaults: Any):
        for name, value in defaults.items():
            low, high = RANGES.get(name, (-inf, inf))
            for v in value if isinstance(value, tuple | list) else (value,):
                if isinstance(v, int | float | Tensor) and not low <= v < high:
                    raise ValueError(f"{name} must be in [{low}, {high}), got {value}")
        super().__init__(params, defaults)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient; return what ``closure`` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.set_grad_enabled(self.defaults.get("differentiable", False)):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self.update(p, -p.grad if group["maximize"] else p.grad, group)
        return loss

    def update(self, w: Tensor, g: Tensor, group: dict[str, Any]) -> None:
        """Move ``w`` by its gradient ``g``; ``self.state[w]`` is its own, and empty at first."""
        raise NotImplementedError(f"{type(self).__name__} has no update rule")

    def counter(self, w: Tensor, group: dict[str, Any]) -> Tensor:
        """A step counter as torch keeps it: float32, beside ``w`` only where the twin needs it."""
        beside = group.get("capturable") or group.get("fused")
        return torch.zeros((), dtype=torch.float32, device=w.device if beside else None)
