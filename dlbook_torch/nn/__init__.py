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
from .activation import LogSoftmax, ReLU, Sigmoid, Softmax, Softmin, Tanh
from .activation_piecewise import ELU, Hardsigmoid, Hardswish, Hardtanh, LeakyReLU, ReLU6
from .activation_smooth import GELU, LogSigmoid, SiLU, Softplus
from .batchnorm import BatchNorm1d, BatchNorm2d
from .conv import Conv2d
from .dropout import Dropout
from .flatten import Flatten
from .linear import Identity, Linear
from .loss import CrossEntropyLoss, MSELoss, NLLLoss
from .perceptron import AND, NAND, NOT, OR, XOR, Perceptron, Step
from .pooling import AvgPool2d, MaxPool2d

__all__ = [  # noqa: RUF022 (the table of contents: chapters, not letters)
    # 2
    "Step",
    "Perceptron",
    "AND",
    "NAND",
    "OR",
    "NOT",
    "XOR",
    # 3.2, 3.4
    "Identity",
    "Sigmoid",
    "LogSigmoid",
    "Hardsigmoid",
    "SiLU",
    "Hardswish",
    "Tanh",
    "Hardtanh",
    "ReLU",
    "ReLU6",
    "LeakyReLU",
    "ELU",
    "Softplus",
    "GELU",
    "Softmax",
    "Softmin",
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
    "MaxPool2d",
    "AvgPool2d",
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
