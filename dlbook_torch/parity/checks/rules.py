"""The update rules: the same gradients, the same path, in every form that a step can take."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from math import inf
from typing import Any

import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils._pytree import tree_map_only

from ... import optim
from ..cases import Pair, Rule
from .base import Errors, ask
from .distance import distance, largest
from .handwritten import Recorder

Options = dict[str, Any]
Snapshot = list[dict[str, Tensor]]  # of every parameter: itself, and what is remembered of it

UNITS = 4  # in the last place, that a path may part from torch's; most rows part by none
APART = 16  # where it is computed in another order, with tensors in place of numbers


def seen(pair: Pair) -> Snapshot:
    """The parameters and the memory as they are now."""
    params, rule = pair
    memories = [rule.state.get(p, {}) for p in params]
    return [
        {"parameter": p.detach().clone()}
        | {key: t.detach().clone() for key, t in memory.items() if isinstance(t, Tensor)}
        for p, memory in zip(params, memories, strict=True)
    ]


@cache
def _drawn(shape: torch.Size, dtype: torch.dtype, step: int, place: int) -> Tensor:
    draw = torch.Generator().manual_seed(100 * step + place)
    g = torch.randn(shape, dtype=dtype, generator=draw)
    return g.masked_fill(torch.arange(g.numel()).view(shape) % 4 == step % 8, 0)


def gradient(p: Tensor, step: int, place: int) -> Tensor:
    """A random gradient, the same for every rule that is here at this step; a part of it is 0."""
    return _drawn(p.shape, p.dtype, step, place).to(p.device, copy=True)


def walk(pair: Pair, steps: int = 25, start: int = 0) -> list[Snapshot]:
    """Step with random gradients; what is seen after every step."""
    params, rule = pair
    story = []
    for step in range(start, start + steps):
        for place, p in enumerate(params):
            p.grad = gradient(p, step, place)
        rule.step()
        story.append(seen(pair))
    return story


def apart(
    ours: Sequence[Snapshot], theirs: Sequence[Snapshot], close: bool = False
) -> tuple[float, float]:
    """How far two paths are apart, absolute and in units in the last place of the largest so far.

    What is remembered has the same names, types and shapes, and with ``close`` every element is
    as near as the tolerance of ``assert_close`` asks.
    """
    worst, sizes = (0.0, 0.0), defaultdict[Any, float](float)
    for step, (mine, his) in enumerate(zip(ours, theirs, strict=True), start=1):
        for place, (a, b) in enumerate(zip(mine, his, strict=True)):
            story = f"step {step}, parameter {place}"
            assert set(a) == set(b), f"{story} has {sorted(a)}, not {sorted(b)}"
            for key in b:
                here, there = _real(a[key]), _real(b[key])
                kinds = [(t.dtype, t.shape, t.layout) for t in (a[key], b[key])]
                assert kinds[0] == kinds[1], f"{story}, {key} is {kinds[0]}, not {kinds[1]}"
                size = sizes[place, key] = max(sizes[place, key], largest(there).item())
                if torch.equal(here, there):
                    continue
                if close:
                    assert_close(here, there, msg=f"{story}, {key}: ".__add__, equal_nan=True)
                gap, ulp = distance(here, there, size)
                worst = max(worst[0], gap), max(worst[1], ulp)
    return worst


def _real(t: Tensor) -> Tensor:
    """Complex numbers as pairs, and sparse ones with their zeros."""
    t = t.to_dense() if t.is_sparse else t
    return torch.view_as_real(t) if t.is_complex() else t


def alike(ours: Sequence[Snapshot], theirs: Sequence[Snapshot], units: float = 0) -> Errors:
    """Two paths are the same, but for ``units`` in the last place."""
    gap, ulp = apart(ours, theirs, close=True)
    assert ulp <= units, f"{ulp:.3g} units in the last place apart, {gap:.2g} in numbers"
    return {"output": gap, "output ulp": ulp}


@contextmanager
def counting_in_double() -> Iterator[None]:
    """With counters in float64, as under that default type: where they stay tensors, as exact."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def trajectory(
    rule: Rule,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
    *,
    ours: Options | None = None,
    theirs: Options | None = None,
    units: float = UNITS,
) -> Errors:
    """The same gradients move parameters and memory the same way, step after step.

    The options are added to either side's hyper-parameters.
    """
    ref = ask(walk, ask(rule.build, torch.optim, dtype, device, **theirs or {}))
    return alike(
        walk(rule.build(optim, dtype, device, **ours or {})), ref, units if device == "cpu" else inf
    )


def captured(rule: Rule, **options: Any) -> None:
    """With ``capturable``, no counter is read, and the numbers are the same.

    Torch refuses it on a CPU: ours is compared with torch's plain form.
    """
    with counting_in_double():
        trajectory(rule, ours=dict(capturable=True, **options), units=APART)
        ours = rule.build(optim, capturable=True, **options)
        walk(ours, 1)  # makes the memory, before the capture
        with Recorder() as recorder:
            walk(ours, 1, 1)
    assert "_local_scalar_dense" not in recorder.names, "a tensor is read as a number"


def group_form(rule: Rule, dtype: torch.dtype = torch.float64) -> None:
    """With ``foreach`` ours is as near to torch's as torch's own two forms are to one another.

    In most rows that is nothing. ASGD's group form keeps its rate in float32, and in bfloat16 all
    that multiply by a number in place round it to bfloat16.
    """
    whole, single = (
        ask(walk, ask(rule.build, torch.optim, dtype, foreach=foreach)) for foreach in (True, False)
    )
    far, own = (
        apart(path, whole)[1] for path in (walk(rule.build(optim, dtype, foreach=True)), single)
    )
    assert far <= max(UNITS, own), f"{far:.3g} units apart, torch's own two forms {own:.3g}"


KINDS = (torch.float64, torch.float32, torch.bfloat16, torch.float64)


def uneven(rule: Rule, library: Any, late: bool, **options: Any) -> list[Snapshot]:
    """Types are mixed, some steps give some parameters no gradient, and one may come later."""
    draw = torch.Generator().manual_seed(0)
    params = [
        torch.randn(s, generator=draw).to(kind).requires_grad_()
        for s, kind in zip(((3, 2), (), (5,), (2, 2)), KINDS, strict=True)
    ]
    params += [params[0].detach().clone().requires_grad_()] * late
    moved = rule.over(library, [dict(params=params[:4])], **options)
    story = []
    for step in range(12):
        if step == 5 and late:
            moved.add_param_group(dict(params=params[4:]))
            moved.param_groups[0]["params"] += moved.param_groups.pop()["params"]
        for place, p in enumerate(params):
            idle = step % 4 == 2 and place in (1, 3)
            p.grad = None if idle else gradient(p, step, place)
        moved.step()
        story.append(seen((params, moved)))
    return story


def forms(rule: Rule) -> None:
    """One by one or all at once, our rule moves the same bits, whatever the group is made of.

    Parameters of several types stand in one group, their counters part, and one of them joins in
    mid-run. Torch does the same, where it takes that: Adagrad of torch 2.11 remembers nothing of a
    newcomer.
    """
    for late in (False, True):
        single = uneven(rule, optim, late, foreach=False)
        if rule.takes_groups():
            alike(uneven(rule, optim, late, foreach=True), single)
        alike(single, ask(uneven, rule, torch.optim, late, foreach=False), UNITS)


def recorded(rule: Rule, library: Any, tensors: Sequence[Tensor], **options: Any) -> Tensor:
    """A number made of where two recorded steps lead, from the tensors of :func:`entries`."""
    starts, first, second, rates = tensors[:2], tensors[2:4], tensors[4:6], iter(tensors[6:])
    params = [w.clone() for w in starts]
    for p in params:
        p.retain_grad()
    numbers = tree_map_only(Tensor, lambda _: next(rates), rule.kwargs)
    moved = rule.over(library, params, differentiable=True, **numbers | options)
    for given in (first, second):
        for p, g in zip(params, given, strict=True):
            p.grad = g
        moved.step()
    return torch.stack([(p**3).sum() for p in params]).sum()


def entries(rule: Rule) -> list[Tensor]:
    """Two parameters, twice their gradients, and what the row gives as tensors; all are leaves."""
    draw = torch.Generator().manual_seed(0)
    tensors = [
        torch.randn(s, dtype=torch.float64, generator=draw) for _ in range(3) for s in ((3, 2), ())
    ]
    return [t.requires_grad_() for t in (*tensors, *(v.clone() for v in rule.tensors()))]


def differentiates(rule: Rule, **options: Any) -> None:
    """A recorded step has torch's gradients: of the start, of what was fed in, of tensor rates."""

    def gradients(library: Any, **options: Any) -> tuple[Tensor | None, ...]:
        tensors = entries(rule)
        end = recorded(rule, library, tensors, **options)
        return torch.autograd.grad(end, tensors, allow_unused=True)

    with counting_in_double():  # for torch's derivatives are made of the counters
        ref = ask(gradients, torch.optim)
        assert_close(gradients(optim, **options), ref)


def derivative_of_rule(rule: Rule) -> None:
    """And they are the slopes that central differences measure.

    SGD's velocity begins with the first gradient, detached as torch's is: there only of the second.
    ASGD and Rprop take a tensor rate as a number into what they remember, as torch's ASGD does.
    """
    tensors = entries(rule)
    velocity = rule.name == "SGD" and rule.kwargs.get("momentum")
    fed = range(4 * bool(velocity), 6 if rule.name in ("ASGD", "Rprop") else len(tensors))

    def end(*given: Tensor) -> Tensor:
        whole = dict(enumerate(tensors)) | dict(zip(fed, given, strict=True))
        return recorded(rule, optim, list(whole.values()))

    assert torch.autograd.gradcheck(end, [tensors[i] for i in fed])
