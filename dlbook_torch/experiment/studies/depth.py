"""How many hidden layers, and how wide (notes 3.5)."""

from math import isfinite
from typing import Any

import torch
from matplotlib.figure import Figure

from ...data import Digits, Plane
from ...data.toy import Task
from ...models import MLP, Library, hidden_units
from ..figures import COLORS, panels
from ..judge import interval
from ..results import Results
from .training import RULES, digits, epochs_of


def regions(
    task: Task,
    hidden: list[int],
    epochs: int = 100,
    samples: int = 500,
    points: int = 40,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    """Train ReLUs to part the plane, by Adam from He's initial weights.

    Returns: the share of right answers on training (``fitted``) and test points (``accuracy``),
        how many ``parameters``, and the ``region`` that is taken for class 1, a row per y.
    Source: notes 3.5.
    """
    data = Plane(task=task, train_size=samples)
    data.setup("fit")
    torch.manual_seed(seed)
    net = MLP(2, 2, hidden, init="he", library=library)
    rule = RULES[library].Adam(net.parameters(), lr=0.01)
    x, t = data.train
    for _ in epochs_of(net, rule, x, t, epochs, seed, library):
        pass
    side = torch.linspace(-1, 1, points)
    plane = torch.cartesian_prod(side, side).reshape(points, points, 2).transpose(0, 1)
    with torch.no_grad():
        region = net(plane.reshape(-1, 2)).argmax(1).reshape(points, points)
        fitted, accuracy = (
            (net(x).argmax(1) == t).double().mean() for x, t in (data.train, data.load_test())
        )
    size = sum(p.numel() for p in net.parameters())
    return {"fitted": fitted, "accuracy": accuracy, "parameters": size, "region": region}


def fit(
    width: int,
    layers: int = 1,
    first: int | None = None,
    samples: int = 200,
    label_noise: float = 0.0,
    epochs: int = 60,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    """Train ReLUs of one width on few digits, by Adam from He's initial weights.

    Args:
        width: of every hidden layer.
        layers: how many.
        first: width of the first one, if it is another.
        samples: training images.
        label_noise: share of them with a wrong label.
        epochs: through all of them, in batches of 50.
        seed: of the initial weights, the order and the wrong labels.
        library: whose layers, loss and rule.

    Returns: after every epoch the ``train_loss`` of its steps, and ``train`` and ``val``, the
        shares of right answers; ``gap``, by how much the last of them differ; ``parameters``.
    Source: notes 3.5.
    """
    x, t = digits(samples, label_noise, seed)
    data = Digits()
    data.setup("fit")
    x_val, t_val = data.normalize(data.val[0]), data.val[1]
    torch.manual_seed(seed)
    hidden = [first or width] + [width] * (layers - 1)
    net = MLP(64, 10, hidden, init="he", library=library)
    rule = RULES[library].Adam(net.parameters(), lr=0.003)
    losses, train, val = [], [], []
    for loss in epochs_of(net, rule, x, t, epochs, seed, library):
        losses.append(loss)
        with torch.no_grad():
            train.append((net(x).argmax(1) == t).double().mean().item())
            val.append((net(x_val).argmax(1) == t_val).double().mean().item())
    return {
        "train_loss": losses,
        "train": train,
        "val": val,
        "gap": train[-1] - val[-1],
        "parameters": sum(p.numel() for p in net.parameters()),
    }


def draw_regions(results: Results) -> Figure:
    """What every network takes for class 1; a row of panels per network."""
    arms = results.experiment.arms
    tasks = list(dict.fromkeys(options["task"] for options in arms.values()))
    made, grid = panels(len(arms), columns=len(tasks), width=2.6, height=2.8)
    ordered = sorted(arms, key=lambda arm: len(arms[arm]["hidden"]))
    for axes, arm in zip(grid, ordered, strict=True):
        region = torch.tensor(results.numbers(arm)["region"])
        x = torch.linspace(-1, 1, len(region))
        axes.contourf(x, x, region, levels=[-0.5, 0.5, 1.5], colors=["#f4d9c6", "#cfdcf6"])
        axes.set(aspect="equal", xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        right = results.tables["accuracy"][arm]
        hidden = "+".join(map(str, arms[arm]["hidden"])) or "no"
        mean = sum(right.values()) / len(right)
        axes.set_title(f"{arms[arm]['task']}, {hidden} hidden: {mean:.0%}", fontsize=8)
    return made


def draw_widths(results: Results) -> Figure:
    """Accuracy against the width, a panel per metric, and what the empirical formula proposes."""
    experiment, arms = results.experiment, results.experiment.arms
    chosen = [{**experiment.options, **options} for options in arms.values()]
    key = "layers" if len({o.get("layers") for o in chosen}) > 1 else "label_noise"
    lines = list(dict.fromkeys(o.get(key, 0) for o in chosen))
    low, high = (hidden_units(chosen[0].get("samples", 200), 64, 10, alpha) for alpha in (10, 2))
    made, grid = panels(len(results.tables), columns=2, width=5.2)
    for axes, (name, table) in zip(grid, results.tables.items(), strict=True):
        axes.axvspan(low, high, color="#9ca3af", alpha=0.3, label="formula, alpha 10 to 2")
        for color, value in zip(COLORS, lines, strict=False):
            here = [arm for arm, o in zip(arms, chosen, strict=True) if o.get(key, 0) == value]
            x = [arms[arm]["width"] for arm in here]
            ends = [interval(list(table[arm].values())) for arm in here]
            mean, bottom, top = zip(*ends, strict=True)
            axes.plot(x, mean, "o-", color=color, markersize=4, label=f"{key} = {value}")
            where = [*map(isfinite, bottom)]
            axes.fill_between(x, bottom, top, color=color, alpha=0.15, where=where)
        axes.set(xlabel="units of every hidden layer", title=name)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
    grid[0].legend(fontsize=8, frameon=False)
    return made
