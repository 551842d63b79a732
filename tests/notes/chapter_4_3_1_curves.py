"""Chapter 4.3 of the notes: underfitting and overfitting, and how curves tell."""

import pytest
import torch
from torch.nn import functional as F

from dlbook_torch import nn
from dlbook_torch.diagnostics import diagnose
from dlbook_torch.diagnostics.verdict import TABLE

from .base import note
from .tools import (
    CORNERS,
    XOR,
    coins,
    draw,
    f64,
    fit,
    linear_data,
    moons,
    network,
    solve,
)


def curves(x, t, new, t_new, lr, every=1, epochs=40):
    """Losses of a linear model on both sets, as gradient descent goes on from w = 0."""
    w, train, val = torch.zeros(x.shape[1]).double(), [], []
    for _ in range(epochs):
        for _ in range(every):
            w = w - lr * x.T @ (x @ w - t) / len(x)
        train.append(F.mse_loss(x @ w, t).item())
        val.append(F.mse_loss(new @ w, t_new).item())
    return train, val


def trends(train, val):
    """How the two losses move at the end of a run."""
    verdict = diagnose(train, val)
    return verdict.train, verdict.val


def bias_and_variance(degree):
    """Of polynomials fitted to 15 noisy points of a sine, over 300 draws of the noise."""
    x = torch.linspace(-1, 1, 15).double()
    wave, powers = (torch.pi * x).sin(), x[:, None] ** torch.arange(degree + 1)
    fits = torch.stack(
        [powers @ solve(powers, wave + 0.3 * draw(15, seed=seed)) for seed in range(300)]
    )
    return (fits.mean(0) - wave).square().mean().item(), fits.var(0).mean().item()


@note(
    "4.3",
    says="Overfitting: good on the training data, not on the test data.",
    verdict="right",
    truth="Of two fits to 30 noisy samples 25 weights win there, the 5 that matter on new ones.",
)
def the_better_fit_is_worse_on_new_data():
    x, new, w = draw(30, 25), draw(500, 25, seed=1), draw(25, seed=2)
    w[5:] = 0
    t = x @ w + 2 * draw(30, seed=3)
    own, other = [], []
    for n in (5, 25):
        v = solve(x[:, :n], t)
        own.append(F.mse_loss(x[:, :n] @ v, t).item())
        other.append(F.mse_loss(new[:, :n] @ v, new @ w).item())
    assert own[1] < own[0]
    assert other[1] > 2 * other[0]


@note(
    "4.3",
    says="Underfitting: poor on the training data and on the test data.",
    verdict="right",
    truth="A line through a sine leaves 0.42 of its variance of 0.5, on both.",
)
def a_line_underfits_a_sine():
    for seed in (0, 1):  # the second set is as bad as the first
        x = torch.rand(200, 1, generator=torch.Generator().manual_seed(seed)).double() * 4 - 2
        t = (torch.pi * x).sin()
        line = torch.cat([x, x**0], 1)
        assert F.mse_loss(line @ solve(line, t), t).item() == pytest.approx(0.42, abs=0.06)
        waves = torch.cat([(torch.pi * x).sin(), line], 1)
        assert F.mse_loss(waves @ solve(waves, t), t) < 1e-20


@note(
    "4.3",
    says="Overfitting is too complex a model, high variance.",
    verdict="right",
    truth="Degree 9 on 15 points: variance 0.06, bias 0. The variance is s^2 (degree + 1) / n.",
)
def a_complex_model_has_variance():
    bias, variance = bias_and_variance(9)
    assert variance == pytest.approx(0.3**2 * 10 / 15, rel=0.1)
    assert bias < variance / 50


@note(
    "4.3",
    says="Underfitting is too simple a model, high bias.",
    verdict="right",
    truth="Degree 1 on 15 points: squared bias 0.24, variance 0.01.",
)
def a_simple_model_has_bias():
    bias, variance = bias_and_variance(1)
    assert variance == pytest.approx(0.3**2 * 2 / 15, rel=0.15)
    assert bias == pytest.approx(0.24, abs=0.02)


@note(
    "4.3",
    says="Both losses fall: all is well, still learning.",
    verdict="right",
    truth="Going on lowers both. A gap may have opened all the same.",
)
def both_fall():
    data = linear_data(400, 5, 0.1)
    train, val = curves(*data, lr=0.01)
    assert trends(train, val) == ("falling", "falling")
    more = curves(*data, lr=0.01, epochs=400)
    assert more[0][-1] < train[-1] / 10
    assert more[1][-1] < val[-1] / 10
    train, val = curves(*linear_data(30, 25, 3.0), lr=0.02)
    assert trends(train, val) == ("falling", "falling")
    assert val[-1] > 4 * train[-1]


DECAY = torch.arange(1, 61).double() ** -0.7  # features of very different size learn for long


@note(
    "4.3",
    says="Training falls, validation stands still: perhaps overfitting, or uneven data.",
    verdict="right",
    truth="Both occur: one such run overfits when it goes on, one has other data to validate on.",
)
def validation_stands_still():
    data = linear_data(50, 60, 2.0, DECAY)
    assert trends(*curves(*data, lr=0.3)) == ("falling", "flat")
    _, val = curves(*data, lr=0.3, every=5)
    assert val[-1] > 1.05 * min(val)
    x, t, new, t_new = linear_data(400, 10, 0.1)
    x, new = x.clone(), new.clone()
    x[:, 5:] = new[:, :5] = 0  # what is trained is not what is asked
    train, val = curves(x, t, new, t_new, lr=0.01)
    assert trends(train, val) == ("falling", "flat")
    assert min(val) == max(val)


@note(
    "4.3",
    says="Training falls, validation rises: perhaps overfitting.",
    verdict="conditional",
    truth="On a noisy fit it is. Cross-entropy may also rise as a classifier grows too sure, "
    "with no more errors than before.",
)
def validation_rises():
    run = curves(*linear_data(50, 60, 2.0, DECAY), lr=0.3, every=5)
    assert trends(*run) == ("falling", "rising")
    assert diagnose(*run).id == "overfitting"
    # two points far apart to train on; on new data one of ten lies on the wrong side
    x, k = f64([[-1.0], [1.0]]), torch.tensor([0, 1])
    new, k_new = f64([[-1.0]] * 5 + [[1.0]] * 4 + [[-1.0]]), torch.tensor([0] * 5 + [1] * 5)
    model, train, val, errors = network([], inputs=1, outputs=2), [], [], []
    for _ in range(40):
        train.append(fit(model, x, k, 2, 0.2, loss=F.cross_entropy)[-1])
        val.append(F.cross_entropy(model(new), k_new).item())
        errors.append((model(new).argmax(1) != k_new).sum().item())
    assert trends(train, val) == ("falling", "rising")
    assert set(errors) == {1}


@note(
    "4.3",
    says="Training stands still, validation falls: the data set is faulty.",
    verdict="conditional",
    truth="Wrong labels do it. But so can a sound run near its end, or dropout in training.",
)
def training_stands_still():
    train, val = curves(*linear_data(60, 30, 1.0), lr=0.05, every=2)
    assert trends(train, val) == ("flat", "falling")  # nothing is wrong with these data
    x, t, new, t_new = linear_data(20_000, 5, 0.0)
    wrong_labels = t + 20 * draw(20_000, seed=9)  # a fault that shows so
    assert trends(*curves(x, wrong_labels, new, t_new, lr=0.02)) == ("flat", "falling")
    x = draw(100, 40)
    t = x @ draw(40, seed=2)
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(40, 1)).double()
    with torch.no_grad():
        model[1].weight.copy_(solve(x, t)[None])
        model[1].bias.zero_()
    noise = F.mse_loss(model(x)[:, 0], t).item()
    assert noise > 1e6 * F.mse_loss(model.eval()(x)[:, 0], t).item()


@note(
    "4.3",
    says="Both stand still: a bottleneck; lower the rate or the batch, change the optimizer.",
    verdict="conditional",
    truth="A rate that jumps across the valley is cured so. One too small must be raised, "
    "and where only noise is left nothing helps.",
)
def both_stand_still():
    data = linear_data(400, 5, 0.1)
    x = data[0]
    sharpest = torch.linalg.eigvalsh(x.T @ x / len(x))[-1].item()
    jumping, lower = (curves(*data, lr=lr / sharpest) for lr in (2.0, 1.0))
    tiny, higher = (curves(*data, lr=lr) for lr in (1e-6, 0.1))
    done, changed = (curves(*data, lr=lr, every=20) for lr in (0.1, 0.05))
    for run in (jumping, tiny, done):
        assert trends(*run) == ("flat", "flat")
    assert lower[0][-1] < jumping[0][-1] / 10
    assert higher[0][-1] < tiny[0][-1] / 10
    assert changed[0][-1] == pytest.approx(done[0][-1], rel=1e-3) == pytest.approx(0.01, rel=0.1)


@note(
    "4.3",
    says="Both rise: the network or its hyper-parameters are wrong.",
    verdict="right",
    truth="On a bowl: as soon as the rate is above 2 / the largest curvature.",
)
def both_rise():
    data = linear_data(100, 5, 0.1)
    sharpest = torch.linalg.eigvalsh(data[0].T @ data[0] / 100)[-1].item()
    assert trends(*curves(*data, lr=2.1 / sharpest)) == ("rising", "rising")
    assert diagnose(*curves(*data, lr=2.1 / sharpest)).id == "diverging"
    train, val = curves(*data, lr=1.9 / sharpest)
    assert train[-1] < train[0]
    assert val[-1] < val[0]


@note(
    "4.3",
    says="Lists six pairs of trends of the two losses.",
    verdict="conditional",
    truth="Nine are possible. Not listed: (flat, rising), (rising, flat), (rising, falling).",
)
def three_pairs_of_trends_are_missing():
    fall, flat, rise = "falling", "flat", "rising"
    listed = {(fall, fall), (fall, flat), (fall, rise), (flat, fall), (flat, flat), (rise, rise)}
    every = {(a, b) for a in (fall, flat, rise) for b in (fall, flat, rise)}
    assert every == set(TABLE)
    assert every - listed == {(flat, rise), (rise, flat), (rise, fall)}
    n = range(40)
    shapes = {fall: [2 - i / 50 for i in n], flat: [1.0 for _ in n], rise: [1 + i / 50 for i in n]}
    for train, val in every - listed:
        assert trends(shapes[train], shapes[val]) == (train, val)  # each of them can be met


@note(
    "4.3",
    says="The validation set is there to compare training and test accuracy during training.",
    verdict="conditional",
    truth="It stands in for the test set, so that one may choose by it: the winner's 60 % and more "
    "there are 50 % on the test set.",
)
def validation_stands_in_for_the_test():
    right, test = coins(200).double().mean(1), (draw(200, 4000, seed=6) > 0).double().mean(1)
    winner = right.argmax()
    assert right[winner] >= 0.6
    assert test[winner].item() == pytest.approx(0.5, abs=0.03)


@note(
    "4.3",
    says="Training accuracy high, test accuracy low: overfitting.",
    verdict="conditional",
    truth="Or a test set from elsewhere: the same weights are right on new data of the old kind.",
)
def a_low_test_accuracy_can_be_another_source():
    x, k = moons()
    model = network([20], "tanh", outputs=2)
    fit(model, x, k, 150, 0.05, torch.optim.Adam, F.cross_entropy)

    def accuracy(data, k):
        return (model(data).argmax(1) == k).double().mean().item()

    new = x + 0.05 * draw(*x.shape, seed=7)
    assert min(accuracy(x, k), accuracy(new, k)) > 0.95
    assert accuracy(new.flip(1), k) < 0.7  # a camera held upright
    by_heart, coin = network([100], "relu", outputs=2), draw(200, seed=8) > 0  # overfitting proper
    few = slice(0, 30)
    fit(by_heart, x[few], coin[few].long(), 500, 0.05, torch.optim.Adam, F.cross_entropy)
    right = by_heart(x).argmax(1) == coin
    assert right[few].double().mean() > 0.85
    assert right[30:].double().mean() < 0.65


@note(
    "4.3",
    says="Both accuracies low: underfitting.",
    verdict="conditional",
    truth="A line on XOR is. On labels by coin both are low too, and no larger network is better.",
)
def both_low_can_be_noise():
    x = CORNERS.repeat(50, 1) + 0.1 * draw(200, 2)
    k = XOR[:, 0].long().repeat(50)
    coin = (draw(200, seed=1) > 0).long()
    new_coin = (draw(200, seed=2) > 0).long()

    def accuracies(hidden, labels, new_labels):
        model = network(hidden, "tanh", outputs=2)
        fit(model, x, labels, 200, 0.05, torch.optim.Adam, F.cross_entropy)
        answer = model(x).argmax(1)
        return (answer == labels).double().mean().item(), (
            answer == new_labels
        ).double().mean().item()

    assert max(accuracies([], k, k)) < 0.8
    assert min(accuracies([8], k, k)) > 0.98
    assert max(accuracies([], coin, new_coin)) < 0.65
    assert accuracies([8], coin, new_coin)[1] < 0.6
