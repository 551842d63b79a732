"""What activation functions do to values, to gradients and to learning (notes 3.2)."""

from math import isfinite, log10
from typing import Any, Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import Module

from ...models import ACTIVATIONS, LIBRARIES, MLP, Activation, Init, Library
from ..figures import COLORS, panels
from ..judge import interval
from ..results import Results
from .training import RULES, digits, epochs_of

Variant = Literal["sigmoid", "sigmoid - 1/2", "2 sigmoid - 1", "tanh", "relu"]
MOVED = {"sigmoid - 1/2": (1.0, 0.5), "2 sigmoid - 1": (2.0, 1.0)}  # scale and shift of a sigmoid


def curves(
    activation: Activation, reach: float = 10.0, points: int = 401, library: Library = "dlbook"
) -> dict[str, Any]:
    """Values and slopes of an activation function, the slopes by its own backward pass.

    Returns: ``x``, ``y`` and ``slope``; the ``steepest`` slope, those ``far_left`` and
        ``far_right``, at the ends; ``mean``, of y over x that are spread evenly around 0.
    Source: notes 3.2.
    """
    x = torch.linspace(-reach, reach, points, dtype=torch.float64, requires_grad=True)
    y = getattr(LIBRARIES[library], ACTIVATIONS[activation])()(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    return {
        "x": x,
        "y": y,
        "slope": slope,
        "steepest": slope.max(),
        "far_left": slope[0],
        "far_right": slope[-1],
        "mean": y.mean(),
    }


def gradients(
    activation: Activation,
    init: Init,
    layers: int = 10,
    width: int = 100,
    samples: int = 200,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    """The gradient of every layer's weights at the start, for a deep network that reads digits.

    Returns: ``gradient``, its root mean square in every hidden layer from the first on;
        ``decades``, how many powers of ten the first has more than the last (below 0: less).
    Source: notes 3.2.1, 3.2.2.
    """
    x, t = digits(samples)
    net = _network([width] * layers, activation, init, seed, library)
    LIBRARIES[library].CrossEntropyLoss()(net(x), t).backward()
    found = [p.grad for p in net.parameters() if p.dim() > 1 and p.grad is not None][:-1]
    sizes = [g.double().square().mean().sqrt().item() for g in found]
    first, last = (max(size, 1e-300) for size in (sizes[0], sizes[-1]))
    return {"gradient": sizes, "decades": log10(first / last)}


def training(
    variant: Variant,
    lr: float,
    layers: int = 3,
    width: int = 50,
    epochs: int = 20,
    samples: int = 500,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    """Train on digits by plain SGD, from initial weights that fit the activation.

    ``sigmoid - 1/2`` has the sigmoid's slopes, and whatever a network computes with one it can
    compute with the other: the centre is all that differs. ``2 sigmoid - 1``, which is
    ``tanh(x / 2)``, is twice as steep, and ``tanh`` four times.

    Returns: the ``loss`` of every epoch.
    Source: notes 3.2.1, 3.2.2, 3.2.3.
    """
    x, t = digits(samples)
    activation: Any = "sigmoid" if variant in MOVED else variant
    init: Init = "he" if variant == "relu" else "xavier"
    net = _network([width] * layers, activation, init, seed, library)
    if variant in MOVED:
        for i, layer in enumerate(net.layers):
            if isinstance(layer, LIBRARIES[library].Sigmoid):
                net.layers[i] = LIBRARIES[library].Sequential(layer, Moved(*MOVED[variant]))
    rule = RULES[library].SGD(net.parameters(), lr)
    return {"loss": list(epochs_of(net, rule, x, t, epochs, seed, library))}


class Moved(Module):
    """Stretch every value and take something off it.

    Shape: ``(*)`` to ``(*)``.
    """

    def __init__(self, scale: float, shift: float):
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, input: Tensor) -> Tensor:
        return self.scale * input - self.shift


def dead(
    lr: float,
    init: Init = "he",
    rule: Literal["SGD", "Adagrad"] = "SGD",
    layers: int = 3,
    width: int = 50,
    epochs: int = 10,
    samples: int = 500,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    """Train ReLUs on digits, and count those that are 0 for every training image.

    Returns: the share of ``dead`` units at the start and after every epoch, the ``loss`` of every
        epoch, and the ``accuracy`` on the training images at the end. A network whose loss is no
        longer a number stops there.
    Source: notes 3.2.3.
    """
    x, t = digits(samples)
    net = _network([width] * layers, "relu", init, seed, library)
    share, losses = [dead_share(net, x)], []
    optimizer = getattr(RULES[library], rule)(net.parameters(), lr)
    for loss in epochs_of(net, optimizer, x, t, epochs, seed, library):
        losses.append(loss)
        if not isfinite(loss):
            break
        share.append(dead_share(net, x))
    with torch.no_grad():
        accuracy = (net(x).argmax(1) == t).double().mean()
    return {"dead": share, "loss": losses, "accuracy": accuracy}


def dead_share(net: MLP, x: Tensor) -> float:
    """The share of hidden units that are 0 for every sample; one that is NaN is not."""
    silent = []
    with torch.no_grad():
        for layer in net.layers:
            x = layer(x)
            if type(layer).__name__ == "ReLU":
                silent.append((x <= 0).all(0))
    return torch.cat(silent).double().mean().item()


def neighbours(
    width: int = 50, samples: int = 200, seed: int = 0, library: Library = "dlbook"
) -> dict[str, Any]:
    """Kill one unit in the first of three layers of ReLUs, and look for the gradients that remain.

    Returns: the largest gradient of the weights of every unit of the ``first`` layer, of which
        number 0 is dead, and of the ``second``; ``own``, that of the dead unit and its bias;
        ``stopped``, the share of units of the second layer that had a gradient and lost it.
    Source: notes 3.2.3, which let the units after a dead one die with it.
    """
    x, t = digits(samples)
    net = _network([width] * 3, "relu", "he", seed, library)
    linear: list[Any] = [layer for layer in net.layers if type(layer).__name__ == "Linear"]
    first, second = linear[:2]

    def largest(layer: Any) -> Tensor:
        """The largest gradient of every unit."""
        net.zero_grad()
        LIBRARIES[library].CrossEntropyLoss()(net(x), t).backward()
        return torch.cat([layer.weight.grad, layer.bias.grad[:, None]], 1).abs().amax(1)

    before = largest(second)
    with torch.no_grad():
        first.bias[0] = -1e6
    own, after = largest(first), largest(second)
    alive = before > 0
    return {
        "first": own,
        "second": after,
        "own": own[0],
        "stopped": (alive & (after == 0)).sum() / alive.sum(),
    }


def _network(
    hidden: list[int], activation: Activation, init: Init, seed: int, library: Library
) -> MLP:
    torch.manual_seed(seed)
    return MLP(64, 10, hidden, activation, init, library=library)


def draw_curves(results: Results) -> Figure:
    """Values and slopes against x."""
    made, grid = panels(2, width=5.0)
    for color, arm in zip(COLORS, results.records, strict=False):
        numbers = results.numbers(arm)
        for axes, name in zip(grid, ("y", "slope"), strict=True):
            axes.plot(numbers["x"], numbers[name], color=color, label=arm)
            axes.set(xlabel="x")
    grid[0].set(title="value", ylim=(-1.2, 3))
    grid[1].set(title="slope", yticks=[0, 0.25, 0.5, 0.75, 1])
    grid[0].legend(fontsize=8, frameon=False)
    return made


def draw_gradients(results: Results) -> Figure:
    """The gradient against the layer, the mean of its logarithm over seeds."""
    made, (axes,) = panels(1, width=6.4, height=4.0)
    for i, (arm, runs) in enumerate(results.records.items()):
        sizes = torch.tensor([record["numbers"]["gradient"] for record in runs.values()])
        mean = 10 ** sizes.clamp(min=1e-30).log10().mean(0)
        style = "--" if "std 1" in arm else "-"
        x = range(1, len(mean) + 1)
        axes.plot(x, mean, style, color=COLORS[i % 3], marker=".", label=arm)
    axes.set(yscale="log", xlabel="hidden layer, from the input on")
    axes.set_ylabel("gradient of the weights (root mean square)", fontsize=8)
    made.legend(loc="outside lower center", ncols=3, fontsize=8)
    return made


def draw_rates(results: Results) -> Figure:
    """The training loss against the learning rate, a panel per depth, a line per activation."""
    (table,) = results.tables.values()
    arms = results.experiment.arms
    depths = dict.fromkeys(options["layers"] for options in arms.values())
    variants = dict.fromkeys(options["variant"] for options in arms.values())
    made, grid = panels(len(depths), width=5.2)
    for axes, depth in zip(grid, depths, strict=True):
        for color, variant in zip(COLORS, variants, strict=False):
            chosen = [a for a, o in arms.items() if (o["layers"], o["variant"]) == (depth, variant)]
            x = [arms[arm]["lr"] for arm in chosen]
            ends = [interval(list(table[arm].values())) for arm in chosen]
            mean, low, high = zip(*ends, strict=True)
            axes.plot(x, mean, "o-", color=color, markersize=4, label=variant)
            axes.fill_between(x, low, high, color=color, alpha=0.15, where=[*map(isfinite, low)])
        axes.set(xscale="log", xlabel="learning rate", ylim=(0, 2.6))
        axes.set_title(f"training loss, mean of all epochs; hidden layers: {depth}", fontsize=9)
    grid[0].legend(fontsize=8, frameon=False)
    return made


def draw_neighbours(results: Results) -> Figure:
    """The gradient of every unit of the layer with the dead unit, and of the next."""
    made, grid = panels(2, width=5.2)
    numbers = results.numbers(next(iter(results.records)))
    for axes, name in zip(grid, ("first", "second"), strict=True):
        values = numbers[name]
        axes.bar(range(len(values)), values, color=COLORS[0])
        axes.set(xlabel=f"unit of the {name} layer", ylabel="largest gradient of its weights")
    grid[0].set_title("the layer of the dead unit, number 0", fontsize=9)
    grid[1].set_title("the layer after it", fontsize=9)
    return made
