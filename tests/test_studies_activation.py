"""The numbers behind the pictures of notes 3.2: slopes, gradients of deep networks, dead units."""

from math import isfinite

import numpy as np
import pytest
import torch

from dlbook_torch.experiment.studies import activation
from dlbook_torch.experiment.studies.training import digits

SMALL = {"epochs": 1, "samples": 100}


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu"])
def test_3_2_slopes_are_the_formulas(name):
    found = activation.curves(name, points=21)
    x = np.linspace(-10, 10, 21)
    y = {"sigmoid": 1 / (1 + np.exp(-x)), "tanh": np.tanh(x), "relu": x * (x > 0)}[name]
    slope = {"sigmoid": y * (1 - y), "tanh": 1 / np.cosh(x) ** 2, "relu": 1.0 * (x > 0)}[name]
    np.testing.assert_allclose(found["y"].detach(), y, atol=1e-12)
    np.testing.assert_allclose(found["slope"], slope, atol=1e-12)


@pytest.mark.parametrize("name, init", [("sigmoid", "xavier"), ("relu", "he"), ("tanh", 1.0)])
def test_3_2_gradients_of_deep_networks_are_those_of_torch(name, init):
    ours, theirs = (
        activation.gradients(name, init, layers=4, width=20, samples=50, library=library)
        for library in ("dlbook", "torch")
    )
    assert len(ours["gradient"]) == 4
    assert ours["gradient"] == pytest.approx(theirs["gradient"], rel=1e-4)
    first, *_, last = ours["gradient"]
    assert ours["decades"] == pytest.approx(np.log10(first / last))


@pytest.mark.parametrize("variant", ["sigmoid", "sigmoid - 1/2", "2 sigmoid - 1", "tanh", "relu"])
def test_3_2_training_is_that_of_torch(variant):
    ours, theirs = (
        activation.training(variant, 0.3, library=library, **SMALL)["loss"]
        for library in ("dlbook", "torch")
    )
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_3_2_a_doubled_centred_sigmoid_is_tanh_of_half():
    x = torch.linspace(-5, 5, 11)
    for name, expected in {
        "2 sigmoid - 1": torch.tanh(x / 2),
        "sigmoid - 1/2": torch.tanh(x / 2) / 2,
    }.items():
        y = activation.Moved(*activation.MOVED[name])(torch.sigmoid(x))
        torch.testing.assert_close(y, expected)


def test_3_2_3_dead_units_are_those_without_a_positive_input():
    torch.manual_seed(0)
    net = activation.MLP(64, 10, [20, 20])
    x, _ = digits(50)
    first, second = net.layers[1], net.layers[3]
    with torch.no_grad():
        first.bias[:5] = second.bias[:3] = -1e4
        second.weight[7] = torch.nan  # no answer at all is not silence
        z = first(x.flatten(1))
        silent = torch.cat([u.amax(0) <= 0 for u in (z, second(z.clamp(min=0)))])
    assert activation.dead_share(net, x) == silent.double().mean()
    assert 8 / 40 <= silent.double().mean() < 0.4


def test_3_2_3_a_rate_of_nothing_kills_nothing_and_a_diverged_run_stops():
    still = activation.dead(0.0, **SMALL)
    assert len(set(still["dead"])) == 1
    wild = activation.dead(1e6, epochs=5, samples=100)
    assert len(wild["loss"]) == 5 or not isfinite(wild["loss"][-1])
    assert all(0 <= share <= 1 for share in wild["dead"])


def test_3_2_3_only_the_dead_unit_loses_its_gradient():
    found = activation.neighbours(width=20, samples=50)
    assert found["own"] == found["first"][0] == 0
    assert (found["first"][1:] > 0).float().mean() > 0.5
    assert found["stopped"] < 0.2
