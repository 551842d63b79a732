"""Images per second of the loaders: batches cut in memory against torchvision and DataLoader."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import torch
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from ..data import MNIST, TensorBatches
from .machine import machine

BATCH_SIZE = 128
Epoch = Callable[[], Iterable[tuple[Tensor, Tensor]]]


def contestants(data_dir: str | None = None) -> dict[str, Epoch]:
    """Each gives one epoch of MNIST in shuffled batches, float32 and normalised.

    Raises: RuntimeError if the files are not laid out as torchvision wants them.
    """
    mnist = MNIST(data_dir=data_dir)
    mnist.prepare_data()
    ours = TensorBatches(*mnist.read(train=True), batch_size=BATCH_SIZE, shuffle=True)
    steps = [transforms.ToTensor(), transforms.Normalize(mnist.mean, mnist.std)]
    images = datasets.MNIST(mnist.root, transform=transforms.Compose(steps))

    def theirs(num_workers: int) -> DataLoader:
        return DataLoader(images, BATCH_SIZE, shuffle=True, num_workers=num_workers)

    return {
        "TensorBatches": lambda: ((mnist.normalize(x), t) for x, t in ours),
        "torchvision, DataLoader, no worker": lambda: theirs(0),
        "torchvision, DataLoader, 2 workers": lambda: theirs(2),
    }


def throughput(epochs: Mapping[str, Epoch], rounds: int) -> dict[str, float]:
    """Median images per second; they take turns, so that a busy machine slows all alike."""
    speeds: dict[str, list[float]] = {name: [] for name in epochs}
    for _ in range(rounds):
        for name, epoch in epochs.items():
            start = perf_counter()
            images = sum(len(x) for x, _ in epoch())
            speeds[name].append(images / (perf_counter() - start))
    return {name: median(values) for name, values in speeds.items()}


def measure(data_dir: str | None = None, rounds: int = 3) -> list[dict[str, Any]]:
    """The speed of every loader, with one thread."""
    torch.set_num_threads(1)
    speeds = throughput(contestants(data_dir), rounds)
    return [{"loader": name, "images_per_s": speed} for name, speed in speeds.items()]


def table(found: Sequence[Mapping[str, Any]], rounds: int) -> Table:
    """The figures for the terminal."""
    first = found[0]["images_per_s"]
    title = f"MNIST, batches of {BATCH_SIZE}, median of {rounds} epochs on {machine()}"
    result = Table("loader", title=title)
    for head in ("images/s", "ours is faster by"):
        result.add_column(head, justify="right")
    for row in found:
        speed = row["images_per_s"]
        result.add_row(row["loader"], f"{speed:,.0f}", f"{first / speed:.1f} x")
    return result
