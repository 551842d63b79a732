"""The picture of the race: one panel per rule, ours drawn over torch's (notes 6.2)."""

from collections.abc import Sequence
from math import ceil
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from .race import Run, valley

WIDEST = 5  # panels in a row
LINES: dict[
    str, dict[str, Any]
] = {  # in the order of drawing: a difference would show torch's beside ours
    "torch": dict(color="tab:orange", linewidth=4, marker="o", markersize=5.5, alpha=0.5),
    "ours": dict(color="tab:blue", linewidth=1.1, marker="o", markersize=2.4),
}
END: dict[str, Any] = dict(color="tab:red", marker="s", markersize=4, linestyle="", zorder=3)
MINIMUM: dict[str, Any] = dict(color="black", marker="+", markersize=9, linestyle="", zorder=4)
Limits = tuple[float, float]


def limits(values: Tensor, start: float) -> Limits:
    """Where an axis begins and ends: around 0 and all values, but for those that run away."""
    far = 2 * abs(start) or 1.0
    near = [value for value in [*values.tolist(), start, 0.0] if abs(value) <= far]
    margin = 0.12 * (max(near) - min(near) or 2.0)
    return min(near) - margin, max(near) + margin


def ellipses(axes: Axes, x: Limits, y: Limits) -> None:
    """Draw where the valley is equally high, and mark its lowest point."""
    x_line, y_line = torch.linspace(*x, 121), torch.linspace(*y, 121)
    f = valley(torch.stack(torch.meshgrid(x_line, y_line, indexing="xy"), dim=-1))
    levels = (f.max().item() * torch.linspace(0.07, 1, 9) ** 2).tolist()
    grid = x_line.numpy(), y_line.numpy(), f.numpy()
    axes.contour(*grid, levels, colors="0.82", linewidths=0.7)
    axes.plot(0, 0, **MINIMUM)


def panel(axes: Axes, run: Run) -> None:
    """Draw one rule's paths, and how high they end."""
    for library, style in LINES.items():
        if library in run.paths:
            axes.plot(*run.paths[library].T.numpy(), **style)
    axes.plot(*run.end.tolist(), **END)
    axes.set_title(f"{run.name}, lr {run.lr:g}", fontsize=10)
    axes.text(
        0.97, 0.05, f"f = {valley(run.end):.2g}", transform=axes.transAxes, ha="right", fontsize=8
    )


def race_figure(runs: Sequence[Run], start: Sequence[float], steps: int) -> Figure:
    """Draw all runs as small multiples on the same axes."""
    rows = ceil(len(runs) / WIDEST)
    columns = ceil(len(runs) / rows)
    figure = Figure(figsize=(max(2.5 * columns, 5), 2 * rows + 1), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flatten()
    visited = torch.cat([path for run in runs for path in run.paths.values()])
    x, y = (limits(visited[:, axis], start[axis]) for axis in (0, 1))
    for i, axes in enumerate(grid):
        if i >= len(runs):
            axes.axis("off")
            continue
        ellipses(axes, x, y)
        panel(axes, runs[i])
        axes.set(xlim=x, ylim=y)
        axes.tick_params(labelsize=8, labelbottom=i + columns >= len(runs))
    where = f"({start[0]:g}, {start[1]:g})"
    figure.suptitle(f"$f = x^2/20 + y^2$ from {where}, {steps} updates", fontsize=12)
    drawn = {library: LINES[library] for library in LINES if any(library in r.paths for r in runs)}
    handles = [
        Line2D([], [], label=label, **style)
        for label, style in {**drawn, "end": END, "minimum": MINIMUM}.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure
