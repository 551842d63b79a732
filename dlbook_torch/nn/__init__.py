"""Layers of the notes, under the names torch.nn gives them, in the order of the chapters.

Containers, ``Module`` and ``Parameter`` are torch's own, so that a model needs one import.
"""

from torch.nn import (
    Buffer,
    Module,
    ModuleDict,
    ModuleList,
    Parameter,
    ParameterDict,
    ParameterList,
    Sequential,
    utils,
)

from . import functional, init
from .activation import LogSoftmax, ReLU, Sigmoid, Softmax, Softmin, Tanh
from .activation_piecewise import ELU, Hardsigmoid, Hardswish, Hardtanh, LeakyReLU, ReLU6
from .activation_smooth import GELU, LogSigmoid, SiLU, Softplus
from .adaptive_pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
)
from .algorithm import algorithms
from .attention import MultiheadAttention
from .average_pooling import AvgPool1d, AvgPool2d, AvgPool3d
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
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
from .cross_entropy import CrossEntropyLoss, NLLLoss
from .dropout import Dropout, Dropout1d, Dropout2d, Dropout3d
from .flatten import Flatten, Unflatten
from .fold import (
    Fold,
    Unfold,
)
from .linear import Identity, Linear
from .loss import BCELoss, BCEWithLogitsLoss, L1Loss, MSELoss
from .normalization import LayerNorm
from .perceptron import AND, NAND, NOT, OR, XOR, Perceptron, Step
from .pooling import MaxPool1d, MaxPool2d, MaxPool3d
from .sync_batchnorm import SyncBatchNorm
from .unpooling import MaxUnpool1d, MaxUnpool2d, MaxUnpool3d
from .upsampling import Upsample, UpsamplingBilinear2d, UpsamplingNearest2d

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
    "L1Loss",
    "NLLLoss",
    "CrossEntropyLoss",
    "BCELoss",
    "BCEWithLogitsLoss",
    # 4.3
    "MultiheadAttention",
    # 6.4, 6.5
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "SyncBatchNorm",
    "LayerNorm",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    # 7
    "Unfold",
    "Fold",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
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
    "Upsample",
    "UpsamplingNearest2d",
    "UpsamplingBilinear2d",
    "Flatten",
    "Unflatten",
    # how they compute
    "algorithms",
    # torch's own
    "Buffer",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "Sequential",
    "functional",
    "init",
    "utils",
]
