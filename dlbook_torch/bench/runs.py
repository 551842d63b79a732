"""Whole trainings on MNIST against others' ways to the same network, each in its own process.

The contestants of a subject take turns, process after process, so that what disturbs the machine
disturbs all alike; ratios are formed within a round. Every process trains with one thread and
tells apart its start-up (imports, data), its training steps, and the rest (validation, test,
pages, checkpoints).
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from rich.table import Table

Figures = dict[str, Any]
EPOCH = 550  # steps of 100 images, of the 55000 that are trained on
# What glibc gives back to the system after every step comes again page by page, at a price.
KEEP = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(256 << 20),
}


@dataclass(frozen=True)
class Peer:
    """Who trains, and for how long.

    Args:
        name: in the table.
        args: of ``python -m dlbook_torch.bench.peers``.
        steps: that are timed, at most an epoch.
        epoch: steps of an epoch.
        environment: variables of its process.
    """

    name: str
    args: tuple[str, ...]
    steps: int = EPOCH
    epoch: int = EPOCH
    environment: Mapping[str, str] = field(default_factory=dict)


def peers(subject: str) -> list[Peer]:
    """Ours, the training command first, and torch's layers in the plainest loop."""
    ours = [
        Peer("ours, training command", ("command", subject)),
        Peer("ours, plain loop", ("loop", subject, "dlbook")),
    ]
    return [*ours, Peer("torch, plain loop", ("loop", subject, "torch"))]


SUBJECTS: dict[str, list[Peer]] = {
    "convnet": [
        *peers("convnet"),
        Peer("ours, training command, memory kept", ("command", "convnet"), environment=KEEP),
        Peer("torch, memory kept", ("loop", "convnet", "torch"), environment=KEEP),
        Peer("torch, ReLU before pooling", ("loop", "convnet, book's order", "torch")),
        Peer("torch, torchvision's DataLoader", ("loop", "convnet", "torch", "loader")),
        Peer("NumPy, float64", ("numpy", "float64"), 30),
        Peer("NumPy, float64, loss again to show it", ("numpy", "float64", "looks"), 30),
        Peer("NumPy, float32", ("numpy", "float32"), 30),
        Peer("pytorch/examples' recipe", ("examples",), 60, 938),
    ],
    "deep": peers("deep"),
    "mlp": peers("mlp"),
}


def trained(
    args: Sequence[str], data_dir: str | None, environment: Mapping[str, str] | None = None
) -> Figures:
    """Train in a process of its own; return its times and scores.

    Raises: RuntimeError with the last line that it wrote, if it failed.
    """
    from ..data.files import data_root

    root = str(data_root(data_dir).resolve())
    command = [sys.executable, "-m", "dlbook_torch.bench.peers", *args, f"--data-dir={root}"]
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    variables = os.environ | one | {"PYTHONPATH": path, "DLBOOK_DATA": root}
    variables |= environment or {}
    done = subprocess.run(command, capture_output=True, text=True, env=variables)
    if done.returncode:
        last = (done.stderr.strip() or "nothing was said").splitlines()[-1]
        raise RuntimeError(f"the training {' '.join(args)} failed: {last}")
    return json.loads(done.stdout.splitlines()[-1])


def processes(subjects: Sequence[str], rounds: int) -> int:
    """How many :func:`measure` starts."""
    return rounds * sum(len(SUBJECTS[subject]) for subject in subjects)


def measure(
    subjects: Sequence[str], rounds: int = 3, data_dir: str | None = None, steps: int | None = None
) -> Iterator[Figures]:
    """Train one contestant after the other, round after round.

    Args:
        subjects: networks.
        rounds: trainings of each contestant.
        data_dir: folder that holds MNIST/raw; default: DLBOOK_DATA.
        steps: at most so many each.
    """
    for subject in subjects:
        for turn in range(rounds):
            for peer in SUBJECTS[subject]:
                count = min(peer.steps, steps or peer.steps)
                times = trained([*peer.args, f"--steps={count}"], data_dir, peer.environment)
                yield {"subject": subject, "peer": peer.name, "round": turn} | times


def table(found: Sequence[Figures], rounds: int) -> Table:
    """The figures for the terminal."""
    from .machine import machine

    title = f"Whole trainings on MNIST, one thread, {rounds} of each in turn, on {machine()}"
    caption = (
        "wall and CPU: of the steps of an epoch, medians, CPU with the system's; ours / its: the "
        "training command's to this one's, per step of an image batch, median of the rounds' ratios"
    )
    result = Table("network", "contestant", title=title, caption=caption)
    for head in ("s/epoch", "CPU s", "CPU ms/step", "ours / its", "CPU", "start-up CPU s"):
        result.add_column(head, justify="right")
    for subject in dict.fromkeys(row["subject"] for row in found):
        for peer in SUBJECTS[subject]:
            rows = _of(found, subject, peer.name)
            if rows:
                result.add_row(subject, peer.name, *_cells(rows, _of(found, subject), peer.epoch))
    return result


def _of(found: Sequence[Figures], subject: str, peer: str | None = None) -> list[Figures]:
    name = peer or SUBJECTS[subject][0].name
    return [row for row in found if row["subject"] == subject and row["peer"] == name]


def _cells(rows: Sequence[Figures], ours: Sequence[Figures], epoch: int) -> list[str]:
    wall, cpu = (median(_step(row, kind) for row in rows) for kind in ("wall", "cpu"))
    pairs = list(zip(ours, rows, strict=True))
    ratios = [median(_step(a, kind) / _step(b, kind) for a, b in pairs) for kind in ("wall", "cpu")]
    start = median(row["startup_cpu"] for row in rows)
    times = [f"{wall * epoch:.1f}", f"{cpu * epoch:.1f}", f"{1e3 * cpu:.1f}"]
    return [*times, *(f"{ratio:.2f}" for ratio in ratios), f"{start:.1f}"]


def _step(row: Figures, kind: str) -> float:
    return row[kind] / row["steps"]


def seeds(
    config: str | Path, count: int = 10, data_dir: str | None = None, options: Sequence[str] = ()
) -> Iterator[Figures]:
    """Let the training command run a configuration with the seeds 0, 1, ..., one after the other.

    Each keeps its curves and checkpoints in a folder of its own, tests its best epoch once, and
    that folder is deleted.
    """
    for seed in range(count):
        args = ["config", str(config), *options, f"--seed_everything={seed}", f"--data.seed={seed}"]
        yield {"config": str(config), "seed": seed} | trained(args, data_dir)


def seeds_table(found: Sequence[Figures]) -> Table:
    """Accuracy on the test set, and seconds, over the seeds of each configuration."""
    from .machine import machine

    title = f"The training command, one thread, on {machine()}"
    result = Table("configuration", title=title)
    scores = ("seeds", "validation", "test", "lowest", "highest")
    heads = (*scores, "training CPU s", "start-up", "rest")
    for head in heads:
        result.add_column(head, justify="right")
    for config in dict.fromkeys(row["config"] for row in found):
        rows = [row for row in found if row["config"] == config]
        val, test = ([row[f"{split}/accuracy"] for row in rows] for split in ("val", "test"))
        shares = [f"{share:.2%}" for share in (fmean(val), fmean(test), min(test), max(test))]
        kinds = ("cpu", "startup_cpu", "rest_cpu")
        times = [f"{fmean(row[kind] for row in rows):.1f}" for kind in kinds]
        result.add_row(config, str(len(rows)), *shares, *times)
    return result
