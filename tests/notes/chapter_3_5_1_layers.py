"""Chapter 3.5 of the notes: how many layers."""

import math
from itertools import product

import pytest
import torch
from torch.nn import functional as F

from dlbook_torch import nn

from .base import note
from .tools import (
    CORNERS,
    XOR,
    answers,
    draw,
    f64,
    fit,
    moons,
    network,
    parted_by_a_line,
    perceptron,
)


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
