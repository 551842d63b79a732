"""What the rules ask of a run's curves, computed once."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, isfinite, log, nan

import numpy as np

from .curves import MIN_EPOCHS, Curve, Trend, last_segment, noise, smooth, trend
from .run import Curves, Series

UNIT = 1000.0  # a loss is given in units, or thousands, or thousandths, and so on, of a nat
# least loss over that of an answer that knows its accuracy (good networks have 0.25 to 1.1, one
# with two softmaxes up to 19 at 99 % of ten classes); the second bound from this skill on
PLAUSIBLE, KNOWS = (1 / 5, 20), 0.5


@dataclass(frozen=True)
class Facts:
    """The epochs of a run that have measured both losses, and what follows from them.

    Args:
        curves: as they were given.
        index: which of their entries remain.
        alone: there was no validation.
    """

    curves: Curves
    index: tuple[int, ...]
    alone: bool = False

    @classmethod
    def of(cls, curves: Curves) -> "Facts":
        """Drop the epochs in which one of the losses was not measured.

        Where nothing was validated, the training curves stand in for the others.
        """
        train, val = (np.isfinite(np.asarray(c, float)) for c in (curves.train, curves.val))
        if train.any() and not val.any():
            curves = replace(curves, val=curves.train, val_accuracy=curves.train_accuracy)
            return cls(curves, tuple(np.flatnonzero(train).tolist()), alone=True)
        both = np.isfinite(np.asarray(curves.train, float) + np.asarray(curves.val, float))
        return cls(curves, tuple(np.flatnonzero(both).tolist()))

    def _pick(self, series: Series | None) -> Curve | None:
        if series is None:
            return None
        picked = np.asarray(series, float)[list(self.index)]
        return picked if len(picked) and isfinite(picked[-1]) else None

    def epoch(self, position: int) -> int:
        """Return the number of the epoch at ``position`` among those that remain."""
        return self.curves.epoch(self.index[position])

    @property
    def n(self) -> int:
        """Number of epochs."""
        return len(self.index)

    @cached_property
    def t(self) -> Curve:
        """Training loss."""
        return np.asarray(self.curves.train, float)[list(self.index)]

    @cached_property
    def v(self) -> Curve:
        """Validation loss."""
        return np.asarray(self.curves.val, float)[list(self.index)]

    @property
    def running(self) -> Curve | None:
        """Running mean of the training loss, None where it is not known."""
        return self._pick(self.curves.running) if self.curves.measured else self.t

    @cached_property
    def smooth_t(self) -> Curve:
        return smooth(self.t)

    @cached_property
    def smooth_v(self) -> Curve:
        return smooth(self.v)

    @property
    def t_end(self) -> float:
        """Training loss at the end, smoothed."""
        return float(self.smooth_t[-1])

    @property
    def v_end(self) -> float:
        """Validation loss at the end, smoothed."""
        return float(self.smooth_v[-1])

    @cached_property
    def noise_t(self) -> float:
        return noise(self.t)

    @cached_property
    def noise_v(self) -> float:
        return noise(self.v)

    @cached_property
    def train_accuracy(self) -> Curve | None:
        return self._pick(self.curves.train_accuracy)

    @cached_property
    def val_accuracy(self) -> Curve | None:
        return self._pick(self.curves.val_accuracy)

    @cached_property
    def best(self) -> int:
        """Position of the lowest validation loss."""
        return int(self.v.argmin())

    @cached_property
    def segment(self) -> int:
        """Where the last step down of the learning rate was; a fall before it is no trend."""
        lr = self._pick(self.curves.lr)
        return 0 if lr is None else last_segment(lr)

    @cached_property
    def trends(self) -> tuple[Trend, Trend]:
        """Trend of training and validation loss at the end."""
        if self.n < MIN_EPOCHS:
            return "unclear", "unclear"
        return self._trend(self.t), self._trend(self.v)

    def _trend(self, curve: Curve) -> Trend:
        tail = curve[self.segment :]
        if len(tail) == len(curve):
            return trend(curve)
        return trend(np.concatenate([curve[:1], tail])) if len(tail) >= MIN_EPOCHS else "unclear"

    @cached_property
    def baseline(self) -> float:
        """Loss of guessing, L0: as given, or ln C where the loss can be a mean cross-entropy."""
        if not self.n:
            return nan
        if self.curves.baseline is not None:
            return float(self.curves.baseline)
        return nan if self.curves.classes is None else self.unit * log(self.curves.classes)

    @cached_property
    def unit(self) -> float:
        """Size of a nat in the losses, a power of ``UNIT``; NaN if they can be no cross-entropy.

        A network cannot be far better in every epoch than an answer that knows nothing but its
        accuracy, nor far worse if it has learned. Without accuracies the first loss is compared
        with that of guessing.
        """
        if self.curves.classes is None or not self.n:
            return nan
        ratio = float(self.v[0] / log(self.curves.classes))
        if (accuracy := self.val_accuracy) is not None:
            ratio = float(np.nanmin(self.v / guess(accuracy, self.curves.classes)))
        if not 0 < ratio < inf:
            return nan
        unit = UNIT ** round(log(ratio, UNIT))
        most = PLAUSIBLE[1] if self.val_skill >= KNOWS else inf
        plausible = accuracy is None or PLAUSIBLE[0] < ratio / unit < most
        return unit if plausible else nan

    @property
    def known(self) -> bool:
        """The loss of guessing is known."""
        return isfinite(self.baseline)

    @cached_property
    def scale(self) -> float:
        """Loss of guessing, or what stands for it: the first training loss."""
        if self.known:
            return self.baseline
        return float(self.t[0] if self.running is None else max(self.t[0], self.running[0]))

    def skill(self, accuracy: Curve | None) -> float:
        """Share of what guessing gets wrong that is right at the end; NaN without accuracies."""
        if accuracy is None:
            return nan
        chance = 1 / self.curves.classes if self.curves.classes else 0.0
        return (float(np.nanmedian(accuracy[-3:])) - chance) / (1 - chance)

    @cached_property
    def train_skill(self) -> float:
        return self.skill(self.train_accuracy)

    @cached_property
    def val_skill(self) -> float:
        return self.skill(self.val_accuracy)

    @cached_property
    def accuracy_gap(self) -> float:
        """Training minus validation accuracy at the end; NaN where one is missing."""
        if self.train_accuracy is None or self.val_accuracy is None:
            return nan
        return float(np.nanmedian(self.train_accuracy[-3:]) - np.nanmedian(self.val_accuracy[-3:]))

    @cached_property
    def explained(self) -> float:
        """Share of the loss of guessing that is gone on the validation set; NaN if unknown."""
        return 1 - self.v_end / self.baseline if self.known and self.baseline > 0 else nan

    def levels(self) -> str:
        """The losses that matter, as a sentence without its full stop."""
        t, v, n = self.t, self.v, self.n
        if self.alone:
            return f"The training loss is {t[0]:.4g} at first and {t[-1]:.4g} at the end"
        return (
            f"The validation loss is lowest in epoch {self.epoch(self.best) + 1} of "
            f"{max(self.epoch(n - 1) + 1, n)} ({v[self.best]:.4g}) and {v[-1]:.4g} at the end, "
            f"the training loss {t[0]:.4g} at first and {t[-1]:.4g} at the end"
        )


def guess(accuracy: Curve, classes: int) -> Curve:
    r"""Loss of an answer that knows its accuracy a and nothing else.

    .. math:: -a \ln a - (1 - a) \ln \frac{1 - a}{C - 1}
    """
    a = np.clip(accuracy, 1 / classes, 1 - 1e-3)
    return -a * np.log(a) - (1 - a) * np.log((1 - a) / (classes - 1))
