"""Many tensors under one name: a rule written as its formula moves a whole group at once."""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

List: TypeAlias = list[Tensor] | tuple[Tensor, ...]
Scalar: TypeAlias = "float | Tensor | Tensors"

HALF = (torch.float16, torch.bfloat16)


class Tensors:
    """Tensors that one line of a rule computes with, each with its namesake of the other side.

    An operation is one ``torch._foreach_*`` call over the whole list, whatever its length. The
    other side may be as many tensors, a number, or a tensor of one element; the names are those of
    :class:`torch.Tensor`, with ``_`` where the memory is written to. A factor that is a tensor is
    never read as a number: that would cut a recorded graph, wait for the device, or compile the
    value in.
    """

    __slots__ = ("tensors",)

    def __init__(self, tensors: List):
        self.tensors = tensors

    def __add__(self, other: Scalar) -> "Tensors":
        return Tensors(torch._foreach_add(self.tensors, _plain(other)))

    def __sub__(self, other: Scalar) -> "Tensors":
        if isinstance(other, Tensor):
            return self + -other
        return Tensors(torch._foreach_sub(self.tensors, _plain(other)))

    def __mul__(self, other: Scalar) -> "Tensors":
        return Tensors(torch._foreach_mul(self.tensors, _plain(other)))

    def __truediv__(self, other: Scalar) -> "Tensors":
        return Tensors(torch._foreach_div(self.tensors, _plain(other)))

    def __neg__(self) -> "Tensors":
        return Tensors(torch._foreach_neg(self.tensors))

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: float | Tensor) -> "Tensors":
        return -self + other

    def __rtruediv__(self, other: float | Tensor) -> "Tensors":
        return Tensors(torch._foreach_reciprocal(self.tensors)).mul_(other)

    def __pow__(self, exponent: float) -> "Tensors":
        return Tensors(torch._foreach_pow(self.tensors, exponent))

    def __rpow__(self, base: float | Tensor) -> "Tensors":
        if isinstance(base, Tensor):
            return self.each(base.pow)
        return Tensors(torch._foreach_pow(base, self.tensors))

    def abs(self) -> "Tensors":
        return Tensors(torch._foreach_abs(self.tensors))

    def sign(self) -> "Tensors":
        return Tensors(torch._foreach_sign(self.tensors))

    def sqrt(self) -> "Tensors":
        root = Tensors(torch._foreach_sqrt(self.tensors))
        # The derivative of a root is made of the root: the copy may be written to.
        return root.clone() if torch.is_grad_enabled() else root

    def clone(self) -> "Tensors":
        return self.each(torch.clone)

    def detach(self) -> "Tensors":
        return self.each(torch.detach)

    def each(self, f: Callable[..., Tensor], *others: "Tensors") -> "Tensors":
        """One by one, what has no form for lists."""
        lists = (t.tensors for t in (self, *others))
        return Tensors([f(*ts) for ts in zip(*lists, strict=True)])

    def copy_(self, other: "Tensors") -> "Tensors":
        torch._foreach_copy_(self.tensors, other.tensors)
        return self

    def fill_(self, value: "float | Tensors") -> "Tensors":
        if isinstance(value, Tensors):
            return self.copy_(value)
        for t in self.tensors:
            t.fill_(value)
        return self

    def add(self, other: "Tensors", alpha: float | Tensor = 1) -> "Tensors":
        if isinstance(alpha, Tensor):
            return self + other * alpha
        return Tensors(torch._foreach_add(self.tensors, other.tensors, alpha=alpha))

    def add_(self, other: Scalar, alpha: Scalar = 1) -> "Tensors":
        if not isinstance(other, Tensors):
            torch._foreach_add_(self.tensors, other)
        elif isinstance(alpha, float | int):
            torch._foreach_add_(self.tensors, other.tensors, alpha=alpha)
        else:
            torch._foreach_add_(self.tensors, (other * alpha).tensors)
        return self

    def mul_(self, other: Scalar) -> "Tensors":
        if torch.is_grad_enabled():
            return self.copy_(self.clone() * other)  # a live factor's derivative needs the old self
        if isinstance(other, float) and self.tensors[0].dtype in HALF and self.tensors[0].is_cpu:
            # As a number it would be rounded to the tensors' type, in bfloat16 from 0.999 to 1.
            other = torch.tensor(other)
        torch._foreach_mul_(self.tensors, _plain(other))
        return self

    def div_(self, other: Scalar) -> "Tensors":
        torch._foreach_div_(self.tensors, _plain(other))
        return self

    def lerp_(self, end: "Tensors", weight: float | Tensor) -> "Tensors":
        if isinstance(weight, Tensor):
            return self.add_(end - self, weight)
        torch._foreach_lerp_(self.tensors, end.tensors, weight)
        return self

    def addcmul_(self, x: "Tensors", y: "Tensors", value: Scalar = 1) -> "Tensors":
        if not isinstance(value, float | int):
            return self.add_(x * y, value)
        torch._foreach_addcmul_(self.tensors, x.tensors, y.tensors, value=value)
        return self

    def addcdiv_(self, x: "Tensors", y: "Tensors", value: Scalar = 1) -> "Tensors":
        if not isinstance(value, float | int):
            return self.add_(x / y, value)
        torch._foreach_addcdiv_(self.tensors, x.tensors, y.tensors, value=value)
        return self

    def maximum_(self, other: "Tensors") -> "Tensors":
        torch._foreach_maximum_(self.tensors, other.tensors)
        return self

    def clamp_(self, low: float, high: float) -> "Tensors":
        torch._foreach_clamp_min_(self.tensors, low)
        torch._foreach_clamp_max_(self.tensors, high)
        return self


def _plain(other: Scalar) -> Any:
    """What a ``torch._foreach_*`` call takes for it."""
    return other.tensors if isinstance(other, Tensors) else other
