"""Networks of the notes and of the book, written once and built from either library.

With ``library="dlbook"`` the layers come from :mod:`dlbook_torch.nn`, with ``"torch"`` from
:mod:`torch.nn`. Both are created in one order with the same random draws, so twins with the same
seed have the same first weights and the same state keys, and in float64 they train alike to
rounding. Twins with dropout do not: they draw different masks. No layer in front of a BatchNorm
has a bias: BatchNorm would cancel it, its gradient would be rounding error alone, and Adam, which
divides a gradient by its own size, would let the twins' biases drift apart.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from . import nn
from .nn.geometry import output_size

Library = Literal["dlbook", "torch"]
Activation = Literal["sigmoid", "tanh", "relu"]
Init = Literal["default", "xavier", "he"] | float
Value = TypeVar("Value")

LIBRARIES: dict[str, Any] = {"dlbook": nn, "torch": torch.nn}
ACTIVATIONS = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "ReLU"}
GAINS = {"xavier": 1.0, "he": 2**0.5}


def hidden_units(samples: int, inputs: int, outputs: int, alpha: float = 2.0) -> float:
    r"""Width to start from for the hidden layers of a network.

    .. math:: N_h = \frac{N_s}{\alpha (N_i + N_o)}

    with alpha usually between 2 and 10: MNIST gets 38 units for 2 and 8 units for 10.

    Raises: ValueError for a count below 1 or an alpha that is not above 0.
    Source: notes 3.5, which add that only trying shows the best width.
    """
    for name, count in (("samples", samples), ("inputs", inputs), ("outputs", outputs)):
        _at_least_1(name, count)
    if not alpha > 0:
        raise ValueError(f"alpha must be above 0, got {alpha}")
    return samples / (alpha * (inputs + outputs))


class Network(nn.Module):
    """A stack of layers whose weights start as ``init`` says.

    * ``"default"``: as torch starts its layers, standard deviation ``1 / sqrt(3 n)``.
    * ``"xavier"``: normal with ``1 / sqrt(n)``, for sigmoid and tanh. This is what the notes call
      Xavier and torch ``kaiming_normal_(nonlinearity="linear")``; torch's ``xavier_normal_`` has
      ``sqrt(2 / (n + m))``, which is the same only between layers of one width.
    * ``"he"``: normal with ``sqrt(2 / n)``, for ReLU: torch's ``kaiming_normal_``.
    * a number: normal with this standard deviation.

    Here a unit has n inputs and the layer m units; all but ``"default"`` set the biases to 0.

    Raises: ValueError for an unknown name or a negative number.
    Source: notes 6.3.
    """

    def __init__(self, layers: list[nn.Module], init: Init = "default"):
        super().__init__()
        self.layers = nn.Sequential(*layers)
        if init != "default":
            self._initialize(init)

    def _initialize(self, init: str | float) -> None:
        if isinstance(init, str):
            gain = _choice("init", init, GAINS, "default")
        elif init < 0:
            raise ValueError(f"init must not be negative as a standard deviation, got {init}")
        for name, p in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(p)
            elif p.dim() > 1:  # with one axis it is the scale of a BatchNorm
                n = p[0].numel()
                nn.init.normal_(p, std=gain / n**0.5 if isinstance(init, str) else init)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class MLP(Network):
    """Fully connected: per hidden layer affine, BatchNorm, activation, dropout; then affine.

    Args:
        in_features: numbers per sample, whatever the shape they come in.
        out_features: outputs per sample: scores of the classes, or targets.
        hidden: width of every hidden layer; an empty list is a linear model.
        activation: of the hidden layers.
        init: see :class:`Network`.
        batch_norm: normalise between affine and activation; that affine layer has no bias.
        dropout: probability of silencing a hidden unit; 0 leaves the layer out.
        library: whose layers.

    Shape: ``(N, *)`` to ``(N, out_features)``.
    Raises: ValueError for an unknown name or a width below 1.
    Source: notes 3.1, 3.5; 6.4 for the place of BatchNorm, 6.5 for dropout.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        hidden: list[int],
        activation: Activation = "relu",
        init: Init = "default",
        batch_norm: bool = False,
        dropout: float = 0.0,
        library: Library = "dlbook",
    ):
        lib = _choice("library", library, LIBRARIES)
        squash = getattr(lib, _choice("activation", activation, ACTIVATIONS))
        widths = [_at_least_1("width", n) for n in (in_features, *hidden, out_features)]
        layers = [lib.Flatten()]
        for n, m in pairwise(widths[:-1]):
            norm = [lib.BatchNorm1d(m)] if batch_norm else []
            layers += [lib.Linear(n, m, bias=not batch_norm), *norm, squash()]
            layers += _dropout(lib, dropout)
        super().__init__([*layers, lib.Linear(*widths[-2:])], init)


class ConvNet(Network):
    """Stages of convolution, 2 x 2 max pooling, BatchNorm and ReLU; then two affine layers.

    The book pools after ReLU. Maximum and ReLU commute, in value and gradient, so pooling first is
    the same network with a quarter of the work left for what follows.

    Args:
        shape: of an image, (C, H, W).
        classes: outputs per image.
        channels: filters of every stage.
        kernel_sizes: side of the filters of every stage.
        hidden: units of the affine layer in between.
        padding: ``"same"`` keeps the size of the image through a convolution, ``"valid"`` takes
            the kernel's size less one away.
        batch_norm: normalise between convolution and ReLU; that convolution has no bias.
        dropout: probability of silencing a unit of the affine layer; 0 leaves the layer out.
        init: see :class:`Network`.
        library: whose layers.

    Shape: ``(N, C, H, W)`` to ``(N, classes)``.
    Raises: ValueError if the lists differ in length, a width is below 1, or nothing is left of the
        image.
    Source: notes 7.1, 7.2.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        channels: list[int],
        kernel_sizes: list[int],
        hidden: int,
        padding: Literal["same", "valid"] = "same",
        batch_norm: bool = False,
        dropout: float = 0.0,
        init: Init = "default",
        library: Library = "dlbook",
    ):
        lib = _choice("library", library, LIBRARIES)
        if len(channels) != len(kernel_sizes):
            raise ValueError(f"expected one kernel size per stage {channels}, got {kernel_sizes}")
        layers: list[nn.Module] = []
        c, *size = shape
        for m, kernel in zip(channels, kernel_sizes, strict=True):
            _at_least_1("channels", m)
            conv = lib.Conv2d(c, m, kernel, padding=padding, bias=not batch_norm)
            norm = [lib.BatchNorm2d(m)] if batch_norm else []
            layers += [conv, lib.MaxPool2d(2), *norm, lib.ReLU()]
            c, size = m, [(n if padding == "same" else output_size(n, kernel)) // 2 for n in size]
        super().__init__(layers + _head(lib, (c, *size), hidden, classes, dropout), init)


class SimpleConvNet(ConvNet):
    """The book's first convolutional network: convolution, pooling, ReLU, affine, ReLU, affine.

    Args:
        shape: of an image, (C, H, W).
        classes: outputs per image.
        channels: number of filters.
        kernel_size: side of the filters.
        hidden: units of the affine layer in between.
        init: see :class:`Network`.
        library: whose layers.

    Shape: ``(N, C, H, W)`` to ``(N, classes)``.
    Raises: as :class:`ConvNet`.
    Source: notes 7; the book's chapter 7, with its sizes and initial weights as defaults.
    """

    def __init__(
        self,
        shape: tuple[int, int, int] = (1, 28, 28),
        classes: int = 10,
        channels: int = 30,
        kernel_size: int = 5,
        hidden: int = 100,
        init: Init = 0.01,
        library: Library = "dlbook",
    ):
        super().__init__(
            shape,
            classes,
            [channels],
            [kernel_size],
            hidden,
            padding="valid",
            init=init,
            library=library,
        )


class DeepConvNet(Network):
    """The book's deep network: three times two 3 x 3 convolutions and a pooling, then two affine.

    The fourth convolution pads by 2, so that sides of 28 become 14, 16, 8 and 4. The book also
    drops out the ten scores themselves, which only disturbs the loss; that is left out.

    Args:
        shape: of an image, (C, H, W).
        classes: outputs per image.
        channels: filters of both convolutions of every stage.
        hidden: units of the affine layer in between.
        dropout: probability of silencing one of those units; 0 leaves the layer out.
        init: see :class:`Network`.
        library: whose layers.

    Shape: ``(N, C, H, W)`` to ``(N, classes)``.
    Raises: ValueError if a width is below 1, or nothing is left of the image.
    Source: notes 7; 6.5 for dropout; the book's chapter 8.
    """

    def __init__(
        self,
        shape: tuple[int, int, int] = (1, 28, 28),
        classes: int = 10,
        channels: tuple[int, int, int] = (16, 32, 64),
        hidden: int = 50,
        dropout: float = 0.5,
        init: Init = "he",
        library: Library = "dlbook",
    ):
        lib = _choice("library", library, LIBRARIES)
        layers: list[nn.Module] = []
        c, *size = shape
        for m, padding in zip(channels, (1, 2, 1), strict=True):
            _at_least_1("channels", m)
            layers += [lib.Conv2d(c, m, 3, padding=1), lib.ReLU()]
            layers += [lib.Conv2d(m, m, 3, padding=padding), lib.MaxPool2d(2), lib.ReLU()]
            c, size = m, [output_size(n, 3, padding=padding) // 2 for n in size]
        super().__init__(layers + _head(lib, (c, *size), hidden, classes, dropout), init)


def _head(
    lib: Any, maps: tuple[int, ...], hidden: int, classes: int, dropout: float
) -> list[nn.Module]:
    """Affine, ReLU, dropout, affine on what the convolutions have found."""
    c, h, w = maps
    if min(maps) < 1:
        raise ValueError(f"nothing is left of the image: its convolutions end in {c} x {h} x {w}")
    first = lib.Linear(c * h * w, _at_least_1("hidden", hidden))
    last = lib.Linear(hidden, _at_least_1("classes", classes))
    return [lib.Flatten(), first, lib.ReLU(), *_dropout(lib, dropout), last]


def _dropout(lib: Any, p: float) -> list[nn.Module]:
    return [lib.Dropout(p)] if p else []


def _choice(name: str, value: str, table: Mapping[str, Value], *others: str) -> Value:
    if value not in table:
        known = ", ".join(map(repr, (*others, *table)))
        raise ValueError(f"{name} must be one of {known}, got {value!r}")
    return table[value]


def _at_least_1(name: str, count: int) -> int:
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {count}")
    return count
