"""The end of a run: the best epoch is tested once, judged and reported."""

from collections.abc import Mapping
from math import nan
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.utilities.model_helpers import is_overridden

from ..diagnostics import Curves, Report, diagnose
from ..diagnostics.monitor import NetworkMonitor, OverfittingMonitor
from .history import History
from .logger import CurveLogger
from .module import Classifier
from .report import closing_scores, print_report, print_way_on, summary_metrics
from .resume import read_checkpoint


def test_best(trainer: L.Trainer, best: Path, epoch: int) -> dict[str, float]:
    """Return the test scores of the weights in ``best``, or of the present ones without that file.

    No scores if the data module has no test set or the module no ``test_step``. ``epoch`` is
    where the curves get the point.
    """
    module, data = trainer.lightning_module, trainer.datamodule  # type: ignore[attr-defined]
    if best.is_file():
        module.load_state_dict(read_checkpoint(best)["state_dict"])
    has_test_set = is_overridden("test_dataloader", data, L.LightningDataModule)
    if not (has_test_set and is_overridden("test_step", module)):
        return {}
    if trainer.progress_bar_callback:
        trainer.progress_bar_callback.disable()
    if isinstance(trainer.logger, CurveLogger):
        trainer.logger.at(epoch)
    (scores,) = trainer.test(module, data, verbose=False)
    return dict(scores)


def curves_of(trainer: L.Trainer, history: History) -> Curves | None:
    """Return what the verdict asks for, None where nothing was validated.

    The loss of guessing is known where the classes are, and the loss is a cross-entropy.
    """
    train, val = history.curves("train/loss", "val/loss")
    if not train:
        return None
    rows = [row for row in history.rows if "train/loss" in row and "val/loss" in row]
    names = getattr(trainer.datamodule, "classes", None)  # type: ignore[attr-defined]
    return Curves(
        train,
        val,
        [row.get("train/accuracy", nan) for row in rows],
        [row.get("val/accuracy", nan) for row in rows],
        lr=[row.get("lr", nan) for row in rows],
        measured=len(trainer.num_val_batches) > 1,
        classes=len(names) if names and isinstance(trainer.lightning_module, Classifier) else None,
        epochs=[
            e for e, row in enumerate(history.rows) if "train/loss" in row and "val/loss" in row
        ],
    )


def judge(trainer: L.Trainer, history: History) -> tuple[Report | None, bool]:
    """Return the verdict, None without validation, and whether a monitor has given and shown it."""
    if (curves := curves_of(trainer, history)) is None:
        return None, False
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        if isinstance(callback, OverfittingMonitor) and callback.report:
            return callback.report, True
    layers = [x.telling for x in callbacks if isinstance(x, NetworkMonitor)]
    return diagnose(curves, layers[0] if layers else None), False


def report(
    trainer: L.Trainer, history: History, test: Mapping[str, float], settings: dict[str, Any]
) -> tuple[dict[str, float], Report | None]:
    """Print the end of a run and write it to TensorBoard; return the scores and the verdict."""
    scores = closing_scores(history, test)
    verdict, shown = judge(trainer, history)
    print_report(history, scores, verdict, str(trainer.strategy.root_device))
    if isinstance(logger := trainer.logger, CurveLogger):
        logger.at(len(history.rows))
        logger.log_hyperparams(settings, summary_metrics(history, scores))
        if verdict and not shown:
            logger.log_text("verdict", verdict.markdown())
        logger.finalize("success")
        print_way_on(Path(logger.log_dir), scores)
    return scores, verdict
