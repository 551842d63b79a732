"""Our layers against torch's, as users get them: forward and backward, and the memory of both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import exp, log, nan, prod
from statistics import fmean
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from ..parity.cases import CASES, Case
from ..parity.checks import tensors
from .machine import machine
from .peak import apart, peak
from .timing import Call, Timing, clock_of, interleaved

OURS, THEIRS, AGAIN = "ours", "torch", "torch again"
COMPILED = {name: f"{name} compiled" for name in (OURS, THEIRS)}
NUMBERS = 2**20  # about as many go into a layer that has no size of its own
GROWTH = 8
Figures = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A layer at a size.

    Args:
        case: the layer, its arguments and its input.
        target: largest ratio to torch's that is aimed at.
        first: it is the first layer of a network, whose input needs no gradient.
        notes: one of the notes' own layers on a large input, which the mean is taken over.
    """

    case: Case
    target: float = nan
    first: bool = False
    notes: bool = False

    def __str__(self) -> str:
        kwargs = ", ".join(f"{k}={v}" for k, v in self.case.kwargs.items())
        return f"{self.case.name}({kwargs}) on {' x '.join(map(str, self.case.shape))}"

    def calls(self, dtype: torch.dtype, device: str, compiled: bool = False) -> dict[str, Call]:
        """Forward and backward of both, with the same parameters, inputs and gradients."""
        torch.manual_seed(0)
        layers = dict(zip((OURS, THEIRS), self.case.twins(dtype, device), strict=True))
        inputs = self.case.inputs(dtype, device)
        if self.first:
            inputs = tuple(t.detach() for t in inputs)
        made = {name: step(layer, inputs) for name, layer in layers.items()}
        calls = {THEIRS: made[THEIRS], AGAIN: made[THEIRS], OURS: made[OURS]}
        if compiled:
            for name, layer in layers.items():
                torch._dynamo.reset()
                calls[COMPILED[name]] = step(torch.compile(layer), inputs)
        return calls


def step(layer: Any, inputs: tuple[Any, ...]) -> Call:
    """Forward and backward from fixed gradients of the outputs, the same for both layers."""
    wanted = [t for t in (*inputs, *layer.parameters()) if tensors(t) and t.requires_grad]
    outputs = _differentiable(layer(*inputs))
    torch.manual_seed(1)
    gradients = [torch.randn_like(y) for y in outputs]

    def call() -> object:
        return torch.autograd.grad(
            _differentiable(layer(*inputs)), wanted, gradients, allow_unused=True
        )

    return call


def _differentiable(result: Any) -> list[Tensor]:
    return [y for y in tensors(result) if y.requires_grad]


SMALL, IMAGES = (256, 1024), (64, 64, 32, 32)


def _row(
    name: str,
    shape: tuple[int, ...],
    target: float = nan,
    notes: bool = True,
    first: bool = False,
    **kwargs: Any,
) -> Row:
    label = "classes" if name in ("CrossEntropyLoss", "NLLLoss") else None
    label = "values" if name == "MSELoss" else label
    return Row(Case("", name, shape, kwargs, label), target, first, notes)  # type: ignore[arg-type]


def _conv(shape: tuple[int, ...], out: int, kernel: int, target: float, **kwargs: Any) -> Row:
    kwargs |= dict(in_channels=shape[1], out_channels=out, kernel_size=kernel)
    return _row("Conv2d", shape, target, **kwargs)


SIZES: list[Row] = [
    _row("Sigmoid", IMAGES, 1.4),
    _row("Tanh", IMAGES, 0.75),
    _row("ReLU", IMAGES, 1.4),
    _row("Softmax", (4096, 1024), 1.4, dim=1),
    _row("Linear", SMALL, 1.4, in_features=1024, out_features=1024),
    _row("Linear", (100, 4320), 1.4, in_features=4320, out_features=100),
    _row("CrossEntropyLoss", (1024, 1000), 1.4),
    _row("MSELoss", (1024, 1000), 1.4),
    _row("BatchNorm2d", IMAGES, 1.0, num_features=64),
    _row("BatchNorm2d", (32, 256, 8, 8), 1.0, num_features=256),
    _row("BatchNorm2d", (100, 30, 24, 24), 1.0, num_features=30),
    _row("Dropout", IMAGES, 0.25),
    _conv((32, 64, 32, 32), 64, 3, 1.0, padding=1),
    _conv((64, 32, 26, 26), 64, 3, 1.0),
    _conv((32, 256, 8, 8), 256, 3, 1.0, padding=1),
    _conv((128, 1, 28, 28), 32, 5, 1.1),
    _conv((100, 1, 28, 28), 30, 5, 1.1, first=True),
    _conv((32, 64, 32, 32), 64, 1, 1.5),
    _conv((32, 32, 28, 28), 64, 5, 1.5, padding=2),
    _conv((32, 64, 32, 32), 128, 3, 1.5, stride=2, padding=1),
    _conv((16, 3, 96, 96), 64, 7, 1.5, stride=2, padding=3, first=True),
    _conv((32, 64, 32, 32), 64, 3, 1.5, padding=1, groups=4),
    _row("MaxPool2d", IMAGES, 0.45, kernel_size=2),
    _row("MaxPool2d", (100, 30, 24, 24), 0.45, kernel_size=2),
    _row("MaxPool2d", IMAGES, 1.0, kernel_size=3, stride=2, padding=1),
    _row("AvgPool2d", IMAGES, 0.6, kernel_size=2),
    # Small ones, where a call itself is what costs; and layers of which the notes say nothing.
    _row("Sigmoid", SMALL, 2.0, notes=False),
    _row("Tanh", SMALL, 0.75, notes=False),
    _row("ReLU", SMALL, notes=False),
    _row("Softmax", SMALL, 2.0, notes=False, dim=1),
    _row("Softmax", (128, 10), 2.0, notes=False, dim=1),
    _row("CrossEntropyLoss", (128, 10), notes=False),
    _row("Dropout", SMALL, 0.25, notes=False),
    _row("LayerNorm", SMALL, 2.0, notes=False, normalized_shape=1024),
    _row("LayerNorm", (8192, 768), 2.0, notes=False, normalized_shape=768),
]


def rows() -> list[Row]:
    """The sizes above, and of every other layer its first row of the case table, made large."""
    known = {row.case.name for row in SIZES}
    others: dict[str, Case] = {}
    for case in CASES:
        if case.name not in known | set(others) and _can_grow(case):
            others[case.name] = case
    return SIZES + [Row(_grown(case)) for case in others.values()]


def _can_grow(case: Case) -> bool:
    """Whether a row of the case table says all of its inputs by a shape, of any size."""
    values = case.kwargs.values()
    fixed = case.make or case.twin or any(isinstance(v, Tensor) for v in values)
    return not fixed and len(case.shape) > 1 and 0 not in case.shape


def _grown(case: Case) -> Case:
    """The same case with images (where it has any) of 8 times the side, and a larger batch."""
    rest = case.shape[1:]
    fixed = {"output_size", "size", "unflattened_size"} & set(case.kwargs)
    if len(rest) > 1 and not fixed:
        rest = (rest[0], *(GROWTH * n for n in rest[1:]))
    return replace(case, notes="", shape=(max(1, NUMBERS // prod(rest)), *rest))


def time_of(row: Row, rounds: int, dtype: torch.dtype, device: str, compiled: bool) -> Figures:
    """The figures of one row, without its memory."""
    calls = row.calls(dtype, device, compiled)
    times = interleaved(calls, rounds, clock=clock_of(device))
    figures: Figures = {
        "layer": str(row),
        "target": None if row.target != row.target else row.target,
        "notes": row.notes,
        **_plain("eager", times[OURS]),
        "torch_ms": times[THEIRS].ms,
        "again": times[AGAIN].ratio,
    }
    if compiled:
        ours, theirs = times[COMPILED[OURS]].ms, times[COMPILED[THEIRS]].ms
        best = min(theirs, times[THEIRS].ms)
        figures |= {"compiled": ours / best, "compiled_ms": ours, "torch_compiled_ms": theirs}
    return figures


def _plain(name: str, timing: Timing) -> Figures:
    return {
        name: timing.ratio,
        f"{name}_low": timing.low,
        f"{name}_high": timing.high,
        "ms": timing.ms,
    }


def memory_of(row: Row, dtype: torch.dtype, device: str) -> dict[str, float]:
    """Megabytes that forward and backward need, of both."""
    calls = row.calls(dtype, device)
    return {name: peak(calls[name], device) for name in (OURS, THEIRS)}


def measure(
    chosen: Sequence[Row],
    rounds: int = 15,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    compiled: bool = False,
) -> Iterator[Figures]:
    """The figures of one row after the other."""
    of = partial(memory_of, dtype=dtype, device=device)
    memory = apart(of, chosen) if device == "cpu" else map(of, chosen)
    for row, used in zip(chosen, memory, strict=True):
        figures = time_of(row, rounds, dtype, device, compiled)
        figures |= {"mb": used[OURS], "torch_mb": used[THEIRS]}
        yield figures


def geometric_mean(values: Sequence[float]) -> float:
    """Of ratios: one twice as slow and one twice as fast are 1."""
    return exp(fmean(map(log, values))) if values else nan


def table(found: Sequence[Figures], rounds: int, dtype: str, device: str) -> Table:
    """The figures for the terminal."""
    compiled = any("compiled" in f for f in found)
    title = f"Forward and backward, {dtype}, median of {rounds} rounds on {machine(device)}"
    result = Table(title=title, caption=summary(found))
    for head in ("layer", "ours / torch", "quartiles", "target", "torch / torch", "ms", "torch"):
        result.add_column(head, justify="left" if head == "layer" else "right")
    for head in ("compiled / best", "ms", "torch") * compiled + ("MB", "torch"):
        result.add_column(head, justify="right")
    for f in found:
        cells = [f["layer"], f"{f['eager']:.2f}", f"{f['eager_low']:.2f} to {f['eager_high']:.2f}"]
        cells += ["" if f["target"] is None else f"{f['target']:.2f}", f"{f['again']:.2f}"]
        cells += [f"{f['ms']:.2f}", f"{f['torch_ms']:.2f}"]
        if compiled:
            cells += [f"{f['compiled']:.2f}", f"{f['compiled_ms']:.2f}"]
            cells += [f"{f['torch_compiled_ms']:.2f}"]
        result.add_row(*cells, f"{f['mb']:.1f}", f"{f['torch_mb']:.1f}")
    return result


def summary(found: Sequence[Figures]) -> str:
    """One sentence on all rows."""
    notes = [f for f in found if f["notes"]]
    if not notes:
        return ""
    reached = [f for f in found if f["target"] is not None]
    text = (
        f"geometric mean over the notes' layers {geometric_mean([f['eager'] for f in notes]):.2f}"
    )
    if "compiled" in notes[0]:
        text += f", compiled {geometric_mean([f['compiled'] for f in notes]):.2f}"
    good = sum(f["eager"] <= f["target"] for f in reached)
    return f"{text}; {good} of {len(reached)} targets reached"
