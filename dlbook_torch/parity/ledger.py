"""The ledger: every promise over every row, one line per layer and per rule."""

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ..pages import marks, renewed
from .cases import CASES, REFUSED, RULES, Case, Rule
from .checks import Errors, TorchRefuses
from .promises import LAYERS, REFUSALS, UPDATES, Promise, numbers, paths, promised

DTYPES = ("float64", "float32", "bfloat16", "float16")
START, END = marks("ledger")
COLUMNS = ("gradcheck", "gradgradcheck", "state", "compile")
SIZES = ("output", "ulp", "gradient", "ulp")
HEADS = ("notes", "ours", "cases", *SIZES, *COLUMNS, "checks", "verdict")
LEFT = ("notes", "ours", "verdict")
CAPTION = (
    "output, gradient: largest absolute difference to torch; ulp: the same in units in the last "
    "place, each the spacing of the type's numbers at the largest of torch's outputs or gradients"
)


@dataclass
class Line:
    """What the checks saw of one layer or rule."""

    notes: str
    name: str
    cases: int = 0
    errors: dict[str, Errors] = field(default_factory=dict)  # largest, by type
    columns: dict[str, str] = field(default_factory=dict)
    checks: int = 0
    refused: list[str] = field(default_factory=list)  # by torch's own layer
    failures: list[str] = field(default_factory=list)

    def keep(self, promise: Promise, row: Any) -> None:
        """Try one promise on one row, and take down what comes of it."""
        self.checks += 1
        found, story = "ok", f"{row}: {promise}"
        try:
            errors = promise(row)
        except TorchRefuses as refusal:
            found, errors = "refused", {}
            self.refused.append(f"{story}: {refusal}")
        except Exception as error:  # a layer that breaks is a failed line, not the end
            found, errors = "FAILED", {}
            lines = str(error).strip().splitlines() or [type(error).__name__]
            self.failures.append(f"{story}: {lines[0]}")
        if promise.column:
            order = ("", "refused", "ok", "FAILED")
            before = self.columns.get(promise.column, "")
            self.columns[promise.column] = max(before, found, key=order.index)
        if promise.dtype:
            worst = self.errors.setdefault(promise.dtype, {})
            worst.update({key: max(worst.get(key, 0.0), value) for key, value in errors.items()})

    def cells(self, dtype: str) -> list[str]:
        """The line as text, with the differences in one type."""
        worst = self.errors.get(dtype, {})
        pairs = [
            format(worst[key], form) if key in worst else ""
            for kind in ("output", "gradient")
            for key, form in ((kind, ".1e"), (f"{kind} ulp", ".2g"))
        ]
        kept = [self.columns.get(column, "") for column in COLUMNS]
        verdict = f"{len(self.failures)} failed" if self.failures else "equal"
        return [self.notes, self.name, str(self.cases), *pairs, *kept, str(self.checks), verdict]


def plan(dtype: str, device: str, only: str | None) -> list[tuple[Promise, Any]]:
    """What to try: everything on the CPU in float64, and elsewhere the numbers alone.

    The first covers the other types too; derivatives and state do not depend on where they are.
    """
    kind = getattr(torch, dtype)
    if (dtype, device) == ("float64", "cpu"):
        tables: list[Any] = [(LAYERS, CASES), (REFUSALS, REFUSED), (UPDATES, RULES)]
    else:
        tables = [(numbers(kind, device), CASES)]
        if kind.itemsize > 2 or device == "cpu":  # in half precision, ways part elsewhere
            tables.append((paths(kind, device), RULES))
    return [
        pair
        for promises, rows in tables
        for pair in promised(promises, [row for row in rows if only in (None, row.name)])
    ]


@contextmanager
def full_precision() -> Iterator[None]:
    """Without TensorFloat-32, which a GPU takes for float32 and which has a bfloat16's digits."""
    backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = False
    try:
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


def audit(
    dtype: str = "float64",
    device: str = "cpu",
    only: str | None = None,
    watch: Callable[[list[Any]], Iterable[Any]] = iter,
) -> list[Line]:
    """Try every promise on every row of every layer and rule (or of the one named ``only``)."""
    pairs = plan(dtype, device, only)
    tried = {row.name for _, row in pairs}
    lines: dict[str, Line] = {}
    rows: list[Case | Rule] = [*CASES, *RULES]
    for row in rows:
        if row.name in tried:
            lines.setdefault(row.name, Line(row.notes, row.name)).cases += 1
    with full_precision(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's twins warn of their own performance
        for promise, row in watch(pairs):
            lines[row.name].keep(promise, row)
    return list(lines.values())


def worst(lines: list[Line]) -> str:
    """The largest error in units in the last place, type by type, and whose it is."""
    found = []
    for dtype in DTYPES:
        ulps = [
            (value, line.name)
            for line in lines
            for key, value in line.errors.get(dtype, {}).items()
            if key.endswith("ulp")
        ]
        if ulps:
            found.append("{} {:.2g} ({})".format(dtype, *max(ulps)))
    return "worst ulp: " + ", ".join(found)


def total(lines: list[Line]) -> str:
    """How many checks were made, failed, and were not asked because torch refuses."""
    made, failed, refused = (
        sum(counts)
        for counts in zip(
            *((line.checks, len(line.failures), len(line.refused)) for line in lines), strict=True
        )
    )
    return f"{made} checks, {failed} failed, {refused} that torch's own layer refuses"


def markdown(lines: list[Line], dtype: str, title: str) -> str:
    """The ledger as a Markdown table."""
    rules = ["---" if head in LEFT else "---:" for head in HEADS]
    rows = [HEADS, rules, *(line.cells(dtype) for line in lines)]
    notes = [f"{title}; {CAPTION}.", f"{total(lines)}; {worst(lines)}."]
    return "\n".join([*("| " + " | ".join(row) + " |" for row in rows), "", *notes]) + "\n"


def table(lines: list[Line], dtype: str, title: str) -> Table:
    """The ledger for the terminal."""
    made = Table(title=title, caption=CAPTION, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in HEADS:
        title = head.replace("check", "\ncheck") if head in COLUMNS else head
        made.add_column(title, justify="left" if head in LEFT else "right", no_wrap=True)
    for line in lines:
        made.add_row(*line.cells(dtype), style="red" if line.failures else None)
    return made


def wide_console() -> Console:
    """A console that does not break the lines of a table that goes into a file."""
    console = Console()
    console.width = console.width if console.is_terminal else max(console.width, 130)
    return console


def parsed(args: list[str] | None) -> argparse.Namespace:
    """The command line; exits with 2 if it makes no sense here."""
    names = sorted({row.name for row in CASES} | {row.name for row in RULES})
    parser = argparse.ArgumentParser(
        prog="parity", description="Compare every layer and rule with torch's own."
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps (default: cpu)")
    parser.add_argument("--dtype", default="float64", choices=DTYPES, help="default: float64")
    parser.add_argument("--only", choices=names, metavar="NAME", help="one layer or rule: Conv2d")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the ledger as JSON")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="FILE",
        help=f"write it as Markdown: between {START} and {END} if FILE has them",
    )
    parser.add_argument(
        "--zoo",
        nargs="*",
        metavar="NETWORK",
        help="instead of layers: torchvision's networks, converted. All of them take ten minutes; "
        "above 150 million parameters they have to be named, and need up to 18 GB",
    )
    given = parser.parse_args(args)
    if given.zoo is not None:
        from .zoo import names as networks  # torchvision takes seconds

        if unknown := sorted(set(given.zoo) - set(networks())):
            parser.error(f"--zoo: torchvision has no {', '.join(unknown)}")
    try:
        torch.empty(0, device=given.device, dtype=getattr(torch, given.dtype))
    except Exception as error:
        parser.error(f"--device {given.device} with {given.dtype}: {str(error).splitlines()[0]}")
    for option, file in (("--json", given.json), ("--markdown", given.markdown)):
        if file and (file.is_dir() or not file.parent.is_dir()):
            parser.error(f"{option} {file}: there can be no such file")
    if given.markdown and given.markdown.exists():
        old = given.markdown.read_text(encoding="utf-8")
        if not (START in old and END in old) and not old.startswith(f"| {HEADS[0]} |"):
            parser.error(f"--markdown {given.markdown} has no {START} ... {END}: not overwritten")
    return given


def main(args: list[str] | None = None) -> None:
    """Print the ledger; exit 1 if anything differs from torch, 2 if the command makes no sense."""
    given = parsed(args)
    if given.zoo is not None:
        from .zoo import show

        sys.exit(0 if show(wide_console(), given.zoo or None) else 1)
    lines = audit(
        given.dtype,
        given.device,
        given.only,
        lambda pairs: track(pairs, "Comparing with torch", transient=True),
    )
    name = torch.cuda.get_device_name(given.device) if "cuda" in given.device else given.device
    title = f"torch {torch.__version__}, {name}, {given.dtype}"
    wide_console().print(table(lines, given.dtype, title))
    failures = [failure for line in lines for failure in line.failures]
    for failure in failures:
        print(failure)
    if given.json:
        written = json.dumps([asdict(line) for line in lines], indent=2)
        given.json.write_text(written + "\n", encoding="utf-8")
    if given.markdown:
        old = given.markdown.read_text(encoding="utf-8") if given.markdown.exists() else ""
        made = markdown(lines, given.dtype, title)
        new = renewed(old, "ledger", made.rstrip()) if START in old else made
        given.markdown.write_text(new, encoding="utf-8")
    print(worst(lines))
    print(total(lines))
    sys.exit(1 if failures else 0)
