"""From the book's layers to torch's, and back.

model = to_torch(net)           # a Sequential that computes the same
net = from_torch(model)         # and a network of the book again
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..nn.geometry import margins, tuple_of
from .activation import Relu, Sigmoid
from .affine import Affine
from .batchnorm import BatchNorm
from .conv import Convolution
from .dropout import Dropout
from .layer import Layer, Scale
from .network import Network
from .pooling import Pooling


def to_torch(layer: Layer) -> nn.Module:
    """Torch's layers for a layer or a network of the book: same outputs, same gradients.

    A network becomes a ``Sequential`` that gives the scores, and keeps the names of its layers, so
    that W1 is called ``Affine1.weight``; torch's ``CrossEntropyLoss`` then has the gradient of its
    ``SoftmaxWithLoss``. Parameters are copied.

    What torch has no place for: the penalty on the weights, which is the optimizer's
    ``weight_decay`` there; and the book's way of averaging variances. BatchNorm's averages come
    along as they stand, so that evaluation is the same, but what training adds to the variance from
    then on is n / (n - 1) times the book's, for batches of n. BatchNorm becomes ``BatchNorm1d``,
    which takes rows of features, not images.

    Raises: ValueError for a layer that is none of the book's.
    """
    kind = Network if isinstance(layer, Network) else type(layer)
    if kind not in TO_TORCH:
        raise ValueError(f"torch.nn has no twin of {kind.__name__}")
    return TO_TORCH[kind](layer).train(layer.training)


def from_torch(model: nn.Module) -> Any:
    """The other way: a layer of the book for one of torch's, a ``Network`` for a ``Sequential``.

    Torch's layers, or the ones of :mod:`dlbook_torch.nn`. A ``Flatten`` in front of a ``Linear``
    vanishes, since Affine flattens. Torch's ``Dropout`` becomes the book's with a ``Scale`` behind
    it. BatchNorm's averages come along as they stand; the number of batches seen does not, since
    the book has no use for it.

    Raises: ValueError for a layer, or a setting of one, that the book does not have.
    """
    kind = type(model).__name__
    if kind not in FROM_TORCH:
        raise ValueError(f"the book has no twin of {kind}")
    return FROM_TORCH[kind](model).train(model.training)


# Each pair of layers: there, and back.


def _linear(layer: Affine) -> nn.Module:
    return _filled(nn.Linear(layer.W.shape[0], layer.W.shape[1], device="meta"), layer.W.T, layer.b)


def _affine(layer: Any) -> Layer:
    _demand(layer, bias=...)
    return Affine(_copy(layer.weight.T), _copy(layer.bias))


def _conv2d(layer: Convolution) -> nn.Module:
    filters, channels, *window = layer.W.shape
    twin = nn.Conv2d(
        channels, filters, (window[0], window[1]), layer.stride, layer.pad, device="meta"
    )
    return _filled(twin, layer.W, layer.b)


def _convolution(layer: Any) -> Layer:
    _demand(layer, bias=..., dilation=1, groups=1, padding_mode="zeros")
    sizes = (tuple_of(getattr(layer, name), 2) for name in ("kernel_size", "stride", "dilation"))
    pads = {p for axis in margins(layer.padding, *sizes) for p in axis}
    if len(pads) != 1:
        raise ValueError(f"the book has no Conv2d with padding={layer.padding}")
    W, b = _copy(layer.weight), _copy(layer.bias)
    return Convolution(W, b, _square(layer, "stride"), pads.pop())


def _batch_norm_1d(layer: BatchNorm) -> nn.Module:
    twin = nn.BatchNorm1d(len(layer.gamma), layer.eps, 1 - layer.momentum, device="meta")
    twin.running_mean, twin.running_var = layer.running_mean.clone(), layer.running_var.clone()
    twin.num_batches_tracked = torch.tensor(0, device=layer.gamma.device)
    return _filled(twin, layer.gamma, layer.beta)


def _batch_norm(layer: Any) -> Layer:
    _demand(layer, momentum=..., weight=..., bias=..., running_mean=...)
    first = layer.running_mean, layer.running_var
    gamma, beta = _copy(layer.weight), _copy(layer.bias)
    return BatchNorm(gamma, beta, 1 - layer.momentum, *first, eps=layer.eps)


def _max_pool_2d(layer: Pooling) -> nn.Module:
    pool = nn.MaxPool2d((layer.pool_h, layer.pool_w), layer.stride)
    return nn.Sequential(nn.ZeroPad2d(layer.pad), pool) if layer.pad else pool


def _pooling(layer: Any, pad: int = 0) -> Layer:
    _demand(layer, padding=0, dilation=1, ceil_mode=False, return_indices=False)
    height, width = tuple_of(layer.kernel_size, 2)
    return Pooling(height, width, _square(layer, "stride"), pad)


def _inverted_dropout(layer: Dropout) -> nn.Module:
    return nn.Sequential(nn.Dropout(layer.dropout_ratio), Scale(1 - layer.dropout_ratio))


def _dropout(layer: Any) -> Layer:
    if layer.p == 1:
        raise ValueError(
            f"the book's Dropout at p={layer.p} is 0 in evaluation too, torch's is not"
        )
    return Network({"Dropout": Dropout(layer.p), "Scale": Scale(1 / (1 - layer.p))})


def _sequential(net: Network) -> nn.Module:
    model = nn.Sequential()
    for name, layer in net.layers.items():
        if isinstance(layer, Affine) and not hasattr(model, "Flatten"):
            model.add_module("Flatten", nn.Flatten())
        model.add_module(name, to_torch(layer))  # type: ignore[arg-type]
    return model


def _network(model: Any) -> Layer:
    kinds = [type(child).__name__ for child in model]
    if kinds == ["ZeroPad2d", "MaxPool2d"]:
        return _pooling(model[1], pad=_even(model[0]))
    if kinds == ["Dropout", "Scale"] and model[1].factor == 1 - model[0].p:
        return Dropout(model[0].p)
    layers = {}
    for (name, child), following in zip(model.named_children(), [*kinds[1:], ""], strict=True):
        if type(child).__name__ != "Flatten":
            layers[name] = from_torch(child)
        elif following != "Linear":
            raise ValueError(f"the book flattens in front of a Linear only, not of {following!r}")
    return Network(layers)


def _scale(layer: Scale) -> Scale:
    return Scale(layer.factor)


TO_TORCH: dict[type, Callable[[Any], nn.Module]] = {
    Relu: lambda layer: nn.ReLU(),
    Sigmoid: lambda layer: nn.Sigmoid(),
    Affine: _linear,
    Convolution: _conv2d,
    BatchNorm: _batch_norm_1d,
    Pooling: _max_pool_2d,
    Dropout: _inverted_dropout,
    Scale: _scale,
    Network: _sequential,
}
FROM_TORCH: dict[str, Callable[[Any], Layer]] = {
    "ReLU": lambda layer: Relu(),
    "Sigmoid": lambda layer: Sigmoid(),
    "Linear": _affine,
    "Conv2d": _convolution,
    "BatchNorm1d": _batch_norm,
    "MaxPool2d": _pooling,
    "Dropout": _dropout,
    "Scale": _scale,
    "Sequential": _network,
}


def _copy(t: Tensor) -> nn.Parameter:
    return nn.Parameter(t.detach().clone(memory_format=torch.contiguous_format))


def _filled(layer: Any, weight: Tensor, bias: Tensor) -> nn.Module:
    """An empty layer with copies of these numbers, in their type and where they live."""
    layer.weight, layer.bias = _copy(weight), _copy(bias)
    return layer


def _demand(layer: Any, **settings: Any) -> None:
    """Raises: ValueError for a setting that the book does not have; ``...``: anything but None."""
    for name, wanted in settings.items():
        value = getattr(layer, name)
        fits = value is not None if wanted is ... else value in (wanted, (wanted, wanted))
        if not fits:
            raise ValueError(f"the book has no {type(layer).__name__} with {name}={value}")


def _square(layer: Any, name: str) -> int:
    """A setting that is one number in the book.

    Raises: ValueError if it is not the same along both axes.
    """
    value = getattr(layer, name)
    if len(set(tuple_of(value, 2))) != 1:
        raise ValueError(f"the book has no {type(layer).__name__} with {name}={value}")
    return tuple_of(value, 2)[0]


def _even(layer: Any) -> int:
    """The margin of a ZeroPad2d, which is one number in the book.

    Raises: ValueError if it is not the same on all four sides.
    """
    if len(set(layer.padding)) != 1:
        raise ValueError(f"the book has no ZeroPad2d with padding={layer.padding}")
    return layer.padding[0]
