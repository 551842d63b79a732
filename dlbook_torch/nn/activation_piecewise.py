"""Relatives of ReLU (notes 3.2.3), apart so that the notes' own activations fill one page.

Each is pieces joined at corners, where the derivative does not exist: it is torch's choice there.
"""

import warnings
from functools import partial

import torch
from torch import Tensor
from torch.nn import Module

from ._fast import Function, between, bits, chosen_where, direct, exp, in_pieces, maskless
from ._precision import answer, wide
from .activation import flat, written_over


class _Pieces(Function):
    """A function whose output tells on which piece its input lay.

    So its backward can do with y where y has been written over x.
    """

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx, inputs, y):
        x, *ctx.bends, ctx.inplace = inputs
        if ctx.inplace:
            ctx.mark_dirty(x)
        ctx.save_for_backward(y if ctx.inplace else x)


class _Hardtanh(_Pieces):
    @staticmethod
    def forward(x, min_val, max_val, inplace):
        if inplace:
            return x.clamp_(min_val, max_val)
        return answer(x.clamp(min_val, max_val), x)

    @staticmethod
    def backward(ctx, dy):
        (t,), (min_val, max_val) = ctx.saved_tensors, ctx.bends
        if not ctx.inplace:
            t = wide(t)  # x meets the bounds themselves; y was cut off at the 16-bit ones
        if t.dtype == dy.dtype == torch.float32 and direct(t, dy):
            return between(t, min_val, max_val, dy), None, None, None
        return flat(dy.masked_fill((t <= min_val) | (t >= max_val), 0), t), None, None, None


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Tensor:
    """See :class:`Hardtanh`."""
    if min_val > max_val:
        raise ValueError(f"min_val must not be above max_val, got {min_val} and {max_val}")
    if input.dtype == torch.bool:
        raise NotImplementedError(f"only numbers are supported, got {input.dtype}")
    if inplace:
        return written_over(input, _Hardtanh, min_val, max_val)
    return _Hardtanh.apply(input, min_val, max_val, False)


class Hardtanh(Module):
    r"""Cut every element off below ``min_val`` and above ``max_val``: a tanh of straight lines.

    .. math:: y = \min(\max(x, a), b), \qquad
              \frac{\partial L}{\partial x} = \frac{\partial L}{\partial y}\,[a < x < b]

    Args:
        min_val: a.
        max_val: b.
        inplace: write y over x.
        min_value: the name that torch gave up for ``min_val``.
        max_value: the name that torch gave up for ``max_val``.

    Shape: ``(*)`` to ``(*)``.
    Raises: AssertionError unless a < b.
    Source: notes 3.2.2, a relative.
    """

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ):
        super().__init__()
        for old, value in dict(min_value=min_value, max_value=max_value).items():
            if value is not None:
                message = f"{old}={value} is deprecated: it is called {old.removesuffix('ue')}"
                warnings.warn(message, FutureWarning, stacklevel=2)
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        self.inplace = inplace
        if self.max_val <= self.min_val:
            raise AssertionError(
                f"max_val must be greater than min_val, got {self.max_val} and {self.min_val}"
            )

    def forward(self, input: Tensor) -> Tensor:
        return hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        bends = f"min_val={self.min_val}, max_val={self.max_val}"
        return bends + ", inplace=True" * self.inplace


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """See :class:`ReLU6`."""
    return hardtanh(input, 0.0, 6.0, inplace)


class ReLU6(Hardtanh):
    r"""A ReLU that saturates at 6, for small numbers of few bits.

    .. math:: y = \min(\max(x, 0), 6), \qquad
              \frac{\partial L}{\partial x} = \frac{\partial L}{\partial y}\,[0 < x < 6]

    Args:
        inplace: write y over x.

    Shape: ``(*)`` to ``(*)``.
    Source: notes 3.2.3, a relative.
    """

    def __init__(self, inplace: bool = False):
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class _LeakyReLU(_Pieces):
    @staticmethod
    def forward(x, negative_slope, inplace):
        a = wide(x)
        if 0 < negative_slope <= 1:
            y = answer(torch.maximum(a, a * negative_slope), x)  # as the formula: -0 and inf too
        else:
            y = answer(torch.where(a > 0, a, a * negative_slope), x)
        return x.copy_(y) if inplace else y

    @staticmethod
    def backward(ctx, dy):
        (t,), (negative_slope,) = ctx.saved_tensors, ctx.bends
        _needs_sign(negative_slope, "negative_slope", ctx.inplace)
        if 0 <= negative_slope <= 1 and maskless(t, dy):
            slope = wide(t).sign().clamp_(min=negative_slope)
            return slope.mul_(dy).to(dy.dtype), None, None
        return flat(torch.where(t > 0, dy, dy * negative_slope), t), None, None


def _needs_sign(slope: float, name: str, inplace: bool) -> None:
    """Refuse to tell x's sign by y's where a falling piece has made both positive."""
    if inplace and slope < 0:
        raise RuntimeError(f"in place, the derivative needs {name} >= 0, got {slope}")


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """See :class:`LeakyReLU`."""
    if inplace:
        return written_over(input, _LeakyReLU, negative_slope)
    return _LeakyReLU.apply(input, negative_slope, False)


class LeakyReLU(Module):
    r"""A ReLU that lets a little of the negative through, and so cannot die.

    .. math:: y = x \text{ where } x > 0, \text{ else } a x, \qquad
              \frac{\partial L}{\partial x} = \frac{\partial L}{\partial y}
              \text{ where } x > 0, \text{ else } a\, \frac{\partial L}{\partial y}

    Args:
        negative_slope: a.
        inplace: write y over x.

    Shape: ``(*)`` to ``(*)``.
    Raises: RuntimeError in the backward of an in-place one with a < 0.
    Source: notes 3.2.3, a relative: one more cure for the dead ReLU.
    """

    def __init__(self, negative_slope: float = 1e-2, inplace: bool = False):
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input: Tensor) -> Tensor:
        return leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + ", inplace=True" * self.inplace


def _elu(x: Tensor, alpha: float) -> Tensor:
    """The sum of both pieces, of which one is 0; but no sign of a 0 if the left one rises to it."""
    if alpha <= 0:
        return torch.where(x < 0, torch.expm1(x).mul_(alpha), x)
    return torch.expm1(x.clamp(max=0)).mul_(alpha).add_(x.clamp(min=0))


def _elu_backward(t: Tensor, d: Tensor, alpha: float, inplace: bool) -> Tensor:
    """The same as :meth:`_ELU.backward`, without a mask of truth values."""
    low = t.clamp(max=0)
    slope = low + alpha if inplace else exp(low).mul_(alpha)
    if alpha != 1:  # else it is 1 on the right already
        right = torch.gt(t, 0, out=low)  # 1 or 0
        slope = torch.lerp(slope, slope.new_ones(()), right, out=slope)
    return slope.mul_(d)


class _ELU(_Pieces):
    @staticmethod
    def forward(x, alpha, inplace):
        y = answer(in_pieces(partial(_elu, alpha=alpha), wide(x)), x)
        return x.copy_(y) if inplace else y

    @staticmethod
    def backward(ctx, dy):
        t, d, (alpha,) = wide(*ctx.saved_tensors), wide(dy), ctx.bends
        _needs_sign(alpha, "alpha", ctx.inplace)
        if direct(t, d):
            backward = partial(_elu_backward, alpha=alpha, inplace=ctx.inplace)
            return in_pieces(backward, t, d).to(dy.dtype), None, None
        # exp only where it is asked for: where it is not, an inf would spoil the next derivative
        slope = t + alpha if ctx.inplace else alpha * torch.exp(t.masked_fill(t >= 0, 0))
        return torch.where(t > 0, d, d * slope).to(dy.dtype), None, None


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """See :class:`ELU`."""
    return written_over(input, _ELU, alpha) if inplace else _ELU.apply(input, alpha, False)


class ELU(Module):
    r"""A ReLU whose left side falls smoothly to -alpha, so that its mean can be near 0.

    .. math:: y = x \text{ where } x > 0, \text{ else } \alpha (e^x - 1), \qquad
              \frac{\partial L}{\partial x} = \frac{\partial L}{\partial y}
              \text{ where } x > 0, \text{ else } \alpha e^x \frac{\partial L}{\partial y}

    In place, :math:`\alpha e^x` is had from y as :math:`y + \alpha`.

    Args:
        alpha: minus the limit at minus infinity.
        inplace: write y over x.

    Shape: ``(*)`` to ``(*)``.
    Raises: RuntimeError in the backward of an in-place one with alpha < 0.
    Source: notes 3.2.3, a relative.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Tensor) -> Tensor:
        return elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + ", inplace=True" * self.inplace


class _Hardsigmoid(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return answer((wide(x) + 3).clamp(0, 6).div_(6), x)

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        if direct(x, dy):
            size = bits(x.abs())  # larger for a larger number, and largest for nan
            inside = torch.lt(size, bits(x.new_tensor(3)).item(), out=size)
            return chosen_where(inside, dy).div_(6)
        return flat(torch.where(x.abs() < 3, dy / 6, 0), x)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """See :class:`Hardsigmoid`."""
    return input.copy_(_Hardsigmoid.apply(input.clone())) if inplace else _Hardsigmoid.apply(input)


class Hardsigmoid(Module):
    r"""A sigmoid of three straight lines, without its exponential.

    .. math:: y = \frac{\min(\max(x + 3, 0), 6)}{6}, \qquad
              \frac{\partial L}{\partial x} = \frac{\partial L}{\partial y}\,\frac{[|x| < 3]}{6}

    Args:
        inplace: write y over x.

    Shape: ``(*)`` to ``(*)``.
    Source: notes 3.2.1, a relative.
    """

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return hardsigmoid(input, self.inplace)


def _hardswish_backward(x: Tensor, d: Tensor) -> Tensor:
    """The same as :meth:`_Hardswish.backward`, without a mask of truth values.

    Cut off at -3 and 3, the middle piece is -1/2 and 3/2 outside: 0 and 1 are half a step away.
    """
    slope = x.clamp(-3, 3).mul_(1 / 3).add_(0.5)
    below = torch.le(x, -3, out=torch.empty_like(x))
    slope.add_(below, alpha=0.5)
    above = torch.ge(x, 3, out=below)
    return slope.sub_(above, alpha=0.5).mul_(d)


class _Hardswish(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        a = wide(x)
        return answer((a + 3).clamp(0, 6).mul_(a).div_(6), x)

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        x, d = map(wide, (*ctx.saved_tensors, dy))
        if direct(x, d):
            return in_pieces(_hardswish_backward, x, d).to(dy.dtype)
        slope = (x / 3 + 0.5).masked_fill(x <= -3, 0).masked_fill(x >= 3, 1)
        return (d * slope).to(dy.dtype)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """See :class:`Hardswish`."""
    return input.copy_(_Hardswish.apply(input.clone())) if inplace else _Hardswish.apply(input)


class Hardswish(Module):
    r"""x times its :class:`Hardsigmoid`, as SiLU is x times its sigmoid.

    .. math:: y = x\, \frac{\min(\max(x + 3, 0), 6)}{6}, \qquad
              \frac{\partial L}{\partial x} = \frac{\partial L}{\partial y}
              \begin{cases} 0 & x \le -3 \\ x / 3 + 1 / 2 & -3 < x < 3 \\ 1 & x \ge 3 \end{cases}

    Args:
        inplace: write y over x.

    Shape: ``(*)`` to ``(*)``, at least -3/8; nan at minus infinity, as torch's.
    Source: notes 3.2.1, a relative.
    """

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return hardswish(input, self.inplace)
