"""What a search is to do: its YAML, read and checked before anything runs (notes 6.6)."""

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from optuna.distributions import distribution_to_json

from ..training.errors import Loader, UsageError, check_config_files, parsed
from .space import Space, meaning, read_space

REQUIRED = ("base", "epochs", "rounds", "trials", "score", "space")
OPTIONAL = ("keep", "prune")
DIRECTIONS: dict[str, Literal["minimize", "maximize"]] = {"min": "minimize", "max": "maximize"}
OWN = ("trainer.max_epochs", "seed_everything")  # what the search itself sets


class Numbers(Loader):
    """YAML in which 1e-6 is a number, as it is on the command line; PyYAML wants 1.0e-6."""


Numbers.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class Plan:
    """A search as its YAML has it.

    Args:
        name: of the file, and of the study.
        base: the configuration that the trials change.
        epochs: that a trial trains.
        rounds: after each of which the ranges narrow.
        trials: in a round.
        metric: such as ``val/loss``, taken after a trial's last epoch.
        direction: ``min`` or ``max``.
        space: the range of every parameter.
        keep: how much of its width a range keeps from round to round.
        prune: stop a trial whose score after an epoch is worse than the median of the others'.
    """

    name: str
    base: Mapping[str, Any]
    epochs: int
    rounds: int
    trials: int
    metric: str
    direction: str
    space: Space
    keep: float = 0.5
    prune: bool = False

    @property
    def total(self) -> int:
        """The number of trials."""
        return self.rounds * self.trials

    @property
    def identity(self) -> str:
        """What may not change while a study goes on; it may get more rounds."""
        space = {name: distribution_to_json(d) for name, d in self.space.items()}
        same = ("base", "epochs", "trials", "metric", "direction", "keep", "prune")
        facts = {key: getattr(self, key) for key in same} | {"space": space}
        return json.dumps(facts, sort_keys=True)

    def configured(self, params: Mapping[str, Any], short: bool = False) -> dict[str, Any]:
        """Return the base with these parameters, and with the few epochs of a trial if short."""
        settings = copy.deepcopy(dict(self.base))
        for name, value in params.items():
            place(settings, name, meaning(value))
        if short:
            place(settings, "trainer.max_epochs", self.epochs)
        return settings


def place(settings: dict[str, Any], name: str, value: Any) -> None:
    """Set ``model.optimizer.lr`` in a configuration, below the ``init_args`` of every class.

    A text in the place of a class is another class with the same arguments.

    Raises: UsageError if there is nothing that could have a part of this name.
    """
    *way, last = name.split(".")
    node: Any = _arguments(settings)
    for key in way:
        node = _arguments(node.setdefault(key, {}))
        if not isinstance(node, dict):
            raise UsageError(f"space: {name}: {key} of the base is {node!r}, which has no parts")
    old = node.get(last)
    if isinstance(old, dict) and "class_path" in old and isinstance(value, str):
        old["class_path"] = value
    else:
        node[last] = value


def _arguments(node: Any) -> Any:
    is_class = isinstance(node, dict) and "class_path" in node
    return node.setdefault("init_args", {}) if is_class else node


def read_plan(file: Path, **instead: Any) -> Plan:
    """Read the YAML of a search; ``instead`` are values that the command line gives.

    Raises: UsageError in one sentence for whatever in it cannot be used.
    """
    given = _load(file)
    given |= {key: value for key, value in instead.items() if value is not None}
    try:
        return _plan(file, given)
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from None


def _load(file: Path) -> dict[str, Any]:
    check_config_files(["--config", str(file)])
    return parsed(file.read_text(encoding="utf-8"), Numbers)


def _plan(file: Path, given: dict[str, Any]) -> Plan:
    for key in given:
        if key not in REQUIRED + OPTIONAL:
            known = ", ".join(REQUIRED + OPTIONAL)
            raise UsageError(f"{key}: no such key of a search; it takes {known}")
    if missing := [key for key in REQUIRED if key not in given]:
        raise UsageError(f"nothing given for {', '.join(missing)}")
    for key in ("epochs", "rounds", "trials"):
        if type(given[key]) is not int or given[key] < 1:
            raise UsageError(f"{key}: expected a whole number from 1, got {given[key]!r}")
    keep, prune = given.get("keep", 0.5), given.get("prune", False)
    if type(keep) not in (int, float) or not 0 < keep <= 1:
        raise UsageError(f"keep: expected a number above 0 and at most 1, got {keep!r}")
    if not isinstance(prune, bool):
        raise UsageError(f"prune: expected true or false, got {prune!r}")
    metric, direction = _score(given["score"])
    space = read_space(given["space"])
    if own := [name for name in space if name in OWN]:
        raise UsageError(f"space: {own[0]}: the search sets it itself")
    base = _load(_found(given["base"], file))
    numbers = {key: given[key] for key in ("epochs", "rounds", "trials")}
    return Plan(
        name=file.stem,
        base=base,
        metric=metric,
        direction=direction,
        space=space,
        keep=float(keep),
        prune=prune,
        **numbers,
    )


def _score(score: Any) -> tuple[str, str]:
    if not isinstance(score, dict) or set(score) != {"metric", "direction"}:
        raise UsageError(f"score: expected a metric and a direction, got {score!r}")
    metric, direction = score["metric"], score["direction"]
    if not str(metric).startswith("val/"):
        raise UsageError(f"score: expected a metric of the validation data (val/), got {metric!r}")
    if direction not in list(DIRECTIONS):
        raise UsageError(f"score: expected the direction min or max, got {direction!r}")
    return metric, direction


def _found(base: Any, file: Path) -> Path:
    """The base from here, or from a folder above the search's own file."""
    for folder in (Path(), *file.resolve().parents):
        if (folder / str(base)).is_file():
            return folder / str(base)
    raise UsageError(f"base: no file {base!r}")
