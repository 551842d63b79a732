"""Smooth relatives of the activations (notes 3.2), apart so that the notes' own fill one page."""

from functools import partial
from math import pi, sqrt

import torch
from torch import Tensor
from torch.nn import Module

from ._fast import Function, direct, exp, in_pieces
from ._precision import answer, full, wide
from .activation import sigmoid


def _log_sigmoid(x: Tensor) -> Tensor:
    return x.clamp(max=0).sub_(exp(x.abs(), -1).log1p_())


class _LogSigmoid(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        # contiguous, as torch's answer is
        return answer(in_pieces(_log_sigmoid, wide(x).contiguous()), x)

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        x, d = map(wide, (*ctx.saved_tensors, dy))
        if direct(x, d):
            return exp(x).add_(1).reciprocal_().mul_(d).to(dy.dtype)
        return (d * sigmoid(-x)).to(dy.dtype)


def logsigmoid(input: Tensor) -> Tensor:
    """See :class:`LogSigmoid`."""
    return _LogSigmoid.apply(input)


class LogSigmoid(Module):
    r"""The logarithm of :class:`Sigmoid`, without ever forming a probability that rounds to 0.

    .. math:: y = \log \sigma(x) = \min(0, x) - \log(1 + e^{-|x|}), \qquad
              \frac{\partial L}{\partial x} = \frac{\partial L}{\partial y}\, \sigma(-x)

    Shape: ``(*)`` to ``(*)``, never positive.
    Source: notes 3.2.1, a relative. Unlike the sigmoid it does not saturate on the left.
    """

    def forward(self, input: Tensor) -> Tensor:
        return logsigmoid(input)


def _softplus(x: Tensor, beta: float, threshold: float) -> Tensor:
    """The curve and the line, or where one may, the line and what the curve adds to it."""
    z = beta * x
    if not direct(x):
        return torch.where(z > threshold, x, z.exp().log1p_().div_(beta))
    extra = exp(z.abs(), -1).log1p_()  # of max(z, 0), on both sides
    curved = torch.le(z, threshold, out=torch.empty_like(z))  # 1 or 0
    return z.clamp_(min=0).addcmul_(extra, curved).div_(beta)


def _softplus_backward(x: Tensor, d: Tensor, beta: float, threshold: float) -> Tensor:
    """The same as :meth:`_Softplus.backward`, without a mask of truth values."""
    slope = exp(x, -beta).add_(1).reciprocal_()
    line = torch.gt(beta * x, threshold, out=torch.empty_like(x))  # 1 or 0
    return torch.maximum(slope, line, out=slope).mul_(d)


class _Softplus(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, beta, threshold):
        return answer(in_pieces(partial(_softplus, beta=beta, threshold=threshold), wide(x)), x)

    @staticmethod
    def setup_context(ctx, inputs, y):
        x, ctx.beta, ctx.threshold = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, dy):
        x, d = map(wide, (*ctx.saved_tensors, dy))
        if direct(x, d):
            backward = partial(_softplus_backward, beta=ctx.beta, threshold=ctx.threshold)
            return in_pieces(backward, x, d).to(dy.dtype), None, None
        z = ctx.beta * x
        return torch.where(z > ctx.threshold, d, d * sigmoid(z)).to(dy.dtype), None, None


def softplus(input: Tensor, beta: float = 1, threshold: float = 20) -> Tensor:
    """See :class:`Softplus`."""
    return _Softplus.apply(full(input), beta, threshold)


class Softplus(Module):
    r"""A ReLU with a round corner; its derivative is the sigmoid.

    .. math:: y = \frac{\log(1 + e^{\beta x})}{\beta} \text{ where } \beta x \le \text{threshold},
              \text{ else } x, \qquad
              \frac{\partial L}{\partial x} = \frac{\partial L}{\partial y}\, \sigma(\beta x)
              \text{ or } \frac{\partial L}{\partial y}

    Args:
        beta: how sharp the corner is.
        threshold: beyond it, the curve and the line are one in floating point.

    Shape: ``(*)`` to ``(*)``, never negative.
    Source: notes 3.2.3, a relative.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        return softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


def _silu_backward(x: Tensor, d: Tensor) -> Tensor:
    """The same as :meth:`_SiLU.backward`, in two buffers."""
    s = exp(x, -1).add_(1).reciprocal_()
    return (1 - s).mul_(x).add_(1).mul_(s).mul_(d)


class _SiLU(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        a = wide(x)
        return answer(exp(a, -1).add_(1).reciprocal_().mul_(a), x)

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        x, d = map(wide, (*ctx.saved_tensors, dy))
        if direct(x, d):
            return in_pieces(_silu_backward, x, d).to(dy.dtype)
        s = sigmoid(x)
        return (d * s * (1 + x * (1 - s))).to(dy.dtype)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """See :class:`SiLU`."""
    # the derivative needs x, which y does not tell: in place, a copy of it is kept
    return input.copy_(_SiLU.apply(input.clone())) if inplace else _SiLU.apply(input)


class SiLU(Module):
    r"""Let every element open its own gate (also called swish).

    .. math:: y = x\, \sigma(x), \qquad
              \frac{\partial L}{\partial x} =
              \frac{\partial L}{\partial y}\, \sigma(x) (1 + x (1 - \sigma(x)))

    Args:
        inplace: write y over x.

    Shape: ``(*)`` to ``(*)``, at least -0.28; nan at minus infinity, as torch's.
    Raises: NotImplementedError for complex numbers, which torch's takes.
    Source: notes 3.2.1, a relative.
    """

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return silu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


def _gelu_backward(x: Tensor, d: Tensor) -> Tensor:
    """The same as :meth:`_GELU.backward`, in two buffers."""
    slope = (x * sqrt(0.5)).erf_().add_(1).mul_(0.5)
    return slope.addcmul_(exp(x * x, -0.5), x, value=1 / sqrt(2 * pi)).mul_(d)


class _GELU(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        a = wide(x)
        return answer((a * sqrt(0.5)).erf_().add_(1).mul_(0.5).mul_(a), x)

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        x, d = map(wide, (*ctx.saved_tensors, dy))
        if direct(x, d):
            return in_pieces(_gelu_backward, x, d).to(dy.dtype)
        cdf = (1 + torch.erf(x * sqrt(0.5))) / 2
        pdf = torch.exp(-x * x / 2) / sqrt(2 * pi)
        return (d * (cdf + x * pdf)).to(dy.dtype)


def _tanh_gelu(x: Tensor) -> Tensor:
    z = (x * x).mul_(0.044715).add_(1).mul_(x)
    return exp(z, -sqrt(8 / pi)).add_(1).reciprocal_().mul_(x)


def _tanh_gelu_backward(x: Tensor, d: Tensor) -> Tensor:
    """The same as :meth:`_TanhGELU.backward`, in a few buffers."""
    square = x * x
    z = (square * 0.044715).add_(1).mul_(x)
    s = exp(z, -sqrt(8 / pi)).add_(1).reciprocal_()
    dz = square.mul_(3 * 0.044715).add_(1).mul_(x).mul_(sqrt(8 / pi))
    return torch.rsub(s, 1).mul_(dz).add_(1).mul_(s).mul_(d)


class _TanhGELU(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return answer(in_pieces(_tanh_gelu, wide(x)), x)

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        x, d = map(wide, (*ctx.saved_tensors, dy))
        if direct(x, d):
            return in_pieces(_tanh_gelu_backward, x, d).to(dy.dtype)
        s = sigmoid(sqrt(8 / pi) * x * (1 + 0.044715 * x * x))
        dz = sqrt(8 / pi) * (1 + 3 * 0.044715 * x * x)
        return (d * s * (1 + x * (1 - s) * dz)).to(dy.dtype)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """See :class:`GELU`."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"approximate must be none or tanh, got {approximate}")
    return (_TanhGELU if approximate == "tanh" else _GELU).apply(input)


class GELU(Module):
    r"""Let every element through with the probability that a normal variable lies below it.

    .. math:: y = x\, \Phi(x), \quad \Phi(x) = \tfrac12 (1 + \text{erf}(x / \sqrt2)), \qquad
              \frac{\partial L}{\partial x} =
              \frac{\partial L}{\partial y} \Bigl(\Phi(x) + \tfrac{x}{\sqrt{2\pi}} e^{-x^2/2}\Bigr)

    The approximation has :math:`\sigma(z) = \tfrac12 (1 + \tanh \tfrac{z}{2})` in place of
    :math:`\Phi(x)`, with :math:`z = \sqrt{8/\pi}\,(x + 0.044715\, x^3)`.

    Args:
        approximate: ``none``, or ``tanh`` for the approximation.

    Shape: ``(*)`` to ``(*)``, at least -0.17; nan at minus infinity, as torch's.
    Raises: RuntimeError for another ``approximate``.
    Source: notes 3.2, a relative: Hendrycks and Gimpel 2016.
    """

    def __init__(self, approximate: str = "none"):
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"
