"""Statistics of layers, each against a computation of its own, and faults planted to be seen."""

from itertools import pairwise
from math import isnan

import numpy as np
import pytest
import torch
from torch import nn as theirs
from torch.nn import functional as F
from torch.overrides import _get_current_function_mode_stack as modes

from dlbook_torch import nn as ours
from dlbook_torch.diagnostics import stats
from dlbook_torch.diagnostics.stats import Record
from dlbook_torch.diagnostics.watch import Watch

LIBRARIES = pytest.mark.parametrize("nn", [ours, theirs], ids=["ours", "torch"])


def seen(network, *inputs, full=True, steps=True, lr=0.1):
    """What one watched step for each input shows; the loss is the sum of squares."""
    watch = Watch(network)
    for x in inputs:
        network.zero_grad()
        watch.start(full)
        loss = network(x).square().sum()
        watch.stop()
        loss.backward()
        if steps:
            watch.gradients()
            watch.before_update()
            with torch.no_grad():
                for p in network.parameters():
                    p -= lr * (0 if p.grad is None else p.grad)
            watch.after_update()
    return watch.take()


def mlp(nn, activation="ReLU", sizes=(3, 5, 4, 2)):
    layers = []
    for n, m in pairwise(sizes):
        layers += [nn.Linear(n, m), getattr(nn, activation)()]
    return nn.Sequential(*layers[:-1]).double()


def gradient_of(network, x, i):
    network.zero_grad()
    network(x).square().sum().backward()
    return network[i].weight.grad.numpy().copy()


@LIBRARIES
def test_every_statistic_of_a_step_is_that_of_numpy(nn):
    network, x = mlp(nn), torch.randn(20, 3, dtype=torch.float64)
    w = [network[i].weight.detach().numpy().copy() for i in (0, 2, 4)]
    b = [network[i].bias.detach().numpy().copy() for i in (0, 2, 4)]
    h1 = np.maximum(x.numpy() @ w[0].T + b[0], 0)
    h2 = np.maximum(h1 @ w[1].T + b[1], 0)
    y = h2 @ w[2].T + b[2]
    g = [gradient_of(network, x, i) for i in (0, 2, 4)]
    table = seen(network, x).statistics()
    for i, h in enumerate((h1, h2, y)):
        name = str(2 * i)
        assert table["activation_std"][name] == pytest.approx(h.std(ddof=1), rel=1e-5)
        assert table["gradient_norm"][name] == pytest.approx(np.sqrt((g[i] ** 2).sum()))
        assert table["gradient_mean"][name] == pytest.approx(np.abs(g[i]).mean())
        assert table["gradient_zero"][name] == pytest.approx((g[i] == 0).mean())
        step = 0.1 * np.linalg.norm(g[i]) / np.linalg.norm(w[i])
        assert table["update_ratio"][name] == pytest.approx(step)
        assert table["weight_max"][name] == pytest.approx(np.abs(w[i] - 0.1 * g[i]).max())
        if i < 2:
            assert table["zero"][name] == pytest.approx((h == 0).mean())
            assert table["dead"][name] == pytest.approx((h <= 0).all(0).mean())
    assert set(table["zero"]) == {"0", "2"}


@LIBRARIES
def test_units_with_a_large_negative_bias_are_dead(nn):
    network = mlp(nn, sizes=(3, 8, 2))
    with torch.no_grad():
        network[0].bias[:3] = -100
        network[0].bias[3:] = 100
    record = seen(network, torch.randn(9, 3).double(), torch.randn(7, 3).double(), lr=0)
    assert record.samples == 16
    assert record.layers["0"].activation == "relu"
    assert record.statistics()["dead"] == {"0": 3 / 8}


def test_a_unit_that_fires_once_in_any_batch_is_alive():
    network = mlp(theirs, sizes=(1, 2, 1))
    with torch.no_grad():
        network[0].weight[:] = torch.tensor([[1.0], [-1.0]])
        network[0].bias[:] = -5
    quiet, loud = torch.zeros(4, 1).double(), torch.tensor([[0.0], [6.0]]).double()
    assert seen(network, quiet, lr=0).statistics()["dead"]["0"] == 1
    assert seen(network, quiet, loud, quiet, lr=0).statistics()["dead"]["0"] == 0.5


@LIBRARIES
def test_a_channel_is_dead_if_it_is_at_every_place(nn):
    network = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    with torch.no_grad():
        network[0].weight[:] = torch.tensor([1.0, 0, 0]).view(3, 1, 1, 1)
        network[0].bias[:] = torch.tensor([-2.0, -1, 1])
    x = torch.zeros(5, 1, 4, 4)
    x[3, 0, 2, 1] = 3  # a single place of a single image
    assert seen(network, x, lr=0).statistics()["dead"]["0"] == pytest.approx(1 / 3)


@LIBRARIES
@pytest.mark.parametrize("activation, low, high", [("Sigmoid", 0.01, 0.99), ("Tanh", -0.99, 0.99)])
def test_saturation_is_the_share_of_outputs_and_of_units(nn, activation, low, high):
    network = mlp(nn, activation, (3, 6, 4, 2))
    with torch.no_grad():
        network[0].weight *= 8
        network[0].bias[:2] = torch.tensor([300.0, -300.0])
    x = torch.randn(30, 3).double()
    h = network[1](network[0](x)).detach().numpy()
    at_end = (h < low) | (h > high)
    table = seen(network, x, lr=0).statistics()
    assert table["saturated"]["0"] == pytest.approx(at_end.mean())
    assert table["saturated_units"]["0"] == pytest.approx(at_end.all(0).mean())
    assert at_end.all(0).mean() >= 2 / 6
    assert table["saturated"]["2"] < 0.1


@pytest.mark.parametrize("nn", [ours, theirs], ids=["ours", "torch"])
def test_sure_answers_of_the_last_layer_are_no_saturation(nn):
    network = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1), nn.Sigmoid()).double()
    with torch.no_grad():
        network[2].bias[:] = 50
    table = seen(network, torch.randn(4, 2).double(), lr=0).statistics()
    assert set(table["saturated"]) == set(table["saturated_units"]) == {"0"}


class Functional(theirs.Module):
    """Activations as functions, one module twice, and what cannot be seen."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d = (theirs.Linear(4, 4) for _ in range(4))
        self.e = ours.Linear(4, 4)
        self.relu = theirs.ReLU(inplace=True)

    def forward(self, x):
        x = F.relu(self.a(x))
        x = self.relu(self.b(x))  # in place
        x = torch.relu(self.c(x).tanh())
        x = self.d(x).clamp(min=0)
        return ours.functional.relu(self.e(x))


def test_functions_of_torch_are_seen_and_those_of_others_are_not():
    record = seen(Functional(), torch.randn(6, 4))
    assert {n: s.activation for n, s in record.layers.items()} == {
        "a": "relu",
        "b": "relu",
        "c": "tanh",
        "d": "",
        "e": "",
    }
    assert set(record.statistics()["dead"]) == {"a", "b"}


def test_a_relu_used_twice_counts_for_both_layers():
    class Twice(theirs.Module):
        def __init__(self):
            super().__init__()
            self.relu, self.a, self.b = theirs.ReLU(), theirs.Linear(2, 3), theirs.Linear(3, 5)
            theirs.init.constant_(self.a.bias, -99)

        def forward(self, x):
            return self.relu(self.b(self.relu(self.a(x))) + 99)

    assert seen(Twice(), torch.randn(3, 2), lr=0).statistics()["dead"] == {"a": 1, "b": 0}


def test_layers_stand_in_forward_order():
    class Backwards(theirs.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = theirs.Linear(3, 1), theirs.Linear(2, 3)
            self.unused = theirs.Linear(9, 9)

        def forward(self, x):
            return self.last(torch.relu(self.first(x)))

    record = seen(Backwards(), torch.randn(3, 2))
    assert list(record.layers) == ["first", "last"]


def test_a_layer_that_does_not_move_has_ratio_0_and_one_frozen_on_purpose_has_none():
    network = mlp(theirs, sizes=(3, 4, 4, 2))
    network[0].weight.requires_grad_(False)
    watch = Watch(network)
    watch.start()
    network(torch.randn(5, 3).double()).sum().backward()
    watch.stop()
    watch.before_update()
    with torch.no_grad():
        network[4].weight *= 1.5
    watch.after_update()
    ratio = watch.take().statistics()["update_ratio"]
    assert ratio == {"2": 0.0, "4": pytest.approx(0.5)}


def test_a_layer_cut_off_from_the_loss_has_no_gradient():
    class Cut(theirs.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = theirs.Linear(2, 3), theirs.Linear(3, 1)

        def forward(self, x):
            return self.b(self.a(x).detach())

    table = seen(Cut(), torch.randn(4, 2)).statistics()
    assert (table["gradient_norm"]["a"], table["gradient_zero"]["a"]) == (0, 1)
    assert table["update_ratio"]["a"] == 0 < table["update_ratio"]["b"]


def test_the_scale_of_a_gradient_scaler_is_undone():
    network, x = mlp(theirs), torch.randn(5, 3).double()
    plain = seen(network, x, lr=0).statistics()
    watch = Watch(network)
    watch.start()
    loss = network(x).square().sum()
    watch.stop()
    network.zero_grad()
    (loss * 1024).backward()
    watch.gradients(scale=1024)
    scaled = watch.take().statistics()
    for name in ("gradient_norm", "gradient_mean", "gradient_zero"):
        assert scaled[name] == pytest.approx(plain[name])


def test_large_weights_are_estimated_from_evenly_spread_units(monkeypatch):
    network, x = mlp(theirs, sizes=(30, 400, 2)), torch.randn(50, 30).double()
    exact = seen(network, x, lr=0).statistics()
    monkeypatch.setattr(stats, "LARGE", 3000)  # every fourth unit of the first layer
    rough = seen(network, x, lr=0).statistics()
    for name in ("gradient_norm", "gradient_mean"):
        assert rough[name]["0"] == pytest.approx(exact[name]["0"], rel=0.5)
        assert rough[name]["0"] != exact[name]["0"]


def test_similarity_is_the_mean_cosine_of_pairs():
    w = torch.randn(5, 2, 3)
    rows = w.flatten(1).numpy()
    pairs = [
        rows[i] @ rows[j] / np.linalg.norm(rows[i]) / np.linalg.norm(rows[j])
        for i in range(5)
        for j in range(5)
        if i != j
    ]
    assert stats.similarity(w).item() == pytest.approx(np.mean(pairs), abs=1e-6)
    assert stats.similarity(torch.full((4, 3), 0.1)).item() == pytest.approx(1)
    assert isnan(stats.similarity(torch.ones(1, 3)))


@LIBRARIES
def test_units_that_start_alike_are_alike(nn):
    network = mlp(nn, "Tanh")
    torch.nn.init.constant_(network[0].weight, 0.3)
    alike = seen(network, torch.randn(6, 3).double(), lr=0).statistics()["similarity"]
    assert alike["0"] == pytest.approx(1)
    assert abs(alike["2"]) < 0.9


def test_units_of_a_transposed_convolution_are_its_second_axis():
    network = theirs.ConvTranspose1d(3, 4, 2)
    with torch.no_grad():
        network.weight[:] = torch.randn(3, 1, 2)  # the same for every output channel
    assert seen(network, torch.randn(2, 3, 5), lr=0).statistics()["similarity"][""] == (
        pytest.approx(1)
    )


@LIBRARIES
def test_drift_of_batchnorm_is_that_of_running_from_batch_statistics(nn):
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))
    x = torch.randn(40, 3) * 3 + 1
    z = network[0](x).detach().numpy()
    mean, var = 0.1 * z.mean(0), 0.9 + 0.1 * z.var(0, ddof=1)  # after this batch
    table = seen(network, x, lr=0).statistics()
    drift = (np.abs(mean - z.mean(0)) / z.std(0)).mean()
    assert table["mean_drift"]["1"] == pytest.approx(drift, rel=1e-4)
    assert table["variance_drift"]["1"] == pytest.approx(
        np.abs(np.log(var / z.var(0))).mean(), rel=1e-4
    )


def test_nothing_stays_hooked_even_after_an_error():
    class Fails(theirs.Module):
        def __init__(self):
            super().__init__()
            self.a = theirs.Linear(2, 2)

        def forward(self, x):
            raise RuntimeError(self.a(x).shape)

    network = Fails()
    watch = Watch(network)
    watch.start()
    with pytest.raises(RuntimeError):
        network(torch.randn(1, 2))
    watch.stop()
    watch.stop()
    assert not modes()
    assert not any(m._forward_hooks for m in network.modules())


def test_counting_units_measures_nothing_else():
    table = seen(mlp(theirs), torch.randn(4, 3).double(), full=False, steps=False).statistics()
    assert set(table) == {"dead", "weight_max", "similarity"}


@LIBRARIES
@pytest.mark.parametrize("activation", ["ReLU", "Tanh"])
def test_units_are_counted_until_more_samples_would_change_nothing(nn, activation):
    network = mlp(nn, activation, sizes=(2, 2, 1))
    with torch.no_grad():
        network[0].weight[:] = torch.eye(2)
        network[0].bias[:] = 0
    alive, late = (
        torch.full((1, 2), 0.5),
        torch.tensor([[0.5, -9.0 if activation == "ReLU" else 9]]),
    )
    watch = Watch(network)
    for x, more in ((late, True), (late, True), (alive, True), (late, False)):
        assert watch.start(full=False) is more
        network(x.double())
        watch.stop()
    record = watch.take()
    assert (record.samples, record.decided) == (3, True)
    table = record.statistics()
    assert table["dead" if activation == "ReLU" else "saturated_units"] == {"0": 0}


def test_what_two_processes_have_seen_joins_to_what_one_would_have_seen():
    network = mlp(theirs, sizes=(3, 16, 8, 2))
    a, b = torch.randn(2, 6, 3).double()
    both = seen(network, a, b, lr=0).statistics()
    parts = seen(network, a, lr=0).join(seen(network, b, lr=0))
    assert parts.samples == 12
    joined = parts.statistics()
    for name in both:
        assert joined[name] == pytest.approx(both[name]), name


def test_units_can_be_carried_over_without_the_rest():
    network = mlp(theirs, sizes=(3, 16, 2))
    a, b = torch.randn(2, 2, 3).double()
    carried = seen(network, a, lr=0).units()
    assert set(carried.statistics()) == {"dead"}
    assert (
        Record().join(carried).join(seen(network, b, lr=0)).statistics()["dead"]
        == (seen(network, a, b, lr=0).statistics()["dead"])
    )


def test_a_value_that_is_no_number_is_not_hidden():
    network = mlp(theirs, sizes=(2, 3, 1))
    good, bad = torch.randn(3, 2).double(), torch.full((3, 2), float("nan")).double()
    table = seen(network, good, bad).statistics()
    assert isnan(table["gradient_norm"]["0"])
    assert isnan(table["activation_std"]["2"])


class Head(theirs.Module):
    """Some module whose output is a tuple, and a linear layer."""

    def __init__(self, body, width):
        super().__init__()
        self.body, self.head = body, theirs.Linear(width, 2)

    def forward(self, x):
        y = self.body(*[x] * (3 if isinstance(self.body, theirs.MultiheadAttention) else 1))
        return self.head(y[0] if isinstance(y, tuple) else y)


ODD = {
    "lstm": lambda: (Head(theirs.LSTM(4, 6), 6), torch.randn(3, 2, 4)),
    "attention": lambda: (Head(theirs.MultiheadAttention(4, 2), 4), torch.randn(3, 2, 4)),
    "parametrized": lambda: (
        Head(theirs.utils.parametrizations.weight_norm(theirs.Linear(4, 6)), 6),
        torch.randn(3, 4),
    ),
    "embedding": lambda: (Head(theirs.Embedding(9, 4), 4), torch.tensor([[1, 2], [3, 4]])),
    "lazy": lambda: (Head(theirs.LazyLinear(6), 6), torch.randn(3, 4)),
    "half": lambda: (Head(theirs.Linear(4, 6), 6).bfloat16(), torch.randn(3, 4).bfloat16()),
    "layer norm": lambda: (
        Head(theirs.Sequential(theirs.Linear(4, 6), theirs.LayerNorm([3, 6])), 6),
        torch.randn(3, 4),
    ),
}


@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.parametrize("name", ODD)
def test_other_kinds_of_layers_are_measured_too(name):
    network, x = ODD[name]()
    table = seen(network, x).statistics()
    others = set(table["gradient_norm"]) - {"head"}
    assert others
    assert all(layer.startswith("body") for layer in others)
    assert set(table["update_ratio"]) == {"head", *others}
    assert all(value > 0 for value in table["update_ratio"].values())
