"""Runs in a file: one JSON object a line, compressed, kept from one call to the next."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from .settings import Config

Run = dict[str, Any]
Plan = Mapping[str, tuple[str, Config]]


def load(path: Path) -> list[Run]:
    """The runs of a file; what an interruption has left of its last line is dropped.

    Raises: OSError for a file that cannot be read, or is none of ours.
    """
    found: list[Run] = []
    if not path.exists():
        return found
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            found.extend(json.loads(line) for line in lines)
    except gzip.BadGzipFile:
        if not found:
            raise
        save(path, found)
    except (EOFError, zlib.error, ValueError):
        save(path, found)
    return found


def save(path: Path, runs: Iterable[Run]) -> None:
    """Write all runs anew."""
    new = path.with_suffix(".new")
    with gzip.open(new, "wt", encoding="utf-8") as file:
        for run in runs:
            file.write(_line(run))
    new.replace(path)


def append(path: Path, run: Run) -> None:
    """Add one run; of one that is cut short, :func:`load` drops the rest."""
    with gzip.open(path, "at", encoding="utf-8") as file:
        file.write(_line(run))


def _line(run: Run) -> str:
    return json.dumps(run, separators=(",", ":"), allow_nan=False) + "\n"


def current(runs: Iterable[Run], plan: Plan) -> list[Run]:
    """Those that have the settings that the plan asks for, or are not asked for."""
    wanted = {name: json.loads(json.dumps(c.as_dict())) for name, (_, c) in plan.items()}
    return [run for run in runs if wanted.get(run["id"], run["config"]) == run["config"]]


def generated(plan: Plan, jobs: int = 1) -> Iterator[Run]:
    """Train what is planned, in ``jobs`` processes of one thread each."""
    tasks = [(label, c, name) for name, (label, c) in plan.items()]
    if jobs == 1:
        yield from map(_train, tasks)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(_train, tasks)


def _train(task: tuple[str, Config, str]) -> Run:
    import torch

    from .seeded_run import train

    torch.set_num_threads(1)
    return train(*task)


def complete(
    path: Path,
    plan: Plan,
    jobs: int = 1,
    watch: Callable[[Iterable[Run], int], Iterable[Run]] = lambda runs, total: runs,
) -> list[Run]:
    """Load the file, train what is missing, and add every run as soon as it is there.

    Runs with other settings than planned are dropped from the file, those not planned are kept.
    """
    old = load(path)
    kept = current(old, plan)
    if len(kept) < len(old):
        save(path, kept)
    runs = [run for run in kept if run["id"] in plan]
    path.parent.mkdir(parents=True, exist_ok=True)
    there = {run["id"] for run in runs}
    rest = {name: entry for name, entry in plan.items() if name not in there}
    for run in watch(generated(rest, jobs), len(rest)):
        append(path, run)
        runs.append(run)
    order = {name: i for i, name in enumerate(plan)}
    return sorted(runs, key=lambda run: order[run["id"]])
