"""What a run has measured so far, one row per epoch; it survives a resume."""

import time
from math import isnan, nan
from typing import Any

import lightning as L


class History(L.Callback):
    """Collect what every validation measured, and the rate of the epoch's last step as ``lr``.

    ``rows[e]`` is ``{"train/loss": ..., "val/loss": ..., ...}`` after epoch e.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.seconds = 0.0
        self._measured: dict[str, float] = {}
        self._lr = nan
        self._since: float | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._since = time.perf_counter()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # when the epoch ends, its scheduler has already set the rate of the next one
        self._lr = float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        # names of other stages stay in callback_metrics, with the values of an earlier epoch
        scores = trainer.callback_metrics.items()
        self._measured = {k: float(v) for k, v in scores if not k.endswith("_running")}

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        pl_module.log("lr", self._lr)
        self.rows.append(self._measured | {"lr": self._lr})
        self._measured = {}
        self._tick()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._tick()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.seconds += now - (self._since or now)
        self._since = now

    def curves(self, *names: str) -> list[list[float]]:
        """Return the values of each name over the epochs that have measured them all."""
        rows = [row for row in self.rows if all(name in row for name in names)]
        return [[row[name] for row in rows] for name in names]

    def best(self, name: str = "val/loss") -> int | None:
        """Return the index of the epoch with the lowest ``name``, None if it was never logged."""
        measured = [epoch for epoch, row in enumerate(self.rows) if name in row]
        return min(measured, key=lambda e: (isnan(v := self.rows[e][name]), v), default=None)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self.seconds = list(state_dict["rows"]), state_dict["seconds"]
