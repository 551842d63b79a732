"""Training with Lightning (notes 4): the module, its curves, its checkpoints, the command line."""

from importlib import import_module
from typing import Any

__all__ = ["Classifier", "CurveLogger", "FiniteLoss", "Regressor", "SyncBatchNorm"]

_HOME = {
    "Classifier": "module",
    "Regressor": "module",
    "CurveLogger": "logger",
    "FiniteLoss": "finite",
    "SyncBatchNorm": "processes",
}


def __getattr__(name: str) -> Any:
    """Import a class when it is asked for: ``train.py --help`` needs no torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
