r"""From numbers to a verdict: paired differences over seeds, an interval, and what it excludes.

Runs with one seed are a pair: the same first weights, the same order of the images. With the
differences :math:`d_s` of n pairs, their mean :math:`\bar d` and standard deviation :math:`s`,

.. math:: \bar d \pm t_{0.975,\,n-1} \, s / \sqrt n

is Student's 95 % interval. What draws nothing at random (a truth table) is its own interval.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, nan, sqrt
from statistics import fmean, stdev
from typing import Literal

from .compare import Comparison

Holds = Literal["yes", "no", "open"]
Verdict = Literal["supported", "refuted", "depends", "undecided"]
LEVEL = 0.95


@dataclass(frozen=True)
class Outcome:
    """One comparison, measured.

    Args:
        comparison: what was asked.
        holds: ``yes``, ``no``, or ``open`` where the interval allows both.
        mean: of arm - other.
        low: lower end of the interval.
        high: upper end of the interval.
        effect: Cohen's d of paired differences, mean / standard deviation; inf without spread.
        pairs: how many seeds both sides have.
    """

    comparison: Comparison
    holds: Holds
    mean: float
    low: float
    high: float
    effect: float
    pairs: int


def interval(values: Sequence[float], exact: bool = False) -> tuple[float, float, float]:
    """Mean and the two ends of its interval; a value alone, or one that is not finite, has none.

    With ``exact`` nothing was drawn at random, and one value is the whole truth.
    """
    if not values:
        return nan, -inf, inf
    mean = fmean(values)
    if exact:
        return mean, mean, mean
    if not all(map(isfinite, values)) or len(values) == 1:
        return mean, -inf, inf
    spread = stdev(values)
    if spread == 0:
        return mean, mean, mean
    from scipy.stats import t

    half = float(t.ppf((1 + LEVEL) / 2, len(values) - 1)) * spread / sqrt(len(values))
    return mean, mean - half, mean + half


def decide(direction: str, mean: float, low: float, high: float, by: float) -> Holds:
    r"""Say whether a difference is as claimed.

    *greater than*: yes if the interval lies above 0 and the mean is at least ``by``; no if it lies
    below ``by``, so that a difference that matters is excluded. *less than*: the same for the
    negative. *equal to*: yes if the interval lies within ``by`` of 0, no if it lies outside.
    """
    if direction == "equal to":
        if -by <= low and high <= by:
            return "yes"
        return "no" if low > by or high < -by else "open"
    if direction == "less than":
        mean, low, high = -mean, -high, -low
    if low > 0 and mean >= by:
        return "yes"
    return "no" if high <= 0 or high < by else "open"


def judge(
    comparison: Comparison, table: Mapping[str, Mapping[int, float]], exact: bool = False
) -> Outcome:
    """Measure a comparison on ``{arm: {seed: value}}``, over the seeds that all its arms have."""
    names = [*comparison.arm.arms, *comparison.other.arms]
    seeds = sorted(set.intersection(*(set(table.get(name, {})) for name in names)))
    pairs = zip(
        comparison.arm.values(table, seeds), comparison.other.values(table, seeds), strict=True
    )
    differences = [a - b for a, b in pairs]
    mean, low, high = interval(differences, exact)
    spread = stdev(differences) if isfinite(low) and len(seeds) > 1 else 0.0
    effect = mean / spread if spread else (inf if mean > 0 else -inf if mean < 0 else 0.0)
    holds = decide(comparison.direction, mean, low, high, comparison.by)
    return Outcome(comparison, holds, mean, low, high, effect, len(seeds))


def verdict(outcomes: Sequence[Outcome]) -> Verdict:
    """Under one condition every comparison has to hold; if conditions disagree, it depends."""
    found = set()
    for when in {outcome.comparison.when for outcome in outcomes}:
        holds = {outcome.holds for outcome in outcomes if outcome.comparison.when == when}
        found.add("refuted" if "no" in holds else "undecided" if "open" in holds else "supported")
    if {"supported", "refuted"} <= found:
        return "depends"
    return "undecided" if "undecided" in found else found.pop()  # type: ignore[return-value]
