"""Derivatives by hand and by measurement: chapters 4 and 5."""

from .check import GradientReport, check_gradients
from .numerical import gradient_descent, numerical_diff, numerical_gradient, numerical_gradients

__all__ = [
    "GradientReport",
    "check_gradients",
    "gradient_descent",
    "numerical_diff",
    "numerical_gradient",
    "numerical_gradients",
]
