"""The training command itself, with all that it does by default: monitors, curves, checkpoints."""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning as L
import yaml

from ...training.run import run
from . import files
from .clock import Clock

NETS: dict[str, Any] = {
    "convnet": {"class_path": "dlbook_torch.models.SimpleConvNet"},
    "deep": {"class_path": "dlbook_torch.models.DeepConvNet"},
    "mlp": {
        "class_path": "dlbook_torch.models.MLP",
        "init_args": {"in_features": 784, "out_features": 10, "hidden": [50]},
    },
}
RULES: dict[str, Any] = {
    "mlp": {"class_path": "dlbook_torch.optim.SGD", "init_args": {"lr": 0.1}},
    "adam": {"class_path": "dlbook_torch.optim.Adam", "init_args": {"lr": 0.001}},
}


class Timed(L.Callback):
    """Let a clock run from the start of an epoch to the end of its last step."""

    clock: Clock

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.clock.start()

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self.clock.stop(int(trainer.num_training_batches))


def timed(clock: Clock, args: Sequence[str]) -> dict[str, float]:
    """Run the training command ``args`` in an empty folder; return its scores."""
    Timed.clock = clock
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        done = run([*args, f"--trainer.callbacks+={Timed.__module__}.{Timed.__name__}"])
        os.chdir("/")
    return done.scores


def config(subject: str, steps: int, root: str | Path | None) -> dict[str, Any]:
    """One epoch of the network of :func:`~dlbook_torch.bench.peers.loops.network`."""
    data = {"batch_size": 100, "val_size": files.HELD_OUT}
    return {
        "trainer": {"max_epochs": 1, "limit_train_batches": steps, "accelerator": "cpu"},
        "model": {
            "class_path": "dlbook_torch.training.Classifier",
            "init_args": {"net": NETS[subject], "optimizer": RULES.get(subject, RULES["adam"])},
        },
        "data": {
            "class_path": "dlbook_torch.data.MNIST",
            "init_args": data | {"data_dir": root and str(root)},
        },
    }


def train(clock: Clock, steps: int, root: Path, subject: str) -> None:
    """Train one epoch by the training command, and let it finish as it does."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "run.yaml")
        file.write_text(yaml.safe_dump(config(subject, steps, root)))
        timed(clock, ["fit", f"--config={file}"])
