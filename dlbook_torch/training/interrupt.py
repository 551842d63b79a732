"""Ctrl-C and SIGTERM end a run between two steps, where its state can be saved and resumed."""

import signal
import sys
import threading
from types import FrameType
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import distributed


class Interrupted(SystemExit):
    """A signal asked the run to end; the exit code is the shell's, 128 + the signal's number."""

    def __init__(self, number: int):
        super().__init__(128 + number)


class GracefulStop(L.Callback):
    """Turn the first Ctrl-C or SIGTERM into an end after the running step; a second acts at once.

    Inside an epoch that is an exception, upon which ``last.ckpt`` is saved at this very step.
    After the epoch's last step the run first validates and then stops with the epoch complete, so
    that no half-measured point reaches the curves.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.number: int | None = None
        self._former: dict[int, Any] = {}
        self._group: Any = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.world_size > 1:
            self._group = distributed.new_group(backend="gloo")  # waits for no GPU
        if threading.current_thread() is not threading.main_thread():
            return  # Python hears signals in its main thread alone
        self._former = {number: signal.getsignal(number) for number in self.SIGNALS}
        for number in self.SIGNALS:
            signal.signal(number, self._remember)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._give_back()
        if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            text = "stopping after this step, saving last.ckpt (again: stop at once)"
            print(text, file=sys.stderr)

    def _agree(self) -> None:
        """Hear of a signal that another process was sent, so that all stop at one step."""
        if self._group is not None:
            number = torch.tensor(self.number or 0)
            distributed.all_reduce(number, distributed.ReduceOp.MAX, self._group)
            self.number = int(number) or None

    def _give_back(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._agree()
        if self.number and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            raise Interrupted(self.number)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._agree()
        trainer.should_stop |= self.number is not None

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._give_back()
