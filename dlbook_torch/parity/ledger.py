"""The ledger: every check over every case, one line per layer and per rule."""

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from .. import optim
from . import checks
from .cases import CASES, RULES, Case, Rule

ROWS: list[Case | Rule] = [*CASES, *RULES]


@dataclass
class Line:
    """What the checks saw of one layer or rule."""

    notes: str
    name: str
    cases: int = 0
    output: float = 0.0  # largest absolute difference to torch's output, or trajectory
    gradient: float = 0.0
    checks: int = 0
    failures: list[str] = field(default_factory=list)

    def cells(self) -> list[str]:
        """The line as text."""
        return [
            self.notes,
            self.name,
            str(self.cases),
            f"{self.output:.1e}",
            f"{self.gradient:.1e}" if self.gradient or self.name not in dir(optim) else "",
            str(self.checks),
            f"{len(self.failures)} failed" if self.failures else "equal",
        ]


Promise = tuple[str, Callable[[Any], Any]]


def layer_checks(dtype: torch.dtype, device: str) -> list[Promise]:
    """The promises of a layer; derivatives and state need the CPU and float64 only."""
    modes = {"train": True, "eval": False}
    promises: list[Promise] = [
        (f"compare {mode}", partial(checks.compare, training=on, dtype=dtype, device=device))
        for mode, on in modes.items()
    ]
    if device != "cpu" or dtype != torch.float64:
        return promises
    for check in (checks.first_derivative, checks.second_derivative, checks.handwritten):
        promises += [
            (f"{check.__name__} {mode}", partial(check, training=on)) for mode, on in modes.items()
        ]
    return [*promises, ("exchange", checks.exchange), ("same_start", checks.same_start)]


def rule_checks(dtype: torch.dtype, device: str) -> list[Promise]:
    """The promises of an update rule."""
    promises: list[Promise] = [
        ("trajectory", partial(checks.trajectory, dtype=dtype, device=device))
    ]
    if device != "cpu" or dtype != torch.float64:
        return promises
    return [
        *promises,
        ("torch to ours", partial(checks.handover, there=torch.optim, back=optim)),
        ("ours to torch", partial(checks.handover, there=optim, back=torch.optim)),
        ("handwritten", checks.handwritten_rule),
    ]


def audit(
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
    only: str | None = None,
    watch: Callable[[list[Any]], Iterable[Any]] = iter,
) -> list[Line]:
    """Run every check over every case of every layer and rule (or of the one named ``only``)."""
    lines: dict[str, Line] = {}
    layers, rules = layer_checks(dtype, device), rule_checks(dtype, device)
    for row in watch([row for row in ROWS if only in (None, row.name)]):
        line = lines.setdefault(row.name, Line(row.notes, row.name))
        line.cases += 1
        for name, check in layers if isinstance(row, Case) else rules:
            line.checks += 1
            torch.manual_seed(0)
            try:
                errors = check(row) or {}
            except Exception as error:  # a layer that breaks is a failed line, not the end
                line.failures.append(f"{row}: {name}: {str(error).strip().splitlines()[0]}")
                continue
            line.output = max(line.output, errors.get("output", errors.get("trajectory", 0.0)))
            line.gradient = max(line.gradient, errors.get("gradient", 0.0))
    return list(lines.values())


def markdown(lines: list[Line]) -> str:
    """The ledger as a Markdown table."""
    head = "| notes | ours | cases | output | gradient | checks | verdict |"
    rows = ["| " + " | ".join(line.cells()) + " |" for line in lines]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows]) + "\n"


def table(lines: list[Line], title: str) -> Table:
    """The ledger for the terminal."""
    made = Table(title=title, caption="output, gradient: largest absolute difference to torch")
    for head in ("notes", "ours", "cases", "output", "gradient", "checks", "verdict"):
        made.add_column(head, justify="left" if head in ("notes", "ours", "verdict") else "right")
    for line in lines:
        made.add_row(*line.cells(), style="red" if line.failures else None)
    return made


def main(args: list[str] | None = None) -> None:
    """Print the ledger; exit 1 if anything differs from torch, 2 if the command makes no sense."""
    names = sorted({row.name for row in ROWS})
    parser = argparse.ArgumentParser(
        prog="parity", description="Compare every layer and rule with torch's own."
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (default: cpu)")
    parser.add_argument(
        "--dtype", default="float64", choices=["float64", "float32"], help="default: float64"
    )
    parser.add_argument("--only", choices=names, metavar="NAME", help="one layer or rule: Conv2d")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the ledger as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write it as Markdown")
    given = parser.parse_args(args)
    try:
        torch.empty(0, device=given.device, dtype=getattr(torch, given.dtype))
    except Exception as error:
        parser.error(f"--device {given.device} with {given.dtype}: {str(error).splitlines()[0]}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's twins warn of their own performance
        lines = audit(
            getattr(torch, given.dtype),
            given.device,
            given.only,
            lambda rows: track(rows, "Comparing with torch", transient=True),
        )
    title = f"torch {torch.__version__}, {given.device}, {given.dtype}"
    Console().print(table(lines, title))
    failures = [failure for line in lines for failure in line.failures]
    for failure in failures:
        print(failure)
    if given.json:
        given.json.write_text(json.dumps([asdict(line) for line in lines], indent=2) + "\n")
    if given.markdown:
        given.markdown.write_text(markdown(lines))
    total = sum(line.checks for line in lines)
    print(f"{total} checks, {len(failures)} failed")
    sys.exit(1 if failures else 0)
