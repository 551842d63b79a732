"""What came of a run, by a test set that no diagnosis sees."""

from collections.abc import Mapping
from math import isfinite, log, nan
from statistics import median
from typing import Any, Literal

from .tasks import TASKS

Outcome = Literal["well", "fails", "overfits", "misjudged", "disputed"]
# bounds between well and harmed; between them an outcome is disputed
BELOW, ROSE, STILL, APART, TOGETHER = 0.05, 0.10, 0.03, 0.10, 0.06
MISJUDGED, MISJUDGED_LOSS = 0.07, 1.4


def outcome(run: Mapping[str, Any]) -> Outcome:
    """What came of a run, by its test set; medians of the last three epochs.

    * ``fails``: it scores 5 points or more below the bar of its task.
    * ``misjudged``: validation and test accuracy are 7 points apart, or their losses by a factor
      of 1.4 and a tenth of the loss of guessing.
    * ``overfits``: the test loss ends 10 % above its minimum, or the accuracies of training and
      test are 10 points apart (the losses of a regression by a tenth of that of guessing, and a
      factor of 2), though the run does not fail.
    * ``well``: it reaches the bar, the test loss ends within 3 % of its minimum, the accuracies
      are within 6 points, the validation set tells the truth.
    * ``disputed``: anything else.
    """
    return next(iter(outcomes(run)), "disputed")


def outcomes(run: Mapping[str, Any]) -> list[Outcome]:
    """All outcomes that hold, the worst first; see :func:`outcome`."""
    bar, classes = TASKS[run["config"]["data"]].bar, run["classes"]
    score, found = last(run["test_score"]), list[Outcome]()
    test, train, val = (
        last(run[f"{name}"]) for name in ("test_loss", "train_loss_eval", "val_loss")
    )
    rise = test / min(_smooth(run["test_loss"]), default=nan) - 1
    ratio = max(val / test, test / val) if val > 0 and test > 0 else nan
    guessing = log(classes) if classes else 1.0
    unlike = ratio >= MISJUDGED_LOSS and abs(val - test) >= APART * guessing
    if classes:
        apart = last(run["train_acc_eval"]) - score
        lie = abs(last(run["val_acc"]) - score) >= MISJUDGED or unlike
    else:
        apart = test - train if test >= 2 * train else 0.0
        lie = unlike
    if not score > bar - BELOW:
        found.append("fails")
    if lie:
        found.append("misjudged")
    if rise >= ROSE or apart >= APART:
        found.append("overfits")
    if not found and score >= bar and rise <= STILL and apart <= TOGETHER:
        found.append("well")
    return found


def last(values: Any) -> float:
    """Median of the last three epochs; NaN if one of them is not finite."""
    tail = [nan if x is None else float(x) for x in values[-3:]]
    return median(tail) if tail and all(map(isfinite, tail)) else nan


def _smooth(values: Any) -> list[float]:
    known = [nan if x is None else float(x) for x in values]
    return [
        median(known[i : i + 3])
        for i in range(len(known) - 2)
        if all(map(isfinite, known[i : i + 3]))
    ]
