"""The table of notes 4.3 on curves whose verdict is known because they were drawn for it."""

from collections import Counter

import numpy as np
import pytest

from dlbook_torch.diagnostics import Report, diagnose
from dlbook_torch.diagnostics.curves import trend

EPOCHS = 40
SHAPES = {
    "falling": lambda s: 0.1 + np.exp(-2 * s),
    "flat": lambda s: 0.3 + np.exp(-25 * s),
    "rising": lambda s: 1 + 0.6 * s,
    "turning": lambda s: 0.5 + 1.5 * (s - 0.35) ** 2,  # falls first, then rises
}


def curve(shape, epochs=EPOCHS, noise=0.0, seed=0):
    points = SHAPES[shape](np.linspace(0, 1, epochs))
    return points * (1 + noise * np.random.default_rng(seed).standard_normal(epochs))


NINE = [
    ("falling", "falling", "learning"),
    ("falling", "flat", "val_plateau"),
    ("falling", "turning", "overfitting"),
    ("flat", "falling", "data_suspect"),
    ("flat", "flat", "converged"),
    ("flat", "turning", "overfitting"),
    ("rising", "falling", "unclear"),
    ("rising", "flat", "unclear"),
    ("rising", "rising", "diverging"),
]
nine = pytest.mark.parametrize("train, val, expected", NINE)


@nine
@pytest.mark.parametrize("noise", [0, 0.005])
def test_nine_pairs_of_trends(train, val, expected, noise):
    result = diagnose(curve(train, noise=noise, seed=1), curve(val, noise=noise, seed=2))
    assert result.id == expected
    assert (result.train, result.val) == (train, "rising" if val == "turning" else val)


@nine
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_unit_of_the_loss_does_not_matter(train, val, expected, scale):
    t, v = curve(train, noise=0.01, seed=1), curve(val, noise=0.01, seed=2)
    before, after = diagnose(t, v), diagnose(scale * t, scale * v)
    assert (before.id, before.severity) == (after.id, after.severity)


@nine
@pytest.mark.parametrize("epochs", [20, 80, 200])
def test_number_of_epochs_does_not_matter(train, val, expected, epochs):
    t, v = (curve(shape, epochs, 0.002, seed) for seed, shape in enumerate((train, val)))
    assert diagnose(t, v).id == expected


def test_noise_alone_is_hardly_ever_called_a_fault():
    names = Counter(
        diagnose(curve("falling", 30, 0.02, seed), curve(shape, 30, 0.03, 1000 + seed)).id
        for seed in range(100)
        for shape in ("falling", "flat")
    )
    assert set(names) <= {"learning", "unclear", "val_plateau", "overfitting"}
    assert names["overfitting"] <= 1


def test_noise_has_a_trend_in_2_percent_of_cases():
    draw = np.random.default_rng(0)
    moves = sum(
        trend(1 + 0.1 * draw.standard_normal(30)) in ("falling", "rising") for _ in range(300)
    )
    assert moves <= 12  # 6 expected


def test_noise_hides_a_trend_and_the_verdict_says_so():
    result = diagnose(curve("falling", 12, 0.3, 1), curve("flat", 12, 0.3, 2))
    assert (result.id, result.val) == ("unclear", "unclear")


def test_overfitting_names_its_numbers():
    train = [2.0, 1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1]
    val = [2.0, 1.2, 0.9, 0.8, 0.82, 0.84, 0.86, 0.88, 0.9, 0.92]
    result = diagnose(train, val)
    assert (result.id, result.severity, result.best_epoch) == ("overfitting", "warning", 3)
    # medians of three: 0.82 and 0.9 of val, 0.6 and 0.15 of train
    for number in ("epoch 4 of 10 (0.8)", "0.92 at the end", "+9.8%", "-75.0%"):
        assert number in result.headline.evidence


@pytest.mark.parametrize("steep, severity", [(0.3, "warning"), (5.0, "error")])
def test_strong_overfitting_is_an_error(steep, severity):
    s = np.linspace(0, 1, EPOCHS)
    val = 0.5 + np.exp(-20 * s) + steep * np.clip(s - 0.5, 0, 1) ** 2
    assert diagnose(curve("falling"), val).severity == severity


def test_rise_below_5_percent_is_not_called_overfitting():
    s = np.linspace(0, 1, EPOCHS)
    result = diagnose(curve("falling"), 0.5 + 0.05 * (s - 0.35) ** 2)
    assert (result.id, result.train, result.val) == ("unclear", "falling", "rising")


def test_rise_of_both_losses_after_a_fit_is_not_overfitting():
    assert diagnose(curve("turning"), curve("turning")).id == "diverging"


@pytest.mark.parametrize("epochs, expected", [(19, "unclear"), (20, "data_suspect")])
def test_suspicion_of_the_data_needs_20_epochs(epochs, expected):
    assert diagnose(curve("flat", epochs), curve("falling", epochs)).id == expected


@pytest.mark.parametrize(
    "train, val, expected",
    [
        ([1.0] + [0.1] * 19, [1.0] + [0.12] * 19, "converged"),
        ([1.0] + [0.1] * 19, [1.0] + [0.5] * 19, "gap"),
        (list(0.02 + np.exp(-np.arange(20) / 7)), [1.0] + [0.5] * 19, "gap"),
        ([1.0] + [0.8] * 19, [1.0] + [0.8] * 19, "plateau"),
        ([2.3] * 20, [2.3] * 20, "not_learning"),
        ([0.0] * 20, [0.0] * 20, "converged"),
    ],
)
def test_levels_tell_curves_at_rest_apart(train, val, expected):
    assert diagnose(train, val).id == expected


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("epochs", [3, 20])
def test_loss_that_is_no_number_is_divergence_at_once(bad, epochs):
    train = [1.0, bad] + [bad] * (epochs - 2)
    result = diagnose(train, [1.0, 0.9] + [bad] * (epochs - 2))
    assert (result.id, result.severity, result.best_epoch) == ("diverging", "error", 1)
    assert f"training loss is {bad} in epoch 2 of {epochs}" in result.headline.evidence
    assert "validation loss is" in diagnose([1.0] * epochs, train).headline.evidence


def test_explosion_that_stays_finite_is_divergence():
    loss = [1.0, 0.8, 0.7, 0.6, 0.5, 0.6, 0.4, 4.0, 3.0, 5.0]
    assert diagnose(loss, loss).id == "diverging"


def test_a_tiny_loss_that_doubles_does_not_diverge():
    train = [1.0, 0.1, 0.01, 1e-3, 1e-6, 1e-6, 1e-6, 5e-6, 5e-6, 5e-6]
    assert diagnose(train, train).id != "diverging"


def test_seven_epochs_are_too_short_and_eight_are_not():
    t, v = list(curve("falling", 8)), list(curve("turning", 8))
    assert diagnose(t[:7], v[:7]).id == "too_short"
    assert diagnose(t[:1], v[:1]).id == "too_short"
    assert diagnose(t, v).id != "too_short"


def test_a_loss_may_be_negative():
    s = np.linspace(0, 1, EPOCHS)
    assert diagnose(-3 * s, -3 + 2 * (s - 0.4) ** 2).id == "overfitting"
    assert diagnose(-3 * s, -2.9 * s).id == "learning"


@pytest.mark.parametrize("train, val", [([], []), ([1.0] * 9, [1.0] * 8)])
def test_lists_that_do_not_pair_are_refused(train, val):
    with pytest.raises(ValueError, match=f"got {len(train)} and {len(val)} losses"):
        diagnose(train, val)


def test_markdown_shows_everything():
    result = diagnose(curve("falling"), curve("turning"))
    assert isinstance(result, Report)
    page = result.markdown()
    for part in (
        "overfitting",
        result.headline.sentence,
        result.headline.evidence,
        "| validation | rising |",
    ):
        assert part in page
    assert page.count("\n* ") == len(result.headline.remedies)
