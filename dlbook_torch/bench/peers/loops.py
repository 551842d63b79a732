"""Plain loops over the steps: torch's layers or ours, batches from memory or a DataLoader."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ... import models, nn, optim
from . import files
from .clock import Clock
from .files import MEAN, STD, in_memory

BATCH = 100
LIBRARIES: dict[str, Any] = {"dlbook": (nn, optim), "torch": (torch.nn, torch.optim)}
Batches = Iterator[tuple[Tensor, Tensor]]


def network(subject: str, library: Any) -> tuple[torch.nn.Module, Any]:
    """A network and its rule, from one library.

    ``convnet`` is the book's with its pooling in front of ReLU, as
    :class:`~dlbook_torch.models.SimpleConvNet` has it; ``convnet, book's order`` pools after it.
    """
    _, rules = LIBRARIES[library]
    if subject == "mlp":
        net: torch.nn.Module = models.MLP(784, 10, [50], library=library)
        return net, rules.SGD(net.parameters(), lr=0.1)
    if subject == "deep":
        net = models.DeepConvNet(library=library)
    else:
        net = models.SimpleConvNet(library=library)
    if subject == "convnet, book's order":
        pool, relu = net.layers[1:3]
        net.layers[1], net.layers[2] = relu, pool
    return net, rules.Adam(net.parameters(), lr=0.001)


def from_memory(root: Path) -> Batches:
    """Shuffled batches cut out of normalised images, for ever."""
    x, t = in_memory(root)
    while True:
        for batch in torch.randperm(len(x)).split(BATCH):
            yield x.index_select(0, batch), t.index_select(0, batch)


def from_loader(root: Path) -> Batches:
    """Batches as torchvision's data set and torch's DataLoader make them, for ever."""
    from torch.utils.data import DataLoader, Subset
    from torchvision import datasets, transforms

    steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))])
    mnist = datasets.MNIST(str(root), transform=steps)
    images = Subset(mnist, range(len(mnist) - files.HELD_OUT))
    while True:
        yield from DataLoader(images, BATCH, shuffle=True)


def train(
    clock: Clock,
    steps: int,
    root: Path,
    subject: str,
    library: str,
    batches: Callable[[Path], Batches] = from_memory,
    compiled: bool = False,
) -> None:
    """Train a network in the shortest loop."""
    torch.manual_seed(0)
    net, rule = network(subject, library)
    loss = LIBRARIES[library][0].CrossEntropyLoss()
    given = batches(root)
    first = next(given)
    net.train()
    if compiled:
        net = torch.compile(net)  # type: ignore[assignment]
        net(first[0]).sum().backward()
        rule.zero_grad()

    def step() -> None:
        x, t = next(given)
        rule.zero_grad()
        loss(net(x), t).backward()
        rule.step()

    clock.repeat(step, steps)
