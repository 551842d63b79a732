"""MNIST as torchvision reads it."""

from pathlib import Path

import torch
from torch import Tensor
from torchvision import datasets

HELD_OUT = 5000  # training images that nobody trains on: the training command validates on them
MEAN, STD = 0.1307, 0.3081


def images_and_labels(root: Path) -> tuple[Tensor, Tensor]:
    """The bytes (N, H, W) of the images to train on, and their labels."""
    mnist = datasets.MNIST(str(root), train=True)
    return mnist.data[:-HELD_OUT], mnist.targets[:-HELD_OUT]


def in_memory(root: Path) -> tuple[Tensor, Tensor]:
    """The same, normalised once: (N, 1, H, W) in float32."""
    x, t = images_and_labels(root)
    return x.unsqueeze(1).to(torch.float32).div_(255).sub_(MEAN).div_(STD), t
