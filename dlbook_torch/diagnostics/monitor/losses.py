"""The mean of the losses that a module's own training steps return."""

from collections.abc import Mapping
from math import nan
from typing import Any

import lightning as L
import torch
from torch import Tensor, distributed


class StepLosses:
    """Add the losses of steps up; waits for no GPU before ``mean``."""

    def __init__(self) -> None:
        self.total: Tensor | None = None
        self.steps = 0

    def add(self, trainer: L.Trainer, outputs: Any) -> None:
        """Take the loss out of what ``on_train_batch_end`` is given, if there is one."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            return
        loss = loss.detach() if loss.dim() == 0 else loss.detach().reshape(())
        loss = loss.float()
        self.total = loss.clone() if self.total is None else self.total.to(loss.device).add_(loss)
        self.steps += 1

    def state(self) -> dict[str, Any]:
        """The sum so far, for a checkpoint."""
        return {"total": self.total, "steps": self.steps}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.total, self.steps = state["total"], state["steps"]

    def mean(self, trainer: L.Trainer) -> float:
        """Return the mean since the last call, NaN without a step, and start anew."""
        share = trainer.accumulate_grad_batches  # Lightning divides every loss by it
        value = nan if self.total is None else self.total.item() / self.steps * share
        self.total, self.steps = None, 0
        return value


def everybodys(trainer: L.Trainer, mine: Any) -> list[Any]:
    """Return what every process has given, in the order of their ranks; all must call it."""
    if trainer.world_size == 1 or not distributed.is_initialized():
        return [mine]
    found: list[Any] = [None] * trainer.world_size
    distributed.all_gather_object(found, mine)
    return found


def joined(trainer: L.Trainer, values: list[float]) -> list[float]:
    """Return the mean of each value over all processes; a NaN is a process that has none."""
    return torch.tensor(everybodys(trainer, values), dtype=torch.float64).nanmean(0).tolist()
