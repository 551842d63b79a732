"""Deep Learning from Scratch, handwritten on PyTorch and proven against the built-in.

from dlbook_torch import nn, optim      # instead of: from torch import nn, optim
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import nn, optim
    from .convert import convert

__all__ = ["convert", "nn", "optim"]


def __getattr__(name: str) -> Any:
    """Import a room when it is asked for: a command's ``--help`` needs no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f".{name}", __name__)
