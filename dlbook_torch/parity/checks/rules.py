"""The update rules: the same path, state that passes from twin to twin, nothing borrowed."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.testing import assert_close

from ... import optim
from ..cases import Rule
from .base import Errors
from .distance import distance
from .handwritten import ELEMENTARY, Recorder


def push(steps: int, *pairs: tuple[list[Tensor], torch.optim.Optimizer]) -> Iterator[int]:
    """Step every optimizer with the same random gradients."""
    for step in range(steps):
        gradients = [torch.randn_like(p) for p in pairs[0][0]]
        for params, rule in pairs:
            for p, g in zip(params, gradients, strict=True):
                p.grad = g.clone()
            rule.step()
        yield step


def trajectory(
    rule: Rule, dtype: torch.dtype = torch.float64, device: str = "cpu", steps: int = 25
) -> Errors:
    """The same gradients move the parameters the same way, step after step."""
    ours, ref = rule.build(optim, dtype, device), rule.build(torch.optim, dtype, device)
    gaps = []
    for step in push(steps, ours, ref):
        for p, q in zip(ours[0], ref[0], strict=True):
            assert_close(p, q, msg=f"step {step}: ".__add__)
            gaps.append(distance(p, q))
    return {"output": max(a for a, _ in gaps), "output ulp": max(u for _, u in gaps)}


def handover(rule: Rule, there: Any = torch.optim, back: Any = optim) -> None:
    """The state of one twin, loaded by the other in mid-run, carries on along the same path."""
    first, witness = rule.build(there), rule.build(there)
    list(push(5, first, witness))
    second = rule.build(back)
    with torch.no_grad():
        for p, q in zip(second[0], first[0], strict=True):
            p.copy_(q)
    second[1].load_state_dict(first[1].state_dict())
    list(push(5, second, witness))
    assert_close(second[0], witness[0])
    ours, theirs = second[1].state_dict(), witness[1].state_dict()
    assert [set(g) for g in ours["param_groups"]] == [set(g) for g in theirs["param_groups"]]
    assert {i: set(s) for i, s in ours["state"].items()} == {
        i: set(s) for i, s in theirs["state"].items()
    }


def handwritten_rule(rule: Rule) -> None:
    """A step is made of elementary operations only: torch's functional forms are not called."""
    ours = rule.build(optim)
    list(push(1, ours))
    with Recorder() as recorder:
        ours[1].step()
    foreign = recorder.names - ELEMENTARY
    assert not foreign, f"{rule.name} calls {', '.join(sorted(foreign))}"
