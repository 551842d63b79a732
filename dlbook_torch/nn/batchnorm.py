"""Batch normalization (notes 6.4)."""

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from ._fast import Function, direct, pieces, scratch
from ._precision import answer, check_types, wide_type


def _axes(x: Tensor) -> tuple[int, ...]:
    """Every axis but the channels."""
    return (0, *range(2, x.dim()))


def _spread(t: Tensor, x: Tensor) -> Tensor:
    """One number per channel, shaped to broadcast over ``x``."""
    return t.view(-1, *[1] * (x.dim() - 2))


def _table(x: Tensor, last: bool) -> Tensor:
    """The input as (N, C, L), or as (N L, C) where its channels are ``last`` in memory."""
    return x.movedim(1, -1).flatten(0, -2) if last else x.flatten(2)


def _total(table: Tensor) -> Tensor:
    """The sum of every channel."""
    return table.sum(0) if table.dim() == 2 else table.sum(2).sum(0)


def _total_square(table: Tensor) -> Tensor:
    """The sum of every channel's squares."""
    if table.dim() == 2:
        return torch.mul(table, table, out=scratch(table)).sum(0)
    return torch.linalg.vector_norm(table, dim=2).square_().sum(0)  # no buffer for the squares


def _column(t: Tensor, table: Tensor) -> Tensor:
    """One number per channel, shaped to broadcast over such a table."""
    return t if table.dim() == 2 else t.unsqueeze(1)


def _forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The same as :meth:`_BatchNorm.forward`, in one buffer, whose every piece is made at once."""
    m, y = x.numel() // x.shape[1], torch.empty_like(x)
    last = x.dim() == 2 or not y.is_contiguous()
    table, centered = _table(x, last), _table(y, last)
    mean = _total(table) / m
    rest, square = torch.zeros_like(mean), torch.zeros_like(mean)
    for a, c in pieces(table, centered):
        torch.sub(a, _column(mean, a), out=c)
        rest += _total(c)
        square += _total_square(c)
    rest /= m
    var = (square / m - rest * rest).clamp(min=0)
    scale = (var + eps).rsqrt_()
    if weight is not None:
        scale = scale * weight
    shift = -rest * scale if bias is None else bias - rest * scale
    for (c,) in pieces(centered):
        c.mul_(_column(scale, c)).add_(_column(shift, c))
    return y, mean + rest, var


def _backward(
    dy: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, var: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The same as :meth:`_BatchNorm.backward` for the output alone, in one buffer."""
    m, dx = x.numel() // x.shape[1], torch.empty_like(x)
    last = x.dim() == 2 or not dx.is_contiguous()
    table, dtable, centered = (_table(t, last) for t in (x, dy, dx))
    inv_std = (var + eps).rsqrt_()
    dbias, dweight = _total(dtable), torch.zeros_like(mean)
    for a, d, c in pieces(table, dtable, centered):
        torch.sub(a, _column(mean, a), out=c)
        dweight += _total(torch.mul(d, c, out=scratch(c)))
    dweight *= inv_std
    slope, scale = inv_std * dweight / m, inv_std if weight is None else inv_std * weight
    for d, c in pieces(dtable, centered):
        torch.sub(d, c.mul_(_column(slope, c)), out=c)
        c.sub_(_column(dbias / m, c)).mul_(_column(scale, c))
    return dx, dweight, dbias


class _BatchNorm(Function):
    """Normalize by the batch, scale and shift; the batch's mean and variance come out as well.

    They are outputs because the backward needs them, and so has to say how they themselves change
    with x when it is differentiated in turn.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x, weight, bias, eps):
        if direct(x, weight, bias):
            return _forward(x, weight, bias, eps)
        axes, m = _axes(x), x.numel() // x.shape[1]
        mean = x.sum(axes) / m
        centered = x - _spread(mean, x)
        rest = centered.sum(axes) / m  # what rounding left of the mean
        var = ((centered * centered).sum(axes) / m - rest * rest).clamp(min=0)
        scale = (var + eps).rsqrt_()
        if weight is not None:
            scale = scale * weight
        shift = -rest * scale if bias is None else bias - rest * scale
        y = (centered * _spread(scale, x)).add_(_spread(shift, x))
        return answer(y, x), mean + rest, var

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        x, weight, _, ctx.eps = inputs
        ctx.save_for_backward(x, weight, *outputs[1:])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, dy, dmean, dvar):
        x, weight, mean, var = ctx.saved_tensors
        needs = ctx.needs_input_grad
        if dmean is None and dvar is None and dy is not None and direct(dy, *ctx.saved_tensors):
            found = _backward(dy, x, weight, mean, var, ctx.eps)
            return *(g if need else None for g, need in zip(found, needs, strict=False)), None
        axes, m = _axes(x), x.numel() // x.shape[1]
        centered = x - _spread(mean, x)
        dx = dweight = dbias = None
        if dy is not None:
            inv_std = (var + ctx.eps).rsqrt()
            dbias = dy.sum(axes)
            dweight = (dy * centered).sum(axes) * inv_std
            # x reaches its own output, the batch's mean and the batch's variance: three terms
            slope = _spread(inv_std * dweight / m, x)
            scale = inv_std if weight is None else inv_std * weight
            dx = (dy - _spread(dbias / m, x) - centered * slope) * _spread(scale, x)
        if dvar is not None:
            more = centered * _spread(2 * dvar / m, x)
            dx = more if dx is None else dx + more
        if dmean is not None:
            more = _spread(dmean / m, x).expand_as(x)
            dx = more if dx is None else dx + more
        return dx, dweight if needs[1] else None, dbias if needs[2] else None, None


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """See :class:`BatchNorm2d`. In training, moves the running statistics in place."""
    _check(input, training, eps, running_mean, running_var, weight, bias)
    width = wide_type(input.dtype)  # sums of many small numbers
    x = _dense(input).to(width)
    weight, bias = (t if t is None else t.to(width) for t in (weight, bias))
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("evaluation needs running_mean and running_var, got None")
        mean, var = running_mean.to(width), running_var.to(width)
        return _evaluate(x, mean, var, weight, bias, eps).to(input.dtype)
    if not x.numel():  # no statistics: nothing to normalize by, and nothing to remember
        zero = x.new_zeros(x.shape[1])
        return _evaluate(x, zero, zero, weight, bias, 1.0).to(input.dtype)
    y, mean, var = _BatchNorm.apply(x, weight, bias, eps)
    m = x.numel() // x.shape[1]
    with torch.no_grad():  # running_var is unbiased, m / (m - 1), unlike the one that divides
        if running_mean is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        if running_var is not None:
            running_var.lerp_((var * (m / (m - 1))).to(running_var.dtype), momentum)
    return y.to(input.dtype)


def _check(x: Tensor, training: bool, eps: float, *per_channel: Tensor | None) -> None:
    """Raises: RuntimeError for parameters that do not fit, ValueError for too few values."""
    names = ("running_mean", "running_var", "weight", "bias")
    for name, t in zip(names, per_channel, strict=True):
        if t is not None and len(t) != x.shape[1]:
            raise RuntimeError(f"{name} has {len(t)} channels, but the input is {tuple(x.shape)}")
    check_types(x, *per_channel)
    if eps < 0 or (training and eps == 0):
        raise ValueError(f"eps must be positive in training, and not negative ever, got {eps}")
    if training and x.shape[0] * prod(x.shape[2:]) == 1:
        raise ValueError(
            f"expected more than 1 value per channel when training, got input size {tuple(x.shape)}"
        )


def _dense(x: Tensor) -> Tensor:
    """The input in one of the two orders of memory that torch gives its output."""
    channels_last = x.dim() > 3 and x.stride(1) == 1
    return x if channels_last else x.contiguous()


def _evaluate(
    x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """Normalize by statistics that are given."""
    scale = (var + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    y = (x - _spread(mean, x)) * _spread(scale, x)
    return y if bias is None else y + _spread(bias, x)


class _BatchNormNd(Module):
    """What batch normalization of every rank shares: parameters, running statistics, the choice."""

    _version = 2  # of the state: the second one counts the batches
    ranks: tuple[int, ...]
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ):
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        one, zero = (f(num_features, device=device, dtype=dtype) for f in (torch.ones, torch.zeros))
        self.register_parameter("weight", Parameter(one) if affine else None)
        self.register_parameter("bias", Parameter(zero) if affine and bias else None)
        keep = track_running_stats
        count = torch.tensor(0, dtype=torch.long, device=device)
        self.register_buffer("running_mean", zero.clone() if keep else None)
        self.register_buffer("running_var", one.clone() if keep else None)
        self.register_buffer("num_batches_tracked", count if keep else None)

    def reset_running_stats(self) -> None:
        """Forget every batch seen."""
        first = dict(running_mean=0, running_var=1, num_batches_tracked=0)
        for name, buffer in self.named_buffers(recurse=False):
            buffer.fill_(first[name])

    def reset_parameters(self) -> None:
        """Scale by 1, shift by 0, and forget every batch seen."""
        self.reset_running_stats()
        with torch.no_grad():
            if self.weight is not None:
                self.weight.fill_(1)
            if self.bias is not None:
                self.bias.zero_()

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *args) -> None:
        """Load a state of the first version too, which has not counted its batches."""
        key, count = f"{prefix}num_batches_tracked", self.num_batches_tracked
        if (local_metadata.get("version") or 1) < 2 and count is not None and key not in state_dict:
            state_dict[key] = torch.tensor(0) if count.is_meta else count
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def _check_input_dim(self, input: Tensor) -> None:
        """Raises: ValueError for an input of another rank."""
        if input.dim() not in self.ranks:
            expected = " or ".join(f"{rank}D" for rank in self.ranks)
            raise ValueError(f"expected {expected} input (got {input.dim()}D input)")

    def _function(self) -> Callable[..., Tensor]:
        """What computes the output from the input and everything that this layer keeps."""
        return batch_norm

    def forward(self, input: Tensor) -> Tensor:
        self._check_input_dim(input)
        track = self.training and self.track_running_stats
        momentum = self.momentum
        if track and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:  # the plain mean of all batches so far
                momentum = 1 / self.num_batches_tracked.item()
        return self._function()(
            input,
            self.running_mean if track or not self.training else None,
            self.running_var if track or not self.training else None,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            0.0 if momentum is None else momentum,
            self.eps,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNormNd):
    """:class:`BatchNorm2d` for rows of features, or for channels along one axis.

    Shape: ``(N, C)`` or ``(N, C, L)`` to the same; statistics over N and L.
    Raises: ValueError for an input of another rank, or with one value per channel in training.
    Source: notes 6.4.
    """

    ranks = (2, 3)


class BatchNorm2d(_BatchNormNd):
    r"""Give every channel zero mean and unit variance over the batch, then scale and shift it.

    .. math::
        \hat x = \frac{x - \mu_B}{\sqrt{\sigma_B^2 + \varepsilon}}, \quad
        y = \gamma \hat x + \beta, \qquad
        \mathrm{d}x = \frac{\gamma}{\sqrt{\sigma_B^2 + \varepsilon}}
        (\mathrm{d}y - \overline{\mathrm{d}y} - \hat x\, \overline{\mathrm{d}y\, \hat x})

    In evaluation the running averages take the place of the batch's statistics.

    Args:
        num_features: C, channels.
        eps: added to the variance.
        momentum: weight of the newest batch in the running averages; None: all batches alike.
        affine: learn gamma (``weight``, from 1) and beta (``bias``, from 0).
        track_running_stats: keep running averages; without them evaluation uses the batch too.
        device: where parameters and buffers live.
        dtype: their type.
        bias: learn beta.

    Shape: ``(N, C, H, W)`` to the same; statistics over N, H and W.
    Raises: ValueError for an input of another rank, or with one value per channel in training;
        RuntimeError for another number of channels.
    Source: notes 6.4, which omit gamma and beta from the formula, say nothing of evaluation, and
        promise a range of [0, 1] that no normalization gives. The running averages are torch's: a
        momentum that weighs the *new* batch, and an unbiased variance; the book's are the other
        way round on both counts.
    """

    ranks = (4,)


class BatchNorm3d(_BatchNormNd):
    """:class:`BatchNorm2d` for volumes.

    Shape: ``(N, C, D, H, W)`` to the same; statistics over N, D, H and W.
    Raises: ValueError for an input of another rank, or with one value per channel in training;
        RuntimeError for another number of channels.
    Source: notes 6.4.
    """

    ranks = (5,)
