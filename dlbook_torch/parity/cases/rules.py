"""Rows of the update rules (notes 6.2)."""

from math import inf
from typing import Any

import numpy
import torch

from .base import Rule

BOLD = dict(lr=0.1, weight_decay=0.1)  # shows in a few steps
UPHILL = dict(BOLD, maximize=True)
LR = dict(lr=torch.tensor(0.1, dtype=torch.float64))


def rules(notes: str, name: str, *settings: dict[str, Any]) -> list[Rule]:
    """A rule under several settings."""
    return [Rule(notes, name, kwargs) for kwargs in settings]


RULES: list[Rule] = [
    *rules(
        "6.2.1",
        "SGD",
        {},
        BOLD,
        UPHILL,
        LR,
        dict(lr=0.1, weight_decay=torch.tensor(0.1, dtype=torch.float64)),
    ),
    *rules(
        "6.2.2",
        "SGD",
        dict(lr=0.1, momentum=0.9),
        dict(BOLD, momentum=0.9, dampening=0.5),
        dict(UPHILL, momentum=0.9),
        dict(lr=0.1, momentum=0.9, nesterov=True),
        dict(BOLD, momentum=0.9, nesterov=True),
    ),
    *rules(
        "6.2.1",
        "ASGD",
        {},
        BOLD,
        UPHILL,
        LR,
        dict(lr=0.1, lambd=0.1, alpha=0.5, t0=5),
    ),
    *rules(
        "6.2.1",
        "Rprop",
        {},
        dict(lr=0.1),
        dict(lr=0.1, maximize=True),
        LR,
        dict(lr=0.1, etas=(0.3, 1.7), step_sizes=(0.05, 0.2)),
    ),
    *rules(
        "6.2.3",
        "Adagrad",
        {},
        BOLD,
        UPHILL,
        LR,
        dict(lr=0.1, lr_decay=0.1),
        dict(lr=0.1, initial_accumulator_value=0.5, eps=1e-2),
    ),
    *rules(
        "6.2.3",
        "RMSprop",
        {},
        BOLD,
        UPHILL,
        LR,
        dict(lr=0.1, alpha=0.5, eps=1e-2),
        dict(BOLD, momentum=0.9),
        dict(BOLD, centered=True),
        dict(BOLD, momentum=0.9, centered=True, eps=1e-2),
    ),
    *rules(
        "6.2.3",
        "Adadelta",
        {},
        BOLD,
        UPHILL,
        LR,
        dict(lr=0.5, rho=0.5, eps=1e-2),
    ),
    *rules(
        "6.2.4",
        "Adam",
        {},
        BOLD,
        UPHILL,
        LR,
        dict(lr=0.1, betas=(0.5, 0.9), eps=1e-3),
        dict(lr=0.1, betas=tuple(torch.tensor(b, dtype=torch.float64) for b in (0.5, 0.9))),
        dict(BOLD, decoupled_weight_decay=True),
        dict(BOLD, amsgrad=True),
    ),
    *rules(
        "6.5",
        "AdamW",
        {},
        BOLD,
        UPHILL,
        LR,
        dict(lr=0.1, betas=(0.5, 0.9), eps=1e-3, amsgrad=True),
    ),
    *rules(
        "6.2.4",
        "NAdam",
        {},
        BOLD,
        UPHILL,
        LR,
        dict(lr=0.1, betas=(0.5, 0.9), eps=1e-3, momentum_decay=0.1),
        dict(BOLD, decoupled_weight_decay=True),
    ),
    *rules(
        "6.2.4",
        "RAdam",
        {},
        BOLD,
        UPHILL,
        LR,
        dict(lr=0.1, betas=(0.5, 0.9), eps=1e-3),
        dict(BOLD, decoupled_weight_decay=True),
    ),
    *rules(
        "6.2.4",
        "Adamax",
        {},
        BOLD,
        UPHILL,
        LR,
        dict(lr=0.1, betas=(0.5, 0.9), eps=1e-2),
    ),
]
REST = "ASGD Rprop Adagrad RMSprop Adadelta Adam AdamW NAdam RAdam Adamax"
DECAYING = REST.replace("Rprop ", "")
WITH_EPS = DECAYING.replace("ASGD ", "")
WITH_BETAS = "Adam AdamW NAdam RAdam Adamax"
WITH_FUSED = "SGD Adagrad Adam AdamW"
HALF, TWO = torch.tensor(0.5, dtype=torch.float64), torch.tensor([0.1, 0.2])


def bad(
    names: str, value: str, error: type[Exception] = ValueError, **kwargs: Any
) -> list[tuple[str, dict[str, Any], type[Exception], str]]:
    """Several rules that refuse the same arguments."""
    return [(name, kwargs, error, value) for name in names.split()]


# Hyper-parameters that torch refuses, with which exception, and the value that our sentence names.
BAD_RULES: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    *bad(f"SGD {REST}", "-1.0", lr=-1.0),
    *bad(REST, "nan", lr=float("nan")),
    *bad(f"SGD {REST}", "-0.5", lr=-HALF),
    *bad(f"SGD {REST}", "-0.5", lr=numpy.float32(-0.5)),
    *bad(f"SGD {REST}", "(2,)", lr=TWO),
    *bad(f"SGD {REST}", "'0.1'", TypeError, lr="0.1"),
    *bad(f"SGD {REST}", "None", TypeError, lr=None),
    *bad(f"SGD {REST}", "[0.1]", TypeError, lr=[0.1]),
    *bad(f"SGD {DECAYING}", "-0.1", weight_decay=-0.1),
    *bad(DECAYING, "nan", weight_decay=float("nan")),
    *bad(WITH_EPS, "-1e-08", eps=-1e-8),
    *bad(WITH_BETAS, "(1.0, 0.999)", betas=(1.0, 0.999)),
    *bad(WITH_BETAS, "(0.9, 1.0)", betas=(0.9, 1.0)),
    *bad(WITH_BETAS, "(-0.1, 0.999)", betas=(-0.1, 0.999)),
    *bad(WITH_BETAS, "(0.9, -0.1)", betas=(0.9, -0.1)),
    *bad("Adam AdamW", "(0.9, tensor(0.5000", betas=(0.9, HALF)),
    *bad("Adam AdamW", "(0, 0.999)", betas=(0, 0.999)),
    *bad("Adam AdamW", "tensor(1.", betas=(HALF, 2 * HALF)),
    *bad("Adam AdamW", "lr=0.5", lr=HALF, foreach=True),
    *bad("Adam AdamW", "betas=(tensor(0.5000", betas=(HALF, HALF), foreach=True),
    *bad(WITH_FUSED, "differentiable", RuntimeError, fused=True, differentiable=True),
    *bad(WITH_FUSED, "foreach", RuntimeError, fused=True, foreach=True),
    *bad("SGD RMSprop", "-0.5", momentum=-0.5),
    *bad("SGD", "momentum=0", nesterov=True),
    *bad("SGD", "dampening=0.1", momentum=0.9, dampening=0.1, nesterov=True),
    *bad("Adagrad", "-0.1", lr_decay=-0.1),
    *bad("Adagrad", "-0.5", initial_accumulator_value=-0.5),
    *bad("RMSprop", "-0.5", alpha=-0.5),
    *bad("Adadelta", "-0.1", rho=-0.1),
    *bad("Adadelta", "1.5", rho=1.5),
    *bad("NAdam", "-0.1", momentum_decay=-0.1),
    *bad("Rprop", "(0.0, 1.2)", etas=(0.0, 1.2)),
    *bad("Rprop", "(1.0, 1.2)", etas=(1.0, 1.2)),
    *bad("Rprop", "(0.5, 1.0)", etas=(0.5, 1.0)),
]
# Strange hyper-parameters that torch takes.
STRANGE: list[Rule] = [
    *[Rule("6.1", name, dict(lr=value)) for name in f"SGD {REST}".split() for value in (0, 1, inf)],
    *[Rule("6.1", n, dict(lr=HALF.reshape(1))) for n in f"SGD {REST}".split()],
    *[Rule("6.1", n, dict(lr=numpy.float32(0.5))) for n in f"SGD {REST}".split()],
    *[Rule("6.1", name, dict(eps=0.0)) for name in WITH_EPS.split()],
    *[Rule("6.1", name, dict(weight_decay=100)) for name in DECAYING.split()],
    *[Rule("6.2.4", name, dict(betas=(0.0, 0.0))) for name in WITH_BETAS.split()],
    *[Rule("6.2.4", name, dict(betas=[0.5, 0.9])) for name in WITH_BETAS.split()],
    *[Rule("6.2.4", name, dict(betas=[HALF, HALF])) for name in ("Adam", "AdamW")],
    *rules("6.2.2", "SGD", dict(momentum=1.5), dict(momentum=0.9, dampening=-1.0)),
    *rules("6.2.3", "RMSprop", dict(alpha=1.5), dict(alpha=0.0), dict(momentum=2)),
    *rules("6.2.3", "Adadelta", dict(rho=0.0), dict(rho=1.0)),
    *rules("6.2.1", "ASGD", dict(lambd=-0.1, alpha=-1.0, t0=-1.0)),
    *rules("6.2.1", "Rprop", dict(step_sizes=(0.5, 0.1)), dict(lr=100.0)),
]
