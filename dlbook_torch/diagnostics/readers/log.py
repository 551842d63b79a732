"""What a log holds, whatever format it had: named series of numbers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MOST_NAMES = 30  # names in one sentence


class LogError(Exception):
    """A log that cannot be read, or not without guessing; the message is one sentence.

    Args:
        path: the file or folder, the subject of the sentence.
        what: the rest of it.
    """

    def __init__(self, path: Path | str, what: str):
        super().__init__(f"{path} {what}")
        self.path = Path(path)


@dataclass(frozen=True)
class Series:
    """One curve as it was logged.

    Args:
        tag: its name, such as ``val/loss``.
        y: the values; what was not logged has none.
        x: where each value stands: the step, or else the row.
        epoch: number of each value's epoch from 0, None where the log does not say.
        time: when each value was written, in seconds, None where the log does not say.
    """

    tag: str
    y: Array
    x: Array
    epoch: Array | None = None
    time: Array | None = None

    def __len__(self) -> int:
        return len(self.y)

    def pick(self, index: Array) -> "Series":
        """Return the values at ``index``, an array of positions or of truth values."""
        epoch = None if self.epoch is None else self.epoch[index]
        time = None if self.time is None else self.time[index]
        return Series(self.tag, self.y[index], self.x[index], epoch, time)


@dataclass(frozen=True)
class Log:
    """All series of one run.

    Args:
        path: the file or folder.
        name: short name of the run, for tables.
        format: such as "TensorBoard" or "Keras CSVLogger".
        series: by tag.
        notes: what a reader should know about the file.
        classes: number of classes, where the log says so.
        val_only: tags without "train" or "val" in their name are of the validation.
        steps: the values of an epoch are told apart by their step.
        first: number of the first epoch in the file, which is epoch 0 here.
        ours: it was written by ``scripts/train.py``, whose options the remedies name.
        unreadable: why a series is missing, by tag.
    """

    path: Path
    name: str
    format: str
    series: Mapping[str, Series]
    notes: tuple[str, ...] = ()
    classes: int | None = None
    val_only: bool = False
    steps: bool = True
    first: int = 0
    ours: bool = False
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> str:
        """The tags as part of a sentence."""
        return listed(self.series)


def listed(names: Iterable[str]) -> str:
    """Names one after the other, cut short if there are very many."""
    names = list(names)
    shown = ", ".join(names[:MOST_NAMES])
    return f"{shown} and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else shown


def from_zero(epochs: Array) -> Array:
    """Number epochs from 0: those counted from 1, and those counted in fractions.

    Half an epoch is a part of epoch 0, and so is one whole epoch.
    """
    if not len(epochs) or not np.isfinite(epochs).all():
        return epochs
    if (epochs % 1 != 0).any():
        return np.maximum(np.ceil(epochs - 1e-6) - 1, 0)
    return epochs - 1 if epochs.min() == 1 else epochs
