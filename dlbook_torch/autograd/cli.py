"""The command line of the worked example."""

import argparse
from collections.abc import Sequence
from math import inf

from rich import box
from rich.console import Console
from rich.table import Table

from .example import ETA, Row, errors, table

STYLES = {"wrong": "red", "from rounded factors": "yellow"}
SHOWN = (0, 1, 2, 3, 10, 50, 100, 200)


def rate(text: str) -> float:
    """A learning rate from the command line."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < inf:
        raise argparse.ArgumentTypeError(f"a rate must be a positive number, got {text!r}")
    return value


def count(text: str) -> int:
    """A number of steps from the command line."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"steps must be a whole number from 1 on, got {text!r}")
    return value


def drawn(rows: Sequence[Row], eta: float) -> Table:
    """The numbers for the terminal."""
    made = Table(title=f"Chapter 5, worked example, eta = {eta:g}", box=box.SIMPLE_HEAD)
    made.add_column("quantity")
    made.add_column("exact", justify="right")
    made.add_column("notes", justify="right")
    made.add_column("verdict")
    for row in rows:
        cells = row.name, f"{row.exact:.10f}", row.printed, row.verdict
        made.add_row(*cells, style=STYLES.get(row.verdict))
    return made


def explained(rows: Sequence[Row]) -> list[str]:
    """What shows the digits of the wrong numbers, one block per mistake."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for slip, value in row.slips.items():
            found.setdefault(slip, []).append(f"  {row.name} = {value:.10f}")
    return [line for slip, values in found.items() for line in (f"{slip}:", *values)]


def main(args: Sequence[str] | None = None) -> None:
    """Print the example; ``args`` defaults to the command line."""
    parser = argparse.ArgumentParser(
        description="Recompute chapter 5's worked example beside the numbers in the notes."
    )
    parser.add_argument(
        "--eta", type=rate, default=ETA, help="learning rate; default: 1, as in the notes' numbers"
    )
    parser.add_argument(
        "--steps", type=count, default=200, help="how long to go on training; default: 200"
    )
    options = parser.parse_args(args)
    rows, course = table(options.eta), errors(options.eta, options.steps)
    console = Console()
    console.print(drawn(rows, options.eta))
    print(f"What gives the wrong numbers (eta = {ETA:g}):", *explained(rows), sep="\n")
    print(f"\n{'steps':>9}  |y5 - t|")
    for n in sorted({n for n in SHOWN if n < options.steps} | {options.steps}):
        print(f"{n:9}  {course[n]:.4g}")
