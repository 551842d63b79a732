"""Update rules of the notes, under the names torch.optim gives them.

Learning rate schedulers are torch's own: they turn the same ``param_groups``.
"""

from torch.optim import lr_scheduler

from .adam import Adam
from .optimizer import Optimizer
from .sgd import SGD

__all__ = ["SGD", "Adam", "Optimizer", "lr_scheduler"]
