"""Everything that can be found, in one table, and the order in which it matters."""

from collections.abc import Mapping
from typing import NamedTuple

from .remedies import remedies
from .report import Finding, Severity


class Kind(NamedTuple):
    """What all findings of one id share; a rule may change severity and sentence."""

    severity: Severity
    sentence: str
    remedies: str


_OVERFITTING = (
    "smaller dropout weight_decay no_batch_norm more_data augment features smooth_labels "
    "larger_batch sgd"
)
_BOTTLENECK = "lower_lr other_batch other_optimizer"
_LOWER = "lower_lr warm_up clip"

# in order of importance among equals in severity; S1 to S16 are the symptoms, 4.3 is the table
CATALOGUE: dict[str, Kind] = {
    # S6
    "diverging": Kind(
        "error",
        "The losses rise or are no numbers any more: training diverges.",
        f"{_LOWER} structure",
    ),
    # S14
    "frozen_layer": Kind(
        "error",
        "A layer does not learn: its weights never change while others do.",
        "unfreeze structure",
    ),
    "symmetric_weights": Kind(
        "error",
        "All units of a layer have equal weights, and equal gradients keep them so.",
        "random_init init",
    ),
    # S9 to S12, S15, S13
    "exploding_gradients": Kind(
        "error", "The gradients explode.", "clip lower_lr warm_up init batch_norm"
    ),
    "lr_too_high": Kind(
        "warning", "The learning rate is too high for the weights.", "lower_lr warm_up decay_lr"
    ),
    "dead_relu": Kind(
        "warning",
        "ReLU units are dead: their output is 0 for every sample, so they cannot learn.",
        "lower_lr init bias leaky batch_norm",
    ),
    "vanishing_gradients": Kind(
        "error",
        "The gradients vanish on their way to the first layers.",
        "relu init batch_norm skip",
    ),
    "saturated": Kind(
        "warning",
        "Units are saturated: they sit on the flat ends of their activation.",
        "scale_inputs init batch_norm relu lower_lr",
    ),
    "bn_drift": Kind(
        "warning",
        "The running statistics of BatchNorm are not those of the batches: in eval mode the "
        "network is another one than in training.",
        "bn_momentum larger_batch measure",
    ),
    "bad_init": Kind(
        "warning",
        "The initial weights are bad.",
        "init batch_norm scale_inputs",
    ),
    "lr_too_low": Kind(
        "warning",
        "The learning rate is too low: the weights hardly move.",
        "higher_lr longer no_clip",
    ),
    # S3, S16
    "not_learning": Kind(
        "error",
        "The network does not learn: its loss stays at that of guessing.",
        "check_data higher_lr lower_lr init structure",
    ),
    "double_softmax": Kind(
        "error", "The loss is that of a network with two softmaxes in a row.", "one_softmax"
    ),
    "validation_shift": Kind(
        "warning",
        "The validation loss was far above the training loss from the start, before anything could "
        "be memorised: the two sets differ.",
        "compare_sets leak more_validation",
    ),
    # S1, S2
    "overfitting": Kind(
        "warning",
        "The network overfits: the validation loss has risen while the training loss fell.",
        f"early_stop {_OVERFITTING}",
    ),
    "gap": Kind(
        "warning",
        "The network does far better on its training samples than on others: it generalises "
        "poorly.",
        f"{_OVERFITTING} compare_sets",
    ),
    # S4, S5, S7, S8
    "underfitting": Kind(
        "warning",
        "The network underfits: it does poorly on both sets, and more epochs promise little.",
        "larger less_dropout less_decay higher_lr longer",
    ),
    "too_slow": Kind(
        "warning",
        "The network learns slowly, or was stopped early: it does poorly, and its loss still "
        "falls.",
        "longer higher_lr larger",
    ),
    "oscillating": Kind(
        "warning",
        "The training loss jumps up and down instead of settling.",
        "lower_lr decay_lr other_batch",
    ),
    "data_suspect": Kind(
        "notice",
        "The validation loss falls while the training loss stands still: something may be wrong "
        "with the data.",
        "measure leak compare_sets labels",
    ),
    "plateau": Kind(
        "notice", "Both losses stand still: learning has hit a bottleneck.", f"{_BOTTLENECK} larger"
    ),
    # 4.3
    "val_plateau": Kind(
        "notice",
        "The training loss falls but the validation loss stands still: overfitting may be near, "
        "or the two sets differ.",
        "early_stop compare_sets smaller dropout weight_decay more_data",
    ),
    "converged": Kind("info", "Both losses have come to rest close together.", ""),
    "healthy": Kind(
        "info",
        "The network has learned, and nothing is wrong; noise hides whether it still improves.",
        "",
    ),
    "learning": Kind("info", "Both losses fall: the network is still learning.", "longer"),
    "too_short": Kind("info", "Too short to say: a trend needs at least 8 epochs.", "longer"),
    "unclear": Kind(
        "info",
        "The curves allow no verdict: a trend is not significant, or the pair fits no known case.",
        "longer more_validation",
    ),
}
RANK = {name: rank for rank, name in enumerate(CATALOGUE)}
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "notice", "info")


def finding(
    name: str,
    evidence: str,
    numbers: Mapping[str, float] | None = None,
    *,
    confidence: float,
    since: int | None = None,
    severity: Severity | None = None,
    sentence: str | None = None,
    cures: str | None = None,
) -> Finding:
    """Return a finding of ``CATALOGUE``; what is not given is as the table has it."""
    kind = CATALOGUE[name]
    return Finding(
        name,
        severity or kind.severity,
        min(max(confidence, 0.0), 1.0),
        sentence or kind.sentence,
        evidence,
        dict(numbers or {}),
        since,
        remedies(kind.remedies if cures is None else cures),
    )


def certainty(value: float, threshold: float) -> float:
    """Confidence in what has crossed a threshold: 1/2 there, towards 1 far beyond it."""
    return 1 - 0.5 * threshold / value if value > threshold else 0.5 * value / threshold
