"""Pictures of a search: how its ranges narrowed, and which way of searching found more."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from .plan import Plan
from .sampler import NarrowingSampler, finished

COLORS = {"random": "tab:gray", "narrowing": "tab:blue", "tpe": "tab:orange"}


def ranges_figure(plan: Plan, study: optuna.Study) -> Figure:
    """Draw every parameter's range in every round, and the trials in the colour of their score.

    The darker, the better; a cross is a trial that was pruned or diverged.
    """
    done = finished(study)
    columns = min(len(plan.space), 3)
    rows = ceil(len(plan.space) / columns)
    figure = Figure(figsize=(4.2 * columns, 2.8 * rows + 0.6), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    ranks = score_ranks(study, done)
    for axes, (name, distribution) in zip(panels, plan.space.items(), strict=False):
        _panel(axes, study, name, distribution, plan, done, ranks)
    for axes in panels[len(plan.space) :]:
        axes.axis("off")
    figure.suptitle(f"{plan.name}: {len(done)} trials, dark is good {plan.metric}", fontsize=11)
    return figure


def score_ranks(study: optuna.Study, done: Sequence[FrozenTrial]) -> list[float]:
    """Return 1 for the best of ``done``, towards 0 for the worst, NaN without a score."""
    sign = 1 if study.direction == optuna.study.StudyDirection.MINIMIZE else -1
    complete = TrialState.COMPLETE
    scores = np.array(
        [sign * t.value if t.value is not None and t.state == complete else np.nan for t in done]
    )
    scored = np.sort(scores[~np.isnan(scores)])
    places = np.searchsorted(scored, scores).astype(float)
    return [float(v) for v in np.where(np.isnan(scores), np.nan, 1 - places / max(len(scored), 1))]


def _panel(
    axes: Axes,
    study: optuna.Study,
    name: str,
    distribution: BaseDistribution,
    plan: Plan,
    done: Sequence[FrozenTrial],
    ranks: Sequence[float],
) -> None:
    choices = getattr(distribution, "choices", ())
    height = choices.index if choices else float
    if isinstance(study.sampler, NarrowingSampler):
        for r in range(ceil(len(done) / plan.trials)):
            x = [r * plan.trials + 0.5, (r + 1) * plan.trials + 0.5]
            left = study.sampler.range(study, name, distribution, r, done)
            spans = [(height(c) - 0.4, height(c) + 0.4) for c in left] if choices else [left]
            for low, high in spans:
                axes.fill_between(x, low, high, color="tab:blue", alpha=0.15, linewidth=0)
    for i, (trial, rank) in enumerate(zip(done, ranks, strict=True), 1):
        y = height(trial.params[name])
        if trial.state == TrialState.PRUNED:
            axes.plot(i, y, "x", color="0.6", markersize=4)
        else:
            axes.scatter(i, y, c=[rank], cmap="viridis_r", vmin=0, vmax=1, s=18)
    if choices:
        axes.set_yticks(range(len(choices)), [str(c) for c in choices])
    elif getattr(distribution, "log", False):
        axes.set_yscale("log")
    axes.set_title(name, fontsize=9)
    axes.set_xlabel("trial", fontsize=8)
    axes.tick_params(labelsize=8)


def comparison_figure(curves: Mapping[str, Any], metric: str, trials: int) -> Figure:
    """Draw the best score after every trial: the median over studies, and the middle half.

    The first round is left out: what little it has found would hide the rest.

    Args:
        curves: per sampler (studies, trials).
        metric: its name.
        trials: in a round.
    """
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    for name, rows in curves.items():
        low, middle, high = np.quantile(rows[:, trials - 1 :], [0.25, 0.5, 0.75], axis=0)
        x = np.arange(trials, rows.shape[1] + 1)
        axes.plot(x, middle, label=name, color=COLORS[name])
        axes.fill_between(x, low, high, color=COLORS[name], alpha=0.15, linewidth=0)
    axes.set(xlabel="trials", ylabel=f"best {metric} so far")
    axes.legend(frameon=False)
    return figure
