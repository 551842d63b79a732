"""Pooling: what it saves, what it sees, what it tolerates (notes 7.2)."""

import time
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn.functional import pad
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from ... import data as datasets
from ... import models
from ...models import LIBRARIES, Library, Network
from ...nn.algorithm import algorithms
from ...nn.geometry import receptive_field
from ..figures import COLORS, panels
from ..results import Results
from .convolution import fit, picture

Shrink = Literal["max", "average", "stride", "none"]


class Shrinking(Network):
    """Two stages of 3 x 3 convolution and ReLU, each of which halves the image; one affine layer.

    Args:
        shrink: how it is halved: by ``max`` or ``average`` pooling of 2 x 2, by the ``stride`` of
            the convolution, or not at all (``none``); all have the same filters.
        shape: of an image, (C, H, W); its sides are divisible by 4.
        classes: outputs per image.
        channels: filters of the stages.
        library: whose layers.

    Shape: ``(N, C, H, W)`` to ``(N, classes)``.
    Source: notes 7.2.
    """

    def __init__(
        self,
        shrink: Shrink,
        shape: tuple[int, int, int] = (1, 8, 8),
        classes: int = 10,
        channels: tuple[int, int] = (8, 16),
        library: Library = "dlbook",
    ):
        lib = LIBRARIES[library]
        pools = {"max": [lib.MaxPool2d(2)], "average": [lib.AvgPool2d(2)], "stride": [], "none": []}
        layers: list[torch.nn.Module] = []
        c, h, w = shape
        for m in channels:
            stride = 2 if shrink == "stride" else 1
            layers += [lib.Conv2d(c, m, 3, padding=1, stride=stride), lib.ReLU(), *pools[shrink]]
            c, h, w = (m, h, w) if shrink == "none" else (m, h // 2, w // 2)
        super().__init__([*layers, lib.Flatten(), lib.Linear(c * h * w, classes)], "he")


def alone(kind: Literal["MaxPool2d", "AvgPool2d", "Conv2d"], library: Library = "dlbook") -> dict:
    """Ask a layer that halves an image of three channels what it learns and mixes.

    Returns: how many ``parameters`` it has, by how many it changes the number of ``channels``, and
        its ``reach``: over each pair of channels, whether the one coming out sees the one going in.
        ``others`` counts the pairs of two different channels among them.
    Source: notes 7.2.
    """
    torch.manual_seed(0)
    lib = LIBRARIES[library]
    layer = lib.Conv2d(3, 3, 2, stride=2) if kind == "Conv2d" else getattr(lib, kind)(2)
    x = torch.rand(1, 3, 8, 8, requires_grad=True)
    y = layer(x)
    seen = [torch.autograd.grad(out.sum(), x, retain_graph=True)[0][0] for out in y[0]]
    reach = torch.stack([(grad != 0).any(2).any(1) for grad in seen]).int()
    return {
        "parameters": sum(p.numel() for p in layer.parameters()),
        "channels": y.shape[1] - x.shape[1],
        "reach": reach,
        "others": reach.sum() - reach.trace(),
    }


def draw_alone(results: Results) -> Figure:
    """Which channel of the output sees which one of the input."""
    made, grid = panels(len(results.records), width=3.2, height=3.4)
    for axes, arm in zip(grid, results.records, strict=True):
        numbers = results.numbers(arm)
        axes.imshow(numbers["reach"], cmap="Blues", vmin=0, vmax=1.5)
        axes.set_title(f"{arm}: {numbers['parameters']} parameters", fontsize=9)
        axes.set(xlabel="channel in", ylabel="channel out", xticks=range(3), yticks=range(3))
    return made


def costs(
    shrink: Shrink, side: int = 28, images: int = 50, library: Library = "dlbook"
) -> dict[str, Any]:
    """Count what a network has to learn and to compute.

    Returns: ``parameters`` of the affine layer behind the convolutions and ``all_parameters``,
        ``multiplications`` of the layers behind the first way to shrink, per image; the shortest of
        five forward and backward passes in ``milliseconds``.
    Source: notes 7.2.
    """
    torch.manual_seed(0)
    net = Shrinking(shrink, (1, side, side), library=library)
    counts: dict[torch.nn.Module, int] = {}

    def count(layer: Any, _: Any, y: Tensor) -> None:
        counts[layer] = y[0].numel() // len(layer.weight) * layer.weight.numel()

    weighted = [layer for layer in net.layers if hasattr(layer, "weight")]
    hooks = [layer.register_forward_hook(count) for layer in weighted]
    x = torch.rand(images, 1, side, side)
    net(x)
    for hook in hooks:
        hook.remove()
    times = []
    for _ in range(5):
        since = time.perf_counter()
        net(x).sum().backward()
        times.append(1000 * (time.perf_counter() - since))
    return {
        "parameters": sum(p.numel() for p in weighted[-1].parameters()),
        "all_parameters": sum(p.numel() for p in net.parameters()),
        "multiplications": sum(counts[layer] for layer in weighted[1:]),
        "milliseconds": min(times),
    }


def field(
    net: Literal["SimpleConvNet", "DeepConvNet"],
    pooled: bool,
    side: int = 64,
    images: int = 16,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    """Measure which pixels move one number of the last feature map, by its gradient.

    Args:
        net: a network of the book, up to its last feature map.
        pooled: with its pooling, or with that left out.
        side: of the images of noise, larger than what is to be seen.
        images: a pixel counts that moves the number in any of them.
        seed: of the weights and the noise.
        library: whose layers.

    Returns: the side of the region (``size``), what the formula says (``formula``) and where that
        begins (``start``), the mean absolute gradient (``map``) of the number in the middle.
    Source: notes 7.2.
    """
    torch.manual_seed(seed)
    whole = getattr(models, net)((1, side, side), init="he", library=library)
    body = [layer for layer in whole.layers if pooled or type(layer).__name__ != "MaxPool2d"]
    kinds = [type(layer).__name__ for layer in body]
    maps = torch.nn.Sequential(*body[: kinds.index("Flatten")])
    x = torch.randn(images, 1, side, side, requires_grad=True)
    with algorithms(convolution="unfold"):  # Winograd's tiles let rounding out of the field
        y = maps(x)
    middle = y.shape[-1] // 2
    (grad,) = torch.autograd.grad(y[:, :, middle, middle].sum(), x)
    seen = grad.abs().mean((0, 1))
    rows = seen.sum(1).nonzero().flatten()
    said = receptive_field(maps)
    return {
        "size": rows[-1] - rows[0] + 1,
        "formula": said.size[0],
        "start": said.start[0] + middle * said.jump[0],
        "map": seen,
    }


def draw_field(results: Results) -> Figure:
    """How much each pixel moves the number, and the square that the formula draws."""
    made, grid = panels(len(results.records), columns=2, width=3.6, height=3.3)
    for axes, arm in zip(grid, results.records, strict=True):
        numbers = results.numbers(arm)
        seen = np.array(numbers["map"])
        image = picture(axes, seen / seen.max(), "", "magma")
        corner, size = numbers["start"] - 0.5, numbers["formula"]
        axes.add_patch(Rectangle((corner, corner), size, size, fill=False, color="#7fd6ff", lw=1.5))
        axes.set_title(f"{arm}: {numbers['size']} pixels, formula {size}", fontsize=9)
    made.colorbar(image, ax=grid, label="gradient, largest = 1", shrink=0.7)
    return made


def _shifted(x: Tensor, pixels: float) -> list[Tensor]:
    moves = [(0, -pixels), (0, pixels), (-pixels, 0), (pixels, 0)]
    return [_affine(x, translate=[int(right), int(down)]) for right, down in moves]


def _turned(x: Tensor, degrees: float) -> list[Tensor]:
    return [_affine(x, angle=degrees), _affine(x, angle=-degrees)]


def _scaled(x: Tensor, percent: float) -> list[Tensor]:
    return [_affine(x, scale=1 + percent / 100), _affine(x, scale=1 / (1 + percent / 100))]


def _affine(x: Tensor, angle: float = 0.0, translate: Any = (0, 0), scale: float = 1.0) -> Tensor:
    bilinear = InterpolationMode.BILINEAR
    return transforms.affine(x, angle, list(translate), scale, [0.0, 0.0], interpolation=bilinear)


CHANGES = {
    "shift": (_shifted, (0, 1, 2, 3), "shift, pixels"),
    "turn": (_turned, (0, 15, 30, 45, 60, 90), "turn, degrees"),
    "scale": (_scaled, (0, 10, 20, 30, 40, 50), "larger or smaller by, %"),
}
JUDGED = {"shift": 1, "turn": 15, "scale": 20}


def tolerance(
    shrink: Shrink,
    data: Literal["Digits", "MNIST"] = "Digits",
    epochs: int = 15,
    subset: int = 1000,
    images: int = 1000,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    r"""Train on upright digits, and show the network test digits that are moved.

    A frame of 2 pixels around each digit, 12 x 12 pixels then, lets a shift cut little away.
    Moved are they both ways: left, right, up and down; turned left and right; larger and smaller.

    Args:
        shrink: see :class:`Shrinking`.
        data: whose digits.
        epochs: of training.
        subset: training digits.
        images: test digits, at most.
        seed: of the first weights and the order of training.
        library: whose layers and rule.

    Returns: for each of ``shift`` (0 to 3 pixels), ``turn`` (0 to 90 degrees) and ``scale`` (by 0
        to 50 %) the test accuracy as a curve; how much accuracy is lost by 1 pixel, 15 degrees and
        20 % (``shift_lost``, ...); and how far the numbers that reach the affine layer move
        meanwhile (``shift_moved``, ... and the curves ``shift_features``, ...): 1 is as far as
        from one test digit to another.
    Source: notes 7.2.
    """
    torch.manual_seed(seed)
    source = getattr(datasets, data)(subset=subset)
    (x, t), _ = source.load_training()
    x_test, t_test = (part[:images] for part in source.load_test())
    framed, framed_test = (pad(part / source.max_value, [2] * 4) for part in (x, x_test))
    side = framed.shape[-1]
    net = Shrinking(shrink, (1, side, side), library=library)
    loss = LIBRARIES[library].CrossEntropyLoss()
    fit(net, _normal(framed, source), t, loss, epochs, seed, library=library)
    made: dict[str, Any] = {}
    with torch.no_grad():
        still = net.layers[:-1](_normal(framed_test, source))
        apart = (still - still.roll(1, 0)).norm(dim=1).mean()
        for name, (change, steps, _) in CHANGES.items():
            accuracy, moved = [], []
            for step in steps:
                features = [
                    net.layers[:-1](_normal(part, source)) for part in change(framed_test, step)
                ]
                hits = [(net.layers[-1](z).argmax(1) == t_test).float().mean() for z in features]
                ways = [(z - still).norm(dim=1).mean() / apart for z in features]
                accuracy.append(torch.stack(hits).mean().item())
                moved.append(torch.stack(ways).mean().item())
            judged = steps.index(JUDGED[name])
            made[name], made[f"{name}_features"] = accuracy, moved
            made[f"{name}_lost"] = accuracy[0] - accuracy[judged]
            made[f"{name}_moved"] = moved[judged]
    return {**made, "accuracy": made["shift"][0]}


def _normal(x: Tensor, images: datasets.Images) -> Tensor:
    """As the data module does it, from pixels between 0 and 1."""
    return (x - images.mean[0]) / images.std[0]


def draw_tolerance(results: Results) -> Figure:
    """Test accuracy against the size of each change, and under it how far the features move."""
    made, grid = panels(6, columns=3, width=3.6, height=2.9)
    for column, (name, (_, steps, label)) in enumerate(CHANGES.items()):
        above, below = grid[column], grid[column + 3]
        for color, (arm, runs) in zip(COLORS, results.records.items(), strict=False):
            for axes, curve in ((above, name), (below, f"{name}_features")):
                found = np.array([record["numbers"][curve] for record in runs.values()])
                axes.plot(steps, found.T, color=color, linewidth=0.5, alpha=0.25)
                axes.plot(steps, found.mean(0), "o-", color=color, label=arm, markersize=3)
        for axes, text in ((above, "test accuracy"), (below, "features moved")):
            axes.set(xlabel=label, ylabel=text if column == 0 else None)
            axes.set_xticks(steps)
            axes.axvline(JUDGED[name], color="#9aa2ad", linewidth=0.8, linestyle=":")
        above.set_ylim(0, 1.02)
        below.axhline(1, color="#9aa2ad", linewidth=0.8)
    grid[3].annotate("as far as another digit", (0, 1), va="bottom", fontsize=7, color="#6b7280")
    handles, labels = grid[0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)
    return made
