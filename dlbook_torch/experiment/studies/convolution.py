"""Convolution: its size, its filters, and the ways to compute it (notes 7.1)."""

import time
from collections.abc import Callable
from itertools import product
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ... import data as datasets
from ... import nn, optim
from ...models import LIBRARIES, Init, Library, SimpleConvNet
from ..figures import COLORS, panels
from ..results import Results

Loss = Callable[[Tensor, Tensor], Tensor]
DASHES: tuple[Any, ...] = ("-", (0, (3, 3)))  # every other line dashed: one may lie on another


def fit(
    net: torch.nn.Module,
    x: Tensor,
    t: Tensor,
    loss: Loss,
    epochs: int,
    seed: int,
    lr: float = 0.002,
    batch: int = 50,
    library: Library = "dlbook",
) -> None:
    """Train a network by Adam on whole tensors, in an order that the seed draws."""
    rules: Any = optim if library == "dlbook" else torch.optim
    rule = rules.Adam(net.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(seed)
    net.train()
    for _ in range(epochs):
        for part in torch.randperm(len(x), generator=generator).split(batch):
            rule.zero_grad()
            loss(net(x[part]), t[part]).backward()
            rule.step()
    net.eval()


def sizes(divisible: bool, library: Library = "dlbook") -> dict[str, Any]:
    """Measure the side of a convolution's output, and hold the formula of the notes against it.

    Args:
        divisible: of all images up to 12, kernels up to 5, strides up to 4 and paddings up to 2,
            take those where the stride divides a + 2d - b, or the others.
        library: whose convolution.

    Returns: the ``cases`` as rows of a, b, c, d and the measured side, how many are ``wrong`` by
        the formula, how many with the quotient rounded down (``wrong_rounded_down``), and the
        ``largest`` error of the formula in pixels.
    Source: notes 7.1.
    """
    cases, errors, rounded = [], [], []
    for a, b, c, d in product(range(1, 13), range(1, 6), range(1, 5), range(3)):
        room = a + 2 * d - b
        if room < 0 or (room % c == 0) != divisible:
            continue
        layer = LIBRARIES[library].Conv2d(1, 1, b, stride=c, padding=d)
        side = layer(torch.zeros(1, 1, a, a)).shape[-1]
        cases.append([a, b, c, d, side])
        errors.append(abs(room / c + 1 - side))
        rounded.append(room // c + 1 != side)
    return {
        "cases": cases,
        "wrong": sum(error > 0 for error in errors),
        "wrong_rounded_down": sum(rounded),
        "largest": max(errors),
    }


def draw_sizes(results: Results) -> Figure:
    """For an image of 12, measured sides against the stride, and the formula as a line."""
    made, grid = panels(4, columns=2, width=4.6, height=2.8)
    cases = np.array([row for arm in results.records for row in results.numbers(arm)["cases"]])
    for axes, (b, d) in zip(grid, ((3, 0), (3, 1), (5, 0), (4, 1)), strict=True):
        found = cases[(cases[:, 0] == 12) & (cases[:, 1] == b) & (cases[:, 3] == d)]
        c = np.linspace(1, 4, 200)
        axes.plot(c, (12 + 2 * d - b) / c + 1, color=COLORS[1], label="(a + 2d - b) / c + 1")
        axes.plot(found[:, 2], found[:, 4], "o", color=COLORS[0], label="measured")
        axes.set_title(f"kernel b = {b}, padding d = {d}, image a = 12", fontsize=9)
        axes.set(xlabel="stride c", ylabel="output, pixels a side", xticks=range(1, 5))
    grid[0].legend(fontsize=8, frameon=False)
    return made


def repeated(
    kernel: int,
    padding: int,
    stride: int = 1,
    size: int = 28,
    layers: int = 14,
    library: Library = "dlbook",
) -> dict[str, Any]:
    """Put one convolution behind the other until nothing is left of the image.

    Returns: the ``side`` of the image behind each layer, 0 from where the kernel does not fit any
        more; the pixels ``lost`` from first to last; and the share of the image's pixels that are
        the middle of a window of the first layer (``centred``), 0 where a kernel has no middle.
    Source: notes 7.1.
    """
    layer = LIBRARIES[library].Conv2d(1, 1, kernel, stride=stride, padding=padding, bias=False)
    image = torch.zeros(1, 1, size, size, requires_grad=True)
    torch.nn.init.zeros_(layer.weight)
    if kernel % 2:
        layer.weight.data[0, 0, kernel // 2, kernel // 2] = 1  # sees the middle of its window
    (grad,) = torch.autograd.grad(layer(image).sum(), image)
    centred = (grad != 0).float().mean()
    x, sides = image.detach(), []
    for _ in range(layers):
        fits = x.numel() > 0 and x.shape[-1] + 2 * padding >= kernel
        x = layer(x) if fits else x.new_zeros(1, 1, 0, 0)
        sides.append(x.shape[-1])
    return {"side": sides, "lost": size - sides[-1], "centred": centred}


def draw_repeated(results: Results) -> Figure:
    """The side of the image against the number of layers, one line per arm."""
    made, (axes,) = panels(1, width=9.0, height=3.8)
    for i, arm in enumerate(results.records):
        numbers = results.numbers(arm)
        label = f"{arm}: {100 * numbers['centred']:.0f} % of the pixels in a middle"
        sides = numbers["side"]
        axes.plot(
            range(1, len(sides) + 1), sides, color=COLORS[i], linestyle=DASHES[i % 2], label=label
        )
    axes.set(xlabel="layers", ylabel="side of the image, pixels")
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return made


EDGE_FILTERS = {
    "horizontal": torch.tensor([[-1.0, -1.0, -1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]),
    "vertical": torch.tensor([[-1.0, 0.0, 1.0]] * 3),
}


def _edge(direction: str, size: int = 12) -> Tensor:
    """An image, dark on one side of an edge and light on the other."""
    middle = torch.arange(size) - (size - 1) / 2
    down, right = torch.meshgrid(middle, middle, indexing="ij")
    above = {"horizontal": down, "vertical": right, "slanted": down + right}[direction]
    return (above > 0).float()


def edges(
    filter: Literal["horizontal", "vertical"],
    edge: Literal["horizontal", "vertical", "slanted"],
    library: Library = "dlbook",
) -> dict[str, Any]:
    """Let a hand-made filter look at an edge between dark and light, and at a written digit.

    Returns: the strongest ``answer`` to the edge, the ``image`` and the ``response`` to it, and
        the same for a ``digit`` of 8 x 8 pixels (``digit_response``).
    Source: notes 7.1.
    """
    layer = LIBRARIES[library].Conv2d(1, 1, 3, bias=False)
    layer.weight.data[0, 0] = EDGE_FILTERS[filter]
    digit = datasets.Digits().read(train=True)[0][0, 0] / datasets.Digits.max_value
    image = _edge(edge)
    with torch.no_grad():
        response, digit_response = (layer(x[None, None])[0, 0] for x in (image, digit))
    return {
        "answer": response.abs().max(),
        "image": image,
        "response": response,
        "digit": digit,
        "digit_response": digit_response,
    }


def draw_edges(results: Results) -> Figure:
    """Rows: the images, then the answers of each filter; columns: the edges and a digit."""
    runs = {
        (options["filter"], options["edge"]): results.numbers(arm)
        for arm, options in results.experiment.arms.items()
    }
    kinds = list(dict.fromkeys(edge for _, edge in runs))
    made, grid = panels(3 * (len(kinds) + 1), columns=len(kinds) + 1, width=2.4, height=2.3)
    rows = [grid[i : i + len(kinds) + 1] for i in range(0, len(grid), len(kinds) + 1)]
    any_run = next(iter(runs.values()))
    shown = [runs[next(iter(runs))[0], kind]["image"] for kind in kinds] + [any_run["digit"]]
    for axes, image, kind in zip(rows[0], shown, [*kinds, "digit"], strict=True):
        picture(axes, image, f"{kind} edge" if kind != "digit" else "a digit", "gray")
    for row, name in zip(rows[1:], EDGE_FILTERS, strict=True):
        answers = [runs[name, kind]["response"] for kind in kinds]
        for axes, answer in zip(
            row, [*answers, runs[name, kinds[0]]["digit_response"]], strict=True
        ):
            drawn = picture(axes, answer, "", "RdBu_r", 3.0)
        row[0].set_ylabel(f"{name}\nfilter", fontsize=9)
    made.colorbar(drawn, ax=[axes for row in rows[1:] for axes in row], label="answer", shrink=0.7)
    return made


def picture(axes: Axes, image: Any, title: str, colors: str, bound: float | None = None) -> Any:
    """Show a small image without ticks; with a bound, its colours reach from -bound to bound."""
    low = None if bound is None else -bound
    axes.set_title(title, fontsize=9)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(visible=True, color="#c8ccd2")
    return axes.imshow(np.asarray(image), cmap=colors, vmin=low, vmax=bound)


def filters(
    epochs: int,
    init: Init = 0.01,
    data: Literal["Digits", "MNIST"] = "Digits",
    subset: int = 1000,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    r"""Train the book's small network, and measure how rough the filters of its first layer are.

    .. math:: \frac{\text{mean of } (w_i - w_j)^2 \text{ over neighbours } i, j}
        {\text{mean of } w_i^2}

    is near 2 for weights drawn at random, and 0 for a filter that is all one.

    Returns: the ``filters``, their ``roughness``, the ``accuracy`` on validation images.
    Source: notes 7.1; the book's figure 7-24.
    """
    torch.manual_seed(seed)
    images = getattr(datasets, data)(subset=subset)
    (x, t), (x_val, t_val) = images.load_training()
    net = SimpleConvNet(images.shape, init=init, library=library)
    loss = LIBRARIES[library].CrossEntropyLoss()
    fit(net, images.normalize(x), t, loss, epochs, seed, lr=0.001, library=library)
    with torch.no_grad():
        hits = net(images.normalize(x_val)).argmax(1) == t_val
    weight = next(net.parameters()).detach()[:, 0]
    return {
        "filters": weight,
        "roughness": roughness(weight),
        "accuracy": hits.float().mean(),
    }


def roughness(weight: Tensor) -> float:
    """See :func:`filters`. Shape: ``(O, K, K)``; every filter counts the same."""
    steps = torch.cat([weight.diff(dim=axis).flatten(1) for axis in (1, 2)], 1)
    return float(((steps**2).mean(1) / (weight**2).mean((1, 2))).mean())


def draw_filters(results: Results) -> Figure:
    """The filters of the first seed, arm by arm, each filter in its own shades of grey."""
    made, grid = panels(len(results.records), columns=2, width=4.4, height=3.6)
    for axes, arm in zip(grid, results.records, strict=True):
        numbers = results.numbers(arm)
        tiles = np.array(numbers["filters"])
        low, high = tiles.min((1, 2), keepdims=True), tiles.max((1, 2), keepdims=True)
        tiles = np.pad((tiles - low) / (high - low), ((0, 0), (0, 1), (0, 1)), constant_values=1)
        rows = tiles.reshape(5, -1, *tiles.shape[1:])
        image = rows.swapaxes(1, 2).reshape(5 * tiles.shape[1], -1)
        picture(axes, image, f"{arm}: roughness {numbers['roughness']:.2f}", "gray")
    return made


class _Largest(TorchDispatchMode):
    """Remembers the size in bytes of the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            self.bytes = max(self.bytes, made.nbytes)
        return made


def _by_loop(x: Tensor, weight: Tensor) -> Tensor:
    """Window by window, filter by filter, image by image."""
    k = weight.shape[-1]
    side = x.shape[-1] - k + 1
    y = x.new_empty(len(x), len(weight), side, side)
    for n, o, i, j in product(range(len(x)), range(len(weight)), range(side), range(side)):
        y[n, o, i, j] = (x[n, :, i : i + k, j : j + k] * weight[o]).sum()
    return y


def _by_columns(x: Tensor, weight: Tensor) -> Tensor:
    """Every window a column; then one product of two matrices."""
    side = x.shape[-1] - weight.shape[-1] + 1
    columns = nn.Unfold(weight.shape[-1])(x)
    return (weight.flatten(1) @ columns).unflatten(2, (side, side))


WAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "loop": _by_loop,
    "columns": _by_columns,
    "dlbook": nn.functional.conv2d,
    "torch": torch.nn.functional.conv2d,
}


def ways(way: str, sides: tuple[int, ...] = (8, 16, 32)) -> dict[str, Any]:
    """Convolve images of several sides in one way: the same numbers, at another price.

    Two images of 8 channels, 8 filters of 3 x 3, float64.

    Args:
        way: ``loop``, ``columns`` (unfold and multiply), ``dlbook`` (our layer, which unfolds a
            few images at a time) or ``torch``.
        sides: of the images.

    Returns: the largest ``error`` against SciPy's correlation; per side, the shortest of three
        times in ``milliseconds`` and the ``megabytes`` of the largest tensor that was made. What
        torch's own kernel needs inside is not seen.
    Source: notes 7.1; the book's section 7.4.
    """
    from scipy.signal import correlate

    errors, milliseconds, megabytes = [], [], []
    generator = torch.Generator().manual_seed(0)
    for side in sides:
        x = torch.randn(2, 8, side, side, dtype=torch.float64, generator=generator)
        weight = torch.randn(8, 8, 3, 3, dtype=torch.float64, generator=generator)
        times = []
        for _ in range(3):
            since = time.perf_counter()
            y = WAYS[way](x, weight)
            times.append(1000 * (time.perf_counter() - since))
        truth = [
            [correlate(image, w, mode="valid")[0] for w in weight.numpy()] for image in x.numpy()
        ]
        errors.append(np.abs(np.array(truth) - y.numpy()).max())
        with _Largest() as largest:
            WAYS[way](x, weight)
        milliseconds.append(min(times))
        megabytes.append(largest.bytes / 2**20)
    return {
        "sides": sides,
        "error": max(errors),
        "milliseconds": milliseconds,
        "megabytes": megabytes,
    }


def draw_ways(results: Results) -> Figure:
    """Time and memory against the side of the images, on logarithmic scales."""
    made, grid = panels(2, columns=2, width=4.8)
    labels = {"milliseconds": "time, milliseconds", "megabytes": "largest tensor, MiB"}
    for axes, (name, label) in zip(grid, labels.items(), strict=True):
        for i, arm in enumerate(results.records):
            numbers = results.numbers(arm)
            style = {"color": COLORS[i], "linestyle": DASHES[i % 2], "marker": "os"[i % 2]}
            axes.plot(numbers["sides"], numbers[name], label=arm, **style)
        axes.set(xlabel="side of the images, pixels", ylabel=label, xscale="log", yscale="log")
        axes.set_xticks(numbers["sides"], numbers["sides"])
        axes.minorticks_off()
    grid[0].legend(fontsize=8, frameon=False)
    return made
