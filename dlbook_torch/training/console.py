"""What a run shows while it runs: a progress bar, and nothing else."""

import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import ProcessingSpeedColumn
from lightning.pytorch.profilers import PassThroughProfiler

NOISE = (  # what the libraries below say about themselves, or about what is meant here
    r".*LeafSpec.*",
    r"\s*(By default only one Jsonargparse|.*was deprecated in v4)",  # what Lightning 2.6 calls
    r".*does not have many workers.*",  # batches are cut from memory
    r"It is recommended to use .self.log.*sync_dist=True.*",  # what is logged is reduced already
    r"Checkpoint directory .* exists and is not empty.*",  # a run is continued
)


REFRESH = 10  # times a second that the bar moves: Lightning's 100 cost a tenth of a small step


class Bar(RichProgressBar):
    """Lightning's bar, short enough for 80 columns, epochs counted from 1, only while training."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=REFRESH)
        self._moved = 0.0

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        now, last = time.monotonic(), trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if last or now - self._moved > 1 / REFRESH:
            self._moved = now
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def configure_columns(self, trainer: L.Trainer) -> list[Any]:
        columns = super().configure_columns(trainer)
        return [column for column in columns if not isinstance(column, ProcessingSpeedColumn)]

    def get_metrics(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return what stands behind the bar: the last validation, without the version number."""
        metrics = super().get_metrics(*args, **kwargs)
        metrics.pop("v_num", None)
        val = {name: metrics.pop(name) for name in list(metrics) if name.startswith("val/")}
        shown = [f"{v:.1%}" if name == "val/accuracy" else f"{v:.4f}" for name, v in val.items()]
        return metrics | ({"val": " ".join(shown)} if val else {})

    def _get_train_description(self, current_epoch: int) -> str:
        return f"epoch {current_epoch + 1}/{self.trainer.max_epochs}"


class Unmeasured(PassThroughProfiler):
    """Measure nothing, at no cost.

    Lightning's own makes a generator around each of the hundred calls of hooks in a step, a third
    of a millisecond in all.
    """

    NOTHING = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[Any]:  # type: ignore[override]
        """Return what encloses an action."""
        return self.NOTHING


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning's lists of hardware, its tips and advertisement, and the NOISE."""
    loggers = [logging.getLogger(f"lightning.{room}") for room in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for pattern in NOISE:
            warnings.filterwarnings("ignore", pattern)
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        hook, threading.excepthook = threading.excepthook, _but_tensorboard(threading.excepthook)
        try:
            yield
        finally:
            threading.excepthook = hook
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _but_tensorboard(hook: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Leave out the thread that writes curves: its error is raised again at the next value."""

    def heard(args: threading.ExceptHookArgs) -> None:
        if not type(args.thread).__module__.startswith("tensorboard."):
            hook(args)

    return heard
