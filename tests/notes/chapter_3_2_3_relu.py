"""Chapter 3.2.3 of the notes: ReLU."""

import math

import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from dlbook_torch import nn

from .base import note
from .tools import (
    CORNERS,
    XOR,
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
    "3.2.3",
    says="ReLU is f(x) = max(0, x).",
    verdict="right",
    truth="torch.relu; not a number stays what it is.",
)
def formula_of_relu():
    x = torch.cat([5 * draw(200), f64([0.0, math.inf, -math.inf])])
    assert torch.equal(nn.ReLU()(x), f64([max(0.0, v) for v in x.tolist()]))
    assert torch.equal(nn.ReLU()(x), torch.relu(x))
    assert nn.ReLU()(f64([math.nan])).isnan()


@note(
    "3.2.3",
    says="SGD converges faster with ReLU than with sigmoid or tanh.",
    verdict="conditional",
    truth="Five layers on two moons: yes at lr 0.5; at lr 1 they can die where tanh learns.",
)
def relu_converges_faster_unless_it_dies():
    x, k = moons()

    def end(activation, init, lr, seed):
        model = network([20] * 5, activation, init, outputs=2, seed=seed)
        return fit(model, x, k, 100, lr, loss=F.cross_entropy)[-1]

    for seed in (0, 3):
        relu, tanh = end("relu", "he", 0.5, seed), end("tanh", "xavier", 0.5, seed)
        assert 2 * relu < tanh < end("sigmoid", "xavier", 0.5, seed) - 0.3
    assert end("relu", "he", 1.0, 3) == pytest.approx(math.log(2), abs=1e-3)
    assert end("tanh", "xavier", 1.0, 3) < 0.1


@note(
    "3.2.3",
    says="For x > 0 a ReLU does not saturate.",
    verdict="right",
    truth="The slope is exactly 1, at 1e-30 as at 1e30.",
)
def relu_does_not_saturate_above_0():
    assert slope(nn.ReLU(), f64([1e-30, 1.0, 1e30])).tolist() == [1, 1, 1]


@note(
    "3.2.3",
    says="For x > 0 gradients do not vanish in a ReLU.",
    verdict="conditional",
    truth="Not by the ReLU. Small weights still shrink them: std 0.01 kills them in ten layers.",
)
def gradients_vanish_through_small_weights():
    x, t = draw(64, 20), draw(64, 1, seed=1)
    norms = {
        init: first_gradient(network([50] * 10, "relu", init, inputs=20), x, t)[0]
        for init in ("he", 0.01)
    }
    assert norms["he"] > 0.01
    assert norms[0.01] < 1e-9


@note(
    "3.2.3",
    says="ReLU is cheap: no exponential, one threshold.",
    verdict="right",
    truth="One comparison per number.",
)
def relu_is_one_threshold():
    assert operations(nn.ReLU(), draw(5)) <= {"clamp", "clamp_", "alias", "detach"}


@note(
    "3.2.3",
    says="The outputs of ReLU are not centred on 0.",
    verdict="right",
    truth="Their mean for standard normal inputs is 1 / sqrt(2 pi) = 0.399.",
)
def relu_is_not_centred():
    x = f64(stats.norm.ppf([(i + 0.5) / 10_000 for i in range(10_000)]))
    assert nn.ReLU()(x).mean().item() == pytest.approx(1 / math.sqrt(2 * math.pi), abs=1e-4)


@note(
    "3.2.3",
    says="For x < 0 the gradient of ReLU is 0.",
    verdict="right",
    truth="And at 0 too, by agreement. Typed in as torch.maximum(x, 0) it would be 1/2 there.",
)
def relu_has_no_gradient_below_0():
    x = f64([-1e30, -1.0, -1e-30, 0.0])
    assert not slope(nn.ReLU(), x).any()
    assert not slope(torch.relu, x).any()
    zero = torch.zeros(4).double()
    assert slope(lambda v: torch.maximum(v, zero), x).tolist() == [0, 0, 0, 0.5]


@note(
    "3.2.3",
    says="A dead ReLU answers to no data any more and is never updated.",
    verdict="conditional",
    truth="If it is off for all samples, and as long as the layers below do not move its inputs.",
)
def a_dead_relu_stays_dead_if_nothing_below_moves():
    x = draw(50, 1).abs()
    dead = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1)).double()
    with torch.no_grad():
        dead[0].weight.fill_(-1)
        dead[0].bias.fill_(-1)
    before = dead[0].weight.item(), dead[0].bias.item()
    fit(dead, x, 3 * x, 100, 0.1)
    assert (dead[0].weight.item(), dead[0].bias.item()) == before
    # here the input of the unit, a x, is learned by another branch: a grows, and the unit wakes up
    a = f64(0.1).requires_grad_()

    def unit():
        return nn.ReLU()(a * x - 1)

    assert not unit().any()
    for _ in range(50):
        loss = (a * x + unit() - 3 * x).square().mean()
        a = (a - 0.1 * torch.autograd.grad(loss, a)[0]).detach().requires_grad_()
    assert unit().any()


@note(
    "3.2.3",
    says="The gradients of a dead neuron and of those after it are 0 for ever.",
    verdict="wrong",
    truth="Only its own weights, in and out, stop. The units beside and after it go on learning.",
)
def units_after_a_dead_one_go_on_learning():
    model = network([3, 3], "tanh")
    model.layers[2] = nn.ReLU()  # after the first affine layer
    first, second, last = (layer for layer in model.modules() if isinstance(layer, nn.Linear))
    with torch.no_grad():
        first.bias.copy_(f64([-100.0, 5.0, 5.0]))
    F.mse_loss(model(CORNERS), XOR).backward()
    assert not first.weight.grad[0].any()
    assert not second.weight.grad[:, 0].any()
    assert first.weight.grad[1:].any(1).all()
    assert second.weight.grad[:, 1:].all()
    assert second.bias.grad.all()
    assert last.weight.grad.all()


@note(
    "3.2.3",
    says="ReLUs die from their initial weights.",
    verdict="right",
    truth="With a bias of -10 a unit is off for all 200 samples, before the first step.",
)
def units_die_of_their_first_weights():
    layer, x = nn.Linear(2, 20).double(), draw(200, 2)
    assert (layer(x) > 0).any(0).all()
    nn.init.constant_(layer.bias, -10)
    assert not (layer(x) > 0).any()


def dead_share(lr, target=-100.0, rule=torch.optim.SGD):
    """Of the units that are on for some sample, how many one step towards the target turns off."""
    layer, x = nn.Linear(2, 200).double(), draw(200, 2).sigmoid()  # as pixels, above 0
    torch.manual_seed(0)
    nn.init.kaiming_normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    before = (layer(x) > 0).any(0)
    head = nn.Linear(200, 1).double()
    fit(
        nn.Sequential(layer, nn.ReLU(), head), x, torch.full((200, 1), target).double(), 1, lr, rule
    )
    return (before & ~(layer(x) > 0).any(0)).double().sum().item() / before.sum().item()


@note(
    "3.2.3",
    says="ReLUs die from a learning rate that is too high.",
    verdict="right",
    truth="One step at lr 1 towards a target of -100 turns off half of those that were on.",
)
def units_die_of_a_high_learning_rate():
    assert dead_share(0.0) == 0
    assert dead_share(1.0) > 0.4


@note(
    "3.2.3",
    says="A cure of dead ReLUs: a learning rate that is not too high.",
    verdict="conditional",
    truth="It prevents: at 0.001 no unit dies. It wakes none that is dead.",
)
def a_lower_learning_rate_prevents_death():
    assert dead_share(1e-3) == 0
    dead = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 1)).double()
    nn.init.constant_(dead[0].bias, -10)
    x, before = draw(50, 2), dead[0].weight.clone()
    fit(dead, x, x[:, :1], 50, 1e-3)
    assert torch.equal(dead[0].weight, before)


@note(
    "3.2.3",
    says="A cure of dead ReLUs: AdaGrad, which adapts the rate by itself.",
    verdict="conditional",
    truth="Its first step is lr however huge the gradient; but lr 1 kills, and it wakes none.",
)
def adagrad_does_not_save_from_a_high_rate():
    adagrad = torch.optim.Adagrad
    for target in (-1e2, -1e4, -1e6):
        assert dead_share(0.01, target, adagrad) < 0.02
    assert dead_share(0.01, -1e4) > 0.4
    assert dead_share(1.0, -1e2, adagrad) > 0.4
    layer = nn.Linear(2, 5).double()
    nn.init.constant_(layer.bias, -10)
    x = draw(50, 2)
    fit(nn.Sequential(layer, nn.ReLU(), nn.Linear(5, 1).double()), x, x[:, :1], 20, 1.0, adagrad)
    assert (layer.bias == -10).all()


@note(
    "3.2.3",
    says="A cure of dead ReLUs: Xavier's initial weights.",
    verdict="wrong",
    truth="ReLU needs He's sqrt(2/n): with 1/sqrt(n) the signal's square halves in every layer.",
)
def relu_needs_he_not_xavier():
    def left(init):
        x = y = draw(100, 200)
        model = network([200] * 20, "relu", init, inputs=200)
        for layer in model.layers[:-1]:
            y = layer(y)
        return (y.square().mean() / x.square().mean()).item()

    assert 0.2 < 2 * left("he") < 5  # after a ReLU half of the square is left
    assert left("xavier") == pytest.approx(left("he") / 2**20, rel=1e-6)
