"""Many tensors under one name: a rule written as its formula moves a whole group at once."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

Scalar: TypeAlias = "float | Tensors"

HALF = (torch.float16, torch.bfloat16)
# So many elements go through a formula at once on a CPU. What it makes of them on the way then lies
# in memory that was just used; for a tensor of megabytes the system is asked for new pages, and to
# get them costs as much as to compute. Of a formula that makes nothing on the way twice as many.
LOAD = 2**18
FEW = 4  # loads that are not worth the effort


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
        return self.copy_(Tensors([rounded] * len(self.tensors)))

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


def heavy(params: Sequence[Tensor]) -> bool:
    """Whether these are on a CPU, and more than a few loads."""
    most = FEW * LOAD * torch.get_num_threads()
    return params[0].is_cpu and sum(w.numel() for w in params) > most


def loads(entries: Sequence[Tensors], made: bool) -> Iterator[list[Tensors]]:
    """Parameters, and what belongs to each, in loads: small ones together, big ones cut.

    A big one is cut along the memory, and is not where its tensors do not lie there in the same
    order. A load is a multiple of what a processor computes at once: a piece moves to the bits to
    which it moves within the whole.

    Args:
        entries: a parameter, its gradient and its memory, of all parameters.
        made: the formula makes tensors of that size on the way.
    """
    size = LOAD * torch.get_num_threads() * (1 if made else 2)
    few, total = list[Sequence[Tensor]](), 0
    for one in zip(*(entry.tensors for entry in entries), strict=True):
        n = one[0].numel()
        if n > size and (rows := _rows(one)):
            sizes = [size] * (n // size) + [n % size] * (n % size > 0)
            for cut in zip(*(row.split_with_sizes(sizes) for row in rows), strict=True):
                yield [Tensors([t]) for t in cut]
            continue
        if few and total + n > size:
            yield [Tensors(ts) for ts in zip(*few, strict=True)]
            few, total = [], 0
        few.append(one)
        total += n
    if few:
        yield [Tensors(ts) for ts in zip(*few, strict=True)]


def _rows(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Each one's elements in a row, as the first's lie in memory; none if they do not all so."""
    if not all(t.is_contiguous() for t in tensors):
        first = tensors[0]
        order = sorted(range(first.dim()), key=first.stride, reverse=True)
        tensors = [t.permute(order) for t in tensors]
    return [t.view(-1) for t in tensors] if all(t.is_contiguous() for t in tensors) else []
