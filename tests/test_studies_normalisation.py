"""What BatchNorm does to values, against torch and formulas (notes 6.4)."""

import pytest
import torch

from dlbook_torch.experiment.studies import normalisation
from dlbook_torch.experiment.studies.normalisation import distribution, noise, place


def test_normalised_units_have_mean_0_and_variance_1_but_are_not_normal_6_4():
    found = distribution(epochs=1)
    assert abs(float(found["mean"])) < 1e-5
    assert float(found["variance"]) == pytest.approx(1, abs=1e-3)
    assert float(found["rejected"]) > 0.3  # of truly normal units the test rejects 0.05
    assert float(found["lowest"]) < -2
    assert float(found["highest"]) > 2


def test_the_test_for_normality_rejects_a_twentieth_of_normal_units_6_4(monkeypatch):
    values = torch.randn(1000, 500, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(normalisation, "_inputs_of_norms", lambda net: list(values.split(100, 1)))
    found = distribution(epochs=0)
    assert found["rejected"] == pytest.approx(0.05, abs=0.03)
    # the normal distribution has 34.1 % between 0 and 1
    assert float(found["inside"]) == pytest.approx(0.341, abs=0.01)


@pytest.mark.parametrize("batch_size", [20, 100])
def test_the_noise_of_a_batch_falls_with_the_root_of_its_size_6_4(batch_size):
    found = float(noise(batch_size, draws=150)["noise"])
    # a value z apart from its mean: (1 + z^2 / 2) / n, with E[z^2] = 1; one image, so roughly
    assert found == pytest.approx((1.5 / batch_size) ** 0.5, rel=0.35)


def test_the_noise_is_that_of_torch_6_4():
    ours, twin = (noise(10, draws=20, library=library)["noise"] for library in ("dlbook", "torch"))
    torch.testing.assert_close(ours, twin)


@pytest.mark.parametrize("norm", ["before", "after", "nowhere"])
def test_the_place_of_batchnorm_trains_as_on_torchs_layers_6_4(norm):
    ours, twin = (place(norm, depth=2, epochs=1, library=lib) for lib in ("dlbook", "torch"))
    assert ours["loss"] == pytest.approx(twin["loss"], rel=1e-4)


def test_the_two_places_of_batchnorm_are_two_networks_6_4():
    before, after = (place(norm, depth=2, epochs=1)["loss"][0] for norm in ("before", "after"))
    assert abs(before - after) > 1e-3
