"""What a training does with an update rule: schedules, compiles, scales it, and what it calls."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.optim import lr_scheduler

from ... import optim
from ..cases import Pair, Rule
from .base import ask
from .handwritten import ELEMENTARY, Recorder
from .rule_state import options_of
from .rules import APART, UNITS, Snapshot, alike, counting_in_double, gradient, seen, walk

SCHEDULES: dict[str, dict[str, Any]] = {
    "StepLR": dict(step_size=3, gamma=0.5),
    "CosineAnnealingLR": dict(T_max=8),
    "OneCycleLR": dict(max_lr=0.3, total_steps=13),
    "CyclicLR": dict(base_lr=0.01, max_lr=0.3, step_size_up=3, base_momentum=0.6),
    "ReduceLROnPlateau": dict(patience=1, factor=0.5),
}


def scheduled(rule: Rule, name: str) -> None:
    """A scheduler turns the rate (and the momentum, or beta) of ours as it turns torch's."""

    def story(library: Any) -> tuple[list[Snapshot], list[Any]]:
        pair = rule.build(library)
        schedule = getattr(lr_scheduler, name)(pair[1], **SCHEDULES[name])
        path, turned = [], []
        for step in range(12):
            path += walk(pair, 1, step)
            schedule.step(*[1.0] * (name == "ReduceLROnPlateau"))
            turned.append(
                [
                    {k: float(v) if isinstance(v, Tensor) else v for k, v in group.items()}
                    for group in options_of(pair[1])
                ]
            )
        return path, turned

    ref = ask(story, torch.optim)
    ours = story(optim)
    assert ours[1] == ref[1]
    assert len({str(step) for step in ref[1]}) > 1, "the schedule has turned nothing"
    alike(ours[0], ref[0], UNITS)


def compiles_rule(rule: Rule, **options: Any) -> None:
    """A compiled step is one graph without a break, and is never compiled again.

    But for SGD's velocity, which at the first step is the gradient: there it is two, once each.
    A tensor rate may change from step to step.
    """
    with counting_in_double():  # a compiled step computes with the counters as tensors
        _compiled_steps(rule, **options)


def _compiled_steps(rule: Rule, **options: Any) -> None:
    graphs: list[Any] = []

    def count(graph: torch.fx.GraphModule, inputs: Any) -> Callable[..., Any]:
        graphs.append(graph)
        return graph.forward

    ours, ref = rule.build(optim, **options), ask(rule.build, torch.optim)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    step, numbers = torch.compile(ours[1].step, backend=count), []
    for k in range(6):
        for place, (p, q) in enumerate(zip(ours[0], ref[0], strict=True)):
            p.grad = (
                gradient(p, k, place) if p.grad is None else p.grad.copy_(gradient(p, k, place))
            )
            q.grad = p.grad.clone()
        for _, moved in (ours, ref):
            if isinstance(rate := moved.param_groups[0]["lr"], Tensor):
                rate.fill_(0.1 / (k + 1))
        step()
        ref[1].step()
        alike([seen(ours)], [seen(ref)], APART)
        numbers.append(len(graphs))
    breaks = dict(torch._dynamo.utils.counters["graph_break"])
    assert not breaks, f"graph breaks: {breaks}"
    first = rule.name == "SGD" and bool(rule.kwargs.get("momentum"))
    assert numbers == [1] + [1 + first] * 5, f"graphs after each step: {numbers}"


def scaled(rule: Rule) -> None:
    """A GradScaler divides the gradients again, and leaves out a step where one is infinite."""

    def story(library: Any) -> list[Snapshot]:
        pair = rule.build(library, torch.float32)
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
        path = []
        for step in range(6):
            factor = scaler.scale(torch.ones(()))
            for place, p in enumerate(pair[0]):
                g = gradient(p, step, place) * factor
                p.grad = g.masked_fill(g > 0, torch.inf) if step == 3 else g
            scaler.step(pair[1])
            scaler.update()
            path.append(seen(pair))
        return path

    ref = ask(story, torch.optim)
    ours = story(optim)
    alike(ours[2:3], ours[3:4])  # the infinite step
    alike(ours, ref, UNITS)


def sparse(rule: Rule, **options: Any) -> None:
    """Rows of a sparse gradient move as torch's do; what torch refuses, ours refuses as it does.

    Some rows are given twice, and some not at all.
    """

    def story(library: Any) -> list[Snapshot]:
        draw = torch.Generator().manual_seed(0)
        w = torch.randn(6, 2, dtype=torch.float64, generator=draw).requires_grad_()
        moved = rule.over(library, [w], **options)
        path = []
        for rows in ([0, 3, 3], [5, 0, 0, 2], [1], [3, 1, 3, 3]):
            values = torch.randn(len(rows), 2, dtype=torch.float64, generator=draw)
            w.grad = torch.sparse_coo_tensor(
                torch.tensor([rows]), values, w.shape, check_invariants=True
            )
            moved.step()
            path.append(seen(([w], moved)))
        return path

    try:
        ref = story(torch.optim)
    except RuntimeError:
        try:
            story(optim)
        except RuntimeError as error:
            if "sparse" in str(error):
                return
            raise
        raise AssertionError("torch refuses a sparse gradient, ours takes it") from None
    alike(story(optim), ref, UNITS)


@contextmanager
def calls_into_torchs_rules() -> Iterator[set[str]]:
    """Collect the functions of ``torch.optim``'s files that run, but for the base class's own."""
    called: set[str] = set()

    def watch(frame: FrameType, event: str, what: Any) -> None:
        code = frame.f_code
        _, inside, file = code.co_filename.replace("\\", "/").rpartition("/torch/optim/")
        own = file == "optimizer.py" and code.co_qualname.startswith("Optimizer.")
        if event == "call" and inside and not own:
            called.add(f"torch.optim's {file.removesuffix('.py')}.{code.co_name}")

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield called
    finally:
        sys.setprofile(before)


def handwritten_rule(rule: Rule, **options: Any) -> None:
    """The first step and the next are made of elementary operations and of our own functions.

    No fused kernel, and no function of the files in which torch keeps its rules.
    """
    pair: Pair = rule.build(optim, **options)
    with Recorder() as recorder, calls_into_torchs_rules() as called:
        for step in range(2):
            for place, p in enumerate(pair[0]):
                with torch.utils._python_dispatch._disable_current_modes():
                    p.grad = gradient(p, step, place)
            pair[1].step()
    foreign = (recorder.names - ELEMENTARY) | called
    assert not foreign, f"{rule.name} calls {', '.join(sorted(foreign))}"
