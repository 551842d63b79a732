"""The command ``dlbook-diagnose``: say what is wrong with the runs in any training log."""

import argparse
import io
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

EPILOG = """\
It reads TensorBoard folders (sub-runs are put together), Lightning metrics.csv, Keras CSVLogger,
Ultralytics results.csv, other CSV, and JSON (rows, lists by name, Keras history, Hugging Face
trainer_state.json).

exit code: 0 nothing worse than a notice; 1 a warning or an error was found; 2 something could not
be read.

--json prints {"runs": [...]}, one entry per run: path, run, format, headline, findings (headline
first; each with id, severity, confidence, sentence, evidence, numbers, since, remedies),
best_epoch, trends, epochs, loss (its tags), notes; where the loss has parts (box, class), also
components with the same fields, and the component of each finding. Epochs count from 0 there. What
cannot be read has an entry with path and error. The ids are those of
dlbook_torch.diagnostics.CATALOGUE.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="dlbook-diagnose",
        description="Say what is wrong with training runs, from their logs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("paths", nargs="+", type=Path, metavar="PATH", help="a log, or a folder of logs")
    add("--train", metavar="TAG", help="the training loss, instead of the one found by name")
    add("--val", metavar="TAG", help="the validation loss")
    add("--measured", action="store_true", help="the training loss was measured in eval mode")
    add("--classes", type=_classes, metavar="N", help="number of classes: guessing has loss ln N")
    add("--baseline", type=_positive, metavar="LOSS", help="loss of guessing, where known")
    add("--target-accuracy", type=_share, metavar="A", help="accuracy that is good enough, 0 to 1")
    add("--attributed", action="store_true", help="also remedies that the notes contradict")
    add("--json", action="store_true", help="print one JSON object instead of the report")
    add("--html", type=Path, metavar="FILE", help="write the report as one page with the curves")
    add("--plot", type=Path, metavar="FILE.png", help="draw the curves with what was found")
    return made


def main(args: Sequence[str] | None = None) -> int:
    """Diagnose and return the exit code; ``args`` defaults to the command line."""
    command = parser()
    options = command.parse_args(args)
    if options.plot and options.plot.suffix.lower() not in (".png", ".pdf", ".svg"):
        command.error(f"argument --plot: {options.plot} must end in .png, .pdf or .svg")
    for option, target in (("--html", options.html), ("--plot", options.plot)):
        if target and any(_same(target, path) for path in options.paths):
            command.error(f"argument {option}: {target} is a log that is to be read")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # of characters that a terminal does not know
    try:
        return _run(options)
    except BrokenPipeError:  # the reader of the output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(options: argparse.Namespace) -> int:
    from .case import Case, Failure, examine  # not before --help

    cases = [
        case
        for path in options.paths
        for case in examine(
            path,
            train=options.train,
            val=options.val,
            target_accuracy=options.target_accuracy,
            classes=options.classes,
            baseline=options.baseline,
            measured=options.measured,
        )
    ]
    good = [case for case in cases if isinstance(case, Case)]
    code = 0 if all(case.healthy for case in good) else 1
    for case in cases:
        if isinstance(case, Failure):
            print(case.error, file=sys.stderr)
            code = 2
    if options.json:
        runs = [case.as_dict() for case in cases]
        print(json.dumps({"runs": runs}, indent=2, allow_nan=False, default=float))
    elif good:
        from rich.console import Console

        from .show import show

        show(cases, Console(highlight=False, soft_wrap=False), options.attributed)
    sys.stdout.flush()
    return code if _written(options, cases) else 2


def _written(options: argparse.Namespace, cases: Sequence) -> bool:
    """Write the files that were asked for; False if one cannot be written."""
    from .case import Case

    good = [case for case in cases if isinstance(case, Case)]
    jobs: list[tuple[Path, Callable[[], bytes]]] = []
    if options.html:
        from .page import page

        jobs.append(
            (options.html, lambda: page(cases, options.attributed).encode(errors="replace"))
        )
    if options.plot and good:
        from .plot import plot

        jobs.append((options.plot, lambda: plot(good, options.plot.suffix[1:].lower())))
    for path, make in jobs:
        try:
            write(path, make())
        except OSError as error:
            print(f"{path} cannot be written: {error.strerror or error}.", file=sys.stderr)
            return False
        print(path, file=sys.stderr)
    return True


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path = path.resolve()  # what a link points at is replaced, not the link
    if path.exists() and not path.is_file():
        path.write_bytes(content)  # a pipe, or a folder, which is an OSError
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _same(a: Path, b: Path) -> bool:
    return a.exists() and b.exists() and a.samefile(b)


def _number(text: str, fits: Callable[[float], bool], what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not fits(value):
        raise argparse.ArgumentTypeError(f"must be {what}, got {text}")
    return value


def _classes(text: str) -> int:
    return int(_number(text, lambda x: x >= 2 and x % 1 == 0, "a whole number from 2"))


def _positive(text: str) -> float:
    return _number(text, lambda x: 0 < x < math.inf, "a number above 0")


def _share(text: str) -> float:
    return _number(text, lambda x: 0 < x <= 1, "above 0 and at most 1")
