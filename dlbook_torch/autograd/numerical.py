"""Slopes measured instead of derived, and the descent along them (notes 4, 6.1)."""

from collections.abc import Callable, Mapping
from itertools import product
from math import inf
from typing import Any

import torch
from torch import Tensor

Scalar = Tensor | float


def numerical_diff(f: Callable[[float], float], x: float, h: float = 1e-4) -> float:
    r"""Measure the slope of a curve by a central difference.

    .. math:: f'(x) = \frac{f(x + h) - f(x - h)}{2h}
        - \frac{h^2}{6} f'''(\xi) \pm \frac{\varepsilon |f|}{h}

    The first error shrinks with h, the second, the rounding of f, grows: with a type that rounds
    at :math:`\varepsilon`, the best h is about :math:`\varepsilon^{1/3}`.

    **The float32 trap.** For :math:`f = 0.01 x^2 + 0.1 x` at 5 the slope is 0.2. With h = 1e-4,
    float64 gives 0.1999999999990898 and float32, where :math:`\varepsilon = 1.2 \cdot 10^{-7}`,
    gives 0.20027. With h = 1e-50 both give 0: then x + h is x.

    Raises: ValueError if h is not positive and finite.
    Source: notes 4.
    """
    if not 0 < h < inf:
        raise ValueError(f"h must be positive and finite, got {h}")
    return (f(x + h) - f(x - h)) / (2 * h)


def numerical_gradients(
    loss: Callable[[], Scalar], parameters: Mapping[str, Tensor], h: float = 1e-4
) -> dict[str, Tensor]:
    r"""Measure the slope of a loss along every element of every parameter.

    Two evaluations per element: a tool to check with, not to train with. The elements are moved
    in place, one at a time, and put back to the bit, even when ``loss`` raises.

    Args:
        loss: called without arguments; returns one number, and the same one when called again.
        parameters: what it depends on, by name: ``dict(net.named_parameters())``.
        h: how far an element is moved, see :func:`numerical_diff`.

    Raises: TypeError for a parameter without real fractions, ValueError if the loss is no single
        number.
    Source: notes 4.
    """
    gradients = {}
    with torch.no_grad():
        for name, w in parameters.items():
            if not w.is_floating_point():
                raise TypeError(f"{name} must have a floating point type to move by h: {w.dtype}")
            gradients[name] = torch.empty_like(w)
            for index in product(*map(range, w.shape)):
                gradients[name][index] = slope(loss, w, index, h)
    return gradients


def slope(loss: Callable[[], Scalar], w: Tensor, index: tuple[int, ...], h: float) -> float:
    """The central difference along one element."""
    return numerical_diff(lambda value: moved(loss, w, index, value), w[index].item(), h)


def moved(loss: Callable[[], Scalar], w: Tensor, index: tuple[int, ...], value: float) -> float:
    """The loss while one element of ``w`` has another value."""
    before = w[index].clone()
    try:
        w[index] = value
        return number(loss())
    finally:
        w[index] = before


def number(value: Any) -> float:
    """A loss as a float.

    Raises: ValueError for more than one number.
    """
    if not isinstance(value, Tensor):
        return float(value)
    if value.numel() != 1:
        raise ValueError(f"the loss must be one number, got shape {tuple(value.shape)}")
    return value.item()


def numerical_gradient(f: Callable[[Tensor], Scalar], x: Tensor, h: float = 1e-4) -> Tensor:
    r"""Measure all partial derivatives of a function at a point.

    .. math:: g_i = \frac{f(x + h e_i) - f(x - h e_i)}{2h}

    Mind the type of x: see the float32 trap in :func:`numerical_diff`.

    Args:
        f: takes a tensor like x and returns one number. It gets a copy, so x stays as it is.
        x: any shape.
        h: how far an element is moved.

    Shape: ``(*)`` to ``(*)``.
    Raises: TypeError if x is not floating point, ValueError if f does not return one number.
    Source: notes 4.
    """
    x = x.detach().clone()
    return numerical_gradients(lambda: f(x.clone()), {"x": x}, h)["x"]


def gradient_descent(
    f: Callable[[Tensor], Scalar], x: Tensor, lr: float = 0.01, steps: int = 100
) -> tuple[Tensor, Tensor]:
    r"""Walk downhill, against the measured gradient.

    .. math:: x \leftarrow x - \eta\, \nabla f(x)

    Return the end point and the path, whose first row is the start and whose last is the end.

    Shape: ``(*)`` to ``(*)`` and ``(steps + 1, *)``.
    Raises: ValueError if steps is negative.
    Source: notes 4, 6.1. A rate that is too large leaves the bowl, one too small does not move.
    """
    if steps < 0:
        raise ValueError(f"steps must not be negative, got {steps}")
    path = [x.detach().clone()]
    for _ in range(steps):
        path.append(path[-1] - lr * numerical_gradient(f, path[-1]))
    return path[-1], torch.stack(path)
