"""Activation functions (notes 3.2, 3.4)."""

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from ._fast import Function, bits, chosen_where, direct, exp, in_pieces, in_rows, maskless, scratch
from ._precision import answer, full, wide


def _real(x: Tensor) -> Tensor:
    """Whole numbers and truth values as real numbers."""
    whole = not (x.is_floating_point() or x.is_complex())
    return x.to(torch.get_default_dtype()) if whole else x


class _Sigmoid(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        # exp may overflow: 1 / inf is the right 0
        return answer(exp(wide(x), -1).add_(1).reciprocal_(), x)

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(y)

    @staticmethod
    def backward(ctx, dy):
        y, d = map(wide, (*ctx.saved_tensors, dy))
        if direct(y, d):
            return torch.addcmul(y, y, y, value=-1).mul_(d).to(dy.dtype)
        return (d * y * (1 - y)).to(dy.dtype)


def sigmoid(input: Tensor) -> Tensor:
    """See :class:`Sigmoid`."""
    return _Sigmoid.apply(_real(input))


class Sigmoid(Module):
    r"""Squash every element into (0, 1).

    .. math:: y = \frac{1}{1 + e^{-x}}, \qquad
              \frac{\partial L}{\partial x} = \frac{\partial L}{\partial y}\, y (1 - y)

    Written from y, the derivative stays finite where the formula's own (inf / inf) would not.

    Shape: ``(*)`` to ``(*)``.
    Raises: NotImplementedError for complex numbers, which torch's takes.
    Source: notes 3.2.1. The gradient is at most 1/4 and fades to 0 on both sides (saturation).
    """

    def forward(self, input: Tensor) -> Tensor:
        return sigmoid(input)


def _tanh(x: Tensor) -> Tensor:
    """No overflow, and exact near 0; see :class:`Tanh` for the second way."""
    if not direct(x):
        z = torch.expm1(x.abs().mul_(-2))  # in (-1, 0]
        return torch.copysign(z / (z + 2), x)
    far = exp(x, 2).add_(1).reciprocal_().mul_(-16).add_(8).abs_()  # 1 / inf is the right 0
    near = x.clamp(-1 / 8, 1 / 8)
    series = (near * near).sub_(5 / 4)
    series.mul_(series).mul_(2 / 15).add_(19 / 24)
    return torch.maximum(series, far, out=series).mul_(near)


class _Tanh(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return answer(in_pieces(_tanh, wide(x)), x)

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(y)

    @staticmethod
    def backward(ctx, dy):
        y, d = map(wide, (*ctx.saved_tensors, dy))
        if direct(y, d):
            return torch.addcmul(y.new_ones(()), y, y, value=-1).mul_(d).to(dy.dtype)
        return (d * (1 - y * y)).to(dy.dtype)


def tanh(input: Tensor) -> Tensor:
    """See :class:`Tanh`."""
    return _Tanh.apply(_real(input))


class Tanh(Module):
    r"""Squash every element into (-1, 1) around zero.

    .. math:: y = \frac{e^x - e^{-x}}{e^x + e^{-x}} = -\frac{e^{-2x} - 1}{e^{-2x} + 1}, \qquad
              \frac{\partial L}{\partial x} = \frac{\partial L}{\partial y}\, (1 - y^2)

    The second form is taken for \|x\| and the sign put back: the first is inf / inf from x = 89 on.
    In float32 both are slow, and :math:`1 - 2 / (e^{2x} + 1)` is not, whose digits cancel near 0.
    There :math:`x - x^3 / 3 + 2 x^5 / 15 = x\,(\frac{2}{15} (x^2 - \frac54)^2 + \frac{19}{24})`
    takes over. So with c = x, but no further from 0 than 1/8,

    .. math:: y = c \max\Bigl(\tfrac{2}{15} (c^2 - \tfrac54)^2 + \tfrac{19}{24},\;
              8\, \Bigl|1 - \frac{2}{e^{2x} + 1}\Bigr|\Bigr),

    off by a relative 1.2e-6 at most.

    Shape: ``(*)`` to ``(*)``.
    Raises: NotImplementedError for complex numbers, which torch's takes.
    Source: notes 3.2.2, whose closed range [-1, 1] is never reached (but by rounding).
    """

    def forward(self, input: Tensor) -> Tensor:
        return tanh(input)


def flat(dx: Tensor, x: Tensor) -> Tensor:
    """The gradient of straight pieces: told to autograd as a function of x too, of derivative 0."""
    if not torch.is_grad_enabled():
        return dx  # nobody will ask
    return dx + x.masked_fill(torch.ones_like(x, dtype=torch.bool), 0)


class _ReLU(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, inplace):
        return x.clamp_(min=0) if inplace else x.clamp(min=0)

    @staticmethod
    def setup_context(ctx, inputs, y):
        if inputs[1]:
            ctx.mark_dirty(inputs[0])
        ctx.save_for_backward(y)

    @staticmethod
    def backward(ctx, dy):
        (y,) = ctx.saved_tensors
        if maskless(y, dy):
            # whatever is not 0 or -0 (the least integer, its own abs) is positive, or nan
            return chosen_where(bits(y).abs().clamp_(0, 1), dy), None
        return flat(dy.masked_fill(y <= 0, 0), y), None


def written_over(x: Tensor, function: type[Function], *args: Any) -> Tensor:
    """``function``'s values written over x, for one whose last argument says so."""
    if torch.compiler.is_compiling():  # a tracer does not see that y is x, and saves memory anyway
        return x.copy_(function.apply(x.clone(), *args, False))
    return function.apply(x, *args, True)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """See :class:`ReLU`."""
    if input.dtype == torch.bool:
        raise NotImplementedError(f"only numbers are supported, got {input.dtype}")
    return written_over(input, _ReLU) if inplace else _ReLU.apply(input, False)


class ReLU(Module):
    r"""Let the positive through and stop the rest.

    .. math:: y = \max(0, x), \qquad
              \frac{\partial L}{\partial x} = \frac{\partial L}{\partial y}\,[y > 0]

    The derivative at 0, which does not exist, is taken to be 0, as torch and the book do.

    Args:
        inplace: write y over x.

    Shape: ``(*)`` to ``(*)``.
    Source: notes 3.2.3. A unit whose input is never positive gets no gradient: it is dead.
    """

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return relu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


def _axis(name: str, dim: int | None, x: Tensor) -> int:
    """The axis of the classes; torch's guess, with torch's warning, where none is named."""
    if dim is not None:
        return dim
    guess = 0 if x.dim() in (0, 1, 3) else 1
    message = f"{name} without dim is deprecated: took dim={guess} for a {x.dim()}D input"
    warnings.warn(message, stacklevel=4)
    return guess


def _last(dim: int, x: Tensor) -> int:
    """The axis; the last one as -1."""
    return -1 if dim == x.dim() - 1 else dim


class _Softmax(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, dim):
        if not x.numel():
            return x.clone()  # there is no maximum to subtract
        a = wide(x).contiguous()  # as torch's answer is: it can be viewed in another shape
        if direct(a):
            y, dim = torch.empty_like(a), _last(dim, a)
            for part, e in in_rows(dim, a, y):
                exp(torch.sub(part, part.amax(dim, keepdim=True), out=e), out=e)
                e.mul_(e.sum(dim, keepdim=True).reciprocal_())
            return answer(y, x)
        e = exp(a - a.amax(dim, keepdim=True))
        return answer(e.div_(e.sum(dim, keepdim=True)), x)

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.dim = inputs[1]
        ctx.save_for_backward(y)

    @staticmethod
    def backward(ctx, dy):
        y, d = map(wide, (*ctx.saved_tensors, dy))
        if direct(y, d):
            dx, dim = torch.empty_like(y), _last(ctx.dim, y)
            for p, dp, out in in_rows(dim, y, d, dx):
                dot = torch.mul(p, dp, out=out).sum(dim, keepdim=True)
                out.addcmul_(p, dot, value=-1)
            return dx.to(dy.dtype), None
        return (y * (d - (d * y).sum(ctx.dim, keepdim=True))).to(dy.dtype), None


def softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None
) -> Tensor:
    """See :class:`Softmax`."""
    x = full(input) if dtype is None else input.to(dtype)
    return _Softmax.apply(x, _axis("softmax", dim, input))


class Softmax(Module):
    r"""Turn scores into probabilities along ``dim``.

    .. math:: y_k = \frac{e^{x_k - \max x}}{\sum_i e^{x_i - \max x}}, \qquad
              \frac{\partial L}{\partial x} = y \odot (d - \langle d, y \rangle),
              \quad d = \frac{\partial L}{\partial y}

    Subtracting the maximum changes nothing but the overflow: :math:`e^{89}` is inf in float32.

    Shape: ``(*)`` to ``(*)``, positive, summing to 1 along ``dim``.
    Raises: TypeError for a ``dim`` that is no int; IndexError for one that the input has not.
    Source: notes 3.4, whose "e^100 > 20000" is meant as e^10.
    """

    def __init__(self, dim: int | None = None):
        if dim is not None and (not isinstance(dim, int) or isinstance(dim, bool)):
            raise TypeError(f"dim must be an int or None, got {dim!r}")
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


def softmin(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None
) -> Tensor:
    """See :class:`Softmin`."""
    x = full(input) if dtype is None else input.to(dtype)
    return _Softmax.apply(-x, _axis("softmin", dim, input))


class Softmin(Softmax):
    r""":class:`Softmax` of the negated scores: the smallest becomes the most probable.

    .. math:: y_k = \frac{e^{-x_k}}{\sum_i e^{-x_i}}

    Shape: ``(*)`` to ``(*)``, positive, summing to 1 along ``dim``.
    Raises: as :class:`Softmax`.
    Source: notes 3.4, a relative.
    """

    def forward(self, input: Tensor) -> Tensor:
        return softmin(input, self.dim)


class _LogSoftmax(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, dim):
        if not x.numel():
            return x.clone()  # there is no maximum to subtract
        a = wide(x).contiguous()  # see softmax
        if direct(a):
            y, dim = torch.empty_like(a), _last(dim, a)
            for part, out in in_rows(dim, a, y):
                torch.sub(part, part.amax(dim, keepdim=True), out=out)
                out.sub_(exp(out, out=scratch(out)).sum(dim, keepdim=True).log_())
            return answer(y, x)
        y = a - a.amax(dim, keepdim=True)
        return answer(y.sub_(exp(y).sum(dim, keepdim=True).log_()), x)

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.dim = inputs[1]
        ctx.save_for_backward(y)

    @staticmethod
    def backward(ctx, dy):
        y, d = map(wide, (*ctx.saved_tensors, dy))
        if direct(y, d):
            dx, dim = torch.empty_like(y), _last(ctx.dim, y)
            for log_p, dp, out in in_rows(dim, y, d, dx):
                exp(log_p, out=out).mul_(dp.sum(dim, keepdim=True))
                torch.sub(dp, out, out=out)
            return dx.to(dy.dtype), None
        return (d - y.exp() * d.sum(ctx.dim, keepdim=True)).to(dy.dtype), None


def log_softmax(
    input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: torch.dtype | None = None
) -> Tensor:
    """See :class:`LogSoftmax`."""
    x = full(input) if dtype is None else input.to(dtype)
    return _LogSoftmax.apply(x, _axis("log_softmax", dim, input))


class LogSoftmax(Softmax):
    r"""The logarithm of :class:`Softmax`, without ever forming a probability that rounds to 0.

    .. math:: y_k = x_k - \max x - \log \sum_i e^{x_i - \max x}, \qquad
              \frac{\partial L}{\partial x} = d - e^y \sum_i d_i,
              \quad d = \frac{\partial L}{\partial y}

    Shape: ``(*)`` to ``(*)``.
    Source: notes 3.4, 4.2: what the cross-entropy takes the mean of.
    """

    def forward(self, input: Tensor) -> Tensor:
        return log_softmax(input, self.dim)
