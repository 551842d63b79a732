"""Which arm is held against which, as the experiment's file says it."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import inf, isfinite, isnan, nan
from statistics import fmean
from typing import Any, Literal

from ..training.errors import UsageError

Direction = Literal["greater than", "less than", "equal to"]
DIRECTIONS: tuple[Direction, ...] = ("greater than", "less than", "equal to")


def known(values: Sequence[float]) -> list[float]:
    """What is a number: a run that diverged is never the best."""
    return [value for value in values if not isnan(value)]


TOGETHER: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": fmean,
    "max": lambda values: max(known(values), default=nan),
    "min": lambda values: min(known(values), default=nan),
    "spread": lambda values: (
        max(values) - min(values) if len(known(values)) == len(values) else nan
    ),
}
GROUP = re.compile(rf"({'|'.join(TOGETHER)}) of (.+)")


@dataclass(frozen=True)
class Side:
    """One arm, or several taken together (``mean of lr=*``), or a number."""

    text: str
    arms: tuple[str, ...] = ()
    together: Callable[[Sequence[float]], float] = fmean
    number: float | None = None

    def values(self, table: Mapping[str, Mapping[int, float]], seeds: Sequence[int]) -> list[float]:
        """The value per seed, from ``{arm: {seed: value}}``."""
        if self.number is not None:
            return [self.number] * len(seeds)
        return [self.together([table[arm][seed] for arm in self.arms]) for seed in seeds]


@dataclass(frozen=True)
class Comparison:
    """``metric`` of ``arm`` is greater than, less than or equal to that of ``other``.

    Args:
        metric: its name.
        arm: what the claim is about.
        direction: of the claim.
        other: what it is held against.
        by: the smallest difference that matters; for ``equal to``, the largest that does not.
        when: the condition under which the claim is made here; different outcomes under
            different conditions make the verdict *depends*.
    """

    metric: str
    arm: Side
    direction: Direction
    other: Side
    by: float
    when: str = ""

    def __str__(self) -> str:
        more = {"greater than": "at least ", "less than": "at least ", "equal to": "within "}
        by = f" ({more[self.direction]}{self.by:g})" if self.by else ""
        when = f"{self.when}: " if self.when else ""
        return f"{when}{self.metric} of {self.arm.text} {self.direction} {self.other.text}{by}"


def comparisons(given: Any, arms: Sequence[str], metrics: Sequence[str]) -> tuple[Comparison, ...]:
    """Understand the list of comparisons; a list of arms in one makes one comparison each.

    Raises: UsageError for whatever cannot be understood.
    """
    items = [given] if isinstance(given, Mapping) else given
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise UsageError(f"compare must be a list of comparisons, got {given!r}")
    made = tuple(made for item in items for made in _expanded(item, arms, metrics))
    if not made:
        raise UsageError(f"compare: there is nothing to compare in {given!r}")
    return made


def _expanded(
    item: Mapping[str, Any], arms: Sequence[str], metrics: Sequence[str]
) -> Iterator[Comparison]:
    said = [direction for direction in DIRECTIONS if direction in item]
    unknown = sorted(map(str, item.keys() - {"metric", "arm", "by", "when", *DIRECTIONS}))
    if unknown or len(said) != 1 or "arm" not in item:
        raise UsageError(
            f"compare: expected metric, arm, one of {DIRECTIONS}, by and when, got {dict(item)}"
        )
    name = item.get("metric", metrics[0] if len(metrics) == 1 else None)
    if name not in metrics:
        raise UsageError(f"compare: metric must be one of {list(metrics)}, got {name!r}")
    by = item.get("by", 0)
    if isinstance(by, bool) or not isinstance(by, int | float) or not 0 <= by < inf:
        raise UsageError(f"compare: by must be a number from 0 on, got {by!r}")
    for arm in _listed(item["arm"]):
        for other in _listed(item[said[0]]):
            sides = _side(arm, arms), _side(other, arms)
            yield Comparison(
                name, sides[0], said[0], sides[1], float(by), str(item.get("when", ""))
            )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _side(given: Any, arms: Sequence[str]) -> Side:
    if isinstance(given, int | float) and not isinstance(given, bool) and str(given) not in arms:
        if not isfinite(given):
            raise UsageError(f"compare: expected an arm or a finite number, got {given}")
        return Side(f"{given:g}", number=float(given))
    text = str(given)
    if text in arms:
        return Side(text, (text,))
    if match := GROUP.fullmatch(text):
        if found := tuple(arm for arm in arms if fnmatchcase(arm, match[2])):
            return Side(text, found, TOGETHER[match[1]])
        raise UsageError(f"compare: no arm is called like {match[2]!r}; there are {list(arms)}")
    close = difflib.get_close_matches(text, arms, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {list(arms)}"
    raise UsageError(f"compare: no arm is called {text!r}; {hint}")
