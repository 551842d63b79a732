"""Rows of the losses (notes 4.2)."""

from typing import Any

import torch

from .base import IMAGE, ROW, Case, Refused, Target, labelled


def loss(name: str, target: Target, *shapes: tuple[int, ...], **kwargs: Any) -> list[Case]:
    """A loss on every shape."""
    return [Case("4.2", name, shape, kwargs, target) for shape in shapes]


WEIGHTS = torch.tensor([0.5, 1.5, 1.0, 0.2, 3.0], dtype=torch.float64)

CASES: list[Case] = [
    *loss("MSELoss", "values", ROW, IMAGE, ()),
    *loss("MSELoss", "values", ROW, reduction="sum"),
    *loss("MSELoss", "values", ROW, reduction="none"),
    *[
        case
        for name in ("NLLLoss", "CrossEntropyLoss")
        for case in [
            *loss(name, "classes", (4, 5), (5,), (2, 5, 3), (2, 5, 3, 2)),
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
    *loss("CrossEntropyLoss", "probabilities", (4, 5), (2, 5, 3)),
    *loss("CrossEntropyLoss", "probabilities", (4, 5), weight=WEIGHTS, label_smoothing=0.1),
    *loss("CrossEntropyLoss", "probabilities", (2, 5, 3), reduction="sum"),
    *loss("CrossEntropyLoss", "probabilities", (2, 5, 3), reduction="none"),
]

REFUSED: list[Refused] = [
    Refused("4.2", "MSELoss", {}, labelled((4, 5), torch.zeros(4, 4)), RuntimeError, "4"),
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
