"""A trained network at work: image by image, and in batches (notes 3.3)."""

import time
from typing import Any

import torch
from matplotlib.figure import Figure

from ..figures import COLORS, panels
from ..measure import train
from ..plan import QUIET, Options, training
from ..results import Results


def batches(
    config: str, sizes: list[int], options: Options | None = None, seed: int = 0
) -> dict[str, Any]:
    """Train a configuration, then read its test images one by one and in batches.

    Args:
        config: of the training.
        sizes: of the batches.
        options: of the training, over those in the file.
        seed: of the training.

    Returns: the ``accuracy`` one by one; ``different``, the largest number of images that any
        batch size gives another class, and ``distance``, the largest difference of a score;
        ``sizes`` from 1 on and the ``milliseconds`` that all images took; ``times_faster``, how
        many times as fast as one by one the fastest was.
    Source: notes 3.3, which load weights that the book has trained.
    """
    chosen = {**QUIET, **(options or {}), "seed_everything": seed, "data.seed": seed}
    done = train(list(training(config, chosen)))
    net, data = done.model.net.eval(), done.datamodule
    x, t = data.load_test()
    x = data.normalize(x)
    answers, milliseconds = [], []
    with torch.inference_mode():
        for size in (1, *sizes):
            since = time.perf_counter()
            answers.append(torch.cat([net(part) for part in x.split(size)]))
            milliseconds.append(1000 * (time.perf_counter() - since))
    alone, *together = answers
    return {
        "accuracy": (alone.argmax(1) == t).double().mean(),
        "different": max(int((y.argmax(1) != alone.argmax(1)).sum()) for y in together),
        "distance": max((y - alone).abs().max().item() for y in together),
        "sizes": [1, *sizes],
        "milliseconds": milliseconds,
        "times_faster": milliseconds[0] / min(milliseconds),
    }


def draw_batches(results: Results) -> Figure:
    """The time that the test images take against the size of the batch."""
    made, (axes,) = panels(1, width=6.4)
    for color, (arm, runs) in zip(COLORS, results.records.items(), strict=False):
        for seed, record in runs.items():
            numbers = record["numbers"]
            label = None if seed else arm
            axes.plot(numbers["sizes"], numbers["milliseconds"], "o-", color=color, label=label)
    axes.set(xscale="log", yscale="log", xlabel="images per batch")
    axes.set_ylabel("milliseconds for all test images")
    return made
