"""The book's convolutional networks (notes 7)."""

from collections.abc import Sequence

import torch

from ..nn.geometry import output_size as positions
from .activation import Relu
from .conv import Convolution
from .dropout import Dropout
from .fully_connected import affine
from .layer import Layer
from .network import Network
from .pooling import Pooling


def convolution(
    channels: int, filters: int, size: int, std: float, stride: int = 1, pad: int = 0
) -> Convolution:
    """Square filters: normal weights, no bias at first."""
    W = std * torch.randn(filters, channels, size, size)
    return Convolution(W, torch.zeros(filters), stride, pad)


def he(n: int) -> float:
    """Standard deviation for a ReLU behind n inputs."""
    return (2 / n) ** 0.5


class SimpleConvNet(Network):
    """Convolution, ReLU, 2 x 2 pooling, affine, ReLU, affine.

    Args:
        input_dim: (C, H, W) of an image.
        filter_num: filters; these four are the book's ``conv_param``.
        filter_size: their side.
        pad: pixels of zero added on each side.
        stride: pixels from one window to the next.
        hidden_size: units of the affine layer in between.
        output_size: classes.
        weight_init_std: standard deviation of the first weights.

    Shape: ``(N, C, H, W)`` to ``(N, output_size)``.
    Source: notes 7; the book's chapter 7.
    """

    def __init__(
        self,
        input_dim: tuple[int, int, int] = (1, 28, 28),
        filter_num: int = 30,
        filter_size: int = 5,
        pad: int = 0,
        stride: int = 1,
        hidden_size: int = 100,
        output_size: int = 10,
        weight_init_std: float = 0.01,
    ):
        channels, *image = input_dim
        height, width = (positions(n, filter_size, stride, pad) // 2 for n in image)
        std = weight_init_std
        super().__init__(
            {
                "Conv1": convolution(channels, filter_num, filter_size, std, stride, pad),
                "Relu1": Relu(),
                "Pool1": Pooling(2, 2, stride=2),
                "Affine1": affine(filter_num * height * width, hidden_size, std),
                "Relu2": Relu(),
                "Affine2": affine(hidden_size, output_size, std),
            }
        )


class DeepConvNet(Network):
    """Three times two 3 x 3 convolutions with ReLU and a pooling; affine, ReLU, affine.

    The fourth convolution pads by 2, so that sides of 28 become 14, 16, 8 and 4. Both affine layers
    are followed by dropout, the last one too: in training about half of the *scores* are 0, and in
    evaluation all are halved. The most probable class stays the same, its probability does not.

    Law: torch's layers in that order (:func:`to_torch`); :class:`dlbook_torch.models.DeepConvNet`
    leaves the last dropout out.

    Args:
        input_dim: (C, H, W) of an image.
        filter_num: filters of the six convolutions.
        hidden_size: units of the affine layer in between.
        output_size: classes.
        dropout_ratio: of both dropouts.

    Shape: ``(N, C, H, W)`` to ``(N, output_size)``.
    Source: notes 7, 6.5; the book's chapter 8.
    """

    def __init__(
        self,
        input_dim: tuple[int, int, int] = (1, 28, 28),
        filter_num: Sequence[int] = (16, 16, 32, 32, 64, 64),
        hidden_size: int = 50,
        output_size: int = 10,
        dropout_ratio: float = 0.5,
    ):
        c, *image = input_dim
        layers: dict[str, Layer] = {}
        for i, (m, pad) in enumerate(zip(filter_num, (1, 1, 1, 2, 1, 1), strict=True), 1):
            layers[f"Conv{i}"] = convolution(c, m, 3, he(c * 9), pad=pad)
            layers[f"Relu{i}"] = Relu()
            c, image = m, [positions(n, 3, padding=pad) for n in image]
            if i % 2 == 0:
                layers[f"Pool{i // 2}"] = Pooling(2, 2, stride=2)
                image = [n // 2 for n in image]
        n = c * image[0] * image[1]
        layers |= {
            "Affine1": affine(n, hidden_size, he(n)),
            "Relu7": Relu(),
            "Dropout1": Dropout(dropout_ratio),
            "Affine2": affine(hidden_size, output_size, he(hidden_size)),
            "Dropout2": Dropout(dropout_ratio),
        }
        super().__init__(layers)
