"""From curves and layers to a report: all rules, one order, one headline."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import isfinite

import numpy as np

from . import internals as layers
from . import progress, verdict
from .catalogue import CATALOGUE, RANK, SEVERITIES
from .curves import MIN_EPOCHS
from .facts import Facts
from .remedies import remedies
from .report import Finding, Report, Severity
from .run import Curves, Internals

# what makes a network fail, among what its layers show
CAUSES = {
    "exploding_gradients",
    "dead_relu",
    "vanishing_gradients",
    "saturated",
    "bn_drift",
    "bad_init",
    "lr_too_high",
    "lr_too_low",
}
SETS_APART = {"overfitting", "gap"}
FAILED = {"not_learning", "underfitting", "too_slow", "plateau"}
MATTERS = {"dead_relu", "bn_drift"}  # even where the network does well
DECISIVE = 0.6  # share of a layer's units
SURE_SHIFT = 1.5  # validation over training loss at first that outweighs a rise
JUMPY = 0.05  # noise of the training loss, as a share of its level
SMALL_STEPS = {"lr_too_low", "vanishing_gradients"}
STOPS = {"dead_relu", "saturated"}  # units that pass no gradient: steps are small because of them
NEAR_ZERO = 0.1  # training loss, as a share of that of guessing
LEARNED, LEARNED_OF_FIRST = 0.7, 0.3  # skill in training; share of the first loss that is left


def diagnose(
    curves: Curves | Sequence[float],
    internals: Internals | Sequence[float] | None = None,
    *,
    target_accuracy: float | None = None,
    finished: bool = True,
    attributed: bool = False,
) -> Report:
    """Say what a run shows: the verdict first, then everything else that was found.

    ``diagnose(train, val)`` takes two lists: the losses after every epoch. The training loss
    should be measured like the validation loss, in eval mode, after the epoch; where it is the
    running mean of the epoch, ``Curves(train, val, measured=False)`` says so. The verdict does not
    depend on the unit of the loss; where the curves are too short, too noisy, or fit no case of
    the table, it says so.

    Args:
        curves: the curves, or the training loss.
        internals: the statistics of the layers, or the validation loss.
        target_accuracy: validation accuracy that is good enough; at rest below it, learning has
            hit a bottleneck.
        finished: the run is over; before that, a loss that still falls is never too slow.
        attributed: show also the remedies that the notes give and contradict elsewhere.

    Raises: ValueError for lists without epochs or of different length.
    Source: notes 4.3; the other symptoms are those of ``CATALOGUE``.
    """
    if not isinstance(curves, Curves):
        val = () if internals is None or isinstance(internals, Internals) else internals
        curves, internals = Curves(curves, val), None
    elif internals is not None and not isinstance(internals, Internals):
        raise ValueError("expected Internals beside Curves; give two losses as Curves(train, val)")
    f = Facts.of(curves)
    by_layers = list(_layer_findings(internals)) if isinstance(internals, Internals) else []
    found = _once([*_curve_findings(f, target_accuracy, finished), *by_layers])
    found = sorted(_weighed(f, found), key=partial(_order, learned(f)))
    if not found or found[0].severity in ("info", "notice"):
        found = _once([*found, verdict.table(f)])
        found.sort(key=lambda x: x.id not in verdict.NORMAL)
    if attributed:
        found = [replace(x, remedies=remedies(CATALOGUE[x.id].remedies, True)) for x in found]
    return Report(found[0], tuple(found), _lowest(curves), *f.trends)


def _curve_findings(f: Facts, target: float | None, finished: bool) -> Iterator[Finding]:
    if failed := progress.failure(f.curves):
        yield failed
        return
    for rule in verdict.RULES:
        yield from rule(f)
    if finished or "falling" not in f.trends:
        yield from progress.poor(f, target)


def _layer_findings(internals: Internals) -> Iterator[Finding]:
    x = layers.Layers(internals)
    for rule in layers.RULES:
        yield from rule(x)


def _once(found: Iterable[Finding]) -> list[Finding]:
    """Keep the worst finding of each id."""
    kept: dict[str, Finding] = {}
    for x in found:
        old = kept.get(x.id)
        if old is None or SEVERITIES.index(x.severity) < SEVERITIES.index(old.severity):
            kept[x.id] = x
    return list(kept.values())


def _order(fine: bool, x: Finding) -> tuple[int, bool, int]:
    """Severity first; what layers show comes late where it has done no harm, or only a part."""
    late = x.id in CAUSES and (fine or not decisive(x))
    severity = SEVERITIES.index(x.severity)
    return max(severity, SEVERITIES.index("warning")) if late else severity, late, RANK[x.id]


def fitted(f: Facts) -> bool:
    """The training set is learned: gradients and steps are small because nothing is left."""
    return f.n > 0 and (f.train_skill >= LEARNED or 0 <= f.t_end <= NEAR_ZERO * f.scale)


def decisive(x: Finding) -> bool:
    """Enough of a layer is dead to explain that the network does not learn."""
    return x.id != "dead_relu" or x.numbers["largest"] >= DECISIVE


def jumpy(f: Facts) -> bool:
    """The training loss is as unsteady, or as high, as too high a learning rate makes it."""
    if f.n < MIN_EPOCHS:
        return True
    return f.noise_t > JUMPY * abs(f.t_end) or f.t_end > 1.05 * f.scale


def _weighed(f: Facts, found: list[Finding]) -> Iterator[Finding]:
    """Give a cause the weight of its effect: an error where nothing is learned, a notice else."""
    names = {x.id: x.severity for x in found}
    failed = [names[name] for name in FAILED & set(names)]
    shifted = next((x.numbers["first"] for x in found if x.id == "validation_shift"), 0.0)
    apart = [names[name] for name in SETS_APART & set(names) if shifted >= SURE_SHIFT]
    fine = learned(f) and not failed and "diverging" not in names
    stopped = any(x.id in STOPS and x.severity == "error" and decisive(x) for x in found)
    for x in found:
        harmless = (x.id == "lr_too_high" and not jumpy(f)) or (x.id in SMALL_STEPS and fitted(f))
        if x.id == "lr_too_low" and stopped:
            continue
        if harmless:
            yield replace(x, severity="notice")
        elif x.id in CAUSES and failed and decisive(x):
            yield replace(x, severity=_worst([x.severity, *failed]))
        elif x.id == "oscillating" and fine:
            yield replace(x, severity="notice")
        elif x.id in CAUSES and fine:
            much = x.id in MATTERS or (x.id == "saturated" and x.severity == "error")
            yield replace(x, severity="warning" if much else "notice")
        elif x.id == "validation_shift":
            yield replace(x, severity=_worst([x.severity, *apart]))
        else:
            yield x


def _worst(severities: Sequence[Severity]) -> Severity:
    return min(severities, key=SEVERITIES.index)


def learned(f: Facts) -> bool:
    """The network does well, as far as that is known."""
    if not f.n:
        return False
    if isfinite(f.val_skill) or f.known:
        return progress.does_well(f)
    return 0 < f.t_end <= LEARNED_OF_FIRST * f.t[0]


def _lowest(curves: Curves) -> int:
    """Number of the epoch with the lowest validation loss, or training loss, 0 without both."""
    for series in (curves.val, curves.train):
        loss = np.asarray(series, float)
        if np.isfinite(loss).any():
            return curves.epoch(int(np.where(np.isfinite(loss), loss, np.inf).argmin()))
    return curves.epoch(0)
