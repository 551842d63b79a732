"""Does a run survive a kill? Trainings are killed at random moments, resumed, and compared.

A run on the CPU is a function of its configuration: one that was killed and resumed has to end
with the same bits as one that was not, in weights, optimizer and scheduler state, curves, monitors
and random states.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.progress import track

CONFIG: dict[str, Any] = {  # everything that has a state: dropout, augmentation, a schedule
    "trainer": {"max_epochs": 6, "enable_progress_bar": False, "accelerator": "cpu"},
    "model": {
        "class_path": "dlbook_torch.training.Classifier",
        "init_args": {
            "net": {
                "class_path": "dlbook_torch.models.MLP",
                "init_args": dict(
                    in_features=64, out_features=10, hidden=[30], batch_norm=True, dropout=0.3
                ),
            },
            "optimizer": {"class_path": "dlbook_torch.optim.Adam", "init_args": {"lr": 0.01}},
            "lr_scheduler": {
                "class_path": "torch.optim.lr_scheduler.OneCycleLR",
                "init_args": {"max_lr": 0.02, "total_steps": None},
            },
            "lr_interval": "step",
        },
    },
    "data": {
        "class_path": "dlbook_torch.data.Digits",
        "init_args": dict(batch_size=20, subset=200, augment="shift"),
    },
}
OUTSIDE = {  # times and places, not state
    *("seconds", "dirpath", "best_model_path", "last_model_path", "best_k_models"),
    "kth_best_model_path",
}


def train(folder: str, args: Sequence[str]) -> None:
    """Train in ``folder``, in a process of its own; its exit code is the command line's."""
    from ..training.cli import main

    os.chdir(folder)
    with open(os.devnull, "w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        main(["fit", "--config=configs/run.yaml", *args])


def start(folder: Path, *args: str) -> Any:
    """Start a training as a process, without the seconds that its imports take."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["dlbook_torch.training.run"])
    process = context.Process(target=train, args=(str(folder), args), daemon=True)
    process.start()
    return process


def workplace(folder: Path, config: Mapping[str, Any] = CONFIG) -> Path:
    """A folder with the configuration in it."""
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "run.yaml").write_text(yaml.safe_dump(dict(config)))
    return folder


def last(folder: Path) -> dict[str, Any]:
    """The checkpoint of the only run in ``folder``."""
    (path,) = folder.glob("runs/**/last.ckpt")
    return torch.load(path, weights_only=True)


def parts(state: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested states with its name, but for times and places."""
    if isinstance(state, Mapping):
        for key, value in state.items():
            if key not in OUTSIDE:
                yield from parts(value, f"{name}.{key}")
    elif isinstance(state, list | tuple):
        for i, value in enumerate(state):
            yield from parts(value, f"{name}.{i}")
    else:
        yield name, state


def differences(a: Any, b: Any) -> list[str]:
    """Names of the values that are not the same to the last bit."""
    first, second = dict(parts(a)), dict(parts(b))
    names = list(dict.fromkeys([*first, *second]))
    return [n for n in names if n not in first or n not in second or not same(first[n], second[n])]


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal to the last bit; NaN is NaN."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        return a.numpy().tobytes() == b.numpy().tobytes()
    return type(a) is type(b) and (a == b or (a != a and b != b))


def whole(folder: Path, config: Mapping[str, Any] = CONFIG) -> tuple[dict[str, Any], float]:
    """Train without a kill; return the last state and how long a training takes."""
    start(workplace(folder / "warm", config)).join()  # fills caches that later runs find
    process, since = start(workplace(folder / "whole", config)), time.monotonic()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the training without a kill ended with exit code {process.exitcode}")
    return last(folder / "whole"), time.monotonic() - since


def kill_and_resume(
    folder: Path, moments: Sequence[float], number: int = signal.SIGKILL
) -> tuple[dict[str, Any], str]:
    """Kill a training at each of the moments, seconds after its start, and let it end at last.

    Returns: its last state, and where the first kill hit it.
    """
    workplace(folder)
    where = ""
    for moment in moments:
        process = start(folder, *way_on(folder))
        process.join(moment)
        alive = process.is_alive()
        if alive:
            os.kill(process.pid, number)
            process.join()
        where = where or (place(folder) if alive else "after its end")
    process = start(folder, *way_on(folder))
    process.join()
    if process.exitcode:
        raise RuntimeError(f"the resumed training ended with exit code {process.exitcode}")
    return last(folder), where


def way_on(folder: Path) -> tuple[str, ...]:
    """The option that resumes; without any checkpoint the run starts anew, in the same folder."""
    return ("--ckpt_path=last",) if list(folder.glob("runs/**/last.ckpt")) else ()


def place(folder: Path) -> str:
    """What a killed run left behind."""
    if list(folder.glob("runs/**/*.unfinished")):
        return "writing a checkpoint"
    return "with a checkpoint" if way_on(folder) else "before the first checkpoint"


def kills(
    n: int, seed: int = 0, shown: Callable[[Sequence[int]], Any] = lambda runs: runs
) -> tuple[Counter[str], list[str]]:
    """Kill n trainings; count where they were hit, and list what differs afterwards."""
    dice, hit, failures = random.Random(seed), Counter[str](), []
    with tempfile.TemporaryDirectory() as name:
        reference, seconds = whole(Path(name))
        for i in shown(range(n)):
            moments = [dice.uniform(0, seconds) for _ in range(dice.choice((1, 1, 2)))]
            try:
                state, where = kill_and_resume(Path(name, str(i)), moments)
            except (RuntimeError, ValueError) as error:
                failures.append(f"kill {i} at {moments}: {error}")
                continue
            hit[where] += 1
            if found := differences(reference, state):
                failures.append(f"kill {i} at {moments}, {where}: {', '.join(found[:5])} differ")
    return hit, failures


def main(args: Sequence[str] | None = None) -> None:
    """Kill, resume, compare; exit code 1 if one run did not survive."""
    parser = argparse.ArgumentParser(prog="kills", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20, help="trainings to kill; default: 20")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    given = parser.parse_args(args)
    if given.kills < 1:
        parser.error(f"argument --kills: must be at least 1, got {given.kills}")
    console = Console()
    hit, failures = kills(
        given.kills, given.seed, lambda runs: track(runs, "killing", console=console)
    )
    for failure in failures:
        console.print(failure, markup=False)
    console.print(f"{given.kills - len(failures)} of {given.kills} survived, equal to the last bit")
    console.print(", ".join(f"hit {where}: {n}" for where, n in hit.most_common()))
    sys.exit(1 if failures else 0)
