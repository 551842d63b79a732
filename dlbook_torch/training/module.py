"""The one LightningModule: any network, any update rule, two kinds of target (notes 3.4, 4.2)."""

from functools import partial
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters
from torch import Tensor
from torchmetrics import Metric

from .. import nn
from ..optim import Adam

LIBRARIES: dict[str, Any] = {"dlbook": nn, "torch": torch.nn}
SPLITS = ("running", "train", "val", "test")
Batch = tuple[Tensor, Tensor]
Compile = bool | Literal["default", "reduce-overhead", "max-autotune"]


class Mean(Metric):
    """Mean over samples, from the sums over batches; a NaN stays one.

    torchmetrics' ``MeanMetric`` drops NaN, or with ``nan_strategy="disable"`` the batch sizes, and
    its ``MulticlassAccuracy`` takes a quarter of a millisecond a step.
    """

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, total: Tensor, samples: int) -> None:
        self.total.add_(total)
        self.count.add_(samples)

    def compute(self) -> Tensor:
        return self.total / self.count


class Supervised(L.LightningModule):
    """Fit ``net`` to pairs (x, t) and measure it per epoch as ``train/*``, ``val/*`` and ``gap/*``.

    The training curve has to be comparable with the validation curve. When the data module gives
    two validation loaders, the second holds training images: ``train/*`` is then measured on them
    in eval mode, on the same weights as ``val/*``, and the mean over the epoch's own steps (half
    an epoch old, with dropout on) is ``train/*_running``. With a single validation loader that
    running mean is all there is, and becomes ``train/*``.

    Args:
        net: the network.
        optimizer: called with the parameters; from YAML, any optimizer's class path.
        lr_scheduler: called with the optimizer. A ``total_steps`` left open (``OneCycleLR``) is
            filled with the number of steps of the whole run.
        lr_interval: the scheduler moves after every epoch or after every step.
        library: whose loss: handwritten or torch's.
        compile: let ``torch.compile`` make the network's forward and backward pass anew, at the
            first step, and the step of a handwritten rule; ``"reduce-overhead"`` or another of its
            modes by name. The monitor of layers then sees gradients, updates and weights, and no
            outputs.
    """

    loss: torch.nn.Module
    meters: torch.nn.ModuleDict

    def __init__(
        self,
        net: torch.nn.Module,
        optimizer: OptimizerCallable = Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_interval: Literal["epoch", "step"] = "epoch",
        library: Literal["dlbook", "torch"] = "dlbook",
        compile: Compile = False,
    ):
        super().__init__()
        # A checkpoint must load with weights_only=True. From the command line the arguments are
        # known as plain values; from Python, objects stay out and are given again on loading.
        objects = (
            ["net", "optimizer", "lr_scheduler"] if _given_hyperparameters.get() is None else []
        )
        self.save_hyperparameters(ignore=objects, logger=False)
        self.net, self.optimizer = net, optimizer
        self.compiled = bool(compile)
        if compile:
            net.compile(mode=None if compile is True else compile)  # in place: the keys stay
        self.lr_scheduler, self.lr_interval = lr_scheduler, lr_interval
        self.meters = torch.nn.ModuleDict(
            {f"{split}_meters": self.make_meters() for split in SPLITS}
        )

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes every hook's name here, fifty times a step; a Module then asks each time
        # whether it is a parameter, a buffer or a module
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def make_meters(self) -> Any:
        """Return what is averaged over one split, by name."""
        return torch.nn.ModuleDict({"loss": Mean()})

    def observe(self, meters: Any, loss: Tensor, y: Tensor, t: Tensor) -> None:
        """Feed one batch to the meters of a split."""
        meters["loss"].update(loss.detach() * len(t), len(t))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.to(self.dtype) if x.is_floating_point() else x)

    def share(self, split: str, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss and the outputs of one batch, and count it towards ``split``."""
        x, t = batch
        y = self(x)
        y = y.to(torch.promote_types(y.dtype, torch.float32))  # 16 bits are too few for a mean
        loss = self.loss(y, t)
        self.observe(self._meters(split), loss, y.detach(), t)
        return loss, y

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.share("running", batch)[0]

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.share("train" if dataloader_idx else "val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.share("test", batch)[1]

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(batch[0] if isinstance(batch, list | tuple) else batch)

    def on_validation_epoch_end(self) -> None:
        val = self.publish("val", "val/{}", prog_bar=True)
        train = self.publish("train", "train/{}") or self.publish("running", "train/{}")
        for name in train.keys() & val.keys():
            gap = val[name] - train[name]
            self.log(f"gap/{name}", -gap if name == "accuracy" else gap)

    def on_train_epoch_end(self) -> None:
        self.publish("running", "train/{}_running")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the means over the epoch's steps so far, for a run stopped in the middle of it.

        Of several processes, those of the first: that epoch's ``running`` is then not exact.
        """
        checkpoint["running"] = {
            name: (meter.update_count, dict(meter.metric_state))
            for name, meter in self._meters("running").items()
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        meters = dict(self._meters("running").items())
        for name, (count, state) in checkpoint.get("running", {}).items():
            meter = meters.get(name)
            if meter is None or state.keys() != meter.metric_state.keys():
                continue  # the module measures something else now
            meter._update_count = count
            for key, value in state.items():
                setattr(meter, key, value.to(meter.device))

    def on_test_epoch_end(self) -> None:
        self.publish("test", "test/{}")

    def publish(self, split: str, pattern: str, **options: Any) -> dict[str, Tensor]:
        """Log the means of ``split`` under ``pattern``, start the next ones, return them.

        They are over all processes, and logged without ``sync_dist``: Lightning would reduce them
        again when they are looked at, which the first process's progress bar does alone.
        """
        means = {}
        for name, meter in self._meters(split).items():
            if isinstance(meter, Metric) and meter.update_called:
                means[name] = meter.compute()
                meter.reset()
        scores = {pattern.format(name): mean for name, mean in means.items()}
        self.log_dict(scores, **options)
        return means

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer(self.parameters())
        if self.compiled and hasattr(optimizer, "compile"):  # torch's own have fused=True
            optimizer.compile()
        if self.lr_scheduler is None:
            return optimizer
        scheduler = self._open_ends_filled(self.lr_scheduler)(optimizer)
        plan = {"scheduler": scheduler, "interval": self.lr_interval}
        return {
            "optimizer": optimizer,
            "lr_scheduler": plan | {"monitor": getattr(scheduler, "monitor", "val/loss")},
        }

    def _open_ends_filled(self, scheduler: LRSchedulerCallable) -> LRSchedulerCallable:
        """Give the length of the run to a scheduler from YAML that was left to ask for it."""
        given = getattr(scheduler, "keywords", {})
        if given.get("total_steps", 0) is not None or given.get("epochs") is not None:
            return scheduler
        per_step = self.lr_interval == "step"
        steps = self.trainer.estimated_stepping_batches if per_step else self.trainer.max_epochs
        if steps is None or not 0 < steps < float("inf"):
            raise ValueError(f"a scheduler with total_steps needs a finite run, got {steps} steps")
        return partial(scheduler, total_steps=int(steps))  # type: ignore[call-arg]

    def _meters(self, split: str) -> Any:
        return self.meters[f"{split}_meters"]


class Classifier(Supervised):
    """Cross-entropy on class labels, measured by loss and accuracy (notes 3.4, 4.2).

    Args:
        net: maps x to (N, classes) logits.
        optimizer: called with the parameters; from YAML, any optimizer's class path.
        lr_scheduler: called with the optimizer, or None for a constant rate.
        lr_interval: the scheduler moves after every epoch or after every step.
        label_smoothing: share of the target given to all classes alike (notes 4.3).
        library: whose loss: handwritten or torch's.
        compile: let ``torch.compile`` make the network's passes and the rule's step anew.

    Raises: ValueError for a label_smoothing outside [0, 1].
    """

    def __init__(
        self,
        net: torch.nn.Module,
        optimizer: OptimizerCallable = Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_interval: Literal["epoch", "step"] = "epoch",
        label_smoothing: float = 0.0,
        library: Literal["dlbook", "torch"] = "dlbook",
        compile: Compile = False,
    ):
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must be between 0 and 1, got {label_smoothing}")
        super().__init__(net, optimizer, lr_scheduler, lr_interval, library, compile)
        self.loss = LIBRARIES[library].CrossEntropyLoss(label_smoothing=label_smoothing)

    def make_meters(self) -> Any:
        """Return what is averaged over one split, by name."""
        meters = super().make_meters()
        meters["accuracy"] = Mean()
        return meters

    def observe(self, meters: Any, loss: Tensor, y: Tensor, t: Tensor) -> None:
        """Feed one batch to the meters of a split."""
        super().observe(meters, loss, y, t)
        meters["accuracy"].update((y.argmax(1) == t).sum(), len(t))

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().predict_step(batch, batch_idx).argmax(1)


class Regressor(Supervised):
    """Mean squared error on real targets (notes 3.4, 4.2).

    Args:
        net: maps x to outputs of the target's shape.
        optimizer: called with the parameters; from YAML, any optimizer's class path.
        lr_scheduler: called with the optimizer, or None for a constant rate.
        lr_interval: the scheduler moves after every epoch or after every step.
        library: whose loss: handwritten or torch's.
        compile: let ``torch.compile`` make the network's passes and the rule's step anew.
    """

    def __init__(
        self,
        net: torch.nn.Module,
        optimizer: OptimizerCallable = Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_interval: Literal["epoch", "step"] = "epoch",
        library: Literal["dlbook", "torch"] = "dlbook",
        compile: Compile = False,
    ):
        super().__init__(net, optimizer, lr_scheduler, lr_interval, library, compile)
        self.loss = LIBRARIES[library].MSELoss()
