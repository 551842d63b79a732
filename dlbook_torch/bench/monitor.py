"""What the monitors cost: epochs of one training with both, against epochs without."""

import random
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from rich.table import Table
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import resnet18

from ..data import Digits
from ..diagnostics.monitor import NetworkMonitor, OverfittingMonitor
from ..models import ConvNet
from ..training import Classifier
from ..training.console import quiet
from .machine import machine

BASE, AGAIN, BOTH = "without", "without, again", "with both"
FORMS = (BASE, AGAIN, BOTH)
Time = tuple[float, float]  # of a step, and between the last step of an epoch and the next epoch
Make = Callable[[], tuple[L.LightningModule, L.LightningDataModule]]


class Turns(L.Callback):
    """Put the monitors in and take them out, an epoch at a time, and note the process time.

    In a round every form has one epoch, in an order drawn anew; so what disturbs disturbs all
    alike. The first round warms up.
    """

    def __init__(self, monitors: Sequence[L.Callback]):
        self.monitors = list(monitors)
        self.rounds: list[dict[str, Time]] = []
        self._left: list[str] = []
        self._form = ""
        self._start = self._end = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._note(trainer)
        if not self._left:
            self._left = random.sample(FORMS, len(FORMS))
            self.rounds.append({})
        self._form = self._left.pop()
        trainer.callbacks = [*(self.monitors if self._form == BOTH else []), self]  # type: ignore[attr-defined]
        self._start = process_time()

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._end = process_time()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._note(trainer)

    def _note(self, trainer: L.Trainer) -> None:
        if self._form:
            step = (self._end - self._start) / trainer.num_training_batches
            self.rounds[-1][self._form] = step, process_time() - self._end


class Images(L.LightningDataModule):
    """Batches of 64 random images of 3 x 32 x 32; the first 10 are also validated on."""

    def __init__(self, batches: int):
        super().__init__()
        x, t = torch.randn(64 * batches, 3, 32, 32), torch.randint(10, (64 * batches,))
        self.train, self.val = TensorDataset(x, t), TensorDataset(x[:64], t[:64])

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, 64)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val, 64)


def digits() -> tuple[L.LightningModule, L.LightningDataModule]:
    """The network and the data of configs/ch07/digits_convnet.yaml."""
    net = ConvNet((1, 8, 8), 10, [16, 32], [3, 3], hidden=64, batch_norm=True)
    return Classifier(net), Digits(batch_size=50)


def resnet() -> tuple[L.LightningModule, L.LightningDataModule]:
    """A ResNet-18 of torchvision on 20 batches of 64 images of 32 x 32."""
    return Classifier(resnet18(num_classes=10), library="torch"), Images(20)


SUBJECTS: dict[str, tuple[Make, int]] = {  # and epochs of each form in a round of the table
    "digits_convnet": (digits, 10),
    "resnet18": (resnet, 1),
}


def watch(make: Make, rounds: int) -> list[dict[str, Time]]:
    """Train with TensorBoard and return the times of every form in every round but the first."""
    monitors: list[L.Callback] = [OverfittingMonitor(verbose=False), NetworkMonitor(verbose=False)]
    turns = Turns(monitors)
    with TemporaryDirectory() as folder, quiet():
        trainer = L.Trainer(
            max_epochs=len(FORMS) * (rounds + 1),
            accelerator="cpu",
            logger=TensorBoardLogger(folder),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=10,
            callbacks=[*monitors, turns],
        )
        trainer.fit(*make())
    return turns.rounds[1:]


def costs(rounds: Sequence[Mapping[str, Time]]) -> dict[str, tuple[float, float, float]]:
    """Medians over the rounds: ms of a step, its ratio to that without, ms between epochs."""
    return {
        form: (
            1e3 * median(times[form][0] for times in rounds),
            median(times[form][0] / times[BASE][0] for times in rounds),
            1e3 * median(times[form][1] for times in rounds),
        )
        for form in FORMS
    }


def measure(rounds: int = 5) -> list[dict[str, Any]]:
    """The costs on every network, with one thread."""
    torch.set_num_threads(1)
    heads = ("ms_a_step", "ratio", "ms_between_epochs")
    return [
        {"network": name, "monitors": form} | dict(zip(heads, cost, strict=True))
        for name, (make, times) in SUBJECTS.items()
        for form, cost in costs(watch(make, rounds * times)).items()
    ]


def table(found: Sequence[Mapping[str, Any]]) -> Table:
    """The figures for the terminal."""
    title = f"Training on the CPU, epochs in turn, on {machine()}"
    result = Table("network", "monitors", title=title)
    for head in ("ms a step", "to that without", "ms between epochs"):
        result.add_column(head, justify="right")
    for row in found:
        name, form, step, ratio, rest = row.values()
        result.add_row(name, form, f"{step:.2f}", f"{ratio:.3f}", f"{rest:.1f}")
    return result
