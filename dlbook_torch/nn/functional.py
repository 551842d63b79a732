"""The stateless half of :mod:`dlbook_torch.nn`, as torch.nn.functional is of torch.nn."""

from .activation import log_softmax, relu, sigmoid, softmax, tanh
from .attention import multi_head_attention_forward, scaled_dot_product_attention
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
from .cross_entropy import cross_entropy, nll_loss
from .dropout import dropout, dropout1d, dropout2d, dropout3d
from .fold import (
    fold,
    unfold,
)
from .linear import linear
from .loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    l1_loss,
    mse_loss,
)
from .normalization import layer_norm
from .pooling import avg_pool2d, max_pool2d, max_pool2d_with_indices
from .upsampling import interpolate

__all__ = [
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "fold",
    "interpolate",
    "l1_loss",
    "layer_norm",
    "linear",
    "log_softmax",
    "max_pool2d",
    "max_pool2d_with_indices",
    "mse_loss",
    "multi_head_attention_forward",
    "nll_loss",
    "relu",
    "scaled_dot_product_attention",
    "sigmoid",
    "softmax",
    "tanh",
    "unfold",
]
