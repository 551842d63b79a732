"""What a row of the case table is: a layer, what torch refuses, an update rule."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from ... import nn

Target = Literal["values", "classes", "probabilities"]
Make = Callable[[torch.dtype, str], tuple[Any, ...]]  # dtype and device to a call's arguments
Pair = tuple[list[Tensor], torch.optim.Optimizer]  # parameters, and the rule that moves them


@dataclass(frozen=True)
class Case:
    """A layer, its arguments, and the shape of what goes in."""

    notes: str
    name: str
    shape: tuple[int, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    target: Target | None = None
    make: Make | None = None  # of the inputs, where one of `shape` and its target do not say all
    label: str = ""  # tells rows apart that differ in `make` alone
    twin: Callable[..., torch.nn.Module] | None = None  # where torch has no class of this name

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        kwargs = ",".join(f"{k}={_brief(v)}" for k, v in self.kwargs.items())
        parts = [self.notes, self.name, shape, kwargs, self.target, self.label]
        return "-".join(filter(None, parts))

    def build(self, library: Any) -> torch.nn.Module:
        """The layer as ``dlbook_torch.nn`` or ``torch.nn`` makes it."""
        kind = self.twin if self.twin and library is torch.nn else getattr(library, self.name)
        return kind(**deepcopy(self.kwargs))

    def twins(
        self, dtype: torch.dtype = torch.float64, device: str = "cpu"
    ) -> tuple[torch.nn.Module, torch.nn.Module]:
        """Our layer and torch's with the same parameters and buffers, none of them 0 or 1."""
        ours, ref = (self.build(m).to(device, dtype) for m in (nn, torch.nn))
        with torch.no_grad():
            for t in (*ours.parameters(), *ours.buffers()):
                if t.is_floating_point():
                    t.add_(torch.rand_like(t) / 2)
        ref.load_state_dict(ours.state_dict())  # strict: the same keys and shapes
        return ours, ref

    def inputs(self, dtype: torch.dtype = torch.float64, device: str = "cpu") -> tuple[Any, ...]:
        """An input, and for a loss its target; those that can have a gradient ask for one."""
        if self.make is not None:
            return self.make(dtype, device)
        x = torch.randn(self.shape, dtype=dtype, device=device, requires_grad=True)
        if self.target is None:
            return (x,)
        if self.target == "classes":
            axis = 0 if x.dim() == 1 else 1
            shape = self.shape[:axis] + self.shape[axis + 1 :]
            return x, torch.randint(self.shape[axis], shape, device=device)
        t = torch.randn(self.shape, dtype=dtype, device=device)
        if self.target == "probabilities":
            t = t.exp() / t.exp().sum(1, keepdim=True)
        return x, t.requires_grad_()


def _brief(value: Any) -> str:
    """An argument as a test id can bear it."""
    return "tensor" if isinstance(value, Tensor) else str(value).replace(" ", "")


def rows(notes: str, name: str, *shapes: tuple[int, ...], **kwargs: Any) -> list[Case]:
    """The same arguments on every shape."""
    return [Case(notes, name, shape, kwargs) for shape in shapes]


ROW, IMAGE = (4, 5), (2, 3, 6, 5)


@dataclass(frozen=True)
class Refused:
    """Arguments or an input that torch refuses: with which exception, and the value to be named."""

    notes: str
    name: str
    kwargs: dict[str, Any]
    args: Callable[[], tuple[Tensor, ...]] | None
    error: type[Exception]
    value: str

    def __str__(self) -> str:
        kwargs = ",".join(f"{k}={_brief(v)}" for k, v in self.kwargs.items())
        return "-".join(filter(None, [self.notes, self.name, kwargs, self.value]))

    def run(self, library: Any) -> None:
        """Build the layer and, where there is an input, call it."""
        layer = getattr(library, self.name)(**self.kwargs)
        if self.args is not None:
            layer(*self.args())


def x(*shape: int) -> Callable[[], tuple[Tensor, ...]]:
    """An input of this shape."""
    return lambda: (torch.randn(shape),)


def whole(*shape: int) -> Callable[[], tuple[Tensor, ...]]:
    """An input of this shape and of whole numbers."""
    return lambda: (torch.ones(shape, dtype=torch.int64),)


def labelled(shape: tuple[int, ...], t: Any) -> Callable[[], tuple[Tensor, ...]]:
    """An input of this shape and these labels."""
    return lambda: (torch.randn(shape), torch.as_tensor(t))


@dataclass(frozen=True)
class Rule:
    """An update rule and its hyper-parameters."""

    notes: str
    name: str
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        kwargs = ",".join(f"{k}={_brief(v)}" for k, v in self.kwargs.items())
        return "-".join(filter(None, [self.notes, self.name, kwargs]))

    def build(
        self,
        library: Any,
        dtype: torch.dtype = torch.float64,
        device: str = "cpu",
        **options: Any,
    ) -> Pair:
        """Three parameters in two groups, the same at every call, and the rule that moves them."""
        draw = torch.Generator().manual_seed(0)
        kind = torch.complex128 if dtype.is_complex else torch.float64
        params = [
            torch.randn(s, dtype=kind, generator=draw).to(device, dtype).requires_grad_()
            for s in ((3, 2), (5,), ())
        ]
        groups = [dict(params=params[:2]), dict(params=params[2:], lr=0.01)]
        return params, self.over(library, groups, **options)

    def over(self, library: Any, params: Any, **options: Any) -> torch.optim.Optimizer:
        """The rule over given parameters, as ``dlbook_torch.optim`` or ``torch.optim`` makes it."""
        return getattr(library, self.name)(params, **deepcopy(self.kwargs) | options)

    def tensors(self) -> list[Tensor]:
        """The hyper-parameters that are given as tensors."""
        parts = (v if isinstance(v, tuple) else (v,) for v in self.kwargs.values())
        return [v for values in parts for v in values if isinstance(v, Tensor)]

    def takes_groups(self) -> bool:
        """Whether torch takes ``foreach``: its Adam does not beside a tensor."""
        return not (self.tensors() and self.name in ("Adam", "AdamW"))
