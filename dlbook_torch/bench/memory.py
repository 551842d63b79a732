"""Does a long run keep its memory? The process while the real command trains, step by step."""

import json
import os
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import lightning as L
import torch
from rich.table import Table

from .machine import machine

CONFIG = "configs/ch07/digits_convnet.yaml"
STATM = Path("/proc/self/statm")  # sizes of this process in pages; the second is what is resident
PAGE = os.sysconf("SC_PAGE_SIZE")
MB = 1e6
Sample = tuple[int, float]  # step, resident MB


class Resident(L.Callback):
    """Note the resident memory of the process every so many steps of a training.

    Args:
        every: so many steps.

    Raises: ValueError on a system that does not tell it.
    """

    def __init__(self, every: int = 100):
        if not STATM.exists():
            raise ValueError(f"the memory of a process is read in {STATM}, which is not here")
        self.every = every
        self.samples: list[Sample] = []

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step % self.every == 0:
            self.samples.append(
                (trainer.global_step, int(STATM.read_text().split()[1]) * PAGE / MB)
            )


def growth(samples: Sequence[Sample], steps: int) -> tuple[float, float, float]:
    """MB after a tenth of the steps, MB at the end, and by how many percent it has grown.

    Each is the median over a twentieth of the steps, as single samples go up and down.
    """
    tenth, twentieth = steps / 10, steps / 20
    early = median(mb for step, mb in samples if tenth <= step <= tenth + twentieth)
    late = median(mb for step, mb in samples if step >= steps - twentieth)
    return early, late, 100 * (late / early - 1)


def event_bytes(folder: Path) -> int:
    """Size of everything that TensorBoard reads below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("events.out.tfevents.*"))


def watch(steps: int, config: str = CONFIG) -> tuple[list[Sample], int]:
    """Train by the command line's own code, with every monitor, logger and checkpoint it has.

    Returns: the samples, and the bytes of event files.
    """
    from ..training.run import run  # takes seconds

    torch.set_num_threads(1)
    spy = {
        "class_path": f"{__name__}.{Resident.__name__}",
        "init_args": {"every": max(1, steps // 200)},
    }
    with TemporaryDirectory() as folder:
        length = [f"--trainer.max_steps={steps}", "--trainer.max_epochs=-1"]
        place = [f"--trainer.default_root_dir={folder}", "--trainer.accelerator=cpu"]
        quiet = ["--trainer.enable_progress_bar=false", f"--trainer.callbacks+={json.dumps(spy)}"]
        done = run(["fit", f"--config={config}", *length, *place, *quiet])
        callbacks: list[L.Callback] = done.trainer.callbacks  # type: ignore[attr-defined]
        (resident,) = (x for x in callbacks if isinstance(x, Resident))
        return resident.samples, event_bytes(Path(folder))


def table(samples: Sequence[Sample], size: int, steps: int, config: str) -> Table:
    """The figures for the terminal: ``size`` are the bytes of event files."""
    early, late, percent = growth(samples, steps)
    title = f"{steps:,} steps of {config} on {machine()}"
    caption = (
        f"from {early:.1f} to {late:.1f} MB: {percent:+.2f} % from a tenth of the steps to the end;"
        f" event files: {size / steps:.1f} kB in 1,000 steps"
    )
    result = Table("step", "resident MB", title=title, caption=caption, min_width=80)
    for step, mb in samples[:: ceil(len(samples) / 20)]:
        result.add_row(f"{step:,}", f"{mb:.1f}")
    return result
