"""The table of notes 4.3 and the symptoms that curves show (S1 to S8, S16)."""

from collections.abc import Callable, Iterator
from math import e, isfinite, isnan, log

import numpy as np
from scipy import stats

from .catalogue import certainty, finding
from .curves import MIN_EPOCHS, Curve, Trend, thin
from .facts import Facts, guess
from .report import Finding, Severity
from .run import Curves

MIN_EPOCHS_DATA = 20  # a suspicion of the data needs more than a trend
# S1: rise of the validation loss above its minimum (Prechelt's GL 5), in units of its noise, and
# what the training loss has gained meanwhile
RISE, SEVERE_RISE, REGAINED, SURE_RISE, GAIN = 0.05, 0.20, 0.5, 3.5, 0.02
COMES_BACK = 1.5  # times the largest rise from which the loss has come back before
EPOCHS_OF_RISE = 5  # the best and those after it (Prechelt's strip)
P_RISE = 0.02  # of Kendall's test on the epochs since the best
ACCURACY_LOST = 0.02  # a validation accuracy below its best by less than this still holds
# S2: accuracies further apart than this (AUTOTRAINER; the second where training is above 90 %),
# or losses, as a share of that of guessing and as a ratio
GAP, GAP_HIGH, LOSS_GAP, LOSS_RATIO = 0.10, 0.07, 0.10, 3.0
HIGH_SKILL = 0.8
BY_HEART = 2.0  # notes 4.3: accuracies apart are overfitting; and the losses, by this ratio
# S3: a loss above this share of that of guessing for some epochs has learned nothing
NOTHING, EPOCHS_OF_NOTHING = 0.95, 3
# S4, S8: skill below which a network underfits (notes 4.3), below which it could do better
LOW, MODEST = 0.5, 0.7  # the second is AUTOTRAINER's
# S5: a run that would lose this share of its loss in as many epochs again was stopped early
PROMISING = 0.3
STOPPED, LEFT = 0.25, 0.25  # the same where no level is known, and of the first loss is left
STEADY = 0.75  # or if the fall of its last third is this share of that before
# S6: a loss above this multiple of its minimum (TheDeepChecker), and of the epochs before
EXPLODED, SPIKE, SPIKE_WINDOW = 2.0, 3.0, 10
# S7: noise as a share of the level, of the loss of guessing
JUMPS, JUMPS_OF_SCALE = 0.3, 0.05
BAD_START = 2.0  # S15: first loss over that of guessing (CS231n)
# S16: validation loss over training loss in the first epoch, in which every sample is new
SHIFT_RUNNING, SHIFT_MEASURED, SHIFT_LASTS = 1.15, 1.5, 1.15
SHIFT_EPOCHS = 3  # the first alone may be off while BatchNorm's averages settle
LEAK, LEAK_SKILL = 0.85, 0.2  # validation better than training in eval mode; by accuracy
SOFTMAX_TWICE, SOFTMAX_RANGE, SOFTMAX_EXCESS = 0.12, 0.15, 1.1

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
            f"{f.levels()}; its smoothed curve ends {_times(end, low)} its minimum.",
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


def overfitting(f: Facts) -> Iterator[Finding]:
    """S1: the validation loss has risen since its best epoch while the training loss fell."""
    if f.n < MIN_EPOCHS or f.trends[1] == "falling":
        return
    turn = int(f.smooth_v.argmin())
    lowest = float(f.smooth_v[turn])
    rise = f.v_end - lowest
    share, regained = _share(rise, lowest), _share(rise, float(f.v[0]) - lowest)
    gain = _share(float(f.smooth_t[turn]) - f.t_end, float(f.smooth_t[turn]))
    # a training loss at rest far down has nothing left to gain
    fitted = gain >= GAIN or (f.trends[0] == "flat" and gain > -GAIN and f.t_end <= f.scale / 2)
    if share < RISE or not fitted or rise <= SURE_RISE * f.noise_v:
        return
    if not rising_since(f.v, f.best) or rise <= COMES_BACK * excursion(
        f.smooth_v[turn // 2 : turn + 1]
    ):
        return
    lost = nan_to(f.val_accuracy, lambda a: float(np.nanmax(_middle(a)) - np.nanmedian(a[-3:])))
    holds = lost < ACCURACY_LOST and not f.accuracy_gap >= GAP_HIGH
    severity: Severity = "error" if share >= SEVERE_RISE or regained > REGAINED else "warning"
    evidence = (
        f"{f.levels()}; since the minimum of its smoothed curve the validation loss has "
        f"changed by {share:+.1%} and the training loss by {0 - gain:+.1%}"
    )
    if holds:
        evidence += f", but the validation accuracy is within {max(lost, 0):.1%} of its best"
    yield finding(
        "overfitting",
        evidence + ".",
        {"rise": share, "regained": regained, "gain": gain, "noise": f.noise_v},
        confidence=min(certainty(share, RISE / 2), certainty(rise, SURE_RISE / 2 * f.noise_v)),
        since=f.epoch(f.best),
        severity="notice" if holds else severity,
        sentence="The validation loss rises while the accuracy holds: the network grows too sure "
        "of its mistakes."
        if holds
        else None,
    )


def rising_since(curve: Curve, turn: int) -> bool:
    """Kendall's test finds a rise since the turn, over some epochs at least."""
    after = thin(curve[turn:])
    if len(after) < EPOCHS_OF_RISE:
        return False
    tau, p = stats.kendalltau(range(len(after)), after)
    return bool(tau > 0 and p < P_RISE)


def excursion(curve: Curve) -> float:
    """Largest rise above the lowest point before it."""
    return float((curve - np.minimum.accumulate(curve)).max())


def gap(f: Facts) -> Iterator[Finding]:
    """S2: training samples are known far better than others; by accuracy that is overfitting."""
    if f.n < MIN_EPOCHS:
        return
    apart = f.accuracy_gap
    if isfinite(apart):
        assert f.train_accuracy is not None
        high = float(np.nanmedian(f.train_accuracy[-3:])) > 0.9
        limit = GAP_HIGH if high else GAP
        small = f.v_end - f.t_end < LOSS_GAP * f.scale and not apart >= GAP
        if apart < limit or small or f.v_end <= f.t_end:
            return
        known_by_heart = (
            high
            and apart >= GAP
            and f.v_end > BY_HEART * f.t_end
            and f.trends[1] != "falling"
            and f.train_skill >= HIGH_SKILL
        )
        yield finding(
            "overfitting" if known_by_heart else "gap",
            f"At the end the training accuracy is {apart:.1%} above the validation accuracy, "
            f"and the losses are {f.t_end:.4g} and {f.v_end:.4g}.",
            {"accuracy_gap": apart, "train": f.t_end, "val": f.v_end},
            confidence=certainty(apart, limit),
            sentence="The network overfits: it knows its training samples by heart, and does far "
            "worse on others."
            if known_by_heart
            else None,
        )
    elif far_apart(f):
        yield finding(
            "gap",
            f"{f.levels()}: {_times(f.v_end, f.t_end)} the training loss.",
            {"train": f.t_end, "val": f.v_end, "apart": (f.v_end - f.t_end) / f.scale},
            confidence=certainty(f.v_end - f.t_end, LOSS_GAP * f.scale),
        )


def far_apart(f: Facts) -> bool:
    """Compare the losses at the end; that of guessing is the scale of what is small."""
    return (
        f.scale > 0
        and f.t_end <= f.scale / 2
        and f.v_end > LOSS_RATIO * f.t_end
        and f.v_end - f.t_end > max(LOSS_GAP * f.scale, SURE_RISE * (f.noise_t + f.noise_v))
    )


def validation_shift(f: Facts) -> Iterator[Finding]:
    """S16: the validation loss was far above the training loss from the first epoch on.

    In the first epoch every sample is new to the network, so the running mean of its loss is what
    a validation set of the same kind would have had, or more.
    """
    if f.n < MIN_EPOCHS or f.index[0] > 0 or f.t[0] <= 0 or f.t_end <= 0:
        return
    new, limit = (f.t, SHIFT_MEASURED) if f.running is None else (f.running, SHIFT_RUNNING)
    early = f.v[:SHIFT_EPOCHS] / new[:SHIFT_EPOCHS]
    apart = min(f.v[:SHIFT_EPOCHS] - new[:SHIFT_EPOCHS])
    first, last = early.min(), f.v_end / f.t_end
    if not first > limit or last < SHIFT_LASTS or apart < LOSS_GAP * f.scale:
        return
    if nothing_learned(f):
        return
    yield finding(
        "validation_shift",
        f"In the first {SHIFT_EPOCHS} epochs the validation loss is at least {first:.3g} times the "
        f"training loss, at the end {last:.3g} times.",
        {"first": float(first), "last": float(last)},
        confidence=certainty(first, limit),
        since=f.epoch(0),
    )


def double_softmax(f: Facts) -> Iterator[Finding]:
    r"""S16: the loss is that of softmax outputs taken for logits.

    Such logits lie in [0, 1], so a sample that is surely right costs ln(1 + (C-1)/e) and one that
    is surely wrong costs 1 more. The loss is then that floor plus the share of errors, in every
    epoch, and above the loss of an answer that knows nothing but its accuracy.
    """
    accuracy, C = f.val_accuracy, f.curves.classes
    if accuracy is None or C is None or f.n < 4:
        return
    floor = log(1 + (C - 1) / e)
    off = f.v - floor - (1 - accuracy)
    allowed = SOFTMAX_TWICE + 2 * min(f.noise_v, 0.05 * floor)
    sure = np.ptp(accuracy) >= SOFTMAX_RANGE and f.smooth_v.min() > 0.95 * floor
    excess = f.v_end / float(guess(np.array([np.nanmedian(accuracy[-3:])]), C)[0])
    if not sure or np.nanquantile(abs(off), 0.95) > allowed or excess < SOFTMAX_EXCESS:
        return
    yield finding(
        "double_softmax",
        f"With {C} classes two softmaxes cannot get below {floor:.4g}; the validation loss stays "
        f"within {np.nanmax(abs(off)):.2g} of that plus the share of errors in every epoch, and "
        f"ends at {f.v_end:.4g} although {np.nanmedian(accuracy[-3:]):.1%} of the answers are "
        "right.",
        {"floor": floor, "off": float(np.nanmax(abs(off))), "excess": excess},
        confidence=certainty(excess, SOFTMAX_EXCESS),
        since=f.epoch(0),
    )


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
    train = val if isnan(train) else train
    promise = remaining(f)
    levels = f"{f.levels()}. {_skills(f)}"
    numbers = {"train_skill": train, "val_skill": val, "promise": promise}
    bound = LOW if by_loss else MODEST
    falls = f.trends[0] == "falling" and f.trends[1] != "rising"
    lasting = promise > PROMISING or steady(f) or bool(f.v_end > NOTHING * f.baseline)
    falling = falls and lasting
    if max(train, val) < bound and (falling or (train < LOW and val < LOW)):
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
    elif max(train, val) < bound:
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
    """S5 where no level is known: most of the first loss is left, and it still falls fast."""
    left = _share(f.v_end, float(max(f.t[0], f.v[0])))
    promise = remaining(f)
    if f.trends == ("falling", "falling") and promise > STOPPED and left > LEFT:
        yield finding(
            "too_slow",
            f"{f.levels()}. In as many epochs again the training loss would fall by {promise:.0%}.",
            {"left": left, "promise": promise},
            confidence=certainty(left, LEFT),
            severity="notice",
            sentence="The run was stopped early: both losses still fall fast.",
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
    return min(_share(after * (r + r**2 + r**3), f.t_end), 1.0)


def _falls(f: Facts) -> tuple[float, float]:
    """Fall of the training loss in the second and in the last third of the run."""
    sixths = [float(np.median(part)) for part in np.array_split(f.t, 6)]
    return sixths[1] - sixths[3], sixths[3] - sixths[5]


def bad_start(f: Facts) -> Iterator[Finding]:
    """S15: the first loss is far above that of guessing, and much of the run goes into that."""
    if not f.known or f.n < 3:
        return
    first, later = min(float(f.t[0]), float(f.v[0])), float(f.t[f.n // 3])
    if first > BAD_START * f.baseline and first > later > f.baseline:
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


def backwards(f: Facts) -> Iterator[Finding]:
    """S16: validation far better than training where both are measured alike."""
    if f.n < MIN_EPOCHS or not f.curves.measured or nothing_learned(f):
        return
    if f.t_end <= 0 or f.trends[0] == "rising":
        return
    ratio = f.v_end / f.t_end
    better = f.t_end - f.v_end > 3 * max(f.noise_t, f.noise_v)
    if ratio < LEAK and better and f.t_end - f.v_end > LOSS_GAP / 2 * f.scale:
        yield finding(
            "data_suspect",
            f"{f.levels()}: only {ratio:.0%} of the training loss, in eval mode.",
            {"ratio": ratio},
            confidence=certainty(1 - ratio, 1 - LEAK),
            severity="warning",
            sentence="The validation samples are far easier than the training samples: training "
            "labels are wrong, or validation samples were trained on.",
            cures="labels leak compare_sets",
        )


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
        fallen = min(_share(c[-1] - c.min(), float(c.min())) for c in (f.smooth_t, f.smooth_v))
        name = "diverging" if fallen > RISE else "unclear"
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
NORMAL = {"learning", "converged", "val_plateau", "plateau", "too_short", "unclear", "data_suspect"}
RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    diverging,
    overfitting,
    gap,
    validation_shift,
    double_softmax,
    not_learning,
    oscillating,
    backwards,
    bad_start,
)


def _trust(f: Facts) -> float:
    """Confidence in the pair of trends: that of Kendall's test in its less certain half."""
    sure = []
    for curve, which in zip((f.t, f.v), f.trends, strict=True):
        window = curve[-max(10, len(curve) // 3) :]
        p = float(stats.kendalltau(range(len(window)), window).pvalue)
        p = 1.0 if isnan(p) else p
        sure.append(1 - p if which in ("falling", "rising") else 0.9 if which == "flat" else 0.3)
    return min(sure)


def _middle(accuracy: np.ndarray) -> np.ndarray:
    """Running median of three."""
    rows = [accuracy[i : len(accuracy) - 2 + i] for i in range(3)]
    return np.nanmedian(rows, axis=0)


def nan_to(curve: np.ndarray | None, measure: Callable[[np.ndarray], float]) -> float:
    """Measure a curve, NaN without it."""
    return float("nan") if curve is None else measure(curve)


def _share(part: float, whole: float) -> float:
    return float(part / abs(whole)) if whole else 0.0


def _times(a: float, b: float) -> str:
    return f"{a / b:.3g} times" if b > 0 else "above"


def _skills(f: Facts) -> str:
    if f.val_accuracy is None:
        return f"{max(f.explained, 0):.0%} of the loss of guessing is gone."
    parts = [("validation", f.val_accuracy), ("training", f.train_accuracy)]
    known = [f"{np.nanmedian(a[-3:]):.1%} {name}" for name, a in parts if a is not None]
    return f"The accuracy at the end is {' and '.join(known)}."
