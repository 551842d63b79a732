"""The cases: one row per promise that a layer or a rule of ours is torch's.

A new layer is proven by adding rows to the file of its family; the tests and the ledger run every
check over each.
"""

from . import (
    activation,
    attention,
    conv,
    dropout,
    flatten,
    linear,
    loss,
    normalization,
    perceptron,
    pooling,
    upsampling,
)
from .base import Case, Pair, Refused, Rule
from .rules import BAD_RULES, RULES, STRANGE

FAMILIES = (  # in the order of the notes
    perceptron,
    activation,
    linear,
    loss,
    attention,
    normalization,
    dropout,
    conv,
    pooling,
    upsampling,
    flatten,
)
CASES: list[Case] = [case for family in FAMILIES for case in family.CASES]
REFUSED: list[Refused] = [row for family in FAMILIES for row in family.REFUSED]

__all__ = [
    "BAD_RULES",
    "CASES",
    "REFUSED",
    "RULES",
    "STRANGE",
    "Case",
    "Pair",
    "Refused",
    "Rule",
]
