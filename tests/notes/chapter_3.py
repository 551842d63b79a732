"""Chapter 3 of the notes: from the perceptron to the network."""

import math
from decimal import Decimal, getcontext
from itertools import product

import pytest
import torch
from scipy import special, stats
from sklearn.isotonic import IsotonicRegression
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from dlbook_torch import nn
from dlbook_torch.models import MLP, DeepConvNet, hidden_units
from dlbook_torch.parity.checks.handwritten import Recorder

from .base import note
from .tools import CORNERS, answers, draw, f64, fit, moons, parted_by_a_line, perceptron, solve

XOR = f64([[0.0], [1.0], [1.0], [0.0]])
EXPONENTIALS = {"exp", "exp_", "expm1", "expm1_"}


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
    F.mse_loss(model(x), t).backward()
    norms = [p.grad.norm().item() for p in model.parameters() if p.dim() > 1]
    return norms[0], norms[-1]


def operations(layer, x):
    """The aten operations that a layer's forward pass asks for."""
    with torch.no_grad(), Recorder() as seen:
        layer(x)
    return seen.names


# 3.1


@note(
    "3.1",
    says="Layers count from 0: the input is layer 0, the hidden one 1, the output 2.",
    verdict="right",
    truth="So the last number is the number of layers that have weights.",
)
def layers_count_from_0():
    model, x = network([3], outputs=2), draw(4, 2)
    affine = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert [2, *(layer.out_features for layer in affine)] == [2, 3, 2]
    assert len(affine) == 2
    assert_close(model(x), affine[1](torch.relu(affine[0](x))))


@note(
    "3.1",
    says="Hidden means that the neurons in the middle are not seen.",
    verdict="right",
    truth="From outside one cannot even tell them apart: in another order they give one output.",
)
def hidden_units_cannot_be_told_apart():
    model, x, order = network([5], "tanh"), draw(9, 2), [3, 0, 4, 1, 2]
    before = model(x)
    first, last = (layer for layer in model.modules() if isinstance(layer, nn.Linear))
    with torch.no_grad():
        first.weight.copy_(first.weight[order])
        assert not torch.allclose(model(x), before)
        first.bias.copy_(first.bias[order])
        last.weight.copy_(last.weight[:, order])
    assert_close(model(x), before)


# 3.2


@note(
    "3.2",
    says="The activation function decides how the sum of the inputs fires.",
    verdict="right",
    truth="A sum of -1 leaves a step and a ReLU as 0, a sigmoid as 0.269, a tanh as -0.762.",
)
def the_activation_decides_how_a_sum_fires():
    x = f64([-1.0])
    layers = nn.Step(), nn.ReLU(), nn.Sigmoid(), nn.Tanh()
    e = math.e
    expected = 0, 0, 1 / (1 + e), (1 / e - e) / (1 / e + e)
    assert [layer(x).item() for layer in layers] == pytest.approx(expected)
    assert expected[2:] == pytest.approx((0.269, -0.762), abs=5e-4)


@note(
    "3.2",
    says="An activation function maps the input of a node to its output.",
    verdict="conditional",
    truth="Sigmoid, tanh and ReLU do; in a softmax every output depends on every input.",
)
def an_activation_maps_node_by_node():
    x = draw(4)
    for layer in (nn.Sigmoid(), nn.Tanh(), nn.ReLU()):
        jacobian = torch.autograd.functional.jacobian(layer, x)
        assert torch.equal(jacobian, jacobian.diag().diag())
    assert torch.autograd.functional.jacobian(nn.Softmax(-1), x).all()


@note(
    "3.2",
    says="A computer chip is a network of on/off activations, like the linear perceptron.",
    verdict="right",
    truth="NAND alone adds two bits. But an on/off step has gradient 0: it cannot be trained so.",
)
def a_chip_is_made_of_nand():
    nand = nn.NAND(dtype=torch.float64)
    for a, b in product((0, 1), repeat=2):
        gate = lambda x, y: nand(torch.stack([x, y], -1))[..., 0]  # noqa: E731
        x, y = f64(a), f64(b)
        n = gate(x, y)
        total, carry = gate(gate(x, n), gate(y, n)), gate(n, n)
        assert 2 * carry + total == a + b
    assert not slope(nn.Step(), draw(50)).any()


@note(
    "3.2",
    says="Only non-linear activations let few nodes solve problems that are not trivial.",
    verdict="right",
    truth="A stack of affine layers is one affine layer: for XOR its best is 1/2 everywhere.",
)
def affine_layers_in_a_row_are_one():
    first, second = nn.Linear(2, 5).double(), nn.Linear(5, 1).double()
    w, b = second.weight @ first.weight, second.weight @ first.bias + second.bias
    assert_close(nn.Sequential(first, second)(CORNERS), CORNERS @ w.T + b)
    columns = torch.cat([CORNERS, torch.ones(4, 1)], 1)
    assert_close(columns @ solve(columns, XOR), f64([[0.5]] * 4))
    two, h = f64([[1.0], [-2.0]]), torch.relu(CORNERS.sum(1, True) - f64([0.0, 1.0]))
    assert torch.equal(h @ two, XOR)  # two ReLUs do


@note(
    "3.2",
    says="With non-linear activations a network can represent any complicated function.",
    verdict="conditional",
    truth="Not if they are polynomials: squares give parabolas, however many. ReLUs come close.",
)
def polynomial_activations_do_not_suffice():
    x = torch.linspace(-1, 1, 200).double()[:, None]
    t = (3 * torch.pi * x).sin()

    def error(activation, width):
        h = torch.cat([activation(3 * x * draw(width) + 3 * draw(width, seed=1)), x**0], 1)
        return (h @ solve(h, t) - t).square().mean().item()

    best_parabola = torch.cat([x**2, x, x**0], 1)
    floor = (best_parabola @ solve(best_parabola, t) - t).square().mean().item()
    assert floor > 0.4
    assert error(torch.square, 100) == pytest.approx(floor, rel=1e-6)
    assert error(nn.ReLU(), 100) < 0.01


# 3.2.1


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


# 3.2.2


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


# 3.2.3


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


# 3.3


@note(
    "3.3",
    says="a1 = w11 x1 + w12 x2 + b1.",
    verdict="right",
    truth="The first number of w is the unit it leads to, the second where it comes from.",
)
def one_sum_by_hand():
    layer = nn.Linear(2, 3).double()
    (w11, w12), b1 = layer.weight[0].tolist(), layer.bias[0].item()
    assert layer(f64([1.0, 0.5]))[0].item() == pytest.approx(w11 * 1.0 + w12 * 0.5 + b1)


@note(
    "3.3",
    says="A = X W + B.",
    verdict="right",
    truth="Here W has a column per unit, w12 in row 2; torch keeps it transposed: X W^T + B.",
)
def a_layer_is_a_product_of_matrices():
    x, layer = draw(4, 2), nn.Linear(2, 3).double()
    w_of_the_book = layer.weight.T
    a = [
        [sum(x[n, i] * w_of_the_book[i, j] for i in range(2)) + layer.bias[j] for j in range(3)]
        for n in range(4)
    ]
    assert_close(layer(x), torch.stack([torch.stack(row) for row in a]))
    assert_close(F.linear(x, layer.weight, layer.bias), x @ w_of_the_book + layer.bias)
    assert w_of_the_book[1, 0] == layer.weight[0, 1]


@note(
    "3.3",
    says="In code: affine, sigmoid, affine, sigmoid, affine, softmax; image by image.",
    verdict="right",
    truth="A whole batch at once gives the same.",
)
def an_image_alone_is_an_image_in_a_batch():
    w = [draw(7, 5), draw(5, 4, seed=1), draw(4, 3, seed=2)]
    b, x = [draw(5), draw(4, seed=1), draw(3, seed=2)], draw(6, 7, seed=3)
    layers = [nn.Linear(7, 5), nn.Linear(5, 4), nn.Linear(4, 3)]
    for layer, weight, bias in zip(layers, w, b, strict=True):
        layer.double().load_state_dict({"weight": weight.T, "bias": bias})
    model = nn.Sequential(
        layers[0], nn.Sigmoid(), layers[1], nn.Sigmoid(), layers[2], nn.Softmax(-1)
    )
    for image, y in zip(x, model(x), strict=True):
        z = torch.sigmoid(torch.sigmoid(image @ w[0] + b[0]) @ w[1] + b[1])
        assert_close(y, f64(special.softmax((z @ w[2] + b[2]).numpy())))
        assert_close(model(image), y)


@note(
    "3.3",
    says="The accuracy is the number of right argmaxes divided by the number of images.",
    verdict="right",
    truth="One minus the classification error of 4.2.",
)
def accuracy_is_a_share():
    y, t = draw(200, 10).softmax(1), torch.arange(200) % 10
    right = sum(
        int(max(range(10), key=row.__getitem__) == k) for row, k in zip(y.tolist(), t, strict=True)
    )
    assert 0 < right < 200
    assert (y.argmax(1) == t).double().mean().item() == right / 200


# 3.4


def residual(output, loss, t):
    """Gradient of the summed loss on the scores, minus what the output is short of: y - t."""
    a = draw(6, 3).requires_grad_()
    return torch.autograd.grad(loss(output(a), t), a)[0] - (output(a) - t)


@note(
    "3.4",
    says="Regression: the identity as output.",
    verdict="right",
    truth="It reaches every number, and half the squared error has the gradient y - t.",
)
def regression_has_the_identity():
    t = 5 * draw(6, 3, seed=1)
    half = lambda y, t: nn.MSELoss(reduction="sum")(y, t) / 2  # noqa: E731
    assert_close(residual(nn.Identity(), half, t), torch.zeros(6, 3).double())
    assert torch.equal(nn.Identity()(t), t)
    assert nn.Sigmoid()(1e9 * t).max() == 1  # a sigmoid would not reach 5


@note(
    "3.4",
    says="Two classes: the sigmoid as output.",
    verdict="right",
    truth="With binary cross-entropy its gradient is y - t.",
)
def two_classes_have_the_sigmoid():
    t = (draw(6, 3, seed=1) > 0).double()
    zero = torch.zeros(6, 3).double()
    assert_close(residual(nn.Sigmoid(), nn.BCELoss(reduction="sum"), t), zero)


@note(
    "3.4",
    says="Many classes: softmax as output.",
    verdict="right",
    truth="With cross-entropy its gradient is y - t.",
)
def many_classes_have_the_softmax():
    t = f64(torch.eye(3)[[0, 2, 1, 1, 0, 2]].tolist())
    cross_entropy = lambda y, t: -(t * y.log()).sum()  # noqa: E731
    assert_close(residual(nn.Softmax(-1), cross_entropy, t), torch.zeros(6, 3).double())


@note(
    "3.4",
    says="y_k = exp(a_k) / sum_i exp(a_i).",
    verdict="right",
    truth="torch.softmax.",
)
def formula_of_softmax():
    a = draw(5, 4)
    e = a.exp()
    assert_close(nn.Softmax(-1)(a), e / e.sum(-1, keepdim=True))
    assert_close(nn.Softmax(-1)(a), torch.softmax(a, -1))


@note(
    "3.4",
    says="Computed by its formula, softmax overflows.",
    verdict="right",
    truth="Scores of 1010, 1000 and 990 give nan, nan, nan, in float64 too.",
)
def softmax_typed_in_overflows():
    e = f64([1010.0, 1000.0, 990.0]).exp()
    assert (e / e.sum()).isnan().all()
    assert nn.Softmax(-1)(f64([1010.0, 1000.0, 990.0])).isfinite().all()


@note(
    "3.4",
    says="e^100 is above 20000.",
    verdict="wrong",
    truth="Meant is e^10 = 22026.47; e^100 is 2.69e43.",
)
def e_to_the_10_is_above_20000():
    assert math.exp(10) == pytest.approx(22026.4658, abs=1e-4)
    assert math.exp(100) == pytest.approx(2.69e43, rel=1e-3)
    assert math.log(20000) == pytest.approx(9.9035, abs=1e-4)


@note(
    "3.4",
    says="e^100 is a number with more than 40 zeros.",
    verdict="conditional",
    truth="44 digits in float64. In float32, torch's default, all above e^88.7 is inf.",
)
def e_to_the_100_has_44_digits():
    getcontext().prec = 60
    assert len(str(int(Decimal(100).exp()))) == 44
    assert f64(100.0).exp().item() == pytest.approx(2.688117e43, rel=1e-6)
    assert torch.tensor(100.0).exp() == math.inf
    x = torch.arange(88.0, 90.0, 0.0625)
    assert x[x.exp().isinf()][0] == 88.75
    assert math.log(torch.finfo(torch.float32).max) == pytest.approx(88.72, abs=0.01)


@note(
    "3.4",
    says="e^1000 comes back as inf.",
    verdict="right",
    truth="It is 1.97e434; float64 ends at 1.8e308, that is e^709.78.",
)
def e_to_the_1000_is_inf():
    getcontext().prec = 30
    assert f64(1000.0).exp() == math.inf
    assert f"{Decimal(1000).exp():.2e}" == "1.97e+434"
    assert math.log(torch.finfo(torch.float64).max) == pytest.approx(709.78, abs=0.01)


@note(
    "3.4",
    says="Dividing values like e^1000 gives something undefined.",
    verdict="right",
    truth="inf / inf is nan.",
)
def inf_by_inf_is_nan():
    assert (f64(1000.0).exp() / f64(2000.0).exp()).isnan()
    assert (f64(100.0).exp() / f64(100.0).exp()) == 1  # huge alone is no harm


@note(
    "3.4",
    says="A constant added to all scores, or subtracted, does not change the softmax.",
    verdict="right",
    truth="e^C cancels.",
)
def softmax_does_not_see_a_constant():
    a = draw(5, 4)
    for c in (-50.0, 0.3, 700.0, 1e4):
        assert_close(nn.Softmax(-1)(a + c), torch.softmax(a, -1), atol=1e-11, rtol=0)
    e, c = a.exp(), 3.0
    assert_close((math.exp(c) * e) / (math.exp(c) * e).sum(-1, keepdim=True), torch.softmax(a, -1))


@note(
    "3.4",
    says="The constant added to the scores may be anything.",
    verdict="conditional",
    truth="On paper. Beside 1e17 the differences between the scores are rounded away.",
)
def a_constant_can_be_too_large():
    a = f64([1.0, 2.0, 3.0])
    assert_close(nn.Softmax(-1)(a + 1e3 - 1e3), torch.softmax(a, -1))
    assert nn.Softmax(-1)(a + 1e17 - 1e17).tolist() == pytest.approx([1 / 3] * 3)


@note(
    "3.4",
    says="Against overflow one takes the largest score as the constant.",
    verdict="conditional",
    truth="Subtracted: then the largest exponent is 0. Added, it makes the overflow worse.",
)
def the_maximum_is_subtracted():
    a = f64([600.0, 590.0])

    def typed(a):
        return a.exp() / a.exp().sum()

    assert typed(a - a.max()).tolist() == pytest.approx(special.softmax([600.0, 590.0]))
    assert typed(a).isfinite().all()
    assert typed(a + a.max()).isnan().all()


@note(
    "3.4",
    says="The outputs of softmax lie between 0 and 1.",
    verdict="right",
    truth="The ends by rounding only.",
)
def softmax_lies_between_0_and_1():
    y = nn.Softmax(-1)(3 * draw(200, 5))
    assert 0 < y.min() < y.max() < 1
    assert nn.Softmax(-1)(f64([0.0, 1000.0])).tolist() == [0, 1]


@note(
    "3.4",
    says="The outputs of softmax sum up to 1.",
    verdict="right",
    truth="So they can be read as probabilities.",
)
def softmax_sums_to_1():
    y = nn.Softmax(-1)(torch.cat([3 * draw(200, 5), 1000 * draw(200, 5)]))
    assert_close(y.sum(-1), torch.ones(400).double())


@note(
    "3.4",
    says="The answer of the network is the class of the largest output only.",
    verdict="right",
    truth="Which throws away how sure it was: 0.4 and 0.99 give one answer.",
)
def the_answer_is_the_largest_output():
    y = f64([[0.3, 0.4, 0.3], [0.005, 0.99, 0.005]])
    assert y.argmax(1).tolist() == [1, 1]
    a = draw(300, 4)
    assert torch.equal(nn.Softmax(-1)(a).sort(1).indices[:, -1], a.argmax(1))


@note(
    "3.4",
    says="Softmax leaves the largest output where it is.",
    verdict="right",
    truth="The exponential rises: the order of all outputs stays.",
)
def softmax_keeps_the_order():
    a = 3 * draw(500, 6)
    assert torch.equal(nn.Softmax(-1)(a).argsort(-1), a.argsort(-1))


@note(
    "3.4",
    says="At inference softmax may be, and usually is, left out, to save exponentials.",
    verdict="conditional",
    truth="For the class alone. The mean over three networks is another class by probabilities.",
)
def softmax_may_be_left_out_for_the_class():
    a = draw(100, 4)
    assert torch.equal(a.argmax(1), torch.softmax(a, 1).argmax(1))
    three = f64([[9.0, 0.0], [-3.0, 0.0], [-3.0, 0.0]])
    assert three.mean(0).argmax() == 0
    assert nn.Softmax(-1)(three).mean(0).argmax() == 1


@note(
    "book ch03",
    says="softmax(1010, 1000, 990) = 0.99995460, 4.5397869e-5, 2.0610600e-9.",
    verdict="rounded",
    truth="0.999954600070, 4.539786861e-5, 2.061060046e-9.",
)
def softmax_of_large_scores():
    y = nn.Softmax(-1)(f64([1010.0, 1000.0, 990.0])).tolist()
    assert y == pytest.approx(special.softmax([1010, 1000, 990]), rel=1e-12)
    assert y == pytest.approx([0.99995460, 4.5397869e-5, 2.0610600e-9], rel=5e-8)
    assert [f"{v:.9e}" for v in y[1:]] == ["4.539786861e-05", "2.061060046e-09"]


@note(
    "book ch03",
    says="softmax(0.3, 2.9, 4.0) = 0.01821127, 0.24519181, 0.73659691.",
    verdict="rounded",
    truth="To eight digits; they sum up to 0.99999999.",
)
def softmax_of_small_scores():
    y = nn.Softmax(-1)(f64([0.3, 2.9, 4.0]))
    printed = [0.01821127, 0.24519181, 0.73659691]
    assert [round(v, 8) for v in y.tolist()] == printed
    assert sum(printed) == pytest.approx(0.99999999, abs=1e-12)


# 3.5


@note(
    "3.5",
    says="Every network has one input layer and one output layer.",
    verdict="conditional",
    truth="Those of the notes do. Attention has three inputs and two outputs.",
)
def attention_has_three_inputs():
    assert network([3])(CORNERS).shape == (4, 1)
    query, key, value = draw(2, 1, 4), draw(3, 1, 4, seed=1), draw(3, 1, 4, seed=2)
    y, weights = nn.MultiheadAttention(4, 1).double()(query, key, value)
    assert (y.shape, weights.shape) == ((2, 1, 4), (1, 2, 3))


@note(
    "3.5",
    says="The input layer has a unit per variable of the data.",
    verdict="right",
    truth="784 for a 28 x 28 image; another number is refused.",
)
def a_unit_per_variable():
    model = network([3], inputs=784)
    assert model(torch.zeros(2, 1, 28, 28).double()).shape == (2, 1)
    with pytest.raises(RuntimeError, match="783"):
        model(torch.zeros(2, 783).double())


@note(
    "3.5",
    says="The output layer has a unit per output that belongs to an input.",
    verdict="right",
    truth="Ten for ten digits: with nine, the tenth has no place.",
)
def a_unit_per_output():
    images, labels = torch.zeros(10, 784).double(), torch.arange(10)
    assert nn.CrossEntropyLoss()(network([3], inputs=784, outputs=10)(images), labels) > 0
    with pytest.raises(IndexError, match="9"):
        nn.CrossEntropyLoss()(network([3], inputs=784, outputs=9)(images), labels)


def polygon(k):
    """k perceptrons, one per side, and one that fires inside all of them."""
    angle = 2 * torch.pi * torch.arange(k).double() / k
    sides = perceptron(torch.stack([-angle.cos(), -angle.sin()], 1).tolist(), [1.0] * k)
    return nn.Sequential(sides, perceptron([1.0] * k, 0.5 - k))


PLANE = torch.cartesian_prod(*[torch.linspace(-2, 2, 81).double()] * 2)


@note(
    "3.5",
    says="Draw the boundary that parts the classes, as a set of line segments.",
    verdict="right",
    truth="The more segments, the closer to a circle. But it needs a picture: two variables.",
)
def a_circle_is_many_segments():
    inside = (PLANE.square().sum(1) < 1).int()
    wrong = [(polygon(k)(PLANE)[:, 0] != inside).sum().item() for k in (4, 8, 16, 32)]
    assert wrong == sorted(wrong, reverse=True)
    assert wrong[-1] < wrong[0] / 20


@note(
    "3.5",
    says="The first hidden layer has as many units as there are segments.",
    verdict="conditional",
    truth="Of steps, yes. ReLUs may need fewer: three draw a diamond of four sides.",
)
def three_relus_draw_four_sides():
    x, y = PLANE.T
    diamond = x.abs() + y.abs() < 0.99
    turned = PLANE @ f64([[1.0, 1.0], [1.0, -1.0]])  # the diamond is a square in these
    assert torch.equal(polygon(4)(turned / 0.99)[:, 0] > 0, diamond)
    fewer = 2 * torch.relu(x) + 2 * torch.relu(y) + torch.relu(9 - x - y) - 9
    assert torch.equal(fewer < 0.99, diamond)


@note(
    "3.5",
    says="Joining segments adds a hidden layer, with a unit per join.",
    verdict="right",
    truth="Two triangles: six segments, two joins, one output: 6, 2 and 1 units.",
)
def a_join_is_a_unit_of_the_next_layer():
    triangle = polygon(3)
    near, far = PLANE, PLANE - f64([1.0, 0.5])  # the second triangle is shifted
    expected = (triangle(near) > 0) | (triangle(far) > 0)
    w, b = triangle[0].weight, triangle[0].bias
    lines = perceptron(torch.cat([w, w]).tolist(), torch.cat([b, b - w @ f64([1.0, 0.5])]).tolist())
    joins = perceptron([[1.0] * 3 + [0.0] * 3, [0.0] * 3 + [1.0] * 3], [-2.5, -2.5])
    model = nn.Sequential(lines, joins, perceptron((1.0, 1.0), -0.5))
    assert torch.equal(model(PLANE) > 0, expected)
    assert 0 < expected.sum() < len(PLANE)


@note(
    "3.5",
    says="Hidden layers are needed if and only if the data must be parted non-linearly.",
    verdict="conditional",
    truth="In the given variables: with x1 x2 as a third, XOR needs no hidden layer.",
)
def hidden_layers_are_for_what_no_line_parts():
    t = XOR[:, 0].int().tolist()
    assert parted_by_a_line(CORNERS, [0, 1, 1, 1])
    assert not parted_by_a_line(CORNERS, t)
    assert answers(nn.XOR(dtype=torch.float64)) == t
    product = torch.cat([CORNERS, CORNERS.prod(1, keepdim=True)], 1)
    assert parted_by_a_line(product, t)
    assert answers(perceptron((1.0, 1.0, -2.0), -0.5), product) == t


@note(
    "3.5",
    says="No hidden layer: only what a line parts.",
    verdict="right",
    truth="Trained on XOR, it stays at a loss of ln 2, a coin's.",
)
def no_hidden_layer_is_a_line():
    k = XOR[:, 0].long()
    line, bent = network([], outputs=2), network([8], "tanh", "xavier", outputs=2)
    loss = fit(line, CORNERS, k, 300, 1.0, loss=F.cross_entropy)[-1]
    assert loss == pytest.approx(math.log(2), abs=1e-3)
    assert fit(bent, CORNERS, k, 300, 1.0, loss=F.cross_entropy)[-1] < 0.05


def hinges(x, n):
    """sin(2 pi x) by straight pieces between n + 1 points of [0, 1]: one hidden layer of ReLUs."""
    knots = torch.linspace(0, 1, n + 1).double()
    values = (2 * torch.pi * knots).sin()
    slopes = values.diff() * n
    turns = torch.cat([slopes[:1], slopes.diff()])
    return values[0] + nn.ReLU()(x[:, None] - knots[:-1]) @ turns


@note(
    "3.5",
    says="One hidden layer: any continuous map from one finite space to another.",
    verdict="conditional",
    truth="As closely as one likes, on a bounded set, with enough units. Outside of it, no.",
)
def one_hidden_layer_approximates():
    x = torch.linspace(0, 1, 2001).double()
    for n in (8, 32, 128):
        worst = (hinges(x, n) - (2 * torch.pi * x).sin()).abs().max()
        bound = (2 * torch.pi) ** 2 / (8 * n**2)
        assert bound / 2 < worst < bound
    assert (hinges(f64([3.25]), 128) - 1).abs() > 10  # sin(2 pi 3.25) = 1


@note(
    "3.5",
    says="Two hidden layers: any decision boundary to any precision.",
    verdict="right",
    truth="Steps are sides, their AND is a box, the OR of boxes any shape: finer with more units.",
)
def two_hidden_layers_draw_any_boundary():
    points = 1.5 * (draw(2000, 2, seed=5).remainder(2) - 1)
    radius = points.norm(dim=1)
    ring = (radius > 0.6) & (radius < 1.2)  # in two pieces of boundary
    wrong = []
    for n in (4, 8, 16, 32):
        side = torch.linspace(-1.5, 1.5, n + 1).double()
        steps = torch.cat([nn.Step()(points[:, :1] - side), nn.Step()(points[:, 1:] - side)], 1)
        middle = torch.cartesian_prod(side[:-1] + 1.5 / n, side[:-1] + 1.5 / n)
        wanted = ((middle.norm(dim=1) > 0.6) & (middle.norm(dim=1) < 1.2)).nonzero()[:, 0]
        i, j = wanted // n, wanted % n + n + 1
        boxes = torch.zeros(len(wanted), 2 * n + 2).double()
        for column, sign in ((i, 1.0), (i + 1, -1.0), (j, 1.0), (j + 1, -1.0)):
            boxes[torch.arange(len(wanted)), column] = sign
        inside = nn.Step()(steps @ boxes.T - 1.5)
        wrong.append((nn.Step()(inside.sum(1) - 0.5) != ring).double().mean().item())
    assert wrong == sorted(wrong, reverse=True)
    assert wrong[0] > 0.15
    assert wrong[-1] < 0.04


def pieces(y):
    """How many straight pieces a curve over evenly spaced points has."""
    return int((y.diff().diff().abs() > 1e-9).sum()) + 1


def tents(x, depth):
    """Fold [0, 1] in the middle, depth times: each layer has two ReLUs."""
    for _ in range(depth):
        x = 2 * nn.ReLU()(x) - 4 * nn.ReLU()(x - 0.5)
    return x


@note(
    "3.5",
    says="More than two hidden layers learn complex descriptions, features of a kind.",
    verdict="conditional",
    truth="Eight layers of two ReLUs make 256 pieces of a line; one layer needs a unit per kink. "
    "Affine layers add nothing.",
)
def deep_layers_fold_folds():
    x = torch.linspace(0, 1, 2**10 + 1).double()
    assert [pieces(tents(x, depth)) for depth in (1, 2, 3, 8)] == [2, 4, 8, 256]
    flat = nn.ReLU()(x[:, None] * draw(20) + draw(20, seed=1)) @ draw(20, seed=2)
    assert 5 < pieces(flat) <= 2 * 20 + 1  # a kink between two points shows at both
    y = x[:, None]
    for _ in range(8):
        y = nn.Linear(y.shape[1], 2).double()(y)
    assert pieces(y[:, 0].detach()) == 1


@note(
    "3.5",
    says="In theory more layers can fit more functions.",
    verdict="right",
    truth="A deeper network holds every shallower one: x = relu(x) - relu(-x) passes a layer.",
)
def a_deeper_network_holds_the_shallower():
    x, shallow = draw(30, 2), network([5])
    first, last = (layer for layer in shallow.modules() if isinstance(layer, nn.Linear))
    h = nn.ReLU()(first(x))
    y = last(h)
    through = nn.ReLU()(torch.cat([y, -y], 1)) @ f64([[1.0], [-1.0]])
    assert torch.equal(through, shallow(x))
    assert y.min() < 0 < y.max()


@note(
    "3.5",
    says="More layers may overfit.",
    verdict="right",
    truth="Three hidden layers learn 40 random labels by heart, a line cannot.",
)
def layers_can_learn_noise_by_heart():
    x, k = draw(40, 2), torch.randint(2, (40,), generator=torch.Generator().manual_seed(3))
    right = []
    for hidden in ([], [30] * 3):
        model = network(hidden, "relu", "he", outputs=2)
        fit(model, x, k, 300, 0.02, torch.optim.Adam, F.cross_entropy)
        right.append((model(x).argmax(1) == k).double().mean().item())
    assert right[0] < 0.75
    assert right[1] == 1


@note(
    "3.5",
    says="More layers are harder to train, they may not converge.",
    verdict="conditional",
    truth="Five layers of sigmoids stand still at ln 2, one learns. Of He's ReLUs five are better.",
)
def more_layers_are_harder_for_sigmoids():
    x, k = moons()

    def end(activation, init, depth):
        model = network([20] * depth, activation, init, outputs=2)
        return fit(model, x, k, 100, 0.5, loss=F.cross_entropy)[-1]

    assert end("sigmoid", "xavier", 1) < 0.3
    assert end("sigmoid", "xavier", 5) == pytest.approx(math.log(2), abs=0.01)
    assert end("relu", "he", 5) < end("relu", "he", 1) / 5


@note(
    "3.5",
    says="In vision one should use a CNN and not pile up layers blindly.",
    verdict="conditional",
    truth="A filter finds its pattern anywhere, an affine unit at one place. "
    "Shuffle the pixels, and neither does.",
)
def a_filter_finds_its_pattern_anywhere():
    pattern = (draw(3, 3) > 0).double() * 2 - 1
    images = torch.zeros(36, 1, 8, 8).double()
    for n, (i, j) in enumerate(product(range(6), repeat=2)):
        images[n, 0, i : i + 3, j : j + 3] = pattern
    conv, unit = nn.Conv2d(1, 1, 3, bias=False).double(), nn.Linear(64, 1, bias=False).double()
    conv.load_state_dict({"weight": pattern[None, None]})
    unit.load_state_dict({"weight": images[14].flatten()[None]})
    assert (conv(images).amax((1, 2, 3)) == 9).all()
    assert (unit(images.flatten(1)) == 9).sum() == 1
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    shuffled = images.flatten(1)[:, order].view_as(images)
    assert (conv(shuffled).amax((1, 2, 3)) < 9).all()


def transfer(target, start):
    """Error on new data after 12 samples, with a trained first layer or a new one."""
    x, new = draw(12, 2, seed=1), draw(300, 2, seed=2)
    model = network([20], "tanh")
    if start is not None:
        model.load_state_dict(start)
        for p in list(model.parameters())[:2]:
            p.requires_grad_(False)
    fit(model, x, target(x), 200, 0.02, torch.optim.Adam)
    return F.mse_loss(model(new), target(new)).item()


@note(
    "3.5",
    says="Fine-tuning a trained model gives twice the result for half the effort.",
    verdict="conditional",
    truth="If the tasks share features: 12 samples then give less than half of the error. "
    "If they do not, it is worse than a fresh start.",
)
def fine_tuning_needs_a_related_task():
    x = draw(300, 2)
    first = network([20], "tanh")
    fit(first, x, (3 * x[:, :1]).sin(), 500, 0.02, torch.optim.Adam)
    start = first.state_dict()

    def related(x):
        return 1 + 2 * (3 * x[:, :1]).sin()

    def unrelated(x):
        return 1 + 2 * (3 * x[:, 1:]).sin()

    assert transfer(related, start) < transfer(related, None) / 2
    assert transfer(unrelated, start) > transfer(unrelated, None)


@note(
    "3.5",
    says="Too few hidden units underfit.",
    verdict="right",
    truth="One unit is monotone: on two waves its error stays above 0.28; ten units get below 0.01.",
)
def too_few_units_underfit():
    x = torch.linspace(-1, 1, 100).double()[:, None]
    t = (2 * torch.pi * x).sin()
    monotone = [IsotonicRegression(increasing=up) for up in (True, False)]
    fits = [f64(m.fit_transform(x[:, 0].numpy(), t[:, 0].numpy())) for m in monotone]
    floor = min(F.mse_loss(y, t[:, 0]).item() for y in fits)
    assert floor == pytest.approx(0.283, abs=1e-3)
    one, ten = (
        fit(network([n], "tanh", inputs=1), x, t, 400, 0.05, torch.optim.Adam)[-1] for n in (1, 10)
    )
    assert one > floor
    assert ten < 0.01


def risk(width, n=40):
    """Median error on new data, and on its own, of least squares on random ReLU features."""
    errors = []
    for seed in range(7):
        x, new, w = draw(n, 5, seed=seed), draw(300, 5, seed=seed + 200), draw(5, seed=99) / 5**0.5
        t = x @ w + 0.3 * draw(n, seed=seed + 50)
        first, bias = draw(5, width, seed=seed + 300), draw(width, seed=seed + 400)
        h, h_new = (torch.relu(data @ first + bias) / width**0.5 for data in (x, new))
        c = solve(h, t)
        errors.append((F.mse_loss(h_new @ c, new @ w).item(), F.mse_loss(h @ c, t).item()))
    return [sorted(column)[3] for column in zip(*errors, strict=True)]


@note(
    "3.5",
    says="Too many hidden units overfit.",
    verdict="conditional",
    truth="As many units as samples: over 100 times the error of half as many. "
    "50 times as many, with the shortest weights: as good as half.",
)
def too_many_units_overfit_and_far_more_do_not():
    (half, _), (equal, own), (many, own_too) = risk(20), risk(40), risk(2000)
    assert equal > 100 * half
    assert many < 1.2 * half
    assert max(own, own_too) < 1e-20  # both learned their samples by heart


@note(
    "3.5",
    says="A training set holds too little to train all units of too large a layer.",
    verdict="conditional",
    truth="Its equations leave weights open: 40 samples fix 20 of 20 weights, but 40 of 2000.",
)
def samples_fix_as_many_weights_as_they_are():
    x = draw(40, 5)
    for width, fixed in ((20, 20), (2000, 40)):
        h = torch.relu(x @ draw(5, width, seed=1) + draw(width, seed=2))
        assert torch.linalg.matrix_rank(h) == fixed


@note(
    "3.5",
    says="More units than needed make training take longer.",
    verdict="right",
    truth="Twice the width is nearly four times the work between hidden layers.",
)
def width_costs_its_square():
    def work(width):
        with FlopCounterMode(display=False) as counter:
            network([width] * 3)(CORNERS).sum().backward()
        return counter.get_total_flops()

    assert work(200) / work(100) == pytest.approx(4, abs=0.1)


@note(
    "3.5",
    says="N_h = N_s / (alpha (N_i + N_o)).",
    verdict="conditional",
    truth="A rule of thumb: the layer gets N_s / alpha weights. The task does not enter.",
)
def the_rule_of_thumb_counts_weights():
    n = hidden_units(samples=60_000, inputs=784, outputs=10, alpha=2)
    assert n * (784 + 10) == pytest.approx(60_000 / 2)
    x = torch.linspace(-1, 1, 200).double()[:, None]
    n = hidden_units(200, 1, 1, alpha=10)
    assert n == 10
    h = torch.relu(x * f64([1.0, -1.0]).repeat(5) + torch.linspace(-1, 1, 10).double())
    h = torch.cat([h, x**0], 1)
    easy, hard = (torch.pi * x).sin(), (20 * torch.pi * x).sin()  # the rule says 10 units to both
    errors = [F.mse_loss(h @ solve(h, t), t).item() for t in (easy, hard)]
    assert errors[0] < 0.01 < 0.4 < errors[1]


@note(
    "3.5",
    says="alpha usually lies between 2 and 10.",
    verdict="conditional",
    truth="MNIST: 37.8 units down to 7.6. The book's own net for it has 50: alpha = 1.5.",
)
def alpha_of_the_book_is_below_2():
    counts = [hidden_units(60_000, 784, 10, alpha) for alpha in (2, 10)]
    assert [round(n, 1) for n in counts] == [37.8, 7.6]
    assert hidden_units(60_000, 784, 10, alpha=1.511) == pytest.approx(50, abs=0.02)


@note(
    "3.5",
    says="Start from 1 to 5 layers and 1 to 100 units.",
    verdict="conditional",
    truth="XOR needs 2 units. One layer of 100 has 101 pieces on a line, too few to fold it 256 "
    "times; the book's DeepConvNet has 8 layers.",
)
def one_to_five_layers_and_1_to_100_units():
    h = torch.relu(CORNERS.sum(1, True) - f64([0.0, 1.0]))
    assert torch.equal(h @ f64([[1.0], [-2.0]]), XOR)
    x = torch.linspace(0, 1, 2**13 + 1).double()
    w, kinks = draw(100, seed=1), (torch.arange(100) * 80 + 77).double() / 2**13
    assert pieces(nn.ReLU()(x[:, None] - kinks) @ w) == 101 < pieces(tents(x, 8)) == 256
    layers = DeepConvNet().modules()
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in layers) == 8


@note(
    "3.5",
    says="If a network underfits, add units.",
    verdict="right",
    truth="The best fit to the training data never gets worse: new units may have weight 0.",
)
def more_units_never_fit_the_training_data_worse():
    x, t = draw(60, 3), draw(60, seed=1)
    h = torch.relu(x @ draw(3, 50, seed=2) + draw(50, seed=3))
    errors = [F.mse_loss(h[:, :n] @ solve(h[:, :n], t), t).item() for n in (1, 5, 10, 25, 50)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0] / 3


@note(
    "3.5",
    says="Regularisation lowers overfitting.",
    verdict="conditional",
    truth="A penalty of the right size; a thousand times that underfits.",
)
def a_penalty_lowers_overfitting_if_not_too_large():
    x, new, w = draw(30, 25), draw(500, 25, seed=1), draw(25, seed=2)
    t = x @ w + 3 * draw(30, seed=3)
    none, fair, huge = (F.mse_loss(new @ solve(x, t, p), new @ w).item() for p in (0, 10, 1e4))
    assert fair < none / 2
    assert huge > 1.5 * fair


@note(
    "3.5",
    says="Dropout lowers overfitting.",
    verdict="conditional",
    truth="On a linear unit it is a penalty p/(1-p) w^2 x^2: it helps as that does.",
)
def dropout_on_a_linear_unit_is_a_penalty():
    p, w, x, t = 0.3, draw(6), draw(6, seed=1), 0.7
    expected = 0.0
    for bits in product((0.0, 1.0), repeat=6):
        mask = f64(bits)
        chance = ((1 - p) * mask + p * (1 - mask)).prod()
        expected += chance * (t - w @ (x * mask / (1 - p))) ** 2
    assert_close(expected, (t - w @ x) ** 2 + p / (1 - p) * (w * x).square().sum())
    layer = nn.Dropout(p)
    draws = layer(torch.ones(4000, 6).double())
    assert draws.unique().tolist() == pytest.approx([0, 1 / (1 - p)])
    # and too much of it underfits
    x, new, w = draw(30, 25), draw(500, 25, seed=1), draw(25, seed=2)
    t = x @ w + 3 * draw(30, seed=3)

    def error(p):
        penalty = p / (1 - p) * x.square().sum(0)
        return F.mse_loss(new @ torch.linalg.solve(x.T @ x + penalty.diag(), x.T @ t), new @ w)

    assert error(0.2) < error(0.0) / 2
    assert error(0.999) > 1.5 * error(0.2)


@note(
    "3.5",
    says="Batch normalisation lowers overfitting.",
    verdict="conditional",
    truth="By noise: in training an answer depends on the rest of its batch. In eval mode none.",
)
def batch_norm_is_noise_in_training():
    layer, x, rest = nn.BatchNorm1d(3).double(), draw(1, 3), draw(2000, 7, 3, seed=1)
    alone = torch.stack([layer(torch.cat([x, others]))[0] for others in rest[:100]])
    assert alone.std(0).min() > 0.1
    large = torch.stack([layer(torch.cat([x, draw(2000, 3, seed=seed)]))[0] for seed in range(20)])
    assert large.std(0).max() < 0.1  # and the larger the batch, the less
    layer.eval()
    assert torch.equal(layer(torch.cat([x, rest[0]]))[0], layer(torch.cat([x, rest[1]]))[0])


@note(
    "3.5",
    says="One width for all hidden layers is enough.",
    verdict="right",
    truth="The largest of them: narrower layers are its special case, with zeros.",
)
def one_width_holds_all_narrower():
    narrow, wide, x = network([8, 4]), network([8, 8]), draw(30, 2)
    for small, large in zip(narrow.parameters(), wide.parameters(), strict=True):
        with torch.no_grad():
            large.zero_()
            large[tuple(slice(n) for n in small.shape)] = small
    assert_close(wide(x), narrow(x))


@note(
    "3.5",
    says="For some data a wider first layer, then narrower ones, is better.",
    verdict="conditional",
    truth="What the first layer drops is gone: one unit sees one direction, blind to a diamond. "
    "For XOR that direction suffices.",
)
def a_narrow_first_layer_is_blind():
    model = network([1, 64], "tanh", seed=3)
    first = next(layer for layer in model.modules() if isinstance(layer, nn.Linear))
    u, v = first.weight[0].tolist()
    along = torch.linspace(-3, 3, 7).double()[:, None] * f64([-v, u])  # not seen by that unit
    assert_close(model(along), model(along[:1]).expand(7, 1))
    assert set(answers(polygon(4), along)) == {0, 1}
    h = CORNERS.sum(1, keepdim=True)  # one unit
    assert torch.equal(torch.relu(h - f64([0.0, 1.0])) @ f64([[1.0], [-2.0]]), XOR)


@note(
    "3.5",
    says="Hornik et al. (1989) prove that two hidden layers approximate any continuous function.",
    verdict="wrong",
    truth="One suffices, as the table above says too: 300 sigmoids get within 1e-5.",
)
def hornik_needs_one_hidden_layer():
    def f(x):
        return (3 * x[:, 0]).sin() * (2 * x[:, 1]).cos()

    def square(n):
        return torch.cartesian_prod(*[torch.linspace(-1, 1, n).double()] * 2)

    worst = []
    for n in (10, 30, 100, 300):
        w, b = 2 * draw(2, n), 2 * draw(n, seed=1)
        h, h_new = (nn.Sigmoid()(x @ w + b) for x in (square(30), square(47)))
        worst.append((h_new @ solve(h, f(square(30))) - f(square(47))).abs().max().item())
    assert worst == sorted(worst, reverse=True)
    assert worst[-1] < 1e-5


@note(
    "3.5",
    says="How many units to take is an open question; one tries.",
    verdict="right",
    truth="Trying tells what no count of samples does: the best of 2, 20, 40 here is 20.",
)
def the_width_is_found_by_trying():
    errors = {width: risk(width)[0] for width in (2, 20, 40)}
    assert min(errors, key=errors.get) == 20
