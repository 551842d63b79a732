"""Data sets as LightningDataModules whose batches are cut from tensors in memory."""

from .batches import TensorBatches
from .images import CIFAR10, MNIST, Digits, FashionMNIST, Images
from .toy import Plane, Sine

__all__ = [
    "CIFAR10",
    "MNIST",
    "Digits",
    "FashionMNIST",
    "Images",
    "Plane",
    "Sine",
    "TensorBatches",
]
