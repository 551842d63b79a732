"""How time and memory grow with the work: every way of a convolution, and the update rules.

Work is counted such that twice the work should cost twice as much: an image in pixels, a kernel in
cells. So a cost that follows the work is a line of slope 1 where both axes are logarithmic.

Memory is the highest point of what a process of its own holds, over what it held before the call,
as the system counts it (:mod:`.peak`): torch's own records would leave out the scratch memory of
its kernels. It comes in pages; what is below a tenth of a megabyte is left out.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from math import log, nan
from statistics import linear_regression
from typing import TYPE_CHECKING, Any

import torch
from rich.table import Table

from .. import nn, optim
from ..nn.algorithm import WAYS
from .layers import step
from .machine import machine
from .peak import apart, peak
from .timing import Call, interleaved

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OURS, THEIRS, STRAIGHT = "ours", "torch", "slope 1"
BASE = dict(images=8, channels=32, side=32, kernel=3)
FILTERS = 32
GROWING: dict[str, Sequence[int]] = {
    "images": (1, 2, 4, 8, 16, 32, 64),
    "channels": (4, 8, 16, 32, 64, 128, 256),
    "side": (8, 12, 16, 24, 32, 48, 64, 96),
    "kernel": (1, 3, 5, 7, 11),
}
RULES: dict[str, dict[str, Any]] = {
    "SGD": dict(momentum=0.9),
    "Adagrad": {},
    "RMSprop": {},
    "Adam": {},
}
PARAMETERS = tuple(2**k for k in range(12, 25, 2))
TENSORS = 8  # that the parameters are spread over
LAST = 4  # sizes that a slope is fitted to: on smaller ones, a call costs more than its work
UNITS = {
    "images": "images",
    "channels": "input channels",
    "side": "pixels of an image",
    "kernel": "cells of the kernel",
}
AREAS = ("side", "kernel")
LABELS = {"ms": "CPU time in ms", "mb": "memory in MB"}
LEAST = 0.1  # megabytes
DPI = 100
STYLES: dict[str, dict[str, Any]] = {
    THEIRS: dict(color="0.25", marker="s", markersize=4, linewidth=2.4, alpha=0.6),
    OURS: dict(color="#0072b2", marker="o", markersize=3.5, linewidth=1.2),
    "unfold": dict(color="#0072b2", marker="o", markersize=3.5, linewidth=1.2),
    "winograd": dict(color="#d55e00", marker="^", markersize=4, linewidth=1.2),
    "ones": dict(color="#009e73", marker="v", markersize=4, linewidth=1.2),
}
OTHER: dict[str, Any] = dict(marker="x", markersize=4, linewidth=1.2)
Figures = dict[str, Any]


@dataclass(frozen=True)
class Point:
    """One size: what grows, or the rule, and how far."""

    grows: str
    size: int

    @property
    def work(self) -> int:
        """What the cost should be proportional to."""
        return self.size**2 if self.grows in AREAS else self.size

    def calls(self, first: bool = False) -> dict[str, Call]:
        """Torch's and ours at this size.

        Args:
            first: of a rule, its first step, which makes all that it remembers.
        """
        torch.manual_seed(0)
        return self._steps(first) if self.grows in RULES else self._convolutions()

    def _convolutions(self) -> dict[str, Call]:
        """Forward and backward, by every way that is made for such a convolution."""
        size = BASE | {self.grows: self.size}
        channels, kernel = size["channels"], size["kernel"]
        theirs, ours = (
            library.Conv2d(channels, FILTERS, kernel, padding=kernel // 2)
            for library in (torch.nn, nn)
        )
        ours.load_state_dict(theirs.state_dict())
        x = torch.randn(size["images"], channels, size["side"], size["side"], requires_grad=True)
        calls = {THEIRS: step(theirs, (x,))}
        for way in WAYS["convolution"][1:]:
            with nn.algorithms(convolution=way):
                if ours.algorithm(x) == way:
                    calls[way] = partial(_going, way, step(ours, (x,)))
        return calls

    def _steps(self, first: bool) -> dict[str, Call]:
        """One step of a rule over a few tensors."""
        params = [torch.randn(self.size // TENSORS).requires_grad_() for _ in range(TENSORS)]
        for p in params:
            p.grad = torch.randn_like(p)
        rules = {
            name: partial(getattr(library, self.grows), params, **RULES[self.grows])
            for name, library in ((THEIRS, torch.optim), (OURS, optim))
        }
        return {
            name: partial(_first, rule) if first else rule().step for name, rule in rules.items()
        }


def _first(rule: Callable[[], Any]) -> object:
    return rule().step()


def _going(way: str, call: Call) -> object:
    with nn.algorithms(convolution=way):
        return call()


def points() -> list[Point]:
    """All sizes: of what grows, one after the other."""
    sizes = GROWING | dict.fromkeys(RULES, PARAMETERS)
    return [Point(grows, size) for grows, each in sizes.items() for size in each]


def memory_of(point: Point) -> dict[str, float]:
    """Megabytes of everybody at one size."""
    return {name: peak(call) for name, call in point.calls(first=True).items()}


def measure(rounds: int = 7) -> Iterator[list[Figures]]:
    """Time and memory of everybody at one size after the other."""
    torch.set_num_threads(1)
    chosen = points()
    for point, memory in zip(chosen, apart(memory_of, chosen), strict=True):
        where = {"grows": point.grows, "size": point.size, "work": point.work}
        times = interleaved(point.calls(), rounds)
        yield [where | {"name": n, "ms": t.ms, "mb": _large(memory[n])} for n, t in times.items()]


def _large(mb: float) -> float:
    return mb if mb >= LEAST else nan


def slope(works: Sequence[float], costs: Sequence[float]) -> float:
    r"""The power p of the work that a cost follows, by least squares over the largest sizes.

    .. math:: \log \text{cost} = p \log \text{work} + \text{const}

    NaN where fewer than three sizes have a cost.
    """
    logs = [(log(w), log(c)) for w, c in zip(works, costs, strict=True) if c > 0][-LAST:]
    if len(logs) < 3:
        return nan
    x, y = zip(*logs, strict=True)
    return linear_regression(x, y).slope


def lines(found: Sequence[Figures]) -> dict[tuple[str, str], list[Figures]]:
    """The figures of each line of the plot: of everything that grows, and everybody."""
    result: dict[tuple[str, str], list[Figures]] = {}
    for f in found:
        result.setdefault((f["grows"], f["name"]), []).append(f)
    return result


def table(found: Sequence[Figures], rounds: int) -> Table:
    """The slopes, for the terminal."""
    title = f"Cost against work, median of {rounds} rounds on {machine()}"
    caption = f"a slope of 1: as fast as the work; over the {LAST} largest sizes"
    result = Table(title=title, caption=caption)
    for head in ("what grows", "from", "to", "by", "ms", "slope", "MB", "slope"):
        result.add_column(head, justify="left" if head in ("what grows", "by") else "right")
    for (grows, name), line in lines(found).items():
        works = [f["work"] for f in line]
        cells = [grows, str(line[0]["size"]), str(line[-1]["size"]), name]
        for cost in ("ms", "mb"):
            power = slope(works, [f[cost] for f in line])
            cells += [_told(line[-1][cost], ".3g"), _told(power, ".2f")]
        result.add_row(*cells)
    return result


def _told(value: float, how: str) -> str:
    return "" if value != value else format(value, how)


def draw(found: Sequence[Figures]) -> "Figure":
    """One panel for everything that grows: time above, memory below; both axes logarithmic."""
    from matplotlib.figure import Figure

    every = lines(found)
    groups = [[g for g in each if any(g == grows for grows, _ in every)] for each in (UNITS, RULES)]
    rows = [
        (group, cost)
        for group in groups
        for cost in LABELS
        if any(f[cost] == f[cost] for grows in group for f in found if f["grows"] == grows)
    ]
    figure = Figure(figsize=(10, 2.35 * len(rows) + 1), layout="constrained")
    columns = max(map(len, groups))
    grid = figure.subplots(len(rows), columns, sharey="row", squeeze=False)
    for axes_of_row, (group, cost) in zip(grid, rows, strict=True):
        for axes, grows in zip_longest(axes_of_row, group):
            if grows is None:
                axes.axis("off")
            else:
                _panel(axes, {n: line for (g, n), line in every.items() if g == grows}, grows, cost)
        kind = "update rule" if group[0] in RULES else "convolution"
        axes_of_row[0].set_ylabel(f"{kind}\n{LABELS[cost]}", fontsize=9)
    drawn: dict[str, Any] = {}
    for axes in grid.flatten():
        drawn |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    drawn[STRAIGHT] = drawn.pop(STRAIGHT)  # the last
    figure.legend(
        drawn.values(), drawn, loc="outside lower center", ncols=len(drawn), frameon=False
    )
    base = "{images} images, {channels} channels, {side} x {side} pixels, {kernel} x {kernel} cells"
    figure.suptitle(
        f"{base.format(**BASE)}, {FILTERS} filters, where they do not grow", fontsize=10
    )
    return figure


def _panel(axes: "Axes", costs: dict[str, list[Figures]], grows: str, cost: str) -> None:
    """What everybody's cost is, and the line of slope 1 that ends with torch's."""
    for name, line in costs.items():
        style = STYLES.get(name, OTHER)
        axes.plot([f["work"] for f in line], [f[cost] for f in line], label=name, **style)
    works = [f["work"] for f in costs[THEIRS]]
    end = costs[THEIRS][-1][cost]
    straight = [end * w / works[-1] for w in works]
    axes.plot(works, straight, color="0.75", linestyle=(0, (5, 3)), zorder=0, label=STRAIGHT)
    axes.set(xscale="log", yscale="log")
    options = [grows, *(f"{name} {value}" for name, value in RULES.get(grows, {}).items())]
    axes.set_xlabel(UNITS.get(grows, f"parameters ({', '.join(options)})"), fontsize=9)
    if grows in UNITS:
        sizes = [f["size"] for f in costs[THEIRS]]
        names = [f"${n}^2$" if grows in AREAS else f"{n}" for n in sizes]
        axes.set_xticks(works, names)
        axes.minorticks_off()
    axes.tick_params(labelsize=8)
