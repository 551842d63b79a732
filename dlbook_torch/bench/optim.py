"""Time of one step over the parameters of ResNet-18: our rules against torch's forms of them."""

import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import process_time
from typing import Any

import torch
from rich.table import Table
from torch import Tensor
from torchvision.models import resnet18

from .. import optim
from .machine import machine

RULES = [name for name in optim.__all__ if name not in ("Optimizer", "lr_scheduler")]
SETTINGS: dict[str, dict[str, Any]] = {"SGD": dict(lr=1e-3, momentum=0.9)}
BASE = "torch"
Step = Callable[[], Any]


def parameters() -> list[Tensor]:
    """62 tensors of 11.7 million numbers in all, with a gradient each."""
    with torch.device("meta"):
        shapes = [p.shape for p in resnet18().parameters()]
    params = [torch.randn(shape).requires_grad_() for shape in shapes]
    for p in params:
        p.grad = torch.randn_like(p)
    return params


def contestants(name: str) -> dict[str, Step]:
    """The same rule in ours and torch's forms; torch's own form stands there twice."""
    kwargs = SETTINGS.get(name, {})
    forms: dict[str, tuple[Any, dict[str, Any]]] = {
        BASE: (torch.optim, {}),
        "torch again": (torch.optim, {}),
        "torch foreach": (torch.optim, dict(foreach=True)),
        "torch fused": (torch.optim, dict(fused=True)),
        "ours": (optim, {}),
        "ours foreach": (optim, dict(foreach=True)),
    }
    return {
        form: getattr(library, name)(parameters(), **kwargs, **more).step
        for form, (library, more) in forms.items()
        if set(more) <= set(inspect.signature(getattr(library, name)).parameters)
    }


def ratios(steps: Mapping[str, Step], rounds: int) -> dict[str, float]:
    """Median over the rounds of each one's time to that of torch's; all step once in a round.

    Process time, so that other work on the machine counts little; the order is drawn anew.
    """
    for step in steps.values():
        step()  # the first makes the memory
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        times = {}
        for name in random.sample(list(steps), len(steps)):
            start = process_time()
            steps[name]()
            times[name] = process_time() - start
        for name, time in times.items():
            found[name].append(time / times[BASE])
    return {name: median(values) for name, values in found.items()}


def table(names: Sequence[str], rounds: int = 21) -> Table:
    """Measure with one thread and show the figures."""
    torch.set_num_threads(1)
    title = f"One step over ResNet-18, time to torch's, median of {rounds} on {machine()}"
    columns = [form for form in contestants("Adam") if form != BASE]
    result = Table("rule", *columns, title=title)
    for name in names:
        found = ratios(contestants(name), rounds)
        result.add_row(name, *(f"{found[form]:.2f}" if form in found else "" for form in columns))
    return result
