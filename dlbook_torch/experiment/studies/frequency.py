r"""The frequency principle: gentle functions are learned before jumping ones (notes 4.3).

Functions on a period of N points, taken apart by the Fourier transform:

.. math:: c_k = \frac{2}{N} \sum_j f(x_j)\, e^{-2 \pi i k j / N}

which is the amplitude of k waves in the period.
"""

from collections.abc import Sequence
from math import pi
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import Module

from ... import optim
from ...models import MLP, Library
from ..figures import COLORS, panels
from ..results import Results

ADAM = {"dlbook": optim.Adam, "torch": torch.optim.Adam}


def waves(x: Tensor, frequencies: Sequence[int]) -> Tensor:
    """Sine waves of amplitude 1, so many in the period from -1 to 1, added up."""
    return torch.stack([(pi * k * x).sin() for k in frequencies]).sum(0)


def amplitudes(f: Tensor, frequencies: Sequence[int]) -> Tensor:
    """How much of each frequency is in a period (N): complex, 1 in size for a wave of size 1."""
    return torch.fft.rfft(f)[list(frequencies)] * 2 / len(f)


def network(activation: Any, seed: int, library: Library) -> Module:
    """One hidden layer of 200 units whose kinks lie all over the period."""
    torch.manual_seed(seed)
    net = MLP(1, 1, [200], activation=activation, init="default", library=library)
    with torch.no_grad():
        w, b = net.get_submodule("layers.1").parameters()
        w.mul_(5)
        b.mul_(5)
    return net


def order(
    activation: str = "tanh",
    frequencies: Sequence[int] = (1, 3, 5),
    steps: int = 2000,
    lr: float = 0.005,
    every: int = 20,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    """Fit a sum of waves of one size, and watch the amplitude of each in the error.

    Returns: ``error``, every so many steps the size of the error's amplitude per frequency; after
        how many steps it was first below 0.1: ``low``, ``middle`` and ``high``, of the first, the
        middle and the last frequency, the number of steps if never; ``lag``, log2 of high / low,
        at least so much if ``high`` is never;
        ``x``, ``target`` and the ``fits`` at four times.
    Source: notes 4.3, remedy 6; Rahaman et al. 2019, Xu et al. 2019.
    """
    net = network(activation, seed, library)
    x = torch.arange(128) / 64 - 1
    target = waves(x, frequencies)
    errors, fits = [], []
    rule = ADAM[library](net.parameters(), lr=lr)
    for step in range(steps):
        y = net(x[:, None]).squeeze(1)
        rule.zero_grad()
        ((y - target) ** 2).mean().backward()
        rule.step()
        if step % every == 0:
            errors.append(amplitudes(y.detach() - target, frequencies).abs())
        if step in (steps // 30, steps // 10, steps // 3, steps - 1):
            fits.append(y.detach())
    error = torch.stack(errors)
    below = [first(error[:, i] < 0.1, every, steps) for i in range(len(frequencies))]
    return {
        "error": error,
        "low": below[0],
        "middle": below[len(below) // 2],
        "high": below[-1],
        "lag": torch.tensor(below[-1] / below[0]).log2(),
        "x": x,
        "target": target,
        "fits": torch.stack(fits),
    }


def first(reached: Tensor, every: int, steps: int) -> int:
    """The first step that has reached its goal, from 1 on; ``steps`` if none has."""
    return int(reached.int().argmax()) * every + 1 if reached.any() else steps


def gentleness(
    frequency: int,
    points: int = 40,
    noise: float = 0.3,
    steps: int = 1000,
    lr: float = 0.01,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    """Fit a wave of one frequency through few noisy points.

    Returns: ``train/loss`` and ``val/loss`` every 20 steps, their ``gap`` at the end, and the
        ``error`` of the fit at the end against the wave without noise.
    Source: notes 4.3, remedy 6: the less the labels vary, the less is overfitted.
    """
    net = network("tanh", seed, library)
    generator = torch.Generator().manual_seed(seed)

    def draw(n: int) -> tuple[Tensor, Tensor]:
        x = 2 * torch.rand(n, generator=generator) - 1
        return x[:, None], waves(x, [frequency]) + noise * torch.randn(n, generator=generator)

    (x, t), (x_val, t_val) = draw(points), draw(1000)
    rule = ADAM[library](net.parameters(), lr=lr)
    curves: dict[str, list[float]] = {"train/loss": [], "val/loss": []}
    for step in range(steps):
        rule.zero_grad()
        loss = ((net(x).squeeze(1) - t) ** 2).mean()
        loss.backward()
        rule.step()
        if step % 20 == 19:
            with torch.no_grad():
                curves["train/loss"].append(((net(x).squeeze(1) - t) ** 2).mean().item())
                curves["val/loss"].append(((net(x_val).squeeze(1) - t_val) ** 2).mean().item())
    with torch.no_grad():
        apart = net(x_val).squeeze(1) - waves(x_val.squeeze(1), [frequency])
    return {
        **curves,
        "gap": curves["val/loss"][-1] - curves["train/loss"][-1],
        "error": (apart**2).mean(),
    }


def draw_order(results: Results) -> Figure:
    """The amplitude of every frequency in the error, and the fit as it comes closer."""
    arms = results.experiment.arms
    made, grid = panels(2 * len(arms), columns=2, width=5.2)
    for row, arm in enumerate(results.records):
        numbers = results.numbers(arm)
        left, right = grid[2 * row : 2 * row + 2]
        options = {**results.experiment.options, **arms[arm]}
        frequencies = options.get("frequencies", (1, 3, 5))
        every = options.get("every", 20)
        for color, k, curve in zip(
            COLORS, frequencies, zip(*numbers["error"], strict=True), strict=False
        ):
            steps = range(1, every * len(curve) + 1, every)
            left.plot(steps, curve, color=color, label=f"{k} in the period")
        left.axhline(0.1, color="0.6", linewidth=0.8, linestyle="--")
        left.set(title=arm, xlabel="step", ylabel="amplitude in the error", yscale="log")
        left.legend(fontsize=8, frameon=False)
        right.plot(numbers["x"], numbers["target"], color="0.6", linewidth=3, label="target")
        total = options.get("steps", 2000)
        for color, part, fit in zip(COLORS, (30, 10, 3, 1), numbers["fits"], strict=False):
            right.plot(numbers["x"], fit, color=color, linewidth=1, label=f"step {total // part}")
        right.set(title=arm, xlabel="x", ylabel="y")
        right.legend(fontsize=7, frameon=False, ncols=2)
    return made
