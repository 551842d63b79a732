"""Update rules where no network is needed to see what they do (notes 6.1, 6.2)."""

from collections.abc import Mapping
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ... import optim
from ...models import Library
from ..figures import COLORS, panels
from ..race import FIELD, START, STEPS, Run, descent, valley
from ..race_figure import race_figure
from ..results import Results

LIBRARIES = {"dlbook": optim, "torch": torch.optim}
OWNERS = {"dlbook": "ours", "torch": "torch"}  # as the race calls them


def bowl(rule: str, steps: int = 100, library: Library = "dlbook") -> dict[str, Any]:
    """Let a rule walk down the valley x^2 / 20 + y^2 from (-7, 2), at the race's rate.

    Returns: the ``path``; its ``height`` and its ``y``, across the valley, after every update;
        ``height30`` and ``distance30`` from the lowest point after the book's 30, and
        ``crossings``, how often these 30 changed the side of the valley.
    Source: notes 6.2; the race is :mod:`dlbook_torch.experiment.race`.
    """
    entry = FIELD[rule]
    made = getattr(LIBRARIES[library], entry.rule)
    path = descent(made, entry.options, START, steps)
    height, book = valley(path), path[: STEPS + 1]
    return {
        "path": path,
        "height": height[1:],
        "y": path[1:, 1],
        "height30": valley(book[-1]),
        "distance30": book[-1].norm(),
        "crossings": int((book[1:, 1] * book[:-1, 1] < 0).sum()),
    }


def draw_bowl(results: Results) -> Figure:
    """The picture of the race: the first 30 updates of every rule."""
    library = results.experiment.library
    runs = []
    for arm in results.records:
        rule = results.experiment.arms[arm]["rule"]
        path = torch.tensor(results.numbers(arm)["path"], dtype=torch.float64)
        paths = {OWNERS[library]: path[: STEPS + 1]}
        runs.append(Run(rule, FIELD[rule].options["lr"], paths))
    return race_figure(runs, START, STEPS)


def _walker(
    rule: str, options: Mapping[str, Any], w: Tensor, library: Library
) -> torch.optim.Optimizer:
    return getattr(LIBRARIES[library], rule)([w], **options)


def shrinking(
    rule: str, steps: int = 3000, seed: int = 0, library: Library = "dlbook"
) -> dict[str, Any]:
    r"""Feed a rule gradients that stay as large as they are, and watch its steps.

    The gradients are normal noise, of 200 elements; after t of them AdaGrad's h is about t, and

    .. math:: \frac{\eta}{\sqrt h} \approx \frac{\eta}{\sqrt t}

    Returns: after which updates ``t`` was looked, the effective ``rate`` then, mean size of a step
        over mean size of a gradient, and the ``exponent`` p of the power t^p that the rate follows
        in the last nine tenths of them.
    Source: notes 6.2.3.
    """
    generator = torch.Generator().manual_seed(seed)
    w = torch.zeros(200)
    walker = _walker(rule, {}, w, library)
    rates = []
    for _ in range(steps):
        w.grad = torch.randn(len(w), generator=generator)
        before = w.clone()
        walker.step()
        rates.append((w - before).abs().mean() / w.grad.abs().mean())
    looked = torch.logspace(0, torch.tensor(steps).log10().item(), 60).long().unique()
    rate = torch.stack(rates)[looked - 1].double()
    late = looked > steps // 10
    x, y = looked[late].double().log(), rate[late].log()
    exponent = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    return {"t": looked, "rate": rate, "exponent": exponent}


def draw_shrinking(results: Results) -> Figure:
    """The effective rate over the updates, relative to where its last nine tenths begin."""
    made, (axes,) = panels(1, width=6.4, height=3.6)
    for color, arm in zip(COLORS, results.records, strict=False):
        numbers = results.numbers(arm)
        last = numbers["t"][-1]
        begin = next(r for t, r in zip(numbers["t"], numbers["rate"], strict=True) if 10 * t > last)
        label = f"{arm}: t^{numbers['exponent']:.2f}"
        axes.loglog(numbers["t"], [r / begin for r in numbers["rate"]], color=color, label=label)
    axes.set(xlabel="update t", ylabel="effective rate, relative")
    axes.legend(fontsize=8, frameon=False)
    return made


def new_goal(
    rule: str,
    lr: float,
    steps: int = 3000,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    """Let a rule find a point at a distance of 10 by noisy gradients, then move the point by 10.

    Returns: the ``distance`` after every twentieth update, averaged over 50 coordinates; how many
        updates halved it at ``first`` and how many ``again``; ``slower``, again / first; and what
        is ``left`` of the second distance at the end, as a share.
    Source: notes 6.2.3: AdaGrad's rate falls until nothing is learned any more.
    """
    generator = torch.Generator().manual_seed(seed)
    w, seen = torch.zeros(50), []
    walker = _walker(rule, {"lr": lr}, w, library)
    for step in range(2 * steps):
        goal = 10.0 if step < steps else 20.0
        w.grad = w - goal + torch.randn(len(w), generator=generator)
        walker.step()
        seen.append((w - goal).abs().mean())
    distance = torch.stack(seen)
    first, again = halved(distance[:steps]), halved(distance[steps:])
    return {
        "distance": distance[::20],
        "first": first,
        "again": again,
        "slower": again / first,
        "left": distance[-1] / 10,
    }


def halved(distance: Tensor) -> int:
    """How many updates it takes from 10 to below 5; one more than there are if never."""
    below = distance < 5
    return int(below.int().argmax()) + 1 if below.any() else len(distance) + 1
