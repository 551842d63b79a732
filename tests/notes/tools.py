"""What several chapters' checks need: perceptrons set by hand, fits, draws, derivatives."""

import numpy as np
import torch
from scipy.optimize import linprog
from torch.nn.functional import mse_loss

from dlbook_torch import nn
from dlbook_torch.models import MLP
from dlbook_torch.parity.checks.handwritten import Recorder


def f64(numbers):
    """Numbers as they are written, without the rounding of float32."""
    return torch.tensor(numbers, dtype=torch.float64)


CORNERS = f64([[0, 0], [1, 0], [0, 1], [1, 1]])
XOR = f64([[0], [1], [1], [0]])
EXPONENTIALS = {"exp", "exp_", "expm1", "expm1_"}


def perceptron(w, b):
    """One perceptron, or several side by side, in float64."""
    weight, bias = torch.atleast_2d(f64(w)), torch.atleast_1d(f64(b))
    unit = nn.Perceptron(*weight.T.shape, dtype=torch.float64)
    unit.load_state_dict({"weight": weight, "bias": bias})
    return unit


def answers(unit, x=CORNERS):
    """What a unit says to each row of x."""
    return [int(y) for y in unit(x).flatten()]


def parted_by_a_line(x, t):
    """Ask a linear program for w and b with (w x + b)(2 t - 1) >= 1."""
    sign = 2 * np.asarray(t)[:, None] - 1
    rows = sign * np.hstack([x.numpy(), np.ones((len(x), 1))])
    found = linprog(np.zeros(rows.shape[1]), -rows, -np.ones(len(x)), bounds=(None, None))
    return bool(found.success)


def fit(model, x, t, steps, lr, rule=torch.optim.SGD, loss=mse_loss):
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


def solve(x, t, penalty=0.0):
    """Least squares with a penalty on w^2; without one, the shortest of the best w."""
    if not penalty:
        return torch.linalg.pinv(x) @ t
    return torch.linalg.solve(x.T @ x + penalty * torch.eye(x.shape[1]).to(x), x.T @ t)


def draw(*size, seed=0):
    """Standard normal numbers in float64."""
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed)).double()


def moons(n=200):
    """Two half circles that reach into each other, and which of them a point is on."""
    u, k = torch.pi * torch.rand(n, generator=torch.Generator().manual_seed(0)), torch.arange(n) % 2
    x = torch.stack([u.cos() + k, (1 - 2 * k) * u.sin() + 0.5 * k], 1)
    return x.double() + 0.1 * draw(n, 2, seed=1), k


def network(hidden, activation="relu", init="default", inputs=2, outputs=1, seed=0, **options):
    """An MLP in float64, the same every time."""
    torch.manual_seed(seed)
    return MLP(inputs, outputs, hidden, activation, init, **options).double()


def slope(function, x):
    """The derivative of an elementwise function, by torch."""
    x = x.clone().requires_grad_()
    return torch.autograd.grad(function(x).sum(), x)[0]


def first_gradient(model, x, t):
    """How long the gradient of the first weights is, and how long that of the last."""
    mse_loss(model(x), t).backward()
    norms = [p.grad.norm().item() for p in model.parameters() if p.dim() > 1]
    return norms[0], norms[-1]


def operations(layer, x):
    """The aten operations that a layer's forward pass asks for."""
    with torch.no_grad(), Recorder() as seen:
        layer(x)
    return seen.names


def linear_data(n, d, noise, scale=1.0, seed=0):
    """Training and new data of one linear law: x, t, x_new, t_new."""
    x, new, w = draw(n, d, seed=seed), draw(1000, d, seed=seed + 1), draw(d, seed=seed + 2)
    x, new = x * scale, new * scale
    t, t_new = x @ w, new @ w
    return x, t + noise * draw(n, seed=seed + 3), new, t_new + noise * draw(1000, seed=seed + 4)


def coins(n, samples=100):
    """n classifiers that guess: which of their answers are right, on a set that is at hand."""
    return draw(n, samples, seed=5) > 0
