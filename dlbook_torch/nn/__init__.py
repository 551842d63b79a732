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
from .adaptive_pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
)
from .average_pooling import AvgPool1d, AvgPool2d, AvgPool3d
from .batchnorm import BatchNorm1d, BatchNorm2d
from .conv import Conv2d
from .dropout import Dropout
from .flatten import Flatten
from .linear import Linear
from .loss import CrossEntropyLoss, MSELoss, NLLLoss
from .pooling import MaxPool1d, MaxPool2d, MaxPool3d
from .unpooling import MaxUnpool1d, MaxUnpool2d, MaxUnpool3d

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
    "Conv2d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
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
