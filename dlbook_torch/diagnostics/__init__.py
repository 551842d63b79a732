"""What the curves and the layers of a run say about it."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .catalogue import CATALOGUE
    from .diagnose import diagnose
    from .remedies import REMEDIES, Remedy
    from .report import Finding, Report, Severity
    from .run import Curves, Internals

__all__ = [
    "CATALOGUE",
    "REMEDIES",
    "Curves",
    "Finding",
    "Internals",
    "Remedy",
    "Report",
    "Severity",
    "diagnose",
]

_HOME = {
    "CATALOGUE": "catalogue",
    "REMEDIES": "remedies",
    "Curves": "run",
    "Finding": "report",
    "Internals": "run",
    "Remedy": "remedies",
    "Report": "report",
    "Severity": "report",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for: ``diagnose.py --help`` needs no SciPy."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


class _Room(ModuleType):
    """This package, whose function ``diagnose`` is not hidden by the module of that name."""

    @property
    def diagnose(self) -> Any:
        return import_module(".diagnose", __name__).diagnose

    @diagnose.setter
    def diagnose(self, module: ModuleType) -> None:
        """Forget the module: whoever imports it also puts it here."""


sys.modules[__name__].__class__ = _Room
