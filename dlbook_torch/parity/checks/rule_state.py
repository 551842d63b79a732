"""The memory of the update rules: it passes from twin to twin, to copies, and out of old files."""

import pickle
from copy import deepcopy
from functools import partial
from io import BytesIO
from math import inf
from typing import Any

import torch
from torch.testing import assert_close

from ... import optim
from ..cases import Pair, Rule
from .base import TorchRefuses, ask
from .rules import UNITS, Options, alike, walk


def options_of(rule: torch.optim.Optimizer) -> list[Options]:
    """The hyper-parameters of every group as they stand."""
    return [{k: v for k, v in group.items() if k != "params"} for group in rule.param_groups]


def taken_over(rule: Rule, first: Pair, library: Any, dtype: torch.dtype, **options: Any) -> Pair:
    """A rule over copies of the parameters that has loaded the state of the first."""
    params, second = rule.build(library, dtype, **options)
    with torch.no_grad():
        for p, q in zip(params, first[0], strict=True):
            p.copy_(q)
    second.load_state_dict(deepcopy(first[1].state_dict()))
    return params, second


def handover(
    rule: Rule,
    there: Any = torch.optim,
    back: Any = optim,
    dtype: torch.dtype = torch.float64,
    steps: int = 5,
) -> None:
    """The state of one twin, loaded by the other in mid-run, is as if torch had handed to torch.

    The same names, types, shapes and hyper-parameters, and the same steps from there on. (That
    is not always an uninterrupted run: loading turns a rate that was kept in float32 into the
    parameter's type.)
    """
    first, witness = rule.build(there, dtype), ask(rule.build, torch.optim, dtype)
    walk(first, steps)
    ask(walk, witness, steps)
    second = taken_over(rule, first, back, dtype)
    witness = ask(taken_over, rule, witness, torch.optim, dtype)
    assert_close(options_of(second[1]), options_of(witness[1]), rtol=0, atol=0)
    # A rate given as a tensor, torch's ASGD does not round to float32 as it does a number.
    units = inf if rule.name == "ASGD" and rule.tensors() else UNITS
    alike(walk(second, steps, steps), ask(walk, witness, steps, steps), units)
    ours, theirs = second[1].state_dict(), witness[1].state_dict()
    assert [g["params"] for g in ours["param_groups"]] == [
        g["params"] for g in theirs["param_groups"]
    ]
    assert list(ours["state"]) == list(theirs["state"])


def round_trip(rule: Rule) -> None:
    """From our group form to torch and back, a run in float32 is as if nobody had interrupted."""
    dtype, foreach = torch.float32, rule.takes_groups()
    whole = walk(rule.build(optim, dtype, foreach=foreach), 12)
    pair = rule.build(optim, dtype, foreach=foreach)
    story = walk(pair, 4)
    for start, library in ((4, torch.optim), (8, optim)):
        pair = taken_over(rule, pair, library, dtype)
        for group in pair[1].param_groups:
            group["foreach"] = library is optim and foreach
        story += walk(pair, 4, start)
    alike(story, whole, UNITS)


def _loaded(rule: Rule, pair: Pair) -> Pair:
    file = BytesIO()
    torch.save(pair[1].state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    params = [p.detach().clone().requires_grad_() for p in pair[0]]
    second = rule.over(optim, [dict(params=params[:2]), dict(params=params[2:])])
    second.load_state_dict(state)
    return params, second


def copies_of_rule(rule: Rule) -> None:
    """Copied, pickled, or filled from a saved state in mid-run, a rule goes on the same way."""
    pair = rule.build(optim, torch.float32)
    walk(pair, 4)
    ways = deepcopy, lambda pair: pickle.loads(pickle.dumps(pair)), partial(_loaded, rule)
    copies = [way(pair) for way in ways]
    whole = walk(pair, 4, 4)
    for copy in copies:
        assert repr(copy[1]) == repr(pair[1])
        alike(walk(copy, 4, 4), whole)


SCALARS = ("step", "mu_product", "eta", "mu")


def _aged(state: dict[str, Any], missing: str) -> dict[str, Any]:
    """A state as an old torch wrote it: plain numbers, None, and groups without an argument."""
    old = deepcopy(state)
    for memory in old["state"].values():
        for key, t in memory.items():
            if key in SCALARS:
                memory[key] = int(t) if key == "step" else t.item()
    for group in old["param_groups"]:
        group.pop(missing, None)
    return old


def old_state(rule: Rule) -> None:
    """What an old torch saved, torch still takes, and so do we.

    Counters are plain numbers there, and groups lack what was not yet an argument. Ours goes on
    as torch does without each argument in turn that torch can do without.
    """
    pair = rule.build(torch.optim)
    walk(pair, 3)
    state = pair[1].state_dict()

    def resumed(library: Any, missing: str) -> Any:
        params, second = rule.build(library)
        second.load_state_dict(_aged(state, missing))
        return walk((params, second), 2, 3)

    for missing in ("nothing", *(key for key in state["param_groups"][0] if key != "params")):
        try:
            ref = ask(resumed, torch.optim, missing)
        except TorchRefuses:
            assert missing != "nothing"
            continue
        alike(resumed(optim, missing), ref)


def late_velocity(rule: Rule) -> None:
    """A buffer that is None, as SGD saved it before the first step, begins with the next."""

    def resumed(library: Any, **options: Any) -> Any:
        params, second = rule.build(library, **options)
        walk((params, second), 2)
        state = second.state_dict()
        blank = dict(momentum_buffer=None)
        state["state"] = {i: blank if i == 1 else s for i, s in state["state"].items()}
        second.load_state_dict(state)
        return walk((params, second), 3, 2)

    ref = ask(resumed, torch.optim)
    for foreach in (False, True):
        alike(resumed(optim, foreach=foreach), ref)
