"""TensorBoard as a learner needs it: training and validation on one chart, one point per epoch."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams as hparams_summary

from .hyperparameters import plain

STAGE = re.compile(r"(train|val|test)[/_](.+)")


class LazyWriter(SummaryWriter):
    """A SummaryWriter whose file appears with its first value.

    Lightning asks every logger for its writer before it has looked at the data or the checkpoint;
    a run that fails there should leave nothing behind.
    """

    _ready = False

    def __init__(self, folder: Path, purge_step: int | None = None):
        super().__init__(str(folder), purge_step=purge_step)
        self._ready = True

    def _get_file_writer(self) -> Any:
        return super()._get_file_writer() if self._ready else None


class CurveLogger(TensorBoardLogger):
    """Draw ``train/loss`` and ``val/loss`` on one chart.

    The two become the tag ``loss`` of two TensorBoard runs, ``<run>/train`` and ``<run>/val``,
    which the Time Series and Scalars pages draw on one chart, and the Custom Scalars page again
    in groups. The x axis is the number of epochs trained, so runs with other batch sizes line up.

    Args:
        save_dir: folder of all runs.
        name: folder of this kind of run below it.
        version: folder of this run below that.
        purge_step: forget points from this x on (a resumed run writes them again).
    """

    per_epoch = True

    def __init__(
        self,
        save_dir: str | Path,
        name: str = "",
        version: str | int | None = None,
        purge_step: int | None = None,
    ):
        super().__init__(save_dir, name, version, default_hp_metric=False)
        self._writers: dict[str, SummaryWriter] = {}
        self._purge_step, self.x, self._laid_out = purge_step, 0, False
        self._charts: dict[str, dict[str, list[str]]] = {}

    def writer(self, stage: str) -> SummaryWriter:
        """Return the writer of the sub-run ``stage``; "" is the run itself."""
        if stage not in self._writers:
            self._writers[stage] = LazyWriter(Path(self.log_dir, stage), self._purge_step)
        return self._writers[stage]

    @property
    @rank_zero_experiment
    def experiment(self) -> SummaryWriter:
        """The writer of the run itself, for ``add_figure`` and its like."""
        return self.writer("")

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write each value to the run and the tag that its name says, at the epoch's x."""
        values = dict(metrics)
        if "epoch" in values and not any(name.startswith("test") for name in values):
            self.x = int(values["epoch"]) + 1
        values.pop("epoch", None)
        for name, value in values.items():
            if match := STAGE.fullmatch(name):
                self.writer(match[1]).add_scalar(match[2], value, self.x)
            else:
                self.experiment.add_scalar(name, value, self.x)
        if not self._laid_out and any(STAGE.fullmatch(name) for name in values):
            self.experiment.add_custom_scalars(layout(values, self._charts))
            self._laid_out = True

    @rank_zero_only
    def log_hyperparams(  # type: ignore[override]
        self, params: dict[str, Any], metrics: dict[str, Any] | None = None, step: int | None = None
    ) -> None:
        """Write a row of the HParams page: flat hyper-parameters and what came of them."""
        for summary in hparams_summary(plain(params), metrics or {}):
            self.experiment._get_file_writer().add_summary(summary)
        self.log_metrics(metrics or {})

    def add_charts(self, charts: Mapping[str, Mapping[str, list[str]]]) -> None:
        """Add ``{group: {title: patterns of tags}}`` to the Custom Scalars page.

        The page is laid out with the first metrics; what comes later is not on it.
        """
        for group, page in charts.items():
            self._charts.setdefault(group, {}).update(page)

    def at(self, epochs: int) -> None:
        """Write what follows at x = ``epochs``."""
        self.x = epochs

    @rank_zero_only
    def log_text(self, tag: str, markdown: str) -> None:
        """Write a page of text at the present epoch."""
        self.experiment.add_text(tag, markdown, self.x)

    @rank_zero_only
    def save(self) -> None:
        """Write out what is buffered."""
        for writer in self._writers.values():
            writer.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Close the files; a later value opens new ones beside them."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
        self._purge_step = None


def layout(
    names: Mapping[str, Any], more: Mapping[str, Mapping[str, list[str]]] | None = None
) -> dict[str, dict[str, list[Any]]]:
    """Return the Custom Scalars page for these metric names: no chart that would stay empty.

    Args:
        names: of the metrics.
        more: further charts, ``{group: {title: patterns of tags}}``.
    """
    curves = sorted({m[2] for m in map(STAGE.fullmatch, names) if m}, reverse=True)
    gaps = sorted((n for n in names if n.startswith("gap/")), reverse=True)
    page = {
        "Learning curves": {tag: [f"^{tag}$"] for tag in curves if not tag.endswith("_running")},
        "Overfitting": {f"{tag.removeprefix('gap/')} gap": [f"^{tag}$"] for tag in gaps},
        "Optimisation": {"learning rate": ["^lr$"]},
    }
    for group, charts in (more or {}).items():
        page.setdefault(group, {}).update(charts)
    return {
        group: {title: ["Multiline", tags] for title, tags in charts.items()}
        for group, charts in page.items()
        if charts
    }


def board_url(
    tags: Sequence[str] = ("loss", "accuracy"), port: int = 6006, page: str = "timeseries"
) -> str:
    """Return TensorBoard's address with these charts pinned and smoothing off.

    TensorBoard's default smoothing of 0.6 hides where the validation loss turns.
    """
    cards = json.dumps([{"plugin": "scalars", "tag": tag} for tag in tags], separators=(",", ":"))
    address = f"http://localhost:{port}/?smoothing=0&pinnedCards={quote(cards)}#{page}"
    return address if page == "timeseries" else f"{address}&_smoothingWeight=0"
