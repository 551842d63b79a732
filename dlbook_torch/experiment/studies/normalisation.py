"""What BatchNorm does to the values of a layer, and where it stands (notes 6.4)."""

from typing import Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Generator, Tensor
from torch.nn import Module

from ...data import Digits
from ...models import LIBRARIES, MLP, Library, Network
from ..figures import panels
from ..results import Results
from .signal import OPTIMIZERS, digits

WIDTH, BINS, REACH = 100, 48, 4.0
Place = Literal["before", "after", "nowhere"]


def fit(
    net: Module, epochs: int, lr: float, generator: Generator, library: Library = "dlbook"
) -> list[float]:
    """Train on the 1000 digits in batches of 100 by SGD; the mean loss of every epoch."""
    x, t = digits()
    rule, losses = OPTIMIZERS[library].SGD(net.parameters(), lr=lr), []
    loss = LIBRARIES[library].CrossEntropyLoss()
    for _ in range(epochs):
        seen = []
        for batch in torch.randperm(len(x), generator=generator).split(100):
            rule.zero_grad()
            error = loss(net(x[batch]), t[batch])
            error.backward()
            rule.step()
            seen.append(float(error.detach()))
        losses.append(sum(seen) / len(seen))
    return losses


def place(
    norm: Place,
    lr: float = 0.1,
    depth: int = 5,
    epochs: int = 10,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    """Train five ReLU layers on digits, BatchNorm before the activation, after it, or nowhere.

    Returns: the ``loss`` of every epoch's steps, and the last validation ``accuracy``.
    Source: notes 6.4.
    """
    torch.manual_seed(seed)
    lib = LIBRARIES[library]
    layers: list[Module] = [lib.Flatten()]
    for n in (64, *[WIDTH] * (depth - 1)):
        block = [lib.Linear(n, WIDTH), lib.ReLU()]
        if norm != "nowhere":
            block.insert(1 if norm == "before" else 2, lib.BatchNorm1d(WIDTH))
        layers += block
    net = Network([*layers, lib.Linear(WIDTH, 10)], "he")
    losses = fit(net, epochs, lr, Generator().manual_seed(seed), library)
    data = Digits()
    _, (x, t) = data.load_training()
    with torch.no_grad():
        y = net.eval()(data.normalize(x))
    return {"loss": losses, "accuracy": (y.argmax(1) == t).float().mean()}


def distribution(epochs: int, seed: int = 0, library: Library = "dlbook") -> dict[str, Any]:
    """Look at what five BatchNorms put out, scale and shift aside, for 1000 digits.

    Returns: of all 500 units the ``mean`` and ``variance`` that are farthest from 0 and 1, the
        share of values ``inside`` [0, 1], the ``lowest`` and ``highest`` value, and ``rejected``:
        the share of units that D'Agostino and Pearson's test calls not normal at the level of
        5 %, which it says of 5 % of normal ones; ``counts`` of the bins from -4 to 4 of all
        values, and of the unit that is ``least`` normal.
    Source: notes 6.4.
    """
    from scipy.stats import normaltest

    torch.manual_seed(seed)
    net = MLP(64, 10, [WIDTH] * 5, init="he", batch_norm=True, library=library)
    fit(net, epochs, 0.1, Generator().manual_seed(seed), library)
    normalise = LIBRARIES[library].BatchNorm1d(WIDTH, affine=False)
    values = torch.cat([normalise(a) for a in _inputs_of_norms(net)], 1).double()
    statistic, p = normaltest(values.numpy())
    mean, variance = values.mean(0), values.var(0, correction=0)
    return {
        "mean": mean[mean.abs().argmax()],
        "variance": variance[(variance - 1).abs().argmax()],
        "inside": ((values >= 0) & (values <= 1)).double().mean(),
        "lowest": values.min(),
        "highest": values.max(),
        "rejected": float((p < 0.05).mean()),
        "counts": torch.histc(values, BINS, -REACH, REACH),
        "least": torch.histc(values[:, statistic.argmax()], BINS, -REACH, REACH),
    }


def _inputs_of_norms(net: Module) -> list[Tensor]:
    """What reaches every BatchNorm of a network when the 1000 digits come as one batch."""
    found: list[Tensor] = []
    norms = [layer for layer in net.modules() if type(layer).__name__ == "BatchNorm1d"]
    hooks = [n.register_forward_pre_hook(lambda _, a: found.append(a[0])) for n in norms]
    with torch.no_grad():
        net.train()(digits()[0])
    for hook in hooks:
        hook.remove()
    return found


def noise(
    batch_size: int, draws: int = 200, seed: int = 0, library: Library = "dlbook"
) -> dict[str, Any]:
    r"""Normalise 100 random features of a digit among ever other companions.

    With the feature's distance z from its mean in standard deviations, and n in a batch, the
    normalised value has a standard deviation of about :math:`\sqrt{(1 + z^2 / 2) / n}`.

    Returns: ``noise``, the standard deviation over draws, its root mean square over the features.
    Source: notes 6.4.
    """
    generator = Generator().manual_seed(seed)
    x, _ = digits()
    features = x.flatten(1) @ torch.randn(64, WIDTH, generator=generator) / 8
    normalise = LIBRARIES[library].BatchNorm1d(WIDTH, affine=False)
    seen = []
    for _ in range(draws):
        companions = 1 + torch.randperm(len(x) - 1, generator=generator)[: batch_size - 1]
        batch = torch.cat([features[:1], features[companions]])
        seen.append(normalise(batch)[0])
    return {"noise": torch.stack(seen).var(0).mean().sqrt()}


def draw_distribution(results: Results) -> Figure:
    """All normalised values and those of the least normal unit, against the normal density."""
    arms = list(results.records)
    made, grid = panels(2 * len(arms), columns=2)
    x = np.linspace(-REACH, REACH, BINS + 1)
    middle, width = (x[1:] + x[:-1]) / 2, 2 * REACH / BINS
    normal = np.exp(-(middle**2) / 2) / (2 * np.pi) ** 0.5
    for i, axes in enumerate(grid):
        numbers, key = results.numbers(arms[i // 2]), ("counts", "least")[i % 2]
        counts = np.array(numbers[key])
        axes.bar(middle, counts / counts.sum() / width, width, color="#2563c9", alpha=0.5)
        axes.plot(middle, normal, color="#d9660a", label="normal density")
        title = ("all 500 units", "the least normal unit")[i % 2]
        axes.set_title(f"{arms[i // 2]}: {title}", fontsize=9)
        axes.set(xlabel="normalised value", ylabel="density")
    grid[0].legend(fontsize=8, frameon=False)
    return made


def draw_scales(results: Results) -> Figure:
    """A panel per scale of the initial weights: training accuracy with and without BatchNorm."""
    arms = results.experiment.arms
    scales = list(dict.fromkeys(options["model.net.init"] for options in arms.values()))
    made, grid = panels(len(scales), columns=4, width=2.6, height=1.9)
    looks = {True: ("#2563c9", "-", "BatchNorm"), False: ("#d9660a", "--", "without")}
    for axes, scale in zip(grid, scales, strict=True):
        for arm, runs in results.records.items():
            if arms[arm]["model.net.init"] == scale and runs:
                color, style, label = looks[arms[arm]["model.net.batch_norm"]]
                curves = [record["numbers"]["train/accuracy"] for record in runs.values()]
                mean = torch.tensor(curves).mean(0)
                axes.plot(range(1, len(mean) + 1), mean, style, color=color, label=label)
        axes.set_title(f"std {scale:g}", fontsize=9)
        axes.set_ylim(0, 1.05)
    for axes in grid[::4]:
        axes.set_ylabel("train accuracy", fontsize=8)
    for axes in grid[-4:]:
        axes.set_xlabel("epoch", fontsize=8)
    grid[0].legend(fontsize=7, frameon=False)
    return made
