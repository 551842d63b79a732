"""What softmax does to scores, and to the answer (notes 3.4)."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ...models import LIBRARIES, Library
from ..figures import COLORS, panels
from ..results import Results

DType = Literal["float16", "float32", "float64"]
SIZES = (1, 2, 5, 10, 20, 50, 88, 89, 100, 200, 500, 700, 710, 1000, 2000, 5000, 10000)
SCORES = (0.3, 2.9, 4.0)  # the notes' own example


def as_written(scores: Tensor, dim: int) -> Tensor:
    """Softmax as its formula stands, with nothing subtracted."""
    e = scores.exp()
    return e / e.sum(dim, keepdim=True)


def overflow(
    subtract: bool, dtype: DType, classes: int = 10, library: Library = "dlbook"
) -> dict[str, Any]:
    """Give softmax larger and larger scores, evenly spread from minus to plus their size.

    Returns: for every one of ``sizes`` the share of ``finite`` outputs and the ``error``, the
        largest distance from probabilities computed in float64 with the maximum subtracted (inf
        if one is no number); ``fails``, the first size with an error above 1e-4 (inf if none);
        whether it is ``sound_at_100`` and ``sound_at_1000``, with an error up to 1e-4.
    Source: notes 3.4, whose "e^100 > 20000" is meant as e^10.
    """
    function = _softmax(library) if subtract else as_written
    finite, error = [], []
    for size in SIZES:
        scores = torch.linspace(-1, 1, classes, dtype=torch.float64) * size
        right = (scores - scores.max() - (scores - scores.max()).exp().sum().log()).exp()
        y = function(scores.to(getattr(torch, dtype)), 0)
        finite.append(y.isfinite().double().mean().item())
        error.append((y.double() - right).abs().nan_to_num(torch.inf).max().item())
    wrong = [size for size, e in zip(SIZES, error, strict=True) if e > 1e-4]
    return {
        "sizes": SIZES,
        "finite": finite,
        "error": error,
        "fails": wrong[0] if wrong else SIZES[-1] + 1,
        "sound_at_100": error[SIZES.index(100)] <= 1e-4,
        "sound_at_1000": error[SIZES.index(1000)] <= 1e-4,
    }


def constant(c: float, dtype: DType, library: Library = "dlbook") -> dict[str, Any]:
    """Add a constant to the notes' three scores.

    Returns: the largest ``change`` of a probability, and the ``probabilities``.
    Source: notes 3.4.
    """
    scores = torch.tensor(SCORES, dtype=getattr(torch, dtype))
    before, after = (_softmax(library)(x, 0) for x in (scores, scores + c))
    return {"change": (after - before).abs().max(), "probabilities": after}


def classes(
    size: float, dtype: DType, samples: int = 100000, seed: int = 0, library: Library = "dlbook"
) -> dict[str, Any]:
    """Answer with the largest of ten random scores, and with the largest of their softmax.

    Returns: the share of answers that are ``changed``, the share in which the largest probability
        is ``tied`` with another, and the share in which the class of the largest score has less
        than the largest probability (``overtaken``).
    Source: notes 3.4.
    """
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(samples, 10, generator=generator, dtype=torch.float64) * size
    scores = scores.to(getattr(torch, dtype))
    y = _softmax(library)(scores, 1)
    best = scores.argmax(1)
    most = y.max(1, keepdim=True).values
    return {
        "changed": (y.argmax(1) != best).double().mean(),
        "tied": ((y == most).sum(1) > 1).double().mean(),
        "overtaken": (y.gather(1, best[:, None]) < most).double().mean(),
    }


def _softmax(library: Library) -> Callable[[Tensor, int], Tensor]:
    return lambda x, dim: LIBRARIES[library].Softmax(dim)(x)


def draw_overflow(results: Results) -> Figure:
    """Share of finite outputs and error against the size of the scores."""
    made, grid = panels(2, width=5.2)
    styles = ("-", "--", "-", "--")
    for color, style, arm in zip(COLORS, styles, results.records, strict=False):
        numbers = results.numbers(arm)
        error = [1 if e is None else max(e, 1e-18) for e in numbers["error"]]
        for axes, y in zip(grid, (numbers["finite"], error), strict=True):
            axes.plot(numbers["sizes"], y, style, color=color, label=arm, marker=".")
            axes.set(xscale="log", xlabel="size of the scores (from -size to +size)")
    grid[0].set(title="share of outputs that are numbers", ylim=(-0.05, 1.05))
    grid[1].set(title="largest error (1: not a number)", yscale="log")
    grid[0].legend(fontsize=8, frameon=False, loc="lower left")
    return made


def draw_constant(results: Results) -> Figure:
    """The largest change of a probability against the constant, a line per dtype."""
    made, (axes,) = panels(1, width=6.4)
    arms = results.experiment.arms
    for color, dtype in zip(COLORS, ("float32", "float64"), strict=False):
        chosen = [arm for arm in results.records if arms[arm]["dtype"] == dtype]
        points = sorted((abs(arms[a]["c"]), results.numbers(a)["change"]) for a in chosen)
        x, y = zip(*points, strict=True)
        axes.plot(x, [max(change, 1e-18) for change in y], "o-", color=color, label=dtype)
    axes.set(xscale="log", yscale="log", xlabel="size of the constant added to every score")
    axes.set_ylabel("largest change of a probability")
    axes.legend(fontsize=8, frameon=False)
    return made
