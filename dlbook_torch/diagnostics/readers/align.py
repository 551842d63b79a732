"""Bring the series of a run onto one axis: one entry per epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..names import grows
from ..run import Curves
from .log import Array, Log, LogError, Series
from .pairs import Pair, accuracies, rate, running

COVERED = 0.5  # of the entries must have both sides, else the two axes do not fit each other
CHECKS_PER_EPOCH = 1.5  # with more validations than that, each one counts as an epoch
ROUNDED = 1 + 1e-4  # a share of 1, as a sum of rounded numbers
LARGEST = 1e100  # beyond it a number is taken for infinite, before its square is
NEAR = 10  # training values per validation up to which only those at its own x belong to it


@dataclass(frozen=True)
class Judged:
    """A pair of curves ready to be judged.

    Args:
        pair: where they come from.
        curves: the curves.
        notes: what was done to the numbers on the way.
    """

    pair: Pair
    curves: Curves
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """The entries of a run's curves, and where the values of a series go.

    Args:
        n: how many entries there are.
        slots: from a series to the entry of each of its values; n for those left out.
        epochs: number of each entry's epoch, None for 0, 1, 2, ...
        notes: how it was chosen.
    """

    n: int
    slots: Callable[[Series], np.ndarray]
    epochs: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def present(self, series: Series) -> np.ndarray:
        """Which entries have a value."""
        return np.bincount(self.slots(series), minlength=self.n + 1)[: self.n] > 0

    def put(self, series: Series, how: Literal["mean", "last"]) -> Array:
        """One value per entry: the mean or the last of those that belong there, NaN without."""
        slots, there = self.slots(series), self.present(series)
        values = np.full(self.n + 1, np.nan)
        y = np.where(abs(series.y) > LARGEST, np.copysign(np.inf, series.y), series.y)
        if how == "last":
            values[slots] = y  # of equal indices the last one counts
        else:
            with np.errstate(invalid="ignore"):  # inf - inf
                sums = np.bincount(slots, y, self.n + 1)
            counts = np.bincount(slots, minlength=self.n + 1)
            values[:-1][there] = sums[:-1][there] / counts[:-1][there]
        return values[:-1]

    def covers(self, train: Series, val: Series) -> bool:
        """Enough entries have both sides."""
        left, right = self.present(train), self.present(val)
        most = self.n if self.epochs is None else min(left.sum(), right.sum())
        return (left & right).sum() >= COVERED * max(most, 1)


def align(
    log: Log,
    pair: Pair,
    *,
    classes: int | None = None,
    baseline: float | None = None,
    measured: bool = False,
) -> Judged:
    """Return the curves of a pair, with accuracies and learning rate where they are logged.

    Args:
        log: the log.
        pair: its two tags.
        classes: number of classes, if the user says so.
        baseline: loss of guessing, if the user says so.
        measured: the user says that the training loss was measured in eval mode.

    Raises: LogError for series that do not fit each other.
    """
    notes = list(log.notes)
    train, val = (_in_order(log, log.series[tag], notes) for tag in (pair.train, pair.val))
    _once_per_epoch(log, val)
    grid = _grid(log, train, val)
    notes += grid.notes
    both = np.flatnonzero(grid.present(train) & grid.present(val))
    # before the first pair there may be a sanity check; after the last, an epoch cut short
    part = slice(0 if grid.epochs is not None else both[0], both[-1] + 1)
    measured = measured or pair.measured
    t = grid.put(train, "last" if measured else "mean")[part]
    v = grid.put(val, "last")[part]
    _say_what_is_no_number(notes, t, v)
    if any(_has_huge(log.series[tag].y) for tag in (pair.train, pair.val)):
        notes.append(f"a value beyond {LARGEST:g} is taken for infinite")
    if grows(pair.val):
        t, v = _errors(pair, t, v, notes)
    curves = Curves(
        t.tolist(),
        v.tolist(),
        **_others(log, pair, grid, part, notes),
        measured=measured,
        classes=classes or log.classes,
        baseline=baseline,
        epochs=None if grid.epochs is None else grid.epochs[part].tolist(),
    )
    return Judged(pair, curves, tuple(dict.fromkeys(notes)))


def _others(
    log: Log, pair: Pair, grid: Grid, part: slice, notes: list[str]
) -> dict[str, list[float]]:
    """Accuracies and learning rate, by their argument of ``Curves``."""
    others = {}
    tags = dict(zip(("train_accuracy", "val_accuracy"), accuracies(log, pair), strict=True))
    tags |= {"lr": rate(log), "running": None if grows(pair.val) else running(log, pair.train)}
    for name, tag in tags.items():
        if tag is None:
            continue
        values = grid.put(_in_order(log, log.series[tag], []), "last")[part]
        if name.endswith("accuracy"):
            values = _shares(tag, values, notes)
        if np.isfinite(values).any():
            others[name] = values.tolist()
    return others


def _in_order(log: Log, series: Series, notes: list[str]) -> Series:
    """Undo a resume: where the count goes back, the later values replace the earlier ones.

    Raises: LogError if the count starts again from its beginning: those are two runs.
    """
    count = series.x if series.epoch is None else series.epoch
    back = np.flatnonzero(np.diff(count) < 0) + 1
    keep = np.ones(len(count), bool)
    for start in back:
        if count[start] <= count[0]:
            raise LogError(
                log.path,
                f"starts again in {series.tag}, from {count[start - 1]:g} back to "
                f"{count[start]:g}: it holds several runs, which cannot be told apart",
            )
        keep[:start] &= count[:start] < count[start]
    if len(back):
        notes.append("the run was resumed: of epochs that were logged again the later values count")
    return series.pick(keep)


def _once_per_epoch(log: Log, val: Series) -> None:
    """Refuse validations of one epoch that differ, where nothing says which came last."""
    if log.steps or val.epoch is None:
        return
    order = np.argsort(val.epoch, kind="stable")
    epoch, y = val.epoch[order], val.y[order]
    twice = (epoch[1:] == epoch[:-1]) & (y[1:] != y[:-1])
    if twice.any():
        at = int(twice.argmax())
        raise LogError(
            log.path,
            f"has epoch {epoch[at] + log.first:g} twice, with {val.tag} {y[at]:g} and "
            f"{y[at + 1]:g}",
        )


def _grid(log: Log, train: Series, val: Series) -> Grid:
    for make in (_by_epoch, _by_step, _by_time):
        grid = make(train, val)
        if grid is not None and grid.covers(train, val):
            return grid
    raise LogError(
        log.path,
        f"counts {train.tag} from {train.x.min():g} to {train.x.max():g} and {val.tag} "
        f"from {val.x.min():g} to {val.x.max():g}: which values belong together is unknown",
    )


def _by_epoch(train: Series, val: Series) -> Grid | None:
    if train.epoch is None or val.epoch is None:
        return None
    if len(val) > CHECKS_PER_EPOCH * len(np.unique(val.epoch)):
        return None
    epochs = np.unique(np.concatenate([train.epoch, val.epoch])).astype(int)

    def slots(series: Series) -> np.ndarray:
        if series.epoch is None:
            return np.full(len(series), len(epochs))
        at = np.searchsorted(epochs, series.epoch)
        known = epochs[at.clip(0, len(epochs) - 1)] == series.epoch
        return np.where(known, at, len(epochs))

    return Grid(len(epochs), slots, epochs)


def _by_step(train: Series, val: Series) -> Grid | None:
    few, many = (val, train) if len(val) <= len(train) else (train, val)
    marks = np.unique(few.x)
    if len(marks) > 1 and (many.x > marks[-1]).mean() > COVERED:
        return None  # one of them counts steps, the other epochs
    counted = len(marks) > 1 and bool((np.diff(marks) == 1).all()) and marks[0] in (0, 1)
    notes = () if counted else ("the log does not count epochs: each validation counts as one",)
    if train.epoch is not None and val.epoch is not None:
        n = len(np.unique(val.epoch))
        notes = (f"{len(val)} validations in {n} epochs: each one counts as an epoch",)
    return Grid(len(marks), _slots(marks, lambda s: s.x), notes=notes)


def _by_time(train: Series, val: Series) -> Grid | None:
    if train.time is None or val.time is None:
        return None
    marks = np.unique(val.time if len(val) <= len(train) else train.time)
    note = f"{train.tag} and {val.tag} count differently: they are matched by the clock"
    return Grid(len(marks), _slots(marks, lambda s: s.time), notes=(note,))


def _slots(marks: Array, axis: Callable[[Series], Any]) -> Callable[[Series], np.ndarray]:
    """Give every value the first mark that is not before it, and of a few only the equal one."""

    def slots(series: Series) -> np.ndarray:
        x = np.asarray(axis(series))
        if _alternate(x, marks):
            return np.arange(len(x))
        at = np.searchsorted(marks, x, side="left")
        if len(x) <= NEAR * len(marks) and np.isin(marks, x).all():
            return np.where(np.isin(x, marks), at, len(marks))
        return at

    return slots


def _alternate(a: Array, b: Array) -> bool:
    """The two take turns, whoever begins."""
    if len(a) != len(b):
        return False
    return any(
        bool((one <= two).all() and (two[:-1] <= one[1:]).all()) for one, two in ((a, b), (b, a))
    )


def _errors(pair: Pair, t: Array, v: Array, notes: list[str]) -> tuple[Array, Array]:
    """Turn a metric that grows into one that falls, as losses do."""
    top = np.nanmax(np.concatenate([t, v, [-np.inf]]))
    most = 1.0 if top <= 1 else 100.0 if top <= 100 else 0.0
    notes.append(
        f"more {pair.label} is better: "
        + (f"{most:g} - {pair.label}" if most else f"its negative -{pair.label}")
        + " is judged like a loss"
    )
    return most - t, most - v


def _shares(tag: str, values: Array, notes: list[str]) -> Array:
    """Accuracies as shares; percents are divided by 100."""
    values = np.where(np.isfinite(values), values, np.nan)
    known = values[np.isfinite(values)]
    if not len(known) or (known.min() >= 0 and known.max() <= ROUNDED):
        return values.clip(max=1)
    if known.min() >= 0 and known.max() <= 100:
        notes.append(f"{tag} is taken for percent")
        return values / 100
    notes.append(f"{tag} is no share of right answers and is left out")
    return np.full_like(values, np.nan)


def _has_huge(y: Array) -> bool:
    return bool((np.isfinite(y) & (abs(y) > LARGEST)).any())


def _say_what_is_no_number(notes: list[str], t: Array, v: Array) -> None:
    for name, curve in (("training", t), ("validation", v)):
        missing = len(curve) - int(np.isfinite(curve).sum())
        if 0 < missing < len(curve):
            notes.append(f"{missing} of {len(curve)} epochs have no number as {name} loss")
