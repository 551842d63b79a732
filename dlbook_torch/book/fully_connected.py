"""The book's fully connected networks (notes 3.1, 5, 6)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch

from .activation import Relu, Sigmoid
from .affine import Affine
from .batchnorm import BatchNorm
from .dropout import Dropout
from .layer import Layer
from .network import Network

ACTIVATIONS: dict[str, type[Layer]] = {"sigmoid": Sigmoid, "relu": Relu}
# Variance times the number of inputs.
GAINS = {"relu": 2.0, "he": 2.0, "sigmoid": 1.0, "xavier": 1.0}


def affine(n: int, m: int, std: float) -> Affine:
    """From n inputs to m outputs: normal weights, no bias at first."""
    return Affine(std * torch.randn(n, m), torch.zeros(m))


class TwoLayerNet(Network):
    """Affine, ReLU, affine.

    Args:
        input_size: numbers per sample.
        hidden_size: units in between.
        output_size: classes.
        weight_init_std: standard deviation of the first weights.

    Shape: ``(N, *)`` to ``(N, output_size)``.
    Source: notes 5; the book's chapter 5. In its chapter 4 the same network has a sigmoid.
    """

    def __init__(
        self, input_size: int, hidden_size: int, output_size: int, weight_init_std: float = 0.01
    ):
        super().__init__(
            {
                "Affine1": affine(input_size, hidden_size, weight_init_std),
                "Relu1": Relu(),
                "Affine2": affine(hidden_size, output_size, weight_init_std),
            }
        )


class MultiLayerNetExtend(Network):
    r"""Per hidden layer affine, BatchNorm, activation, dropout; then affine.

    Args:
        input_size: numbers per sample.
        hidden_size_list: width of every hidden layer.
        output_size: classes.
        activation: of the hidden layers.
        weight_init_std: ``relu`` or ``he`` for :math:`\sqrt{2 / n}`, ``sigmoid`` or ``xavier`` for
            :math:`\sqrt{1 / n}`, n the inputs of a unit; or a number for all layers.
        weight_decay_lambda: see :class:`Network`.
        use_dropout: behind every activation.
        dropout_ration: probability of silencing a unit; the spelling is the book's.
        use_batchnorm: in front of every activation.

    Shape: ``(N, *)`` to ``(N, output_size)``.
    Raises: ValueError for an unknown name.
    Source: notes 6.3 to 6.5; the book's chapter 6.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: Literal["relu", "sigmoid"] = "relu",
        weight_init_std: Literal["relu", "he", "sigmoid", "xavier"] | float = "relu",
        weight_decay_lambda: float = 0.0,
        use_dropout: bool = False,
        dropout_ration: float = 0.5,
        use_batchnorm: bool = False,
    ):
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}"
            )
        sizes = [input_size, *hidden_size_list, output_size]
        layers: dict[str, Layer] = {}
        for i, (n, m) in enumerate(pairwise(sizes), 1):
            layers[f"Affine{i}"] = affine(n, m, _std(weight_init_std, n))
            if i == len(sizes) - 1:
                break
            if use_batchnorm:
                layers[f"BatchNorm{i}"] = BatchNorm(torch.ones(m), torch.zeros(m))
            layers[f"Activation_function{i}"] = ACTIVATIONS[activation]()
            if use_dropout:
                layers[f"Dropout{i}"] = Dropout(dropout_ration)
        super().__init__(layers, weight_decay_lambda)


def _std(init: str | float, n: int) -> float:
    """Standard deviation of the weights of units with n inputs."""
    if not isinstance(init, str):
        return init
    if init not in GAINS:
        known = ", ".join(GAINS)
        raise ValueError(f"weight_init_std must be a number or one of {known}, got {init!r}")
    return (GAINS[init] / n) ** 0.5
