"""Loss functions (notes 4.2). Those over classes are in :mod:`.cross_entropy`."""

import functools
import warnings

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn import _reduction as legacy

from ._fast import Function, direct, exp
from ._precision import HALF, answer, wide, widen


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
        if weight is None and loss.dtype in HALF:
            return loss.mean()  # the sum might overflow
        # else not so: its backward writes one number into every place of a new tensor
        return loss.sum() / (loss.numel() if weight is None else weight.sum())
    raise ValueError(f"{reduction} is not a valid value for reduction (none, mean, sum)")


def _common_type(*tensors: Tensor | None) -> torch.dtype:
    """The type that holds them all."""
    return functools.reduce(torch.promote_types, {t.dtype for t in tensors if t is not None})


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


class _WeightedLoss(_Loss):
    """A loss that may weigh its terms."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ):
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class _SquaredError(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, t):
        d = x - t
        return answer(d.mul_(d), x)

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        x, t = ctx.saved_tensors
        if direct(x, t, dy):
            dx = torch.sub(x, t).mul_(dy).mul_(2)
            return dx, -dx if ctx.needs_input_grad[1] else None
        dx = 2 * dy * (x - t)
        return dx, -dx if ctx.needs_input_grad[1] else None


def _distance(
    kind: type[Function],
    input: Tensor,
    target: Tensor,
    size_average: bool | None,
    reduce: bool | None,
    reduction: str,
    weight: Tensor | None,
) -> Tensor:
    """A loss of each element's distance from its target; the two broadcast, with a warning."""
    input, target, weight = widen(input, target, weight)
    if input.shape != target.shape:
        message = f"target is {tuple(target.shape)}, input {tuple(input.shape)}: they broadcast"
        warnings.warn(message, stacklevel=3)
    common = _common_type(input, target)
    loss = kind.apply(*torch.broadcast_tensors(input.to(common), target.to(common)))
    if weight is None:
        return _reduce(loss, reduction, size_average, reduce)
    if weight.shape != input.shape:
        raise ValueError(f"weight must have the shape of input, got {tuple(weight.shape)}")
    return _reduce(loss * weight, reduction, size_average, reduce, weight)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """See :class:`MSELoss`; ``weight`` says how much each element counts."""
    return _distance(_SquaredError, input, target, size_average, reduce, reduction, weight)


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


class _AbsoluteError(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, t):
        return (x - t).abs()

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        x, t = ctx.saved_tensors
        dx = dy * (x - t).sign()
        return dx, -dx if ctx.needs_input_grad[1] else None


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """See :class:`L1Loss`; ``weight`` says how much each element counts."""
    return _distance(_AbsoluteError, input, target, size_average, reduce, reduction, weight)


class L1Loss(_Loss):
    r"""Mean absolute error: regression that a few wild targets do not sway.

    .. math:: L = \frac{1}{n} \sum_i |x_i - t_i|, \qquad
              \frac{\partial L}{\partial x_i} = \frac{1}{n} \operatorname{sign}(x_i - t_i)

    Every target pulls alike, however far away, so the best constant is the median, not the mean.
    The derivative at 0, which does not exist, is taken to be 0.

    Args:
        size_average: deprecated by torch, see ``reduction``.
        reduce: deprecated by torch, see ``reduction``.
        reduction: ``mean``, ``sum`` or ``none`` (one loss per element).

    Shape: ``(*)`` and a target of the same shape to ``()``.
    Source: notes 4.2, beside the squared error.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return l1_loss(input, target, reduction=self.reduction)


def _check_probabilities(**tensors: Tensor) -> None:
    """Raises: RuntimeError for a number outside [0, 1]; nan is outside."""
    for name, p in tensors.items():
        inside = (p >= 0) & (p <= 1)
        if torch.compiler.is_compiling() or not p.is_cpu:  # no number to look at yet
            torch._assert_async(inside.all(), f"{name} has an element outside [0, 1]")
        elif not inside.all():
            value = p[~inside][0].item()
            raise RuntimeError(f"all elements of {name} should be between 0 and 1, got {value}")


class _BinaryCrossEntropy(Function):
    @staticmethod
    def forward(x, t):
        _check_probabilities(input=x, target=t)
        log_x, log_not_x = torch.log(x), torch.log1p(-x)
        return (t - 1) * log_not_x.clamp_(min=-100) - t * log_x.clamp_(min=-100)

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        x, t = ctx.saved_tensors
        dx = dy * (x - t) / (x * (1 - x)).clamp(min=1e-12)
        return dx, dy * (torch.log1p(-x) - torch.log(x)) if ctx.needs_input_grad[1] else None

    @staticmethod
    def vmap(info, in_dims, x, t):
        """Elementwise, so a batch of batches is one: and one that shows its values."""
        n = info.batch_size
        x, t = (
            a.expand(n, *a.shape) if dim is None else a.movedim(dim, 0)
            for a, dim in zip((x, t), in_dims, strict=True)
        )
        return _BinaryCrossEntropy.apply(x, t), 0


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """See :class:`BCELoss`."""
    if input.is_cuda and torch.is_autocast_enabled("cuda"):
        raise RuntimeError("binary_cross_entropy is unsafe under autocast, got probabilities")
    input, target, weight = widen(input, target, weight)
    _check_sizes(input, target)
    if input.dtype != target.dtype:
        raise RuntimeError(f"expected target of {input.dtype} as the input, got {target.dtype}")
    loss = _BinaryCrossEntropy.apply(wide(input), wide(target))
    return _reduce(_weigh(loss, weight), reduction, size_average, reduce).to(input.dtype)


def _check_sizes(input: Tensor, target: Tensor) -> None:
    """Raises: ValueError unless input and target have one shape: these losses do not broadcast."""
    if input.shape != target.shape:
        raise ValueError(f"target is {tuple(target.shape)}, input {tuple(input.shape)}")


def _unlearned(**tensors: Tensor | None) -> None:
    """Raises: RuntimeError for a weight that asks for a gradient: a loss has none for it."""
    for name, t in tensors.items():
        if t is not None and t.requires_grad and torch.is_grad_enabled():
            raise RuntimeError(
                f"a loss cannot be differentiated by its {name}, got requires_grad=True"
            )


def _weigh(loss: Tensor, weight: Tensor | None) -> Tensor:
    """The losses times what each counts.

    Raises: RuntimeError for a weight that does not broadcast to the losses' shape.
    """
    if weight is None:
        return loss
    _unlearned(weight=weight)
    pairs = zip(reversed(weight.shape), reversed(loss.shape), strict=False)
    if weight.dim() > loss.dim() or any(n not in (1, m) for n, m in pairs):
        raise RuntimeError(
            f"weight {tuple(weight.shape)} does not broadcast to {tuple(loss.shape)}"
        )
    return loss * weight.to(loss.dtype)


class BCELoss(_WeightedLoss):
    r"""Cross-entropy of yes or no: a probability against the truth, which may be one itself.

    .. math:: L = -\frac{1}{n} \sum_i w_i \bigl(t_i \log x_i + (1 - t_i) \log (1 - x_i)\bigr),
              \qquad \frac{\partial L}{\partial x_i} =
              \frac{w_i}{n} \frac{x_i - t_i}{x_i (1 - x_i)}

    A sure mistake would cost infinitely much: the logarithm stops at -100, and the denominator of
    the derivative at 1e-12. :class:`BCEWithLogitsLoss` has no need of either.

    Args:
        weight: what each element counts; it broadcasts to the input.
        size_average: deprecated by torch, see ``reduction``.
        reduce: deprecated by torch, see ``reduction``.
        reduction: ``mean``, ``sum`` or ``none`` (one loss per element).

    Shape: ``(*)`` in [0, 1] and a target of the same shape, in [0, 1] too, to ``()``.
    Raises: ValueError for a target of another shape; RuntimeError for a number outside [0, 1], a
        target of another type, or under autocast on a GPU.
    Source: notes 4.2, 3.4: sigmoid for two classes, and this is its loss.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class _BinaryCrossEntropyWithLogits(Function):
    """Sigmoid and binary cross-entropy in one: together their derivative is y - t.

    ``positive`` is what the positive half of each element's truth counts for, as a factor of
    log y: 1 + (w - 1) t. log y is a second output: the backward needs it, and so has to say how
    it changes with x when it is differentiated in turn.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x, t, positive):
        log_y = x.clamp(max=0).sub_(exp(x.abs(), -1).log1p_())
        return (1 - t) * x - (log_y if positive is None else positive * log_y), log_y

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        ctx.save_for_backward(*inputs, outputs[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, dloss, dlog_y):
        x, t, positive, log_y = ctx.saved_tensors
        y, dx, dt, dpositive = log_y.exp(), None, None, None
        if dloss is not None:
            dx = dloss * (y - t if positive is None else positive * (y - 1) + (1 - t))
            dt = -dloss * x if ctx.needs_input_grad[1] else None
            dpositive = -dloss * log_y if ctx.needs_input_grad[2] else None
        if dlog_y is not None:
            direct = dlog_y * (1 - y)
            dx = direct if dx is None else dx + direct
        return dx, dt, dpositive


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """See :class:`BCEWithLogitsLoss`."""
    input, target, weight, pos_weight = widen(input, target, weight, pos_weight)
    _check_sizes(input, target)
    if not (input.is_floating_point() and target.is_floating_point()):
        raise RuntimeError(f"expected two floats, got {input.dtype} and {target.dtype}")
    _unlearned(pos_weight=pos_weight)
    common = _common_type(input, target)
    x, t = wide(input.to(common)), wide(target.to(common))
    positive = None
    if pos_weight is not None:
        positive = _weigh(t, pos_weight.to(t.dtype) - 1) + 1
    loss, _ = _BinaryCrossEntropyWithLogits.apply(x, t, positive)
    return _reduce(_weigh(loss, weight), reduction, size_average, reduce).to(target.dtype)


class BCEWithLogitsLoss(_WeightedLoss):
    r"""Sigmoid and :class:`BCELoss` in one, which no score can overflow.

    .. math:: L = -\frac{1}{n} \sum_i w_i \bigl(p_i t_i \log y_i + (1 - t_i) \log (1 - y_i)\bigr),
              \quad y = \sigma(x), \qquad
              \frac{\partial L}{\partial x_i} = \frac{w_i}{n} (y_i - t_i) \text{ for } p_i = 1

    The derivative is the answer minus the truth, as that of
    :class:`~dlbook_torch.nn.CrossEntropyLoss`.

    Args:
        weight: what each element counts; it broadcasts to the input.
        size_average: deprecated by torch, see ``reduction``.
        reduce: deprecated by torch, see ``reduction``.
        reduction: ``mean``, ``sum`` or ``none`` (one loss per element).
        pos_weight: p, what a positive counts; above 1 for recall, below for precision.

    Shape: scores ``(*)`` and a target of the same shape, in [0, 1], to ``()``.
    Raises: ValueError for a target of another shape; RuntimeError for a weight that does not
        broadcast, or for integers.
    Source: notes 4.2, 3.4.
    """

    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ):
        super().__init__(weight, size_average, reduce, reduction)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(
            input,
            target,
            self.weight,
            pos_weight=self.pos_weight,
            reduction=self.reduction,
        )
