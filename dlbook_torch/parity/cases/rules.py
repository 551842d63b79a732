"""Rows of the update rules (notes 6.2)."""

from typing import Any

import torch

from .base import Rule

RULES: list[Rule] = [
    Rule("6.2.1", "SGD", dict(lr=0.1)),
    Rule("6.2.1", "SGD", dict(lr=0.1, weight_decay=0.1)),
    Rule("6.2.1", "SGD", dict(lr=0.1, maximize=True)),
    Rule("6.2.2", "SGD", dict(lr=0.1, momentum=0.9)),
    Rule("6.2.2", "SGD", dict(lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.1)),
    Rule("6.2.2", "SGD", dict(lr=0.1, momentum=0.9, nesterov=True)),
    Rule("6.2.2", "SGD", dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)),
    Rule("6.2.4", "Adam"),
    Rule("6.2.4", "Adam", dict(lr=0.1, betas=(0.5, 0.9), eps=1e-3)),
    Rule("6.2.4", "Adam", dict(lr=0.1, weight_decay=0.1)),
    Rule("6.2.4", "Adam", dict(lr=0.1, weight_decay=0.1, decoupled_weight_decay=True)),
    Rule("6.2.4", "Adam", dict(lr=0.1, amsgrad=True)),
    Rule("6.2.4", "Adam", dict(lr=0.1, maximize=True)),
    Rule("6.2.4", "Adam", dict(lr=torch.tensor(0.1, dtype=torch.float64))),
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
