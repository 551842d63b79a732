"""The fast forms of a step: a big parameter in pieces, and a step compiled into one kernel."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.optim import lr_scheduler

from ... import optim
from ...optim import compiled, script, tensors
from ...optim.script import Script
from ...optim.tensors import Tensors
from ..cases import Rule
from .base import Errors, ask
from .handwritten import ELEMENTARY, Recorder
from .rules import APART, UNITS, Snapshot, alike, seen, walk

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": torch.clone,
    "transposed": lambda t: t.t().contiguous().t(),
    "channels_last": lambda t: t.view(25, 3, 20, 1).to(memory_format=torch.channels_last),
    "strided": lambda t: t[:, 5:50],
}


def in_pieces(rule: Rule, dtype: torch.dtype = torch.float32) -> None:
    """A big parameter that is cut moves to the very bits to which the whole one moves.

    It counts every step once, in any layout, and beside small ones; of operations the cut adds no
    other than elementary ones.
    """
    for layout in LAYOUTS.values():
        whole = _big(rule, layout, dtype, 2**20)
        alike(_big(rule, layout, dtype, 64), whole)
        alike(whole, ask(_big, rule, layout, dtype, 64, torch.optim), UNITS)


def _big(
    rule: Rule,
    layout: Callable[[Tensor], Tensor],
    dtype: torch.dtype,
    load: int,
    library: Any = optim,
) -> list[Snapshot]:
    draw = torch.Generator().manual_seed(0)
    w, *gs = (layout(torch.randn(25, 60, generator=draw)).to(dtype) for _ in range(9))
    small = torch.ones(3, dtype=dtype, requires_grad=True)
    moved = rule.over(library, [w.detach().requires_grad_(), small])
    params, story = moved.param_groups[0]["params"], []
    with patch.object(tensors, "LOAD", load), Recorder() as recorder:
        for g in gs:
            params[0].grad, small.grad = g, torch.ones_like(small)
            moved.step()
            story.append(seen((params, moved)))
    if library is optim:
        assert not recorder.names - ELEMENTARY
    return story


def kernel(rule: Rule, dtype: torch.dtype = torch.float64, interpreted: bool = False) -> Errors:
    """After ``compile()`` the path is torch's, while rate, momentum and betas turn at every step.

    There are no more kernels than groups, but where the formula takes another branch in mid-run.
    With ``interpreted`` nothing is compiled: what was written down runs line by line.
    """

    def story(library: Any) -> list[Snapshot]:
        pair = rule.build(library, dtype)
        if isinstance(pair[1], optim.Optimizer):
            pair[1].compile()
            made.append(pair[1]._kernels)
        schedule, path = lr_scheduler.ExponentialLR(pair[1], 0.9), list[Snapshot]()
        for step in range(12):
            path += walk(pair, 1, step)
            schedule.step()
            for group in pair[1].param_groups:
                group |= {k: _turned(group[k]) for k in ("momentum", "betas") if k in group}
        return path

    made: list[Any] = []
    ref = ask(story, torch.optim)
    with patch.object(compiled, "compiled", by_lines) if interpreted else nullcontext():
        ours = story(optim)
    kernels, branches = len(made[0].made), 1 + (rule.name in ("RAdam", "ASGD"))
    assert 2 <= kernels <= 2 * branches, f"{kernels} kernels for 2 groups"
    return alike(ours, ref, APART)


def _turned(value: Any) -> Any:
    """A momentum or betas of the next step."""
    return 0.97 * value if isinstance(value, int | float) else tuple(0.97 * v for v in value)


def by_lines(lines: Script, count: int, *_: Any) -> Callable[..., None]:
    """In place of a kernel: the lines as they are."""

    def run(numbers: Tensor, *given: Tensor) -> None:
        parts = [Tensors(given[i : i + count]) for i in range(0, len(given), count)]
        script.run(lines, parts, dict(zip(lines.numbers, numbers.tolist(), strict=True)))

    return run
