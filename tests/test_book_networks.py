"""The book's networks: gradients by hand, by autograd and by differences; to torch and back."""

import copy
from functools import partial

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from dlbook_torch import book, models, nn, optim
from dlbook_torch.book import DeepConvNet, MultiLayerNetExtend, SimpleConvNet, TwoLayerNet

IMAGE = (1, 8, 8)
SMALL_DEEP = dict(input_dim=IMAGE, filter_num=(2, 2, 3, 3, 4, 4), hidden_size=6, output_size=3)
EXTEND = partial(MultiLayerNetExtend, 6, [5, 4], 3)
# network, shape of one sample; a standard deviation large enough for gradients worth comparing
NETWORKS = {
    "5-TwoLayerNet": (partial(TwoLayerNet, 6, 5, 3, weight_init_std=0.5), (6,)),
    "6-sigmoid": (partial(EXTEND, activation="sigmoid", weight_init_std="sigmoid"), (6,)),
    "6.4-batchnorm": (partial(EXTEND, use_batchnorm=True), (6,)),
    "6.5-decay": (partial(EXTEND, weight_decay_lambda=0.1), (6,)),
    "6.5-dropout": (partial(EXTEND, use_dropout=True, dropout_ration=0.3), (6,)),
    "6.5-all": (
        partial(EXTEND, weight_decay_lambda=0.1, use_dropout=True, use_batchnorm=True),
        (6,),
    ),
    "7-SimpleConvNet": (
        partial(
            SimpleConvNet,
            IMAGE,
            filter_num=3,
            filter_size=3,
            pad=1,
            hidden_size=5,
            output_size=3,
            weight_init_std=0.5,
        ),
        IMAGE,
    ),
    "7-DeepConvNet": (partial(DeepConvNet, **SMALL_DEEP), IMAGE),
}
each = pytest.mark.parametrize("build, sample", NETWORKS.values(), ids=NETWORKS)
labels = pytest.mark.parametrize("one_hot", [False, True], ids=["index", "one-hot"])


def batch(sample, n=7, classes=3):
    return torch.randn(n, *sample, dtype=torch.float64), torch.arange(n) % classes


def made(build):
    """A network in float64 whose biases are not 0: a dead sample would sit at ReLU's kink."""
    net = build().double()
    for name, p in net.params.items():
        if name.startswith(("b", "gamma")):  # beta too
            torch.nn.init.normal_(p, std=0.3)
    return net


def same_draws(function, *args):
    """Call ``function`` with the random numbers of the next call."""
    with torch.random.fork_rng([]):
        return function(*args)


def cross_entropy(net, x, t):
    """The loss of which the explicit backward is the gradient: without the book's 1e-7."""
    return F.cross_entropy(net.predict(x), t) + net.penalty()


@each
@labels
def test_gradient_by_hand_is_autograds(build, sample, one_hot):
    net, (x, t) = made(build), batch(sample)
    loss = same_draws(cross_entropy, net, x, t)
    by_autograd = dict(zip(net.params, torch.autograd.grad(loss, net.parameters()), strict=True))
    by_hand = net.gradient(x, F.one_hot(t) if one_hot else t)
    assert_close(by_hand, by_autograd)
    for name, p in net.params.items():
        assert p.grad is by_hand[name]


def relative(a, b):
    return ((a - b).norm() / (a.norm() + b.norm())).item()


@each
def test_gradient_by_hand_is_that_of_central_differences(build, sample):
    net, (x, t) = made(build), batch(sample)
    state = copy.deepcopy(net.state_dict())
    by_differences = net.numerical_gradient(x, t, h=1e-5)
    assert_close(net.state_dict(), state, rtol=0, atol=0)
    loss = same_draws(net.loss, x, t)
    by_autograd = dict(zip(net.params, torch.autograd.grad(loss, net.parameters()), strict=True))
    by_hand = net.gradient(x, t)
    assert list(by_differences) == list(by_hand)
    # A bias in front of BatchNorm has a gradient of 0, and rounding for its relative error.
    silent = {f"b{i}" for i in (1, 2) if "BatchNorm1" in net.layers}
    for name in by_hand.keys() - silent:
        assert relative(by_differences[name], by_autograd[name]) < 1e-8, name
        # By hand the loss has no 1e-7 beside y_t, of which the smallest here is about 0.02.
        assert relative(by_differences[name], by_hand[name]) < 5e-6, name
    for name in silent:
        assert by_hand[name].abs().max() < 1e-15
        assert by_differences[name].abs().max() < 1e-9


def test_batch_of_one_makes_a_check_of_batch_norm_vacuous():
    net = MultiLayerNetExtend(6, [5, 4], 3, use_batchnorm=True).double()
    x, t = batch((6,), n=1)
    by_differences, by_hand = net.numerical_gradient(x, t), net.gradient(x, t)
    zero = {name for name, g in by_hand.items() if not g.any()}
    # x hat is 0 and so is beta: every ReLU sits at its kink, where the gradient by hand is 0
    assert zero == by_hand.keys() - {"b3"}
    assert by_differences.keys() - {n for n, g in by_differences.items() if not g.any()} == {
        "beta2",
        "b3",
    }
    g, W3 = by_hand["b3"], net.params["W3"]  # and the one by differences half of a slope
    assert_close(by_differences["beta2"], W3 @ g / 2, rtol=1e-3, atol=1e-4)


@each
def test_torch_twin_computes_the_same_and_learns_the_same(build, sample):
    net, (x, t) = made(build).eval(), batch(sample)
    twin = book.to_torch(net)
    assert not twin.training
    assert_close(net.predict(x), twin(x))
    net.train()
    twin.train()
    dropouts = [m for m in twin.modules() if isinstance(m, torch.nn.Dropout)]
    for layer in net.modules():  # its masks are drawn otherwise: see test_book.py
        if isinstance(layer, book.Dropout):
            layer.dropout_ratio = 0.0
    for dropout in dropouts:
        dropout.p = 0.0
    for scale in [m for m in twin.modules() if isinstance(m, book.Scale)]:
        scale.factor = 1.0
    weights = [p for p in twin.parameters() if p.dim() > 1]
    others = [p for p in twin.parameters() if p.dim() == 1]
    ours = torch.optim.SGD(net.parameters(), lr=0.1)
    decay = net.weight_decay_lambda  # the penalty is SGD's weight_decay, on weights alone
    groups = [dict(params=weights, weight_decay=decay), dict(params=others, weight_decay=0.0)]
    ref = torch.optim.SGD(groups, lr=0.1)
    for _ in range(5):
        net.gradient(x, t)
        ours.step()
        ref.zero_grad()
        F.cross_entropy(twin(x), t).backward()
        ref.step()
    trained = book.from_torch(twin)
    assert_close(dict(net.params), dict(trained.params))


def test_decaying_the_biases_too_as_torch_does_by_default_is_something_else():
    net, (x, t) = EXTEND(weight_decay_lambda=0.1).double(), batch((6,))
    with torch.no_grad():
        net.params["b1"].fill_(1.0)
    twin = book.to_torch(net)
    F.cross_entropy(twin(x), t).backward()
    b, db = twin.Affine1.bias, twin.Affine1.bias.grad
    torch.optim.SGD(twin.parameters(), lr=1.0, weight_decay=0.1).step()
    net.gradient(x, t)
    torch.optim.SGD(net.parameters(), lr=1.0).step()
    assert_close(net.params["b1"] - b, torch.full_like(db, 0.1))  # lr * lambda * b


@each
def test_way_to_torch_and_back_changes_nothing(build, sample):
    net, (x, t) = made(build), batch(sample)
    net.gradient(x, t)  # moves the running averages
    back = book.from_torch(book.to_torch(net))
    assert_close(back.state_dict(), net.state_dict(), rtol=0, atol=0)
    assert list(back.params) == list(net.params)
    assert [*map(repr, back.layers.values())] == [*map(repr, net.layers.values())]
    for mine, other in zip(net.parameters(), back.parameters(), strict=True):
        assert mine.data_ptr() != other.data_ptr()
    assert_close(back.eval()(x), net.eval()(x), rtol=0, atol=0)


def test_twin_keeps_the_names_of_the_layers():
    twin = book.to_torch(SimpleConvNet())
    assert [*twin.state_dict()] == [
        f"{layer}.{name}"
        for layer in ("Conv1", "Affine1", "Affine2")
        for name in ("weight", "bias")
    ]
    assert [type(m).__name__ for m in twin] == [
        *("Conv2d", "ReLU", "MaxPool2d", "Flatten", "Linear", "ReLU", "Linear")
    ]
    assert twin.Affine1.weight.shape == (100, 30 * 12 * 12)


def test_running_variance_of_the_twin_goes_its_own_way():
    net, n = MultiLayerNetExtend(6, [5], 3, use_batchnorm=True).double(), 7
    x, _ = batch((6,), n)
    for _ in range(3):
        net(x)
    first = net.layers["BatchNorm1"].running_var.clone()
    twin = book.to_torch(net)
    assert_close(twin.eval()(x), net.eval()(x))
    net.train()
    twin.train()
    for _ in range(4):
        assert_close(twin(x), net(x))  # in training the running averages are not asked
    ours, ref = net.layers["BatchNorm1"].running_var, twin.BatchNorm1.running_var
    new = ours - 0.9**4 * first
    assert_close(ref - 0.9**4 * first, new * n / (n - 1))
    assert not torch.allclose(twin.eval()(x), net.eval()(x))


@pytest.mark.parametrize("library", models.LIBRARIES)
@pytest.mark.parametrize(
    "build, sample",
    [
        (partial(models.SimpleConvNet, channels=3, hidden=5), (1, 28, 28)),
        (partial(models.DeepConvNet, channels=(2, 3, 4), hidden=5), (1, 28, 28)),
        (partial(models.MLP, 6, 3, [5, 4], "sigmoid", dropout=0.3), (2, 3)),
    ],
    ids=["SimpleConvNet", "DeepConvNet", "MLP"],
)
def test_networks_of_either_library_become_the_books(library, build, sample):
    model = build(library=library).double().eval().layers
    net, (x, _) = book.from_torch(model), batch(sample)
    assert isinstance(net, book.Network)
    assert_close(net.predict(x), model(x))
    assert_close(book.to_torch(net)(x), model(x))


def test_torchs_dropout_becomes_the_books_and_a_scale_in_training_too():
    model = torch.nn.Sequential(torch.nn.Dropout(0.3))
    y = book.from_torch(model)(torch.ones(10_000))
    assert_close(y.unique(), torch.tensor([0, 1 / 0.7]))


REFUSED = [
    (lambda: torch.nn.Tanh(), "no twin of Tanh"),
    (lambda: torch.nn.BatchNorm2d(3), "no twin of BatchNorm2d"),
    (lambda: torch.nn.Linear(2, 3, bias=False), "no Linear with bias=None"),
    (lambda: torch.nn.Conv2d(2, 4, 3, groups=2), "no Conv2d with groups=2"),
    (lambda: torch.nn.Conv2d(2, 4, 3, dilation=2), r"no Conv2d with dilation=\(2, 2\)"),
    (lambda: torch.nn.Conv2d(2, 4, 3, stride=(1, 2)), r"no Conv2d with stride=\(1, 2\)"),
    (lambda: torch.nn.Conv2d(2, 4, 2, padding="same"), "no Conv2d with padding=same"),
    (lambda: torch.nn.Conv2d(2, 4, 3, padding=(1, 0)), r"no Conv2d with padding=\(1, 0\)"),
    (lambda: torch.nn.Conv2d(2, 4, 3, padding_mode="circular", padding=1), "mode=circular"),
    (lambda: torch.nn.MaxPool2d(2, padding=1), "no MaxPool2d with padding=1"),
    (lambda: torch.nn.MaxPool2d(2, ceil_mode=True), "no MaxPool2d with ceil_mode=True"),
    (lambda: torch.nn.BatchNorm1d(3, momentum=None), "no BatchNorm1d with momentum=None"),
    (lambda: torch.nn.BatchNorm1d(3, affine=False), "no BatchNorm1d with weight=None"),
    (
        lambda: torch.nn.BatchNorm1d(3, track_running_stats=False),
        "no BatchNorm1d with running_mean=None",
    ),
    (lambda: torch.nn.Dropout(1.0), "p=1.0 is 0 in evaluation too"),
    (
        lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.ReLU()),
        "in front of a Linear only, not of 'ReLU'",
    ),
    (
        lambda: torch.nn.Sequential(torch.nn.ZeroPad2d((1, 0, 0, 0)), torch.nn.MaxPool2d(2)),
        r"no ZeroPad2d with padding=\(1, 0, 0, 0\)",
    ),
]


@pytest.mark.parametrize("build, message", REFUSED, ids=[message for _, message in REFUSED])
def test_what_the_book_does_not_have_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        book.from_torch(build())


def test_what_torch_does_not_have_is_refused():
    with pytest.raises(ValueError, match="no twin of SoftmaxWithLoss"):
        book.to_torch(book.SoftmaxWithLoss())


def trajectory(net, x, t, gradients, optimizer, steps=8):
    """The parameters after every step."""
    rule = optimizer(net.parameters())
    points = []
    for _ in range(steps):
        rule.zero_grad()
        gradients(net, x, t)
        rule.step()
        points.append([p.detach().clone() for p in net.parameters()])
    return points


@pytest.mark.parametrize(
    "optimizer",
    [
        partial(optim.SGD, lr=0.5, momentum=0.9),
        partial(torch.optim.SGD, lr=0.5),
        partial(torch.optim.Adam, lr=0.05),
    ],
    ids=["ours-SGD", "torch-SGD", "torch-Adam"],
)
def test_training_by_hand_is_training_by_autograd_step_by_step(optimizer):
    net, (x, t) = TwoLayerNet(6, 5, 3, weight_init_std=0.5).double(), batch((6,), n=20)
    before = net.loss(x, t).item()
    nets = [copy.deepcopy(net) for _ in range(3)]
    by_hand = trajectory(nets[0], x, t, TwoLayerNet.gradient, optimizer)
    exact = trajectory(nets[1], x, t, lambda *a: cross_entropy(*a).backward(), optimizer)
    through_the_loss = trajectory(nets[2], x, t, lambda *a: a[0].loss(*a[1:]).backward(), optimizer)
    assert_close(by_hand, exact)
    assert_close(by_hand, through_the_loss, rtol=1e-4, atol=1e-5)  # that loss has the 1e-7
    assert nets[0].loss(x, t).item() < 0.9 * before


PARAMS = {
    "5-TwoLayerNet": (TwoLayerNet(784, 50, 10), dict(W1=(784, 50), b1=50, W2=(50, 10), b2=10)),
    "6.4-MultiLayerNetExtend": (
        EXTEND(use_batchnorm=True),
        dict(W1=(6, 5), b1=5, gamma1=5, beta1=5, W2=(5, 4), b2=4, gamma2=4, beta2=4)
        | dict(W3=(4, 3), b3=3),
    ),
    "7-SimpleConvNet": (
        SimpleConvNet(),
        dict(W1=(30, 1, 5, 5), b1=30, W2=(4320, 100), b2=100, W3=(100, 10), b3=10),
    ),
    "7-DeepConvNet": (
        DeepConvNet(),
        dict(W1=(16, 1, 3, 3), b1=16, W2=(16, 16, 3, 3), b2=16, W3=(32, 16, 3, 3), b3=32)
        | dict(W4=(32, 32, 3, 3), b4=32, W5=(64, 32, 3, 3), b5=64, W6=(64, 64, 3, 3), b6=64)
        | dict(W7=(1024, 50), b7=50, W8=(50, 10), b8=10),
    ),
}


@pytest.mark.parametrize("net, shapes", PARAMS.values(), ids=PARAMS)
def test_parameters_have_the_books_names_and_shapes(net, shapes):
    expected = {name: (s,) if isinstance(s, int) else s for name, s in shapes.items()}
    assert {name: tuple(p.shape) for name, p in net.params.items()} == expected


def test_multi_layer_net_stacks_its_layers_in_the_books_order():
    net = EXTEND(use_batchnorm=True, use_dropout=True, activation="sigmoid")
    hidden = [
        (f"Affine{i}", f"BatchNorm{i}", f"Activation_function{i}", f"Dropout{i}") for i in (1, 2)
    ]
    assert [*net.layers] == [*hidden[0], *hidden[1], "Affine3"]
    assert isinstance(net.layers["Activation_function1"], book.Sigmoid)
    assert isinstance(EXTEND().layers["Activation_function1"], book.Relu)


@pytest.mark.parametrize(
    "init, std",
    [("relu", 0.005**0.5), ("he", 0.005**0.5), ("sigmoid", 0.05), ("xavier", 0.05), (0.01, 0.01)],
)
def test_first_weights_spread_as_the_book_says(init, std):
    W = MultiLayerNetExtend(400, [300], 3, weight_init_std=init).params["W1"]
    assert W.std().item() == pytest.approx(std, rel=0.02)


def test_first_weights_of_the_convolutions_spread_as_the_book_says():
    params = DeepConvNet().params
    for i, n in {5: 32 * 9, 6: 64 * 9, 7: 1024}.items():
        assert params[f"W{i}"].std().item() == pytest.approx((2 / n) ** 0.5, rel=0.05)
    assert SimpleConvNet().params["W2"].std().item() == pytest.approx(0.01, rel=0.02)


def test_deep_network_drops_out_its_very_scores():
    net, (x, _) = DeepConvNet(**SMALL_DEEP).double(), batch(IMAGE, n=400)
    torch.nn.init.normal_(net.params["b8"])  # a score is 0 if all hidden units are
    zeros = (net(x) == 0).double().mean().item()
    assert zeros == pytest.approx(0.5, abs=0.06)  # four standard deviations
    net.eval()
    y = net(x)
    net.layers["Dropout2"] = book.Scale(1.0)
    assert_close(y, 0.5 * net(x))
    assert torch.equal(y.argmax(1), net(x).argmax(1))


def test_deep_network_is_models_deep_network_but_for_the_last_dropout():
    net = DeepConvNet(**SMALL_DEEP).double().eval()
    model = models.DeepConvNet(IMAGE, 3, (2, 3, 4), 6).double().eval()
    mine = book.from_torch(model.layers)
    mine.load_params({name: p.detach().numpy() for name, p in net.params.items()})
    x, _ = batch(IMAGE)
    for scale in [m for m in mine.modules() if isinstance(m, book.Scale)]:
        scale.factor = 1.0  # torch's dropout turns nothing down
    assert_close(0.5 * mine(x), net(x))


def test_loss_is_the_error_and_half_lambda_times_the_squared_weights():
    net, (x, t) = EXTEND(weight_decay_lambda=0.1).double(), batch((6,))
    y = net.predict(x).softmax(1)
    squares = sum((net.params[f"W{i}"] ** 2).sum() for i in (1, 2, 3))
    assert_close(net.loss(x, t), book.cross_entropy_error(y, t) + 0.05 * squares)


@labels
def test_accuracy_evaluates_whatever_the_mode_and_leaves_it(one_hot):
    net, (x, t) = EXTEND(use_dropout=True, use_batchnorm=True).double(), batch((6,), n=50)
    net.layers["BatchNorm2"].eval()
    state = copy.deepcopy(net.state_dict())
    modes = [m.training for m in net.modules()]
    accuracy = net.accuracy(x, F.one_hot(t) if one_hot else t)
    assert [m.training for m in net.modules()] == modes
    assert_close(net.state_dict(), state, rtol=0, atol=0)
    y = copy.deepcopy(net).eval()(x)
    assert accuracy == (y.argmax(1) == t).double().mean().item()


def test_frozen_parameters_get_no_gradient_and_no_decay():
    net, (x, t) = EXTEND(weight_decay_lambda=0.1).double(), batch((6,))
    net.params["W1"].requires_grad_(False)
    assert net.gradient(x, t).keys() == net.params.keys() - {"W1"}
    assert net.params["W1"].grad is None


def test_network_needs_a_forward_before_its_backward():
    with pytest.raises(RuntimeError, match=r"TwoLayerNet\.backward was called before its forward"):
        TwoLayerNet(2, 3, 2).backward(torch.zeros(1, 2))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: EXTEND(activation="tanh"), "one of sigmoid, relu, got 'tanh'"),
        (lambda: EXTEND(weight_init_std="lecun"), "number or one of relu, he, .*, got 'lecun'"),
        (lambda: TwoLayerNet(2, 3, 2).load_params({"W1": [[0.0]]}), "expected W1, b1, .*, got W1"),
        (
            lambda: TwoLayerNet(2, 3, 2).load_params(
                {name: [0.0] for name in ("W1", "b1", "W2", "b2")}
            ),
            r"W1 has shape \(2, 3\), got \(1,\)",
        ),
    ],
)
def test_mistakes_are_named_with_their_value(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_handwritten_layers_become_the_books_as_torchs_do():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    x = torch.randn(4, 1, 8, 8)
    assert_close(book.from_torch(model)(x), model(x))
