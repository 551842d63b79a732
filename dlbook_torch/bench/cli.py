"""The command line of the measurements."""

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from ..pages import marks, renewed
from ..parity.ledger import wide_console

Figures = dict[str, Any]
Result = tuple[list[Figures], Table]
DTYPES = ("float32", "bfloat16", "float16", "float64")


def main(args: Sequence[str] | None = None) -> None:
    """Parse, measure and print tables; ``args`` defaults to the command line."""
    given = parsed(args)
    console, found = wide_console(), {}
    for subject, measure in given.measure.items():
        try:
            found[subject], table = measure(given)
        except (OSError, RuntimeError, ValueError) as error:  # of data, of a device that is not
            given.parser.error(str(error))
        console.print(table)
        if given.markdown:
            _write(given.markdown, subject, table)
    if given.json:
        from .machine import machine

        written = {"machine": machine(given.device)} | found
        given.json.write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")


def parsed(args: Sequence[str] | None) -> argparse.Namespace:
    """The command line; exits with 2 if it makes no sense here."""
    parser = argparse.ArgumentParser(
        description="Measure ours against torch: ratios of times that were taken in turn, below 1 "
        "where ours is faster."
    )
    commands = parser.add_subparsers(dest="subject", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--rounds", type=_rounds, help="how often each is timed")
    common.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    common.add_argument(
        "--markdown", type=Path, metavar="FILE", help="put the tables between <!-- bench-... -->"
    )
    common.set_defaults(device="cpu", compile=False, dtype="float32", names=[], data_dir=None)
    common.set_defaults(steps=None, figure=None)

    def add(name: str, text: str, *measures: Callable[..., Result]) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, parents=[common])
        subjects = {m.__name__.strip("_"): m for m in measures}
        command.set_defaults(measure=subjects, parser=command)
        return command

    layers = add("layers", "layers, forward and backward, and their memory", _layers)
    rules = add("rules", "one step of the update rules", _rules)
    data = add("data", "images per second of the loaders", _data)
    runs = add("runs", "whole trainings on MNIST, against other ways to them", _runs)
    seeds = add("seeds", "accuracy and seconds of a configuration over its seeds", _seeds)
    everything = add("all", "layers, rules, runs and data", _layers, _rules, _runs, _data)
    add("monitor", "what the monitors of a training cost", _monitor)
    growth = add("growth", "time and memory as the work grows", _growth)
    growth.add_argument("--figure", type=Path, metavar="FILE", help="draw them, as PNG")
    overhead = add("overhead", "what the training command adds to a step", _overhead)
    memory = add("memory", "whether a long training keeps its memory", _memory)
    for command in (layers, everything):
        command.add_argument("--device", default="cpu", help="cpu, cuda or mps; default: cpu")
        command.add_argument("--dtype", choices=DTYPES, default="float32", help="default: float32")
    for command in (layers, rules, everything):
        command.add_argument("--compile", action="store_true", help="torch.compile them as well")
    for command, what in ((layers, "LAYER"), (rules, "RULE"), (runs, "RUN")):
        command.add_argument("names", nargs="*", metavar=what, help="default: all")
    seeds.add_argument("config", help="such as configs/ch07/mnist_fast.yaml")
    runs.add_argument("--steps", type=_rounds, help="at most so many of each; default: an epoch")
    for command in (data, runs, seeds, overhead, everything):
        command.add_argument("--data-dir", help="folder that holds MNIST/raw; default: DLBOOK_DATA")
    memory.add_argument("--steps", type=_steps, default=20_000, help="default: 20000")
    memory.add_argument("--config", help="run to make; default: configs/ch07/digits_convnet.yaml")

    given = parser.parse_args(args)
    _check_files(given)
    return given


def _check_files(given: argparse.Namespace) -> None:
    """Before anything is measured: an hour may be lost."""
    for option, file in (
        ("--json", given.json),
        ("--markdown", given.markdown),
        ("--figure", given.figure),
    ):
        if file and (file.is_dir() or not file.parent.is_dir()):
            given.parser.error(f"{option} {file}: there can be no such file")
    if given.markdown and given.markdown.exists():
        page = given.markdown.read_text(encoding="utf-8")
        for subject in given.measure:
            try:
                renewed(page, f"bench-{subject}", "")
            except ValueError as error:
                given.parser.error(f"--markdown {given.markdown}: {error}")


def _write(file: Path, subject: str, table: Table) -> None:
    """Put a table between its markers; a file that does not exist is made."""
    part = f"bench-{subject}"
    page = file.read_text(encoding="utf-8") if file.exists() else ""
    if marks(part)[0] not in page:
        page += "{}\n{}\n".format(*marks(part))
    file.write_text(renewed(page, part, f"\n{markdown(table)}"), encoding="utf-8")


def markdown(table: Table) -> str:
    """A table of the terminal as one of a page, its title and caption below it."""
    rows = zip(*(map(str, column.cells) for column in table.columns), strict=True)
    heads = [str(column.header) for column in table.columns]
    rules = ["---:" if column.justify == "right" else "---" for column in table.columns]
    lines = ["| " + " | ".join(cells) + " |" for cells in (heads, rules, *rows)]
    below = "; ".join(str(text) for text in (table.title, table.caption) if text)
    return "\n".join([*lines, "", f"({below}.)", ""])


def _layers(given: argparse.Namespace) -> Result:
    import torch  # takes seconds, and not for --help

    from . import layers

    torch.set_num_threads(1)
    rows = layers.rows()
    if unknown := sorted(set(given.names) - {row.case.name for row in rows}):
        given.parser.error(f"no layer {', '.join(unknown)}")
    chosen = [row for row in rows if not given.names or row.case.name in given.names]
    rounds = given.rounds or 15
    dtype = getattr(torch, given.dtype)
    made = layers.measure(chosen, rounds, dtype, given.device, given.compile)
    found = list(_watched(made, len(chosen), "Timing layers"))
    return found, layers.table(found, rounds, given.dtype, given.device)


def _rules(given: argparse.Namespace) -> Result:
    from . import optim

    if unknown := sorted(set(given.names) - set(optim.RULES)):
        given.parser.error(f"no rule {', '.join(unknown)}: choose from {', '.join(optim.RULES)}")
    rounds, names = given.rounds or 21, given.names or optim.RULES
    total = sum(len(optim.forms(name, given.compile)) for name in names)
    made = optim.measure(names, rounds, given.compile)
    found = list(_watched(made, total, "Timing rules"))
    return found, optim.table(found, rounds)


def _runs(given: argparse.Namespace) -> Result:
    from . import runs

    if unknown := sorted(set(given.names) - set(runs.SUBJECTS)):
        given.parser.error(f"no run {', '.join(unknown)}: choose from {', '.join(runs.SUBJECTS)}")
    rounds, names = given.rounds or 3, given.names or list(runs.SUBJECTS)
    made = runs.measure(names, rounds, given.data_dir, given.steps)
    found = list(_watched(made, runs.processes(names, rounds), "Training"))
    return found, runs.table(found, rounds)


def _seeds(given: argparse.Namespace) -> Result:
    from . import runs

    made = runs.seeds(given.config, given.rounds or 10, given.data_dir)
    found = list(_watched(made, given.rounds or 10, "Training"))
    return found, runs.seeds_table(found)


def _data(given: argparse.Namespace) -> Result:
    from . import data

    rounds = given.rounds or 3
    found = data.measure(given.data_dir, rounds)
    return found, data.table(found, rounds)


def _monitor(given: argparse.Namespace) -> Result:
    from . import monitor

    found = monitor.measure(given.rounds or 5)
    return found, monitor.table(found)


def _overhead(given: argparse.Namespace) -> Result:
    from . import overhead

    found = overhead.measure(data_dir=given.data_dir)
    return found, overhead.table(found)


def _growth(given: argparse.Namespace) -> Result:
    from . import growth

    rounds = given.rounds or 7
    made = _watched(growth.measure(rounds), len(growth.points()), "Growing")
    found = [figures for point in made for figures in point]
    if given.figure:
        growth.draw(found).savefig(given.figure, dpi=growth.DPI)
    return found, growth.table(found, rounds)


def _memory(given: argparse.Namespace) -> Result:
    from . import memory

    config = given.config or memory.CONFIG
    samples, size = memory.watch(given.steps, config)
    found = [{"step": step, "mb": mb} for step, mb in samples]
    return found, memory.table(samples, size, given.steps, config)


def _watched(found: Iterable[Any], total: int, text: str) -> Iterable[Any]:
    """With a progress bar, on the error stream: the tables may go into a file."""
    return track(found, text, total, console=Console(stderr=True), transient=True)


def _rounds(text: str, least: int = 1) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"must be a whole number from {least}, got {text}")
    return int(text)


def _steps(text: str) -> int:
    return _rounds(text, 20)  # of fewer there is no twentieth
