r"""The race of the update rules down a long valley (notes 6.2).

.. math:: f(x, y) = x^2 / 20 + y^2

Every rule starts at the same point, ours beside torch's. Steep across and flat along: the gradient
hardly ever points to the minimum at (0, 0), which is why plain SGD zigzags.
"""

import argparse
import difflib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor

from .. import optim
from ..autograd.cli import count, rate
from ..training.folders import new_folder

START, STEPS = (-7.0, 2.0), 30  # the book's
LIBRARIES = {"ours": optim, "torch": torch.optim}


@dataclass(frozen=True)
class Entry:
    """A rule with its hyper-parameters; without ``lr`` it runs at its default."""

    rule: str
    options: Mapping[str, Any]


# The book's rates for SGD, Momentum, Adagrad and Adam. RAdam and Adamax take larger ones than Adam
# because their first steps are shorter. Adadelta has no unit: at its default of 1, its first step
# is 0.003 long.
FIELD: dict[str, Entry] = {
    "SGD": Entry("SGD", dict(lr=0.95)),
    "Momentum": Entry("SGD", dict(lr=0.1, momentum=0.9)),
    "Nesterov": Entry("SGD", dict(lr=0.1, momentum=0.9, nesterov=True)),
    "Adagrad": Entry("Adagrad", dict(lr=1.5)),
    "RMSprop": Entry("RMSprop", dict(lr=0.3)),
    "Adadelta": Entry("Adadelta", dict(lr=100.0)),
    "Adam": Entry("Adam", dict(lr=0.3)),
    "AdamW": Entry("AdamW", dict(lr=0.3)),
    "NAdam": Entry("NAdam", dict(lr=0.3)),
    "RAdam": Entry("RAdam", dict(lr=1.0)),
    "Adamax": Entry("Adamax", dict(lr=0.5)),
    "ASGD": Entry("ASGD", dict(lr=0.95)),
    "Rprop": Entry("Rprop", dict(lr=0.3)),
}


def entries() -> dict[str, Entry]:
    """The field, and every rule of ours that it does not know, at its default rate."""
    known = {entry.rule for entry in FIELD.values()}
    rules = [
        name
        for name in optim.__all__
        if name not in known | {"Optimizer"} and isinstance(getattr(optim, name), type)
    ]
    return FIELD | {name: Entry(name, {}) for name in rules}


def valley(point: Tensor) -> Tensor:
    """The height at a point, or at many: ``(*, 2)`` to ``(*)``."""
    x, y = point.unbind(-1)
    return x**2 / 20 + y**2


def descent(
    rule: type[torch.optim.Optimizer],
    options: Mapping[str, Any],
    start: Sequence[float],
    steps: int,
) -> Tensor:
    """The path of a rule, ``(steps + 1, 2)`` from the start to the end.

    Source: notes 6.2.1.
    """
    point = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = rule([point], **options)
    path = [point.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        valley(point).backward()
        optimizer.step()
        path.append(point.detach().clone())
    return torch.stack(path)


@dataclass(frozen=True)
class Run:
    """One rule's paths, by library."""

    name: str
    lr: float
    paths: dict[str, Tensor]

    @property
    def end(self) -> Tensor:
        """Where the first library's path ends."""
        return next(iter(self.paths.values()))[-1]

    @property
    def difference(self) -> float | None:
        """The largest distance between ours and torch's after any update; None without both."""
        if len(self.paths) < 2:
            return None
        ours, theirs = self.paths.values()
        same = (ours == theirs) | (ours.isnan() & theirs.isnan())  # inf - inf is no distance
        apart = (ours - theirs).where(~same, 0.0).norm(dim=1)
        return apart.nan_to_num(nan=inf, posinf=inf).max().item()

    def cells(self) -> list[str]:
        """The run as a line of the table."""
        apart = "" if self.difference is None else f"{self.difference:.1e}"
        point = [f"{x:.6f}" if 1e-3 <= abs(x) < 1e5 else f"{x:.2g}" for x in self.end.tolist()]
        who = next(iter(self.paths)) if len(self.paths) == 1 else "both"
        return [self.name, f"{self.lr:g}", who, *point, f"{valley(self.end):.3g}", apart]


def race(
    rates: Mapping[str, float] | None = None,
    only: Iterable[str] | None = None,
    libraries: Sequence[str] = tuple(LIBRARIES),
    start: Sequence[float] = START,
    steps: int = STEPS,
) -> list[Run]:
    """Let the rules run, each in every library that has it.

    Args:
        rates: learning rates by name, instead of the tabled ones.
        only: names to run; default: all of :func:`entries`.
        libraries: of ``ours`` and ``torch``.
        start: the point (x, y).
        steps: how many updates.

    Source: notes 6.2.
    """
    runs = []
    for name, entry in entries().items():
        if only is not None and name not in only:
            continue
        options = dict(entry.options)
        if rates and name in rates:
            options["lr"] = rates[name]
        rules = {
            library: getattr(LIBRARIES[library], entry.rule)
            for library in LIBRARIES
            if library in libraries and hasattr(LIBRARIES[library], entry.rule)
        }
        paths = {key: descent(rule, options, start, steps) for key, rule in rules.items()}
        if paths:
            lr = options.get("lr", _default_rate(next(iter(rules.values()))))
            runs.append(Run(name, lr, paths))
    return runs


def _default_rate(rule: type[torch.optim.Optimizer]) -> float:
    return rule([torch.zeros(1)]).defaults["lr"]  # type: ignore[call-arg]


def table(runs: Iterable[Run], start: Sequence[float], steps: int) -> Table:
    """The end points for the terminal."""
    title = f"f = x²/20 + y² from ({start[0]:g}, {start[1]:g}), {steps} updates"
    caption = "apart: the largest distance between ours and torch's after any update"
    made = Table(title=title, caption=caption, box=box.SIMPLE_HEAD)
    for head in ("rule", "lr", "run by", "x", "y", "f", "apart"):
        side: Any = "left" if head in ("rule", "run by") else "right"
        made.add_column(head, justify=side, no_wrap=True)
    for run in runs:
        made.add_row(*run.cells())
    return made


def write(runs: Sequence[Run], folder: Path, start: Sequence[float], steps: int) -> Path:
    """Write the picture, whose path is returned, and the TensorBoard runs ``<library>/<rule>``."""
    from torch.utils.tensorboard import SummaryWriter

    from .race_figure import race_figure

    figure = race_figure(runs, start, steps)
    picture = folder / "race.png"
    figure.savefig(picture, dpi=150)
    with SummaryWriter(str(folder)) as writer:
        writer.add_figure("race", figure, steps, close=False)
    for run in runs:
        for library, path in run.paths.items():
            with SummaryWriter(str(folder / library / run.name)) as writer:
                for t, (point, height) in enumerate(zip(path, valley(path), strict=True)):
                    for tag, value in zip(("f", "x", "y"), (height, *point), strict=True):
                        writer.add_scalar(tag, value.item(), t)
    return picture


def _near(name: str) -> str:
    """A rule's name, in whatever case it was given.

    Raises: argparse.ArgumentTypeError that names what comes close.
    """
    names = {known.lower(): known for known in entries()}
    if name.lower() in names:
        return names[name.lower()]
    close = difflib.get_close_matches(name.lower(), names, 1)
    hint = f"did you mean {names[close[0]]}?" if close else f"there are {', '.join(entries())}"
    raise argparse.ArgumentTypeError(f"no rule is called {name!r}; {hint}")


def _rate(text: str) -> tuple[str, float]:
    name, equals, number = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"say it like Adam=0.1, not {text!r}")
    return _near(name), rate(number)


def _coordinate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = inf
    if not -inf < value < inf:
        raise argparse.ArgumentTypeError(f"a coordinate must be a finite number, got {text!r}")
    return value


def main(args: Sequence[str] | None = None) -> None:
    """Run the race; ``args`` defaults to the command line."""
    parser = argparse.ArgumentParser(
        prog="optimizer_race", description="Race the update rules, ours and torch's, down a valley."
    )
    parser.add_argument(
        "--lr",
        type=_rate,
        action="append",
        default=[],
        metavar="RULE=RATE",
        help="another learning rate, once per rule: --lr Adam=0.1 --lr SGD=0.5",
    )
    parser.add_argument("--steps", type=count, default=STEPS, help="updates; default: 30")
    parser.add_argument(
        "--start",
        type=_coordinate,
        nargs=2,
        default=START,
        metavar=("X", "Y"),
        help="default: -7 2",
    )
    parser.add_argument("--only", type=_near, nargs="+", metavar="RULE", help="rules to run")
    parser.add_argument(
        "--library", nargs="+", choices=LIBRARIES, default=tuple(LIBRARIES), help="default: both"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/race"),
        help="each race makes itself a folder in this one; default: runs/race",
    )
    given = parser.parse_args(args)
    runs = race(dict(given.lr), given.only, given.library, given.start, given.steps)
    if not runs:
        parser.error(f"argument --only: {' and '.join(given.library)} has none of them yet")
    try:
        folder = new_folder(given.out)
        Console().print(table(runs, given.start, given.steps))
        picture = write(runs, folder, given.start, given.steps)
    except OSError as error:
        parser.error(f"argument --out: cannot write to {given.out}: {error.strerror}")
    print(picture)
    print(f"tensorboard --logdir {shlex.quote(str(folder))}")
