"""Mutants: known mistakes, one row each, that the tests have to notice.

``scripts/mutants.py`` plants them one at a time. A new layer is proven by the rows of its family
in ``cases``; that those rows can tell right from wrong is proven by a few rows here.
"""

from . import (
    activation,
    attention,
    book,
    conv,
    dropout,
    flatten,
    init,
    linear,
    loss,
    normalization,
    pooling,
    rules,
    upsampling,
)
from .base import Mutant

FAMILIES = (  # in the order of the notes
    activation,
    linear,
    loss,
    attention,
    rules,
    book,
    init,
    normalization,
    dropout,
    conv,
    pooling,
    upsampling,
    flatten,
)
MUTANTS: list[Mutant] = [mutant for family in FAMILIES for mutant in family.MUTANTS]

__all__ = ["MUTANTS", "Mutant"]
