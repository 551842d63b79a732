"""The monitor of layers: units, gradients, updates and weights while any module trains."""

from collections.abc import Iterator
from functools import reduce
from math import ceil, isfinite, nan
from typing import Any

import lightning as L
from torch import Tensor

from ..layers import weight_of
from ..run import GRIDS, Curves, Internals
from ..stats import Record, sample
from ..watch import Watch
from .board import Board, layer_charts
from .losses import StepLosses, everybodys, joined
from .voice import Voice, at_least, numbered

ENOUGH_ROWS = 3  # as many checks as a vanishing gradient has to last (SageMaker Debugger)
Table = dict[str, dict[str, float]]


class NetworkMonitor(Voice, L.Callback):
    """Measure the layers of any LightningModule while it trains, and judge what they show.

    Now and then a training step is measured (see :class:`~dlbook_torch.diagnostics.watch.Watch`
    for what can be seen): the outputs in the forward pass, the gradients before they are clipped
    and after a GradScaler has been undone, the change of the weights. Some more forward passes
    only count units, until ``samples`` samples have passed. Before every validation, and at the
    end of every epoch, the measurements of all processes become one row of ``internals``.

    With an :class:`~dlbook_torch.diagnostics.monitor.OverfittingMonitor` beside it, that one
    judges curves and layers together.

    Args:
        every_n_steps: measure one step in so many, the first of an epoch among them.
        samples: a unit is dead if it was never above 0 on at least so many samples, of one epoch
            or of several short ones.
        histograms: draw outputs and weights in TensorBoard every so many epochs; 0: never.
        verbose: print a line when something is found, or gets worse.

    Raises: ValueError for an every_n_steps or samples below 1, or negative histograms.
    """

    def __init__(
        self,
        every_n_steps: int = 20,
        samples: int = 512,
        histograms: int = 5,
        verbose: bool = True,
    ):
        super().__init__(verbose)
        self.every_n_steps = at_least(1, "every_n_steps", every_n_steps)
        self.samples = at_least(1, "samples", samples)
        self.histograms = at_least(0, "histograms", histograms)
        self.layers: dict[str, str] = {}  # their activations
        self.units: dict[str, int] = {}
        self.rows: list[dict[str, Any]] = []
        self.table: Table = {}
        self._carried = Record()
        self._losses = StepLosses()
        self._watch: Watch | None = None
        self._resumed: dict[str, Any] | None = None
        self._batches = self._stride = 0
        self._full = self._backward = self._measured = False

    @property
    def internals(self) -> Internals | None:
        """All rows so far; None before the first."""
        if not self.rows:
            return None
        grids = {
            name: [
                [row["values"].get(name, {}).get(x, nan) for x in self.layers] for row in self.rows
            ]
            for name in GRIDS
        }
        return Internals(
            tuple(self.layers),
            **grids,
            activations=tuple(self.layers.values()),
            units=tuple(self.units.get(name, 0) for name in self.layers),
            epochs=numbered(self.rows),
        )

    @property
    def telling(self) -> Internals | None:
        """All rows, once there are enough: the first steps of a run are like no others."""
        return self.internals if len(self.rows) >= ENOUGH_ROWS else None

    # a step

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._watch = Watch(pl_module)
        self._batches = self._stride = 0
        if self._resumed is not None:
            middle, self._resumed = self._resumed, None
            self._watch.load_state(middle["watch"])
            self._batches, self._stride = middle["batches"], middle["stride"]

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._watch is None:
            return
        if self._batches % self.every_n_steps == 0:
            self._full, self._backward = True, False
            self._watch.start(full=True, keep=self._draws(trainer))
        elif not (self._stride and self._batches % self._stride == 0):
            return
        elif not (self._missing(trainer) > 0 and self._watch.start(full=False)):
            self._stride = 0
            return

    def _missing(self, trainer: L.Trainer) -> float:
        """Samples that this process is to count, less those that it has seen."""
        seen = self._carried.samples + (self._watch.samples if self._watch else 0)
        return self.samples / trainer.world_size - seen

    def _spread(self, trainer: L.Trainer, size: int) -> int:
        """Every which batch of ``size`` to count units in, so that they come from a whole epoch."""
        wanted = ceil(self.samples / trainer.world_size / size)
        batches = trainer.num_training_batches
        return max(1, int(batches // wanted)) if isfinite(batches) else 1

    def on_before_backward(
        self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor
    ) -> None:
        if self._watch is not None:
            self._watch.stop()
        self._backward = True

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any
    ) -> None:
        if not (self._full and self._backward and self._watch is not None):
            return
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        scaled = scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False)
        if scaler is not None and not self._watch.finite_gradients():
            return  # the scaler leaves this step out, and tries a smaller scale
        mine = list(_parameters(optimizer))
        among = [*mine, *_orphans(trainer, pl_module)]
        if self._watch.gradients(scaler.get_scale() if scaled else 1.0, among):  # type: ignore[union-attr]
            self._watch.before_update(among)
            self._measured = True

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._losses.add(trainer, outputs)
        self._batches += 1
        if self._watch is None:
            return
        self._watch.stop()
        if self._batches == 1:
            self._stride = self._spread(trainer, self._watch.samples or 1)
        if self._measured:
            self._watch.after_update()
            self._full = self._measured = False

    # a row

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            self.close(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.close(trainer)
        if not self._led(trainer) and self.rows:
            Board(trainer).page({"Layers": layer_charts(self.table)})
            self.judge(trainer, self.rows[-1]["epoch"], self._curves(), self.telling)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not self._led(trainer) and self.rows:
            self.judge(trainer, self.rows[-1]["epoch"], self._curves(), self.telling, over=True)

    def close(self, trainer: L.Trainer) -> None:
        """Make a row of what was measured since the last one, if anything was."""
        watch = self._watch
        if watch is None or not any("gradient_norm" in s.values for s in watch.seen.values()):
            return
        found = everybodys(trainer, watch.take())
        self._batches = self._stride = 0
        record = reduce(Record.join, found, self._carried)
        enough = record.samples >= self.samples or record.decided
        self._carried = Record() if enough else record.units()
        self.table = record.statistics(units=enough)
        (loss,) = joined(trainer, [self._losses.mean(trainer)])
        self._add(trainer.current_epoch, record, loss)
        if board := Board(trainer):
            board.early({"Layers": layer_charts(self.table)})
            board.layers(self.table)
            self._draw(board, watch)

    def _add(self, epoch: int, record: Record, loss: float) -> None:
        for name, seen in record.layers.items():
            if "update_ratio" in seen.values or "gradient_norm" in seen.values:
                self.layers[name] = seen.activation or self.layers.get(name, "")
            elif "activation_std" in seen.values or "mean_drift" in seen.values:
                self.layers.setdefault(name, seen.activation)
            self.units[name] = seen.width or self.units.get(name, 0)
        kept = {name: row for name, row in self.table.items() if name in GRIDS}
        self.rows.append({"epoch": epoch, "loss": loss, "values": kept})

    def _draws(self, trainer: L.Trainer) -> bool:
        due = self.histograms and len(self.rows) % self.histograms == 0
        return bool(due) and bool(trainer.loggers) and trainer.is_global_zero

    def _draw(self, board: Board, watch: Watch) -> None:
        if not watch.outputs:
            return
        weights = {name: weight_of(watch.layers[name]) for name in watch.outputs}
        board.histograms("outputs", watch.outputs)
        board.histograms("weights", {n: sample(w) for n, w in weights.items() if w is not None})
        watch.outputs = {}

    def _curves(self) -> Curves:
        losses = [row["loss"] for row in self.rows]
        return Curves(losses, [nan] * len(losses), measured=False, epochs=numbered(self.rows))

    # the end, and going on

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        if self._watch is not None:
            self._watch.stop()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def state_dict(self) -> dict[str, Any]:
        """Everything; in the middle of an epoch what this process has measured of it, too."""
        middle = self._watch and {
            "watch": self._watch.state(),
            "batches": self._batches,
            "stride": self._stride,
        }
        return {
            "layers": dict(self.layers),
            "units": dict(self.units),
            "rows": list(self.rows),
            "said": dict(self.said),
            "carried": self._carried.state(),
            "losses": self._losses.state(),
            "middle": middle,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.layers, self.rows = dict(state_dict["layers"]), list(state_dict["rows"])
        self.said = dict(state_dict["said"])
        if "carried" in state_dict:  # checkpoints of earlier versions have no such
            self.units = dict(state_dict["units"])
            self._carried = Record.of(state_dict["carried"])
            self._losses.load_state(state_dict["losses"])
            self._resumed = state_dict["middle"]


def _parameters(optimizer: Any) -> Iterator[Tensor]:
    for group in optimizer.param_groups:
        yield from group["params"]


def _orphans(trainer: L.Trainer, module: L.LightningModule) -> list[Tensor]:
    """Parameters that ask for a gradient and that no optimizer has: they will never move."""
    kept = {id(p) for optimizer in trainer.optimizers for p in _parameters(optimizer)}
    return [p for p in module.parameters() if p.requires_grad and id(p) not in kept]
