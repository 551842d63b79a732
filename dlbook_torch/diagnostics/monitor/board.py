"""What the monitors show in TensorBoard: a page of charts, histograms, a picture, a text."""

import re
from collections.abc import Mapping
from math import isfinite, log10, nan
from typing import Any
from weakref import WeakSet

import lightning as L
from torch import Tensor

from ..report import Report
from ..run import Curves

_LAID_OUT: WeakSet[Any] = WeakSet()  # writers that have their page
Charts = dict[str, dict[str, list[str]]]  # group: title: patterns of the tags
LAYERS = {  # statistic: tag, title of its chart, how it is shown
    "dead": ("dead_percent", "dead units, % of a layer", lambda x: 100 * x),
    "saturated": ("saturated_percent", "saturated outputs, % of a layer", lambda x: 100 * x),
    "update_ratio": (
        "update_ratio_log10",
        "log10 of |dW| / |W|: -3 is usual",
        lambda x: log10(x) if x > 0 else nan,
    ),
    "gradient_norm": ("gradient_norm", "gradient norm before clipping", float),
    "activation_std": ("activation_std", "standard deviation of the outputs", float),
    "mean_drift": ("batchnorm_drift", "BatchNorm: running mean off the batch's, in std", float),
}
RISE, GAP = "overfitting/generalisation_loss_percent", "overfitting/gap"


class Board:
    """The TensorBoard loggers of a trainer; nothing happens where there is none.

    A logger that counts in epochs (``per_epoch``) gets its points there, any other at the step.

    Args:
        trainer: of the run.
        own_page: also loggers with a page of their own, to which ``add_charts`` adds.
        epoch: where the points belong; default: the present one.
    """

    def __init__(self, trainer: L.Trainer, own_page: bool = True, epoch: int | None = None):
        self.trainer = trainer
        self.epoch = trainer.current_epoch if epoch is None else epoch
        loggers = trainer.loggers if trainer.is_global_zero else []
        loggers = [x for x in loggers if own_page or not hasattr(x, "add_charts")]
        self.loggers: list[Any] = [
            x for x in loggers if hasattr(getattr(x, "experiment", None), "add_custom_scalars")
        ]

    def __bool__(self) -> bool:
        return bool(self.loggers)

    def _x(self, logger: Any) -> int:
        if getattr(logger, "per_epoch", False):
            return self.epoch + 1
        return max(self.trainer.global_step - 1, 0)  # where Lightning puts the same epoch's

    def scalar(self, tag: str, value: float) -> None:
        """Add a point, unless it is no finite number."""
        for logger in self.loggers if isfinite(value) else ():
            logger.experiment.add_scalar(tag, value, self._x(logger))

    def layers(self, table: Mapping[str, Mapping[str, float]]) -> None:
        """Add a point to the curve of each layer."""
        for statistic, (tag, _, show) in LAYERS.items():
            for layer, value in table.get(statistic, {}).items():
                self.scalar(f"layers_{tag}/{layer}", show(value))

    def histograms(self, kind: str, values: Mapping[str, Tensor]) -> None:
        """Add a histogram for each layer that has values, all of them finite."""
        for logger in self.loggers:
            for layer, x in values.items():
                if x.numel() and x.isfinite().all():
                    logger.experiment.add_histogram(f"{kind}/{layer}", x, self._x(logger))

    def early(self, charts: Charts) -> None:
        """Give charts to the loggers that lay out a page of their own."""
        for logger in self.loggers:
            if hasattr(logger, "add_charts"):
                logger.add_charts(charts)

    def page(self, charts: Charts) -> None:
        """Lay the custom scalars page out in the others, once for each logger."""
        page = {
            group: {title: ["Multiline", tags] for title, tags in page.items()}
            for group, page in charts.items()
            if page
        }
        for logger in self.loggers if page else ():
            if not hasattr(logger, "add_charts") and logger.experiment not in _LAID_OUT:
                logger.experiment.add_custom_scalars(page)
                _LAID_OUT.add(logger.experiment)

    def text(self, markdown: str) -> None:
        """Write the report."""
        for logger in self.loggers:
            logger.experiment.add_text("verdict", markdown, self._x(logger))

    def picture(self, report: Report, curves: Curves) -> None:
        """Draw the curves with the verdict."""
        from ..plot import picture  # matplotlib takes a while

        image = picture(curves, report) if self.loggers else None
        for logger in self.loggers:
            logger.experiment.add_image("curves", image, self._x(logger), dataformats="HWC")


def layer_charts(table: Mapping[str, Mapping[str, float]]) -> dict[str, list[str]]:
    """Return the charts that the statistics fill, by title.

    The share of dead units comes late, when enough samples were seen; that of zeros at once.
    """
    known = {name for name, row in table.items() if any(map(isfinite, row.values()))}
    known |= {"dead"} if "zero" in known else set()
    return {
        title: [f"^layers_{tag}/"]
        for statistic, (tag, title, _) in LAYERS.items()
        if statistic in known
    }


def exactly(*names: str | None) -> list[str]:
    """Return patterns that match these tags and no others."""
    return [f"^{re.escape(name)}$" for name in names if name]
