"""Ways to enlarge an image (notes 7.2)."""

from typing import Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ... import data as datasets
from ...models import LIBRARIES, Library
from ..figures import panels
from ..results import Results
from .convolution import fit, picture

Method = Literal["nearest", "bilinear", "unpooling", "transposed"]
SHOWN = 4  # digits in the picture


def restored(
    method: Method,
    shrink: Literal["max", "average"] = "max",
    data: Literal["Digits", "MNIST"] = "Digits",
    epochs: int = 20,
    subset: int = 1000,
    images: int = 300,
    seed: int = 0,
    library: Library = "dlbook",
) -> dict[str, Any]:
    r"""Halve digits by pooling, enlarge them again, and compare with what they were.

    .. math:: \text{error} = \frac{\text{mean of } (x' - x)^2}{\text{variance of } x}

    is 0 for the digit itself and 1 for an even grey.

    Args:
        method: repeat every pixel (``nearest``), interpolate (``bilinear``), put every maximum back
            where it was among zeros (``unpooling``, which has to know where that was), or a
            ``transposed`` convolution of 4 x 4 that is trained for it.
        shrink: the pooling; ``unpooling`` needs ``max``.
        data: whose digits.
        epochs: of training the transposed convolution.
        subset: training digits.
        images: how many test digits.
        seed: draws them, the first filter and the order of training.
        library: whose layers.

    Returns: the ``error``, and a few digits: ``original``, ``halved`` and ``enlarged``.
    Raises: ValueError for unpooling what was not pooled by the maximum.
    Source: notes 7.2.
    """
    if method == "unpooling" and shrink != "max":
        raise ValueError(f"unpooling needs shrink='max', got {shrink!r}")
    torch.manual_seed(seed)
    source = getattr(datasets, data)(subset=subset)
    (x_train, _), _ = source.load_training()
    x_test, _ = source.load_test()
    x = x_test[torch.randperm(len(x_test))[:images]] / source.max_value
    small, places = _halved(x, shrink, library)
    lib = LIBRARIES[library]
    enlarge: dict[str, Any] = {
        "nearest": lambda: lib.Upsample(scale_factor=2, mode="nearest")(small),
        "bilinear": lambda: lib.Upsample(scale_factor=2, mode="bilinear")(small),
        "unpooling": lambda: lib.MaxUnpool2d(2)(small, places),
        "transposed": lambda: _learned(x_train / source.max_value, shrink, epochs, seed, library)(
            small
        ),
    }
    large = enlarge[method]().detach()
    return {
        "error": ((large - x) ** 2).mean() / x.var(correction=0),
        "original": x[:SHOWN, 0],
        "halved": small[:SHOWN, 0],
        "enlarged": large[:SHOWN, 0],
    }


def _halved(x: Tensor, shrink: str, library: Library) -> tuple[Tensor, Tensor]:
    """The digits at half their side, and where the maxima were."""
    lib = LIBRARIES[library]
    largest, places = lib.MaxPool2d(2, return_indices=True)(x)
    return (largest if shrink == "max" else lib.AvgPool2d(2)(x)), places


def _learned(x: Tensor, shrink: str, epochs: int, seed: int, library: Library) -> torch.nn.Module:
    """A transposed convolution that has been trained to undo the halving."""
    lib = LIBRARIES[library]
    net = lib.ConvTranspose2d(1, 1, 4, stride=2, padding=1)
    small, _ = _halved(x, shrink, library)
    fit(net, small, x, lib.MSELoss(), epochs, seed, lr=0.01, library=library)
    return net


def draw_restored(results: Results) -> Figure:
    """A column per method: the digits enlarged; the first two are the originals and the halves."""
    arms = list(results.records)
    made, grid = panels(SHOWN * (len(arms) + 2), columns=len(arms) + 2, width=1.6, height=1.5)
    for row in range(SHOWN):
        axes = grid[row * (len(arms) + 2) :]
        first = results.numbers(arms[0])
        images = [first["original"][row], first["halved"][row]]
        images += [results.numbers(arm)["enlarged"][row] for arm in arms]
        errors = [f"{arm}\nerror {results.numbers(arm)['error']:.3f}" for arm in arms]
        titles = ["original", f"halved\n({arms[0].rpartition(', ')[2]})", *errors]
        for place, image, title in zip(axes, images, titles, strict=False):
            picture(place, np.clip(image, 0, 1), title if row == 0 else "", "gray")
    return made
