"""The monitor of curves: training and validation loss of any module, and when to stop."""

import difflib
from math import inf, isfinite, isnan, nan
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from .. import names
from ..online import LIMIT, PATIENCE, alarm, generalization_loss
from ..run import Curves, Internals
from .board import GAP, RISE, Board, exactly, layer_charts
from .losses import StepLosses, joined
from .network import NetworkMonitor
from .voice import Voice, at_least, numbered

SERIES = ("train", "val", "train_accuracy", "val_accuracy")
PAIRS = (SERIES[:2], SERIES[2:])


class OverfittingMonitor(Voice, EarlyStopping):
    """Judge the curves of any LightningModule after every validation.

    Where an epoch has several validations, each counts as an epoch of the curves.

    Training and validation loss are found by name among the logged metrics (``train_loss`` and
    ``val_loss``, ``train/loss`` and ``val/loss``, ...), accuracies likewise; where no training
    loss is logged, the mean of the losses that the steps return takes its place. The layers are
    judged with them if a :class:`~dlbook_torch.diagnostics.monitor.NetworkMonitor` is there.

    With ``stop`` it ends the training when the trailing median of 5 validation losses has been
    more than ``limit`` above its lowest for ``patience`` validations (Prechelt's generalisation
    loss): a ``ModelCheckpoint`` with ``monitor`` set to the validation loss keeps the best epoch.

    Args:
        train: name of the training loss; default: found.
        val: name of the validation loss; default: found.
        train_accuracy: name of the training accuracy; default: found.
        val_accuracy: name of the validation accuracy; default: found.
        measured: the training loss is measured like the validation loss, in eval mode, after the
            epoch; default: it is if it is logged during validation, beside a second loader.
        classes: number of classes; default: the data module's ``classes``, if it has them.
        stop: end the training when it overfits.
        limit: share of the lowest validation loss.
        patience: how many validations in a row.
        verbose: print a line when something is found, or gets worse.

    Raises: ValueError for a limit that is not above 0, a patience below 1, fewer than 2 classes,
        and, after the first validation, for a given name that was not logged.
    """

    leads = True

    def __init__(
        self,
        train: str | None = None,
        val: str | None = None,
        train_accuracy: str | None = None,
        val_accuracy: str | None = None,
        measured: bool | None = None,
        classes: int | None = None,
        stop: bool = False,
        limit: float = LIMIT,
        patience: int = PATIENCE,
        verbose: bool = True,
    ):
        # an EarlyStopping, as Lightning calls those after the module's own on_train_epoch_end,
        # where many modules log their training loss; none of its own criterion is used
        EarlyStopping.__init__(self, monitor=val or "validation loss", patience=patience)
        Voice.__init__(self, verbose)
        if not limit > 0:
            raise ValueError(f"limit must be above 0, got {limit}")
        self.patience = at_least(1, "patience", patience)
        self.names = dict(zip(SERIES, (train, val, train_accuracy, val_accuracy), strict=True))
        self.measured, self.stop, self.limit = measured, stop, limit
        self.classes = None if classes is None else at_least(2, "classes", classes)
        self.rows: list[dict[str, Any]] = []
        self._found: dict[str, str | None] = {}
        self._losses = StepLosses()
        self._earlier: dict[str, float] = {}
        self._validated: dict[str, float] | None = None
        self._lr = nan
        self._in_validation = False

    @property
    def state_key(self) -> str:
        return self._generate_state_key(**self.names)

    @property
    def curves(self) -> Curves | None:
        """All that was measured so far; None before the first epoch's end."""
        if not self.rows:
            return None
        columns = {name: [row[name] for row in self.rows] for name in (*SERIES, "lr")}
        accuracies = (columns[name] for name in SERIES[2:])
        known = [x if any(map(isfinite, x)) else None for x in accuracies]
        return Curves(
            columns["train"],
            columns["val"],
            train_accuracy=known[0],
            val_accuracy=known[1],
            lr=columns["lr"],
            measured=self._measured(),
            classes=self.classes,
            epochs=numbered(self.rows),
        )

    def _measured(self) -> bool:
        if self.measured is not None:
            return self.measured
        validated = [row["measured"] for row in self.rows if not isnan(row["val"])]
        return bool(validated) and validated[-1]

    # an epoch

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Find out how many classes there are."""
        if self.classes is None:
            known = getattr(getattr(trainer, "datamodule", None), "classes", None)
            count = known if isinstance(known, int) else len(known or ())
            self.classes = count if count > 1 else None

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # when the epoch ends, its scheduler has already set the rate of the next one
        self._lr = float(trainer.optimizers[0].param_groups[0]["lr"]) if trainer.optimizers else nan

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._losses.add(trainer, outputs)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._earlier = _scores(trainer)
        title = "validation loss above its lowest, %"
        Board(trainer).early({"Overfitting": {title: exactly(RISE)}})

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._validated = _scores(trainer)
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._after(trainer, epoch_over=False)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._after(trainer, epoch_over=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if (curves := self.curves) is not None:
            self.judge(trainer, self.rows[-1]["epoch"], curves, self._internals(trainer), over=True)

    def _after(self, trainer: L.Trainer, epoch_over: bool) -> None:
        """Note what was measured, judge it, and stop if it is time."""
        for monitor in _network_monitors(trainer):
            monitor.close(trainer)
        self._note(trainer, epoch_over)
        if (curves := self.curves) is None:
            return
        self._draw(trainer)
        self.judge(trainer, self.rows[-1]["epoch"], curves, self._internals(trainer))
        if self.stop:
            self._stop(trainer)

    def _internals(self, trainer: L.Trainer) -> Internals | None:
        found = [monitor.telling for monitor in _network_monitors(trainer)]
        return found[0] if found else None

    def _note(self, trainer: L.Trainer, epoch_over: bool) -> None:
        """Add a row; NaN stands for what was not measured, infinity for what is no number."""
        now, steps = _scores(trainer), self._losses.mean(trainer)
        self._find(now)
        row = {name: self._value(now, name) for name in SERIES}
        if self._validated is None:
            row["val"] = row["val_accuracy"] = nan
        else:
            train = self._found["train"]
            self._in_validation = train is not None and now[train] != self._earlier.get(train)
        fresh = self._validated is not None if self._in_validation else epoch_over
        if self._found["train"] is None or not fresh:
            row["train"], row["train_accuracy"] = steps, nan
        measured = self._in_validation and len(trainer.num_val_batches) > 1
        more = {"epoch": trainer.current_epoch, "lr": self._lr, "measured": measured}
        values = joined(trainer, list(row.values()))
        self.rows.append(dict(zip(SERIES, values, strict=True)) | more)
        self._validated, self._earlier = None, {}

    def _find(self, scores: dict[str, float]) -> None:
        """Match names with metrics.

        Raises: ValueError for a given name that was not logged.
        """
        for name, given in self.names.items():
            if given is not None and given not in scores and self._validated is not None:
                close = difflib.get_close_matches(given, scores, 1)
                hint = f", did you mean {close[0]!r}?" if close else f": {', '.join(scores)}"
                raise ValueError(f"OverfittingMonitor: {name}={given!r} is not logged{hint}")
        found = [*names.losses(scores), *names.accuracies(scores)]
        for name, metric in zip(SERIES, found, strict=True):
            self._found[name] = self.names[name] or metric

    def _value(self, scores: dict[str, float], name: str) -> float:
        metric = self._found[name]
        value = nan if metric is None else scores.get(metric, nan)
        if name.endswith("accuracy"):
            return value / 100 if value > 1 else value
        return inf if metric in scores and isnan(value) else value

    def _draw(self, trainer: L.Trainer) -> None:
        board = Board(trainer)
        val = [row["val"] for row in self.rows]
        if not board or isnan(val[-1]):
            return
        board.scalar(RISE, 100 * generalization_loss(val)[-1])
        foreign = Board(trainer, own_page=False)
        foreign.scalar(GAP, val[-1] - self.rows[-1]["train"])
        losses, accuracies = (exactly(*map(self._found.get, names)) for names in PAIRS)
        curves = {"loss": losses} | ({"accuracy": accuracies} if accuracies else {})
        titles = {"validation - training loss": GAP, "validation loss above its lowest, %": RISE}
        page = {
            "Learning curves": curves,
            "Overfitting": {title: exactly(tag) for title, tag in titles.items()},
        }
        for monitor in _network_monitors(trainer):
            page["Layers"] = layer_charts(monitor.table)
        foreign.page(page)

    def _stop(self, trainer: L.Trainer) -> None:
        val = [row["val"] for row in self.rows if not isnan(row["val"])]
        if trainer.should_stop or alarm(val, self.limit, self.patience) is None:
            return
        trainer.should_stop = True
        best = min(self.rows, key=lambda row: (isnan(row["val"]), row["val"]))
        name = self._found["val"]
        kept = [
            c.best_model_path
            for c in trainer.checkpoint_callbacks
            if isinstance(c, ModelCheckpoint) and c.monitor == name and c.best_model_path
        ]
        where = f"kept in {kept[0]}" if kept else f"no ModelCheckpoint(monitor={name!r}) kept it"
        self.tell(
            trainer,
            self.rows[-1]["epoch"],
            f"stopped: {name} has been more than {self.limit:.0%} above its lowest for "
            f"{self.patience} validations; the best epoch is {best['epoch'] + 1}, {where}",
        )

    # going on

    def state_dict(self) -> dict[str, Any]:
        return {
            "rows": list(self.rows),
            "said": dict(self.said),
            "validated": self._validated,
            "earlier": self._earlier,
            "losses": self._losses.state(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows, self.said = list(state_dict["rows"]), dict(state_dict["said"])
        self._validated, self._earlier = state_dict["validated"], state_dict["earlier"]
        if "losses" in state_dict:  # checkpoints of earlier versions have none
            self._losses.load_state(state_dict["losses"])


def _scores(trainer: L.Trainer) -> dict[str, float]:
    """What was logged so far, as numbers."""
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def _network_monitors(trainer: L.Trainer) -> list[NetworkMonitor]:
    return [x for x in trainer.callbacks if isinstance(x, NetworkMonitor)]  # type: ignore[attr-defined]
