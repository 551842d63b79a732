"""The ranges of a search: what its YAML says of each hyper-parameter (notes 6.6, step 0)."""

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from ..training.errors import UsageError

KINDS = ("log", "uniform", "integer", "choice")
Space = dict[str, BaseDistribution]


def read_space(ranges: Any) -> Space:
    """Return Optuna's distributions for ``{"model.optimizer.lr": {"log": [1e-6, 1e-2]}, ...}``.

    Raises: UsageError for what is no range, and for one with nothing in it.
    """
    if not isinstance(ranges, Mapping) or not ranges:
        raise UsageError(f"space: expected at least one parameter with its range, got {ranges!r}")
    return {str(name): _range(str(name), given) for name, given in ranges.items()}


def _range(name: str, given: Any) -> BaseDistribution:
    kinds = list(given) if isinstance(given, Mapping) else []
    if len(kinds) != 1 or kinds[0] not in KINDS:
        raise UsageError(f"space: {name}: expected one of {', '.join(KINDS)}, got {given!r}")
    (kind, values), *_ = given.items()
    if kind == "choice":
        return _choice(name, values)
    if not isinstance(values, list) or len(values) != 2 or not all(map(_is_number, values)):
        raise UsageError(f"space: {name}: {kind} needs two numbers, got {values!r}")
    low, high = values
    if kind == "log" and low <= 0:
        raise UsageError(f"space: {name}: log needs a range above 0, got {values}")
    if not low < high:
        raise UsageError(f"space: {name}: {kind} needs a low end below the high one, got {values}")
    if kind == "integer":
        if not all(isinstance(value, int) for value in values):
            raise UsageError(f"space: {name}: integer needs whole numbers, got {values}")
        return IntDistribution(low, high)
    return FloatDistribution(low, high, log=kind == "log")


def _choice(name: str, values: Any) -> CategoricalDistribution:
    if not isinstance(values, list) or len(values) < 2:
        raise UsageError(f"space: {name}: choice needs a list of two or more, got {values!r}")
    try:
        texts = [json.dumps(value) for value in values]
    except (TypeError, ValueError) as error:  # a date; a list that holds itself
        raise UsageError(f"space: {name}: choice: {error}") from error
    if len(set(texts)) < len(texts):
        raise UsageError(f"space: {name}: choice has the same value twice: {values}")
    return CategoricalDistribution(
        [
            text if isinstance(value, list | dict) else value
            for text, value in zip(texts, values, strict=True)
        ]
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def meaning(value: Any) -> Any:
    """Return what a configuration gets: Optuna stores choices that are lists as their JSON."""
    return json.loads(value) if isinstance(value, str) and value[:1] in ("[", "{") else value


def ends(space: Space) -> list[dict[str, Any]]:
    """Return parameters that try both ends of every range, and every choice, at least once."""
    values = {
        name: list(d.choices) if isinstance(d, CategoricalDistribution) else [d.low, d.high]
        for name, d in space.items()
        if isinstance(d, CategoricalDistribution | FloatDistribution | IntDistribution)
    }
    most = max(map(len, values.values()))
    return [{name: tried[i % len(tried)] for name, tried in values.items()} for i in range(most)]
