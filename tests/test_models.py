"""Shapes, sizes and first weights of the networks, against numbers worked out by hand."""

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import models, nn
from dlbook_torch.models import MLP, ConvNet, DeepConvNet, SimpleConvNet, hidden_units

IMAGE = (1, 28, 28)
SMALL = dict(shape=IMAGE, classes=10, channels=[16, 32, 64], kernel_sizes=[5, 3, 3], hidden=64)
# network, arguments, shape of one sample, number of parameters
NETWORKS = {
    "linear": (MLP, dict(in_features=6, out_features=3, hidden=[]), (2, 3), 6 * 3 + 3),
    "mlp": (
        MLP,
        dict(in_features=784, out_features=10, hidden=[50, 100], activation="sigmoid"),
        IMAGE,
        784 * 50 + 50 + 50 * 100 + 100 + 100 * 10 + 10,
    ),
    "mlp-norm-dropout": (
        MLP,
        dict(in_features=64, out_features=10, hidden=[30, 20], batch_norm=True, dropout=0.5),
        (1, 8, 8),
        64 * 30 + 2 * 30 + 30 * 20 + 2 * 20 + 20 * 10 + 10,  # no bias in front of BatchNorm
    ),
    "conv": (
        ConvNet,
        SMALL,
        IMAGE,
        (16 * 25 + 16) + (32 * 16 * 9 + 32) + (64 * 32 * 9 + 64) + (64 * 9 * 64 + 64) + 650,
    ),
    "conv-norm-valid": (
        ConvNet,
        dict(SMALL, batch_norm=True, padding="valid", dropout=0.2, kernel_sizes=[3, 3, 3]),
        IMAGE,
        (16 * 9 + 32) + (32 * 16 * 9 + 64) + (64 * 32 * 9 + 128) + (64 * 64 + 64) + 650,
    ),
    "simple": (SimpleConvNet, {}, IMAGE, (30 * 25 + 30) + (4320 * 100 + 100) + (100 * 10 + 10)),
    "simple-colour": (
        SimpleConvNet,
        dict(shape=(3, 12, 20), classes=4, channels=6, kernel_size=3, hidden=7),
        (3, 12, 20),
        (6 * 27 + 6) + (6 * 5 * 9 * 7 + 7) + (7 * 4 + 4),
    ),
    "deep": (DeepConvNet, {}, IMAGE, 123_552),
}
each = pytest.mark.parametrize("kind, kwargs, sample, size", NETWORKS.values(), ids=NETWORKS)


@each
def test_network_has_the_size_worked_out_by_hand(kind, kwargs, sample, size):
    net = kind(**kwargs)
    assert sum(p.numel() for p in net.parameters()) == size
    classes = kwargs.get("classes", kwargs.get("out_features", 10))
    assert net(torch.randn(3, *sample)).shape == (3, classes)


@each
@pytest.mark.parametrize("init", ["default", "xavier", "he", 0.01], ids=str)
def test_twins_start_with_the_same_weights_and_keys(kind, kwargs, sample, size, init):
    states = []
    for library in ("dlbook", "torch"):
        torch.manual_seed(7)
        net = kind(**kwargs, init=init, library=library)
        states.append(net.state_dict())
        home = "dlbook_torch.nn" if library == "dlbook" else "torch.nn"
        assert all(m.__module__.startswith(home) for m in net.layers)
    assert_close(*states, rtol=0, atol=0)


@each
def test_twins_agree_in_eval_mode(kind, kwargs, sample, size):
    ours, ref = (kind(**kwargs, library=library).double().eval() for library in models.LIBRARIES)
    ref.load_state_dict(ours.state_dict())
    x = torch.randn(4, *sample).double()
    assert_close(ours(x), ref(x))


def test_mlp_normalizes_between_affine_and_activation_and_drops_out_after_it():
    net = MLP(4, 2, hidden=[3], activation="tanh", batch_norm=True, dropout=0.1)
    names = [type(layer).__name__ for layer in net.layers]
    assert names == ["Flatten", "Linear", "BatchNorm1d", "Tanh", "Dropout", "Linear"]
    assert [layer.bias is None for layer in net.layers if isinstance(layer, nn.Linear)] == [1, 0]


def test_pooling_before_relu_is_the_book_network():
    net = SimpleConvNet(init="default", library="torch").double()
    conv, pool, relu, *head = net.layers
    book = torch.nn.Sequential(conv, relu, pool, *head)
    x = torch.randn(5, *IMAGE).double()
    results = []
    for order in (net, book):
        net.zero_grad()
        y = order(x)
        y.square().sum().backward()
        results.append((y, [p.grad.clone() for p in net.parameters()]))
    assert_close(*results)


def test_deep_network_ends_in_maps_of_4_by_4():
    maps = torch.nn.Sequential(*list(DeepConvNet().layers)[:15])(torch.randn(2, *IMAGE))
    assert maps.shape == (2, 64, 4, 4)


@pytest.mark.parametrize(
    "init, std", [("default", (1 / 1200) ** 0.5), ("xavier", 0.05), ("he", 0.005**0.5), (0.3, 0.3)]
)
def test_weights_spread_as_the_notes_say(init, std):
    net = MLP(400, 5, hidden=[400], init=init, batch_norm=True)
    _, hidden, norm, _, last = net.layers
    assert hidden.weight.std().item() == pytest.approx(std, rel=0.02)
    assert norm.weight.eq(1).all()
    assert last.bias.eq(0).all() == (init != "default")


@pytest.mark.parametrize("init, nonlinearity", [("xavier", "linear"), ("he", "relu")])
def test_xavier_and_he_of_the_notes_are_kaiming_of_torch(init, nonlinearity):
    torch.manual_seed(3)
    net = SimpleConvNet(init=init)
    torch.manual_seed(3)
    ref = SimpleConvNet(init="default")
    for layer in ref.layers:
        if hasattr(layer, "weight"):
            torch.nn.init.zeros_(layer.bias)
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity=nonlinearity)
    assert_close(net.state_dict(), ref.state_dict())


@pytest.mark.parametrize("alpha, width", [(2, 37.78), (10, 7.56)])
def test_width_rule_on_mnist(alpha, width):
    assert hidden_units(60_000, 784, 10, alpha) == pytest.approx(width, abs=0.005)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: hidden_units(100, 4, 2, alpha=0), "alpha must be above 0, got 0"),
        (lambda: hidden_units(100, 4, 2, alpha=float("nan")), "alpha must be above 0, got nan"),
        (lambda: hidden_units(-1, 4, 2), "samples must be at least 1, got -1"),
        (lambda: MLP(4, 2, [3], activation="gelu"), "'sigmoid', 'tanh', 'relu', got 'gelu'"),
        (lambda: MLP(4, 2, [3], library="jax"), "one of 'dlbook', 'torch', got 'jax'"),
        (lambda: MLP(4, 2, [3], init="He"), "one of 'default', 'xavier', 'he', got 'He'"),
        (lambda: MLP(4, 2, [3], init=-0.1), "standard deviation, got -0.1"),
        (lambda: MLP(4, 2, [3, 0]), "width must be at least 1, got 0"),
        (lambda: MLP(4, 2, [3], dropout=1.5), "1.5"),
        (lambda: ConvNet(IMAGE, 10, [4, 4], [3], 5), r"stage \[4, 4\], got \[3\]"),
        (lambda: ConvNet(IMAGE, 10, [0], [3], 5), "channels must be at least 1, got 0"),
        (lambda: SimpleConvNet((1, 5, 5)), "end in 30 x 0 x 0"),
        (lambda: SimpleConvNet(hidden=0), "hidden must be at least 1, got 0"),
        (lambda: SimpleConvNet(classes=0), "classes must be at least 1, got 0"),
        (lambda: DeepConvNet((1, 2, 28)), "end in 64 x 0 x 4"),
        (lambda: DeepConvNet(channels=(16, -1, 64)), "channels must be at least 1, got -1"),
    ],
)
def test_mistakes_are_named_with_their_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()
