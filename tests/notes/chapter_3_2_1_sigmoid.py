"""Chapters 3.2.1 and 3.2.2 of the notes: sigmoid and tanh."""

import math
from decimal import Decimal, getcontext

import pytest
import torch
from scipy import stats
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from dlbook_torch import nn

from .base import note
from .tools import (
    EXPONENTIALS,
    draw,
    f64,
    first_gradient,
    fit,
    moons,
    network,
    operations,
    slope,
)


@note(
    "3.2.1",
    says="sigma(x) = 1 / (1 + e^-x), also called the logistic function.",
    verdict="right",
    truth="The distribution function of the logistic distribution; torch.sigmoid.",
)
def formula_of_sigmoid():
    x = torch.linspace(-30, 30, 301).double()
    assert_close(nn.Sigmoid()(x), 1 / (1 + (-x).exp()))
    assert_close(nn.Sigmoid()(x), torch.sigmoid(x))
    assert_close(nn.Sigmoid()(x), f64(stats.logistic.cdf(x.numpy())))


@note(
    "3.2.1",
    says="The sigmoid's values lie in (0, 1).",
    verdict="right",
    truth="The ends are never reached, but by rounding: at x = 20 float32 says 1.",
)
def sigmoid_lies_between_0_and_1():
    getcontext().prec = 60
    for x in (-100, 100):
        assert 0 < 1 / (1 + Decimal(-x).exp()) < 1
    y = nn.Sigmoid()(torch.tensor([15.0, 20.0]))
    assert y[0] < 1 == y[1]


@note(
    "3.2.1",
    says="A sigmoid can part two classes.",
    verdict="right",
    truth="sigma(a1 - a0) is the softmax of two scores; it is above 1/2 where a1 > a0.",
)
def sigmoid_is_softmax_of_two():
    a = 3 * draw(200, 2)
    p = nn.Sigmoid()(a[:, 1] - a[:, 0])
    assert_close(p, a.softmax(1)[:, 1])
    assert torch.equal(p > 0.5, a[:, 1] > a[:, 0])


@note(
    "3.2.1",
    says="The sigmoid is bounded, so optimisation is stable; it may be the output layer.",
    verdict="conditional",
    truth="With cross-entropy. With the squared error it stands still where it is most wrong.",
)
def a_bounded_output_is_not_always_stable():
    x, model = f64([[3.0]]), nn.Sequential(nn.Linear(1, 1, bias=False).double())

    def after(start, loss, t, steps=50):
        model.load_state_dict({"0.weight": f64([[start]])})
        fit(model, x, f64([[t]]), steps, 0.3, loss=loss)
        return model[0].weight.item()

    def with_sigmoid(loss):
        return lambda a, t: loss(nn.Sigmoid()(a), t)

    assert abs(after(2.0, F.mse_loss, 0.0)) > 1e9  # no sigmoid: the steps outgrow the bowl
    assert -5 < after(2.0, with_sigmoid(nn.BCELoss()), 0.0) < 0
    assert after(7.0, with_sigmoid(F.mse_loss), 0.0) == pytest.approx(7, abs=1e-6)


@note(
    "3.2.1",
    says="The sigmoid is continuous and easy to differentiate.",
    verdict="right",
    truth="sigma' = y (1 - y), at most 1/4, at 0.",
)
def derivative_of_sigmoid():
    x = torch.linspace(-8, 8, 321).double()
    y = torch.sigmoid(x)
    assert_close(slope(nn.Sigmoid(), x), y * (1 - y))
    h = 1e-5
    assert_close(
        (torch.sigmoid(x + h) - torch.sigmoid(x - h)) / (2 * h), y * (1 - y), atol=1e-9, rtol=0
    )
    assert slope(nn.Sigmoid(), x).max() <= slope(nn.Sigmoid(), f64(0.0)) == 0.25


@note(
    "3.2.1",
    says="The sigmoid is easy to differentiate (here: by autograd, through the printed formula).",
    verdict="conditional",
    truth="Autograd on 1 / (1 + exp(-x)) gives nan at -100 in float32, at -800 in float64.",
)
def sigmoid_typed_in_loses_its_gradient():
    def typed(x):
        return 1 / (1 + torch.exp(-x))

    assert_close(slope(typed, f64([-8.0, 8.0])), slope(torch.sigmoid, f64([-8.0, 8.0])))
    for x in (torch.tensor([-100.0]), f64([-800.0])):
        assert slope(typed, x).isnan()
        assert slope(nn.Sigmoid(), x) == slope(torch.sigmoid, x) == 0


@note(
    "3.2.1",
    says="Far from 0 the sigmoid saturates: flat, and deaf to small changes of its input.",
    verdict="right",
    truth="The slope is 4.5e-5 at x = 10 and at x = -10, against 0.25 at 0.",
)
def sigmoid_saturates():
    assert slope(nn.Sigmoid(), f64([-10.0, 10.0])).tolist() == pytest.approx(
        [4.54e-5] * 2, rel=1e-3
    )
    y = nn.Sigmoid()(f64([0.0, 1.0, 10.0, 11.0]))
    assert y[1] - y[0] > 5000 * (y[3] - y[2])


@note(
    "3.2.1",
    says="Sigmoids let gradients vanish, so that a deep network cannot be trained.",
    verdict="conditional",
    truth="Ten layers leave 1e-7 of the gradient; with BatchNorm in between a tenth of it.",
)
def gradients_vanish_through_sigmoids():
    def left(depth, **options):
        model = network([50] * depth, "sigmoid", "xavier", inputs=20, **options)
        first, last = first_gradient(model, draw(64, 20), draw(64, 1, seed=1))
        return first / last

    assert left(10) < 1e-6 < 0.3 < left(1)
    assert left(10, batch_norm=True) > 0.03


@note(
    "3.2.1",
    says="The sigmoid's outputs are not centred on 0.",
    verdict="right",
    truth="They are positive, 1/2 on average for inputs centred on 0.",
)
def sigmoid_is_not_centred():
    x = draw(5000)
    y = nn.Sigmoid()(torch.cat([x, -x]))
    assert y.min() > 0
    assert y.mean().item() == pytest.approx(0.5)


@note(
    "3.2.1",
    says="After sigmoids the next layer sees inputs off 0, which affects its gradients.",
    verdict="right",
    truth="For one sample all weights into a unit get a gradient of one sign; with tanh both.",
)
def positive_inputs_give_gradients_of_one_sign():
    x = draw(30, 8)
    signs = []
    for squash in (nn.Sigmoid(), nn.Tanh()):
        unit = nn.Linear(8, 1).double()
        grads = [torch.autograd.grad(unit(squash(row)), unit.weight)[0] for row in x]
        signs.append([len(g.sign().unique()) for g in grads])
    assert set(signs[0]) == {1}
    assert sum(n == 2 for n in signs[1]) > 25


@note(
    "3.2.1",
    says="The sigmoid is expensive, for it has an exponential.",
    verdict="conditional",
    truth="Beside a threshold. Beside its affine layer, 784 to 100, it is 100 of 157,000.",
)
def an_exponential_is_dear_beside_a_threshold():
    assert operations(nn.Sigmoid(), draw(5)) & EXPONENTIALS
    assert not operations(nn.ReLU(), draw(5)) & EXPONENTIALS
    with FlopCounterMode(display=False) as counter:
        F.linear(torch.zeros(1, 784), torch.zeros(100, 784))
    assert counter.get_total_flops() == 2 * 784 * 100 == 156_800


@note(
    "3.2.2",
    says="tanh(x) = (e^x - e^-x) / (e^x + e^-x), the hyperbolic tangent.",
    verdict="right",
    truth="sinh / cosh, torch.tanh, and 2 sigma(2x) - 1.",
)
def formula_of_tanh():
    x = torch.linspace(-15, 15, 301).double()
    y = nn.Tanh()(x)
    assert_close(y, (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()))
    for other in (torch.tanh(x), torch.sinh(x) / torch.cosh(x), 2 * torch.sigmoid(2 * x) - 1):
        assert_close(y, other)


@note(
    "3.2.2",
    says="tanh can be computed by that formula.",
    verdict="conditional",
    truth="Near 0. In float32 it is inf / inf from x = 89 on.",
)
def tanh_typed_in_overflows():
    x = torch.tensor([1.0, 88.0, 89.0, 100.0])
    typed = (x.exp() - (-x).exp()) / (x.exp() + (-x).exp())
    assert typed.isnan().tolist() == [False, False, True, True]
    assert_close(nn.Tanh()(x), torch.tensor([math.tanh(1), 1, 1, 1]))


@note(
    "3.2.2",
    says="The values of tanh lie in [-1, 1].",
    verdict="wrong",
    truth="In (-1, 1): the ends are never reached, but by rounding (float32: at x = 10).",
)
def range_of_tanh_is_open():
    getcontext().prec = 120
    for x in (9, 100):
        up, down = Decimal(x).exp(), Decimal(-x).exp()
        assert 0 < 1 - (up - down) / (up + down) < Decimal("1e-7")
    y = nn.Tanh()(torch.tensor([-10.0, -8.0, 8.0, 10.0]))
    assert y[0] == -1 < y[1] < y[2] < 1 == y[3]


@note(
    "3.2.2",
    says="The outputs of tanh are centred on 0.",
    verdict="conditional",
    truth="If its inputs are: around 1 the mean is 0.56.",
)
def tanh_is_centred_if_its_inputs_are():
    x = draw(5000)
    x = torch.cat([x, -x])
    assert nn.Tanh()(x).mean().abs() < 1e-12
    assert nn.Tanh()(x + 1).mean().item() == pytest.approx(0.56, abs=0.02)


@note(
    "3.2.2",
    says="In practice tanh is better than the sigmoid.",
    verdict="conditional",
    truth="Five hidden layers learn with it and not with sigmoids. But no tanh is a probability.",
)
def tanh_trains_deep_and_sigmoid_does_not():
    x, k = moons()
    end = {
        act: fit(network([20] * 5, act, "xavier", outputs=2), x, k, 200, 0.5, loss=F.cross_entropy)[
            -1
        ]
        for act in ("sigmoid", "tanh")
    }
    assert end["sigmoid"] == pytest.approx(math.log(2), abs=0.01)
    assert end["tanh"] < 0.05
    assert nn.Tanh()(draw(50)).min() < 0
    # and what a tanh network computes, a sigmoid network with other weights computes too
    (w, b), (v, c) = (draw(2, 5), draw(5, seed=1)), (draw(5, 1, seed=2), draw(1, seed=3))
    by_sigmoid = nn.Sigmoid()(x @ (2 * w) + 2 * b) @ (2 * v) + c - v.sum()
    assert_close(by_sigmoid, nn.Tanh()(x @ w + b) @ v + c)


@note(
    "3.2.2",
    says="tanh still saturates.",
    verdict="right",
    truth="Sooner, even: its slope 1 - y^2 is 1.8e-4 at x = 5, where the sigmoid's is 6.6e-3.",
)
def tanh_saturates():
    x = f64([0.0, 5.0])
    assert_close(slope(nn.Tanh(), x), 1 - torch.tanh(x) ** 2)
    assert slope(nn.Tanh(), x).tolist() == pytest.approx([1, 1.8e-4], rel=0.02)
    assert slope(nn.Sigmoid(), x)[1].item() == pytest.approx(6.6e-3, rel=0.02)


@note(
    "3.2.2",
    says="tanh still has to compute exponentials.",
    verdict="right",
    truth="One suffices: e^-2x, for both signs.",
)
def tanh_needs_an_exponential():
    assert len(operations(nn.Tanh(), draw(5)) & EXPONENTIALS) == 1
    x = draw(50)
    z = (-2 * x.abs()).exp()
    assert_close(torch.tanh(x), x.sign() * (1 - z) / (1 + z))
