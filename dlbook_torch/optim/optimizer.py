"""What every update rule shares (notes 6.1): the loop over groups, legal ranges, state layout."""

from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .tensors import Tensors

Group: TypeAlias = dict[str, Any]
State: TypeAlias = dict[str, Tensors]

# A hyper-parameter means the same in every rule, so its range is written once: low <= value < high.
RANGES: dict[str, tuple[float, float]] = {
    "lr": (0, inf),
    "eps": (0, inf),
    "weight_decay": (0, inf),
    "momentum": (0, inf),
    "betas": (0, 1),
    "lr_decay": (0, inf),
    "momentum_decay": (0, inf),
    "initial_accumulator_value": (0, inf),
}
# What a group from before an argument existed is completed with.
ABSENT = {"momentum": 0, "foreach": None, "fused": None}


class Optimizer(torch.optim.Optimizer):
    r"""Repeat :math:`w \leftarrow w - (\text{something made of the gradient})`.

    A rule is one method, :meth:`update`, with the formula in it, and :meth:`memory`, what it
    remembers of a parameter. This class walks the groups. It hands a rule either one parameter
    after the other or all of a group that are alike as one :class:`Tensors`; the formula is the
    same. Parameter groups, hooks and ``state_dict`` are torch's own, and a rule keeps its state
    under torch's names, so a run passes between a rule and its twin in either direction, at any
    step.

    * ``foreach``: whole groups at once. None decides as torch does: yes on a GPU, where it saves
      launches, and no on a CPU, where one parameter stays in the cache through all of its formula.
    * ``fused``: torch's one-kernel form; here the same as ``foreach``.
    * ``capturable``: the step counter stays a tensor beside its parameter and is never read as a
      number, so that a step can be recorded into a CUDA graph. Torch refuses it on a CPU.
    * ``differentiable``: the step itself is recorded.

    Complex parameters move as pairs of real numbers. A learning rate may be a tensor of one
    element.

    Raises: ValueError for a hyper-parameter outside its range; RuntimeError for ``fused`` beside
        ``differentiable`` or ``foreach``, and at a step with a sparse gradient that the rule has
        no formula for.
    Source: notes 6.1.
    """

    SPARSE = False  # whether the rule has a formula for sparse gradients
    SCALARS: tuple[str, ...] = ("step",)  # what a rule reads of its memory as numbers

    def __init__(self, params: ParamsT, **defaults: Any):
        for name, value in defaults.items():
            for v in value if isinstance(value, tuple | list) else (value,):
                _check(name, v, value)
        for other in ("differentiable", "foreach"):
            if defaults.get("fused") and defaults[other]:
                raise RuntimeError(f"fused=True does not go with {other}=True")
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name in self.defaults:
                group.setdefault(name, ABSENT.get(name, False))
            for p in group["params"]:
                if isinstance(t := self.state.get(p, {}).get("step"), float | int):
                    self.state[p]["step"] = self.scalar(t, p, group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move every parameter that has a gradient; return what ``closure`` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.set_grad_enabled(self.defaults.get("differentiable", False)):
            for group in self.param_groups:
                params: list[Tensor] = []
                self._init_group(group, params)
                for alike in self.bundles(params, group):
                    self._move(alike, group)
        return loss

    def update(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        """Move ``w`` by its gradient ``g``, which may be a parameter of its own or many at once.

        ``state`` is what :meth:`memory` made of them; what is written to it is kept.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update rule")

    def memory(self, w: Tensor, group: Group) -> dict[str, Tensor]:
        """What the rule remembers of ``w``, as it is before the first step."""
        return {}

    def tick(self, state: State, group: Group) -> Any:
        """Count a step: t, from 1."""
        state["step"].add_(1)
        return self.read("step", state, group)

    def read(self, name: str, state: State, group: Group) -> Any:
        """A counter, the same of all that move together: a number; tensors where none may be read.

        Beside parameters in float64 they are float64 too, as exact as the number would be.
        """
        counters = state[name]
        if not _live(group):
            return counters.tensors[0].item()
        wide = any(value.tensors[0].dtype == torch.float64 for value in state.values())
        return counters.each(torch.Tensor.double) if wide else counters

    def scalar(self, value: float, w: Tensor, group: Group) -> Tensor:
        """A counter as torch keeps it: beside ``w`` only where it is never read as a number."""
        fused = group.get("fused")
        dtype = torch.float32 if fused else torch.get_default_dtype()
        dtype = dtype if dtype == torch.float64 else torch.float32
        beside = fused or group.get("capturable")
        return torch.tensor(value, dtype=dtype, device=w.device if beside else "cpu")

    def bundles(self, params: list[Tensor], group: Group) -> Iterator[list[Tensor]]:
        """Lists of parameters that one call of the rule moves."""
        foreach = group.get("foreach") or group.get("fused")
        if foreach is None and not group.get("differentiable"):
            foreach = all(p.device.type in ("cuda", "xpu") for p in params)
        if not foreach:
            yield from ([p] for p in params)
            return
        alike: dict[Any, list[Tensor]] = {}
        for p in params:
            state = self.state.get(p, {})
            numbers = () if _live(group) else [state[k].item() for k in self.SCALARS if k in state]
            kind = (p.dtype, p.device, p.grad is not None and p.grad.layout, *state, *numbers)
            alike.setdefault(kind, []).append(p)
        yield from alike.values()

    def _init_group(self, group: Group, params: list[Tensor]) -> None:
        """List the parameters that have a gradient; those met first get their memory.

        torch.compile knows this name, and runs it as it stands outside the compiled step.
        """
        for p in group["params"]:
            if p.grad is None:
                continue
            if p.grad.is_sparse and not self.SPARSE:
                raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
            if group.get("fused") and not p.is_floating_point():
                raise RuntimeError(f"fused=True needs real parameters, got one of {p.dtype}")
            if not self.state.get(p) and (memory := self.memory(p, group)):
                self.state[p] = memory
            params.append(p)

    def _move(self, params: Sequence[Tensor], group: Group) -> None:
        """Call the rule on parameters that are alike, and keep what it adds to their memory."""
        states = [self.state.get(p, {}) for p in params]
        w = Tensors([_real(p) for p in params])
        g = Tensors([_real(p.grad) for p in params if p.grad is not None])
        before = {
            k: Tensors([_real(s[k]) for s in states]) for k, v in states[0].items() if v is not None
        }
        state = dict(before)
        if torch.is_grad_enabled():  # an earlier step was recorded with these: not written to
            state = {key: value.clone() for key, value in before.items()}
        group = {name: _number(value, group, len(params)) for name, value in group.items()}
        if group["maximize"]:
            g = -g
        self.update(w, _penalised(w, g, group), state, group)
        for key, value in state.items():
            if value is not before.get(key):
                for p, t in zip(params, value.tensors, strict=True):
                    pairs = p.is_complex() and t.dim() > p.dim()
                    self.state[p][key] = torch.view_as_complex(t) if pairs else t


def _penalised(w: Tensors, g: Tensors, group: Group) -> Tensors:
    r"""The L2 penalty: :math:`g + \lambda w`; decoupled, :math:`w` shrinks and g stays."""
    decay = group.get("weight_decay", 0)
    if isinstance(decay, float | int) and decay == 0:
        return g
    if g.tensors[0].is_sparse:
        raise RuntimeError(f"weight_decay={decay} does not go with sparse gradients")
    if group.get("decoupled_weight_decay"):
        w.mul_(1 - group["lr"] * decay)
        return g
    return g.add(w.clone() if torch.is_grad_enabled() else w, decay)


def _live(group: Group) -> bool:
    """Whether a tensor is not to be read as a number: a step is being compiled or captured."""
    return torch.compiler.is_compiling() or bool(group.get("capturable"))


def _number(value: Any, group: Group, n: int) -> Any:
    """A hyper-parameter given as a tensor: as a number, or n times where it must stay a tensor."""
    if isinstance(value, tuple):
        return tuple(_number(v, group, n) for v in value)
    if not isinstance(value, Tensor):
        return value
    live = value.requires_grad or _live(group)
    return Tensors([value.reshape(())] * n) if live else value.item()


def _real(t: Tensor) -> Tensor:
    """Complex numbers as pairs."""
    return torch.view_as_real(t) if t.is_complex() else t


def _check(name: str, value: Any, given: Any) -> None:
    """Raises: ValueError if ``value``, a part of what was ``given``, is out of its range."""
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(f"{name} as a tensor must have 1 element, got shape {tuple(value.shape)}")
    low, high = RANGES.get(name, (-inf, inf))
    if isinstance(value, int | float | Tensor) and (not value >= low or value >= high != inf):
        raise ValueError(f"{name} must be in [{low}, {high}), got {given}")
