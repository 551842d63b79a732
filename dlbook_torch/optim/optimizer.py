"""What every update rule shares (notes 6.1): the loop over groups, legal ranges, state layout."""

from collections.abc import Callable, Iterator
from functools import partial
from math import inf
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from .compiled import LIMIT, Kernels, check_compiler
from .script import Script, run
from .tensors import Tensors, heavy, loads

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

    * ``foreach``: whole groups at once, which on a GPU saves launches. None decides: yes, but for
      recorded steps. On a CPU a group goes through the formula in loads, small parameters together
      and a big one piece by piece, so that the memory of what is made on the way is used again.
    * ``fused``: torch's one-kernel form; here the same as ``foreach``.
    * ``capturable``: the step counter stays a tensor beside its parameter and is never read as a
      number, so that a step can be recorded into a CUDA graph. Torch refuses it on a CPU.
    * ``differentiable``: the step itself is recorded.

    Complex parameters move as pairs of real numbers. A learning rate may be a tensor of one
    element.

    Raises: ValueError for a hyper-parameter outside its range; TypeError for one that is no
        number; RuntimeError for ``fused`` beside ``differentiable`` or ``foreach``, and at a step
        with a sparse gradient that the rule has no formula for.
    Source: notes 6.1.
    """

    SPARSE = False  # whether the rule has a formula for sparse gradients
    ELEMENTWISE = False  # whether every element of a parameter moves by itself
    SCALARS: tuple[str, ...] = ("step",)  # what a rule reads of its memory as numbers
    _kernels: Kernels | None = None

    def __init__(self, params: ParamsT, **defaults: Any):
        for name, value in defaults.items():
            for v in value if name == "betas" else (value,):
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
                state = self.state.get(p, {})
                for name in self.SCALARS:
                    if isinstance(value := state.get(name), float | int):
                        state[name] = self.scalar(value, p, group)

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

    def compile(self) -> None:
        """Compile the step, as ``torch.nn.Module.compile`` compiles a forward pass.

        From now on all parameters of a group that are alike move in one kernel, which reads and
        writes every element once. The first step takes seconds for it; a schedule, a momentum that
        cycles or a loaded state costs no more. Results are those of the plain step but for
        rounding. Steps that are recorded or captured, that have sparse gradients or begin a
        velocity, go on as ever; so does a copy of this object.

        Raises: RuntimeError if there is no C++ compiler for parameters on a CPU.
        """
        if any(p.is_cpu for group in self.param_groups for p in group["params"]):
            check_compiler()
        self._kernels = Kernels()

    def update(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        """Move ``w`` by its gradient ``g``, which may be a parameter of its own or many at once.

        ``state`` is what :meth:`memory` made of them; what is written to it is kept. Of a rule that
        is ``ELEMENTWISE`` the formula may be written down instead (:class:`Script`) and run on
        pieces of a parameter: it is to use the operations of :class:`Tensors` alone, and to count
        in what ``SCALARS`` names.
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
        """Lists of parameters that are alike, so that one call of the rule moves them."""
        live = _live(group)
        together = group.get("foreach") or group.get("fused") or self._kernels is not None
        if group.get("foreach") is None and not group.get("differentiable"):
            gpu = all(p.device.type in ("cuda", "xpu") for p in params)
            together = together or gpu or (self.ELEMENTWISE and not live)
        if not together:
            yield from ([p] for p in params)
            return
        alike: dict[Any, list[Tensor]] = {}
        for p in params:
            state = self.state.get(p) or {}
            names = [k for k, v in state.items() if v is not None]
            numbers = [] if live else [state[k].item() for k in self.SCALARS if k in names]
            kind = (p.dtype, p.device, p.grad is not None and p.grad.layout, *names, *numbers)
            alike.setdefault(kind, []).append(p)
        yield from alike.values()

    def _init_group(self, group: Group, params: list[Tensor]) -> None:
        """List the parameters that have a gradient; those met first get their memory.

        torch.compile knows this name, and runs it as it stands outside the compiled step.
        """
        for p in group["params"]:
            if p.grad is None:
                continue
            if p.grad.is_sparse:
                self._check_sparse(group)
            if group.get("fused") and not p.is_floating_point():
                raise RuntimeError(f"fused=True needs real parameters, got one of {p.dtype}")
            if not self.state.get(p) and (memory := self.memory(p, group)):
                self.state[p] = memory
            params.append(p)

    def _check_sparse(self, group: Group) -> None:
        if not self.SPARSE:
            raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
        if (decay := group.get("weight_decay", 0)) != 0:
            raise RuntimeError(f"weight_decay={decay} does not go with sparse gradients")

    def _move(self, params: list[Tensor], group: Group) -> None:
        """Call the rule on parameters that are alike, and keep what it adds to their memory."""
        states = [self.state.get(p, {}) for p in params]
        w = Tensors(_real(params))
        g = Tensors(_real([p.grad for p in params if p.grad is not None]))
        before = {
            k: Tensors(_real([s[k] for s in states])) for k, v in states[0].items() if v is not None
        }
        group = {k: _number(v, group, len(params)) for k, v in group.items() if k != "params"}
        plain = self.ELEMENTWISE and not (_recording(group) or g.is_sparse)
        if plain and self._by_lines(w, g, before, group):
            return
        state = dict(before)
        self._formula(w, g, state, group)
        for key, value in state.items():
            if value is not before.get(key):
                for p, t in zip(params, value.tensors, strict=True):
                    pairs = p.is_complex() and t.dim() > p.dim()
                    self.state[p][key] = torch.view_as_complex(t) if pairs else t

    def _by_lines(self, w: Tensors, g: Tensors, state: State, group: Group) -> bool:
        """Write the formula down, and run its lines load by load or compiled.

        False, and nothing is done, where all are but a few loads or the formula adds to the memory.
        """
        counters = {k: state[k] for k in self.SCALARS if k in state}
        memory = {k: v for k, v in state.items() if k not in counters}
        entries = [w, g, *memory.values()]
        if self._kernels is None and not heavy(w.tensors):
            return False
        script = Script(partial(self._formula, group=group), memory, counters)
        if script.adds:
            return False
        if self._kernels is not None:
            self._kernels.run(script, entries, LIMIT * len(self.param_groups))
            return True
        for part in loads(entries, made=any(script.done)):
            run(script, part, script.numbers)
        return True

    def _formula(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        """The rule with what all rules have beside it: the direction, and weight decay."""
        if group["maximize"]:
            g = -g
        self.update(w, _penalised(w, g, group), state, group)


def _penalised(w: Tensors, g: Tensors, group: Group) -> Tensors:
    r"""The L2 penalty: :math:`g + \lambda w`; decoupled, :math:`w` shrinks and g stays."""
    decay = group.get("weight_decay", 0)
    if isinstance(decay, float | int) and decay == 0:
        return g
    if group.get("decoupled_weight_decay"):
        w.mul_(1 - group["lr"] * decay)
        return g
    return g.add(w, decay)


def _live(group: Group) -> bool:
    """Whether a tensor is not to be read as a number: a step is being compiled or captured."""
    return torch.compiler.is_compiling() or bool(group.get("capturable"))


def _recording(group: Group) -> bool:
    """Whether a step is to be recorded in any way: by autograd, for a compiler or in a graph."""
    return torch.is_grad_enabled() or _live(group)


def _number(value: Any, group: Group, n: int) -> Any:
    """A hyper-parameter given as a tensor: as a number, or n times where it must stay a tensor."""
    if isinstance(value, tuple | list):
        return tuple(_number(v, group, n) for v in value)
    if not isinstance(value, Tensor):
        return value
    live = value.requires_grad or _live(group)
    return Tensors([value.reshape(())] * n) if live else value.item()


def _real(tensors: list[Tensor]) -> list[Tensor]:
    """Complex numbers as pairs."""
    return [torch.view_as_real(t) for t in tensors] if tensors[0].is_complex() else tensors


def _check(name: str, value: Any, given: Any) -> None:
    """Look at ``value``, a part of what was ``given``.

    Raises: ValueError if it is out of its range, TypeError if it cannot be compared with one.
    """
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(f"{name} as a tensor must have 1 element, got shape {tuple(value.shape)}")
    if name not in RANGES:
        return
    low, high = RANGES[name]
    try:
        inside = low <= value and (high == inf or value < high)
    except TypeError:
        raise TypeError(f"{name} must be a number, got {given!r}") from None
    if not inside:
        raise ValueError(f"{name} must be in [{low}, {high}), got {given}")
