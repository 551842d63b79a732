"""Whether a network learns at all, and how its training goes (S3 to S8, S15)."""

from collections.abc import Iterator
from math import isfinite, isnan

import numpy as np

from .catalogue import certainty, finding
from .curves import MIN_EPOCHS, share_of, times
from .facts import Facts
from .report import Finding
from .run import Curves

# S3: a loss above this share of that of guessing for some epochs has learned nothing
NOTHING, EPOCHS_OF_NOTHING = 0.95, 3
# S4, S8: skill below which a network underfits (notes 4.3), below which it could do better
LOW, MODEST, HIGH_SKILL = 0.5, 2 / 3, 0.8  # AUTOTRAINER's accuracy 0.7, of ten classes; good
# the first where numbers are predicted: half of their variance may well be noise
LOW_OF_NUMBERS = 0.3
# S5: a run that would lose this share of its loss in as many epochs again was stopped early
PROMISING = 0.3
STOPPED, LEFT = 0.25, 0.25  # the same where no level is known, and of the first loss is left
LEFT_STRAIGHT = 0.5  # of the first loss, where it falls as steadily as at first
STEADY = 0.75  # or if the fall of its last third is this share of that before
# S6: a loss above this multiple of its minimum (TheDeepChecker), and of the epochs before
REGAINED = 0.5  # or that has lost again half of what it had gained
EXPLODED, SPIKE, SPIKE_WINDOW = 2.0, 3.0, 10
# S7: noise as a share of the level, of the loss of guessing
JUMPS, JUMPS_OF_SCALE = 0.3, 0.05
BAD_START, UNDONE = 2.5, 2.0  # S15: first loss over that of guessing (CS231n), over the last


def failure(curves: Curves) -> Finding | None:
    """S6: a loss that is no number, and did not become one again.

    A NaN between numbers is an epoch without a measurement; so is one at the end, if no more
    epochs were left out there than in between.
    """
    for name, series in (("training", curves.train), ("validation", curves.val)):
        loss = np.asarray(series, float)
        finite = np.flatnonzero(np.isfinite(loss))
        if np.isinf(loss).any():
            first = int(np.isinf(loss).argmax())
        elif len(finite) == 0:
            if np.isfinite([curves.train, curves.val]).any():
                continue  # this one was not measured
            first = 0
        else:
            usual = max(np.diff(finite, prepend=-1).max() - 1, 0)
            missing = len(loss) - 1 - finite[-1]
            if missing <= usual:
                continue
            first = int(finite[-1]) + 1
        epoch, n = curves.epoch(first), len(loss)
        return finding(
            "diverging",
            f"The {name} loss is {loss[first]} in epoch {epoch + 1} of {max(n, epoch + 1)}.",
            {"epoch": epoch, "value": float(loss[first])},
            confidence=1.0,
            since=epoch,
        )
    return None


def diverging(f: Facts) -> Iterator[Finding]:
    """S6: the training loss ends far above its minimum and above its beginning, or jumps."""
    if f.n < 3:
        return
    low, end = f.smooth_t.min(), f.t_end
    since = f.epoch(int(f.smooth_t.argmin()))
    lost = end - low > REGAINED * (f.t[0] - low)
    if end - low > (EXPLODED - 1) * abs(low) and (end > f.t[0] or lost):
        yield finding(
            "diverging",
            f"{f.levels()}; its smoothed curve ends {times(end, low)} its minimum.",
            {"lowest": low, "last": end},
            confidence=certainty(end - low, (EXPLODED - 1) * abs(low)),
            since=since,
        )
        return
    for epoch in range(3, f.n):
        before = f.t[max(0, epoch - SPIKE_WINDOW) : epoch]
        usual = float(np.median(before))
        if 0 < SPIKE * max(usual, 0.1 * f.scale) < f.t[epoch]:
            yield finding(
                "diverging",
                f"In epoch {f.epoch(epoch) + 1} the training loss jumps to {f.t[epoch]:.4g}, "
                f"{f.t[epoch] / usual:.3g} times that of the epochs before.",
                {"before": usual, "spike": float(f.t[epoch])},
                confidence=certainty(float(f.t[epoch]), SPIKE * usual),
                since=f.epoch(epoch),
                severity="warning",
                sentence="The training loss explodes at times.",
            )
            return


def nothing_learned(f: Facts) -> bool:
    """S3: both losses have stayed at the loss of guessing, or where they were."""
    if f.n < EPOCHS_OF_NOTHING:
        return False
    lowest = min(f.smooth_t.min(), f.smooth_v.min())
    if f.known:
        lowest += 2 * max(f.noise_t, f.noise_v)
        bad = lowest > NOTHING * f.baseline and not max(f.train_skill, f.val_skill) >= LOW / 2
        return bool(bad and "falling" not in f.trends)
    level, fallen = abs(f.t[0]), f.t[0] - f.smooth_t.min() - 2 * f.noise_t
    at_rest = f.n >= MIN_EPOCHS and not {"falling", "rising"} & set(f.trends)
    skilled = max(f.train_skill, f.val_skill) >= LOW
    still = fallen < (1 - NOTHING) * level and f.noise_t < 2 * (1 - NOTHING) * level
    return bool(at_rest and level > 0 and still and not skilled)


def not_learning(f: Facts) -> Iterator[Finding]:
    """S3: see ``nothing_learned``."""
    if not nothing_learned(f):
        return
    lowest = float(f.smooth_t.min())
    against = f"that of guessing is {f.baseline:.4g}" if f.known else f"it began at {f.t[0]:.4g}"
    yield finding(
        "not_learning",
        f"The training loss was never below {lowest:.4g}; {against}.",
        {"lowest": lowest, "guessing": f.scale},
        confidence=0.95 if f.known else 0.7,
        since=f.epoch(0),
        severity="error" if f.known else "warning",
    )


def poor(f: Facts, target: float | None = None) -> Iterator[Finding]:
    """S4, S5, S8: what is known of the level says that the network does poorly."""
    if f.n < MIN_EPOCHS or nothing_learned(f):
        return
    train, val = f.train_skill, f.val_skill
    if not isfinite(val):
        train = val = f.explained
        if isnan(val):
            yield from _stopped_early(f)
            return
    by_loss = not isfinite(f.val_skill)
    low = LOW_OF_NUMBERS if by_loss and f.curves.classes is None else LOW
    train = val if isnan(train) else train
    promise = remaining(f)
    levels = f"{f.levels()}. {_skills(f)}"
    numbers = {"train_skill": train, "val_skill": val, "promise": promise}
    bound = LOW if by_loss else MODEST
    falls = f.trends[0] == "falling" and f.trends[1] != "rising"
    lasting = promise > PROMISING or steady(f) or bool(f.v_end > NOTHING * f.baseline)
    falling = falls and lasting
    if max(train, val) < bound and (falling or (train < low and val < low)):
        yield finding(
            "too_slow" if falling else "underfitting",
            levels
            + (
                f" In as many epochs again the training loss would fall by {promise:.0%}."
                if falls
                else ""
            ),
            numbers,
            confidence=certainty(1 - val, 1 - LOW),
        )
    elif train < LOW and val < HIGH_SKILL and not by_loss:
        yield finding(
            "underfitting",
            levels,
            numbers,
            confidence=certainty(1 - train, 1 - LOW),
            sentence="The network does poorly on its training samples and better on others: "
            "dropout or augmentation is too strong, or training labels are wrong.",
            cures="less_dropout labels measure",
        )
    elif max(train, val) < min(bound, low if by_loss else bound):
        yield finding(
            "plateau",
            levels,
            numbers,
            confidence=certainty(1 - val, 1 - bound),
            severity="warning",
            sentence="Learning has hit a bottleneck: more epochs promise little, and the network "
            "could do better on both sets.",
        )
    elif target is not None and f.val_accuracy is not None:
        reached = float(np.nanmax(f.val_accuracy))
        if reached < target and not (falls and promise > PROMISING):
            yield finding(
                "plateau",
                f"The best validation accuracy is {reached:.1%}, the target {target:.1%}.",
                numbers | {"target": target},
                confidence=0.8,
                severity="warning",
                sentence="The validation accuracy stays below its target.",
            )


def _stopped_early(f: Facts) -> Iterator[Finding]:
    """S5 where no level is known: much of the first loss is left, and it still falls fast.

    A loss that falls as fast as before has not begun to converge, whatever its level is.
    """
    left = share_of(f.v_end, float(max(f.t[0], f.v[0])))
    promise, straight = remaining(f), steady(f) and left > LEFT_STRAIGHT
    if f.trends != ("falling", "falling") or not (straight or (promise > STOPPED and left > LEFT)):
        return
    yield finding(
        "too_slow",
        f"{f.levels()}. In as many epochs again the training loss would fall by {promise:.0%}.",
        {"left": left, "promise": promise},
        confidence=certainty(left, LEFT),
        severity="warning" if straight else "notice",
        sentence="The run learns too slowly: its loss falls as a straight line and has not begun "
        "to converge."
        if straight
        else "The run was stopped early: both losses still fall fast.",
    )


def steady(f: Facts) -> bool:
    """The training loss falls hardly slower at the end than before."""
    before, after = _falls(f)
    return after > STEADY * before > 0


def remaining(f: Facts) -> float:
    """Share of the training loss that as many epochs again would take away.

    The falls of the last two thirds, as those of a geometric series.
    """
    before, after = _falls(f)
    if after <= 0:
        return 0.0
    r = min(after / before, 1.0) if before > 0 else 1.0
    return min(share_of(after * (r + r**2 + r**3), f.t_end), 1.0)


def _falls(f: Facts) -> tuple[float, float]:
    """Fall of the training loss in the second and in the last third of the run."""
    sixths = [float(np.median(part)) for part in np.array_split(f.t, 6)]
    return sixths[1] - sixths[3], sixths[3] - sixths[5]


def does_well(f: Facts) -> bool:
    """The level is known, by accuracy or by the loss of guessing, and it is good."""
    return (f.explained if isnan(f.val_skill) else f.val_skill) >= MODEST


def bad_start(f: Facts) -> Iterator[Finding]:
    """S15: the first loss is far above that of guessing, and much of the run goes into that."""
    if not f.known or f.n < 3:
        return
    first, later = min(float(f.t[0]), float(f.v[0])), float(f.t[f.n // 3])
    undone = first > max(later, UNDONE * f.t_end)  # if not, the loss may be in other units
    if first > BAD_START * f.baseline and undone and later > f.baseline:
        yield finding(
            "bad_init",
            f"The first loss is {first:.4g}, {first / f.baseline:.3g} times that of "
            f"guessing, and {later:.4g} after a third of the run.",
            {"first": first, "guessing": f.baseline},
            confidence=certainty(first, BAD_START * f.baseline),
            since=f.epoch(0),
            sentence="The initial weights are bad: the first loss is far above that of guessing.",
        )


def oscillating(f: Facts) -> Iterator[Finding]:
    """S7: the training loss jumps by a large share of its level, and that is not near 0."""
    if f.n < MIN_EPOCHS or not f.t_end > 0:
        return
    jumps, level = f.noise_t, float(np.median(f.t[-max(10, f.n // 3) :]))
    if jumps > JUMPS * level and jumps > JUMPS_OF_SCALE * f.scale:
        yield finding(
            "oscillating",
            f"From epoch to epoch the training loss jumps by {jumps:.3g}, {jumps / level:.0%} of "
            "its level.",
            {"noise": jumps, "level": level},
            confidence=certainty(jumps, JUMPS * level),
        )


def _skills(f: Facts) -> str:
    if f.val_accuracy is None:
        return f"{max(f.explained, 0):.0%} of the loss of guessing is gone."
    parts = [("validation", f.val_accuracy), ("training", f.train_accuracy)]
    known = [f"{np.nanmedian(a[-3:]):.1%} {name}" for name, a in parts if a is not None]
    return f"The accuracy at the end is {' and '.join(known)}."
