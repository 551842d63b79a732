"""What the curves and the layers of a run say about it."""

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
