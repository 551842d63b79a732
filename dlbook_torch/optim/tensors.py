"""Many tensors under one name: a rule written as its formula moves a whole group at once."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Scalar: TypeAlias = "float | Tensors"

HALF = (torch.float16, torch.bfloat16)
# So many elements go through a formula at once on a CPU. What it makes of them on the way then lies
# in memory that was just used; for a tensor of megabytes the system is asked for new pages, and to
# get them costs as much as to compute.
LOAD = 2**18


class Tensors:
    """Tensors that one line of a rule computes with, each with its namesake of the other side.

    An operation is one ``torch._foreach_*`` call over the whole list, whatever its length. The
    other side is a number or as many tensors, and the names are those of :class:`torch.Tensor`,
    with ``_`` where the memory is written to. A number that must stay a tensor, since its gradient
    is asked for or a step is compiled or captured, comes as as many tensors of one element.
    """

    __slots__ = ("tensors",)

    def __init__(self, tensors: list[Tensor] | tuple[Tensor, ...]):
        self.tensors = tensors

    @property
    def is_sparse(self) -> bool:
        return self.tensors[0].is_sparse

    def __add__(self, other: Scalar) -> "Tensors":
        return Tensors(torch._foreach_add(_plain(self), _plain(other)))

    def __sub__(self, other: Scalar) -> "Tensors":
        return Tensors(torch._foreach_sub(_plain(self), _plain(other)))

    def __mul__(self, other: Scalar) -> "Tensors":
        return Tensors(torch._foreach_mul(_plain(self), _plain(other)))

    def __truediv__(self, other: Scalar) -> "Tensors":
        return Tensors(torch._foreach_div(_plain(self), _plain(other)))

    def __pow__(self, other: Scalar) -> "Tensors":
        return Tensors(torch._foreach_pow(_plain(self), _plain(other)))

    def __neg__(self) -> "Tensors":
        return Tensors(torch._foreach_neg(_plain(self)))

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: float) -> "Tensors":
        return -self + other

    def __rtruediv__(self, other: float) -> "Tensors":
        return Tensors(torch._foreach_reciprocal(_plain(self))) * other

    def __rpow__(self, other: float) -> "Tensors":
        return Tensors(torch._foreach_pow(other, _plain(self)))

    def abs(self) -> "Tensors":
        return Tensors(torch._foreach_abs(_plain(self)))

    def sign(self) -> "Tensors":
        return Tensors(torch._foreach_sign(_plain(self)))

    def sqrt(self) -> "Tensors":
        root = Tensors(torch._foreach_sqrt(_plain(self)))
        # The derivative of a root is made of the root: a copy may be written to.
        return root.clone() if torch.is_grad_enabled() else root

    def add(self, other: "Tensors", alpha: Scalar) -> "Tensors":
        if isinstance(alpha, Tensors):
            return self + other * alpha
        return Tensors(torch._foreach_add(_plain(self), _plain(other), alpha=alpha))

    def clone(self) -> "Tensors":
        return self.each(torch.clone)

    def detach(self) -> "Tensors":
        return self.each(torch.detach)

    def each(self, f: Callable[..., Tensor], *others: Scalar) -> "Tensors":
        """One by one, what has no form for lists."""
        n = len(self.tensors)
        lists = (t.tensors if isinstance(t, Tensors) else [t] * n for t in (self, *others))
        return Tensors([f(*ts) for ts in zip(*lists, strict=True)])

    def copy_(self, other: "Tensors") -> "Tensors":
        if torch.is_grad_enabled():  # the call over the list has no derivative
            return self.each(torch.Tensor.copy_, other)
        torch._foreach_copy_(self.tensors, other.tensors)
        return self

    def fill_(self, value: Scalar) -> "Tensors":
        if isinstance(value, Tensors):
            return self.copy_(value)
        rounded = torch.tensor(value)  # to the default type, as torch keeps what it counts
        return self.each(lambda t: t.fill_(rounded))

    def add_(self, other: Scalar, alpha: Scalar = 1) -> "Tensors":
        if isinstance(alpha, Tensors):
            return self.add_(alpha * other)
        if isinstance(other, Tensors):
            torch._foreach_add_(self.tensors, _plain(other), alpha=alpha)
        else:
            torch._foreach_add_(self.tensors, other)
        return self

    def mul_(self, other: Scalar) -> "Tensors":
        if torch.is_grad_enabled():  # the derivative of a factor is made of what was there before
            return self.copy_(self * other)
        if isinstance(other, float) and self.tensors[0].dtype in HALF and self.tensors[0].is_cpu:
            # As a number it would be rounded to the tensors' type, in bfloat16 from 0.999 to 1.
            torch._foreach_mul_(self.tensors, torch.tensor(other))
        else:
            torch._foreach_mul_(self.tensors, _plain(other))
        return self

    def mul_add_(self, factor: Scalar, other: "Tensors", alpha: Scalar) -> "Tensors":
        """``self.mul_(factor).add_(other, alpha)``.

        Of float32 on a CPU, where ``alpha`` is 1, in one pass and with one rounding.
        """
        single = self.tensors[0].dtype == torch.float32 and self.tensors[0].is_cpu
        if not single or alpha != 1 or isinstance(factor, Tensors) or torch.is_grad_enabled():
            return self.mul_(factor).add_(other, alpha)
        for t, x in zip(self.tensors, other.tensors, strict=True):
            torch.add(x, t, alpha=factor, out=t)
        return self

    def div_(self, other: Scalar) -> "Tensors":
        torch._foreach_div_(self.tensors, _plain(other))
        return self

    def lerp_(self, end: "Tensors", weight: Scalar) -> "Tensors":
        if isinstance(weight, Tensors):
            return self.add_((end - self) * weight)
        torch._foreach_lerp_(self.tensors, _plain(end), weight)
        return self

    def addcmul_(self, x: "Tensors", y: "Tensors", value: Scalar = 1) -> "Tensors":
        if isinstance(value, Tensors):
            return self.add_(x * y * value)
        torch._foreach_addcmul_(self.tensors, _plain(x), _plain(y), value=value)
        return self

    def addcdiv_(self, x: "Tensors", y: "Tensors", value: Scalar = 1) -> "Tensors":
        if isinstance(value, Tensors):
            return self.add_(x / y * value)
        torch._foreach_addcdiv_(self.tensors, _plain(x), _plain(y), value=value)
        return self

    def maximum_(self, other: "Tensors") -> "Tensors":
        torch._foreach_maximum_(self.tensors, _plain(other))
        return self

    def clamp_(self, low: Scalar, high: Scalar) -> "Tensors":
        torch._foreach_clamp_min_(self.tensors, _plain(low))
        torch._foreach_clamp_max_(self.tensors, _plain(high))
        return self


def _plain(other: Scalar) -> Any:
    """What a ``torch._foreach_*`` call takes for it.

    Of a recorded step copies: autograd keeps the operands, and a later line may write to them.
    """
    if not isinstance(other, Tensors):
        return other
    return [t.clone() for t in other.tensors] if torch.is_grad_enabled() else other.tensors


def loads(params: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """As many parameters together as make about a load; a big one is alone."""
    load: list[Tensor] = []
    for p in params:
        if load and sum(q.numel() for q in load) + p.numel() > LOAD:
            yield load
            load = []
        load.append(p)
    yield load


def pieces(
    w: Tensors, g: Tensors, memory: dict[str, Tensors], counters: dict[str, Tensors]
) -> Iterator[tuple[Tensors, Tensors, dict[str, Tensors]]]:
    """A big parameter on a CPU in loads, with its gradient and its memory; all else as it is.

    The cut goes along the memory, and is not made where the tensors do not lie there in the same
    order. A load is a multiple of what a processor computes at once: a piece moves to the bits to
    which it moves within the whole. All pieces but the last count on copies of the counters.
    """
    size, total, lines = LOAD * torch.get_num_threads(), w.tensors[0].numel(), None
    if len(w.tensors) == 1 and total > size and w.tensors[0].is_cpu:
        lines = _lines([t.tensors[0] for t in (w, g, *memory.values())])
    if lines is None:
        yield w, g, counters | memory
        return
    sizes = [size] * (total // size) + [total % size] * (total % size > 0)
    for i, cut in enumerate(zip(*(t.split_with_sizes(sizes) for t in lines), strict=True), start=1):
        w, g, *states = (Tensors([t]) for t in cut)
        own = counters if i == len(sizes) else {k: v.clone() for k, v in counters.items()}
        yield w, g, own | dict(zip(memory, states, strict=True))


def _lines(tensors: Sequence[Tensor]) -> list[Tensor] | None:
    """Every tensor's elements in a row, as those of the first lie in memory; None if not all do."""
    first = tensors[0]
    if not all(t.is_contiguous() for t in tensors):
        order = sorted(range(first.dim()), key=first.stride, reverse=True)
        tensors = [t.permute(order) for t in tensors]
    return [t.view(-1) for t in tensors] if all(t.is_contiguous() for t in tensors) else None
