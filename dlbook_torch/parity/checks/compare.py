"""The same numbers: outputs, gradients and buffers, in every type, layout and mixed precision."""

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from ..cases import Case
from .base import Errors, ask, differentiable, each_tensor, enterable, run, tensors
from .distance import assert_near, distance, largest

Arrange = Callable[[Tensor], Tensor]  # the same values, otherwise laid out
LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


@dataclass(frozen=True)
class Way:
    """How a layer is called: what its inputs and the gradients look like, and under what."""

    arrange: Arrange = torch.clone
    gradient: Arrange = torch.clone
    memory_format: torch.memory_format | None = None  # of the layer
    autocast: torch.dtype | None = None
    enter: torch.dtype | None = None  # type of the inputs, where it is not the layer's
    narrow: torch.dtype | None = None  # gradients are numbers that it holds: the same in all types
    wrap: Callable[[Module], Callable[..., Any]] = lambda layer: layer


@dataclass(frozen=True)
class Played:
    """What a layer made of its inputs, forward and backward, and what it left behind."""

    outputs: dict[str, Tensor]
    gradients: dict[str, Tensor]
    rest: dict[str, Tensor]  # buffers, and the inputs afterwards
    written: set[str]  # which tensors it wrote into

    def named(self) -> dict[str, Tensor]:
        """Everything that has to be close."""
        return self.outputs | self.gradients | self.rest


def numbered(what: str, values: Any) -> dict[str, Tensor]:
    """The tensors among the values by name: ``input 0``."""
    return {f"{what} {i}": t for i, t in enumerate(tensors(values))}


def play(layer: Module, inputs: tuple[Any, ...], way: Way) -> Played:
    """Call the layer, send random gradients back, and take everything down."""
    given = numbered("input", arguments := enterable(layer, inputs))
    params = dict(layer.named_parameters())
    entries = numbered("input", inputs) | params
    entries = {name: t for name, t in entries.items() if t.requires_grad}
    witnesses = {name: (t, t._version) for name, t in (given | params).items()}
    device = next((t.device.type for t in given.values()), "cpu")
    with torch.autocast(device, way.autocast) if way.autocast else nullcontext():
        result = run(way.wrap(layer), arguments)
    gradients = {}
    if exits := differentiable(result):
        dys = [way.gradient(dy) for dy in draw(exits, way.narrow)]
        witnesses |= {name: (t, t._version) for name, t in numbered("gradient", dys).items()}
        found = torch.autograd.grad(exits, [*entries.values()], dys, allow_unused=True)
        gradients = {f"{name}.grad": g for name, g in zip(entries, found, strict=True)}
    return Played(
        outputs=numbered("output", result),
        gradients={name: g for name, g in gradients.items() if g is not None},
        rest=dict(layer.named_buffers()) | {f"{name} afterwards": t for name, t in given.items()},
        written={name for name, (t, version) in witnesses.items() if t._version != version},
    )


def draw(results: list[Tensor], narrow: torch.dtype | None) -> list[Tensor]:
    """A random gradient for each result, of numbers that ``narrow`` holds too."""
    torch.manual_seed(2)
    drawn = [torch.randn(y.shape, dtype=torch.float64) for y in results]
    return [dy.to(narrow or y.dtype).to(y) for dy, y in zip(drawn, results, strict=True)]


def agree(
    ours: Played, ref: Played, low: torch.dtype | None, truth: Callable[[], Played]
) -> Errors:
    """Everything close, and the same written into; returns the largest differences."""
    assert ours.written == ref.written, f"writes into {ours.written}, torch into {ref.written}"
    mine, theirs = ours.named(), ref.named()
    assert list(mine) == list(theirs), f"makes {list(mine)}, torch makes {list(theirs)}"
    for name, t in theirs.items():
        # a float32 output under autocast was computed in float32
        narrow = None if name in ref.outputs and t.dtype != low else low
        assert_near(mine[name], t, name, narrow, lambda: truth().named())
    return errors(mine, ref.outputs, "output") | errors(mine, ref.gradients, "gradient")


def errors(ours: dict[str, Tensor], ref: dict[str, Tensor], what: str) -> Errors:
    """The largest differences, in units at the largest of all: they come of the same terms."""
    scale = max((largest(t).item() for t in ref.values()), default=0.0)
    gaps = [distance(ours[name], t, scale) for name, t in ref.items()]
    return {
        what: max((gap for gap, _ in gaps), default=0.0),
        f"{what} ulp": max((units for _, units in gaps), default=0.0),
    }


def compare(
    case: Case,
    training: bool = True,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
    way: Way = Way(),
) -> Errors:
    """Same input, same gradient: same output, same gradients, same buffers, inputs untouched."""
    ours, ref = (m.train(training) for m in case.twins(dtype, device))
    if way.memory_format is not None:
        ref = ask(ref.to, memory_format=way.memory_format)
        ours = ours.to(memory_format=way.memory_format)
    low = way.autocast or (dtype if dtype in (torch.bfloat16, torch.float16) else None)
    plain = replace(way, narrow=low, wrap=Way.wrap)
    exact, drawn = deepcopy(ref).cpu().double(), case.inputs(way.enter or dtype, device)

    def copied(t: Tensor, wide: bool = False) -> Tensor:
        copy = way.arrange(t.detach())
        if wide:
            copy = copy.cpu().double() if t.is_floating_point() else copy.cpu()
        return copy.requires_grad_(t.requires_grad)

    def truth() -> Played:
        inputs = each_tensor(partial(copied, wide=True), drawn)
        return play(exact, inputs, replace(plain, autocast=None))

    theirs = ask(play, ref, each_tensor(copied, drawn), plain)
    mine = play(ours, each_tensor(copied, drawn), replace(plain, wrap=way.wrap))
    if all(y.dtype == dtype for y in theirs.outputs.values()) and way.autocast:
        low = None  # torch leaves this layer alone
    found = agree(mine, theirs, low, truth)
    for name, y in theirs.outputs.items():
        if way.memory_format is not None and y.is_floating_point() and is_channels_last(y):
            assert is_channels_last(mine.outputs[name]), f"{name} is not channels-last"
    return found


def written_over(layer: Module) -> Callable[..., Any]:
    """The layer, whose results somebody writes into."""

    def call(*inputs: Any) -> Any:
        result = layer(*inputs)
        for y in differentiable(result):
            y.mul_(1)
        return result

    return call


def gives_away(case: Case) -> Errors:
    """The next layer may work in place on the result, wherever it may on torch's."""
    way = Way(wrap=written_over)
    ask(play, case.twins(torch.float32)[1], case.inputs(torch.float32), way)
    return compare(case, dtype=torch.float32, way=way)


def is_channels_last(y: Tensor) -> bool:
    """Whether an image has its channels last, and could not be said to have them first."""
    if y.dim() not in LAST or y.is_contiguous():
        return False
    return y.is_contiguous(memory_format=LAST[y.dim()])


def apart(t: Tensor) -> Tensor:
    """The same values, transposed, with a gap after each: neither contiguous nor dense."""
    if t.dim() > 1:
        return t.mT.new_zeros(*t.mT.shape, 2)[..., 0].copy_(t.mT).mT
    return t.new_zeros(*t.shape, 2)[..., 0].copy_(t)


def one_number(dy: Tensor) -> Tensor:
    """The gradient of a sum: one number in all places, that is, of no stride."""
    return dy.flatten()[:1].sum().expand(dy.shape)


STRIDED = Way(arrange=apart, gradient=apart)
SUMMED = Way(gradient=one_number)


def rank(case: Case) -> int:
    """How many axes the first input has."""
    return tensors(case.inputs())[0].dim()


def channels_last(case: Case, training: bool = True) -> Errors:
    """Layer and images with channels last: same values, and channels last where torch's are."""
    axes = rank(case)

    def arrange(t: Tensor) -> Tensor:
        return t.clone(memory_format=LAST.get(t.dim(), torch.contiguous_format))

    way = Way(arrange, arrange, memory_format=LAST[axes])
    return compare(case, training, torch.float32, way=way)
