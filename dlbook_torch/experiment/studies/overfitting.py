"""Remedies against overfitting that are no setting of a training run (notes 4.3)."""

from typing import Any, Literal

import torch

from ...models import LIBRARIES, MLP, Library
from .loss import Pair, descend, digits


def scores(net: Any, loss: Any, data: Pair) -> tuple[float, float]:
    """Loss and accuracy."""
    x, t = data
    with torch.no_grad():
        z = net(x)
        return loss(z, t).item(), (z.argmax(1) == t).double().mean().item()


def two_classes(n: int, features: int, apart: float, generator: torch.Generator) -> Pair:
    """Normal clouds whose centres differ in the first feature alone."""
    t = torch.arange(n) % 2
    x = torch.randn(n, features, generator=generator)
    x[:, 0] += apart * (t - 0.5)
    return x, t


def stretching(
    features: Literal["as they are", "all", "first"],
    factor: float = 4.0,
    samples: int = 40,
    steps: int = 300,
    lr: float = 0.1,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    """Learn to tell two clouds in 20 dimensions apart, which differ in one of them.

    ``features`` says which are multiplied by ``factor`` beforehand: none, all, or the first, which
    tells the classes apart, as who designs the data would do.

    Returns: the curves ``train/loss`` and ``val/loss`` over the steps, and at the end their
        ``gap`` and the validation ``accuracy``.
    Source: notes 4.3, remedy 3: pull x apart between the classes while y stays.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    scale = torch.ones(20)
    scale[{"as they are": slice(0), "all": slice(None), "first": slice(1)}[features]] = factor
    train = two_classes(samples, 20, 2.0, generator)
    val = two_classes(1000, 20, 2.0, generator)
    train, val = (train[0] * scale, train[1]), (val[0] * scale, val[1])
    net, lib = MLP(20, 2, [50], init="he", library=library), LIBRARIES[library]
    loss = lib.CrossEntropyLoss()
    curves: dict[str, list[float]] = {"train/loss": [], "val/loss": []}
    for _ in range(steps):
        descend(net, loss(net(train[0]), train[1]), lr)
        curves["train/loss"].append(scores(net, loss, train)[0])
        curves["val/loss"].append(scores(net, loss, val)[0])
    return {
        **curves,
        "gap": curves["val/loss"][-1] - curves["train/loss"][-1],
        "accuracy": scores(net, loss, val)[1],
    }


def unbalanced(data: Pair, rare: int, kept: int) -> Pair:
    """Of every class from ``rare`` on, keep the first so many samples."""
    x, t = data
    rank = (t[:, None] == torch.arange(10)).cumsum(0).gather(1, t[:, None]).squeeze(1)
    keep = (t < rare) | (rank <= kept)
    return x[keep], t[keep]


def sampling(
    balanced: bool,
    kept: int = 5,
    steps: int = 400,
    batch_size: int = 50,
    lr: float = 0.1,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    """Learn the digits when of each of 5 to 9 only so many images are ``kept``.

    With ``balanced`` every class is drawn equally often, else every image.

    Returns: ``train/loss`` and ``val/loss`` every tenth step, and at the end the ``accuracy`` on
        validation images, where the classes are equally frequent, and on those of the ``rare`` and
        the ``frequent`` ones.
    Source: notes 4.3, remedy 4: sample evenly, so many of each class.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train, val = digits()
    shuffled = torch.randperm(len(train[1]), generator=generator)
    x, t = train = unbalanced((train[0][shuffled], train[1][shuffled]), 5, kept)
    weights = 1 / t.bincount()[t] if balanced else torch.ones(len(t))
    net, lib = MLP(64, 10, [50], init="he", library=library), LIBRARIES[library]
    loss = lib.CrossEntropyLoss()
    curves: dict[str, list[float]] = {"train/loss": [], "val/loss": []}
    for step in range(steps):
        drawn = weights.multinomial(batch_size, replacement=True, generator=generator)
        descend(net, loss(net(x[drawn]), t[drawn]), lr)
        if step % 10 == 9:
            curves["train/loss"].append(scores(net, loss, train)[0])
            curves["val/loss"].append(scores(net, loss, val)[0])
    few = val[1] >= 5
    return {
        **curves,
        "accuracy": scores(net, loss, val)[1],
        "rare": scores(net, loss, (val[0][few], val[1][few]))[1],
        "frequent": scores(net, loss, (val[0][~few], val[1][~few]))[1],
    }
