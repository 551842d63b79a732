"""Settings of a training run, and how those of a healthy one are drawn for each split."""

import random
from dataclasses import dataclass, fields
from math import nan
from typing import Any, Literal

from .tasks import TASKS

SplitName = Literal["development", "validation", "held-out"]
FIRST_SEED: dict[SplitName, int] = {"development": 0, "validation": 5000, "held-out": 3000}


@dataclass(frozen=True)
class Config:
    """A run; the second half are faults, off by default.

    Args:
        data: name of the task.
        n: training samples.
        arch: ``mlp`` or ``conv``.
        depth: hidden layers, or stages of convolution.
        width: their units or channels.
        act: activation.
        opt: update rule; ``sgd`` has momentum ``mom``, ``plain`` has none.
        lr: learning rate.
        schedule: ``constant``, ``cosine``, ``step``, ``exponential``, ``warm-up``, ``dies``.
        noise: share of wrong training labels; 1 draws all of them at random.
        init: ``zero``, ``constant``, or a factor on the standard deviation of the weights.
        bias: first value of the hidden biases.
        xscale: factor on all inputs.
        xoffset: added to all inputs afterwards.
        freeze: indices of layers the optimizer does not know.
        dsoft: the network ends in a softmax, and the loss has another.
        clip: largest norm of the gradient.
        shift: size of what is added to the validation inputs.
        shift_kind: ``offset``, the same for all samples, or ``noise``.
        leak: the validation samples are training samples.
        easy: the validation set is the third that the class means tell apart best.
        wrong_val: validation labels are off by one class.
        rare: the first half of the classes keeps this share of its training samples.
        lrgrow: the rate is multiplied by this after every epoch.
        spike: the rate is multiplied by this from ``onset`` on.
        onset: epoch in which the fault begins.
        bn_momentum: of the running statistics of BatchNorm.
        accumulate: gradients are never set to zero.
    """

    data: str
    n: int
    depth: int
    width: int
    act: str
    opt: str
    lr: float
    arch: str = "mlp"
    mom: float = 0.9
    wd: float = 0.0
    drop: float = 0.0
    bn: bool = False
    bs: int = 64
    epochs: int = 25
    schedule: str = "constant"
    seed: int = 0
    noise: float = 0.0
    init: str | float = 1.0
    bias: float = 0.0
    xscale: float = 1.0
    xoffset: float = 0.0
    freeze: tuple[int, ...] = ()
    dsoft: bool = False
    clip: float | None = None
    shift: float = 0.0
    shift_kind: str = "offset"
    leak: bool = False
    easy: bool = False
    wrong_val: bool = False
    rare: float = 1.0
    lrgrow: float = 1.0
    spike: float = 1.0
    onset: int = 0
    bn_momentum: float = 0.1
    accumulate: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The settings that define the run, and the faults that are on."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = {field.name: field.default for field in fields(self)[16:]}
        return {key: value for key, value in given.items() if plain.get(key, nan) != value}


Draw = random.Random
RATES = {  # of a healthy run
    "sgd": (0.02, 0.05),
    "nesterov": (0.02, 0.05),
    "adam": (1e-3, 3e-3),
    "adamw": (1e-3, 3e-3),
    "nadam": (1e-3, 2e-3),
    "rmsprop": (5e-4, 1e-3),
    "adagrad": (0.01, 0.03),
    "plain": (0.1, 0.2),
    "adamax": (2e-3, 5e-3),
    "radam": (1e-3, 3e-3),
    "adadelta": (0.3, 1.0),
}
PICTURES, CLOTHES = ("clothes", "numerals"), ("fashion", "clothes")
MODEST_WIDTH = {
    "gmm": 64,
    "teacher": 48,
    "reg": 48,
    "shells": 40,
    "friedman": 40,
    "tumours": 24,
    "patients": 24,
}
FEW = 500  # training samples: too few for large batches
LENGTHS: dict[SplitName, list[int]] = {  # epochs; shorter on clothes
    "development": [16, 24, 30],
    "validation": [14, 20, 28, 40],
    "held-out": [16, 24, 30],
}


def healthy(split: SplitName, seed: int, draw: Draw) -> Config:
    """Draw settings that work: moderate width, rate, dropout and decay."""
    if split == "development":
        data, arch = draw.choice(["digits", "gmm"]), "mlp"
        depth, width = draw.choice([1, 2, 3]), draw.choice([32, 64, 128])
        act = draw.choice(["relu", "relu", "leaky", "tanh", "gelu", "sigmoid"])
        opt, schedule = draw.choice(["sgd", "adam"]), draw.choice(["constant", "cosine"])
        bs = draw.choice([32, 64])
    elif split == "validation":
        data = draw.choice(["clothes", "numerals", "shells", "tumours", "friedman", "patients"])
        arch = "conv" if data in PICTURES and draw.random() < 0.5 else "mlp"
        depth = draw.choice([1, 2]) if arch == "conv" else draw.choice([1, 2, 3])
        width = draw.choice([8, 12]) if arch == "conv" else draw.choice([24, 40, 80, 112])
        act = draw.choice(["relu", "relu", "gelu", "elu", "silu", "leaky", "tanh", "sigmoid"])
        opt = draw.choice(["plain", "adamax", "radam", "adadelta"])
        schedule = draw.choice(["constant", "cosine", "step", "exponential", "warm-up"])
        bs = draw.choice([24, 40] if TASKS[data].samples < FEW else [24, 40, 80, 128])
    else:
        data = draw.choice(["fashion", "fashion", "teacher", "reg"])
        arch = "conv" if data == "fashion" and draw.random() < 0.6 else "mlp"
        depth = draw.choice([1, 2]) if arch == "conv" else draw.choice([2, 3, 4])
        width = draw.choice([6, 10]) if arch == "conv" else draw.choice([48, 96, 160])
        act = draw.choice(["relu", "relu", "elu", "silu", "tanh", "sigmoid"])
        opt = draw.choice(["nesterov", "rmsprop", "adamw", "nadam", "adagrad"])
        schedule = draw.choice(["constant", "step", "exponential", "warm-up"])
        bs = 50 if arch == "conv" else draw.choice([50, 100])
    if data in MODEST_WIDTH:  # a wide or deep network overfits there
        width, depth = min(width, MODEST_WIDTH[data]), min(depth, 2)
    if act == "sigmoid" and (arch == "conv" or data not in ("digits", "numerals")):
        act = "tanh"
    if act == "sigmoid":
        depth = min(depth, 2)
    if opt == "adagrad":  # its rate falls by itself
        schedule = "constant"
    bn = draw.random() < 0.3 or (act == "sigmoid" and depth > 1)
    drop = 0.0 if bn else draw.choice([0.1, 0.25] if data in CLOTHES else [0.0, 0.1, 0.25])
    epochs = draw.choice([12, 16, 20] if data in CLOTHES else LENGTHS[split])
    return Config(
        data,
        TASKS[data].samples,
        depth,
        width,
        act,
        opt,
        round(log_uniform(draw, *RATES[opt]), 6),
        arch,
        wd=draw.choice([1e-4, 1e-3]),
        drop=drop,
        bn=bn,
        bs=bs,
        epochs=epochs,
        schedule=schedule,
        seed=seed,
    )


def log_uniform(draw: Draw, low: float, high: float) -> float:
    """Draw evenly in the logarithm."""
    return low * (high / low) ** draw.random()
