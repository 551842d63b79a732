"""Mistakes in what changes only the shape (notes 7)."""

from .base import Mutant, mutants, quick

MUTANTS: list[Mutant] = [
    *mutants(
        "nn/flatten.py",
        quick("Flatten or Unflatten"),
        (
            "flatten: end_dim ignored",
            "prod(shape[start : end + 1]), *shape[end + 1 :])",
            "prod(shape[start:]))",
        ),
        ("flatten: a number has no axis", "shape = input.shape or (1,)", "shape = input.shape"),
        ("flatten: one axis too many allowed", "<= dim < rank", "<= dim <= rank"),
        ("flatten: one axis too few allowed", "if not -rank <= dim", "if not -rank < dim"),
        ("flatten: axes in any order", "if start > end:", "if start > end + 1:"),
        (
            "unflatten: -1 not inferred",
            "if sizes.count(-1) == 1 and known > 0:",
            "if sizes.count(-1) == 2 and known > 0:",
        ),
        (
            "unflatten: a remainder left out",
            "if min(sizes, default=-1) < 0 or prod(sizes) != length:",
            "if min(sizes, default=-1) < 0:",
        ),
    ),
]
