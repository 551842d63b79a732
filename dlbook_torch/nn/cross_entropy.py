"""Losses over classes (notes 4.2)."""

import torch
from torch import Tensor

from ._fast import Function, direct, exp
from ._precision import wide, widen
from .activation import log_softmax
from .loss import _common_type, _reduce, _unlearned, _WeightedLoss


class _ClassLoss(_WeightedLoss):
    """A loss over classes: each may weigh its own, and one label may mean "do not count"."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ):
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index


def _labels(input: Tensor, target: Tensor) -> tuple[int, Tensor]:
    """The axis of the classes (1, or 0 for a sample without its batch) and one label per sample.

    Raises: ValueError for another number of labels than samples; RuntimeError for as many in
        another shape, and unless they are integers.
    """
    axis = 0 if input.dim() == 1 else 1
    expected = input.shape[:axis] + input.shape[axis + 1 :]
    if axis == 0 and target.shape == (1,):
        target = target.squeeze(0)
    if input.dim() == 0 or target.shape != expected:
        kind = RuntimeError if input.dim() and target.shape[:1] == expected[:1] else ValueError
        raise kind(
            f"expected target of size {tuple(expected)} for input of size {tuple(input.shape)}, "
            f"got {tuple(target.shape)}"
        )
    if target.dtype not in (torch.int64, torch.uint8):
        raise RuntimeError(f"expected class indices as int64 or uint8, got {target.dtype}")
    return axis, target.long()


def _check_weight(weight: Tensor | None, classes: int) -> None:
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(
            f"expected one weight for each of {classes} classes, got {tuple(weight.shape)}"
        )


def _counts(
    x: Tensor, t: Tensor, weight: Tensor | None, ignore_index: int, axis: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Labels that are safe to index with, which to ignore, and how much each one counts.

    Raises: IndexError for a label outside [0, C).
    """
    _check_weight(weight, x.shape[axis])
    ignored = t == ignore_index
    t = t.masked_fill(ignored, 0)
    if weight is None:
        return t, ignored, (~ignored).to(x.dtype)
    if weight.dtype != x.dtype:
        raise RuntimeError(f"expected weight of {x.dtype} as the input, got {weight.dtype}")
    _unlearned(weight=weight)
    return t, ignored, _pick(weight, t).masked_fill(ignored, 0)


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
    def forward(x, t, ignored, count, axis):
        try:
            picked = x.gather(axis, t.unsqueeze(axis)).squeeze(axis)
            return (-count * picked).masked_fill(ignored, 0)  # not 0 * inf
        except RuntimeError as error:
            raise _out_of_bounds(t, x.shape[axis]) from error

    @staticmethod
    def setup_context(ctx, inputs, y):
        x, t, ignored, count, ctx.axis = inputs
        ctx.shape = x.shape
        ctx.save_for_backward(t, ignored, count)

    @staticmethod
    def backward(ctx, dy):
        t, ignored, count = ctx.saved_tensors
        dy = (-count * dy).masked_fill(ignored, 0).unsqueeze(ctx.axis)
        dx = dy.new_zeros(ctx.shape).scatter(ctx.axis, t.unsqueeze(ctx.axis), dy)
        return dx, None, None, None, None


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
    input, weight = widen(input, weight)
    axis, t = _labels(input, target)
    t, ignored, count = _counts(input, t, weight, ignore_index, axis)
    x, count = wide(input), wide(count)
    loss = _NegativeLogLikelihood.apply(x, t, ignored, count, axis)
    return _reduce(loss, reduction, size_average, reduce, count).to(input.dtype)


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
    Raises: ValueError for another number of labels than samples; IndexError for a label outside
        [0, C); RuntimeError for labels that are not integers or have another shape, and for
        weights of another number or type.
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
    def forward(x, t, ignored, count, axis):
        log_y = x - x.amax(axis, keepdim=True)
        log_y -= exp(log_y).sum(axis, keepdim=True).log_()
        try:
            picked = log_y.gather(axis, t.unsqueeze(axis)).squeeze(axis)
            return (-count * picked).masked_fill(ignored, 0), log_y
        except RuntimeError as error:
            raise _out_of_bounds(t, x.shape[axis]) from error

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        _, t, ignored, count, ctx.axis = inputs
        ctx.save_for_backward(t, ignored, count, outputs[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, dloss, dlog_y):
        t, ignored, count, log_y = ctx.saved_tensors
        if dlog_y is None and dloss is not None and direct(log_y, dloss, count):
            d = (count * dloss).masked_fill(ignored, 0).unsqueeze(ctx.axis)
            y = exp(log_y).mul_(d)
            return y.scatter_add_(ctx.axis, t.unsqueeze(ctx.axis), -d), None, None, None, None
        y, dx = log_y.exp(), None
        if dloss is not None:
            d = (count * dloss).masked_fill(ignored, 0).unsqueeze(ctx.axis)
            dx = (y * d).scatter_add(ctx.axis, t.unsqueeze(ctx.axis), -d)
        if dlog_y is not None:
            dsmooth = dlog_y - y * dlog_y.sum(ctx.axis, keepdim=True)
            dx = dsmooth if dx is None else dx + dsmooth
        return dx, None, None, None, None


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
    if label_smoothing > 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0, got {label_smoothing}")
    smoothing = max(label_smoothing, 0.0)
    input, weight = widen(input, weight)
    if target.shape == input.shape:
        kind = _common_type(input, target, weight)
        loss = _soft_cross_entropy(input, target, weight, ignore_index, smoothing)
        return _reduce(loss, reduction, size_average, reduce).to(kind)
    axis, t = _labels(input, target)
    t, ignored, count = _counts(input, t, weight, ignore_index, axis)
    x, count = wide(input), wide(count)
    loss, log_y = _CrossEntropy.apply(x, t, ignored, count, axis)
    if smoothing:
        per_class = log_y if weight is None else log_y * _along(wide(weight), axis, log_y)
        spread = -per_class.sum(axis).masked_fill(ignored, 0) / x.shape[axis]
        loss = (1 - smoothing) * loss + smoothing * spread
    return _reduce(loss, reduction, size_average, reduce, count).to(input.dtype)


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, smoothing: float
) -> Tensor:
    """The loss of every sample whose label is a distribution over the classes."""
    if not target.is_floating_point():
        raise RuntimeError(f"expected probabilities, in the shape of input, got {target.dtype}")
    if ignore_index >= 0:
        raise RuntimeError(f"a distribution cannot be ignored, got ignore_index={ignore_index}")
    axis = 0 if input.dim() == 1 else 1
    _check_weight(weight, input.shape[axis])
    q = (1 - smoothing) * wide(target) + smoothing / input.shape[axis]
    if weight is not None:
        q = q * _along(wide(weight), axis, q)
    return -(q * log_softmax(wide(input), axis)).sum(axis)


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
        label_smoothing: share of the truth that is spread evenly over all C classes; below 0 it
            counts as 0, as in torch.

    Shape: scores ``(N, C, *)`` or ``(C,)`` and labels ``(N, *)`` or ``()``, or probabilities shaped
        like the scores, to ``()``.
    Raises: what :class:`NLLLoss` raises; RuntimeError for a smoothing above 1, for an
        ``ignore_index`` of 0 or more beside probabilities.
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
