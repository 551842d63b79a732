"""The table of notes 4.3 as a function of two lists of losses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import stats

Severity = Literal["info", "notice", "warning", "error"]
Trend = Literal["falling", "flat", "rising", "unclear"]
Curve = NDArray[np.float64]

P_TREND = 0.02  # of Kendall's test, two-sided: a chance of 1 % for a false "falling"
MIN_EPOCHS = 8  # fewer allow no trend to be significant
MIN_EPOCHS_DATA = 20  # a suspicion of the data needs more than that
RISE, SEVERE_RISE = 0.05, 0.20  # of the validation loss above its minimum (Prechelt's GL)

MODEL = "use fewer layers or units, dropout, or weight decay"
DATA = "get more data, sample it evenly, or augment it"
OVERFITTING = (
    "keep the weights of the best epoch, or stop there",
    MODEL,
    DATA,
    "scale or redesign the features so that unlike labels have unlike inputs",
    "smooth the labels",
    "try a larger batch",
    "try SGD instead of Adam, which takes longer",
)
BOTTLENECK = ("lower the learning rate", "try another batch size", "try another optimizer")
# verdict: severity, sentence, remedies
MEANINGS: dict[str, tuple[Severity, str, tuple[str, ...]]] = {
    "learning": ("info", "Both losses fall: the network is still learning.", ("train longer",)),
    "converged": (
        "info",
        "Both losses have come to rest close together.",
        ("if that is not good enough, use more layers or units", *BOTTLENECK),
    ),
    "val_plateau": (
        "notice",
        "The training loss falls but the validation loss stands still: overfitting may be near, or "
        "the two sets differ.",
        ("stop here", "compare the two sets, class by class", MODEL, DATA),
    ),
    "overfitting": (
        "warning",
        "The network overfits: the validation loss has risen while the training loss fell.",
        OVERFITTING,
    ),
    "gap": (
        "warning",
        "The validation loss stands still far above the training loss: the network generalises "
        "poorly.",
        OVERFITTING[1:],
    ),
    "data_suspect": (
        "notice",
        "The validation loss falls while the training loss stands still: something is wrong with "
        "the data.",
        (
            "first rule out dropout and augmentation: measure the training loss in eval mode",
            "look for samples that are in both sets, and for sets that differ",
        ),
    ),
    "plateau": (
        "notice",
        "Both losses stand still: learning has hit a bottleneck.",
        (*BOTTLENECK, "if the training accuracy is low, use more layers or units"),
    ),
    "stuck": (
        "warning",
        "Nothing was learned after the first epoch: the training loss has stayed where it was.",
        ("change the learning rate", "check inputs, labels and initial weights", BOTTLENECK[2]),
    ),
    "diverging": (
        "error",
        "The losses rise or are no numbers any more: training diverges.",
        (
            "divide the learning rate by 3 to 10",
            "warm the learning rate up, or clip the gradient",
            "check the structure of the network and its initial weights",
        ),
    ),
    "too_short": (
        "info",
        f"Too short to say: a trend needs at least {MIN_EPOCHS} epochs.",
        ("train longer",),
    ),
    "unclear": (
        "info",
        "The curves allow no verdict: a trend is not significant, or the pair fits no known case.",
        ("train longer", "use a larger validation set, whose loss is less noisy"),
    ),
}
# trends of training and validation loss: verdict, where nothing more telling was found before
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


@dataclass(frozen=True)
class Verdict:
    """What two loss curves say about a run.

    Args:
        id: short name of the verdict.
        severity: how much it matters.
        sentence: the verdict.
        evidence: the numbers behind it.
        remedies: what to try, the likeliest first.
        best_epoch: index of the lowest validation loss; the texts count epochs from 1.
        train: trend of the training loss at the end of the run.
        val: trend of the validation loss at the end of the run.
    """

    id: str
    severity: Severity
    sentence: str
    evidence: str
    remedies: tuple[str, ...]
    best_epoch: int
    train: Trend
    val: Trend

    def markdown(self) -> str:
        """The verdict as a page of text for TensorBoard."""
        trends = f"| loss | trend |\n|---|---|\n| training | {self.train} |\n"
        trends += f"| validation | {self.val} |"
        advice = "\n".join(f"* {remedy}" for remedy in self.remedies)
        blocks = [f"### {self.id} ({self.severity})", self.sentence, self.evidence, trends, advice]
        return "\n\n".join(filter(None, blocks))


def diagnose(train: Sequence[float], val: Sequence[float]) -> Verdict:
    """Judge a run by its training and validation loss after every epoch.

    The training loss should be measured like the validation loss: in eval mode, after the epoch.
    The verdict does not depend on the unit of the loss; where the curves are too short, too noisy,
    or fit no case of the table, it says so.

    Raises: ValueError for lists without epochs or of different length.
    Source: notes 4.3; three of the nine pairs of trends do not occur there and are ``unclear``.
    """
    if not len(train) == len(val) > 0:
        raise ValueError(
            "expected one training and one validation loss per epoch, "
            f"got {len(train)} and {len(val)} losses"
        )
    t, v = np.asarray(train, float), np.asarray(val, float)
    best = int(np.where(np.isfinite(v), v, np.inf).argmin())
    if not np.isfinite([t, v]).all():
        return _verdict("diverging", _first_failure(t, v), best)
    if len(v) < MIN_EPOCHS:
        return _verdict("too_short", _levels(t, v, best) + ".", best)
    rise, regained, gain = _since_minimum(t, v)
    evidence = (
        f"{_levels(t, v, best)}; since the minimum of its smoothed curve the validation loss has "
        f"changed by {rise:+.1%} and the training loss by {0 - gain:+.1%}."
    )
    trends = trend(t), trend(v)
    severity: Severity | None = None
    name = _name(t, v, trends)
    if name == "overfitting" and (rise >= SEVERE_RISE or regained > 0.5):
        severity = "error"
    return _verdict(name, evidence, best, trends, severity)


def trend(curve: Curve) -> Trend:
    """Direction of the last third of a curve, of its last 10 points at least.

    It moves if Kendall's test finds an order in time and the Theil-Sen line changes by more than
    1 % of its level and 2 % of all that the curve has fallen; it is flat if 95 % confidence keep
    that change below 2 % of either. What is neither is ``unclear``.
    """
    window = curve[-max(10, len(curve) // 3) :]
    span = len(window) - 1
    change, _, low, high = (span * x for x in stats.theilslopes(window, alpha=0.95))
    level, fallen = abs(np.median(window)), curve[0] - curve.min()
    p = stats.kendalltau(range(span + 1), window).pvalue
    if p < P_TREND and abs(change) > max(0.01 * level, 0.02 * fallen):
        return "falling" if change < 0 else "rising"
    margin = 0.02 * max(level, fallen)
    return "flat" if -margin <= low <= high <= margin else "unclear"


def smooth(curve: Curve) -> Curve:
    """Running median of 3 points, of a fortieth of the curve if it is long; no padding."""
    return np.median(sliding_window_view(curve, max(3, len(curve) // 40)), axis=-1)


def noise(curve: Curve) -> float:
    """Standard deviation of the noise on a smooth curve, from its second differences."""
    return float(stats.median_abs_deviation(np.diff(curve, 2), scale="normal")) / 6**0.5


def _name(t: Curve, v: Curve, trends: tuple[Trend, Trend]) -> str:
    end, lowest = smooth(t)[-1], smooth(t).min()
    if end - lowest > abs(lowest) and end > t[0]:
        return "diverging"
    rise, _, gain = _since_minimum(t, v)
    if rise >= RISE and gain >= 0.02 and smooth(v)[-1] - smooth(v).min() > 3 * noise(v):
        return "overfitting"
    if trends in {("flat", "flat"), ("falling", "flat")} and _far_apart(t[0], end, smooth(v)[-1]):
        return "gap"
    if trends == ("flat", "flat") and t[0] - lowest < 0.05 * abs(t[0]):
        return "stuck"
    if trends == ("flat", "flat") and end <= t[0] / 2:
        return "converged"
    if trends == ("flat", "falling") and len(t) < MIN_EPOCHS_DATA:
        return "unclear"
    return TABLE.get(trends, "unclear")


def _far_apart(first: float, train: float, val: float) -> bool:
    """Compare the levels at the end; the first epoch must serve as the scale of what is small."""
    return train <= first / 2 and val > 2 * train and val - train > 0.1 * first


def _since_minimum(t: Curve, v: Curve) -> tuple[float, float, float]:
    """Rise of the validation loss, as a share of its minimum and of its fall; gain in training."""
    smooth_t, smooth_v = smooth(t), smooth(v)
    turn = smooth_v.argmin()
    rise = smooth_v[-1] - smooth_v[turn]
    gain = smooth_t[turn] - smooth_t[-1]
    return (
        _share(rise, smooth_v[turn]),
        _share(rise, v[0] - smooth_v[turn]),
        _share(gain, smooth_t[turn]),
    )


def _share(part: float, whole: float) -> float:
    return float(part / abs(whole)) if whole else 0.0


def _levels(t: Curve, v: Curve, best: int) -> str:
    return (
        f"The validation loss is lowest in epoch {best + 1} of {len(v)} ({v[best]:.4g}) and "
        f"{v[-1]:.4g} at the end, the training loss {t[0]:.4g} at first and {t[-1]:.4g} at the end"
    )


def _first_failure(t: Curve, v: Curve) -> str:
    name, curve = ("training", t) if not np.isfinite(t).all() else ("validation", v)
    epoch = int(np.isfinite(curve).argmin())
    return f"The {name} loss is {curve[epoch]} in epoch {epoch + 1} of {len(curve)}."


def _verdict(
    name: str,
    evidence: str,
    best: int,
    trends: tuple[Trend, Trend] = ("unclear", "unclear"),
    severity: Severity | None = None,
) -> Verdict:
    usual, sentence, remedies = MEANINGS[name]
    return Verdict(name, severity or usual, sentence, evidence, remedies, best, *trends)
