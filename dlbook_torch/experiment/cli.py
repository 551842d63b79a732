"""The command line of the experiments: run them, list them, report on them."""

import argparse
import json
import os
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from ..training.errors import UsageError, told
from .plan import FOLDER, Experiment, find, read

HELP = """\
Put claims of the notes to the test: an experiment is a YAML file in configs/experiments.

  python scripts/experiment.py init_relu                    run one, by name or by path
  python scripts/experiment.py all --resume                 run all that is not done yet
  python scripts/experiment.py list                         what there is, and what came out
  python scripts/experiment.py report                       claims.md, claims.html, contact sheet
  python scripts/experiment.py measure perceptron.learning gate=XOR seed=0     a run of a study

Every run keeps its result in runs/experiments/NAME/runs/; beside it the table runs.csv,
summary.json, figure.png, section.md, and board/, where TensorBoard lays the arms over each other.
Exit codes: 0 done, 1 runs failed, 2 something given is wrong, 130 Ctrl-C (go on with --resume).
"""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line ``args``, by default the process's own."""
    given = parser().parse_args(args)
    with told():
        try:
            sys.exit(_do(given))
        except KeyboardInterrupt:
            print("stopped; to go on: the same command with --resume", file=sys.stderr)
            raise


def parser() -> argparse.ArgumentParser:
    """What there is to say on the command line."""
    made = argparse.ArgumentParser(
        prog="experiment", description=HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "what", nargs="+", metavar="NAME", help="all, list, report, measure, or experiments"
    )
    made.add_argument("--seeds", type=int, help="how many, instead of the file's number")
    cores = os.cpu_count() or 1
    made.add_argument("--jobs", type=int, default=cores, help=f"processes; default: {cores}")
    made.add_argument("--resume", action="store_true", help="keep what is done, run the rest")
    made.add_argument(
        "--size", choices=("tiny", "small", "full"), default="small", help="default: small"
    )
    made.add_argument(
        "--library", choices=("dlbook", "torch"), default="dlbook", help="whose layers"
    )
    made.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option for every arm: --set trainer.accelerator=cuda",
    )
    made.add_argument(
        "--out", type=Path, default=Path("runs/experiments"), help="default: runs/experiments"
    )
    made.add_argument(
        "--markdown", type=Path, metavar="FILE", help="report: renew the table of claims in it"
    )
    made.add_argument("--dry-run", action="store_true", help="only print the command lines")
    return made


def _do(given: argparse.Namespace) -> int:
    command, *names = given.what
    if command == "measure":
        return _measure(names)
    if given.jobs < 1:
        raise UsageError(f"--jobs must be at least 1, got {given.jobs}")
    chosen = names if command in ("all", "list", "report") else given.what
    experiments = [_read(path, given) for path in find(chosen)]
    if not experiments:
        raise UsageError(f"there are no experiments in {FOLDER}")
    if command == "list":
        return _list(experiments, given.out)
    if command == "report":
        return _report(experiments, given)
    if command == "all":
        experiments = [e for e in experiments if e.library == "dlbook" or e.has_twin]
    return _run(experiments, given)


def _read(path: Path, given: argparse.Namespace) -> Experiment:
    from .measure import arguments

    experiment = read(path, given.size, given.library, given.seeds, arguments(given.set))
    if given.library == "torch" and not experiment.has_twin and given.what[0] != "all":
        raise UsageError(f"{path}: the study {experiment.study} has no twin in torch")
    return experiment


def _measure(words: Sequence[str]) -> int:
    from .measure import arguments, call
    from .plan import _known, parameters

    if not words:
        raise UsageError("measure what? for example: measure perceptron.learning gate=XOR seed=0")
    options = arguments(words[1:])
    _known("", options, set(parameters(words[0])))
    try:
        numbers = call(words[0], options)
    except (UsageError, KeyboardInterrupt):
        raise
    except Exception as error:  # a run that fails, as it is one among many
        print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(numbers, indent=1))
    return 0


def _run(experiments: Sequence[Experiment], given: argparse.Namespace) -> int:
    commands = [run for experiment in experiments for run in experiment.runs()]
    if given.dry_run:
        print(*commands, sep="\n")
        return 0
    from .report import write
    from .results import collect
    from .runner import run_all

    failures = run_all(experiments, given.out, given.jobs, given.resume)
    for experiment in experiments:
        results = collect(experiment, given.out)
        if not any(results.records.values()):
            continue
        picture = write(results, given.out / experiment.folder)
        print(f"{experiment.name}: {results.verdict}. {experiment.claim}")
        for outcome in results.outcomes:
            print(
                f"  {outcome.holds:5} {outcome.comparison}: {outcome.mean:+.4g} "
                f"({outcome.low:.4g} to {outcome.high:.4g})"
            )
        print(f"  {picture}")
    if len(experiments) == 1:
        board = given.out / experiments[0].folder / "board"
        print(f"tensorboard --logdir {shlex.quote(str(board))}")
    return 1 if failures else 0


def _list(experiments: Sequence[Experiment], out: Path) -> int:
    from .results import collect

    made = Table(box=box.SIMPLE_HEAD)
    for head in ("notes", "name", "claim", "runs", "verdict"):
        made.add_column(head, no_wrap=head in ("notes", "name"))
    for experiment in experiments:
        results = collect(experiment, out)
        done = sum(map(len, results.records.values()))
        total = len(experiment.arms) * len(experiment.seeds)
        verdict = results.verdict if results.complete else ""
        made.add_row(
            ", ".join(experiment.sections),
            experiment.name,
            experiment.claim,
            f"{done}/{total}",
            verdict,
        )
    Console().print(made)
    return 0


def _report(experiments: Sequence[Experiment], given: argparse.Namespace) -> int:
    """Write claims.md, claims.html and the contact sheet of all that has been run whole."""
    from .gallery import SHEET, contact_sheet
    from .report import page, renew, table, write
    from .results import Results, collect

    out = given.out
    found = [r for r in (collect(e, out) for e in experiments) if r.complete]
    missing = len(experiments) - len(found)
    if not found:
        raise UsageError(
            f"nothing in {out} has been run whole; run: python scripts/experiment.py all"
        )
    twins: dict[str, Results] = {}
    for results in found:
        if (ours := results.experiment).has_twin and ours.library == "dlbook":
            twin = collect(replace(ours, library="torch"), out)
            twins |= {ours.name: twin} if twin.complete else {}
    pictures = {
        r.experiment.name: [
            write(version, out / version.experiment.folder)
            for version in (r, twins.get(r.experiment.name))
            if version
        ]
        for r in found
    }
    made = table(found, twins)
    (out / "claims.md").write_text(made + "\n", encoding="utf-8")
    (out / "claims.html").write_text(page(found, twins, pictures), encoding="utf-8")
    (out / SHEET).write_bytes(contact_sheet([p[0] for p in pictures.values()]))
    if given.markdown:
        renew(given.markdown, made)
    counts = Counter(results.verdict for results in found)
    print(
        f"{len(found)} claims: {', '.join(f'{n} {word}' for word, n in sorted(counts.items()))}"
        + f"; {missing} not run whole" * bool(missing)
    )
    same = sum(
        twins[r.experiment.name].verdict == r.verdict for r in found if r.experiment.name in twins
    )
    if twins:
        print(f"with torch's layers and rules {same} of {len(twins)} have the same verdict")
    print(f"{sum(r.seconds for r in [*found, *twins.values()]) / 60:.0f} minutes of runs")
    print(*(out / name for name in ("claims.md", "claims.html", SHEET)), sep="\n")
    return 0
