"""Derivatives that are claimed, beside slopes that are measured (notes 5)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import isfinite

import torch
from torch import Tensor

from .numerical import Scalar, moved, number, numerical_gradients

RIGHT, NOISE, KINK, WRONG = ORDER = "right", "in the noise", "kink", "WRONG"
HEADS = ("parameter", "shape", "difference", "relative", "at", "autograd", "measured", "verdict")
ROUNDINGS = 10  # how many roundings of the loss one evaluation may be off by


@dataclass(frozen=True)
class Row:
    """One parameter, seen at the element that is farthest from what was measured."""

    name: str
    shape: tuple[int, ...]
    at: tuple[int, ...]
    autograd: float
    measured: float
    left: float  # slope on one side of the element, and on the other
    right: float
    wrong: int  # elements
    verdict: str

    @property
    def difference(self) -> float:
        """Absolute, at the element."""
        return abs(self.autograd - self.measured)

    @property
    def relative(self) -> float:
        """The difference in units of the larger of both."""
        return self.difference / (max(abs(self.autograd), abs(self.measured)) or 1.0)

    @property
    def place(self) -> str:
        """Such as ``W1[0, 2]``."""
        return f"{self.name}{list(self.at) or ''}"

    @property
    def bends(self) -> bool:
        """Whether the slopes on the two sides of the element differ by more than 1 %."""
        return abs(self.right - self.left) > 0.01 * max(abs(self.left), abs(self.right))

    def cells(self) -> list[str]:
        """The row as text."""
        count = torch.Size(self.shape).numel()
        verdict = f"{WRONG}: {self.wrong} of {count}" if self.wrong else self.verdict
        sizes = f"{self.difference:.1e}", f"{self.relative:.1e}"
        values = f"{self.autograd:.8g}", f"{self.measured:.8g}"
        return [self.name, str(self.shape), *sizes, str(list(self.at)), *values, verdict]


@dataclass(frozen=True)
class GradientReport:
    """What :func:`check_gradients` found; ``str`` of it is a table, ``ok`` the short answer."""

    rows: tuple[Row, ...]
    h: float
    tolerance: float
    rounding: float
    dtypes: tuple[torch.dtype, ...]

    @property
    def ok(self) -> bool:
        """Whether no parameter is wrong."""
        return not any(row.wrong for row in self.rows)

    @property
    def worst(self) -> Row:
        """The parameter to look at first."""
        return max(self.rows, key=lambda row: (ORDER.index(row.verdict), row.relative))

    def __str__(self) -> str:
        table = [HEADS, *(row.cells() for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(map(str.ljust, cells, widths)).rstrip()  # columns under their heads
            for cells in table
        ]
        return "\n".join([*lines, "", *self._sentences()])

    def _sentences(self) -> list[str]:
        wrong = sum(row.verdict == WRONG for row in self.rows)
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in self.dtypes)
        said = [
            f"{wrong} of {len(self.rows)} parameters wrong (h = {self.h:g}, {names}, tolerance "
            f"{self.tolerance:g} of the slope, measured to {self.h**2 + self.rounding:.1e})."
        ]
        if wrong:
            said.append(
                f"Look at {self.worst.place}: autograd says {self.worst.autograd:.8g}, moving it "
                f"by {self.h:g} says {self.worst.measured:.8g}."
            )
            if self.worst.bends:
                said.append(
                    f"The loss bends there, with slopes {self.worst.left:.3g} and "
                    f"{self.worst.right:.3g}: check again a little way off, kinks can add up."
                )
        said += [
            f"{row.place} is at a kink, like a ReLU at 0: the slope is {row.left:.3g} on one side "
            f"and {row.right:.3g} on the other, and autograd chose {row.autograd:.3g}."
            for row in self.rows
            if row.verdict == KINK
        ]
        if any(torch.finfo(dtype).eps > 1e-10 for dtype in self.dtypes):
            said.append(
                f"Warning: {names} rounds the loss too coarsely to say more; "
                "check in float64, after .double()."
            )
        return said


def check_gradients(
    loss: Callable[[], Tensor],
    named_parameters: Mapping[str, Tensor] | Iterable[tuple[str, Tensor]],
    h: float = 1e-4,
    tolerance: float = 1e-5,
) -> GradientReport:
    r"""Compare autograd's gradient with central differences, element by element.

    An element a of autograd and its measured n pass if

    .. math:: |a - n| \le \text{tolerance} \cdot \max(|a|, |n|) + h^2 + 10\, \varepsilon |L| / h

    The last two terms are what the measurement itself may be off by: the cubic part of the loss,
    and its rounding. In float64 they are some 1e-8. In float32 the rounding alone is 1e-2 times
    the loss: what passes by that alone is "in the noise", mistakes and all, and the report warns.
    So check in float64.

    Where the loss bends within h of an element, the slopes on its two sides differ and the
    measured one is their mean. If they differ by more than 1 %, and by no less than autograd is
    off, the verdict is "kink": nothing was proven there, and nothing is wrong.

    The elements are moved in place and put back to the bit. ``.grad`` is not touched.

    Args:
        loss: called without arguments; the same number each time, so without dropout.
        named_parameters: ``net.named_parameters()``, or a mapping.
        h: how far an element is moved.
        tolerance: the relative error that passes.

    Raises: ValueError if there is nothing to check, a parameter requires no gradient, or the loss
        is random, not finite, cut off from them, or more than one number.
    Source: notes 5.
    """
    parameters = dict(named_parameters)
    if not parameters:
        raise ValueError("there are no parameters to check")
    for name, w in parameters.items():
        if not w.requires_grad:
            raise ValueError(f"{name} does not require a gradient, so there is none to check")
    with torch.enable_grad():
        value = loss()
        size = number(value)
        if not (isinstance(value, Tensor) and value.requires_grad):
            raise ValueError(f"autograd knows no way from the loss back to {', '.join(parameters)}")
        derived = torch.autograd.grad(value, list(parameters.values()), materialize_grads=True)
    _check_steady(loss, size)
    measured = numerical_gradients(loss, parameters, h)
    dtypes = tuple(dict.fromkeys(w.dtype for w in parameters.values()))
    rounding = ROUNDINGS * max(torch.finfo(d).eps for d in dtypes) * abs(size) / h
    rows = tuple(
        _compare(loss, name, w, a, measured[name], h, tolerance, rounding)
        for (name, w), a in zip(parameters.items(), derived, strict=True)
        if w.numel()
    )
    return GradientReport(rows, h, tolerance, rounding, dtypes)


def _check_steady(loss: Callable[[], Scalar], size: float) -> None:
    if not isfinite(size):
        raise ValueError(f"the loss must be finite, got {size}")
    with torch.no_grad():
        again = number(loss())
    if again != size:
        raise ValueError(
            f"the loss must be the same every time, got {size:g}, then {again:g}: "
            "switch off what is random, like dropout"
        )


def _compare(
    loss: Callable[[], Tensor],
    name: str,
    w: Tensor,
    a: Tensor,
    n: Tensor,
    h: float,
    tolerance: float,
    rounding: float,
) -> Row:
    a, n = a.double(), n.double()
    close = tolerance * torch.maximum(a.abs(), n.abs()) + h**2
    excess = ((a - n).abs() / (close + rounding)).nan_to_num(nan=torch.inf)

    def row(at: tuple[int, ...]) -> Row:
        values = a[at].item(), n[at].item(), *_sides(loss, w, at, h)
        found = Row(name, tuple(w.shape), at, *values, 0, RIGHT)
        if excess[at] <= 1:
            return found if found.difference <= close[at] else replace(found, verdict=NOISE)
        if found.bends and found.difference <= abs(found.right - found.left):
            return replace(found, verdict=KINK)
        return replace(found, verdict=WRONG, wrong=1)

    failed = [row(tuple(at)) for at in (excess > 1).nonzero().tolist()]
    if not failed:
        return row(_index(excess))
    worst = max(failed, key=lambda r: (ORDER.index(r.verdict), excess[r.at].item()))
    return replace(worst, wrong=sum(r.wrong for r in failed))


def _index(excess: Tensor) -> tuple[int, ...]:
    flat = excess.argmax()
    return tuple(int(i) for i in torch.unravel_index(flat, excess.shape))


def _sides(
    loss: Callable[[], Tensor], w: Tensor, at: tuple[int, ...], h: float
) -> tuple[float, float]:
    """The slopes to the left and to the right of an element."""
    x = w[at].item()
    with torch.no_grad():
        low, here, high = (moved(loss, w, at, value) for value in (x - h, x, x + h))
    return (here - low) / h, (high - here) / h
