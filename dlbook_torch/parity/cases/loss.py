"""Rows of the losses (notes 4.2)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .base import IMAGE, ROW, Case, Make, Refused, Target, labelled


def loss(name: str, target: Target, *shapes: tuple[int, ...], **kwargs: Any) -> list[Case]:
    """A loss on every shape."""
    return [Case("4.2", name, shape, kwargs, target) for shape in shapes]


def binary(name: str, *shapes: tuple[int, ...], **kwargs: Any) -> list[Case]:
    """A loss of numbers in [0, 1] against numbers in [0, 1], neither at an end."""

    def make(shape: tuple[int, ...]) -> Make:
        return lambda dtype, device: tuple(
            (0.1 + 0.8 * torch.rand(shape, dtype=dtype, device=device)).requires_grad_()
            for _ in range(2)
        )

    return [Case("4.2", name, shape, kwargs, make=make(shape)) for shape in shapes]


WEIGHTS = torch.tensor([0.5, 1.5, 1.0, 0.2, 3.0], dtype=torch.float64)


def zeros_and(x: list[float], dtype: torch.dtype | None = None) -> Callable[[], tuple[Tensor, ...]]:
    """These numbers, and as many zeros of type ``dtype``."""
    return lambda: (torch.tensor(x), torch.zeros(len(x), dtype=dtype))


CASES: list[Case] = [
    *loss("MSELoss", "values", ROW, IMAGE, ()),
    *loss("MSELoss", "values", ROW, reduction="sum"),
    *loss("MSELoss", "values", ROW, reduction="none"),
    *loss("L1Loss", "values", ROW, IMAGE, ()),
    *loss("L1Loss", "values", ROW, reduction="sum"),
    *loss("L1Loss", "values", ROW, reduction="none"),
    *[
        case
        for name in ("BCELoss", "BCEWithLogitsLoss")
        for case in [
            *binary(name, ROW, IMAGE, ()),
            *binary(name, ROW, reduction="sum", weight=WEIGHTS),
            *binary(name, ROW, reduction="none", weight=WEIGHTS[:4, None]),
        ]
    ],
    *loss("BCEWithLogitsLoss", "values", ROW, pos_weight=WEIGHTS),
    *binary("BCEWithLogitsLoss", ROW, pos_weight=WEIGHTS, weight=WEIGHTS, reduction="none"),
    *[
        case
        for name in ("NLLLoss", "CrossEntropyLoss")
        for case in [
            *loss(name, "classes", (4, 5), (5,), (2, 5, 3), (2, 5, 3, 2), (2, 5, 1, 2, 2)),
            *loss(name, "classes", (4, 5), (2, 5, 3), weight=WEIGHTS),
            *loss(name, "classes", (4, 5), (2, 5, 3), weight=WEIGHTS, ignore_index=1),
            *loss(name, "classes", (4, 5), reduction="sum", weight=WEIGHTS),
            *loss(name, "classes", (4, 5), (2, 5, 3), reduction="none", ignore_index=2),
        ]
    ],
    *loss("CrossEntropyLoss", "classes", (4, 5), (5,), (2, 5, 3), label_smoothing=0.1),
    *loss(
        "CrossEntropyLoss",
        "classes",
        (4, 5),
        (2, 5, 3),
        weight=WEIGHTS,
        label_smoothing=0.1,
        ignore_index=1,
    ),
    *loss("CrossEntropyLoss", "classes", (4, 5), label_smoothing=0.1, reduction="none"),
    *loss("CrossEntropyLoss", "classes", (4, 5), label_smoothing=1.0, reduction="sum"),
    *loss("CrossEntropyLoss", "probabilities", (4, 5), (2, 5, 3)),
    *loss("CrossEntropyLoss", "probabilities", (4, 5), weight=WEIGHTS, label_smoothing=0.1),
    *loss("CrossEntropyLoss", "probabilities", (2, 5, 3), reduction="sum"),
    *loss("CrossEntropyLoss", "probabilities", (2, 5, 3), reduction="none"),
]

REFUSED: list[Refused] = [
    Refused("4.2", "MSELoss", {}, labelled((4, 5), torch.zeros(4, 4)), RuntimeError, "4"),
    Refused("4.2", "L1Loss", {}, labelled((4, 5), torch.zeros(4, 3)), RuntimeError, "3"),
    Refused("4.2", "BCELoss", {}, labelled((4, 5), torch.zeros(4, 1)), ValueError, "(4, 1)"),
    Refused("4.2", "BCELoss", {}, zeros_and([1.0, 1.5]), RuntimeError, "1.5"),
    Refused("4.2", "BCELoss", {}, zeros_and([-0.5]), RuntimeError, "-0.5"),
    Refused("4.2", "BCELoss", {}, zeros_and([torch.nan]), RuntimeError, "nan"),
    Refused("4.2", "BCELoss", {}, zeros_and([0.5, 0.5], torch.float64), RuntimeError, "float64"),
    Refused("4.2", "BCELoss", dict(weight=WEIGHTS), zeros_and([0.5] * 4), RuntimeError, "(5,)"),
    Refused("4.2", "BCELoss", dict(reduction="avg"), zeros_and([0.5]), ValueError, "avg"),
    Refused(
        "4.2",
        "BCEWithLogitsLoss",
        {},
        labelled((4, 5), torch.zeros(5)),
        ValueError,
        "(5,)",
    ),
    Refused(
        "4.2",
        "BCEWithLogitsLoss",
        dict(pos_weight=WEIGHTS),
        labelled((4, 3), torch.zeros(4, 3)),
        RuntimeError,
        "5",
    ),
    Refused(
        "4.2",
        "BCEWithLogitsLoss",
        dict(weight=WEIGHTS[:, None]),
        labelled((5,), torch.zeros(5)),
        RuntimeError,
        "(5, 1)",
    ),
    Refused("4.2", "BCEWithLogitsLoss", {}, labelled((2,), [0, 1]), RuntimeError, "int64"),
    *[
        row
        for name in ("NLLLoss", "CrossEntropyLoss")
        for row in [
            Refused("4.2", name, {}, labelled((4, 5), [[0]] * 4), RuntimeError, "(4, 1)"),
            Refused("4.2", name, {}, labelled((2, 5, 3), [[0], [0]]), RuntimeError, "(2, 1)"),
            Refused("4.2", name, {}, labelled((1, 5, 2, 2), [0]), RuntimeError, "(1,)"),
            Refused("4.2", name, {}, labelled((2, 5), [0.0, 1.0]), RuntimeError, "float32"),
            Refused("4.2", name, {}, labelled((2, 5), [True, False]), RuntimeError, "bool"),
            Refused(
                "4.2",
                name,
                dict(weight=WEIGHTS.float()),
                labelled((2, 4), [0, 1]),
                RuntimeError,
                "(5,)",
            ),
            Refused(
                "4.2",
                name,
                dict(weight=WEIGHTS),
                labelled((2, 5), [0, 1]),
                RuntimeError,
                "float64",
            ),
        ]
    ],
    Refused(
        "4.2",
        "CrossEntropyLoss",
        dict(ignore_index=1),
        labelled((2, 5), torch.ones(2, 5) / 5),
        RuntimeError,
        "ignore_index=1",
    ),
    Refused(
        "4.2", "CrossEntropyLoss", {}, labelled((2, 2), [[0, 1], [1, 0]]), RuntimeError, "int64"
    ),
    Refused("4.2", "NLLLoss", {}, labelled((2, 5), [0, 5]), IndexError, "5"),
    Refused("4.2", "NLLLoss", {}, labelled((2, 5), [0, -1]), IndexError, "-1"),
    Refused("4.2", "NLLLoss", {}, labelled((2, 5), [0, 1, 2]), ValueError, "(3,)"),
    Refused("4.2", "NLLLoss", dict(reduction="avg"), labelled((1, 5), [0]), ValueError, "avg"),
    Refused("4.2", "CrossEntropyLoss", {}, labelled((2, 5), [0, 5]), IndexError, "5"),
    Refused("4.2", "CrossEntropyLoss", {}, labelled((2, 5), [0, 1, 2]), ValueError, "(3,)"),
    Refused(
        "4.2",
        "CrossEntropyLoss",
        dict(label_smoothing=1.5),
        labelled((2, 5), [0, 1]),
        RuntimeError,
        "1.5",
    ),
]
