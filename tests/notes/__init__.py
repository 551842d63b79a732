"""What the notes say, chapter by chapter, each sentence with its verdict and its check."""

from importlib import import_module
from pkgutil import iter_modules

from .base import NOTES, Note

for module in sorted(module.name for module in iter_modules(__path__)):
    if module.startswith("chapter_"):
        import_module(f"{__name__}.{module}")

__all__ = ["NOTES", "Note"]
