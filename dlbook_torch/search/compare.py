"""Narrowing, plain random search and TPE at equal cost, over many studies (notes 6.6)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from math import isnan
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import TrialState
from scipy import stats

from ..pages import marks, renewed
from .figure import comparison_figure
from .plan import Plan
from .study import SAMPLERS, counts, open_study, search
from .trial import Stop

PART = "search-compare"
Curves = dict[str, NDArray[np.float64]]  # sampler: (studies, trials), the best score so far


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval, from Student's t."""

    mean: float
    half: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> "Interval":
        """Measure ``values``, (studies)."""
        half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
        return cls(float(values.mean()), float(half))

    def __str__(self) -> str:
        low, high = self.mean - self.half, self.mean + self.half
        return f"{self.mean:.4f} ({low:.4f} to {high:.4f})"


def compare(
    plan: Plan,
    studies: int,
    first_seed: int = 0,
    stop: Stop | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Curves:
    """Run every sampler's study with each seed, in memory; the seed is the training's, too.

    What was complete when the user stopped it is returned.
    """
    rows: list[dict[str, NDArray[np.float64]]] = []
    for seed in range(first_seed, first_seed + studies):
        seeded, row = replace(plan, base={**plan.base, "seed_everything": seed}), {}
        for name in SAMPLERS:
            study = open_study(seeded, sampler=name, seed=seed)
            search(seeded, study, stop=stop)
            row[name] = best_so_far(plan, study)
        if stop and stop.number:
            break
        rows.append(row)
        tick()
    return {name: np.array([row[name] for row in rows]) for name in SAMPLERS}


def best_so_far(plan: Plan, study: optuna.Study) -> NDArray[np.float64]:
    """Return the best score after every trial that took a place, NaN before the first one."""
    pick = np.fmin if plan.direction == "min" else np.fmax
    ended = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished() and counts(t)]
    ended.sort(key=lambda t: (t.datetime_complete, t.number))
    scores = [t.value if t.state == TrialState.COMPLETE else np.nan for t in ended]
    return pick.accumulate(np.array(scores, dtype=np.float64))


def differences(plan: Plan, curves: Curves) -> list[tuple[str, str, Interval, int]]:
    """Return for every two samplers by how much the first ends better, and in how many studies."""
    sign = -1 if plan.direction == "min" else 1
    ends = {name: rows[:, -1] for name, rows in curves.items()}
    found = []
    for a, b in combinations(ends, 2):
        better = sign * (ends[a] - ends[b])
        found.append((a, b, Interval.of(better), int((better > 0).sum())))
    return found


def sentence(a: str, b: str, by: Interval) -> str:
    """Say which of two samplers the interval of the difference lets win."""
    if abs(by.mean) <= by.half or isnan(by.mean):
        return "no winner: the interval has 0 in it"
    return f"{a if by.mean > 0 else b} wins"


def markdown(plan: Plan, curves: Curves) -> str:
    """Return the tables of a comparison."""
    studies, trials = next(iter(curves.values())).shape
    lines = [
        f"`configs/search/{plan.name}.yaml`: {studies} studies of {trials} trials"
        f" ({plan.rounds} rounds) of {plan.epochs} epochs for each sampler.",
        "",
        f"| sampler | best {plan.metric} found, mean (95 % interval) |",
        "| --- | ---: |",
        *(f"| {name} | {Interval.of(rows[:, -1])} |" for name, rows in curves.items()),
        "",
        "By how much the first ends better than the second, paired by study:",
        "",
        "| | mean (95 % interval) | better in | |",
        "| --- | ---: | ---: | --- |",
    ]
    for a, b, by, wins in differences(plan, curves):
        lines.append(f"| {a}, {b} | {by} | {wins}/{studies} | {sentence(a, b, by)} |")
    return "\n".join(lines) + "\n"


def write(plan: Plan, curves: Curves, folder: Path) -> tuple[Path, Path]:
    """Write ``search.md``, of which only the generated part changes, and ``search.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    page, picture = folder / "search.md", folder / "search.png"
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    if marks(PART)[0] not in old:
        old += "{}\n{}\n".format(*marks(PART))
    page.write_text(renewed(old, PART, "\n" + markdown(plan, curves)), encoding="utf-8")
    comparison_figure(curves, plan.metric, plan.trials).savefig(picture, dpi=120)
    return page, picture
