"""Time of one step over the parameters of ResNet-18: our rules against torch's forms of them."""

import inspect
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Any

import torch
from rich.table import Table
from torch import Tensor
from torchvision.models import resnet18

from .. import optim
from .machine import machine
from .timing import interleaved, on_cpu

RULES = [name for name in optim.__all__ if name not in ("Optimizer", "lr_scheduler")]
SETTINGS: dict[str, dict[str, Any]] = {"SGD": dict(lr=1e-3, momentum=0.9)}
THEIRS, AGAIN, OURS, COMPILED = "torch", "torch again", "ours", "ours compiled"
FORMS: dict[str, tuple[Any, dict[str, Any]]] = {
    THEIRS: (torch.optim, {}),
    AGAIN: (torch.optim, {}),
    "torch foreach": (torch.optim, dict(foreach=True)),
    "torch fused": (torch.optim, dict(fused=True)),
    OURS: (optim, {}),
    COMPILED: (optim, {}),
}
Figures = dict[str, Any]


def parameters() -> list[Tensor]:
    """62 tensors of 11.7 million numbers in all, with a gradient each."""
    with torch.device("meta"):
        shapes = [p.shape for p in resnet18().parameters()]
    params = [torch.randn(shape).requires_grad_() for shape in shapes]
    for p in params:
        p.grad = torch.randn_like(p)
    return params


def forms(name: str, compiled: bool = False) -> list[str]:
    """What a rule is measured in; torch's own form stands there twice."""
    return [
        form
        for form, (library, more) in FORMS.items()
        if set(more) <= set(inspect.signature(getattr(library, name)).parameters)
        and (compiled or form != COMPILED)
    ]


def step(name: str, form: str) -> Callable[[], Any]:
    """One step of a rule in a form, over parameters of its own."""
    library, more = FORMS[form]
    moved = getattr(library, name)(parameters(), **SETTINGS.get(name, {}), **more)
    if form == COMPILED:
        moved.compile()
    made: Callable[[], Any] = moved.step
    return made


class Apart:
    """A form in a process of its own, as a user has it; a call gives its seconds for some steps.

    In one process a form would use memory that another has just given back, and pay nothing for
    what it else has to ask of the system at every step.
    """

    def __init__(self, name: str, form: str):
        ways = multiprocessing.get_all_start_methods()
        context: Any = multiprocessing.get_context("forkserver" if "forkserver" in ways else None)
        if "forkserver" in ways:
            context.set_forkserver_preload([__name__])
        self.end, there = context.Pipe()
        self.process = context.Process(target=serve, args=(there, name, form), daemon=True)
        self.process.start()
        there.close()

    def __call__(self, times: int = 1) -> float:
        self.end.send(times)
        seconds: float = self.end.recv()
        return seconds

    def __enter__(self) -> "Apart":
        return self

    def __exit__(self, *_: Any) -> None:
        self.end.close()
        self.process.join()


def serve(there: Connection, name: str, form: str) -> None:
    """The other process: as often as a number of steps comes, send their seconds back."""
    torch.set_num_threads(1)
    call = step(name, form)
    while True:
        try:
            there.send(on_cpu(call, there.recv()))
        except EOFError:
            return


def _asked(call: Any, times: int) -> float:
    """The clock is in the other process."""
    seconds: float = call(times)
    return seconds


def measure(names: Sequence[str], rounds: int = 21, compiled: bool = False) -> Iterator[Figures]:
    """Of every rule in every form: its time to torch's in the same round, and its time."""
    for name in names:
        with ExitStack() as stack:
            apart = {form: stack.enter_context(Apart(name, form)) for form in forms(name, compiled)}
            found = interleaved(apart, rounds, clock=_asked)
        for form, t in found.items():
            yield dict(rule=name, form=form, ratio=t.ratio, low=t.low, high=t.high, ms=t.ms)


def table(found: Sequence[Figures], rounds: int) -> Table:
    """Of every form the ratio with its quartiles, and its milliseconds."""
    torch.set_num_threads(1)
    title = f"One step over ResNet-18, time to torch's, median of {rounds} on {machine()}"
    result = Table("rule", title=title)
    columns = [form for form in FORMS if any(f["form"] == form for f in found)]
    for form in columns:
        result.add_column(f"{form}, ms" if form == THEIRS else form, justify="right")
    for name in dict.fromkeys(f["rule"] for f in found):
        of = {f["form"]: f for f in found if f["rule"] == name}
        cells = [_cell(of[form]) if form in of else "" for form in columns]
        result.add_row(name, *cells)
    return result


def _cell(f: Figures) -> str:
    if f["form"] == THEIRS:
        return f"{f['ms']:.1f}"
    return f"{f['ratio']:.2f} ({f['low']:.2f} to {f['high']:.2f}), {f['ms']:.1f}"
