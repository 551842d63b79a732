"""The stateless half of :mod:`dlbook_torch.nn`, as torch.nn.functional is of torch.nn."""

from .activation import log_softmax, relu, sigmoid, softmax, softmin, tanh
from .activation_piecewise import elu, hardsigmoid, hardswish, hardtanh, leaky_relu, relu6
from .activation_smooth import gelu, logsigmoid, silu, softplus
from .batchnorm import batch_norm
from .conv import conv2d
from .dropout import dropout
from .linear import linear
from .loss import cross_entropy, mse_loss, nll_loss
from .perceptron import step
from .pooling import avg_pool2d, max_pool2d, max_pool2d_with_indices

__all__ = [
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "cross_entropy",
    "dropout",
    "elu",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "max_pool2d",
    "max_pool2d_with_indices",
    "mse_loss",
    "nll_loss",
    "relu",
    "relu6",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "step",
    "tanh",
]
