"""What is read from one run: a number it has, or one made from a curve it has."""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan, nan
from typing import Any

from ..training.errors import UsageError

Curve = Sequence[float]
REDUCTIONS: dict[str, Callable[[Curve], float]] = {
    "first": lambda curve: curve[0],
    "last": lambda curve: curve[-1],
    "max": lambda curve: max((v for v in curve if not isnan(v)), default=nan),
    "min": lambda curve: min((v for v in curve if not isnan(v)), default=nan),
    "mean": lambda curve: sum(curve) / len(curve),
}
REDUCED = re.compile(rf"({'|'.join(REDUCTIONS)}) (\S+)")
REACHED = re.compile(r"epochs until (\S+) (<|>) (\S+)")


@dataclass(frozen=True)
class Metric:
    """A number of a run.

    ``accuracy`` is what the run calls so; ``first``, ``last``, ``max``, ``min`` or ``mean
    val/loss`` is made from a curve, NaN left out of ``max`` and ``min``; ``epochs until val/loss <
    0.1`` counts them, and a run that never gets there counts as one more epoch than it had.
    """

    text: str
    name: str
    reduce: Callable[[Curve], float] | None = None

    def read(self, numbers: Mapping[str, Any]) -> float:
        """The value in a run.

        Raises: UsageError if the run has nothing of that name, or a number for a curve.
        """
        if self.name not in numbers:
            close = difflib.get_close_matches(self.name, numbers, 1)
            hint = f", did you mean {close[0]!r}?" if close else f"; it has {', '.join(numbers)}"
            raise UsageError(f"metric {self.text!r}: the run measured no {self.name!r}{hint}")
        value = numbers[self.name]
        if (self.reduce is not None) != isinstance(value, Sequence):
            kind = "one number" if self.reduce else "a curve; say which of its points: 'last ...'"
            raise UsageError(f"metric {self.text!r}: {self.name!r} is {kind}")
        if self.reduce is None:
            return nan if value is None else float(value)
        curve = [nan if v is None else float(v) for v in value]
        return self.reduce(curve) if curve else nan


def metric(text: Any) -> Metric:
    """Understand the text of a metric.

    Raises: UsageError if it cannot be understood.
    """
    text = str(text)
    if match := REDUCED.fullmatch(text):
        return Metric(text, match[2], REDUCTIONS[match[1]])
    if match := REACHED.fullmatch(text):
        return Metric(text, match[1], _reached(text, match[2], match[3]))
    if " " in text:
        raise UsageError(
            f"metrics: {text!r} is neither a name, nor like 'last val/loss'"
            f" ({', '.join(REDUCTIONS)}), nor like 'epochs until val/accuracy > 0.9'"
        )
    return Metric(text, text)


def _reached(text: str, sign: str, bound: str) -> Callable[[Curve], float]:
    try:
        level = float(bound)
    except ValueError:
        raise UsageError(f"metrics: {text!r} must end in a number, got {bound!r}") from None
    if not -inf < level < inf:
        raise UsageError(f"metrics: {text!r} must end in a finite number")

    def count(curve: Curve) -> float:
        there = (v < level if sign == "<" else v > level for v in curve)
        return next((i + 1 for i, reached in enumerate(there) if reached), len(curve) + 1)

    return count
