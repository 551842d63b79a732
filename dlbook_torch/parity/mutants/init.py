"""Mistakes in the first values of the weights (notes 6.3)."""

from .base import Mutant, mutants

MUTANTS: list[Mutant] = [
    *mutants(
        "nn/init.py",
        "test_init.py",
        (
            "init: fan-in and fan-out swapped",
            "return tensor.shape[1] * cells, tensor.shape[0] * cells",
            "return tensor.shape[0] * cells, tensor.shape[1] * cells",
        ),
        (
            "init: the kernel forgotten in the fans",
            "cells = prod(tensor.shape[2:])",
            "cells = 1",
        ),
        (
            "init: Xavier's bound without sqrt(3)",
            "bound = sqrt(3) * (gain * sqrt(2 / sum(_fans(tensor))))",
            "bound = gain * sqrt(2 / sum(_fans(tensor)))",
        ),
        (
            "init: kaiming_uniform ignores the slope",
            "return calculate_gain(nonlinearity, a) / ",
            "return calculate_gain(nonlinearity) / ",
        ),
        ("init: gain of leaky_relu without the square", "(1 + slope**2)", "(1 + slope)"),
        ("init: gain of tanh 1", '"tanh": 5 / 3', '"tanh": 1'),
        (
            "init: orthogonal matrices not uniform",
            "q *= r.diagonal().sign()",
            "q *= 1",
        ),
        (
            "init: truncated by clamping",
            "pending &= refused",
            "return tensor.clamp_(a, b)",
        ),
        (
            "init: dirac off the middle",
            "middle.shape[-1] // 2",
            "(middle.shape[-1] - 1) // 2",
        ),
        (
            "init: dirac in the first group only",
            "middle.chunk(groups):",
            "middle.chunk(groups)[:1]:",
        ),
    ),
]
