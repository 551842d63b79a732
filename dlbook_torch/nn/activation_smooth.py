"""Smooth relatives of the activations (notes 3.2), apart so that the notes' own fill one page."""

from math import pi, sqrt

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import Module

from ._precision import answer, full, wide
from .activation import sigmoid


class _LogSigmoid(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        a = wide(x).contiguous()  # as torch's answer is
        return answer(a.clamp(max=0) - a.abs().neg_().exp_().log1p_(), x)

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        x, d = map(wide, (*ctx.saved_tensors, dy))
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


class _Softplus(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, beta, threshold):
        a = wide(x)
        z = beta * a
        return answer(torch.where(z > threshold, a, z.exp().log1p_().div_(beta)), x)

    @staticmethod
    def setup_context(ctx, inputs, y):
        x, ctx.beta, ctx.threshold = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, dy):
        x, d = map(wide, (*ctx.saved_tensors, dy))
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


class _SiLU(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        a = wide(x)
        return answer(a / (-a).exp_().add_(1), x)

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        x, d = map(wide, (*ctx.saved_tensors, dy))
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


class _GELU(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        a = wide(x)
        return answer(a * (a * sqrt(0.5)).erf_().add_(1).mul_(0.5), x)

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        x, d = map(wide, (*ctx.saved_tensors, dy))
        cdf = (1 + torch.erf(x * sqrt(0.5))) / 2
        pdf = torch.exp(-x * x / 2) / sqrt(2 * pi)
        return (d * (cdf + x * pdf)).to(dy.dtype)


class _TanhGELU(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        a = wide(x)
        z = sqrt(8 / pi) * a * (1 + 0.044715 * a * a)
        return answer(a / z.neg_().exp_().add_(1), x)

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        x, d = map(wide, (*ctx.saved_tensors, dy))
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
