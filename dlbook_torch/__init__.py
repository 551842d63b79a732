"""Deep Learning from Scratch, handwritten on PyTorch and proven against the built-in.

from dlbook_torch import nn, optim      # instead of: from torch import nn, optim
"""

from . import nn, optim

__all__ = ["nn", "optim"]
