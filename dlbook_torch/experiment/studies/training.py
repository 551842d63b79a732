"""The plainest training, for studies that look where a run of ``train.py`` does not."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from ... import optim
from ...data import Digits, TensorBatches
from ...models import LIBRARIES, Library

RULES: dict[str, Any] = {"dlbook": optim, "torch": torch.optim}


def digits(samples: int, label_noise: float = 0.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """The first training images, normalised, and their labels, some of them wrong on purpose."""
    data = Digits(subset=samples, label_noise=label_noise, seed=seed)
    data.setup("fit")
    x, t = data.train
    return data.normalize(x), t


def epochs_of(
    net: Module,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    t: Tensor,
    epochs: int,
    seed: int,
    library: Library,
) -> Iterator[float]:
    """Train in batches of 50; the mean loss of the steps of every epoch."""
    batches = TensorBatches(x, t, batch_size=50, shuffle=True, seed=seed)
    criterion = LIBRARIES[library].CrossEntropyLoss()
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        losses = []
        for images, labels in batches:
            optimizer.zero_grad()
            loss = criterion(net(images), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        yield torch.stack(losses).mean().item()
