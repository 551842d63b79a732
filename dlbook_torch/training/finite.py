"""A loss that is not a number ends the run at that step, with the reason."""

from math import isfinite
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from .errors import RunFailed
from .processes import SHARED


class NotFinite(RunFailed):
    """The loss became inf or NaN."""


class FiniteLoss(L.Callback):
    """Stop a run at the first step whose loss is inf or NaN, and say where it came from.

    The message names the step, the learning rate, the first layer in forward order whose output is
    not finite on that batch, or the weights that already were not, and the last checkpoint, which
    is left as it is. Nothing is looked for before that step: a step costs one comparison, on a GPU
    with one wait for it. ``--trainer.detect_anomaly true`` names the backward operation, too, at
    many times the cost.

    Raises: NotFinite.
    """

    def __init__(self) -> None:
        self._batch: Any = None

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._batch = batch, batch_idx

    def on_before_backward(
        self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor
    ) -> None:
        if not isfinite(loss.item()):
            raise NotFinite(self._message(trainer, pl_module, loss.item()))

    def _message(self, trainer: L.Trainer, module: L.LightningModule, loss: float) -> str:
        rates = [f"{g['lr']:g}" for o in trainer.optimizers for g in o.param_groups]
        where = f"step {trainer.global_step}, epoch {trainer.current_epoch + 1}"
        kept = [c.last_model_path or c.best_model_path for c in checkpoints(trainer)]
        files = [path for path in kept if path and Path(path).is_file()]
        keeps = f"the last checkpoint is {files[-1]}" if files else "there is no checkpoint yet"
        return (
            f"the loss is {loss} at {where}, learning rate {', '.join(dict.fromkeys(rates))}; "
            f"{self._origin(trainer, module)}; {keeps}"
        )

    def _origin(self, trainer: L.Trainer, module: L.LightningModule) -> str:
        bad = [name for name, p in module.named_parameters() if not p.isfinite().all()]
        if bad:
            return f"the weights {bad[0]} were not finite before it"
        if trainer.world_size > 1 and any(isinstance(m, SHARED) for m in module.modules()):
            return "which layer was the first cannot be seen where layers share their batches"
        if name := first_not_finite(module, *self._batch):
            return f"the first output that is not finite is that of {name}"
        return "every layer's output is finite: it is the loss itself, or the targets"


def checkpoints(trainer: L.Trainer) -> list[ModelCheckpoint]:
    """The callbacks that keep checkpoints."""
    return [c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)]


def first_not_finite(module: L.LightningModule, batch: Any, batch_idx: int) -> str | None:
    """Repeat a training step, and name the first layer whose output is inf or NaN."""
    found: list[str] = []

    def look(name: str, layer: nn.Module) -> Any:
        def hook(layer: nn.Module, args: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not output.isfinite().all():
                found.append(f"{name} ({type(layer).__name__})")

        return layer.register_forward_hook(hook)

    leaves = [(n, m) for n, m in module.named_modules() if n and not any(m.children())]
    hooks = [look(name, layer) for name, layer in leaves]
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            module.training_step(batch, batch_idx)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else None
