"""What dropout does to a distribution, and two ways to decay weights (notes 6.5)."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ... import book
from ...models import LIBRARIES, MLP, Library
from ..figures import panels
from ..results import Results
from .signal import OPTIMIZERS, digits

BINS, REACH = 30, 6.0
Way = Literal["none", "penalty", "option", "shrink"]


def dropout(
    scaling: Literal["training", "test"],
    p: float = 0.5,
    draws: int = 1000,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    """Pass 500 ReLU outputs with mean 0.4 through dropout again and again, and on to one unit.

    Args:
        scaling: in ``training`` by 1 / (1 - p), torch's way; in the ``test`` by 1 - p, the book's,
            which has no twin.
        p: probability of silencing.
        draws: of the mask.
        seed: of the values, the next unit's weights and the masks.
        library: whose layer scales in training.

    Returns: ``mean_ratio`` and ``variance_ratio``, training to test, of the values themselves; the
        next unit's ``next_mean``, training less test in units of the latter's standard deviation
        over samples, and ``next_variance``, the ratio; ``train`` and ``test``, counts of the bins
        of what it receives, from -6 to 6 standard deviations of the latter.
    Source: notes 6.5.
    """
    torch.manual_seed(seed)
    x = torch.randn(draws, 500, dtype=torch.float64).clamp(min=0)
    w = torch.randn(500, dtype=torch.float64)
    layer = LIBRARIES[library].Dropout(p) if scaling == "training" else book.Dropout(p)
    train, test = layer.train()(x), layer.eval()(x)
    after, before = train @ w, test @ w
    unit = before.std()
    counts = [torch.histc((z - before.mean()) / unit, BINS, -REACH, REACH) for z in (after, before)]
    return {
        "mean_ratio": train.mean() / test.mean(),
        "variance_ratio": train.var() / test.var(),
        "next_mean": (after.mean() - before.mean()) / unit,
        "next_variance": after.var() / before.var(),
        "train": counts[0],
        "test": counts[1],
    }


def decay(
    rule: Literal["SGD", "momentum", "Adam"],
    strength: float = 0.1,
    steps: int = 50,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    r"""Train one small network in three ways that are all called weight decay, in float64.

    * penalty: :math:`\frac{\lambda}{2} \sum w^2` is added to the loss;
    * option: the rule's own ``weight_decay``;
    * shrink: every step first takes :math:`\eta \lambda w` away.

    Returns: of each way the ``norm`` of all weights step by step; how far ``option`` and
        ``shrink`` end up from the penalty, as a share of how far the penalty has moved a network
        away from where it ends without.
    Source: notes 6.5; Loshchilov and Hutter 2019 for the last.
    """
    ends, norms = {}, {}
    for way in ("none", "penalty", "option", "shrink"):
        ends[way], norms[way] = _decayed(way, rule, strength, steps, seed, library)
    effect = (ends["penalty"] - ends["none"]).norm()
    return {
        **{f"norm_{way}": curve for way, curve in norms.items()},
        "option": (ends["option"] - ends["penalty"]).norm() / effect,
        "shrink": (ends["shrink"] - ends["penalty"]).norm() / effect,
    }


def _decayed(
    way: Way, rule: str, strength: float, steps: int, seed: int, library: Library
) -> tuple[Tensor, list[float]]:
    torch.manual_seed(seed)
    x, t = digits(100)
    net = MLP(64, 10, [20], library=library).double()
    loss, w = LIBRARIES[library].CrossEntropyLoss(), list(net.parameters())
    made, lr = _rule(rule, w, strength * (way == "option"), library)
    norms = []
    for _ in range(steps):
        made.zero_grad()
        penalty = sum((p.square().sum() for p in w), torch.zeros(()))
        (loss(net(x.double()), t) + strength / 2 * (way == "penalty") * penalty).backward()
        if way == "shrink":
            with torch.no_grad():
                for p in w:
                    p.mul_(1 - lr * strength)
        made.step()
        norms.append(float(torch.cat([p.detach().flatten() for p in w]).norm()))
    return torch.cat([p.detach().flatten() for p in w]), norms


def _rule(rule: str, w: Sequence[Tensor], strength: float, library: Library) -> tuple[Any, float]:
    rules = OPTIMIZERS[library]
    if rule == "Adam":
        return rules.Adam(w, lr=0.01, weight_decay=strength), 0.01
    momentum = 0.9 if rule == "momentum" else 0.0
    return rules.SGD(w, lr=0.1, momentum=momentum, weight_decay=strength), 0.1


def draw_dropout(results: Results) -> Figure:
    """What the next unit receives in training and in the test, an arm a panel."""
    made, grid = panels(len(results.records), columns=2, width=4.6)
    edges = torch.linspace(-REACH, REACH, BINS + 1)
    for axes, arm in zip(grid, results.records, strict=True):
        numbers = results.numbers(arm)
        for key, color in (("train", "#d9660a"), ("test", "#2563c9")):
            axes.stairs(numbers[key], edges, color=color, label=key, fill=True, alpha=0.4)
        axes.set_title(
            f"{arm}: variance of a value x {numbers['variance_ratio']:.2f},\n"
            f"of the next unit's sum x {numbers['next_variance']:.2f}",
            fontsize=9,
        )
        axes.set(xlabel="sum of the next unit, in test standard deviations", ylabel="samples")
    grid[0].legend(fontsize=8, frameon=False)
    return made
