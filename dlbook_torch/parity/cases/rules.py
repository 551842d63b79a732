"""Rows of the update rules (notes 6.2)."""

from typing import Any

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
# Hyper-parameters that torch refuses, and the value that our sentence names.
BAD_RULES: list[tuple[str, dict[str, Any], str]] = [
    ("SGD", dict(lr=-1.0), "-1.0"),
    ("SGD", dict(momentum=-0.5), "-0.5"),
    ("SGD", dict(weight_decay=-0.1), "-0.1"),
    ("SGD", dict(nesterov=True), "momentum=0"),
    ("SGD", dict(momentum=0.9, dampening=0.1, nesterov=True), "dampening=0.1"),
    ("Adam", dict(lr=-0.1), "-0.1"),
    ("Adam", dict(eps=-1e-8), "-1e-08"),
    ("Adam", dict(weight_decay=-0.1), "-0.1"),
    ("Adam", dict(betas=(1.0, 0.999)), "(1.0, 0.999)"),
    ("Adam", dict(betas=(0.9, -0.1)), "(0.9, -0.1)"),
]
