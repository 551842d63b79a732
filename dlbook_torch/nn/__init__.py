"""Layers of the notes, under the names torch.nn gives them, in the order of the chapters.

Containers, ``Module`` and ``Parameter`` are torch's own, so that a model needs one import.
"""

from torch.nn import (
    Module,
    ModuleDict,
    ModuleList,
    Parameter,
    ParameterDict,
    ParameterList,
    Sequential,
)

from . import functional
from .activation import LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from .batchnorm import BatchNorm1d, BatchNorm2d
from .conv import (
    Conv1d,
    Conv2d,
    Conv3d,
)
from .conv_transpose import (
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
)
from .dropout import Dropout
from .flatten import Flatten
from .fold import (
    Fold,
    Unfold,
)
from .linear import Linear
from .loss import CrossEntropyLoss, MSELoss, NLLLoss
from .pooling import AvgPool2d, MaxPool2d

__all__ = [  # noqa: RUF022 (the table of contents: chapters, not letters)
    # 3.2, 3.4
    "Sigmoid",
    "Tanh",
    "ReLU",
    "Softmax",
    "LogSoftmax",
    # 3.3, 5
    "Linear",
    # 4.2
    "MSELoss",
    "NLLLoss",
    "CrossEntropyLoss",
    # 6.4, 6.5
    "BatchNorm1d",
    "BatchNorm2d",
    "Dropout",
    # 7
    "Unfold",
    "Fold",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "MaxPool2d",
    "AvgPool2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Flatten",
    # torch's own
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "Sequential",
    "functional",
]
