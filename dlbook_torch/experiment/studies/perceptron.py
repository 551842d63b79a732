"""Gates and straight lines (notes 2)."""

from typing import Any

import torch
from matplotlib.figure import Figure

from ...nn.perceptron import AND, NAND, OR, XOR, Perceptron
from ..figures import panels
from ..results import Results

CORNERS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
GATES = {"AND": AND, "NAND": NAND, "OR": OR, "XOR": XOR}


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


def draw_learning(results: Results) -> Figure:
    """The four corners of every gate, and the line that its perceptron ended with."""
    made, grid = panels(len(results.records), columns=4, width=3.0)
    for axes, arm in zip(grid, results.records, strict=True):
        gate = results.experiment.arms[arm]["gate"]
        numbers = results.numbers(arm)
        (w1, w2), (b,) = numbers["w"], numbers["b"]
        x = torch.linspace(-0.5, 1.5, 200)
        side = w1 * x[None, :] + w2 * x[:, None] + b
        axes.contourf(x, x, side > 0, levels=[-0.5, 0.5, 1.5], colors=["#f4d9c6", "#cfdcf6"])
        for corner, t in zip(CORNERS, GATES[gate]()(CORNERS).flatten(), strict=True):
            axes.plot(*corner, "o" if t else "^", color="#2563c9" if t else "#d9660a", markersize=9)
        axes.set_title(f"{gate}: {numbers['left']} mistakes, epoch {numbers['epochs']}", fontsize=9)
        axes.set_aspect("equal")
    return made
