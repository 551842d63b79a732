"""What the monitors cost: an epoch of training with both, against one without."""

import random
from collections.abc import Callable, Mapping
from functools import partial
from statistics import mean, median
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

BASE = "without"
Fit = Callable[[], "Stopwatch"]


class Stopwatch(L.Callback):
    """Process time of every epoch's steps, of all that lies between them, and their number."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.rest: list[float] = []
        self.count = 0
        self._start = self._end = 0.0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start = process_time()
        if self._end:
            self.rest.append(self._start - self._end)

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        self.count = trainer.num_training_batches  # type: ignore[assignment]
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._end = process_time()
            self.steps.append(self._end - self._start)


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


SUBJECTS = {"digits_convnet": (digits, 20), "resnet18": (resnet, 3)}  # and their epochs


def fit(make: Callable[[], tuple[Any, Any]], epochs: int, monitored: bool) -> Stopwatch:
    """Train a few epochs and return their times."""
    watch = Stopwatch()
    monitors: list[L.Callback] = [OverfittingMonitor(verbose=False), NetworkMonitor(verbose=False)]
    with TemporaryDirectory() as folder, quiet():
        trainer = L.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=TensorBoardLogger(folder),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=10,
            callbacks=[*(monitors if monitored else []), watch],
        )
        trainer.fit(*make())
    return watch


def contestants(name: str) -> dict[str, Fit]:
    """The same training with TensorBoard, once more, and with the monitors."""
    run = partial(fit, *SUBJECTS[name])
    return {
        BASE: partial(run, False),
        "without, again": partial(run, False),
        "with both": partial(run, True),
    }


def costs(fits: Mapping[str, Fit], rounds: int) -> dict[str, tuple[float, float, float]]:
    """Median over rounds: time of a step in ms, its ratio to that without, ms between epochs.

    All take their turn in a round, in an order drawn anew; the first epoch of each is left out.
    """
    steps: dict[str, list[float]] = {name: [] for name in fits}
    ratios: dict[str, list[float]] = {name: [] for name in fits}
    rest: dict[str, list[float]] = {name: [] for name in fits}
    for _ in range(rounds):
        times = {}
        for name in random.sample(list(fits), len(fits)):
            watch = fits[name]()
            times[name] = mean(watch.steps[1:]) / watch.count
            rest[name].append(mean(watch.rest[1:]))
        for name, time in times.items():
            steps[name].append(1e3 * time)
            ratios[name].append(time / times[BASE])
    return {
        name: (median(steps[name]), median(ratios[name]), 1e3 * median(rest[name])) for name in fits
    }


def table(rounds: int = 5) -> Table:
    """Measure with one thread and show the figures."""
    torch.set_num_threads(1)
    title = f"Training on the CPU, median of {rounds} rounds on {machine()}"
    columns = ("network", "monitors", "ms a step", "to that without", "ms between epochs")
    result = Table(*columns, title=title)
    for name in SUBJECTS:
        for form, (step, ratio, rest) in costs(contestants(name), rounds).items():
            result.add_row(name, form, f"{step:.2f}", f"{ratio:.3f}", f"{rest:.1f}")
    return result
