"""What every data set of this room does alike: whole tensors in memory, batches by index."""

from abc import ABC, abstractmethod
from typing import TypeVar

import lightning as L
from torch import Tensor

from .batches import TensorBatches

Tensors = tuple[Tensor, ...]
Number = TypeVar("Number", int, float)


def in_range(name: str, value: Number, low: Number, high: Number) -> Number:
    """Return ``value``.

    Raises: ValueError if it lies outside ``low .. high``.
    """
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low} and {high}, got {value}")
    return value


class TensorDataModule(L.LightningDataModule, ABC):
    """Training, validation and test set, each a few whole tensors.

    ``val_dataloader`` returns two loaders: the validation set, and equally many training samples
    (or all, if there are fewer), in a fixed order and unaugmented, so that the training curve can
    be measured as the validation curve is. The test set is not even read before it is asked for.

    Args:
        batch_size: samples per batch.
        seed: of the order of the training samples.

    Raises: ValueError for a batch size below 1.
    """

    train: Tensors = ()
    val: Tensors = ()

    def __init__(self, batch_size: int, seed: int = 0):
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.batch_size, self.seed = batch_size, seed

    @abstractmethod
    def load_training(self) -> tuple[Tensors, Tensors]:
        """Training and validation set."""

    @abstractmethod
    def load_test(self) -> Tensors:
        """Test set."""

    def setup(self, stage: str) -> None:
        if stage in ("fit", "validate") and not self.train:
            self.train, self.val = self.load_training()

    def train_dataloader(self) -> TensorBatches:
        # Lightning's overfit_batches means the same few batches in every epoch
        overfit = getattr(self.trainer, "overfit_batches", 0) > 0
        return self._batches(self.train, shuffle=not overfit)

    def val_dataloader(self) -> list[TensorBatches]:
        sample = tuple(tensor[: len(self.val[0])] for tensor in self.train)
        return [self._batches(self.val), self._batches(sample)]

    def test_dataloader(self) -> TensorBatches:
        return self._batches(self.load_test())

    def predict_dataloader(self) -> TensorBatches:
        return self.test_dataloader()

    def _batches(self, tensors: Tensors, shuffle: bool = False) -> TensorBatches:
        return TensorBatches(*tensors, batch_size=self.batch_size, shuffle=shuffle, seed=self.seed)
