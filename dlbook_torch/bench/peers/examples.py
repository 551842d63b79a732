"""The recipe of pytorch/examples for MNIST: its network, rule, schedule and loader, anew."""

from pathlib import Path

import torch
from torch import nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from .clock import Clock
from .files import MEAN, STD

BATCH, EPOCHS = 64, 14
STEPS = -(-60_000 // BATCH)  # of an epoch


def network() -> nn.Module:
    """Two 3 x 3 convolutions, one pooling, two affine layers, two dropouts."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten()),
        *(nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)),
        nn.LogSoftmax(1),
    )


def data(root: Path, train: bool) -> datasets.MNIST:
    """All images, one by one from bytes to numbers at every look."""
    steps = [transforms.ToTensor(), transforms.Normalize((MEAN,), (STD,))]
    return datasets.MNIST(str(root), train=train, transform=transforms.Compose(steps))


def train(clock: Clock, steps: int, root: Path) -> dict[str, float]:
    """Train for so many steps, an epoch has 938; after whole epochs also test."""
    torch.manual_seed(1)
    net = network()
    rule = optim.Adadelta(net.parameters(), lr=1.0)
    schedule = optim.lr_scheduler.StepLR(rule, 1, gamma=0.7)
    loader = DataLoader(data(root, True), BATCH, shuffle=True)
    while clock.steps < steps:
        clock.start()
        done = 0
        for x, t in loader:
            rule.zero_grad()
            F.nll_loss(net(x), t).backward()
            rule.step()
            done += 1
            if clock.steps + done == steps:
                break
        schedule.step()
        clock.stop(done)
    return {"test/accuracy": accuracy(net, root)} if steps % STEPS == 0 else {}


@torch.no_grad()
def accuracy(net: nn.Module, root: Path) -> float:
    """Share of the test images that are read rightly."""
    net.eval()
    loader = DataLoader(data(root, False), 1000)
    return sum(int((net(x).argmax(1) == t).sum()) for x, t in loader) / len(loader.dataset)  # type: ignore[arg-type]
