"""The numbers behind the pictures of notes 4.3: the frequency principle."""

import numpy as np
import pytest
import torch

from dlbook_torch.experiment.studies.frequency import (
    amplitudes,
    first,
    gentleness,
    network,
    order,
    waves,
)

X = torch.arange(128) / 64 - 1


def test_a_wave_has_amplitude_1_at_its_own_frequency_and_0_at_others():
    size = amplitudes(waves(X, [3]), [1, 2, 3, 4, 5]).abs()
    torch.testing.assert_close(size, torch.tensor([0.0, 0, 1, 0, 0]), atol=1e-5, rtol=0)


def test_the_power_of_a_sum_of_waves_is_that_of_its_amplitudes():
    f = waves(X, [1, 3, 5])
    assert (f**2).mean().item() == pytest.approx((amplitudes(f, range(1, 64)).abs() ** 2).sum() / 2)


def test_the_first_step_counts_from_1_and_never_is_the_number_of_steps():
    assert first(torch.tensor([False, False, True, False]), 20, 80) == 41
    assert first(torch.tensor([False, False]), 20, 80) == 80


def test_the_error_starts_at_what_an_untrained_network_misses():
    numbers = order("tanh", seed=0, steps=2, every=1)
    assert numbers["error"].shape == (2, 3)
    with torch.no_grad():
        y = network("tanh", 0, "dlbook")(X[:, None]).flatten().numpy()
    missed = y - sum(np.sin(k * np.pi * X.numpy()) for k in (1, 3, 5))
    apart = 2 * np.abs(np.fft.rfft(missed))[[1, 3, 5]] / len(X)
    np.testing.assert_allclose(numbers["error"][0], apart, rtol=1e-4)


def test_a_slow_wave_is_learned_before_a_fast_one_even_in_few_steps():
    numbers = order(frequencies=(1, 5), steps=200)
    slow, fast = numbers["error"][-1]
    assert slow < 0.2 < 0.5 < fast


def test_no_fit_of_new_points_gets_far_below_the_noise():
    numbers = gentleness(1, points=200, noise=0.5, steps=100)
    assert numbers["val/loss"][-1] > 0.9 * 0.25
    assert numbers["error"] < 0.05


def test_both_libraries_learn_alike():
    ours, theirs = (gentleness(3, steps=40, library=name) for name in ("dlbook", "torch"))
    assert ours["train/loss"] == pytest.approx(theirs["train/loss"], rel=1e-3)
