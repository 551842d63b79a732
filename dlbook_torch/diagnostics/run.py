"""What is known of a run: its curves, and what went on inside its network."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

Series = Sequence[float]  # one value per epoch
Grid = Sequence[Sequence[float]]  # one row per epoch, one value per layer


@dataclass(frozen=True)
class Curves:
    """The curves of a run, one entry per epoch; NaN where an epoch has not measured it.

    Args:
        train: training loss.
        val: validation loss.
        train_accuracy: share of training samples that were right, in [0, 1].
        val_accuracy: the same of the validation samples.
        lr: learning rate of the epoch.
        measured: ``train`` was measured like ``val``: in eval mode, after the epoch. False: it is
            the running mean of the epoch's own steps, half an epoch old and with dropout on.
        classes: number of classes C; guessing has loss ln C and accuracy 1/C.
        baseline: loss of the best constant answer, where it is known otherwise.
        epochs: number of each epoch, where they are not 0, 1, 2, ...
        running: running mean of the training loss, where it is known besides a measured one.

    Raises: ValueError for curves without epochs or of different length, accuracies outside
        [0, 1], epochs out of order, or fewer than 2 classes.
    """

    train: Series
    val: Series
    train_accuracy: Series | None = None
    val_accuracy: Series | None = None
    lr: Series | None = None
    measured: bool = True
    classes: int | None = None
    baseline: float | None = None
    epochs: Sequence[int] | None = None
    running: Series | None = None

    def __post_init__(self) -> None:
        if not len(self.train) == len(self.val) > 0:
            raise ValueError(
                "expected one training and one validation loss per epoch, "
                f"got {len(self.train)} and {len(self.val)} losses"
            )
        for name in ("train_accuracy", "val_accuracy", "lr", "epochs", "running"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.train):
                raise ValueError(
                    f"expected one {name} for each of {len(self.train)} epochs, got {len(values)}"
                )
        for name in ("train_accuracy", "val_accuracy"):
            wrong = [a for a in _listed(getattr(self, name)) if a < 0 or a > 1]
            if wrong:
                raise ValueError(f"expected {name} between 0 and 1, got {wrong[0]}")
        if self.epochs is not None and any(b <= a for a, b in pairwise(self.epochs)):
            raise ValueError(f"expected epochs in increasing order, got {list(self.epochs)}")
        if self.classes is not None and self.classes < 2:
            raise ValueError(f"expected at least 2 classes, got {self.classes}")

    def epoch(self, index: int) -> int:
        """Return the number of the epoch at ``index``."""
        return index if self.epochs is None else int(self.epochs[index])


def _listed(series: Series | None) -> Series:
    return () if series is None else series


@dataclass(frozen=True)
class Internals:
    """Statistics of every layer, one row per epoch, one value per layer; NaN where unknown.

    A layer is a module with weights, together with the activation that follows it; a layer frozen
    on purpose has NaN for its gradients and updates.

    Args:
        layers: their names, in forward order.
        gradient_norm: Euclidean norm of the gradient, before clipping.
        gradient_mean: mean absolute value of the gradient, before clipping.
        gradient_zero: share of its elements that are exactly 0.
        update_ratio: ``|dW| / |W|`` of one step.
        dead: share of ReLU units (channels) that were never above 0 on the epoch's samples.
        zero: share of outputs that are 0.
        saturated: share of outputs at the ends of a sigmoid or tanh.
        saturated_units: share of units there on all samples.
        activation_std: standard deviation of the outputs.
        weight_max: largest absolute weight.
        similarity: mean cosine between the weights of pairs of units, 1 where all are alike.
        mean_drift: how far the running mean of the layer's BatchNorm is from that of a batch, in
            standard deviations of the batch.
        variance_drift: the same of the running variance: size of the logarithm of the ratio.
        activations: name of the activation of each layer, such as "relu"; "" without one.
        epochs: number of each row's epoch, where they are not 0, 1, 2, ...
        units: number of units (channels) of each layer.

    Raises: ValueError for a row that has not one value per layer, or grids of different length.
    """

    layers: Sequence[str]
    gradient_norm: Grid | None = None
    gradient_mean: Grid | None = None
    gradient_zero: Grid | None = None
    update_ratio: Grid | None = None
    dead: Grid | None = None
    zero: Grid | None = None
    saturated: Grid | None = None
    saturated_units: Grid | None = None
    activation_std: Grid | None = None
    weight_max: Grid | None = None
    similarity: Grid | None = None
    mean_drift: Grid | None = None
    variance_drift: Grid | None = None
    activations: Sequence[str] | None = None
    epochs: Sequence[int] | None = None
    units: Sequence[int] | None = None

    def __post_init__(self) -> None:
        lengths = set()
        for name in GRIDS:
            grid = getattr(self, name)
            if grid is None:
                continue
            lengths.add(len(grid))
            for row in grid:
                if len(row) != len(self.layers):
                    raise ValueError(
                        f"expected a {name} for each of {len(self.layers)} layers, got {len(row)}"
                    )
        if len(lengths) > 1:
            raise ValueError(f"expected grids over the same epochs, got {sorted(lengths)} rows")

    def epoch(self, index: int) -> int:
        """Return the number of the epoch at ``index``."""
        return index if self.epochs is None else int(self.epochs[index])


GRIDS = tuple(
    field.name
    for field in fields(Internals)
    if field.name not in ("layers", "activations", "epochs", "units")
)
