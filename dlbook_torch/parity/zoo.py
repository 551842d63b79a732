"""The zoo: every classification network of torchvision, converted whole and compared with itself.

torchvision builds a network on torch's layers. It runs a training step; then its layers are
swapped for handwritten ones and it runs the same step again: the same weights, the same images,
the same random draws.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from math import inf
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor
from torch.nn import Module
from torch.testing import assert_close

from ..convert import convert, leftovers, twins
from .checks import ELEMENTARY, Errors, Recorder

LIMIT = 150  # million parameters that fit beside their gradients, twice, in float64
SMALL = (4, 64)  # images and their side: what most networks take without starving a BatchNorm
SIZES = {  # set by an auxiliary head, a grid, patches
    "inception_v3": (2, 299),
    "maxvit_t": (2, 224),
    "vit_h_14": (2, 56),
}
OPTIONS: dict[str, dict[str, Any]] = {
    name: dict(init_weights=False) for name in ("googlenet", "inception_v3")
}  # their default warns that it is slow

# torch's gradient of Hardsigmoid, even in float64, is a sixth as float32 has it: off by 3e-8, which
# grows to 9e-7 on the way to the first layer.
TOLERANCE = {"mobilenet_v3_large": 1e-5, "mobilenet_v3_small": 1e-5}

MEASURED = ("output", "buffers", "gradient")
HEAD = ("network", "M", "layers", "left", *MEASURED, "s", "verdict")


@dataclass
class Network:
    """What the comparison saw of one network."""

    name: str
    millions: float  # of parameters
    layers: int = 0  # that are handwritten after the conversion
    left: list[str] = field(default_factory=list)  # torchvision's own layers, which stay
    kernels: list[str] = field(default_factory=list)  # of torch that the network still calls
    errors: Errors = field(default_factory=dict)  # largest absolute differences
    seconds: float = 0.0
    skipped: bool = False
    failure: str = ""

    def verdict(self) -> str:
        """In a word."""
        if self.skipped:
            return "skipped: too large"
        return self.failure or "equal"

    def cells(self) -> list[str]:
        """The network as text."""
        numbers = (f"{self.errors[what]:.1e}" if what in self.errors else "" for what in MEASURED)
        return [
            self.name,
            f"{self.millions:.1f}",
            str(self.layers or ""),
            ", ".join(self.left),
            *numbers,
            f"{self.seconds:.0f}",
            self.verdict(),
        ]


def names() -> list[str]:
    """Every classification network that torchvision knows."""
    from torchvision import models

    return models.list_models(module=models)


def millions(name: str) -> float:
    """Parameters of a network as published (without auxiliary heads), which need not be built."""
    from torchvision import models

    return models.get_model_weights(name).DEFAULT.meta["num_params"] / 1e6


def build(name: str, side: int) -> Module:
    """A network with random weights, for images of one size."""
    from torchvision import models

    options = OPTIONS.get(name, dict(image_size=side) if name.startswith("vit") else {})
    return models.get_model(name, weights=None, **options)


def shaken(model: Module) -> Module:
    """The model in float64, in training mode, with no weight at 0 or 1.

    Some networks start with zeros in the last layer or next to it, and would pass no gradient on.
    """
    with torch.no_grad():
        for p in model.double().parameters():
            p.add_(torch.randn_like(p), alpha=0.02)
    return model.train()


def step(
    model: Module, x: Tensor, recorder: AbstractContextManager[Any] | None = None
) -> dict[str, dict[Any, Tensor]]:
    """Outputs, buffers and gradients of one training step, and what the model then predicts.

    Afterwards it is as it was before.
    """
    recorder = recorder or nullcontext()
    before = {name: b.clone() for name, b in model.named_buffers()}
    torch.manual_seed(1)
    with recorder:
        y = model(x)
    outputs = [y] if isinstance(y, Tensor) else list(y)  # the main head and the auxiliary ones
    gradients = [torch.randn_like(y) for y in outputs]
    with recorder:
        torch.autograd.backward(outputs, gradients)
    with torch.no_grad(), recorder:
        prediction = model.eval()(x)
    model.train()
    seen: dict[str, dict[Any, Tensor]] = {
        "output": dict(enumerate([*(y.detach() for y in outputs), prediction])),
        "buffers": {name: b.clone() for name, b in model.named_buffers()},
        "gradient": {name: p.grad for name, p in model.named_parameters() if p.grad is not None},
    }
    model.zero_grad()
    with torch.no_grad():
        for name, b in model.named_buffers():
            b.copy_(before[name])
    return seen


def difference(ours: Tensor, ref: Tensor, what: str, tolerance: float | None) -> float:
    """The largest absolute difference of two tensors, which have to be close."""
    assert_close(ours, ref, rtol=tolerance, atol=tolerance, msg=lambda m: f"{what}: {m}")
    return (ours - ref).abs().max().item()


def compare(model: Module, x: Tensor, line: Network) -> None:
    """The same step before and after the conversion.

    Raises: AssertionError for a difference, or for a layer of torch.nn that stayed.
    """
    line.millions = sum(p.numel() for p in model.parameters()) / 1e6
    ref, kinds = step(model, x), [type(m) for m in model.modules()]
    first = next(iter(ref["gradient"].values()))
    assert first.abs().max() > 1e-3, "the gradient does not reach the first layer"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is left stands in the line
        convert(model, to="handwritten")
    left = leftovers(model)
    line.layers = sum(type(m) in twins("builtin") for m in model.modules())
    line.left = sorted({layer.kind.__name__ for layer in left})
    missing = sorted({k.kind.__name__ for k in left if k.kind.__module__.startswith("torch.")})
    assert not missing, f"no {', '.join(missing)}"
    ours = step(model, x, recorder := Recorder())
    line.kernels = sorted(recorder.names - ELEMENTARY)
    tolerance = TOLERANCE.get(line.name)
    for what in MEASURED:
        assert ours[what].keys() == ref[what].keys(), f"not the same {what}"
        line.errors[what] = max(
            (
                difference(t, ref[what][name], f"{what} {name}", tolerance)
                for name, t in ours[what].items()
            ),
            default=0.0,
        )
    convert(model, to="builtin", strict=True)
    assert [type(m) for m in model.modules()] == kinds, "the way back ends elsewhere"


def visit(name: str, limit: float = LIMIT) -> Network:
    """Build one network, convert it and compare; a failure is part of the answer."""
    line = Network(name, millions(name))
    if line.millions > limit:
        line.skipped = True
        return line
    start = time.perf_counter()
    torch.manual_seed(0)
    n, side = SIZES.get(name, SMALL)
    try:
        compare(shaken(build(name, side)), torch.randn(n, 3, side, side).double(), line)
    except Exception as error:  # a network that breaks is a failed line, not the end
        line.failure = (str(error).strip() or type(error).__name__).splitlines()[0]
    line.seconds = time.perf_counter() - start
    return line


def zoo(
    only: Iterable[str] | None = None,
    watch: Callable[[list[str]], Iterable[str]] = iter,
) -> Iterator[Network]:
    """Visit every network of up to ``LIMIT`` million parameters, or those named, one by one."""
    todo, limit = (names(), LIMIT) if only is None else (list(only), inf)
    return (visit(name, limit) for name in watch(todo))


def zoo_table(lines: list[Network], title: str = "torchvision's networks, converted") -> Table:
    """The visits for the terminal."""
    caption = "output, buffers, gradient: largest absolute difference to torch"
    made = Table(title=title, caption=caption)
    for head in HEAD:
        made.add_column(head, justify="left" if head in ("network", "left", "verdict") else "right")
    for line in lines:
        made.add_row(*line.cells(), style="red" if line.failure else None)
    return made


def show(console: Console, only: Iterable[str] | None = None) -> bool:
    """Visit, print the table and the total; whether all networks are equal."""
    lines = list(zoo(only, lambda todo: track(todo, "Converting the zoo", transient=True)))
    console.print(zoo_table(lines))
    equal = sum(line.verdict() == "equal" for line in lines)
    skipped = [line.name for line in lines if line.skipped]
    rest = f", {len(skipped)} skipped: {', '.join(skipped)}" if skipped else ""
    print(f"{equal} of {len(lines)} networks equal{rest}")
    return not any(line.failure for line in lines)
