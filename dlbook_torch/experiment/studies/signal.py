"""What becomes of signals and gradients before the first step and after it (notes 6.3, 6.4)."""

from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Generator, Tensor

from ... import optim
from ...data import Digits
from ...models import ACTIVATIONS, GAINS, LIBRARIES, MLP, Activation, Init, Library
from ..figures import COLORS, panels
from ..results import Results

WIDTH, DEPTH, BINS = 100, 5, 40
ENDS = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "relu": (0.0, 0.0)}
OPTIMIZERS: dict[str, Any] = {"dlbook": optim, "torch": torch.optim}


def digits(n: int = 1000) -> tuple[Tensor, Tensor]:
    """The first n training digits, normalised, and their labels."""
    data = Digits()
    (x, t), _ = data.load_training()
    return data.normalize(x[:n]), t[:n]


def layers(
    x: Tensor,
    activation: Activation,
    init: Init,
    generator: Generator,
    library: Library = "dlbook",
) -> list[Tensor]:
    """The outputs of five random layers, one after the other."""
    squash = getattr(LIBRARIES[library], ACTIVATIONS[activation])()
    n, outputs = x.shape[1], []
    std = GAINS[init] / n**0.5 if isinstance(init, str) else init
    for _ in range(DEPTH):
        x = squash(x @ (std * torch.randn(n, n, generator=generator)))
        outputs.append(x)
    return outputs


def activations(
    activation: Activation, init: Init, seed: int = 0, library: Library = "dlbook"
) -> dict[str, Any]:
    r"""Send 1000 samples of 100 normal numbers through five layers of 100 units.

    Two widths are taken. The ``spread`` is the standard deviation over samples and units together,
    what the book's histograms show; the ``signal`` is that over samples alone, the root of its
    mean square over units. Without signal a layer says of every sample the same.

    Returns: ``mean``, ``spread`` and ``signal`` of each layer; ``spread_kept`` and ``signal_kept``,
        the factor per layer :math:`(s_5 / s_1)^{1/4}`; of the last layer its ``last_spread``, its
        ``last_signal`` and ``ends``, the share within 0.02 of where the activation is flat;
        ``counts`` of the bins of each layer's histogram and their ``range``, of which ReLU's leaves
        the largest hundredth of some layer out.
    Source: notes 6.3, and the book's experiment that they refer to.
    """
    generator = Generator().manual_seed(seed)
    x = torch.randn(1000, WIDTH, generator=generator)
    outputs = layers(x, activation, init, generator, library)
    spread = [float(y.std()) for y in outputs]
    signal = [float(y.var(0).mean().sqrt()) for y in outputs]
    near = [(outputs[-1] - end).abs() < 0.02 for end in ENDS[activation]]
    low, high = ENDS[activation]
    high = high if low < high else float(torch.stack(outputs).quantile(0.99, dim=1).max())
    return {
        "mean": [float(y.mean()) for y in outputs],
        "spread": spread,
        "signal": signal,
        "spread_kept": _per_layer(spread),
        "signal_kept": _per_layer(signal),
        "last_spread": spread[-1],
        "last_signal": signal[-1],
        "ends": float((near[0] | near[1]).float().mean()),
        "counts": [torch.histc(y, BINS, low, high) for y in outputs],
        "range": [low, high],
    }


def _per_layer(widths: list[float]) -> float:
    return (widths[-1] / widths[0]) ** (1 / (len(widths) - 1))


def symmetry(
    activation: Activation,
    init: Init,
    steps: int = 200,
    lr: float = 0.5,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    """Train 64-20-10 in float64 on 300 digits at once, and watch how far the hidden units differ.

    Returns: after every step ``difference``, the largest distance of a hidden unit's weight from
        the mean unit's, and ``accuracy`` on the same digits; the largest weight gradient of the
        hidden layer in the ``first`` step and in ``any`` of the steps; how far the ``weights``
        have moved.
    Source: notes 6.3.
    """
    torch.manual_seed(seed)
    x, t = digits(300)
    x = x.double()
    net = MLP(64, 10, [20], activation, init, library=library).double()
    (hidden, _), loss = [p for p in net.parameters() if p.dim() > 1], _loss(library)
    rule = OPTIMIZERS[library].SGD(net.parameters(), lr=lr)
    before = hidden.detach().clone()
    gradients, differences, accuracies = [], [], []
    for _ in range(steps):
        rule.zero_grad()
        y = net(x)
        loss(y, t).backward()
        gradients.append(float(hidden.grad.abs().max()))  # type: ignore[union-attr]
        accuracies.append(float((y.argmax(1) == t).double().mean()))
        rule.step()
        w = hidden.detach()
        differences.append(float((w - w.mean(0)).abs().max()))
    return {
        "difference": differences,
        "accuracy": accuracies,
        "first": gradients[0],
        "any": max(gradients),
        "weights": float((hidden.detach() - before).abs().max()),
    }


def gradients(
    activation: Activation,
    init: Init,
    batch_norm: bool,
    depth: int = 5,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    """Take the weights' gradients of a network that has not learned yet, on 100 digits.

    Returns: ``gradients``, root mean squares, first hidden layer first; the decimal logarithms
        ``first_to_last`` of the ratio of the first and the last hidden layer's, and ``size`` of
        the mean square of all.
    Source: notes 6.4.
    """
    torch.manual_seed(seed)
    x, t = digits(100)
    net = MLP(64, 10, [WIDTH] * depth, activation, init, batch_norm, library=library)
    _loss(library)(net(x), t).backward()
    weights = [p.grad for p in net.parameters() if p.dim() > 1 and p.grad is not None][:-1]
    sizes = torch.stack([g.double().square().mean().sqrt() for g in weights])
    return {
        "gradients": sizes,
        "first_to_last": (sizes[0] / sizes[-1]).log10(),
        "size": sizes.square().mean().sqrt().log10(),
    }


def _loss(library: Library) -> Any:
    return LIBRARIES[library].CrossEntropyLoss()


def draw_activations(results: Results) -> Figure:
    """A panel per arm: histograms of the five layers, cut at the height of the second bin."""
    made, grid = panels(len(results.records), columns=_columns(results), width=2.9, height=2.5)
    for axes, arm in zip(grid, results.records, strict=True):
        numbers = results.numbers(arm)
        low, high = numbers["range"]
        width = (high - low) / BINS
        places = [low + (i + 0.5) * width for i in range(BINS)]
        for layer, counts in enumerate(numbers["counts"]):
            second = max(sorted(counts)[-2], 1)  # ReLU's zeros would hide all the rest
            heights = [0.85 * min(count / second, 1) for count in counts]
            axes.bar(places, heights, width, bottom=DEPTH - layer, color="#2563c9", alpha=0.8)
            axes.axhline(DEPTH - layer, color="#6b7280", linewidth=0.5)
        axes.set_yticks(
            [DEPTH - layer for layer in range(DEPTH)], [str(layer + 1) for layer in range(DEPTH)]
        )
        spread, signal = numbers["last_spread"], numbers["last_signal"]
        axes.set_title(f"{arm}\nlayer 5: spread {spread:.2g}, signal {signal:.2g}", fontsize=8)
        axes.set_xlabel("output of a unit", fontsize=8)
        axes.set_ylabel("layer", fontsize=8)
    return made


def _columns(results: Results) -> int:
    inits = {str(options.get("init")) for options in results.experiment.arms.values()}
    return len(inits) if len(inits) > 1 else 3


def draw_gradients(results: Results) -> Figure:
    """The size of the gradient layer by layer, an arm a line, dashed without BatchNorm."""
    made, (axes,) = panels(1, width=7.5, height=4.2)
    for i, (arm, runs) in enumerate(results.records.items()):
        sizes = torch.tensor([run["numbers"]["gradients"] for run in runs.values()]).log10()
        x = range(1, sizes.shape[1] + 1)
        style = "-o" if results.experiment.arms[arm]["batch_norm"] else "--s"
        axes.plot(x, 10 ** sizes.mean(0), style, color=COLORS[i], markersize=4, label=arm)
    axes.set(xlabel="hidden layer", ylabel="gradient of the weights, rms", yscale="log", xticks=x)
    made.legend(loc="outside lower center", ncols=2, fontsize=8)
    return made
