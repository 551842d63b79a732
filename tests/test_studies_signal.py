"""Signals, symmetry and gradients at the start, against what is known (notes 6.3, 6.4)."""

import pytest
import torch
from scipy.stats import norm

from dlbook_torch.experiment.studies.signal import activations, digits, gradients, layers, symmetry

# mean and standard deviation of layer 5 that the notes' inventory computed with torch's own
# functions: one stream of seed 0 draws the samples, then all twelve networks, in this order
GOLDEN = {
    ("sigmoid", 1.0): (0.575, 0.426),
    ("sigmoid", 0.01): (0.499, 0.0118),
    ("sigmoid", "xavier"): (0.494, 0.116),
    ("sigmoid", "he"): None,
    ("tanh", 1.0): None,
    ("tanh", 0.01): (None, 1.0e-5),
    ("tanh", "xavier"): None,
    ("tanh", "he"): None,
    ("relu", 1.0): None,
    ("relu", 0.01): (None, 1.4e-6),
    ("relu", "xavier"): (None, 0.152),
    ("relu", "he"): (None, 0.657),
}


def test_the_fifth_layers_have_the_means_and_spreads_computed_for_the_inventory_6_3():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1000, 100, generator=generator)
    for (activation, init), known in GOLDEN.items():
        last = layers(x, activation, init, generator)[-1]
        for value, golden in zip((last.mean(), last.std()), known or (), strict=False):
            if golden is not None:
                digits_given = 5e-2 if golden < 1e-3 else 6e-3
                assert float(value) == pytest.approx(golden, rel=digits_given), (activation, init)


def test_half_of_the_sigmoid_outputs_lie_at_the_ends_with_weights_of_1_6_3():
    assert activations("sigmoid", 1.0, seed=0)["ends"] == pytest.approx(0.52, abs=0.005)


def test_the_first_layer_at_the_ends_is_what_the_normal_distribution_says_6_3():
    x = torch.randn(1000, 100, generator=torch.Generator().manual_seed(1))
    first = layers(x, "tanh", 1.0, torch.Generator().manual_seed(2))[0]
    share = float((first.abs() > 0.98).float().mean())
    assert share == pytest.approx(
        2 * norm.sf(float(torch.tensor(0.98).atanh()), scale=10), abs=0.02
    )


@pytest.mark.parametrize("init, std", [("he", 0.02**0.5), ("xavier", 0.1), (0.01, 0.01)])
def test_the_mean_square_after_five_relu_layers_is_what_theory_says_6_3(init, std):
    # E[relu(a)^2] = var(a) / 2 = n std^2 E[x^2] / 2 where a is symmetric
    generator = torch.Generator().manual_seed(0)
    sizes = []
    for _ in range(20):
        x = torch.randn(200, 100, generator=generator)
        sizes.append(layers(x, "relu", init, generator)[-1].square().mean())
    assert float(torch.stack(sizes).mean()) == pytest.approx((100 * std**2 / 2) ** 5, rel=0.25)


def test_sigmoid_loses_three_quarters_of_its_signal_a_layer_though_its_histogram_stays_wide_6_3():
    found = activations("sigmoid", "xavier")
    # the slope of sigmoid is at most 1/4, and Xavier's weights pass the size of a signal on
    assert found["signal_kept"] < 0.25
    assert found["spread_kept"] > 0.8


@pytest.mark.parametrize("library", ["dlbook", "torch"])
def test_with_zero_weights_sigmoid_units_move_together_and_relu_units_not_at_all_6_3(library):
    sigmoid = symmetry("sigmoid", 0.0, steps=20, library=library)
    assert sigmoid["first"] == 0  # nothing passes the zero weights behind
    assert sigmoid["any"] > 1e-4
    assert sigmoid["weights"] > 0
    assert max(sigmoid["difference"]) < 1e-12
    relu = symmetry("relu", 0.0, steps=20, library=library)
    assert relu["any"] == relu["weights"] == 0
    assert symmetry("relu", "he", steps=2)["difference"][-1] > 0.1


def test_the_gradients_are_those_of_torch_for_the_same_network_6_4():
    ours = gradients("relu", 0.01, True, depth=3)
    twin = gradients("relu", 0.01, True, depth=3, library="torch")
    torch.testing.assert_close(ours["gradients"], twin["gradients"], rtol=1e-4, atol=0)
    assert len(ours["gradients"]) == 3


def test_without_batchnorm_small_weights_lose_the_gradient_on_its_way_back_6_4():
    bare, kept = (gradients("relu", 0.01, on)["size"] for on in (False, True))
    assert bare < -6 < kept


def test_the_digits_are_normalised_6_3():
    x, t = digits(1000)
    assert x.shape == (1000, 1, 8, 8)
    assert t.bincount().min() > 90
    assert abs(float(x.mean())) < 0.02
    assert abs(float(x.std()) - 1) < 0.02
