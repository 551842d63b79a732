"""The table of notes 4.3, and all rules for curves."""

from collections.abc import Callable, Iterator
from math import isnan

import scipy

from .catalogue import finding
from .curves import MIN_EPOCHS, Trend, share_of
from .facts import Facts
from .generalisation import (
    RISE,
    backwards,
    double_softmax,
    gap,
    overfitting,
    same_samples,
    validation_shift,
)
from .progress import MODEST, bad_start, diverging, does_well, not_learning, oscillating
from .report import Finding

MIN_EPOCHS_DATA = 20  # a suspicion of the data needs more than a trend

# trends of training and validation loss: verdict, where nothing more telling was found
TABLE: dict[tuple[Trend, Trend], str] = {
    ("falling", "falling"): "learning",
    ("falling", "flat"): "val_plateau",
    ("falling", "rising"): "unclear",  # it rises by less than RISE
    ("flat", "falling"): "data_suspect",
    ("flat", "flat"): "plateau",
    ("flat", "rising"): "unclear",
    ("rising", "falling"): "unclear",
    ("rising", "flat"): "unclear",
    ("rising", "rising"): "diverging",
}


def table(f: Facts) -> Finding:
    """The nine pairs of trends of notes 4.3, which do not need a symptom.

    Three of them do not occur there and are ``unclear``.
    """
    if f.n < MIN_EPOCHS:
        what = f.levels() if f.n else "No epoch has measured both losses"
        return finding("too_short", f"{what}.", confidence=1.0)
    name = TABLE.get(f.trends, "unclear")
    if name == "plateau" and (f.t_end <= f.scale / 2 or f.val_skill >= MODEST):
        name = "converged"
    if name == "data_suspect" and (f.n < MIN_EPOCHS_DATA or not f.curves.measured):
        name = "unclear"
    if name == "diverging":
        fallen = min(share_of(c[-1] - c.min(), float(c.min())) for c in (f.smooth_t, f.smooth_v))
        name = "diverging" if fallen > RISE else "unclear"
    vague = name == "data_suspect" or (name == "unclear" and "unclear" in f.trends)
    if vague and does_well(f):
        name = "healthy"
    if f.alone:
        return _of_training(f, name)
    return finding(
        name,
        f"{f.levels()}; the training loss is {f.trends[0]}, the validation loss {f.trends[1]}.",
        confidence=_trust(f),
        since=f.epoch(f.best) if name == "val_plateau" else None,
    )


def _of_training(f: Facts, name: str) -> Finding:
    sentences = {"learning": "falls", "converged": "has come to rest", "plateau": "stands still"}
    said = (
        f"The training loss {sentences[name]}; nothing was validated."
        if name in sentences
        else None
    )
    evidence = f"The training loss is {f.t[0]:.4g} at first and {f.t[-1]:.4g} at the end."
    return finding(name, evidence, confidence=_trust(f), sentence=said)


# verdicts of a run that needs no change
NORMAL = {
    "healthy",
    "learning",
    "converged",
    "val_plateau",
    "plateau",
    "too_short",
    "unclear",
    "data_suspect",
}
RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    diverging,
    overfitting,
    gap,
    validation_shift,
    double_softmax,
    not_learning,
    oscillating,
    backwards,
    same_samples,
    bad_start,
)


def _trust(f: Facts) -> float:
    """Confidence in the pair of trends: that of Kendall's test in its less certain half."""
    sure = []
    for curve, which in zip((f.t, f.v), f.trends, strict=True):
        window = curve[-max(10, len(curve) // 3) :]
        p = float(scipy.stats.kendalltau(range(len(window)), window).pvalue)
        p = 1.0 if isnan(p) else p
        sure.append(1 - p if which in ("falling", "rising") else 0.9 if which == "flat" else 0.3)
    return min(sure)
