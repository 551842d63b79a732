"""The affine layer (notes 3.3, 5)."""

from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from ._fast import Function, direct
from ._precision import cast


class Identity(Module):
    r"""Give back what comes in: the activation of a regression's last layer.

    Args:
        args: any, and ignored, so that it can stand in for any layer.
        kwargs: likewise.

    Shape: ``(*)`` to ``(*)``, the same tensor.
    Source: notes 3.2, 3.4. Without a bend between them, a stack of affine layers is one.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


def _rows(x: Tensor) -> Tensor:
    """One row per sample, whatever the axes in front."""
    return x if x.dim() == 2 else x.reshape(-1, x.shape[-1])


class _Linear(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, weight, bias):
        y = x @ weight.mT
        if bias is None:
            return y
        return y.add_(bias) if direct(y, bias) else y + bias

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        dx, dw, db = ctx.needs_input_grad
        rows, drows = _rows(x), _rows(dy)
        return (
            dy @ weight if dx else None,
            drows.mT @ rows if dw else None,
            drows.sum(0) if db else None,
        )


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """See :class:`Linear`."""
    if input.dim() == 0 or input.shape[-1] != weight.shape[-1]:
        raise RuntimeError(
            f"expected {weight.shape[-1]} features along the last axis, got {tuple(input.shape)}"
        )
    return _Linear.apply(*cast(input, weight, bias))


class Weighted(Module):
    r"""A weight, perhaps a bias, both uniform in :math:`\pm 1 / \sqrt{n}` at first.

    n is the number of inputs that one output sees; the standard deviation is
    :math:`1 / \sqrt{3n}`. What torch calls ``kaiming_uniform_(a=sqrt(5))`` is this.
    """

    weight: Parameter
    bias: Parameter | None

    def _create(
        self,
        shape: tuple[int, ...],
        bias: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        self.weight = Parameter(torch.empty(shape, device=device, dtype=dtype))
        shift = Parameter(torch.empty(shape[0], device=device, dtype=dtype)) if bias else None
        self.register_parameter("bias", shift)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        n = self.weight.shape[1:].numel()
        bound = 1 / sqrt(n) if n else 0.0
        with torch.no_grad():
            for p in self.parameters():
                p.uniform_(-bound, bound)


class Linear(Weighted):
    r"""An affine map: every output is a weighted sum of all inputs, plus a bias.

    .. math:: y = x W^\top + b, \qquad
        \mathrm{d}x = \mathrm{d}y\, W, \quad
        \mathrm{d}W = \mathrm{d}y^\top x, \quad
        \mathrm{d}b = \sum_n \mathrm{d}y_n

    Both start uniform in :math:`\pm 1 / \sqrt{n}`, n inputs.

    Shape: ``(*, in_features)`` to ``(*, out_features)``.
    Raises: RuntimeError if the last axis is not ``in_features`` long.
    Source: notes 3.3, which write :math:`A = XW + B`: their W is the transpose of this one.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self._create((out_features, in_features), bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )
