"""The symptoms that layers show: gradients, updates, activations, weights (S9 to S15)."""

from collections.abc import Callable, Iterator, Sequence
from math import isfinite, log

import numpy as np
from numpy.typing import NDArray

from .catalogue import certainty, finding
from .report import Finding
from .run import Grid, Internals

Grid2 = NDArray[np.float64]

LATE = 3  # rows that a level at the end is the median of
# S9: mean gradient of a layer over that of the largest (SMD's and AUTOTRAINER's, joined)
VANISHED, VANISHED_CHECKS = 1e-3, 3
# S10: total gradient norm over its running median
EXPLODED = 10.0
# S11: share of a layer's units (keras-contrib 10 %, SageMaker Debugger 50 %)
DEAD, MOSTLY_DEAD = 0.25, 0.50
MIN_UNITS = 4  # of a smaller layer a share says nothing: it is the layer that is too small
# S12: share of a layer's outputs (SageMaker Debugger and DeepDiagnosis 50 %)
SATURATED, MOSTLY_SATURATED = 0.50, 0.70
# S13: |dW| / |W| of a step; 1e-3 is usual (CS231n, TheDeepChecker)
TOO_LOW, TOO_HIGH = 1e-4, 1e-1
IDLE = 1e-6  # so small a step does nothing: a thousand of them change a weight by a thousandth
# S14: mean cosine between the weights of two units
ALIKE = 0.999
# S15: standard deviation of the outputs, largest over smallest layer: three times the 10 of
# SageMaker Debugger, which dropout of 0.9 in two layers makes by itself
SPREAD = 30.0
# running statistics of BatchNorm: a variance off by a factor of 2, a mean by a standard deviation;
# batches of 24 and more put them off by 0.4 at most
VARIANCE_DRIFT, MEAN_DRIFT = log(2), 1.0
DRIFTING = 5  # epochs in a row, and the later half of the run


class Layers:
    """The statistics of a run's layers as arrays, epochs by layers; None where not measured."""

    def __init__(self, given: Internals):
        self.given, self.names = given, list(given.layers)

    def __getattr__(self, name: str) -> Grid2 | None:
        if name.startswith("_"):
            raise AttributeError(name)
        grid: Grid | None = getattr(self.given, name)
        if grid is None or not len(grid) or not self.names:
            return None
        array = np.asarray(grid, float)
        return None if np.isnan(array).all() else array

    def epoch(self, row: int) -> int:
        return self.given.epoch(row)

    def list(self, where: Sequence[int] | NDArray[np.intp], values: Grid2) -> str:
        """Name layers with their values; the first four are enough."""
        named = [f"{self.names[i]} {_number(values[i])}" for i in where]
        return ", ".join(named[:4]) + (f" and {len(named) - 4} more" if len(named) > 4 else "")


def dead_relu(x: Layers) -> Iterator[Finding]:
    """S11: units (channels) of a ReLU layer that were never above 0 in the last epochs."""
    if (dead := x.dead) is None:
        return
    if x.given.units is not None:
        dead = np.where(np.asarray(x.given.units) >= MIN_UNITS, dead, np.nan)
    end, worst = late(dead), np.fmax.reduce(dead, axis=1, initial=0.0)
    most = float(np.nanmax(end, initial=0.0))
    if not most >= DEAD:
        return
    where = np.flatnonzero(end >= DEAD)
    yield finding(
        "dead_relu",
        f"Share of dead units: {x.list(where, end)}.",
        {x.names[i]: float(end[i]) for i in where} | {"largest": most},
        confidence=certainty(most, DEAD / 2),
        since=x.epoch(begin(worst >= DEAD)),
        severity="error" if most >= MOSTLY_DEAD else "warning",
    )


def saturated(x: Layers) -> Iterator[Finding]:
    """S12: outputs at the ends of a sigmoid or tanh."""
    if (share := x.saturated) is None:
        return
    end, worst = late(share), np.fmax.reduce(share, axis=1, initial=0.0)
    most = float(np.nanmax(end, initial=0.0))
    if not most >= SATURATED:
        return
    where = np.flatnonzero(end >= SATURATED)
    yield finding(
        "saturated",
        f"Share of saturated outputs: {x.list(where, end)}.",
        {x.names[i]: float(end[i]) for i in where} | {"largest": most},
        confidence=certainty(most, SATURATED / 2),
        since=x.epoch(begin(worst >= SATURATED)),
        severity="error" if most >= MOSTLY_SATURATED else "warning",
    )


def vanishing_gradients(x: Layers) -> Iterator[Finding]:
    """S9: the gradient of the first layer that has any is a thousandth of the largest."""
    size = x.gradient_mean if x.gradient_mean is not None else x.gradient_norm
    if size is None or size.shape[1] < 2:
        return
    with np.errstate(invalid="ignore", divide="ignore"):
        share = first_of(size) / np.fmax.reduce(size, axis=1)
    low = (share > 0) & (share < VANISHED)
    checks = min(VANISHED_CHECKS, len(low))
    if not low[-checks:].all():
        return
    end = float(np.median(share[-checks:]))
    yield finding(
        "vanishing_gradients",
        f"The mean gradient of {x.names[0]} is {end:.1e} of that of the layer with the largest.",
        {"share": end},
        confidence=certainty(-np.log10(end), -np.log10(VANISHED) / 2),
        since=x.epoch(begin(low)),
    )


def exploding_gradients(x: Layers) -> Iterator[Finding]:
    """S10: a gradient that is no number, or ten times its running median."""
    norm = x.gradient_norm if x.gradient_norm is not None else x.gradient_mean
    if norm is None:
        return
    total = np.sqrt(np.nansum(norm**2, axis=1))
    known = np.asarray(~np.isnan(norm).all(axis=1))
    if np.isinf(norm).any() or (known.any() and not known[begin(known) :].all()):
        bad = np.isinf(norm).any(axis=1) | ~known
        row = int(np.flatnonzero(bad & (np.arange(len(bad)) >= begin(known)))[0])
        yield finding(
            "exploding_gradients",
            f"The gradient is no finite number in epoch {x.epoch(row) + 1}.",
            confidence=1.0,
            since=x.epoch(row),
        )
        return
    for row in range(2, len(total)):
        usual = float(np.median(total[max(0, row - 10) : row]))
        if 0 < EXPLODED * usual < total[row]:
            yield finding(
                "exploding_gradients",
                f"In epoch {x.epoch(row) + 1} the norm of the gradient is {_number(total[row])}, "
                f"{total[row] / usual:.3g} times that of the epochs before.",
                {"norm": float(total[row]), "before": usual},
                confidence=certainty(float(total[row]), EXPLODED * usual),
                since=x.epoch(row),
                severity="warning",
            )
            return


def update_ratio(x: Layers) -> Iterator[Finding]:
    """S13: the size of a step as a share of the weights: mean over epochs, median over layers.

    The mean, since a rate that a schedule has brought down has moved the weights before.
    """
    if (ratio := x.update_ratio) is None:
        return
    moved = np.where(ratio > 0, ratio, np.nan)
    rows = moved[1:] if len(moved) > 2 else moved  # the first epoch warms up
    if np.isnan(rows).all():
        return
    per_layer = np.array(
        [np.mean(c[~np.isnan(c)]) if (~np.isnan(c)).any() else np.nan for c in rows.T]
    )
    middle = float(np.nanmedian(per_layer))
    second = rows[len(rows) // 2 :]
    if not np.isnan(second).all() and np.nanmedian(second) < IDLE:
        middle = float(np.nanmedian(second))  # a rate that died took the rest with it
    worst = per_layer[np.isfinite(per_layer)].max(initial=0.0)
    evidence = f"|dW| / |W| of a step: {x.list(range(len(x.names)), per_layer)}; 1e-3 is usual."
    if middle < TOO_LOW:
        yield finding(
            "lr_too_low",
            evidence,
            {"median": middle},
            confidence=certainty(-np.log10(middle), 4.0 / 1.5),
            since=x.epoch(0),
        )
    elif worst > TOO_HIGH:
        yield finding(
            "lr_too_high",
            evidence,
            {"median": middle, "largest": float(worst)},
            confidence=certainty(worst, TOO_HIGH),
            since=x.epoch(0),
        )


def frozen_layer(x: Layers) -> Iterator[Finding]:
    """S14: a layer that never moves while others do, and not for want of living units."""
    ratio, dead, size = x.update_ratio, x.dead, x.gradient_mean
    if ratio is None or ratio.shape[1] < 2 or len(ratio) < 2:
        return
    still, moving = (ratio == 0).all(axis=0), (ratio > 0).any()
    if dead is not None and (np.nanmax(late(dead), initial=0.0) >= MOSTLY_DEAD):
        return
    if size is not None:  # a gradient too small for float32 is a vanishing one
        largest = np.nanmax(size, initial=0.0)
        still &= ~((size > 0) & (size < 1e-6 * largest)).any(axis=0)
    where = np.flatnonzero(still)
    if not len(where) or not moving or len(where) > (ratio.shape[1] + 1) // 2:
        return
    yield finding(
        "frozen_layer",
        f"Exactly no change in any epoch: {', '.join(x.names[i] for i in where[:4])}.",
        {"layers": float(len(where))},
        confidence=0.95,
        since=x.epoch(0),
    )


def symmetric_weights(x: Layers) -> Iterator[Finding]:
    """S14: the units of a layer have all the same weights, or all weights are 0."""
    alike, largest = x.similarity, x.weight_max
    if alike is not None and (where := np.flatnonzero((alike > ALIKE).all(axis=0))).size:
        end = late(alike)
        yield finding(
            "symmetric_weights",
            f"Mean cosine between the weights of two units: {x.list(where, end)}.",
            {x.names[i]: float(end[i]) for i in where},
            confidence=0.95,
            since=x.epoch(0),
        )
    elif largest is not None and (where := np.flatnonzero((largest == 0).all(axis=0))).size:
        yield finding(
            "symmetric_weights",
            f"All weights are 0: {', '.join(x.names[i] for i in where[:4])}.",
            confidence=0.95,
            since=x.epoch(0),
        )


def bad_init(x: Layers) -> Iterator[Finding]:
    """S15: in the first epoch the outputs of one layer are 30 times those of another."""
    if (std := x.activation_std) is None:
        return
    first = std[0][std[0] > 0]  # a layer without any spread is dead
    spread = float(first.max() / first.min()) if len(first) else 1.0
    if spread <= SPREAD:
        return
    yield finding(
        "bad_init",
        "Standard deviation of the outputs in the first epoch: "
        f"{x.list(np.flatnonzero(np.isfinite(std[0])), std[0])}.",
        {"spread": spread},
        confidence=certainty(min(spread, 1e6), SPREAD),
        since=x.epoch(0),
        sentence="The initial weights are bad: the outputs of the layers differ widely in size.",
    )


def bn_drift(x: Layers) -> Iterator[Finding]:
    """Running statistics of BatchNorm that are not those of the batches, and have not been so.

    In the first epochs weights run away from them in every network.
    """
    bounds = ((x.variance_drift, VARIANCE_DRIFT), (x.mean_drift, MEAN_DRIFT))
    found = [grid / bound for grid, bound in bounds if grid is not None]
    if not found or len(found[0]) < DRIFTING:
        return
    off = np.fmax.reduce(found)
    ratio = late(off)
    where = np.flatnonzero((off[-max(DRIFTING, len(off) // 2) :] > 1).all(axis=0))
    if not len(where):
        return
    most = float(ratio[where].max())
    yield finding(
        "bn_drift",
        "Distance of running from batch statistics, over what is tolerable: "
        f"{x.list(where, ratio)}.",
        {x.names[i]: float(ratio[i]) for i in where} | {"largest": most},
        confidence=certainty(most, 1.0),
    )


RULES: tuple[Callable[[Layers], Iterator[Finding]], ...] = (
    exploding_gradients,
    frozen_layer,
    symmetric_weights,
    dead_relu,
    vanishing_gradients,
    saturated,
    bn_drift,
    bad_init,
    update_ratio,
)


def late(grid: Grid2) -> Grid2:
    """Median of the last rows, layer by layer; NaN where nothing was measured."""
    end = grid[-LATE:]
    return np.array([np.median(c[~np.isnan(c)]) if (~np.isnan(c)).any() else np.nan for c in end.T])


def first_of(grid: Grid2) -> Grid2:
    """In each row the first value that was measured."""
    column = int((~np.isnan(grid)).any(axis=0).argmax())
    return grid[:, column]


def begin(holds: NDArray[np.bool_]) -> int:
    """First row from which on it holds, the first where it does if it ends before."""
    rows = np.flatnonzero(~holds)
    start = int(rows[-1]) + 1 if len(rows) else 0
    return start if start < len(holds) else int(holds.argmax())


def _number(value: float) -> str:
    return f"{value:.2g}" if isfinite(value) else "unknown"
