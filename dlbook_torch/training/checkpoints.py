"""Checkpoints that tell the truth: the best epoch, the last one, and what chance would do next."""

import random
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from .finite import NotFinite


class Best(ModelCheckpoint):
    """Keep ``best.ckpt``, the epoch of the lowest ``monitor``; keep nothing if it is not logged."""

    def __init__(self, folder: Path, monitor: str = "val/loss", mode: str = "min"):
        super().__init__(
            folder,
            "best",
            monitor,
            mode=mode,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.monitor in trainer.callback_metrics:
            super().on_train_epoch_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the best score so far, if its ``best.ckpt`` lies in this run's folder.

        Lightning compares absolute paths: in a run folder that was moved it would forget the
        score and overwrite ``best.ckpt`` by the next epoch, however bad.
        """
        self.current_score = state_dict["current_score"]
        best, score = Path(str(self.dirpath), "best.ckpt"), state_dict["best_model_score"]
        if score is not None and best.is_file():
            self.best_model_score = self.kth_value = score
            self.best_model_path = self.kth_best_model_path = str(best)
            self.best_k_models = {str(best): score}


class Last(ModelCheckpoint):
    """Keep ``last.ckpt``, the end of the latest epoch, or the very step at which a run broke off.

    Not if it broke off because the loss was not finite, or a file could not be written: then the
    older one is worth more.

    Lightning's own ``save_last`` copies the best checkpoint whenever a metric is monitored.
    """

    def __init__(self, folder: Path):
        super().__init__(
            folder,
            "last",
            save_on_train_epoch_end=True,
            save_on_exception=True,
            enable_version_counter=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to remember: the next one replaces whatever lies in the folder."""

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        began = self._last_time_checked is not None
        if began and not isinstance(exception, OSError | NotFinite):
            super().on_exception(trainer, pl_module, exception)


class RNGState(L.Callback):
    """Keep the random states of torch, NumPy and Python in the checkpoint.

    Dropout masks and augmentations after a resume are those of the uninterrupted run. The states
    are put back after the loaders' iterators have been made and before the first batch is taken
    from them; a loader that draws its order from the global generators, as torch's ``DataLoader``
    with ``shuffle=True`` does, is not continued exactly. They are stored as plain values and
    tensors, so that ``weights_only=True`` loads them.
    """

    def __init__(self) -> None:
        self._saved: dict[str, Any] | None = None

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        kind, keys, *rest = np.random.get_state(legacy=True)
        checkpoint["rng_state"] = {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "python": random.getstate(),
            "numpy": (kind, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest),
        }

    def on_load_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._saved = checkpoint.get("rng_state")

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # a scheduler that has asked for the number of steps has made the loaders before the
        # checkpoint was read, and Lightning then leaves their saved positions unused
        trainer.fit_loop._load_combined_loader_states()
        if self._saved is None:
            return
        saved, self._saved = self._saved, None
        torch.set_rng_state(saved["torch"])
        if len(saved["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(saved["cuda"])
        random.setstate(saved["python"])
        kind, keys, *rest = saved["numpy"]
        np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
