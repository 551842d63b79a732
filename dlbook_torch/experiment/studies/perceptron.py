"""Gates and straight lines (notes 2)."""

from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ...nn.perceptron import AND, NAND, OR, XOR, Perceptron
from ..figures import COLORS, panels
from ..results import Results

CORNERS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
GATES = {"AND": AND, "NAND": NAND, "OR": OR, "XOR": XOR}
TRUTH = {"AND": [0, 0, 0, 1], "NAND": [1, 1, 1, 0], "OR": [0, 1, 1, 1], "XOR": [0, 1, 1, 0]}
SIDES = ["#f4d9c6", "#cfdcf6"]  # where a gate is silent, and where it fires
MARKS = (("^", "#d9660a"), ("o", "#2563c9"))


def learning(gate: str, epochs: int = 100, lr: float = 0.5, seed: int = 0) -> dict[str, Any]:
    """Let one perceptron learn a gate, corner by corner, until it makes no mistake.

    Returns: ``mistakes`` in every epoch, those ``left`` in the last, how many ``epochs`` it took,
        the last ``w`` and ``b``.
    Source: notes 2.2, 2.3, which have no learning rule; see :meth:`Perceptron.learn`.
    """
    perceptron, t = Perceptron(2), GATES[gate]()(CORNERS)
    generator = torch.Generator().manual_seed(seed)
    for p in perceptron.parameters():
        p.data.normal_(generator=generator)
    mistakes: list[int] = []
    while len(mistakes) < epochs and 0 not in mistakes:
        order = torch.randperm(4, generator=generator)
        mistakes.append(perceptron.learn(CORNERS[order], t[order], lr))
    return {
        "mistakes": mistakes,
        "left": mistakes[-1],
        "epochs": len(mistakes),
        "w": perceptron.weight.flatten(),
        "b": perceptron.bias,
    }


@torch.no_grad()
def truth(gate: str, points: int = 60) -> dict[str, Any]:
    """Ask a gate with the notes' weights at its four corners, and everywhere around them.

    Returns: ``answers`` at 00, 01, 10 and 11, how many are ``wrong``, and the ``region`` in which
        it fires, a row per x2, both inputs from -0.5 to 1.5.
    Source: notes 2.2, 2.3.
    """
    x = torch.linspace(-0.5, 1.5, points)
    plane = torch.cartesian_prod(x, x).reshape(points, points, 2).transpose(0, 1)
    answers = GATES[gate]()(CORNERS).flatten()
    return {
        "answers": answers,
        "wrong": int((answers != torch.tensor(TRUTH[gate])).sum()),
        "region": GATES[gate]()(plane).squeeze(-1),
    }


def bias(b: float, points: int = 601, reach: float = 30.0) -> dict[str, Any]:
    """Find out how large a weighted sum makes a perceptron with bias b fire.

    Returns: the ``threshold`` by bisection, to rounding; the ``sums`` of a sweep, and which of
        them ``fires``.
    Source: notes 2.2.
    """
    perceptron = Perceptron(1, dtype=torch.float64)
    bias = torch.tensor([b], dtype=torch.float64)
    perceptron.load_state_dict({"weight": torch.ones(1, 1), "bias": bias})

    def fires(total: float) -> bool:
        return bool(perceptron(torch.tensor([total], dtype=torch.float64)))

    low, high = -1e3, 1e3
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if fires(middle) else (middle, high)
    sums = torch.linspace(-reach, reach, points).tolist()
    return {"threshold": high, "sums": sums, "fires": [fires(total) for total in sums]}


def draw_truth(results: Results) -> Figure:
    """Where every gate fires, and the four corners as they should be."""
    made, grid = panels(len(results.records), columns=4, width=2.6, height=2.8)
    for axes, arm in zip(grid, results.records, strict=True):
        gate, numbers = results.experiment.arms[arm]["gate"], results.numbers(arm)
        _plane(axes, torch.tensor(numbers["region"]), gate)
        axes.set_title(f"{arm}: {numbers['wrong']} wrong", fontsize=9)
    return made


def draw_bias(results: Results) -> Figure:
    """The answer against the weighted sum, a trace for every bias."""
    made, (axes,) = panels(1, width=7.0)
    labels = []
    for row, (arm, runs) in enumerate(results.records.items()):
        numbers = runs[0]["numbers"]
        answer = [0.7 * fires - row for fires in numbers["fires"]]
        axes.step(numbers["sums"], answer, where="post", color=COLORS[row])
        labels.append(f"{arm}: fires above {numbers['threshold']:.3f}")
    axes.set_yticks([0.35 - row for row in range(len(labels))], labels, fontsize=8)
    axes.set(xlabel="weighted sum of the inputs")
    return made


def draw_learning(results: Results) -> Figure:
    """The four corners of every gate, and the line that its perceptron ended with."""
    made, grid = panels(len(results.records), columns=4, width=3.0)
    for axes, arm in zip(grid, results.records, strict=True):
        gate = results.experiment.arms[arm]["gate"]
        numbers = results.numbers(arm)
        (w1, w2), (b,) = numbers["w"], numbers["b"]
        x = torch.linspace(-0.5, 1.5, 200)
        _plane(axes, w1 * x[None, :] + w2 * x[:, None] + b > 0, gate)
        axes.set_title(f"{gate}: {numbers['left']} mistakes, epoch {numbers['epochs']}", fontsize=9)
    return made


def _plane(axes: Axes, region: Tensor, gate: str) -> None:
    x = torch.linspace(-0.5, 1.5, len(region))
    axes.contourf(x, x, region, levels=[-0.5, 0.5, 1.5], colors=SIDES)
    for corner, t in zip(CORNERS, TRUTH[gate], strict=True):
        mark, color = MARKS[t]
        axes.plot(*corner, mark, color=color, markersize=9)
    axes.set(xlabel="x1", ylabel="x2", aspect="equal", xticks=[0, 1], yticks=[0, 1])
