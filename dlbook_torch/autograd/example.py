"""The worked example of chapter 5: what the notes print, recomputed and judged (notes 5).

Two inputs, two sigmoid units, one sigmoid output, no bias, one sample::

    x1 = 0.35 --w31,w41--> y3 --w53--\
                                      y5 --> C = (y5 - t)^2 / 2,   t = 0.5
    x2 = 0.9  --w32,w42--> y4 --w54--/
"""

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from math import exp
from typing import NamedTuple

import torch
from torch import Tensor


def _t(values: list) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


X, T = _t([0.35, 0.9]), 0.5
W0, W1 = _t([[0.1, 0.8], [0.4, 0.6]]), _t([0.3, 0.9])
ETA = 1.0  # the notes do not say; their numbers do
HIDDEN = ("w31'", "w32'", "w41'", "w42'")
ERROR_AFTER = "|y5 - t| after one step"

# What the notes print, digit for digit.
PRINTED = {
    "z3": "0.755",
    "z4": "0.68",
    "y3": "0.680",
    "y4": "0.663",
    "z5": "0.801",
    "y5": "0.690",
    "y5 - t": "0.19",
    "C": "0.01805",
    "dC/dw53": "0.02763",
    "w31'": "0.09661944",
    "w32'": "0.78985831",
    "w41'": "0.39661944",
    "w42'": "0.58985831",
    ERROR_AFTER: "0.165",
}


class Forward(NamedTuple):
    """Everything on the way from the input to the cost."""

    z: Tensor  # z3, z4
    y: Tensor  # y3, y4
    z5: Tensor
    y5: Tensor
    C: Tensor


class Step(NamedTuple):
    """Gradients, and the weights after one step against them."""

    dW0: Tensor
    dW1: Tensor
    W0: Tensor
    W1: Tensor


def forward(W0: Tensor = W0, W1: Tensor = W1) -> Forward:
    r"""From the input to the cost.

    .. math:: z = W_0 x, \quad y = \sigma(z), \quad z_5 = W_1 y, \quad y_5 = \sigma(z_5), \quad
        C = (y_5 - t)^2 / 2

    Source: notes 5.
    """
    z = W0 @ X
    y = 1 / (1 + torch.exp(-z))
    z5 = W1 @ y
    y5 = 1 / (1 + torch.exp(-z5))
    return Forward(z, y, z5, y5, (y5 - T) ** 2 / 2)


def step(W0: Tensor = W0, W1: Tensor = W1, eta: float = ETA) -> Step:
    r"""Back from the cost to the weights, by the chain rule, and one step downhill.

    .. math::
        \delta_5 &= (y_5 - t)\, y_5 (1 - y_5), & \mathrm{d}W_1 &= \delta_5\, y \\
        \delta &= \delta_5\, W_1 \odot y \odot (1 - y), & \mathrm{d}W_0 &= \delta\, x^\top

    Source: notes 5.
    """
    _, y, _, y5, _ = forward(W0, W1)
    delta5 = (y5 - T) * y5 * (1 - y5)
    delta = delta5 * W1 * y * (1 - y)
    dW0, dW1 = torch.outer(delta, X), delta5 * y
    return Step(dW0, dW1, W0 - eta * dW0, W1 - eta * dW1)


def errors(eta: float = ETA, steps: int = 200) -> list[float]:
    r"""Return :math:`|y_5 - t|` before the first step and after each.

    Source: notes 5.
    """
    w0, w1 = W0, W1
    found = []
    for _ in range(steps):
        found.append(abs(float(forward(w0, w1).y5) - T))
        *_, w0, w1 = step(w0, w1, eta)
    return [*found, abs(float(forward(w0, w1).y5) - T)]


def quantities(eta: float = ETA) -> dict[str, float]:
    """The numbers that the notes print, without their mistakes.

    Source: notes 5.
    """
    z, y, z5, y5, C = forward()
    _, dW1, w0, w1 = step(eta=eta)
    after = forward(w0, w1).y5
    values = [*z, *y, z5, y5, y5 - T, C, dW1[0], *w0.flatten(), (after - T).abs()]
    return {name: float(value) for name, value in zip(PRINTED, values, strict=True)}


def from_printed() -> dict[str, float]:
    """What follows from the numbers that the notes print a line above, instead of the exact ones.

    Source: notes 5.
    """
    y3, y4, z5, y5 = (float(PRINTED[name]) for name in ("y3", "y4", "z5", "y5"))
    y, error = _t([y3, y4]), y5 - T
    delta5 = error * y5 * (1 - y5)
    w0 = W0 - ETA * torch.outer(delta5 * W1 * y * (1 - y), X)
    return {
        "z5": float(W1 @ y),
        "y5": 1 / (1 + exp(-z5)),
        "y5 - t": error,
        "C": error**2 / 2,
        "dC/dw53": delta5 * y3,
        **_named(w0),
        ERROR_AFTER: abs(float(forward(w0, W1 - ETA * delta5 * y).y5) - T),
    }


def _named(w0: Tensor) -> dict[str, float]:
    return dict(zip(HIDDEN, w0.flatten().tolist(), strict=True))


def shows(printed: str, value: float) -> str:
    """How a printed number shows a value: "right", "rounded", "truncated", or "" if it does not.

    Right: the value has no digits but the printed ones (to 1e-12). Rounded: the printed number is
    the value rounded half up at its last digit. Truncated: it is not, but the value cut there is.
    """
    digits, exact = Decimal(printed), Decimal(value)
    if abs(exact - digits) <= Decimal("1e-12"):
        return "right"
    if exact.quantize(digits, ROUND_HALF_UP) == digits:
        return "rounded"
    return "truncated" if exact.quantize(digits, ROUND_DOWN) == digits else ""


def verdict(printed: str, exact: float, rounded: float | None = None) -> str:
    """Judge a printed number against the exact one.

    It is "right", "rounded" or "truncated" as in :func:`shows`; else "from rounded factors" if it
    shows ``rounded``, the same formula fed with numbers printed before; else "wrong".

    Source: notes 5.
    """
    found = shows(printed, exact)
    if not found and rounded is not None and shows(printed, rounded):
        return "from rounded factors"
    return found or "wrong"


def slipped_step(eta: float = ETA, W1: Tensor = W1) -> tuple[Tensor, Tensor]:
    r"""One step with a slip of shapes: a sum where an outer product belongs.

    .. math:: \delta_5\, (y \odot (1 - y))^\top x \; W_1 \quad\text{instead of}\quad
        \delta_5\, (W_1 \odot y \odot (1 - y))\, x^\top

    The first is one row (1, 2), which broadcasting takes off both rows of :math:`W_0`: both
    units move alike, and along :math:`W_1` (9 : 3) instead of x (0.9 : 0.35).

    Args:
        eta: the rate.
        W1: the weights to go back through: the old ones, or by another slip those just updated.

    Source: notes 5, whose four updated weights are these to all eight digits.
    """
    _, y, _, y5, _ = forward()
    delta5 = (y5 - T) * y5 * (1 - y5)
    row = delta5 * ((y * (1 - y)) @ X) * W1
    return W0 - eta * row, step(eta=eta).W1


def slips() -> dict[str, dict[str, float]]:
    """Mistakes that one could make, and the numbers that they give.

    Source: notes 5.
    """
    slipped, also_late = slipped_step(), slipped_step(W1=step().W1)
    cost = {
        "the exact weights": float(forward(*step()[2:]).C),
        "the notes' own weights": float(forward(*slipped).C),
    }
    rows = {
        "one row taken off both units: a sum, broadcast, in place of an outer product": slipped,
        "the same, through a W1 that was already updated": also_late,
    }
    found = {name: _named(w0) for name, (w0, _) in rows.items()}
    for whose, C in cost.items():
        found[f"the cost C with {whose}"] = {ERROR_AFTER: C}
        found[f"ten times the cost C with {whose}, {C:.7f}: a zero was lost"] = {
            ERROR_AFTER: 10 * C
        }
    return found


@dataclass(frozen=True)
class Row:
    """One number of the example."""

    name: str
    exact: float
    printed: str
    verdict: str
    slips: dict[str, float]  # that show the printed digits, where it is wrong


def table(eta: float = ETA) -> list[Row]:
    """Every number of the example beside the printed one.

    Source: notes 5.
    """
    rounded, known = from_printed(), slips()
    rows = []
    for name, exact in quantities(eta).items():
        printed = PRINTED[name]
        said = verdict(printed, exact, rounded.get(name))
        why = {
            slip: values[name]
            for slip, values in known.items()
            if said == "wrong" and name in values and shows(printed, values[name])
        }
        rows.append(Row(name, exact, printed, said, why))
    return rows
