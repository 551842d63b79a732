"""The notes' and the book's own dialect, where it differs from torch's, in the order of chapters.

from dlbook_torch import book
"""

from .rule import Rule
from .rules import AdaGrad, Adam, Momentum, Nesterov, RMSprop

__all__ = [  # noqa: RUF022 (the table of contents: chapters, not letters)
    # 6.2
    "Rule",
    "Momentum",
    "Nesterov",
    "AdaGrad",
    "RMSprop",
    "Adam",
]
