"""Update rules of the notes, under the names torch.optim gives them.

Learning rate schedulers are torch's own: they turn the same ``param_groups``.
"""

from torch.optim import lr_scheduler

# 6.2.3  a rate for every element
from .adadelta import Adadelta
from .adagrad import Adagrad

# 6.2.4  both
from .adam import Adam
from .adamax import Adamax
from .adamw import AdamW

# 6.2.1, 6.2.2  the slope, with and without momentum
from .asgd import ASGD
from .nadam import NAdam

# 6.1  what every rule shares
from .optimizer import Optimizer
from .radam import RAdam
from .rmsprop import RMSprop
from .rprop import Rprop
from .sgd import SGD

__all__ = [
    "ASGD",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "lr_scheduler",
]
