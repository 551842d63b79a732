r"""First values of the weights (notes 6.3), under the names of torch.nn.init.

Every function writes over its tensor, outside of the graph, and returns it. The same seed gives
the values that torch gives.

A unit adds up n inputs, so that its variance is n times that of a weight. A signal keeps its size
through the layers if the weights have a standard deviation of ``gain / sqrt(n)``, with n the
inputs of one unit (``fan_in``); a gradient on its way back, with the outputs that one input feeds
(``fan_out``). All weights equal would stay equal: they have to be random.
"""

import warnings
from math import ceil, erf, prod, sqrt

import torch
from torch import Generator, Tensor

__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

GAINS = {
    "linear": 1,
    **{f"conv{transposed}{rank}d": 1 for transposed in ("", "_transpose") for rank in (1, 2, 3)},
    "sigmoid": 1,
    "tanh": 5 / 3,
    "relu": sqrt(2),
    "selu": 3 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    r"""What an activation takes away from the standard deviation, to be put back by the weights.

    1 for ``linear``, convolutions and ``sigmoid``, 5/3 for ``tanh``, :math:`\sqrt{2}` for ``relu``
    (which keeps half of the variance), :math:`\sqrt{2 / (1 + a^2)}` for ``leaky_relu`` with
    slope a = ``param`` (0.01), 3/4 for ``selu``.

    Raises: ValueError for an unknown name, or a slope that is no number.
    Source: notes 6.3; He et al. 2015, arXiv 1502.01852, for the rectifiers.
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, int | float):
            raise ValueError(f"negative_slope {slope} is not a valid number")
        return sqrt(2 / (1 + slope**2))
    if nonlinearity not in GAINS:
        raise ValueError(f"unsupported nonlinearity {nonlinearity}")
    return GAINS[nonlinearity]


@torch.no_grad()
def uniform_(
    tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Uniform in [a, b)."""
    return tensor.uniform_(a, b, generator=generator)


@torch.no_grad()
def normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None
) -> Tensor:
    """Normal with this mean and standard deviation."""
    return tensor.normal_(mean, std, generator=generator)


@torch.no_grad()
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    r"""Normal, but drawn again wherever the value is outside of [a, b].

    Where the interval holds little of the distribution, such draws would hardly ever end: there a
    value is drawn uniformly from it and kept with a probability of
    :math:`\varphi(x) / \max \varphi`, the density at that value by the highest of the interval.

    ``mean`` and ``std`` are those of the whole normal distribution: cut at two standard deviations,
    0.88 of the standard deviation is left. torch 2.11 inverts the distribution function
    instead: the same distribution, other values.
    """
    if tensor.is_meta:
        return tensor
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            f"mean {mean} is more than 2 std from [{a}, {b}]: values may be distributed wrongly",
            stacklevel=3,
        )
    share = (erf((b - mean) / std / sqrt(2)) - erf((a - mean) / std / sqrt(2))) / 2
    peak = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2
    pending = torch.ones_like(tensor, dtype=torch.bool)
    while pending.any():
        x = torch.empty_like(tensor)
        if share > 0.3:
            x.normal_(mean, std, generator=generator)
            refused = (x < a) | (x > b)
        else:
            x.uniform_(a, b, generator=generator)
            log_share = ((x - mean) / std).pow_(2).mul_(-0.5).sub_(peak)
            refused = torch.empty_like(x).uniform_(generator=generator).log_() > log_share
        tensor.copy_(torch.where(pending, x, tensor))
        pending &= refused
    return tensor


@torch.no_grad()
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every element ``val``."""
    return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Every element 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Every element 0: right for a bias, and no start for weights (notes 6.3)."""
    return constant_(tensor, 0.0)


@torch.no_grad()
def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix: an affine layer hands on as many inputs as it has outputs.

    Raises: ValueError for a tensor that is no matrix.
    """
    _matrix(tensor)
    tensor.zero_().diagonal().fill_(1)
    return tensor


@torch.no_grad()
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """1 in the middle of the kernel from a channel to itself: a convolution hands on its channels.

    Raises: ValueError for a tensor that is no kernel (3 to 5 axes), or filters that do not divide
        into ``groups``.
    """
    if tensor.dim() not in (3, 4, 5):
        raise ValueError(f"expected a tensor with 3, 4 or 5 dimensions, got {tuple(tensor.shape)}")
    if len(tensor) % groups:
        raise ValueError(f"dim 0 must be divisible by groups={groups}, got {tuple(tensor.shape)}")
    middle = tensor.zero_()
    while middle.dim() > 2:
        middle = middle.select(-1, middle.shape[-1] // 2)
    for group in middle.chunk(groups):
        group.diagonal().fill_(1)
    return tensor


def _fans(tensor: Tensor) -> tuple[int, int]:
    """Inputs of one output, outputs of one input; the cells of a kernel count for both."""
    if tensor.dim() < 2:
        raise ValueError(
            f"fan in and fan out need a tensor with 2 or more dimensions, got {tuple(tensor.shape)}"
        )
    cells = prod(tensor.shape[2:])
    return tensor.shape[1] * cells, tensor.shape[0] * cells


def xavier_uniform_(
    tensor: Tensor, gain: float = 1.0, generator: Generator | None = None
) -> Tensor:
    r"""Uniform in :math:`\pm\,\text{gain} \sqrt{6 / (n + m)}`, n inputs and m outputs.

    The standard deviation is that of :func:`xavier_normal_`: a uniform distribution's is its bound
    by the square root of 3.

    Raises: ValueError for a tensor of fewer than two axes.
    Source: Glorot and Bengio 2010, "Understanding the difficulty of training deep feedforward
        neural networks".
    """
    bound = sqrt(3) * (gain * sqrt(2 / sum(_fans(tensor))))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    r"""Normal with a standard deviation of :math:`\text{gain} \sqrt{2 / (n + m)}`.

    A compromise between the signal, which asks for n inputs, and the gradient, which asks for m
    outputs. What the notes call Xavier is :func:`lecun_normal_`.

    Raises: ValueError for a tensor of fewer than two axes.
    Source: Glorot and Bengio 2010, as :func:`xavier_uniform_`.
    """
    return normal_(tensor, 0.0, gain * sqrt(2 / sum(_fans(tensor))), generator)


def lecun_normal_(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    r"""Normal with a standard deviation of :math:`1 / \sqrt{n}`, n the inputs of one unit.

    The notes' initialisation for sigmoid and tanh, which they call Xavier. torch has it under
    another name: ``kaiming_normal_(nonlinearity="linear")`` draws the same values. Its
    ``xavier_normal_`` has :math:`\sqrt{2 / (n + m)}`, which is the same only between layers of one
    width, n = m; its ``kaiming_normal_`` has :math:`\sqrt{2}` times this; and its layers start
    uniform with :math:`1 / \sqrt{3n}`.

    Raises: ValueError for a tensor of fewer than two axes.
    Source: notes 6.3; LeCun et al. 1998, "Efficient BackProp". JAX and Keras mean by this name the
        same, cut at two standard deviations.
    """
    return kaiming_normal_(tensor, nonlinearity="linear", generator=generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float | None:
    r""":math:`\text{gain} / \sqrt{n}`; None, with a warning, where there is nothing to fill."""
    if 0 in tensor.shape:
        warnings.warn("initializing a tensor without elements does nothing", stacklevel=4)
        return None
    fans = dict(zip(("fan_in", "fan_out"), _fans(tensor), strict=True))
    if mode.lower() not in fans:
        raise ValueError(f"mode {mode} is not supported, please use one of {list(fans)}")
    return calculate_gain(nonlinearity, a) / sqrt(fans[mode.lower()])


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    r"""Uniform in :math:`\pm\,\text{gain} \sqrt{3 / n}`: :func:`kaiming_normal_`'s deviation.

    Args:
        tensor: the weights.
        a: slope of the leaky ReLU behind the layer.
        mode: n counts the inputs of a unit (``fan_in``) or the outputs of an input (``fan_out``).
        nonlinearity: what follows the layer, see :func:`calculate_gain`.
        generator: where the random numbers come from.

    Raises: as :func:`kaiming_normal_`.
    """
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor if std is None else uniform_(tensor, -sqrt(3) * std, sqrt(3) * std, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    r"""Normal with a standard deviation of :math:`\text{gain} / \sqrt{n}`: the notes' He.

    Args:
        tensor: the weights.
        a: slope of the leaky ReLU behind the layer; at 0, a ReLU, the deviation is
            :math:`\sqrt{2 / n}`.
        mode: n counts the inputs of a unit (``fan_in``) or the outputs of an input (``fan_out``).
        nonlinearity: what follows the layer, see :func:`calculate_gain`.
        generator: where the random numbers come from.

    Raises: ValueError for a tensor of fewer than two axes, an unknown mode or nonlinearity.
    Source: notes 6.3; He et al. 2015, arXiv 1502.01852.
    """
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor if std is None else normal_(tensor, 0.0, std, generator)


@torch.no_grad()
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    r"""Rows (or columns, whichever are fewer) of length ``gain``, perpendicular to each other.

    Q of the QR decomposition of a normal matrix, every column with the sign that makes R's diagonal
    positive: without that, Q would not be uniform over the orthogonal matrices. Axes behind the
    second are flattened.

    Raises: ValueError for a tensor of fewer than two axes.
    Source: Saxe et al. 2013, arXiv 1312.6120; for the signs, Mezzadri 2006, arXiv math-ph/0609050.
    """
    if tensor.dim() < 2:
        raise ValueError(f"expected 2 or more dimensions, got {tuple(tensor.shape)}")
    if tensor.numel() == 0 or tensor.is_meta:
        return tensor
    normal = tensor.new_empty(len(tensor), tensor.numel() // len(tensor))
    normal.normal_(0, 1, generator=generator)
    wide = normal.shape[0] < normal.shape[1]
    q, r = torch.linalg.qr(normal.T if wide else normal)
    q *= r.diagonal().sign()
    return tensor.copy_((q.T if wide else q).view_as(tensor)).mul_(gain)


@torch.no_grad()
def sparse_(
    tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None
) -> Tensor:
    """Normal with a mean of 0, and a share ``sparsity`` of every column silenced.

    The places are drawn from the global generator, as torch does, whatever ``generator`` says.

    Raises: ValueError for a tensor that is no matrix.
    Source: Martens 2010, "Deep learning via Hessian-free optimization".
    """
    _matrix(tensor)
    if tensor.is_meta:
        return tensor
    tensor.normal_(0, std, generator=generator)
    for column in tensor.T:
        column[torch.randperm(len(column))[: ceil(sparsity * len(column))]] = 0
    return tensor


def _matrix(tensor: Tensor) -> None:
    if tensor.dim() != 2:
        raise ValueError(f"only tensors with 2 dimensions are supported, got {tuple(tensor.shape)}")
