"""The picture of an experiment, as its file asks for it.

* ``figure: {curves: train/loss}``, or a list: a panel per curve, a line per arm, the mean over
  seeds with the single runs behind it; ``log: true``, ``x: ...``, ``ylim: [low, high]``: the axes.
* ``figure: {sweep: accuracy, x: model.net.dropout, lines: model.net.batch_norm}``: a metric, or a
  list of them, against an option that the arms set; one line per value of a second one.
* ``figure: {bars: accuracy}``, or a list, or nothing: the metrics of the comparisons, arm by arm.
* ``figure: {draw: module.function}``: a study's own picture, a function from results to a figure.
"""

from collections.abc import Mapping, Sequence
from math import ceil, isfinite
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..training.errors import UsageError
from .judge import interval
from .plan import study
from .results import Results

COLORS = ("#2563c9", "#d9660a", "#2c7d46", "#b8326b", "#7a5bd0", "#1c7a90", "#8a6d1c", "#6b7280")
KINDS = ("curves", "sweep", "bars", "draw")


def figure(results: Results) -> Figure:
    """Draw an experiment.

    Raises: UsageError for a figure that cannot be understood.
    """
    wish = results.experiment.figure
    kinds = [kind for kind in KINDS if kind in wish]
    if wish and len(kinds) != 1:
        raise UsageError(f"figure: expected one of {KINDS}, got {dict(wish)}")
    kind = kinds[0] if kinds else "bars"
    compared = list(dict.fromkeys(o.comparison.metric for o in results.outcomes))
    names = _list(wish.get(kind, compared))
    drawn = {"curves": curves, "sweep": sweep, "bars": bars}
    made: Any = study(wish[kind])(results) if kind == "draw" else drawn[kind](results, names, wish)
    experiment = results.experiment
    width = min(90, int(12 * made.get_figwidth()))  # letters of this size that fit
    made.suptitle(
        fill(f"notes {', '.join(experiment.sections)}: {experiment.claim}", width)
        + f"\n{results.verdict}"
        + f" ({_count(min(o.pairs for o in results.outcomes))})" * (not experiment.exact)
        + ", torch's layers and rules" * (experiment.library == "torch"),
        fontsize=10,
    )
    return made


def panels(
    n: int, columns: int = 3, width: float = 4.2, height: float = 3.2
) -> tuple[Figure, list[Axes]]:
    """An empty figure with n panels, and the panels; also for the pictures of studies."""
    columns = min(n, columns)
    rows = ceil(n / columns)
    made = Figure(figsize=(max(width * columns, 6.4), height * rows + 0.9), layout="constrained")
    grid = list(made.subplots(rows, columns, squeeze=False).flat)
    for axes in grid:
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[n:]:
        axes.axis("off")
    return made, grid[:n]


def curves(results: Results, names: Sequence[str], wish: Mapping[str, Any]) -> Figure:
    """A panel per curve, a line per arm."""
    made, grid = panels(len(names), columns=2, width=5.2)
    for axes, name in zip(grid, names, strict=True):
        for color, (arm, runs) in zip(
            _colors(len(results.records)), results.records.items(), strict=True
        ):
            found = [_curve(record["numbers"], name) for record in runs.values()]
            if not found:
                continue
            length = min(map(len, found))
            values = np.array([curve[:length] for curve in found])
            x = np.arange(1, length + 1)
            if len(found) > 1:
                axes.plot(x, values.T, color=color, linewidth=0.5, alpha=0.25)
            axes.plot(x, values.mean(0), color=color, label=arm, marker="o" * (length < 3) or None)
        if wish.get("log"):
            axes.set_yscale("log")  # first: whoever sets limits, even to None, freezes them
        axes.set(title=name, xlabel=wish.get("x", "epoch"), ylim=wish.get("ylim"))
    handles, labels = grid[0].get_legend_handles_labels()
    fit = int(12 * made.get_figwidth()) // (max(map(len, labels), default=0) + 6)
    columns = max(1, min(4, len(labels), fit))
    made.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=8)
    return made


def _curve(numbers: Mapping[str, Any], name: str) -> list[float]:
    value = numbers.get(name)
    if not isinstance(value, list):
        raise UsageError(f"figure: the runs have no curve {name!r}; they have {', '.join(numbers)}")
    return [float("nan") if v is None else float(v) for v in value]


def bars(results: Results, names: Sequence[str], wish: Mapping[str, Any]) -> Figure:
    """A panel per metric: every arm's mean, interval and single runs."""
    arms = list(results.experiment.arms)
    made, grid = panels(len(names), columns=2, width=5.2, height=max(1.6, 0.32 * len(arms) + 0.9))
    for axes, name in zip(grid, names, strict=True):
        table = _table(results, name)
        for row, (color, arm) in enumerate(zip(_colors(len(arms)), arms, strict=True)):
            values = [v for v in table[arm].values() if isfinite(v)]
            if not values:
                axes.text(0, row, " not finite", va="center", fontsize=8)
                continue
            mean, low, high = interval(values, results.experiment.exact)
            axes.barh(row, mean, color=color, alpha=0.35, height=0.7)
            axes.plot(values, [row] * len(values), ".", color=color, markersize=5)
            if isfinite(low):
                axes.plot([low, high], [row, row], color=color, linewidth=2)
        axes.set_yticks(range(len(arms)), arms, fontsize=8)
        axes.invert_yaxis()
        axes.set_title(f"{name} ({results.experiment.metrics[name].text})", fontsize=9)
    return made


def sweep(results: Results, names: Sequence[str], wish: Mapping[str, Any]) -> Figure:
    """A panel per metric, the option ``x`` of the arms along, one line per value of ``lines``."""
    if "x" not in wish:
        raise UsageError("figure: a sweep needs x, the option that the arms set")
    experiment = results.experiment
    lines: dict[Any, list[tuple[Any, str]]] = {}
    for arm, options in experiment.arms.items():
        chosen = {**experiment.options, **options}
        if wish["x"] not in chosen:
            raise UsageError(f"figure: the arm {arm!r} does not set {wish['x']}")
        lines.setdefault(_spoken(chosen, wish.get("lines")), []).append((chosen[wish["x"]], arm))
    made, grid = panels(len(names), columns=2, width=5.2)
    for axes, name in zip(grid, names, strict=True):
        table = _table(results, name)
        for color, (label, points) in zip(_colors(len(lines)), lines.items(), strict=True):
            numeric = all(isinstance(x, int | float) and not isinstance(x, bool) for x, _ in points)
            x = [x if numeric else str(x) for x, _ in points]
            ends = np.array(
                [interval(list(table[arm].values()), experiment.exact) for _, arm in points]
            )
            axes.plot(x, ends[:, 0], color=color, marker="o", markersize=4, label=label)
            if np.isfinite(ends).all():
                axes.fill_between(x, ends[:, 1], ends[:, 2], color=color, alpha=0.15)
        axes.set(
            title=name,
            xlabel=wish.get("xlabel", wish["x"].rpartition(".")[2]),
            ylim=wish.get("ylim"),
        )
        if wish.get("log"):
            axes.set_xscale("log")
            axes.set_xticks(x, [f"{v:g}" for v in x])  # the scale's own overlap on short ranges
            axes.minorticks_off()
        if len(lines) > 1:
            axes.legend(fontsize=8, frameon=False)
    return made


def _spoken(options: Mapping[str, Any], key: str | None) -> str:
    return "" if key is None else f"{key.rpartition('.')[2]} = {options.get(key)}"


def _table(results: Results, name: str) -> Mapping[str, Mapping[int, float]]:
    if name not in results.tables:
        raise UsageError(f"figure: no metric is called {name!r}; there are {list(results.tables)}")
    return results.tables[name]


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _colors(n: int) -> list[str]:
    return [COLORS[i % len(COLORS)] for i in range(n)]


def _count(seeds: int) -> str:
    return f"{seeds} seed{'s' * (seeds != 1)}"
