"""Dropout (notes 6.5)."""

import warnings

import torch
from torch import Tensor
from torch.nn import Module

from ._fast import Function, compiled, eager
from .activation import written_over
from .algorithm import chosen


class _Dropout(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, mask, inplace):
        return x.mul_(mask) if inplace else x * mask

    @staticmethod
    def setup_context(ctx, inputs, y):
        x, mask, inplace = inputs
        if inplace:
            ctx.mark_dirty(x)
        ctx.save_for_backward(mask)

    @staticmethod
    def backward(ctx, dy):
        (mask,) = ctx.saved_tensors
        return dy * mask, None, None


def _checked(p: float) -> float:
    """Raises: ValueError unless p is a probability."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    return p


def _drawn(mask: Tensor, p: float) -> Tensor:
    """Fill a mask: 0 with probability ``p``, else what keeps the expectation."""
    return mask.bernoulli_(1 - p).div_(1 - p)


def _cut(x: Tensor, p: float) -> Tensor:
    """A mask for x as :func:`_drawn`'s, but four of its numbers are cut from one 64-bit integer.

    Each is a whole number below 65536. Those below 65536 p, rounded, silence their element, and
    the survivors are scaled by the probability that this really leaves them.
    """
    silent, n, traced = round(2**16 * p), x.numel(), torch.compiler.is_compiling()
    if traced:  # a compiler knows no random_; the largest number of all is not drawn then
        numbers = torch.randint(-(2**63), 2**63 - 1, (-(-n // 4),))
    else:
        numbers = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None)
    short = numbers.view(torch.int16)[:n].as_strided(x.shape, torch.empty_like(x).stride())
    least = silent - 2**15  # they start at -32768
    alive = short.ge(least).view(torch.uint8) if traced else short.ge_(least)
    return alive.to(x.dtype).mul_(2**16 / (2**16 - silent))


def _cuts(x: Tensor, p: float) -> bool:
    """Whether p can be rounded to 1 / 65536, and x is where :func:`_cut` is worth it."""
    return chosen("dropout") == "auto" and 2**-7 <= p <= 1 - 2**-7 and (eager(x) or compiled(x))


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """See :class:`Dropout`."""
    if _checked(p) == 0 or not training or not input.numel():
        return input
    if p == 1:
        mask = input.new_zeros(())
    else:
        mask = _cut(input, p) if _cuts(input, p) else _drawn(torch.empty_like(input), p)
    return _masked(input, mask, inplace)


def _masked(x: Tensor, mask: Tensor, inplace: bool) -> Tensor:
    """Each element times its mask, written over x or not."""
    return written_over(x, _Dropout, mask) if inplace else _Dropout.apply(x, mask, False)


def _channel_dropout(
    x: Tensor, p: float, training: bool, inplace: bool, batched: bool = True
) -> Tensor:
    """One draw per channel: along axis 1, or along axis 0 for a sample without its batch.

    Raises: RuntimeError for an input without that axis.
    """
    if _checked(p) == 0 or not training or not x.numel():
        return x
    if p == 1:
        return dropout(x, p, training, inplace)
    leading = 2 if batched else 1
    if x.dim() < leading:
        raise RuntimeError(f"dropping channels needs at least {leading}D input, got {x.dim()}D")
    mask = x.new_empty(x.shape[:leading] + (1,) * (x.dim() - leading))
    return _masked(x, _drawn(mask, p), inplace)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """See :class:`Dropout1d`."""
    if input.dim() not in (2, 3):
        raise RuntimeError(f"dropout1d: expected 2D or 3D input, got {input.dim()}D")
    return _channel_dropout(input, p, training, inplace, batched=input.dim() == 3)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """See :class:`Dropout2d`."""
    if input.dim() == 3:
        message = "dropout2d: took a 3D input as (N, C, L), as torch does; see dropout1d"
        warnings.warn(message, stacklevel=2)
    elif input.dim() != 4:
        message = f"dropout2d: a {input.dim()}D input is deprecated, expected (N, C, H, W)"
        warnings.warn(message, stacklevel=2)
    return _channel_dropout(input, p, training, inplace)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """See :class:`Dropout3d`."""
    if input.dim() not in (4, 5):
        message = f"dropout3d: a {input.dim()}D input is deprecated, expected (N, C, D, H, W)"
        warnings.warn(message, stacklevel=2)
    return _channel_dropout(input, p, training, inplace, batched=input.dim() == 5)


class Dropout(Module):
    r"""In training, silence every element with probability ``p`` and scale up the survivors.

    .. math:: y = \frac{m \odot x}{1 - p}, \quad m \sim \mathrm{Bernoulli}(1 - p), \qquad
        \mathrm{d}x = \frac{m \odot \mathrm{d}y}{1 - p}

    In evaluation y = x: the expectation was kept by the scaling. The noise adds a variance of
    :math:`x^2 p / (1 - p)`, which grows with p.

    To draw the mask takes nearly all of torch's time. Here, on the CPU, for float32 or less and
    1/128 <= p <= 127/128, an element gets 16 random bits out of a 64-bit integer: p is rounded to a
    multiple of 1/65536, a relative error below 0.1 % in p and in 1 - p, and the scale is that of
    the rounded p, so that the expectation is kept exactly. Anywhere else (float64, another p, a
    GPU, ``torch.export``, ``torch.vmap``), and under ``nn.algorithms(dropout="bernoulli")``, the
    mask is drawn as torch draws it: the same seed gives the same mask as torch's layer, on the CPU.

    Args:
        p: probability of an element to be zeroed.
        inplace: write y over x.

    Shape: ``(*)`` to ``(*)``.
    Raises: ValueError for p outside [0, 1].
    Source: notes 6.5, the first of their two scalings; the book's own code scales by
        :math:`1 - p` at test time instead.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        self.p, self.inplace = _checked(p), inplace

    def forward(self, input: Tensor) -> Tensor:
        return dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout1d(Dropout):
    r""":class:`Dropout` of whole channels: the mask has one element per sample and channel.

    So there is little to draw, and it is always torch's mask that is drawn.

    Neighbours along an axis of space look alike, so that silencing single elements tells the next
    layer little; silencing the channel takes the feature away.

    Shape: ``(N, C, L)`` or ``(C, L)`` to the same.
    Raises: ValueError for p outside [0, 1]; RuntimeError for an input of another rank.
    Source: notes 6.5; Tompson et al. 2015, "Efficient object localization", 3.2.
    """

    def forward(self, input: Tensor) -> Tensor:
        return dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(Dropout):
    """:class:`Dropout1d` for images.

    A 3D input counts as ``(N, C, L)``, with a warning, and not as an image without its batch:
    torch kept that for the sake of old code. Other ranks of at least 2 warn and work.

    Shape: ``(N, C, H, W)`` or ``(N, C, L)`` to the same.
    Raises: ValueError for p outside [0, 1]; RuntimeError in training for less than two axes.
    Source: notes 6.5.
    """

    def forward(self, input: Tensor) -> Tensor:
        return dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(Dropout):
    """:class:`Dropout1d` for volumes.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)`` to the same; another rank counts as a sample
        without its batch, with a warning.
    Raises: ValueError for p outside [0, 1]; RuntimeError in training for a single number.
    Source: notes 6.5.
    """

    def forward(self, input: Tensor) -> Tensor:
        return dropout3d(input, self.p, self.training, self.inplace)
