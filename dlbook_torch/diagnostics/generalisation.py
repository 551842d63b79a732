"""How well a network does on samples that it was not trained on (S1, S2, S16)."""

from collections.abc import Callable, Iterator
from math import e, isnan, log

import numpy as np
import scipy

from .catalogue import certainty, finding
from .curves import MIN_EPOCHS, Curve, share_of, thin, times
from .facts import Facts, guess
from .progress import HIGH_SKILL, REGAINED, nothing_learned
from .report import Finding, Severity

# S1: rise of the validation loss above its minimum (Prechelt's GL 5), in units of its noise, and
# what the training loss has gained meanwhile
RISE, SEVERE_RISE, SURE_RISE, GAIN = 0.05, 0.20, 3.5, 0.02
COMES_BACK = 1.5  # times the largest rise from which the loss has come back before
EPOCHS_OF_RISE = 5  # the best and those after it (Prechelt's strip)
P_RISE = 0.02  # of Kendall's test on the epochs since the best
ACCURACY_LOST = 0.02  # a validation accuracy below its best by less than this still holds
# S2: accuracies further apart than this (AUTOTRAINER's 0.10, and 0.02 for the sampling error of
# some hundred images), or losses, as a share of that of guessing (the second where accuracies are
# known) and as a ratio
GAP, LOSS_GAP, WIDE_LOSS_GAP, LOSS_RATIO = 0.12, 0.10, 0.25, 3.0
NEAR = 0.07  # accuracies closer than this have not come apart (AUTOTRAINER)
BY_HEART = 2.0  # notes 4.3: accuracies apart are overfitting; and the losses, by this ratio
# S16: validation loss over training loss in the first epoch, in which every sample is new
SHIFT_RUNNING, SHIFT_MEASURED, SHIFT_LASTS = 1.15, 1.5, 1.15
SHIFT_EPOCHS = 3  # the first alone may be off while BatchNorm's averages settle
LEAK = 0.85  # validation loss over training loss, both in eval mode
# and where accuracies are known, one better by this (UMLAUT), or a ratio as low as this
EASIER, FAR_EASIER = 0.05, 0.5
SAME, CHANGE = 1e-3, 0.1  # distance of the two losses in every epoch; what they change by
# distance from the law of two softmaxes; how many times the loss of an answer that knows its
# accuracy the loss is (that of a network that is merely unsure was 1.26 at most); how far the
# accuracy must move to show it, unless the loss is so many times that
SOFTMAX_TWICE, SOFTMAX_EXCESS, SOFTMAX_RANGE, SOFTMAX_SURE = 0.12, 1.3, 0.15, 3.0
SOFTER = 2.0  # by what factor the distance may grow with the excess
# what rounding, and an accuracy that is half an epoch older than its loss, may take from a bound
ROUNDED = 0.05


def overfitting(f: Facts) -> Iterator[Finding]:
    """S1: the validation loss has risen since its best epoch while the training loss fell."""
    if f.n < MIN_EPOCHS or f.trends[1] == "falling":
        return
    turn = int(f.smooth_v.argmin())
    lowest = float(f.smooth_v[turn])
    rise = f.v_end - lowest
    share, regained = share_of(rise, lowest), share_of(rise, float(f.v[0]) - lowest)
    gain = share_of(float(f.smooth_t[turn]) - f.t_end, float(f.smooth_t[turn]))
    # a training loss at rest far down has nothing left to gain
    fitted = gain >= GAIN or (f.trends[0] == "flat" and gain > -GAIN and f.t_end <= f.scale / 2)
    if share < RISE or not fitted or rise <= SURE_RISE * f.noise_v:
        return
    before = f.smooth_v[turn // 2 : turn + 1]
    if not rising_since(f.v, f.best) or rise <= COMES_BACK * excursion(before):
        return
    lost = nan_to(f.val_accuracy, lambda a: float(np.nanmax(_middle(a)) - np.nanmedian(a[-3:])))
    holds = lost < ACCURACY_LOST and not f.accuracy_gap >= NEAR
    severity: Severity = "error" if share >= SEVERE_RISE or regained > REGAINED else "warning"
    if holds:
        severity = "warning" if share >= SEVERE_RISE else "notice"
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
        severity=severity,
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
    tau, p = scipy.stats.kendalltau(range(len(after)), after)
    return bool(tau > 0 and p < P_RISE)


def excursion(curve: Curve) -> float:
    """Largest rise above the lowest point before it."""
    return float((curve - np.minimum.accumulate(curve)).max())


def gap(f: Facts) -> Iterator[Finding]:
    """S2: training samples are known far better than others; by accuracy that is overfitting."""
    if f.n < MIN_EPOCHS:
        return
    apart = f.accuracy_gap
    if apart >= GAP and f.v_end > f.t_end:
        learned = f.train_skill >= HIGH_SKILL and f.trends[1] != "falling"
        by_heart = learned and f.v_end > BY_HEART * f.t_end
        yield finding(
            "overfitting" if by_heart else "gap",
            f"At the end the training accuracy is {apart:.1%} above the validation accuracy, "
            f"and the losses are {f.t_end:.4g} and {f.v_end:.4g}.",
            {"accuracy_gap": apart, "train": f.t_end, "val": f.v_end},
            confidence=certainty(apart, GAP),
            sentence="The network overfits: it knows its training samples by heart, and does far "
            "worse on others."
            if by_heart
            else None,
        )
    elif far_apart(f, share := LOSS_GAP if isnan(apart) else WIDE_LOSS_GAP):
        yield finding(
            "gap",
            f"{f.levels()}: {times(f.v_end, f.t_end)} the training loss.",
            {"train": f.t_end, "val": f.v_end, "apart": (f.v_end - f.t_end) / f.scale},
            confidence=certainty(f.v_end - f.t_end, share * f.scale),
        )


def far_apart(f: Facts, share: float) -> bool:
    """Compare the losses at the end; that of guessing is the scale of what is small."""
    apart = f.v_end - f.t_end
    return (
        f.scale > 0
        and f.t_end <= f.scale / 2
        and f.v_end > LOSS_RATIO * f.t_end
        and apart > max(share * f.scale, SURE_RISE * (f.noise_t + f.noise_v))
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

    Such logits lie in [0, 1] and add up to 1, so a sample that is right costs ln(1 + (C-1)/e) at
    least, one that is wrong ln(2 sqrt(e) + C - 2) - 1/2. No mean over samples, of whichever set and
    epoch, can be below that. Where the first softmax is hard, the loss is the former plus the share
    of errors, and far above that of an answer that knows nothing but its accuracy.
    """
    accuracy, C = f.val_accuracy, f.curves.classes
    if accuracy is None or C is None or f.n < 4 or isnan(f.unit):
        return
    floor, wrong = log(1 + (C - 1) / e), log(2 * e**0.5 + C - 2) - 0.5
    v, t = f.v / f.unit, f.t / f.unit
    pairs = [(v, accuracy), (t, f.train_accuracy)]
    if any(_below(loss, a, floor, wrong) for loss, a in pairs if a is not None):
        return
    end = float(np.nanmedian(accuracy[-3:]))
    excess = f.v_end / f.unit / float(guess(np.array([end]), C)[0])
    law = abs(v - floor - (1 - accuracy))[f.n // 2 :]  # the first softmax may be soft at first
    allowed = SOFTMAX_TWICE * min(excess, SOFTER) + 2 * min(f.noise_v / f.unit, 0.05 * floor)
    moves = np.ptp(accuracy) >= SOFTMAX_RANGE or excess >= SOFTMAX_SURE
    if end <= 1 / C or excess < SOFTMAX_EXCESS or not moves:
        return
    if np.nanquantile(law, 0.95) > allowed:
        return
    yield finding(
        "double_softmax",
        f"With {C} classes two softmaxes cannot get below {floor:.4g}; the validation loss stays "
        f"within {np.nanmax(law):.2g} of that plus the share of errors in the later half, and ends "
        f"at {f.v_end / f.unit:.4g} although {end:.1%} of the answers are right.",
        {"floor": floor, "off": float(np.nanmax(law)), "excess": excess},
        confidence=certainty(excess, SOFTMAX_EXCESS),
        since=f.epoch(0),
    )


def _below(loss: Curve, accuracy: Curve, right: float, wrong: float) -> bool:
    """In half of the later epochs a loss is lower than these least costs of answers allow."""
    least = accuracy * right + (1 - accuracy) * wrong
    return bool(np.nanmedian((loss / least)[len(loss) // 2 :]) < 1 - ROUNDED)


def backwards(f: Facts) -> Iterator[Finding]:
    """S16: validation far better than training where both are measured alike."""
    if f.n < MIN_EPOCHS or not f.curves.measured or nothing_learned(f):
        return
    if f.t_end <= 0 or f.trends[0] == "rising":
        return
    ratio = f.v_end / f.t_end
    better = f.t_end - f.v_end > 3 * max(f.noise_t, f.noise_v)
    better = better and (not f.accuracy_gap > -EASIER or ratio < FAR_EASIER)
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


def same_samples(f: Facts) -> Iterator[Finding]:
    """S16: the two losses agree in every epoch, as two samples of the same data never do.

    Equal to the last digit they are more likely one curve that was given twice.
    """
    if f.n < MIN_EPOCHS or f.alone or not f.curves.measured or nothing_learned(f):
        return
    apart = abs(f.v - f.t) / np.maximum(abs(f.t), np.finfo(float).tiny)
    if not 0 < apart.max() <= SAME or np.ptp(f.v) < CHANGE * f.scale:
        return
    yield finding(
        "data_suspect",
        f"{f.levels()}: in no epoch are they further apart than {apart.max():.1g} of the loss.",
        {"apart": float(apart.max())},
        confidence=certainty(SAME, float(apart.max())),
        since=f.epoch(0),
        severity="warning",
        sentence="The training and the validation loss are the same in every epoch: the validation "
        "samples are training samples.",
        cures="leak compare_sets",
    )


def _middle(accuracy: np.ndarray) -> np.ndarray:
    """Running median of three."""
    rows = [accuracy[i : len(accuracy) - 2 + i] for i in range(3)]
    return np.nanmedian(rows, axis=0)


def nan_to(curve: np.ndarray | None, measure: Callable[[np.ndarray], float]) -> float:
    """Measure a curve, NaN without it."""
    return float("nan") if curve is None else measure(curve)
