"""Chapter 6.3: the first values of the weights."""

import functools
import math

import torch
from torch.testing import assert_close

from dlbook_torch import nn, optim

from .base import note
from .nets import deep_relu, loss_on_digits


def two_layers(activation, std):
    """A network of 4 inputs, 3 hidden units and 2 scores, in float64 and without biases' values."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), activation(), nn.Linear(3, 2)).double()
    for p in net.parameters():
        nn.init.zeros_(p) if p.dim() == 1 or std == 0 else nn.init.normal_(p, std=std)
    return net


def learn(net, updates, lr=0.5):
    """Learn eight random samples of two classes; return the gradients of every update."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 4, dtype=torch.float64, generator=generator)
    labels = torch.arange(8) % 2
    labels[0] = 1
    optimizer, history = optim.SGD(net.parameters(), lr=lr), []
    for _ in range(updates):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), labels).backward()
        history.append([p.grad.clone() for p in net.parameters()])
        optimizer.step()
    return history


@note(
    "6.3",
    says="With weights of 0, the neurons of the second layer all get the same value.",
    verdict="right",
    truth="Every hidden unit gives sigmoid(0) = 0.5, and every score is 0, whatever the sample.",
)
def zero_weights_pass_the_same_value_to_everyone():
    net = two_layers(nn.Sigmoid, std=0)
    x = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert_close(net[:2](x), torch.full((8, 3), 0.5, dtype=torch.float64))
    assert_close(net(x), torch.zeros(8, 2, dtype=torch.float64))


@note(
    "6.3",
    says="With weights of 0, all weights get the same update and stay symmetric (repeated values).",
    verdict="conditional",
    truth="The hidden units stay copies of each other, for good. But the weights of different "
    "inputs, and of different outputs, do get different updates.",
)
def hidden_units_stay_copies_but_weights_do_not_stay_equal():
    net = two_layers(nn.Sigmoid, std=0)
    learn(net, updates=20)
    first, second = net[0].weight.detach(), net[2].weight.detach()
    assert_close(first, first[:1].expand(3, 4), rtol=0, atol=1e-15)
    assert_close(second, second[:, :1].expand(2, 3), rtol=0, atol=1e-15)
    assert (first[0].diff().abs() > 1e-4).all()
    assert (second[:, 0].diff().abs() > 1e-4).all()


@note(
    "6.3",
    says="The trouble is to start with the value 0.",
    verdict="conditional",
    truth="Any common value does the same: from 0.3 the hidden units stay copies as well. And a "
    "network without a hidden layer starts from 0 without harm.",
)
def any_common_value_is_as_bad_as_zero():
    net = two_layers(nn.Sigmoid, std=0)
    for p in net.parameters():
        nn.init.constant_(p, 0.3)
    learn(net, updates=20)
    assert_close(
        net[0].weight.detach(), net[0].weight.detach()[:1].expand(3, 4), rtol=0, atol=1e-15
    )
    linear = nn.Linear(4, 2).double()
    for p in linear.parameters():
        nn.init.zeros_(p)
    learn(linear, updates=20)
    assert (linear.weight.detach().diff(dim=0).abs() > 0.01).all()


@note(
    "6.3",
    says="To break the symmetry, the initial values have to be random.",
    verdict="conditional",
    truth="Random values break it; so do any values that differ. 0.1, 0.2, 0.3, one per unit, "
    "drawn by nobody, make the units learn different things too.",
)
def unequal_values_break_the_symmetry_random_or_not():
    def spread(net):
        return (net[0].weight.detach() - net[0].weight.detach().mean(0)).abs().max()

    random = two_layers(nn.Sigmoid, std=0.5)
    learn(random, updates=20)
    assert spread(random) > 0.1
    stairs = two_layers(nn.Sigmoid, std=0)
    with torch.no_grad():
        stairs[2].weight.copy_(torch.tensor([[0.1, 0.2, 0.3], [0.3, 0.1, 0.2]]))
    learn(stairs, updates=20)
    assert spread(stairs) > 0.01


@note(
    "6.3",
    says="(With zeros) the gradient vanishes and training is extremely slow.",
    verdict="conditional",
    truth="With sigmoid: the first layer's gradient is exactly 0 at the first update only. With "
    "ReLU it is not slow, there is none: all weights stay 0 for ever and only the last bias "
    "learns.",
)
def zeros_slow_a_sigmoid_net_down_and_stop_a_relu_net():
    first, *later = learn(two_layers(nn.Sigmoid, std=0), updates=5)
    assert first[0].abs().max() == 0
    assert first[2].abs().max() > 0
    assert all(gradients[0].abs().max() > 0 for gradients in later)

    net = two_layers(nn.ReLU, std=0)
    for w1, b1, w2, _ in learn(net, updates=50):
        assert max(g.abs().max() for g in (w1, b1, w2)) == 0
    assert [p.abs().max() > 0 for p in net.parameters()] == [False, False, False, True]


def drawn(initialize, rows=30, columns=200, **kwargs):
    """A matrix (out x in) that was filled with seed 0."""
    return initialize(torch.empty(rows, columns, dtype=torch.float64), **kwargs)


def seeded(initialize, **kwargs):
    torch.manual_seed(0)
    return drawn(initialize, **kwargs)


@note(
    "6.3",
    says="Xavier: n nodes in the previous layer, standard deviation 1 / sqrt(n).",
    verdict="conditional",
    truth="This is LeCun's, torch's kaiming_normal_(nonlinearity='linear'). Glorot's and torch's "
    "xavier_normal_ has sqrt(2 / (n + m)), the same only between layers of one width. torch's "
    "Linear starts with 1 / sqrt(3 n).",
)
def the_notes_xavier_is_lecun():
    n, m = 200, 30
    standard = seeded(nn.init.normal_)
    assert_close(seeded(nn.init.lecun_normal_), standard / n**0.5)
    assert_close(seeded(torch.nn.init.kaiming_normal_, nonlinearity="linear"), standard / n**0.5)
    for init in (nn.init, torch.nn.init):
        assert_close(seeded(init.xavier_normal_), standard * (2 / (n + m)) ** 0.5)
    square = dict(rows=200, columns=200)
    assert_close(
        seeded(torch.nn.init.xavier_normal_, **square), seeded(nn.init.normal_, **square) / n**0.5
    )
    torch.manual_seed(0)
    bound = torch.nn.Linear(n, 1000).weight.abs().max().item()
    assert_close(bound / 3**0.5, 1 / (3 * n) ** 0.5, rtol=1e-3, atol=0)


@note(
    "6.3",
    says="Xavier is for linear activations.",
    verdict="right",
    truth="n weights of variance 1/n keep the variance of the signal: after 20 layers of 300 "
    "units it is still about 1. With ReLU in between, half is lost per layer.",
)
def xavier_keeps_a_linear_signal_alive():
    def signal(activation):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(100, 300, dtype=torch.float64, generator=generator)
        for _ in range(20):
            w = torch.randn(300, 300, dtype=torch.float64, generator=generator) / 300**0.5
            x = activation(x @ w)
        return x.square().mean().item()

    assert 0.6 < signal(lambda a: a) < 1.6
    assert_close(math.log2(signal(nn.functional.relu)), -20.0, rtol=0, atol=1.0)


@note(
    "6.3",
    says="(code) randn(n, n) * sqrt(1.0 / n) for Xavier, randn(n, n) * sqrt(2.0 / n) for He.",
    verdict="right",
    truth="A standard normal times a number has that standard deviation: 0.1 and 0.1414 for n = "
    "100.",
)
def a_scaled_normal_has_the_scale_as_its_deviation():
    w = torch.randn(100, 100, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert_close((w * (1.0 / 100) ** 0.5).std().item(), 0.1, rtol=0.02, atol=0)
    assert_close((w * (2.0 / 100) ** 0.5).std().item(), 0.1414, rtol=0.02, atol=0)


@note(
    "6.3",
    says="With ReLU: He, normal with a standard deviation of sqrt(2 / n).",
    verdict="right",
    truth="torch's kaiming_normal_ draws it. ReLU keeps half of the mean square of a symmetric "
    "signal, and the 2 gives it back: n * (2 / n) * 1/2 = 1.",
)
def he_gives_back_what_relu_takes():
    standard = seeded(nn.init.normal_)
    he = seeded(nn.init.kaiming_normal_, nonlinearity="relu")
    assert_close(he, standard * (2 / 200) ** 0.5)
    assert_close(seeded(torch.nn.init.kaiming_normal_, nonlinearity="relu"), he)
    z = standard.flatten()
    symmetric = torch.cat([z, -z])
    kept = nn.functional.relu(symmetric).square().mean() / symmetric.square().mean()
    assert_close(kept.item(), 0.5)


# The book's histograms: 1000 random samples through five layers of 100 units. The figures are those
# of one sequence of draws, kept here in its order.

ACTIVATIONS = {
    "sigmoid": nn.functional.sigmoid,
    "tanh": nn.functional.tanh,
    "relu": nn.functional.relu,
}
DEVIATIONS = {"1": 1.0, "0.01": 0.01, "Xavier": 0.1, "He": 0.02**0.5}


@functools.cache
def fifth_layer():
    """Activations of the fifth layer, by activation and by deviation of the weights."""
    generator = torch.Generator().manual_seed(0)
    samples, layers = torch.randn(1000, 100, generator=generator), {}
    for name, activation in ACTIVATIONS.items():
        for start, std in DEVIATIONS.items():
            x = samples
            for _ in range(5):
                x = activation(x @ (torch.randn(100, 100, generator=generator) * std))
            layers[name, start] = x
    return layers


def figures(name, start):
    x = fifth_layer()[name, start]
    return x.mean().item(), x.std().item()


@note(
    "6.3",
    says="(book) Histogram, layer 5, sigmoid, std 1: mean and deviation .575, .426; 52 % within "
    ".02 of 0 or 1.",
    verdict="right",
    truth="Saturated: there the derivative y (1 - y) is below 0.02. (One draw; others have 49 to "
    "64 %.)",
)
def sigmoid_saturates_with_a_deviation_of_1():
    assert_close(figures("sigmoid", "1"), (0.575, 0.426), rtol=0, atol=1e-3)
    y = fifth_layer()["sigmoid", "1"]
    saturated = (y < 0.02) | (y > 0.98)
    assert_close(saturated.double().mean().item(), 0.52, rtol=0, atol=5e-3)
    assert (y * (1 - y))[saturated].max() < 0.02


@note(
    "6.3",
    says="(book) Histogram, layer 5, sigmoid, std 0.01: mean and deviation .499, .0118.",
    verdict="right",
    truth="All units say about 0.5 to everything: a hundred of them tell no more than one.",
)
def sigmoid_units_all_say_one_half_with_a_deviation_of_001():
    assert_close(figures("sigmoid", "0.01"), (0.499, 0.0118), rtol=0, atol=5e-4)
    y = fifth_layer()["sigmoid", "0.01"]
    assert y.std(0).max() < 1e-5


@note(
    "6.3",
    says="(book) Histogram, layer 5, sigmoid, Xavier: mean and deviation .494, .116.",
    verdict="right",
    truth="Ten times broader than with 0.01, and nothing saturates.",
)
def xavier_spreads_sigmoid_without_saturating_it():
    assert_close(figures("sigmoid", "Xavier"), (0.494, 0.116), rtol=0, atol=1e-3)
    y = fifth_layer()["sigmoid", "Xavier"]
    assert 0.02 < y.min() < y.max() < 0.98


@note(
    "6.3",
    says="(book) Histogram, layer 5, tanh, std 0.01: deviation 1.0e-5.",
    verdict="right",
    truth="Each layer takes a factor of sqrt(100) * 0.01 = 0.1, five layers 1e-5.",
)
def tanh_fades_by_ten_per_layer():
    assert_close(figures("tanh", "0.01")[1], 1.0e-5, rtol=0.05, atol=0)


@note(
    "6.3",
    says="(book) Histogram, layer 5, ReLU, std 0.01: deviation 1.4e-6.",
    verdict="right",
    truth="Each layer takes a factor of sqrt(100 / 2) * 0.01 = 0.071, five layers about 2e-6.",
)
def relu_fades_with_a_deviation_of_001():
    assert_close(figures("relu", "0.01")[1], 1.4e-6, rtol=0, atol=5e-8)


@note(
    "6.3",
    says="(book) Histogram, layer 5, ReLU: deviation .152 with Xavier, .657 with He.",
    verdict="right",
    truth="The same weights give exactly sqrt(2)^5 = 5.66 times as much with He; the two figures "
    "are 4.3 apart because they come from two draws.",
)
def he_keeps_relu_alive_where_xavier_fades():
    assert_close(figures("relu", "Xavier")[1], 0.152, rtol=0, atol=1e-3)
    assert_close(figures("relu", "He")[1], 0.657, rtol=0, atol=1e-3)

    def same_draws(std):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(1000, 100, dtype=torch.float64, generator=generator)
        for _ in range(5):
            w = torch.randn(100, 100, dtype=torch.float64, generator=generator)
            x = nn.functional.relu(x @ (w * std))
        return x.std().item()

    assert_close(same_draws(0.02**0.5) / same_draws(0.1), 2**2.5)


@note(
    "6.3",
    says="(book) Five layers of 100 ReLUs with std 0.01: loss 2.305 at iteration 1900 on MNIST.",
    verdict="right",
    truth="Stuck at ln 10 = 2.303, the loss of a network that knows nothing of ten classes: the "
    "first layer's gradient is almost a million times smaller than with He.",
)
def weights_of_a_hundredth_are_stuck_at_ln_10():
    assert_close(math.log(10), 2.305, rtol=0, atol=3e-3)
    start = [loss_on_digits(net, updates=0) for net in (deep_relu(std=0.01), deep_relu(2**0.5))]
    assert start[0][1] < 2e-6 * start[1][1]
    for loss, _ in (start[0], loss_on_digits(deep_relu(std=0.01))):
        assert_close(loss, math.log(10), rtol=0, atol=1e-3)


@note(
    "6.3",
    says="(book) In the same comparison He (0.286) ends below Xavier (0.377).",
    verdict="right",
    truth="So it is on scikit-learn's digits, where 100 updates at 0.1 bring He to half of "
    "Xavier's loss. The two figures, of one run on MNIST, are not recomputed here.",
)
def he_learns_faster_than_xavier_in_a_deep_relu_net():
    (xavier, _), (he, _) = (loss_on_digits(deep_relu(gain)) for gain in (1, 2**0.5))
    assert he < 0.75 * xavier < 0.75 * math.log(10)
