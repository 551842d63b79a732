"""Loss functions (notes 4.2)."""

import warnings

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import Module
from torch.nn import _reduction as legacy

from .activation import log_softmax


def _reduce(
    loss: Tensor,
    reduction: str,
    size_average: bool | None = None,
    reduce: bool | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    """All losses, their sum, or their mean, weighted by ``weight`` (what each one counts).

    ``size_average`` and ``reduce`` are the names that torch gave up in 2018 and still accepts.
    """
    if size_average is not None or reduce is not None:
        reduction = legacy.legacy_get_string(size_average, reduce)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return loss.sum()
    if reduction == "mean":
        return loss.mean() if weight is None else loss.sum() / weight.sum()
    raise ValueError(f"{reduction} is not a valid value for reduction (none, mean, sum)")


class _Loss(Module):
    """What every loss keeps: the way from one loss per element to one number."""

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ):
        super().__init__()
        if size_average is not None or reduce is not None:
            reduction = legacy.legacy_get_string(size_average, reduce)
        self.reduction = reduction


class _ClassLoss(_Loss):
    """A loss over classes: each may weigh its own, and one label may mean "do not count"."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ):
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index


class _SquaredError(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, t):
        d = x - t
        return d.mul_(d)

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        x, t = ctx.saved_tensors
        dx = 2 * dy * (x - t)
        return dx, -dx if ctx.needs_input_grad[1] else None


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """See :class:`MSELoss`; ``weight`` says how much each element counts."""
    if input.shape != target.shape:
        message = f"target is {tuple(target.shape)}, input {tuple(input.shape)}: they broadcast"
        warnings.warn(message, stacklevel=2)
    if input.dtype != target.dtype:
        kind = torch.promote_types(input.dtype, target.dtype)
        input, target = input.to(kind), target.to(kind)
    loss = _SquaredError.apply(*torch.broadcast_tensors(input, target))
    if weight is None:
        return _reduce(loss, reduction, size_average, reduce)
    if weight.shape != input.shape:
        raise ValueError(f"weight must have the shape of input, got {tuple(weight.shape)}")
    return _reduce(loss * weight, reduction, size_average, reduce, weight)


class MSELoss(_Loss):
    r"""Mean squared error, the loss of regression.

    .. math:: L = \frac{1}{n} \sum_i (x_i - t_i)^2, \qquad
              \frac{\partial L}{\partial x_i} = \frac{2}{n} (x_i - t_i)

    Args:
        size_average: deprecated by torch, see ``reduction``.
        reduce: deprecated by torch, see ``reduction``.
        reduction: ``mean``, ``sum`` or ``none`` (one loss per element).

    Shape: ``(*)`` and a target of the same shape to ``()``.
    Source: notes 4.2 (no formula). The book's own is half the *sum* over one sample, not the mean.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return mse_loss(input, target, reduction=self.reduction)


def _class_axis(input: Tensor, target: Tensor) -> int:
    """The axis of the classes: 1, or 0 for a sample without its batch.

    Raises: ValueError where no target of this shape belongs to the input.
    """
    axis = 0 if input.dim() == 1 else 1
    expected = input.shape[:axis] + input.shape[axis + 1 :]
    if input.dim() == 0 or target.shape != expected:
        raise ValueError(
            f"expected target of size {tuple(expected)} for input of size {tuple(input.shape)}, "
            f"got {tuple(target.shape)}"
        )
    return axis


def _counts(
    target: Tensor, classes: int, weight: Tensor | None, ignore_index: int, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Labels that are safe to index with, and how much each one counts.

    Raises: IndexError for a label outside [0, classes); TypeError unless labels are integers.
    """
    if target.dtype not in (torch.int64, torch.uint8):
        raise RuntimeError(f"expected class indices as int64 or uint8, got {target.dtype}")
    counted = target != ignore_index
    safe = torch.where(counted, target, 0).long()
    if weight is None:
        return safe, counted.to(like.dtype)
    return safe, _pick(weight, safe) * counted


def _pick(weight: Tensor, target: Tensor) -> Tensor:
    """The weight of every label's class."""
    try:
        return weight.index_select(0, target.flatten()).view(target.shape)
    except (IndexError, RuntimeError) as error:
        raise _out_of_bounds(target, len(weight)) from error


def _out_of_bounds(target: Tensor, classes: int) -> IndexError:
    label = next(iter(target[(target < 0) | (target >= classes)].tolist()), None)
    return IndexError(f"target {label} is out of bounds for {classes} classes")


class _NegativeLogLikelihood(Function):
    """Minus the log-probability of the right class, times what the sample counts."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, t, count, axis):
        try:
            return -count * x.gather(axis, t.unsqueeze(axis)).squeeze(axis)
        except RuntimeError as error:
            raise _out_of_bounds(t, x.shape[axis]) from error

    @staticmethod
    def setup_context(ctx, inputs, y):
        x, t, count, ctx.axis = inputs
        ctx.shape = x.shape
        ctx.save_for_backward(t, count)

    @staticmethod
    def backward(ctx, dy):
        t, count = ctx.saved_tensors
        dy = (-count * dy).unsqueeze(ctx.axis)
        dx = dy.new_zeros(ctx.shape).scatter(ctx.axis, t.unsqueeze(ctx.axis), dy)
        return dx, None, None, None


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """See :class:`NLLLoss`."""
    axis = _class_axis(input, target)
    t, count = _counts(target, input.shape[axis], weight, ignore_index, input)
    loss = _NegativeLogLikelihood.apply(input, t, count, axis)
    return _reduce(loss, reduction, size_average, reduce, count)


class NLLLoss(_ClassLoss):
    r"""Negative log-likelihood: minus the log-probability that the network gave the right class.

    .. math:: L = -\frac{\sum_n w_{t_n}\, x_{n, t_n}}{\sum_n w_{t_n}}, \qquad
        \frac{\partial L}{\partial x_{nk}} = -\frac{w_k\, [k = t_n]}{\sum_n w_{t_n}}

    Args:
        weight: what each class counts, ``(C,)``; 1 by default.
        size_average: deprecated by torch, see ``reduction``.
        ignore_index: a label that does not count.
        reduce: deprecated by torch, see ``reduction``.
        reduction: ``mean`` (weighted), ``sum`` or ``none`` (one loss per sample).

    Shape: log-probabilities ``(N, C, *)`` or ``(C,)`` and labels ``(N, *)`` or ``()`` to ``()``.
    Raises: ValueError if the shapes do not fit; IndexError for a label outside [0, C).
    Source: notes 4.2; the book's ``cross_entropy_error`` of probabilities, without its 1e-7.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return nll_loss(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )


class _CrossEntropy(Function):
    """Softmax and negative log-likelihood in one: together their derivative is y - t.

    The log-probabilities are a second output: the backward needs them, and so has to say how they
    themselves change with x when it is differentiated in turn.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x, t, count, axis):
        log_y = x - x.amax(axis, keepdim=True)
        log_y -= log_y.exp().sum(axis, keepdim=True).log_()
        try:
            return -count * log_y.gather(axis, t.unsqueeze(axis)).squeeze(axis), log_y
        except RuntimeError as error:
            raise _out_of_bounds(t, x.shape[axis]) from error

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        _, t, count, ctx.axis = inputs
        ctx.save_for_backward(t, count, outputs[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, dloss, dlog_y):
        t, count, log_y = ctx.saved_tensors
        y, dx = log_y.exp(), None
        if dloss is not None:
            d = (count * dloss).unsqueeze(ctx.axis)
            dx = (y * d).scatter_add(ctx.axis, t.unsqueeze(ctx.axis), -d)
        if dlog_y is not None:
            dsmooth = dlog_y - y * dlog_y.sum(ctx.axis, keepdim=True)
            dx = dsmooth if dx is None else dx + dsmooth
        return dx, None, None, None


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """See :class:`CrossEntropyLoss`."""
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0, got {label_smoothing}")
    if target.is_floating_point():
        loss, count = _soft_cross_entropy(input, target, weight, label_smoothing), None
        if reduction == "mean":  # over the samples, whatever their weights: so does torch
            count = torch.ones_like(loss)
        return _reduce(loss, reduction, size_average, reduce, count)
    axis = _class_axis(input, target)
    t, count = _counts(target, input.shape[axis], weight, ignore_index, input)
    loss, log_y = _CrossEntropy.apply(input, t, count, axis)
    if label_smoothing:
        per_class = log_y if weight is None else log_y * _along(weight, axis, log_y)
        spread = -per_class.sum(axis) * (target != ignore_index) / input.shape[axis]
        loss = (1 - label_smoothing) * loss + label_smoothing * spread
    return _reduce(loss, reduction, size_average, reduce, count)


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, label_smoothing: float
) -> Tensor:
    """The loss of every sample whose label is a distribution over the classes."""
    if target.shape != input.shape:
        raise ValueError(
            f"expected probabilities of size {tuple(input.shape)}, got {tuple(target.shape)}"
        )
    axis = 0 if input.dim() == 1 else 1
    q = (1 - label_smoothing) * target + label_smoothing / input.shape[axis]
    if weight is not None:
        q = q * _along(weight, axis, q)
    return -(q * log_softmax(input, axis)).sum(axis)


def _along(weight: Tensor, axis: int, x: Tensor) -> Tensor:
    """One weight per class, shaped to multiply ``x``."""
    return weight.view(-1, *[1] * (x.dim() - axis - 1))


class CrossEntropyLoss(_ClassLoss):
    r"""Softmax and negative log-likelihood in one: the loss of classification.

    .. math:: L = -\frac{\sum_n w_{t_n} \log y_{n, t_n}}{\sum_n w_{t_n}},
        \quad y = \text{softmax}(x), \qquad
        \frac{\partial L}{\partial x_{nk}} =
        \frac{w_{t_n} (y_{nk} - [k = t_n])}{\sum_n w_{t_n}}

    The derivative is the answer minus the truth: it does not fade where the softmax saturates,
    which is why classification is trained on it and not on the squared error.

    Args:
        weight: what each class counts, ``(C,)``; 1 by default.
        size_average: deprecated by torch, see ``reduction``.
        ignore_index: a label that does not count.
        reduce: deprecated by torch, see ``reduction``.
        reduction: ``mean`` (weighted), ``sum`` or ``none`` (one loss per sample).
        label_smoothing: share of the truth that is spread evenly over all C classes.

    Shape: scores ``(N, C, *)`` or ``(C,)`` and labels ``(N, *)`` or ``()``, or probabilities shaped
        like the scores, to ``()``.
    Raises: ValueError if the shapes do not fit; IndexError for a label outside [0, C);
        RuntimeError for a smoothing outside [0, 1].
    Source: notes 4.2 (no formula; "why cross-entropy" is asked there and not answered).
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):
        super().__init__(weight, size_average, ignore_index, reduce, reduction)
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )
