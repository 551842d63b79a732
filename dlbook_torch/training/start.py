"""What happens before the first step of a run: it introduces itself, keeps its configuration."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml

from .folders import CONFIG, RunFolder


class Start(L.Callback):
    """Say what is trained, and keep the resolved configuration in the run's folder.

    Args:
        folder: of the run; told that the training has begun.
        config: the configuration as plain values.
    """

    def __init__(self, folder: RunFolder, config: dict[str, Any]):
        self.folder, self.config = folder, config

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self.folder.stepped = True

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.folder.trained = True
        hold_freed_memory()
        net = getattr(pl_module, "net", pl_module)
        size = sum(p.numel() for p in net.parameters())
        where = f", {self.folder.path}" if self.folder.path else ""
        trainer.print(f"{type(net).__name__}, {size:,} parameters, on {pl_module.device}{where}")
        if len(trainer.num_val_batches) == 1:
            trainer.print("one validation loader: train/* is the running mean of the epoch's steps")
        if self.folder.path:
            keep(self.folder.path / CONFIG, yaml.safe_dump(self.config, sort_keys=False))


def hold_freed_memory() -> None:
    """Let the C library hold what a step frees, up to 64 MB, for the next step.

    glibc gives large blocks back to the system as soon as they are freed, and to be handed fresh
    pages can take a quarter of a step. It learns what is large from the largest block that was
    freed, of up to 32 MB. Here is one, of which no page is touched; other libraries do not mind.
    """
    torch.empty(2**25 - 2**16, dtype=torch.uint8)


def keep(file: Path, text: str) -> None:
    """Write ``text`` to ``file``; what stood there and differs is kept as ``<stem>.<n>.yaml``."""
    if file.exists() and file.read_text() != text:
        earlier = len(list(file.parent.glob(f"{file.stem}.*.yaml")))
        file.rename(file.with_suffix(f".{earlier}.yaml"))
    file.write_text(text)
