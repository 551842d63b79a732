"""Normalization within one sample (notes 6.4)."""

from collections.abc import Iterable
from math import prod
from operator import index

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from ._fast import Function, direct, pieces, scratch
from ._precision import answer, check_types, wide_type, widen


def _total(rows: Tensor, weight: Tensor | None) -> Tensor:
    """The sum of every row, each element times its weight."""
    return rows.sum(1, keepdim=True) if weight is None else (rows @ weight).unsqueeze(1)


def _forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The same as :meth:`_LayerNorm.forward`, in one buffer, some rows at a time."""
    m, y = x.shape[1], torch.empty_like(x)
    mean, var = x.new_empty(len(x), 1), x.new_empty(len(x), 1)
    for a, c, mu, v in pieces(x, y, mean, var):
        torch.sum(a, 1, keepdim=True, out=mu).div_(m)
        torch.sub(a, mu, out=c)
        rest = c.sum(1, keepdim=True).div_(m)  # what rounding left of the mean
        c.sub_(rest)
        mu.add_(rest)
        torch.linalg.vector_norm(c, dim=1, keepdim=True, out=v).square_().div_(m)
        c.mul_((v + eps).rsqrt_())
        if weight is not None and bias is not None:
            torch.addcmul(bias, c, weight, out=c)
        elif weight is not None:
            c.mul_(weight)
    return y, mean, var


def _backward(
    dy: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, var: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The same as :meth:`_LayerNorm.backward` for the output alone, some rows at a time."""
    m, dx = x.shape[1], torch.empty_like(x)
    dweight, dbias, ones = x.new_zeros(m), x.new_zeros(m), x.new_ones(len(x))
    for a, d, c, mu, v, one in pieces(x, dy, dx, mean, var, ones):
        inv_std = (v + eps).rsqrt_()
        x_hat = torch.sub(a, mu, out=scratch(a)).mul_(inv_std)
        torch.mul(d, x_hat, out=c)
        dweight += one @ c
        dbias += one @ d
        mean_dy, slope = _total(d, weight).div_(m), _total(c, weight).div_(m)
        g = d if weight is None else torch.mul(d, weight, out=c)
        torch.addcmul(g, x_hat, slope, value=-1, out=c)
        c.sub_(mean_dy).mul_(inv_std)
    return dx, dweight, dbias


class _LayerNorm(Function):
    """Normalize every row, scale and shift; the rows' means and variances come out as well.

    They are outputs for the reason that :class:`dlbook_torch.nn.batchnorm._BatchNorm` gives.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x, weight, bias, eps):
        if direct(x, weight, bias):
            return _forward(x, weight, bias, eps)
        m = x.shape[1]
        mean = x.sum(1, keepdim=True) / m
        centered = x - mean
        rest = centered.sum(1, keepdim=True) / m  # what rounding left of the mean
        centered -= rest
        var = (centered * centered).sum(1, keepdim=True) / m
        y = centered.mul_((var + eps).rsqrt_())
        if weight is not None:
            y = y * weight
        if bias is not None:
            y = y.add_(bias)
        return answer(y, x), mean + rest, var

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        x, weight, _, ctx.eps = inputs
        ctx.save_for_backward(x, weight, *outputs[1:])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, dy, dmean, dvar):
        x, weight, mean, var = ctx.saved_tensors
        m, needs = x.shape[1], ctx.needs_input_grad
        if dmean is None and dvar is None and dy is not None and direct(dy, *ctx.saved_tensors):
            found = _backward(dy, x, weight, mean, var, ctx.eps)
            return *(g if need else None for g, need in zip(found, needs, strict=False)), None
        dx = dweight = dbias = None
        if dy is not None:
            inv_std = (var + ctx.eps).rsqrt()
            x_hat = (x - mean).mul_(inv_std)
            product = dy * x_hat
            dbias = dy.sum(0) if needs[2] else None
            dweight = product.sum(0) if needs[1] else None
            # x reaches its own output, the row's mean and the row's variance: three terms
            mean_dy, slope = _total(dy, weight) / m, _total(product, weight) / m
            dx = dy.clone() if weight is None else dy * weight
            dx = torch.addcmul(dx.sub_(mean_dy), x_hat, slope, value=-1).mul_(inv_std)
        if dvar is not None:
            more = (x - mean) * (2 * dvar / m)
            dx = more if dx is None else dx + more
        if dmean is not None:
            more = (dmean / m).expand_as(x)
            dx = more if dx is None else dx + more
        return dx, dweight, dbias, None


def layer_norm(
    input: Tensor,
    normalized_shape: Iterable[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """See :class:`LayerNorm`."""
    shape = tuple(normalized_shape)
    if not shape or input.shape[-len(shape) :] != shape:
        raise RuntimeError(
            f"normalized_shape {shape} does not end the input's {tuple(input.shape)}"
        )
    for name, t in dict(weight=weight, bias=bias).items():
        if t is not None and t.shape != shape:
            raise RuntimeError(f"{name} must be {shape} as normalized_shape, got {tuple(t.shape)}")
    x = input
    if x.is_cuda:  # autocast of the CPU leaves this layer alone
        x, weight, bias = widen(x, weight, bias)
    if weight is not None and not x.is_floating_point():  # torch sees the mixture first
        raise RuntimeError(f"parameters of {weight.dtype} beside {x.dtype} input")
    check_types(x, weight, bias)
    width = wide_type(x.dtype)  # sums of many small numbers
    rows = x.reshape(prod(x.shape[: -len(shape)]), prod(shape)).contiguous()
    weight, bias = (t if t is None else t.flatten().to(width) for t in (weight, bias))
    y, _, _ = _LayerNorm.apply(rows.to(width), weight, bias, eps)
    return y.to(x.dtype).view(input.shape)


class LayerNorm(Module):
    r"""Give every sample zero mean and unit variance over its last axes, then scale and shift.

    .. math::
        \hat x = \frac{x - \mu}{\sqrt{\sigma^2 + \varepsilon}}, \quad
        y = \gamma \odot \hat x + \beta, \qquad
        \mathrm{d}x = \frac{\mathrm{d}\hat x - \overline{\mathrm{d}\hat x}
        - \hat x\, \overline{\mathrm{d}\hat x\, \hat x}}{\sqrt{\sigma^2 + \varepsilon}}, \quad
        \mathrm{d}\hat x = \gamma \odot \mathrm{d}y

    No other sample has a say: training and evaluation are the same, and a batch of one will do.

    Args:
        normalized_shape: the last axes, or the last one.
        eps: added to the variance.
        elementwise_affine: learn gamma (``weight``, from 1) and beta (``bias``, from 0).
        bias: learn beta.
        device: where the parameters live.
        dtype: their type.

    Shape: ``(*, *normalized_shape)`` to the same.
    Raises: RuntimeError for an input that does not end in ``normalized_shape``, or is of another
        type than the parameters; NotImplementedError for integers without any.
    Source: notes 6.4 normalize over the batch; this is the remedy where the batch is small (Ba,
        Kiros, Hinton 2016, "Layer normalization").
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Iterable[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        if not isinstance(normalized_shape, Iterable):
            normalized_shape = (index(normalized_shape),)
        self.normalized_shape = tuple(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        for name, wanted in dict(
            weight=elementwise_affine, bias=elementwise_affine and bias
        ).items():
            empty = (
                torch.empty(self.normalized_shape, device=device, dtype=dtype) if wanted else None
            )
            self.register_parameter(name, empty if empty is None else Parameter(empty))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Scale by 1, shift by 0."""
        with torch.no_grad():
            if self.weight is not None:
                self.weight.fill_(1)
            if self.bias is not None:
                self.bias.zero_()

    def forward(self, input: Tensor) -> Tensor:
        return layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )
