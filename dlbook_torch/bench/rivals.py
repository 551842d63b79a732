"""Other people's rules, with the thresholds that they publish, on the same recorded runs.

A rule takes a run as it is in the file and says in which epoch it first raises an alarm, counted
from 0, or None. Where a tool looks at every step, it gets the last step of every epoch.

Sources: SageMaker Debugger, "List of Debugger built-in rules" (its code is closed); UMLAUT,
``umlaut/heuristics.py``; AUTOTRAINER, ``AutoTrainer/utils``; L. Prechelt, "Early stopping - but
when?", 1998; early stopping as in Keras and Lightning, least improvement 0.
"""

from collections.abc import Callable, Mapping
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

Run = Mapping[str, Any]
Rule = Callable[[Run], int | None]
Array = NDArray[np.float64]
TRAIN, TRAIN_ACCURACY = "train_loss_eval", "train_acc_eval"  # measured like the validation loss


def series(run: Run, key: str) -> Array:
    """A curve; NaN for what is not finite."""
    return np.array([nan if x is None else x for x in run[key]], float)


def grid(run: Run, key: str) -> Array:
    """One row per epoch, one column per layer; no columns where no layer has it."""
    return np.array([[nan if x is None else x for x in row] for row in run[key]], float)


def first(holds: Any) -> int | None:
    """Index of the first True."""
    where = np.flatnonzero(holds)
    return int(where[0]) if len(where) else None


def earliest(*epochs: int | None) -> int | None:
    """The first of several alarms."""
    return min((e for e in epochs if e is not None), default=None)


# --- overfitting by the curves


def sagemaker_overfit(run: Run) -> int | None:
    """The validation loss is more than 10 % above the training loss, once."""
    train = series(run, TRAIN)
    with np.errstate(divide="ignore", invalid="ignore"):
        return first((series(run, "val_loss") - train) / train > 0.1)


def sagemaker_overfit_end(run: Run) -> int | None:
    """The same in the last epoch."""
    train, val = series(run, TRAIN)[-1], series(run, "val_loss")[-1]
    return len(run["val_loss"]) - 1 if train > 0 and (val - train) / train > 0.1 else None


def umlaut_overfit(run: Run) -> int | None:
    """Between two epochs the validation loss rose and the training loss did not."""
    train, val = np.diff(series(run, TRAIN)), np.diff(series(run, "val_loss"))
    at = first((val > 0) & (train <= 0))
    return None if at is None else at + 1


def early_stopping(patience: int) -> Rule:
    """No epoch of the last ``patience`` has lowered the least validation loss."""

    def rule(run: Run) -> int | None:
        best, waited = np.inf, 0
        for epoch, loss in enumerate(series(run, "val_loss")):
            best, waited = (loss, 0) if loss < best else (best, waited + 1)
            if waited >= patience:
                return epoch
        return None

    return rule


def prechelt(alpha: float) -> Rule:
    r"""Generalization loss :math:`100 (E / \min E - 1) > \alpha` at the end."""

    def rule(run: Run) -> int | None:
        val = series(run, "val_loss")
        known = val[~np.isnan(val)]
        lost = len(known) > 0 and 100 * (known[-1] / known.min() - 1) > alpha
        return len(val) - 1 if lost else None

    return rule


OVERFIT: dict[str, Rule] = {
    "SageMaker Debugger Overfit, any epoch": sagemaker_overfit,
    "SageMaker Debugger Overfit, last epoch": sagemaker_overfit_end,
    "UMLAUT overfitting": umlaut_overfit,
    "early stopping, patience 10": early_stopping(10),
    "early stopping, patience 40": early_stopping(40),
    "Prechelt GL 2": prechelt(2),
    "Prechelt GL 5": prechelt(5),
    "Prechelt GL 10": prechelt(10),
}


# --- faults of any kind: SageMaker Debugger


def overtraining(run: Run) -> int | None:
    """Neither loss has gained 0.1 on its best, training for 5 checks and validation for 10."""

    def rests(loss: Array, patience: int) -> NDArray[np.bool_]:
        best, waited, found = np.inf, 0, []
        for x in loss:
            best, waited = (x, 0) if x < best - 0.1 else (best, waited + 1)
            found.append(waited >= patience)
        return np.array(found)

    return first(rests(series(run, TRAIN), 5) & rests(series(run, "val_loss"), 10))


def loss_not_decreasing(run: Run) -> int | None:
    """The training loss is not below what it was 10 checks ago."""
    loss = series(run, "train_loss")
    at = first(~(loss[10:] < loss[:-10])) if len(loss) > 10 else None
    return None if at is None else at + 10


def vanishing_gradient(run: Run) -> int | None:
    """The mean absolute gradient of a layer is below 1e-7."""
    return first((grid(run, "grad_meanabs") < 1e-7).any(1))


def exploding_tensor(run: Run) -> int | None:
    """A loss or a gradient is NaN or infinite."""
    bad = np.isnan(series(run, "train_loss")) | np.isnan(grid(run, "grad_norm")).any(1)
    return first(bad)


def dead_relu(run: Run) -> int | None:
    """More than half of a layer's ReLU units are active on less than 1 % of the samples."""
    return first((grid(run, "quiet") > 0.5).any(1))


def saturated_activation(run: Run) -> int | None:
    """More than half of what enters a layer's tanh or sigmoid lies where its derivative is 1e-7."""
    return first((grid(run, "flat") > 0.5).any(1))


def poor_weight_initialization(run: Run) -> int | None:
    """Variances of the layers' weights a factor of 10 apart, or a layer's gradients within 1e-3."""
    variance = [nan if x is None else x for x in run["start"]["weight_variance"]]
    low, high = min(variance), max(variance)
    apart = high > 10 * low
    tight = any(s is not None and s < 1e-3 for s in run["start"]["gradient_spread"])
    return 0 if apart or tight else None


def weight_update_ratio(run: Run) -> int | None:
    """An update of more than 10 times the weights, or less than 1e-8 of them."""
    ratio = grid(run, "upd_ratio")
    return first(((ratio > 10) | (ratio < 1e-8)).any(1))


def unchanged_tensor(run: Run) -> int | None:
    """A layer's weights move by less than 1e-5 of themselves in 3 checks one after the other."""
    still = grid(run, "upd_ratio") < 1e-5
    if len(still) < 3:
        return None
    at = first((still[2:] & still[1:-1] & still[:-2]).any(1))
    return None if at is None else at + 2


def all_zero(run: Run) -> int | None:
    """All weights or all outputs of a layer are 0."""
    weights, outputs = grid(run, "weight_max") == 0, grid(run, "zero_frac") == 1
    return first(weights.any(1) | outputs.any(1))


def class_imbalance(run: Run) -> int | None:
    """One class has ten times the samples of another."""
    counts = run["start"]["class_counts"]
    return 0 if counts and max(counts) > 10 * min(counts) else None


def input_not_normalized(run: Run) -> int | None:
    """The mean of the inputs is further from 0 than 0.2."""
    return 0 if abs(run["start"]["input_mean"]) > 0.2 else None


SAGEMAKER: dict[str, Rule] = {
    "Overfit": sagemaker_overfit,
    "Overtraining": overtraining,
    "LossNotDecreasing": loss_not_decreasing,
    "VanishingGradient": vanishing_gradient,
    "ExplodingTensor": exploding_tensor,
    "DeadRelu": dead_relu,
    "SaturatedActivation": saturated_activation,
    "PoorWeightInitialization": poor_weight_initialization,
    "WeightUpdateRatio": weight_update_ratio,
    "UnchangedTensor": unchanged_tensor,
    "AllZero": all_zero,
    "ClassImbalance": class_imbalance,
    "CheckInputImages": input_not_normalized,
}


# --- UMLAUT


def umlaut_accuracy(run: Run) -> int | None:
    """After epoch 3 a validation accuracy above 0.95, or 0.05 above that of training."""
    val, train = series(run, "val_acc"), series(run, TRAIN_ACCURACY)
    at = first(((val > 0.95) | (val > train + 0.05))[3:])
    return None if at is None else at + 3


def umlaut_rate(run: Run) -> int | None:
    """A learning rate above 0.01 or below 1e-7."""
    rate = series(run, "lr")
    return first((rate > 0.01) | (rate < 1e-7))


def umlaut_input(run: Run) -> int | None:
    """Inputs outside of [-1, 1]."""
    start = run["start"]
    return 0 if start["input_low"] < -1 or start["input_high"] > 1 else None


def umlaut_dropout(run: Run) -> int | None:
    """Dropout of more than a half."""
    return 0 if run["config"].get("drop", 0) > 0.5 else None


def not_a_number(run: Run) -> int | None:
    """A loss is NaN or infinite."""
    return first(np.isnan(series(run, "train_loss")))


UMLAUT: dict[str, Rule] = {
    "overfitting": umlaut_overfit,
    "validation accuracy": umlaut_accuracy,
    "learning rate": umlaut_rate,
    "input range": umlaut_input,
    "dropout": umlaut_dropout,
    "NaN": not_a_number,
}


# --- AUTOTRAINER


def autotrainer(run: Run) -> int | None:
    """Its five problems, looked for only where the accuracy stays below 0.7 or hardly moves.

    It says nothing of a run that has no accuracy.
    """
    accuracy = series(run, "train_acc")
    if np.isnan(accuracy).all():
        return None
    gains = np.diff(accuracy)
    best = np.nanmax(accuracy)
    stuck = len(gains) > 0 and not np.nanmax(gains, initial=-1.0) >= 0.01
    if best >= 0.7 and not stuck:
        return None
    size, dead = grid(run, "grad_meanabs"), grid(run, "grad_zero")
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = size[:, 0] / size[:, -1]
    vanish = (ratio < 1e-3) & (size[:, 0] < 1e-4)
    explode = (ratio > 70) | np.isnan(size).any(1)
    dying = (dead >= 0.7).any(1)
    loss = series(run, "train_loss")
    slow = len(loss) - 1 if stuck else None
    swings = abs(gains) >= 0.03
    falls = swings & (gains < 0)
    oscillates = len(loss) - 1 if len(gains) and falls.mean() >= 0.2 else None
    return earliest(
        first(vanish | explode | dying | np.isnan(loss) | (loss > 1e3)), slow, oscillates
    )


def any_of(rules: Mapping[str, Rule]) -> Rule:
    """The first alarm of a whole tool."""
    return lambda run: earliest(*(rule(run) for rule in rules.values()))


def without(rules: Mapping[str, Rule], *names: str) -> Rule:
    """The tool with some of its rules switched off."""
    return any_of({name: rule for name, rule in rules.items() if name not in names})


TOOLS: dict[str, Rule] = {
    "SageMaker Debugger, all 13 rules": any_of(SAGEMAKER),
    "SageMaker Debugger, without its rules for curves and start": without(
        SAGEMAKER, "Overfit", "Overtraining", "LossNotDecreasing", "PoorWeightInitialization"
    ),
    "UMLAUT, all 6 rules": any_of(UMLAUT),
    "UMLAUT, without input range and learning rate": without(
        UMLAUT, "input range", "learning rate"
    ),
    "AUTOTRAINER": autotrainer,
    "Prechelt GL 5 or NaN": any_of({"GL": prechelt(5), "NaN": not_a_number}),
}
