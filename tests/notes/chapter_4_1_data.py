"""Chapter 4.1 of the notes: learning from data."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from dlbook_torch import nn

from .base import note
from .tools import (
    CORNERS,
    XOR,
    answers,
    draw,
    f64,
    fit,
    linear_data,
    network,
    solve,
)


@note(
    "4.1",
    says="Machine learning finds the pattern from the data, without a person.",
    verdict="right",
    truth="From the table of AND alone, a perceptron finds weights; nobody sets them.",
)
def data_set_the_weights():
    unit, t = nn.Perceptron(2, dtype=torch.float64), f64([[0.0], [0.0], [0.0], [1.0]])
    nn.init.zeros_(unit.weight)
    nn.init.zeros_(unit.bias)
    assert answers(unit) == [0, 0, 0, 0]
    for _ in range(20):
        unit.learn(CORNERS, t)
    assert answers(unit) == [0, 0, 0, 1]


@note(
    "4.1",
    says="Networks need a person even less than other methods.",
    verdict="right",
    truth="They find their own features: a linear model of XOR needs x1 x2 made by hand.",
)
def a_network_finds_its_own_feature():
    by_hand = torch.cat([CORNERS, CORNERS.prod(1, keepdim=True)], 1)
    line, with_feature, bent = network([]), network([], inputs=3), network([8], "tanh")
    errors = [
        fit(model, x, XOR, 300, 0.05, torch.optim.Adam)[-1]
        for model, x in ((line, CORNERS), (with_feature, by_hand), (bent, CORNERS))
    ]
    assert errors[0] == pytest.approx(0.25, abs=0.01)
    assert max(errors[1:]) < 0.02


@note(
    "4.1",
    says="Deep learning is end-to-end: from the raw input to the result.",
    verdict="right",
    truth="The loss moves every weight; put a step in between, and those below stand still.",
)
def end_to_end_every_weight_learns():
    model = network([5, 5], "tanh")
    F.mse_loss(model(CORNERS), XOR).backward()
    assert all(p.grad.any() for p in model.parameters())
    model = network([5, 5], "tanh")
    model.layers[4] = nn.Step()  # after the second affine layer
    F.mse_loss(model(CORNERS), XOR).backward()
    moved = [bool(p.grad.any()) for p in model.parameters()]
    assert moved[:4] == [False] * 4
    assert moved[-1]


@note(
    "4.1",
    says="Find the parameters on training data, judge them on test data.",
    verdict="right",
    truth="The training error is too good: s^2 (1 - p/n) against s^2 (1 + p/(n - p - 1)).",
)
def the_training_error_is_too_good():
    n, p, own, new = 40, 20, [], []
    for seed in range(200):
        x, w = draw(n, p, seed=seed), draw(p, seed=seed + 1000)
        t = x @ w + draw(n, seed=seed + 2000)
        fitted = solve(x, t)
        own.append(F.mse_loss(x @ fitted, t).item())
        new.append((fitted - w).square().sum().item() + 1)  # exactly: x_new is standard normal
    assert sum(own) / 200 == pytest.approx(1 - p / n, rel=0.05)
    assert sum(new) / 200 == pytest.approx(1 + p / (n - p - 1), rel=0.05)


@note(
    "4.1",
    says="To judge generalisation rightly the data must be split.",
    verdict="conditional",
    truth="Or left out one by one: for least squares one fit on all data tells the same.",
)
def leaving_one_out_needs_no_split():
    errors = []
    for seed in range(50):
        x, t, new, t_new = linear_data(40, 10, 1.0, seed=10 * seed)
        w = solve(x, t)
        hat = (x @ torch.linalg.pinv(x)).diag()
        left_out = (t - x @ w) / (1 - hat)
        errors.append([F.mse_loss(x @ w, t), left_out.square().mean(), F.mse_loss(new @ w, t_new)])
    rest = torch.arange(40) != 7
    assert_close(left_out[7], t[7] - x[7] @ solve(x[rest], t[rest]))
    own, one_by_one, true = f64(errors).mean(0).tolist()
    assert one_by_one == pytest.approx(true, rel=0.05)
    assert own < true / 1.5


@note(
    "4.1",
    says="Training data are also called supervised data.",
    verdict="conditional",
    truth="If they have labels. An autoencoder trains on inputs alone.",
)
def training_needs_no_labels():
    x = draw(200, 1) @ draw(1, 3, seed=1) + 0.1 * draw(200, 3, seed=2)
    model = nn.Sequential(nn.Linear(3, 1, bias=False), nn.Linear(1, 3, bias=False)).double()
    losses = fit(model, x, x, 300, 0.05, torch.optim.Adam)
    floor = torch.linalg.svdvals(x)[1:].square().sum().item() / x.numel()  # principal components
    assert losses[-1] == pytest.approx(floor, rel=0.01)
    assert losses[0] > 10 * floor


@note(
    "4.1",
    says="Generalisation is to do well on data never seen.",
    verdict="right",
    truth="Learning by heart is none of it: all right on its own, a coin's half on new data.",
)
def learning_by_heart_is_no_generalisation():
    x, new = draw(300, 5), draw(300, 5, seed=1)
    t, t_new = draw(300, seed=2) > 0, draw(300, seed=3) > 0

    def by_heart(data):
        return t[torch.cdist(data, x).argmin(1)]

    assert (by_heart(x) == t).all()
    assert 0.4 < (by_heart(new) == t_new).double().mean() < 0.6


@note(
    "4.1",
    says="Fitting one data set too well is overfitting.",
    verdict="right",
    truth="The curve of degree 11 through 12 noisy points meets all, and misses what is between.",
)
def a_curve_through_all_points_overfits():
    x, between = (torch.linspace(-1, 1, n).double() for n in (12, 89))
    t = (torch.pi * x).sin() + 0.3 * draw(12)

    def error(degree):
        powers = torch.arange(degree + 1)
        c = solve(x[:, None] ** powers, t)
        own = F.mse_loss(x[:, None] ** powers @ c, t).item()
        return own, F.mse_loss(between[:, None] ** powers @ c, (torch.pi * between).sin()).item()

    (own, new), (own_3, new_3) = error(11), error(3)
    assert own < 1e-12 < own_3
    assert new > 3 * new_3
