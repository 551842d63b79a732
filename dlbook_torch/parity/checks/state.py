"""What a layer holds: parameters, buffers, their names, types and places, and their copies."""

import pickle
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from inspect import Parameter, signature
from io import BytesIO
from typing import Any

import torch
from torch import Tensor
from torch.testing import assert_close

from ... import nn
from ..cases import Case, Refused
from .base import ask, each_tensor, run, tensors


def exchange(case: Case) -> None:
    """Each twin loads what the other saved, strictly, and they print alike."""
    ours, ref = case.twins()
    assert list(ours.state_dict()) == list(ref.state_dict())
    _, other = case.twins()
    ours.load_state_dict(other.state_dict())
    assert_close(ours.state_dict(), other.state_dict(), rtol=0, atol=0)
    if "bias" in signature(torch.nn.BatchNorm2d).parameters or "Norm" not in case.name:
        # torch before 2.14 prints no bias=; attention's last layer has a name of its own in torch
        assert repr(ours) == repr(ref).replace("NonDynamicallyQuantizableLinear", "Linear")


def _copies(layer: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    yield "deepcopy", deepcopy(layer)
    yield "pickle", pickle.loads(pickle.dumps(layer))
    file = BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    loaded = deepcopy(layer)
    with torch.no_grad():
        for t in loaded.state_dict().values():
            t.zero_()
    loaded.load_state_dict(torch.load(file, weights_only=True))
    yield "torch.save", loaded


def copies(case: Case) -> None:
    """Copied, pickled, or filled from a saved state, a layer gives the same numbers again."""
    ours, inputs = case.twins()[0], case.inputs()
    for how, copy in _copies(ours):
        assert list(copy.state_dict()) == list(ours.state_dict()), how
        assert repr(copy) == repr(ours), how
        wanted, made = (run(m, each_tensor(torch.clone, inputs)) for m in (deepcopy(ours), copy))
        assert_close(tensors(made), tensors(wanted), rtol=0, atol=0, equal_nan=True)


def state(case: Case) -> None:
    """The state passes between the twins, and between a layer and its copies."""
    exchange(case)
    copies(case)


def same_start(case: Case) -> None:
    """The same seed makes the same first parameters, bit by bit, and leaves the same next draw."""

    def build(library: Any) -> tuple[dict[str, Tensor], Tensor]:
        torch.manual_seed(0)
        return case.build(library).state_dict(), torch.rand(3)

    assert_close(build(nn), build(torch.nn), rtol=0, atol=0)


def _kinds(values: Any) -> list[tuple[torch.Size, torch.dtype, torch.device]]:
    return [(t.shape, t.dtype, t.device) for t in values]


def factory(case: Case) -> None:
    """``device=`` and ``dtype=`` decide where parameters and buffers live, and their type."""
    for kind in (
        dict(dtype=torch.float64),
        dict(dtype=torch.bfloat16),
        dict(device="meta"),
        dict(device="meta", dtype=torch.float64),
    ):
        row = replace(case, kwargs=case.kwargs | kind)
        ref = ask(row.build, torch.nn)
        ours = row.build(nn)
        assert _kinds(ours.state_dict().values()) == _kinds(ref.state_dict().values()), kind


def meta(case: Case, training: bool = True) -> None:
    """Without data, a layer still knows the shapes and types of what it would make."""
    inputs = each_tensor(lambda t: t.to("meta"), case.inputs(torch.float32))

    def make(library: Any) -> list[tuple[torch.Size, torch.dtype, torch.device]]:
        with torch.device("meta"):
            layer = case.build(library)
        return _kinds(tensors(layer.to("meta", torch.float32).train(training)(*inputs)))

    wanted = ask(make, torch.nn)
    assert make(nn) == wanted


def signature_of(case: Case) -> None:
    """See :func:`same_signature`."""
    same_signature(case.name)


def same_signature(name: str, ours: Any = nn, ref: Any = torch.nn) -> None:
    """Every argument of torch's, in its place and with its default."""
    classes = getattr(ours, name), ask(getattr, ref, name)
    variadic = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    mine, theirs = (
        {
            key: p
            for key, p in signature(kind.__init__).parameters.items()
            if key != "self" and p.kind not in variadic
        }
        for kind in classes
    )
    for key, p in theirs.items():
        assert key in mine, f"{name} has no argument {key}"
        assert (mine[key].default, mine[key].kind) == (p.default, p.kind), f"{name}({key})"
    positional = [k for k, p in mine.items() if p.kind is not Parameter.KEYWORD_ONLY]
    assert positional == [k for k, p in theirs.items() if p.kind is not Parameter.KEYWORD_ONLY]


def refuses(row: Refused) -> None:
    """What torch refuses, ours refuses with the same exception, in a sentence with the value."""
    said = []
    for library in (torch.nn, nn):
        try:
            row.run(library)
        except row.error as error:
            said.append(str(error))
        else:
            raise AssertionError(f"{library.__name__} accepts it")
    assert row.value in said[1], f"no {row.value} in: {said[1]}"
