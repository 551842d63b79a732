"""Chapter 3.5 of the notes: how many units."""

from itertools import product

import pytest
import torch
from sklearn.isotonic import IsotonicRegression
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from dlbook_torch import nn
from dlbook_torch.models import DeepConvNet, hidden_units

from .base import note
from .chapter_3_5_1_layers import pieces, polygon, tents
from .tools import (
    CORNERS,
    XOR,
    answers,
    draw,
    f64,
    fit,
    network,
    solve,
)


@note(
    "3.5",
    says="Too few hidden units underfit.",
    verdict="right",
    truth="One unit is monotone: on two waves its error stays above 0.28; of ten it is below 0.01.",
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
