"""Chapter 6.6: how hyper-parameters are chosen."""

import math

import torch
from torch.testing import assert_close

from .base import note

RANGES = torch.tensor([[-6.0, -2.0], [-8.0, -4.0]], dtype=torch.float64)  # log10 of rate and decay


def uniform(shape, seed=0, low=0.0, high=1.0):
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(shape, dtype=torch.float64, generator=generator)


@note(
    "6.6",
    says="The data for tuning hyper-parameters are called validation data; they are apart from "
    "the test data.",
    verdict="right",
    truth="The winner of a search is too good on the data that chose it: the best of 100 "
    "coin-flipping classifiers has 0.6 on 100 validation images, and 0.5 on new ones.",
)
def the_winner_looks_too_good_on_the_data_that_chose_it():
    generator = torch.Generator().manual_seed(0)
    right = torch.rand(200, 100, 2, 100, generator=generator) < 0.5  # search, trial, split, image
    validation, test = right.double().mean(3).unbind(2)
    winner = validation.argmax(1, keepdim=True)
    assert_close(validation.gather(1, winner).mean().item(), 0.625, rtol=0, atol=0.01)
    assert_close(test.gather(1, winner).mean().item(), 0.5, rtol=0, atol=0.01)


@note(
    "6.6",
    says="Step 1: sample at random from the range.",
    verdict="right",
    truth="Better than a grid of as many trials when only one of two matters: 100 trials have 100 "
    "rates instead of 10. The sampling should be even in the exponent.",
)
def random_trials_try_more_rates_than_a_grid():
    random = uniform((100, 2))
    grid = torch.cartesian_prod(torch.linspace(0, 1, 10), torch.linspace(0, 1, 10))
    assert (len(random[:, 0].unique()), len(grid[:, 0].unique())) == (100, 10)


@note(
    "6.6",
    says="(book) Decay from 10^-8 to 10^-4, rate from 10^-6 to 10^-2, both as 10 to a random "
    "power.",
    verdict="right",
    truth="Even in the exponent: a quarter of the trials per decade. Even in the value, 90 % of "
    "the rates would be in the highest of the four.",
)
def even_exponents_give_every_decade_a_quarter():
    for low, high in RANGES.tolist():
        powers = 10 ** uniform(20000, low=low, high=high)
        decades = powers.log10().floor().unique(return_counts=True)[1] / 20000
        assert_close(decades, torch.full((4,), 0.25), rtol=0, atol=0.01)
    values = uniform(20000, low=1e-6, high=1e-2)
    assert_close((values > 1e-3).double().mean().item(), 0.90, rtol=0, atol=0.01)


@note(
    "6.6",
    says="Step 3: repeat that often enough, such as 100 times.",
    verdict="right",
    truth="100 random trials meet the best 5 % of the range with a probability of 1 - 0.95^100 = "
    "99.4 %; 60 do with 95 %, 10 with 40 %.",
)
def a_hundred_trials_meet_the_best_twentieth():
    for trials, chance in ((100, 0.994), (60, 0.95), (10, 0.40)):
        assert_close(1 - 0.95**trials, chance, rtol=0, atol=5e-3)
        met = (uniform((4000, trials), seed=trials) < 0.05).any(1).double().mean().item()
        assert_close(met, chance, rtol=0, atol=0.02)


@note(
    "6.6",
    says="Step 2: train for a few epochs only.",
    verdict="conditional",
    truth="A short run shows which rates are hopeless, and it favours large ones: on a noisy bowl "
    "0.3 is best after 5 steps, 0.01 after 1000.",
)
def a_short_run_favours_large_rates():
    def error(eta, steps, start=1.0, variance=1.0):
        keep = (1 - eta) ** 2
        return keep**steps * start + eta**2 * variance * (1 - keep**steps) / (1 - keep)

    rates = [1e-5, 0.01, 0.1, 0.3]
    best = {steps: min(rates, key=lambda eta: error(eta, steps)) for steps in (5, 1000)}
    assert best == {5: 0.3, 1000: 0.01}
    assert all(error(1e-5, steps) > 0.9 for steps in (5, 1000))


def search(rounds, trials, seed):
    """Distance, in decades, of the best trial from the optimum; a round narrows around the best."""
    optimum = torch.tensor([-2.6, -5.3], dtype=torch.float64)
    low, high = RANGES.T
    found = torch.empty(0, 2, dtype=torch.float64)
    for r in range(rounds):
        found = torch.cat([found, low + (high - low) * uniform((trials, 2), seed=100 * seed + r)])
        best = found[(found - optimum).norm(dim=1).argmin()]
        width = (high - low) / 4
        low, high = best - width, best + width
    return (best - optimum).norm().item()


@note(
    "6.6",
    says="Step 3: narrow the range by the results. (The book's code does not: it prints the best "
    "of 100.)",
    verdict="right",
    truth="With 100 trials on a smooth optimum, four rounds of 25 that halve the range each time "
    "end three times nearer than one of 100.",
)
def narrowing_finds_a_smooth_optimum_with_fewer_trials():
    narrowed, once = (
        sum(search(rounds, trials, seed) for seed in range(50)) / 50
        for rounds, trials in ((4, 25), (1, 100))
    )
    assert narrowed < 0.4 * once


@note(
    "6.6",
    says="(book) 500 images, 20 % of them for validation; the best of 100 trials has .84.",
    verdict="conditional",
    truth="On 100 images .84 is uncertain by .037: it is surely better than .70, but between it "
    "and .80 chance decides.",
)
def an_accuracy_on_100_images_is_uncertain_by_37_thousandths():
    assert 500 * 0.2 == 100
    deviation = (0.84 * 0.16 / 100) ** 0.5
    assert_close(deviation, 0.037, rtol=0, atol=5e-4)
    observed = (uniform((5000, 100)) < 0.84).double().mean(1)
    assert_close(observed.std().item(), deviation, rtol=0.05, atol=0)
    assert (observed <= 0.80).double().mean() > 0.1
    assert (observed <= 0.70).double().mean() < 1e-3


@note(
    "6.6",
    says="(book) The best trial has a rate of 9.40e-3 and a decay of 2.77e-6.",
    verdict="right",
    truth="Both are in their ranges, and the rate only just: 99 % of the way up, so the range "
    "should have gone higher. Of 100 even trials 0.67 are expected above it.",
)
def the_best_rate_lies_at_the_edge_of_its_range():
    places = [
        (math.log10(value) - low) / (high - low)
        for value, (low, high) in zip((9.40e-3, 2.77e-6), RANGES.tolist(), strict=True)
    ]
    assert all(0 < place < 1 for place in places)
    assert_close(places, [0.993, 0.611], rtol=0, atol=1e-3)
    assert_close(100 * (1 - places[0]), 0.67, rtol=0, atol=0.01)
