"""The notes' and the book's own dialect, where it differs from torch's, in the order of chapters.

from dlbook_torch import book

A layer here has an explicit ``backward`` beside its ``forward``, and its docstring states the law
that connects it to torch's layer. :func:`to_torch` and :func:`from_torch` go from one to the other.
An update rule has the two as methods.
"""

from .activation import Relu, Sigmoid
from .affine import Affine
from .batchnorm import BatchNorm
from .conv import Convolution, col2im, im2col
from .convolutional import DeepConvNet, SimpleConvNet
from .dropout import Dropout
from .fully_connected import MultiLayerNetExtend, TwoLayerNet
from .layer import Layer, Scale
from .loss import SoftmaxWithLoss, SumSquaredError, cross_entropy_error, sum_squared_error
from .network import Network
from .pooling import Pooling
from .rule import Rule
from .rules import AdaGrad, Adam, Momentum, Nesterov, RMSprop
from .twins import from_torch, to_torch

__all__ = [  # noqa: RUF022 (the table of contents: chapters, not letters)
    # 3.2, 3.3
    "Relu",
    "Sigmoid",
    "Affine",
    # 4.2
    "sum_squared_error",
    "SumSquaredError",
    "cross_entropy_error",
    "SoftmaxWithLoss",
    # 5
    "Layer",
    "Network",
    "TwoLayerNet",
    # 6.2
    "Rule",
    "Momentum",
    "Nesterov",
    "AdaGrad",
    "RMSprop",
    "Adam",
    # 6.3, 6.4, 6.5
    "BatchNorm",
    "Dropout",
    "Scale",
    "MultiLayerNetExtend",
    # 7
    "im2col",
    "col2im",
    "Convolution",
    "Pooling",
    "SimpleConvNet",
    "DeepConvNet",
    # to torch's layers, and back
    "to_torch",
    "from_torch",
]
