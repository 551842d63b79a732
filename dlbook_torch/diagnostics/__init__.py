"""What the curves of a run say about it."""

from .verdict import Verdict, diagnose

__all__ = ["Verdict", "diagnose"]
