"""Chapter 4.2 of the notes: losses; and the figures of the book's chapter 4."""

import math
from fractions import Fraction

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from dlbook_torch import nn

from .base import note
from .tools import (
    coins,
    draw,
    f64,
    fit,
    moons,
    network,
)


@note(
    "4.2",
    says="The search for the best weights is led by the loss function.",
    verdict="right",
    truth="Not by the accuracy, which a small change of a weight does not move: its slope is 0.",
)
def the_loss_leads_and_accuracy_does_not():
    x, k = moons()
    w = draw(2, 2)

    def accuracy(w):
        return ((x @ w).argmax(1) == k).double().mean().item()

    def loss(w):
        return F.cross_entropy(x @ w, k).item()

    nudged = [w + 1e-6 * draw(2, 2, seed=seed) for seed in range(1, 9)]
    assert {accuracy(v) for v in nudged} == {accuracy(w)}
    assert all(loss(v) != loss(w) for v in nudged)


@note(
    "4.2",
    says="Any function can be the loss; usual are mean squared error and cross-entropy.",
    verdict="conditional",
    truth="It needs a slope towards the target: abs(y - t) has one, a count of errors has not.",
)
def a_loss_needs_a_slope():
    x = draw(50, 2)
    t = x[:, :1] - 2 * x[:, 1:]

    def errors(y, t):
        return nn.Step()((y - t).abs() - 0.1).mean()

    for loss in (nn.MSELoss(), nn.L1Loss()):
        assert fit(network([]), x, t, 300, 0.03, torch.optim.Adam, loss)[-1] < 0.05
    losses = fit(network([]), x, t, 50, 0.03, torch.optim.Adam, errors)
    assert losses[0] == losses[-1] > 0.5


@note(
    "4.2",
    says="The loss says how bad the network is: how little it agrees with the labels.",
    verdict="right",
    truth="0 for full agreement, more the further off.",
)
def the_loss_is_badness():
    t = f64([1.0, -2.0])
    squared = [nn.MSELoss()(t + d, t).item() for d in (0.0, 0.5, 1.0, 2.0)]
    assert squared == [0, 0.25, 1, 4]
    scores = [f64([[a, 0.0]]) for a in (1000.0, 3.0, 0.0, -3.0)]
    entropy = [nn.CrossEntropyLoss()(a, torch.tensor([0])).item() for a in scores]
    assert entropy == sorted(entropy)
    assert entropy[0] == 0
    assert entropy[2] == pytest.approx(math.log(2))


@note(
    "4.2",
    says="Why does deep learning use cross-entropy? (They ask, and give no answer.)",
    verdict="right",
    truth="Its gradient on a score is y - t; the squared error's, times y (1 - y), is lost where "
    "y is most wrong: at a score of -10 it is -9e-5 against -1.",
)
def cross_entropy_keeps_its_gradient():
    a, t = f64([-10.0]).requires_grad_(), f64([1.0])
    (by_entropy,) = torch.autograd.grad(nn.BCELoss()(nn.Sigmoid()(a), t), a)
    (by_square,) = torch.autograd.grad(nn.MSELoss()(nn.Sigmoid()(a), t), a)
    y = 1 / (1 + math.exp(10))
    assert by_entropy.item() == pytest.approx(y - 1)
    assert by_square.item() == pytest.approx(2 * (y - 1) * y * (1 - y))
    assert by_square.item() == pytest.approx(-9e-5, rel=0.01)
    scores = draw(4, 3).requires_grad_()
    k = torch.tensor([0, 2, 1, 1])
    (dx,) = torch.autograd.grad(nn.CrossEntropyLoss(reduction="sum")(scores, k), scores)
    assert_close(dx, scores.softmax(1).detach() - F.one_hot(k, 3))


@note(
    "4.2",
    says="All classification uses one-hot labels and cross-entropy.",
    verdict="conditional",
    truth="For one class per sample; the class's index does as well. With two classes at once it "
    "wants 1/2 and 1/2, where binary cross-entropy wants 1 and 1.",
)
def one_hot_is_for_one_class():
    scores, k = draw(6, 4), torch.tensor([0, 2, 1, 1, 3, 0])
    by_index = nn.CrossEntropyLoss()(scores, k)
    assert_close(by_index, nn.CrossEntropyLoss()(scores, F.one_hot(k, 4).double()))
    assert_close(by_index, F.cross_entropy(scores, k))
    both = f64([[1.0, 1.0, 0.0]])
    outputs = []
    for loss, output in (
        (nn.CrossEntropyLoss(), nn.Softmax(-1)),
        (nn.BCEWithLogitsLoss(), nn.Sigmoid()),
    ):
        a = nn.Linear(1, 3).double()
        fit(a, f64([[1.0]]), both, 300, 0.1, torch.optim.Adam, loss)
        outputs.append(output(a(f64([[1.0]])))[0].tolist())
    assert outputs[0] == pytest.approx([0.5, 0.5, 0], abs=0.03)
    assert outputs[1] == pytest.approx([1, 1, 0], abs=0.03)


@note(
    "4.2",
    says="Regression trains with the mean squared error.",
    verdict="conditional",
    truth="For normal noise. One wild value among 11 pulls the mean to 90; abs(y - t) stays at 0.",
)
def squared_error_is_for_normal_noise():
    t = torch.cat([torch.linspace(-1, 1, 10).double(), f64([0.0]) + 990])[:, None]
    best = []
    for loss in (nn.MSELoss(), nn.L1Loss()):
        c = torch.linspace(-10, 100, 2201).double()
        best.append(c[torch.stack([loss(v.expand_as(t), t) for v in c]).argmin()].item())
    assert best[0] == pytest.approx(90, abs=0.05)
    assert abs(best[1]) < 0.2
    mean, y = f64([0.3]), draw(50)  # and it is the negative log-likelihood of a normal law
    likelihood = -torch.distributions.Normal(mean, 1.0).log_prob(y).mean()
    half = nn.MSELoss()(mean.expand_as(y), y) / 2
    assert_close(likelihood, half + math.log(2 * math.pi) / 2)


@note(
    "4.2",
    says="Validate and test with the classification error: it is what matters most.",
    verdict="conditional",
    truth="If the classes are even. With 99 to 1, always saying 0 has an error of 1 % only.",
)
def the_error_hides_a_rare_class():
    even, rare = torch.arange(200) % 2, (torch.arange(200) % 100 == 0).long()
    always_0 = torch.zeros(200).long()
    assert (always_0 != even).double().mean() == 0.5
    assert (always_0 != rare).double().mean().item() == pytest.approx(0.01)
    assert (always_0[rare == 1] != 1).all()  # and it finds none


T = F.one_hot(torch.tensor([2]), 10).double()
RIGHT = f64([[0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0]])  # 0.6 for the right class
WRONG = f64([[0.1, 0.05, 0.1, 0.0, 0.05, 0.1, 0.0, 0.6, 0.0, 0.0]])  # 0.6 for another


def half_sum(y, t):
    """The book's squared error."""
    return ((y - t) ** 2).sum().item() / 2


@note(
    "book ch04",
    says="The sum of squared errors of an answer that is right at 0.6 is 0.0975.",
    verdict="right",
    truth="Half the sum. The mean, torch's MSELoss, is 0.0195.",
)
def squared_error_of_a_right_answer():
    assert half_sum(RIGHT, T) == pytest.approx(0.0975, abs=1e-15)
    assert nn.MSELoss()(RIGHT, T).item() == pytest.approx(0.0195, abs=1e-15)
    assert F.mse_loss(RIGHT, T).item() == pytest.approx(0.0195, abs=1e-15)


@note(
    "book ch04",
    says="The sum of squared errors of an answer that is wrong at 0.6 is 0.5975.",
    verdict="right",
    truth="Half the sum. The mean, torch's MSELoss, is 0.1195.",
)
def squared_error_of_a_wrong_answer():
    assert half_sum(WRONG, T) == pytest.approx(0.5975, abs=1e-15)
    assert nn.MSELoss()(WRONG, T).item() == pytest.approx(0.1195, abs=1e-15)
    assert nn.MSELoss(reduction="sum")(WRONG, T).item() / 2 == pytest.approx(0.5975, abs=1e-15)


@note(
    "book ch04",
    says="The cross-entropy of the answer that is right at 0.6 is 0.510825.",
    verdict="rounded",
    truth="-ln 0.6 = 0.5108256; with the 1e-7 that the book adds, 0.5108255.",
)
def cross_entropy_of_a_right_answer():
    assert round(-math.log(0.6), 7) == 0.5108256
    assert round(-math.log(0.6 + 1e-7), 7) == 0.5108255
    loss = nn.NLLLoss()(RIGHT.log(), torch.tensor([2])).item()
    assert loss == pytest.approx(-math.log(0.6), abs=1e-15)
    assert int(loss * 1e6) == 510825


@note(
    "book ch04",
    says="The cross-entropy of the answer that is wrong at 0.6 is 2.302584.",
    verdict="rounded",
    truth="-ln 0.1 = 2.302585; the 1e-7 that the book adds costs the last digit.",
)
def cross_entropy_of_a_wrong_answer():
    assert round(-math.log(0.1), 6) == 2.302585
    assert round(-math.log(0.1 + 1e-7), 6) == 2.302584
    loss = nn.NLLLoss()(WRONG.log(), torch.tensor([2])).item()
    assert loss == pytest.approx(math.log(10), abs=1e-14)


def central(f, x, h):
    """Central difference."""
    return (f(x + h) - f(x - h)) / (2 * h)


def parabola(x):
    """The book's first function."""
    return 0.01 * x**2 + 0.1 * x


@note(
    "book ch04",
    says="The numerical gradient of 0.01 x^2 + 0.1 x at 5 is 0.1999999999990898.",
    verdict="rounded",
    truth="0.2 exactly; the rest is rounding of differences, not the size of h.",
)
def numerical_gradient_at_5():
    assert central(parabola, 5.0, 1e-4) == 0.1999999999990898
    x = f64(5.0).requires_grad_()
    assert torch.autograd.grad(parabola(x), x)[0].item() == pytest.approx(0.2, abs=1e-15)
    exact = central(lambda x: x * x / 100 + x / 10, Fraction(5), Fraction(1, 10_000))
    assert exact == Fraction(1, 5)


@note(
    "book ch04",
    says="h = 1e-4 is a good step.",
    verdict="conditional",
    truth="In float64. In float32, torch's default, it gives 0.20027; 1e-2 is better there.",
)
def h_is_too_small_for_float32():
    x = torch.tensor(5.0)
    assert central(parabola, x, 1e-4).item() == pytest.approx(0.20027, abs=1e-5)
    assert abs(central(parabola, x, 1e-2).item() - 0.2) < 2e-5
    assert abs(central(parabola, 5.0, 1e-4) - 0.2) < 1e-12


@note(
    "book ch04",
    says="A step of 1e-50 is too small.",
    verdict="right",
    truth="float32 rounds it to 0; in float64 x + h is x, and the gradient comes out as 0.",
)
def h_of_1e_minus_50_is_nothing():
    assert torch.tensor(1e-50) == 0
    assert 5.0 + 1e-50 == 5.0
    assert central(parabola, 5.0, 1e-50) == 0


@note(
    "book ch04",
    says="The scripts measure accuracy on the test set after every epoch.",
    verdict="conditional",
    truth="To look at. Choose by it, and it is no test: the best of 200 coins gets 60 % and more.",
)
def choosing_on_the_test_set_spoils_it():
    right = coins(200).double().mean(1)
    assert right[0] == pytest.approx(0.5, abs=0.1)
    assert right.max() >= 0.6
