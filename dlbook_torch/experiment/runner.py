"""Run experiments: several runs at a time; what is done is kept, a failure stops nothing else."""

import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..training.errors import UsageError
from .measure import load, measure, save
from .plan import Experiment, Run

RUNS = "runs"


@dataclass(frozen=True)
class Job:
    """A run, the folder of its experiment and the file of its result."""

    run: Run
    folder: Path

    @property
    def file(self) -> Path:
        """``runs/<arm>/<seed>.json`` in the folder of the experiment."""
        return self.folder / RUNS / slug(self.run.arm) / f"{self.run.seed}.json"

    @property
    def done(self) -> bool:
        """Whether there is a result of just this command."""
        record = load(self.file)
        return bool(record and record["command"] == list(self.run.command) and record["numbers"])


def slug(text: str) -> str:
    """A name for a file: ``lr=0.1, relu`` becomes ``lr=0.1_relu``."""
    return re.sub(r"[^\w=.+-]+", "_", text).strip("_.") or "_"


def jobs_of(experiments: Sequence[Experiment], out: Path) -> list[Job]:
    """All runs, experiment by experiment.

    Raises: UsageError if two arms would share a file.
    """
    for experiment in experiments:
        slugs = {slug(arm): arm for arm in experiment.arms}
        if len(slugs) < len(experiment.arms):
            twice = next(arm for arm in experiment.arms if slugs[slug(arm)] != arm)
            raise UsageError(
                f"{experiment.name}: the arms {twice!r} and {slugs[slug(twice)]!r} "
                "would have the same file"
            )
    return [Job(run, out / e.folder) for e in experiments for run in e.runs()]


def run_all(
    experiments: Sequence[Experiment],
    out: Path,
    jobs: int = 1,
    resume: bool = False,
    console: Console | None = None,
) -> list[str]:
    """Run what is to be run, and return a sentence for every failure.

    Args:
        experiments: all of them; their runs are one queue.
        out: every experiment gets a folder in it.
        jobs: processes; with 1 the runs take place in this one.
        resume: keep results of the same command; without it, all is measured anew.
        console: where the progress is shown.
    """
    console = console or Console(stderr=True)
    if not resume:
        for experiment in experiments:
            shutil.rmtree(out / experiment.folder, ignore_errors=True)
    queue = jobs_of(experiments, out)
    waiting = [job for job in queue if not job.done]
    if len(waiting) < len(queue):
        console.print(f"{len(queue) - len(waiting)} of {len(queue)} runs are done already")
    failures = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console
    ) as progress:
        bar = progress.add_task("runs", total=len(queue), completed=len(queue) - len(waiting))
        for job, error in _results(waiting, min(jobs, len(waiting))):
            progress.update(bar, advance=1, description=f"{job.run.experiment}: {job.run.arm}")
            if error:
                failures.append(
                    f"{job.run.experiment}, {job.run.arm}, seed {job.run.seed}: {error}"
                )
                console.print(f"failed: {failures[-1]}\n  {job.run}", markup=False)
    return failures


def _results(jobs: Sequence[Job], processes: int) -> Iterator[tuple[Job, str | None]]:
    if processes <= 1:
        yield from ((job, work(job)) for job in jobs)
    else:
        yield from _spread(list(jobs), processes)


def _spread(jobs: list[Job], processes: int) -> Iterator[tuple[Job, str | None]]:
    """Share the jobs among processes; one that dies is replaced, its job is a failure.

    A few jobs are given out at a time: when a process dies the pool cannot tell whose it was, so
    every job that was out is tried once more, alone.
    """
    alone: list[Job] = []
    while jobs or alone:
        at_once = 1 if alone else processes
        pool = ProcessPoolExecutor(at_once, mp_context=get_context("spawn"), initializer=_prepare)
        out: dict[Future[str | None], Job] = {}
        source = alone if alone else jobs
        trying = bool(alone)
        try:
            while source or out:
                while source and len(out) < at_once and not (trying and out):
                    job = source.pop(0)
                    out[pool.submit(work, job)] = job
                for future in wait(out, return_when=FIRST_COMPLETED).done:
                    error = future.result()
                    yield out.pop(future), error
        except BrokenProcessPool:
            if trying:
                (job,) = out.values()
                error = "the process died"
                _record(job, None, 0.0, error)
                yield job, error
            else:
                alone += out.values()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _prepare() -> None:
    """A worker has one thread: there are as many workers as cores are to be used."""
    os.environ["OMP_NUM_THREADS"] = "1"  # torch, not imported yet, reads it


def work(job: Job) -> str | None:
    """Do one job and keep its result; return what went wrong, if anything did."""
    since, numbers, error = time.perf_counter(), None, None
    try:
        numbers = measure(job.run.command)
    except Exception as problem:  # whatever it is, it must not stop the other runs
        error = (
            f"{type(problem).__name__}: {problem}"
            if not isinstance(problem, UsageError)
            else str(problem)
        )
    _record(job, numbers, time.perf_counter() - since, error)
    return error


def _record(job: Job, numbers: Mapping[str, Any] | None, seconds: float, error: str | None) -> None:
    save(
        job.file,
        {
            "arm": job.run.arm,
            "seed": job.run.seed,
            "command": list(job.run.command),
            "wall_seconds": seconds,
            "error": error,
            "numbers": numbers,
        },
    )
