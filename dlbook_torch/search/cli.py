"""The command line: ``dlbook-search --config configs/search/digits_mlp.yaml``."""

import argparse
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import TrialState
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..training.errors import UsageError, told
from .compare import compare, write
from .figure import ranges_figure
from .plan import Plan, read_plan
from .space import meaning
from .study import SAMPLERS, counts, open_storage, open_study, search
from .trial import Stop, rehearse

TRIALS = "trials"


def main(args: Sequence[str] | None = None) -> None:
    """Search, or compare ways of searching; ``args`` defaults to the command line.

    Raises: SystemExit with 2 if something given is wrong, 130 after Ctrl-C, 1 if no trial ended
        well.
    """
    given = _parser().parse_args(args)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with told():
        plan = read_plan(given.config, rounds=given.rounds, trials=given.trials)
        with Stop() as stop:
            if given.action == "compare":
                _compare(plan, given, stop)
            else:
                _search(plan, given, stop)
        if stop.number:
            print("stopped; the same command goes on", file=sys.stderr)
            sys.exit(128 + stop.number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="search", description="Search for hyper-parameters by rounds that narrow (notes 6.6)."
    )
    parser.add_argument("action", nargs="?", choices=("run", "compare"), default="run")
    parser.add_argument("--config", type=Path, required=True, help="configs/search/NAME.yaml")
    parser.add_argument("--rounds", type=_count, help="instead of the file's")
    parser.add_argument("--trials", type=_count, help="in a round, instead of the file's")
    parser.add_argument("--sampler", choices=SAMPLERS, default="narrowing")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn, not of the training")
    parser.add_argument("--jobs", type=_count, default=1, help="processes on this machine")
    parser.add_argument(
        "--storage",
        help="a URL such as postgresql://..., or a journal file on a shared disk; the same for"
        " every process of the study; default: an SQLite file in --out",
    )
    parser.add_argument("--out", type=Path, help="default: runs/search/NAME")
    parser.add_argument(
        "--patience",
        type=_seconds,
        default=60.0,
        help="a trial silent for so many seconds is lost and runs again; default: 60",
    )
    parser.add_argument("--studies", type=_count, default=10, help="of compare, for each sampler")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, got {text!r}")
    return value


def _search(plan: Plan, given: argparse.Namespace, stop: Stop) -> None:
    out = given.out or Path("runs/search") / plan.name
    if not given.worker:
        rehearse(plan)
    study = _study(plan, given, out)
    with _helpers(given, out, stop), _bar(plan, not given.worker) as tick:
        search(plan, study, out / TRIALS, stop, tick, given.patience)
    if not (stop.number or given.worker):
        conclude(plan, study, out)


def _study(plan: Plan, given: argparse.Namespace, out: Path) -> optuna.Study:
    if given.storage is None:
        out.mkdir(parents=True, exist_ok=True)
    where = given.storage or f"sqlite:///{(out / 'study.db').resolve()}"
    study = open_study(plan, open_storage(where), given.sampler, given.seed)
    if not study.get_trials(deepcopy=False) and any((out / TRIALS).glob("*")):
        raise UsageError(f"{out / TRIALS} has the trials of another study; give another --out")
    return study


@contextmanager
def _helpers(given: argparse.Namespace, out: Path, stop: Stop) -> Iterator[None]:
    """Inside, ``--jobs`` - 1 other processes work on the study; they are waited for."""
    command = [sys.executable, "-m", __spec__.name, "--worker", f"--config={given.config}"]
    names = ("rounds", "trials", "sampler", "seed", "storage", "patience")
    settings = {name: getattr(given, name) for name in names}
    command += [f"--{name}={value}" for name, value in settings.items() if value is not None]
    count = 0 if given.worker else given.jobs - 1
    helpers = [subprocess.Popen([*command, f"--out={out}"]) for _ in range(count)]
    try:
        yield
    finally:
        for helper in helpers:
            if stop.number == signal.SIGTERM:  # Ctrl-C reaches the whole group by itself
                helper.terminate()
            helper.wait()


@contextmanager
def _bar(plan: Plan, shown: bool) -> Iterator[Callable[[optuna.Study], None]]:
    """Show the trials done, the best so far and the time left."""
    columns = [
        TextColumn("trials"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as progress:
        task = progress.add_task("", total=plan.total)

        def tick(study: optuna.Study) -> None:
            trials = study.get_trials(deepcopy=False)
            done = sum(counts(trial) and trial.state.is_finished() for trial in trials)
            best = _best(study)
            text = f"best {plan.metric} {best.value:.4f}" if best else ""
            progress.update(task, completed=done, description=text)

        yield tick


def _best(study: optuna.Study) -> optuna.trial.FrozenTrial | None:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return study.best_trial if complete else None


def conclude(plan: Plan, study: optuna.Study, out: Path) -> None:
    """Print what was found, and write the best configuration and the picture of the ranges.

    Raises: SystemExit with 1 if no trial has a score.
    """
    trials = study.get_trials(deepcopy=False)
    failed = [t for t in trials if counts(t) and t.state == TrialState.FAIL]
    if failed:
        first = failed[0]
        print(f"{len(failed)} trials failed, number {first.number} by {first.user_attrs['error']}")
    best = _best(study)
    if best is None:
        print("error: no trial has a score", file=sys.stderr)
        sys.exit(1)
    lost = sum("instead_of" in t.user_attrs for t in trials)
    again = f", {lost} run again after they were lost or stopped" if lost else ""
    print(f"{sum(map(counts, trials))} trials{again}")
    print(f"best: number {best.number}, {plan.metric} {best.value:.4f} after {plan.epochs} epochs")
    Console(highlight=False).print(table(plan, study, best))
    picture = out / "ranges.png"
    ranges_figure(plan, study).savefig(picture, dpi=120)
    file = write_best(plan, best, out)
    board, best_file = (shlex.quote(str(path)) for path in (out / TRIALS, file))
    print(f"{picture}\ntensorboard --logdir {board}        (page HParams)")
    print(f"python scripts/train.py fit --config {best_file}")


def table(plan: Plan, study: optuna.Study, best: optuna.trial.FrozenTrial) -> Table:
    """Return for every parameter the best value and how much of the score it explains."""
    weights = importance(study)
    made = Table(box=box.SIMPLE_HEAD)
    made.add_column("parameter")
    made.add_column("best", justify="right")
    made.add_column("importance", justify="right")
    for name in plan.space:
        value = best.params[name]
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        made.add_row(name, text, f"{weights[name]:.0%}" if name in weights else "")
    return made


def importance(study: optuna.Study) -> dict[str, float]:
    """Return each parameter's share of the score's variance (fANOVA); nothing if none varies."""
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    try:
        return optuna.importance.get_param_importances(study, evaluator=evaluator)
    except (ValueError, RuntimeError):  # a single trial, or all scores alike
        return {}


def write_best(plan: Plan, best: optuna.trial.FrozenTrial, out: Path) -> Path:
    """Write the base with the best parameters, as ``train.py fit --config`` takes it."""
    file = out / f"{plan.name}_best.yaml"
    score = f"{plan.metric} {best.value:.4f} after {plan.epochs} epochs"
    changed = [f"#   {name}: {meaning(value)}" for name, value in best.params.items()]
    head = [
        f"# notes 6.6: the best of a search, number {best.number}: {score}.",
        f"#   python scripts/train.py fit --config {file}",
        "# Found:",
        *changed,
    ]
    settings = yaml.safe_dump(plan.configured(best.params), sort_keys=False)
    file.write_text("\n".join(head) + "\n" + settings, encoding="utf-8")
    return file


def _compare(plan: Plan, given: argparse.Namespace, stop: Stop) -> None:
    if given.studies < 2:
        raise UsageError("--studies 1: an interval needs at least 2")
    rehearse(plan)
    out = given.out or Path("runs/search") / f"{plan.name}_compare"
    columns: list[Any] = [
        TextColumn("studies"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("", total=given.studies)
        curves = compare(plan, given.studies, given.seed, stop, lambda: progress.advance(task))
    if len(curves["narrowing"]) > 1:
        page, picture = write(plan, curves, out)
        print(page.read_text(encoding="utf-8"))
        print(f"{page}\n{picture}")


if __name__ == "__main__":
    main()
