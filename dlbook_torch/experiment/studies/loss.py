"""What a loss is good for (notes 4.2), and what its gradient costs (notes 5)."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import Module

from ...autograd import numerical_gradients
from ...data import Digits
from ...data.batches import TensorBatches
from ...models import LIBRARIES, MLP, Library
from ...nn import Step
from ..figures import COLORS, panels
from ..results import Results

Loss = Callable[[Tensor, Tensor], Tensor]
Pair = tuple[Tensor, Tensor]
Objective = Literal["cross-entropy", "squares of softmax", "squares of sigmoid", "error"]


def digits(**options: Any) -> tuple[Pair, Pair]:
    """Training and validation set of :class:`Digits`, pixels (N, 64) normalised, labels (N)."""
    data = Digits(**options)
    (x, t), (x_val, t_val) = data.load_training()
    return (data.normalize(x).flatten(1), t), (data.normalize(x_val).flatten(1), t_val)


def batches(data: Pair, batch_size: int, steps: int, seed: int) -> Iterator[tuple[Tensor, ...]]:
    """So many batches, epoch after epoch in a new order."""
    loader = TensorBatches(*data, batch_size=batch_size, shuffle=True, seed=seed)
    epoch = 0
    while steps > 0:
        loader.set_epoch(epoch)
        for batch, _ in zip(loader, range(steps), strict=False):
            yield batch
            steps -= 1
        epoch += 1


def descend(net: Module, loss: Tensor, lr: float) -> tuple[Tensor, ...]:
    """Take one step of plain gradient descent; return the gradient."""
    parameters = list(net.parameters())
    slopes = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for p, slope in zip(parameters, slopes, strict=True):
            p.sub_(slope, alpha=lr)
    return slopes


def objective_of(name: Objective, library: Library = "dlbook") -> Loss:
    """A loss of logits (N, C) and class labels (N), a mean over the samples.

    Squares are summed over the classes and halved, as the book has them.
    """
    lib = LIBRARIES[library]
    if name == "cross-entropy":
        return lib.CrossEntropyLoss()
    if name == "error":
        return error
    squash = lib.Softmax(1) if name == "squares of softmax" else lib.Sigmoid()
    squares = lib.MSELoss(reduction="sum")
    return lambda z, t: squares(squash(z), one_hot(t, z)) / (2 * len(t))


def one_hot(t: Tensor, z: Tensor) -> Tensor:
    """1 at the right class, else 0: labels (N) to the shape and the type of z."""
    return torch.zeros_like(z).scatter_(1, t[:, None], 1)


def error(z: Tensor, t: Tensor) -> Tensor:
    """Share of the samples in which another class than the right one is ahead, by a step."""
    right = one_hot(t, z) == 1
    return Step()(z.masked_fill(right, -torch.inf).amax(1) - z[right]).mean()


def learning(
    objective: Objective,
    lr: float = 0.1,
    steps: int = 400,
    batch_size: int = 50,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    """Let 50 ReLUs learn the digits by an objective, and look at the accuracy after every step.

    Returns: validation ``accuracy`` per step, that at the ``start`` and at the ``end``, their
        difference ``learned``, the largest ``gradient`` of the first step, and after how many
        steps the accuracy was first above 90 %: ``steps90``, one more than there are if never.
    Source: notes 4.2.
    """
    torch.manual_seed(seed)
    net, loss = MLP(64, 10, [50], init="he", library=library), objective_of(objective, library)
    train, (x_val, t_val) = digits()

    def accuracy() -> float:
        with torch.no_grad():
            return 1 - error(net(x_val), t_val).item()

    start, seen, first = accuracy(), [], None
    for x, t in batches(train, batch_size, steps, seed):
        slopes = descend(net, loss(net(x), t), lr)
        first = max(g.abs().max().item() for g in slopes) if first is None else first
        seen.append(accuracy())
    return {
        "accuracy": seen,
        "start": start,
        "end": seen[-1],
        "learned": seen[-1] - start,
        "gradient": first,
        "steps90": next((i + 1 for i, a in enumerate(seen) if a > 0.9), steps + 1),
    }


def slope(loss: str) -> dict[str, Any]:
    r"""How steeply the loss of one sigmoid falls with its logit, where 1 is the right answer.

    .. math:: \frac{\partial}{\partial z}\bigl(-\ln y\bigr) = y - 1, \qquad
              \frac{\partial}{\partial z} \frac{(y - 1)^2}{2} = (y - 1)\, y (1 - y)

    Returns: the size of the ``slope`` at every ``logit`` from -8 to 8, and its value where the
        answer is most ``wrong`` and most ``right``.
    Source: notes 4.2, which ask why it is cross-entropy and do not answer.
    """
    lib = LIBRARIES["dlbook"]
    z = torch.linspace(-8, 8, 81, dtype=torch.float64, requires_grad=True)
    t = torch.ones_like(z)
    total = {
        "cross-entropy": lambda: lib.BCEWithLogitsLoss(reduction="sum")(z, t),
        "squares": lambda: lib.MSELoss(reduction="sum")(lib.Sigmoid()(z), t) / 2,
    }[loss]()
    (slopes,) = torch.autograd.grad(total, z)
    size = slopes.abs()
    return {"logit": z, "slope": size, "wrong": size[0], "right": size[-1]}


def backpropagation(units: int, seed: int = 0, library: Library = "dlbook") -> dict[str, Any]:
    """Take the gradient of a small network's loss by backpropagation and by central differences.

    Returns: the largest ``difference`` in units of the largest slope, how many ``parameters``
        there are, how many times the differences had to call the loss: ``evaluations``, and how
        many times longer they took: ``times``.
    Source: notes 5. Sigmoids, because a difference across the kink of a ReLU is no derivative.
    """
    torch.manual_seed(seed)
    net = MLP(16, 5, [units], activation="sigmoid", init="xavier", library=library).double()
    x, t = torch.randn(20, 16, dtype=torch.float64), torch.randint(5, (20,))
    measure, calls = LIBRARIES[library].CrossEntropyLoss(), 0

    def loss() -> Tensor:
        nonlocal calls
        calls += 1
        return measure(net(x), t)

    parameters = dict(net.named_parameters())
    loss()  # the first call is slow
    start = time.perf_counter()
    derived = torch.autograd.grad(loss(), list(parameters.values()))
    middle = time.perf_counter()
    calls = 0
    measured = numerical_gradients(loss, parameters).values()
    end = time.perf_counter()
    apart = max((a - b).abs().max().item() for a, b in zip(derived, measured, strict=True))
    return {
        "difference": apart / max(g.abs().max().item() for g in derived),
        "parameters": sum(map(torch.numel, derived)),
        "evaluations": calls,
        "times": (end - middle) / (middle - start),
    }


def draw_slope(results: Results) -> Figure:
    """The slope of either loss against the logit."""
    made, (axes,) = panels(1, width=6.4, height=3.4)
    for color, arm in zip(COLORS, results.records, strict=False):
        numbers = results.numbers(arm)
        axes.plot(numbers["logit"], numbers["slope"], color=color, label=arm)
    axes.set(xlabel="logit z of the right answer", ylabel="size of the slope dL/dz")
    axes.annotate("wrong", (-8, 0.06), fontsize=8)
    axes.annotate("right", (8, 0.06), fontsize=8, ha="right")
    axes.legend(fontsize=8, frameon=False)
    return made
