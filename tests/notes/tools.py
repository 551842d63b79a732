"""What the checks of several chapters need: perceptrons set by hand, fits, and draws."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor
from torch.nn.functional import mse_loss

from dlbook_torch import nn


def f64(numbers: Any) -> Tensor:
    """Numbers as they are written, without the rounding of float32."""
    return torch.tensor(numbers, dtype=torch.float64)


CORNERS = f64([[0, 0], [1, 0], [0, 1], [1, 1]])


def perceptron(w: Sequence[Any], b: float | Sequence[float]) -> nn.Perceptron:
    """One perceptron, or several side by side, in float64."""
    weight, bias = torch.atleast_2d(f64(w)), torch.atleast_1d(f64(b))
    unit = nn.Perceptron(*weight.T.shape, dtype=torch.float64)
    unit.load_state_dict({"weight": weight, "bias": bias})
    return unit


def answers(unit: Callable[[Tensor], Tensor], x: Tensor = CORNERS) -> list[int]:
    """What a unit says to each row of x."""
    return [int(y) for y in unit(x).flatten()]


def parted_by_a_line(x: Tensor, t: Sequence[int]) -> bool:
    """Ask a linear program for w and b with (w x + b)(2 t - 1) >= 1."""
    sign = 2 * np.asarray(t)[:, None] - 1
    rows = sign * np.hstack([x.numpy(), np.ones((len(x), 1))])
    found = linprog(np.zeros(rows.shape[1]), -rows, -np.ones(len(x)), bounds=(None, None))
    return bool(found.success)


def fit(
    model: nn.Module,
    x: Tensor,
    t: Tensor,
    steps: int,
    lr: float,
    rule: Callable[..., Any] = torch.optim.SGD,
    loss: Callable[[Tensor, Tensor], Tensor] = mse_loss,
) -> list[float]:
    """Train on the whole of x, and return the loss before every step and after the last."""
    optimizer = rule([p for p in model.parameters() if p.requires_grad], lr=lr)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        error = loss(model(x), t)
        error.backward()
        optimizer.step()
        losses.append(error.item())
    return [*losses, loss(model(x), t).item()]


def solve(x: Tensor, t: Tensor, penalty: float | Tensor = 0.0) -> Tensor:
    """Least squares with a penalty on w^2; without one, the shortest of the best w."""
    if not torch.is_tensor(penalty) and not penalty:
        return torch.linalg.pinv(x) @ t
    return torch.linalg.solve(x.T @ x + penalty * torch.eye(x.shape[1]).to(x), x.T @ t)


def draw(*size: int, seed: int = 0) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed)).double()


def moons(n: int = 200) -> tuple[Tensor, Tensor]:
    """Two half circles that reach into each other, and which of them a point is on."""
    u, k = torch.pi * torch.rand(n, generator=torch.Generator().manual_seed(0)), torch.arange(n) % 2
    x = torch.stack([u.cos() + k, (1 - 2 * k) * u.sin() + 0.5 * k], 1)
    return x.double() + 0.1 * draw(n, 2, seed=1), k
