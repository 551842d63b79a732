"""What the training command adds to a step: its steps and a plain loop's in turn."""

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import lightning as L
import torch
import yaml
from rich.table import Table

from .. import nn
from ..data import MNIST
from ..training.run import run
from .machine import machine
from .peers import command, files, loops
from .timing import Call, on_cpu

EVERY = 20  # steps until the other takes its turn: one of them is measured by the monitor
Figures = dict[str, Any]


class InTurn(L.Callback):
    """After every ``EVERY`` steps of a training let a plain loop take as many, and time both."""

    plain: Call
    times: list[tuple[float, float]]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._since = process_time()

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if (args[-1] + 1) % EVERY == 0:
            mine = process_time() - self._since
            self.times.append((mine / EVERY, on_cpu(self.plain, EVERY) / EVERY))
            self._since = process_time()


def plain_step(subject: str, data_dir: str | None) -> Call:
    """A step of the same network on batches from the same data module, and nothing else."""
    data = MNIST(data_dir=data_dir, val_size=files.HELD_OUT)
    data.setup("fit")
    net, rule = loops.network(subject, "dlbook")
    loss = nn.CrossEntropyLoss()

    def endless() -> Any:
        while True:
            yield from data.train_dataloader()

    batches = endless()

    def step() -> None:
        x, t = next(batches)
        rule.zero_grad()
        loss(net(data.normalize(x)), t).backward()
        rule.step()

    return step


def measure(
    subjects: Sequence[str] = ("convnet", "deep", "mlp"),
    steps: int = 550,
    data_dir: str | None = None,
    options: Sequence[str] = (),
) -> list[Figures]:
    """Milliseconds of a step, all monitors, curves, checkpoints and the bar as they are."""
    torch.set_num_threads(1)
    found = []
    for subject in subjects:
        InTurn.plain, InTurn.times = staticmethod(plain_step(subject, data_dir)), []
        config = command.config(subject, steps, data_dir)
        with TemporaryDirectory() as folder:
            config["trainer"]["default_root_dir"] = folder
            file = Path(folder, "run.yaml")
            file.write_text(yaml.safe_dump(config))
            callback = f"--trainer.callbacks+={InTurn.__module__}.{InTurn.__name__}"
            with redirect_stdout(io.StringIO()):
                run(["fit", f"--config={file}", callback, *options])
        pairs = InTurn.times[1:]
        found.append(
            {
                "network": subject,
                "plain_ms": 1e3 * median(plain for _, plain in pairs),
                "added_ms": 1e3 * median(mine - plain for mine, plain in pairs),
                "share": median(mine / plain for mine, plain in pairs) - 1,
            }
        )
    return found


def table(found: Sequence[Figures]) -> Table:
    """The figures for the terminal."""
    title = f"What the training command adds to a step, {EVERY} steps in turn, on {machine()}"
    result = Table("network", title=title)
    for head in ("plain loop, ms", "added, ms", "of the step"):
        result.add_column(head, justify="right")
    for row in found:
        cells = (f"{row['plain_ms']:.2f}", f"{row['added_ms']:.2f}", f"{row['share']:.1%}")
        result.add_row(row["network"], *cells)
    return result
