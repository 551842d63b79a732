"""The stateless half of :mod:`dlbook_torch.nn`, as torch.nn.functional is of torch.nn."""

from .activation import log_softmax, relu, sigmoid, softmax, tanh
from .batchnorm import batch_norm
from .conv import (
    conv1d,
    conv2d,
    conv3d,
)
from .conv_transpose import (
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
)
from .dropout import dropout
from .fold import (
    fold,
    unfold,
)
from .linear import linear
from .loss import cross_entropy, mse_loss, nll_loss
from .pooling import avg_pool2d, max_pool2d, max_pool2d_with_indices

__all__ = [
    "avg_pool2d",
    "batch_norm",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cross_entropy",
    "dropout",
    "fold",
    "linear",
    "log_softmax",
    "max_pool2d",
    "max_pool2d_with_indices",
    "mse_loss",
    "nll_loss",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
    "unfold",
]
