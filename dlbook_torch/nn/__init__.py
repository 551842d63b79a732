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

from . import functional, init
from .activation import LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from .attention import MultiheadAttention
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
from .linear import Linear
from .loss import BCELoss, BCEWithLogitsLoss, L1Loss, MSELoss
from .normalization import LayerNorm
from .pooling import AvgPool2d, MaxPool2d
from .upsampling import Upsample, UpsamplingBilinear2d, UpsamplingNearest2d

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
    "MaxPool2d",
    "AvgPool2d",
    "Upsample",
    "UpsamplingNearest2d",
    "UpsamplingBilinear2d",
    "Flatten",
    "Unflatten",
    # torch's own
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "Sequential",
    "functional",
    "init",
]
