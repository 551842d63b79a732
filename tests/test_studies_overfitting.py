"""The numbers behind the pictures of notes 4.3: features and sampling."""

import pytest
import torch

from dlbook_torch.experiment.studies.overfitting import (
    sampling,
    stretching,
    two_classes,
    unbalanced,
)


def test_the_clouds_differ_in_the_first_feature_alone():
    x, t = two_classes(40_000, 3, 2.0, torch.Generator().manual_seed(0))
    apart = x[t == 1].mean(0) - x[t == 0].mean(0)
    torch.testing.assert_close(apart, torch.tensor([2.0, 0.0, 0.0]), atol=0.05, rtol=0)
    torch.testing.assert_close(x[t == 1].std(0), torch.ones(3), atol=0.03, rtol=0)


def test_to_stretch_by_one_changes_nothing():
    plain, all_, first = (
        stretching(which, factor=1.0, steps=5) for which in ("as they are", "all", "first")
    )
    assert plain == all_ == first
    assert stretching("first", factor=2.0, steps=5) != plain


def test_the_gap_is_validation_loss_less_training_loss():
    numbers = stretching("all", steps=30)
    assert numbers["gap"] == numbers["val/loss"][-1] - numbers["train/loss"][-1]
    assert numbers["train/loss"][-1] < numbers["train/loss"][0]


def test_rare_classes_keep_just_so_many_samples():
    t = torch.arange(10).repeat(20)
    x, kept = unbalanced((torch.arange(200.0)[:, None], t), rare=5, kept=3)
    assert kept.bincount().tolist() == [20] * 5 + [3] * 5
    assert x[kept == 7].flatten().tolist() == [7.0, 17.0, 27.0]


def test_the_accuracy_is_the_mean_of_both_halves():
    numbers = sampling(balanced=True, steps=20)
    assert numbers["accuracy"] == pytest.approx(
        (numbers["rare"] + numbers["frequent"]) / 2, abs=0.01
    )
    assert len(numbers["val/loss"]) == 2


@pytest.mark.parametrize("study", [stretching, sampling])
def test_both_libraries_learn_alike(study):
    first = "all" if study is stretching else True
    ours, theirs = (study(first, steps=20, library=name) for name in ("dlbook", "torch"))
    assert ours["val/loss"] == pytest.approx(theirs["val/loss"], rel=1e-3)
