"""One trial: a Lightning run of a few epochs, scored on validation data (notes 6.6, step 2)."""

import signal
import sys
import threading
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
import yaml
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from optuna import TrialPruned

from ..training.console import quiet
from ..training.errors import UsageError, explain
from ..training.folders import CONFIG, RunFolder
from ..training.interrupt import Interrupted
from ..training.logger import CurveLogger
from ..training.run import WRONG, TrainingCLI
from .plan import Plan
from .space import ends

BARE = (
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_checkpointing=false",
    "--overfitting_monitor=null",
    "--network_monitor=null",
    "--finite_loss=null",  # a rate that diverges is a bad score, no failure
)


class ShortRun(TrainingCLI):
    """A training without checkpoints, report or test: its test set is not even read.

    Args:
        args: the command line.
        folder: for the curves; none without a path.
        callbacks: who listens.
    """

    def __init__(self, args: list[str], folder: RunFolder, callbacks: list[L.Callback]):
        self.listeners = callbacks
        super().__init__(args, folder)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Name the one command that a trial needs: building the others' parsers takes time."""
        return {"fit": TrainingCLI.subcommands()["fit"]}

    def _fit_callbacks(self, config: dict[str, Any]) -> list[L.Callback]:
        return [self.history, *self.listeners]

    def fit(self, **kwargs: Any) -> None:
        """Train."""
        self.trainer.fit(**kwargs)


class Score(L.Callback):
    """Tell the score after every epoch.

    Args:
        metric: such as ``val/loss``.
        hear: called with the epoch, from 0, and the score.

    Raises: TrialPruned once the score is no finite number: the run has diverged.
    """

    def __init__(self, metric: str, hear: Callable[[int, float], None] | None = None):
        self.metric, self.hear, self.value = metric, hear, float("nan")

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self.metric not in trainer.callback_metrics:
            measured = sorted(n for n in trainer.callback_metrics if n.startswith("val/"))
            raise UsageError(
                f"score: the run has no {self.metric}; it measures {', '.join(measured)}"
                if measured
                else f"score: the run has no {self.metric}; it validates nothing"
            )
        self.value = float(trainer.callback_metrics[self.metric])
        if not isfinite(self.value):
            raise TrialPruned(f"{self.metric} is {self.value}")
        if self.hear:
            self.hear(trainer.current_epoch, self.value)


class Stop(L.Callback):
    """Inside ``with``, the first Ctrl-C or SIGTERM ends the trial after its running step.

    A second one acts at once.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.number: int | None = None
        self._former: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():  # others hear no signals
            self._former = {number: signal.signal(number, self._hear) for number in self.SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self.__exit__()
        print("stopping; the running trial is kept for later", file=sys.stderr)

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        if self.number:
            raise Interrupted(self.number)


def train(
    plan: Plan,
    params: dict[str, Any],
    folder: Path | None = None,
    stop: Stop | None = None,
    hear: Callable[[int, float], None] | None = None,
) -> float:
    """Train the base with these parameters for a few epochs and return the score of the last.

    The folder gets the trial's ``config.yaml``, its curves and its row of the HParams page.

    Raises: TrialPruned if the run diverges, Interrupted if it was stopped, and whatever else
        ends a training.
    """
    settings = yaml.safe_dump(plan.configured(params, short=True), sort_keys=False)
    score = Score(plan.metric, hear)
    if folder:
        folder.mkdir(parents=True)
        (folder / CONFIG).write_text(settings)
    with quiet():
        run = ShortRun(
            ["fit", "--config", settings, *BARE],
            RunFolder(folder),
            [score, *([stop] if stop else [])],
        )
    if isinstance(logger := run.trainer.logger, CurveLogger):
        logger.log_hyperparams(params, {"score": score.value})
        logger.finalize("success")
    return score.value


def rehearse(plan: Plan) -> None:
    """Take one step at both ends of all ranges, and with every choice, and keep nothing.

    Raises: UsageError in one sentence if a run cannot be built, or has no such score.
    """
    for params in ends(plan.space):
        settings = yaml.safe_dump(plan.configured(params, short=True))
        args = ["fit", "--config", settings, *BARE, "--trainer.fast_dev_run=true"]
        try:
            with quiet():
                ShortRun(args, RunFolder(), [Score(plan.metric)])
        except TrialPruned:
            continue  # the far end of a range may diverge
        except (*WRONG, MisconfigurationException) as error:
            raise UsageError(explain(str(error))) from error
