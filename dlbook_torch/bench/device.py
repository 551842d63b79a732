"""What works on a device: the ledger, trainings, mixed precision, compilation, update rules."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..pages import marks, renewed
from ..parity import ledger
from ..parity.checks import TorchRefuses
from .device_checks import (
    ROOT,
    NotSupported,
    Skipped,
    against_torch,
    carried_over,
    compiled,
    forms,
    mixed,
    overflow,
    parity,
    precision,
    randomness,
    resumed,
    training,
)
from .machine import machine

DEVICES = ("cpu", "cuda", "mps")
QUICK = ("Linear", "Conv2d", "BatchNorm2d", "CrossEntropyLoss", "Adam")  # lines of the ledger
OK, FAILED, ABSENT, SKIPPED = "ok", "failed", "not supported", "skipped"
STYLES = {OK: "green", FAILED: "bold red", ABSENT: "yellow", SKIPPED: "dim"}
HEADS = ("what", "outcome", "seconds", "seen, or why not")


@dataclass(frozen=True)
class Check:
    """Something to try on a device; ``run`` returns what it has seen."""

    what: str
    run: Callable[[], str]


@dataclass(frozen=True)
class Row:
    """What came of a check."""

    what: str
    outcome: str
    note: str
    seconds: float

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        return self.what, self.outcome, f"{self.seconds:.1f}", self.note


def tried(check: Check) -> Row:
    """Run a check; whatever it raises is the outcome, and not the end."""
    since = time.perf_counter()
    try:
        outcome, note = OK, check.run()
    except (NotSupported, TorchRefuses) as reason:
        outcome, note = ABSENT, first_line(reason)
    except Skipped as reason:
        outcome, note = SKIPPED, first_line(reason)
    except Exception as error:
        outcome, note = FAILED, first_line(error)
    return Row(check.what, outcome, note, time.perf_counter() - since)


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def best_device() -> str:
    """A GPU if there is one that torch can use."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def plan(device: str, quick: bool = False) -> Iterator[Check]:
    """What is tried on a device, in a minute or in full."""
    batches, steps = (2, 5) if quick else (20, 20)
    names = QUICK if quick else (None,)
    dtypes = ("float64",) if device == "cpu" else ledger.DTYPES  # there it covers the others
    for dtype in dtypes:
        yield Check(f"parity ledger, {dtype}", partial(parity, device, dtype, names))
    for path in sorted(ROOT.glob("configs/ch*/*.yaml")):
        config = path.relative_to(ROOT).as_posix()
        name = config.removeprefix("configs/").removesuffix(".yaml")
        yield Check(f"training, {name}", partial(training, device, config, batches))
    yield Check("training, against torch's layers", partial(against_torch, device, batches))
    yield Check("training, resumed", partial(resumed, device))
    for name in ("bf16-mixed", "16-mixed", "64-true"):
        yield Check(f"training, precision {name}", partial(precision, device, name, batches))
    for kind in (torch.bfloat16, torch.float16):
        scaler = " and a scaler" if kind == torch.float16 else ""
        what = f"autocast, {str(kind).removeprefix('torch.')}{scaler}"
        yield Check(what, partial(mixed, device, kind, steps))
    yield Check("scaler, overflow", partial(overflow, device))
    yield Check("compiled step, perceptron", partial(compiled, device, True))
    if not quick:
        yield Check("compiled step, convolutional", partial(compiled, device, False))
    for option in ("foreach", "fused", "capturable"):
        yield Check(f"update rules, {option}", partial(forms, device, option))
    yield Check("random numbers", partial(randomness, device))
    yield Check("saved there, loaded on the CPU", partial(carried_over, device))


def title_of(device: str, quick: bool) -> str:
    """Device, machine, versions."""
    name = f"{torch.cuda.get_device_name()}, " if device == "cuda" else ""
    return f"{'Quick check' if quick else 'Check'} on {device}: {name}{machine()}"


def show(checks: Sequence[Check], title: str) -> list[Row]:
    """Run the checks, with a table that grows by a row for each."""
    console, rows = Console(file=sys.stdout), []
    table = Table(*HEADS, title=title)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )
    task = bar.add_task("", total=len(checks))
    whole = Group(table, bar)
    with Live(whole, console=console, redirect_stdout=False, redirect_stderr=False) as live:
        for check in checks:
            bar.update(task, description=check.what)
            rows.append(row := tried(check))
            table.add_row(*map(escape, row.cells()), style=STYLES[row.outcome])
            bar.advance(task)
        live.update(table)
    if not console.is_terminal:
        console.line()
    return rows


def summary(rows: Sequence[Row]) -> str:
    """How many rows came out how."""
    outcomes = [row.outcome for row in rows]
    counts = [f"{outcomes.count(kind)} {kind}" for kind in STYLES if kind in outcomes]
    return f"{', '.join(counts)}; {sum(row.seconds for row in rows):.0f} s"


def markdown(rows: Sequence[Row], title: str) -> str:
    """The table as Markdown."""
    lines = [HEADS, ["---", "---", "---:", "---"], *(row.cells() for row in rows)]
    cells = ("| " + " | ".join(x.replace("|", r"\|") for x in line) + " |" for line in lines)
    return "\n".join([*cells, "", f"{title}; {summary(rows)}."]) + "\n"


def parsed(args: Sequence[str] | None) -> argparse.Namespace:
    """The command line; exits with 2 if it makes no sense here."""
    parser = argparse.ArgumentParser(
        prog="device_check", description="Try on a device what this project promises."
    )
    parser.add_argument("--device", choices=DEVICES, help="default: the best there is")
    parser.add_argument("--quick", action="store_true", help="about a minute")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help=f"renew the table between {' and '.join(marks('device DEVICE'))} in FILE",
    )
    given = parser.parse_args(args)
    if not __debug__:
        parser.error("the checks are assertions, which python -O leaves out")
    given.device = given.device or best_device()
    try:
        torch.empty(0, device=given.device)
    except Exception as error:
        parser.error(f"--device {given.device}: {first_line(error)}")
    if given.markdown:
        old = given.markdown.read_text(encoding="utf-8") if given.markdown.is_file() else ""
        try:
            renewed(old, f"device {given.device}", "")
        except ValueError as error:
            parser.error(f"--markdown {given.markdown}: {error}")
    return given


def main(args: Sequence[str] | None = None) -> None:
    """Try everything; exit code 1 if something failed, 2 if the command makes no sense here."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or CUDA is not deterministic
    given = parsed(args)
    title = title_of(given.device, given.quick)
    rows = show(list(plan(given.device, given.quick)), title)
    print(summary(rows))
    if given.markdown:
        old = given.markdown.read_text(encoding="utf-8")
        new = renewed(old, f"device {given.device}", markdown(rows, title).rstrip())
        given.markdown.write_text(new, encoding="utf-8")
    sys.exit(1 if any(row.outcome == FAILED for row in rows) else 0)
