"""An experiment is a YAML file: a claim, the arms that put it to the test, and the seeds."""

import difflib
import inspect
import itertools
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import yaml

from ..training.errors import UsageError, parsed
from .compare import Comparison, comparisons
from .metrics import Metric, metric

Size = Literal["tiny", "small", "full"]
Options = Mapping[str, Any]
FOLDER = Path("configs/experiments")
KEYS = {"claim", "base", "study", "with", "arms", "grid", "seeds", "metrics", "compare", "figure"}
SIZED = {"with", "seeds", "arms", "grid"}  # what `tiny` and `full` may replace
TAG = re.compile(r"# notes (\d+(?:\.\d+)*(?:, \d+(?:\.\d+)*)*): \S")
QUIET: dict[str, Any] = {  # an experiment keeps its own records
    "trainer.logger": False,
    "trainer.enable_checkpointing": False,
    "trainer.enable_progress_bar": False,
    "overfitting_monitor": None,
    "network_monitor": None,
    "finite_loss": None,  # a run that diverges is a result
}


@dataclass(frozen=True)
class Run:
    """One arm with one seed, and the command line that repeats it by hand."""

    experiment: str
    arm: str
    seed: int
    command: tuple[str, ...]

    def __str__(self) -> str:
        return f"python {shlex.join(self.command)}"


@dataclass(frozen=True)
class Experiment:
    """A claim and everything that its verdict is made from.

    Args:
        name: the file's.
        sections: of the notes, such as ``("6.3",)``; the file's first line names them.
        claim: one sentence that the numbers can contradict.
        base: the configuration that every arm trains, None for a study.
        study: ``module.function``, see :func:`study`, None for trainings.
        options: what all arms have in common.
        arms: what each arm sets, by name.
        seeds: of the runs, 0 and up.
        metrics: what is read from a run, by name.
        compare: which arm is held against which.
        figure: how it is drawn, see :mod:`.figures`.
        library: whose layers, losses and rules.
        size: ``tiny`` for tests, ``small`` for minutes on two cores, ``full`` for a GPU.
    """

    name: str
    sections: tuple[str, ...]
    claim: str
    base: str | None
    study: str | None
    options: Options
    arms: Mapping[str, Options]
    seeds: tuple[int, ...]
    metrics: Mapping[str, Metric]
    compare: tuple[Comparison, ...]
    figure: Options = field(default_factory=dict)
    library: Literal["dlbook", "torch"] = "dlbook"
    size: Size = "small"

    @property
    def folder(self) -> str:
        """The name of the folder of its results."""
        extra = [self.size] * (self.size != "small") + [self.library] * (self.library == "torch")
        return "-".join([self.name, *extra])

    @property
    def exact(self) -> bool:
        """Whether nothing is drawn at random: a study that takes no seed."""
        return self.study is not None and "seed" not in parameters(self.study)

    @property
    def has_twin(self) -> bool:
        """Whether torch's own layers and rules can take the place of ours."""
        return self.study is None or "library" in parameters(self.study)

    def runs(self) -> Iterator[Run]:
        """Every arm with every seed, seed by seed: what is stopped early has whole pairs."""
        for seed in self.seeds:
            for arm, options in self.arms.items():
                chosen = {**self.options, **options}
                command = self._study(chosen, seed) if self.study else self._fit(chosen, seed)
                yield Run(self.name, arm, seed, command)

    def _fit(self, options: Options, seed: int) -> tuple[str, ...]:
        chosen = {**QUIET, **self._library(options), "seed_everything": seed, "data.seed": seed}
        return ("scripts/train.py", *training(str(self.base), chosen))

    def _library(self, options: Options) -> Options:
        if self.library == "dlbook":
            return options
        given = options.get("model.optimizer") or optimizer_of(str(self.base))
        return {
            **options,
            "model.net.library": "torch",
            "model.library": "torch",
            "model.optimizer": given.replace("dlbook_torch.optim.", "torch.optim."),
        }

    def _study(self, options: Options, seed: int) -> tuple[str, ...]:
        chosen = dict(options) if self.exact else {**options, "seed": seed}
        if self.library == "torch":
            chosen["library"] = "torch"
        words = ["scripts/experiment.py", "measure", str(self.study)]
        return (*words, *(f"{key}={json.dumps(value)}" for key, value in chosen.items()))


def training(base: str, options: Options) -> Iterator[str]:
    """The arguments of ``train.py`` that train a configuration with some options."""
    yield from ("fit", "--config", base)
    for key, value in options.items():
        yield from (f"--{key}", value if isinstance(value, str) else json.dumps(value))


def optimizer_of(base: str) -> str:
    """The class of the update rule in a configuration."""
    model = yaml.safe_load(Path(base).read_text(encoding="utf-8"))["model"]
    return model["init_args"]["optimizer"]["class_path"]


def study(name: str) -> Callable[..., Mapping[str, Any]]:
    """The function ``module.function`` of the studies, or of any module that can be imported.

    Raises: UsageError if there is none.
    """
    module, _, function = str(name).rpartition(".")
    home = f"{__package__}.studies.{module}"
    try:
        found = find_spec(home) if module and "." not in module else None
        return getattr(import_module(home if found else module), function)
    except (ImportError, AttributeError, ValueError):
        raise UsageError(
            f"no function {name!r}, neither in dlbook_torch/experiment/studies nor elsewhere"
        ) from None


def parameters(name: str) -> Mapping[str, inspect.Parameter]:
    """The arguments of a study."""
    return inspect.signature(study(name)).parameters


def read(
    path: Path,
    size: Size = "small",
    library: Literal["dlbook", "torch"] = "dlbook",
    seeds: int | None = None,
    extra: Options | None = None,
) -> Experiment:
    """Read an experiment.

    Args:
        path: the YAML file.
        size: its ``tiny`` and ``full`` sections replace parts of the whole.
        library: whose layers.
        seeds: how many, instead of the file's number.
        extra: set in every arm, over everything else.

    Raises: UsageError, one sentence that begins with the file's name.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{path}: {reason}") from error
    try:
        return _experiment(path, text, parsed(text), size, library, seeds, extra or {})
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _experiment(
    path: Path, text: str, content: Any, size: Size, library: Any, seeds: int | None, extra: Options
) -> Experiment:
    tag = TAG.match(text)
    if not tag:
        raise UsageError("the first line must read like '# notes 6.3: what they say'")
    plan = _sized(content, size)
    base, name = plan.get("base"), plan.get("study")
    if (base is None) == (name is None):
        raise UsageError("give either base, a configuration to train, or study, a function")
    if base is not None and not Path(str(base)).is_file():
        raise UsageError(f"base: no such file: {base}")
    options = {**plan["with"], **extra}
    arms = {
        str(arm): {**_mapping(f"arms.{arm}", own or {}), **extra}
        for arm, own in _arms(plan).items()
    }
    if name is not None:
        _check_arguments(name, options, arms)
    exact = name is not None and "seed" not in parameters(name)
    metrics = {str(key): metric(value) for key, value in _table("metrics", plan).items()}
    return Experiment(
        name=path.stem,
        sections=tuple(tag[1].split(", ")),
        claim=" ".join(str(plan["claim"]).split()),
        base=base,
        study=name,
        options=options,
        arms=arms,
        seeds=(0,) if exact else _seeds(plan.get("seeds", 5) if seeds is None else seeds),
        metrics=metrics,
        compare=comparisons(plan.get("compare"), list(arms), list(metrics)),
        figure=_mapping("figure", plan.get("figure") or {}),
        library=library,
        size=size,
    )


def _sized(content: Any, size: Size) -> dict[str, Any]:
    """The plan with the parts of ``tiny`` or ``full`` in place."""
    if not isinstance(content, dict):
        raise UsageError("holds no experiment: a mapping with claim, base or study, arms, ...")
    plan = {key: value for key, value in content.items() if key not in ("tiny", "full")}
    _known("", plan, KEYS)
    for key in ("claim", "metrics", "compare"):
        if not plan.get(key):
            raise UsageError(f"{key} is missing")
    change = _mapping(size, content.get(size) or {})
    _known(f"{size}.", change, SIZED)
    given = [_mapping("with", part.get("with") or {}) for part in (plan, change)]
    return {**plan, **change, "with": {**given[0], **given[1]}}


def _known(place: str, given: Options, known: set[str]) -> None:
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, 1)
            hint = (
                f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(known))}"
            )
            raise UsageError(f"{place}{key}: no such key; {hint}")


def _table(key: str, plan: Options) -> dict[str, Any]:
    return _mapping(key, plan[key])


def _mapping(key: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise UsageError(f"{key} must be a mapping, got {given!r}")
    return given


def _arms(plan: Options) -> dict[str, Options | None]:
    """The arms as they stand, or every combination of the grid, named after its values."""
    if ("arms" in plan) == ("grid" in plan):
        raise UsageError("give either arms or grid")
    if "arms" in plan:
        return _table("arms", plan)
    grid = _table("grid", plan)
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise UsageError(f"grid.{key} must be a list of values, got {values!r}")
    combinations = (dict(zip(grid, c, strict=True)) for c in itertools.product(*grid.values()))
    return {", ".join(_spoken(*item) for item in c.items()): c for c in combinations}


def _spoken(key: str, value: Any) -> str:
    name = key.rpartition(".")[2]
    return f"{name}={json.dumps(value) if isinstance(value, bool | list) else value}"


def _seeds(seeds: Any) -> tuple[int, ...]:
    if type(seeds) is not int or seeds < 1:
        raise UsageError(f"seeds must be a whole number from 1 on, got {seeds!r}")
    return tuple(range(seeds))


def _check_arguments(name: str, options: Options, arms: Mapping[str, Options]) -> None:
    known = set(parameters(name))
    for place, given in [("with", options), *arms.items()]:
        _known(f"{place}.", given, known - {"seed"})


def find(names: Sequence[str], folder: Path = FOLDER) -> list[Path]:
    """The files of experiments given by path, by name, or all for no name.

    Raises: UsageError for one that is neither.
    """
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if not names:
        return list(known.values())
    found = []
    for name in names:
        path = Path(name)
        if not path.is_file():
            if path.stem not in known:
                close = difflib.get_close_matches(path.stem, known, 1)
                hint = f", did you mean {close[0]}?" if close else f"; there are those in {folder}"
                raise UsageError(f"no experiment is called {name!r}{hint}")
            path = known[path.stem]
        found.append(path)
    return found
