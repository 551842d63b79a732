"""Dropout's two scalings and the ways to decay weights, against formulas and torch (notes 6.5)."""

import pytest
import torch

from dlbook_torch.experiment.studies import regularisation
from dlbook_torch.experiment.studies.regularisation import decay, dropout


@pytest.mark.parametrize("scaling", ["training", "test"])
@pytest.mark.parametrize("p", [0.2, 0.5])
def test_dropout_keeps_the_mean_and_widens_the_variance_by_the_formula_6_5(scaling, p):
    found = dropout(scaling, p)
    assert float(found["mean_ratio"]) == pytest.approx(1, abs=0.01)
    # relu of a normal number: E[x^2] = 1/2, E[x]^2 = 1 / (2 pi)
    second, first = 0.5, 1 / (2 * torch.pi)
    expected = (second / (1 - p) - first) / (second - first)
    assert float(found["variance_ratio"]) == pytest.approx(expected, rel=0.02)
    # the next unit adds them up, so its variance over samples and masks grows alike
    assert float(found["next_variance"]) == pytest.approx(expected, rel=0.15)


def test_the_counts_are_of_all_samples_6_5():
    found = dropout("training", 0.5, draws=300)
    assert found["train"].sum() == pytest.approx(300, abs=3)
    assert found["test"].sum() == 300


def test_for_sgd_alone_shrinking_is_the_penalty_6_5():
    gaps = {rule: float(decay(rule, steps=20)["shrink"]) for rule in ("SGD", "momentum", "Adam")}
    assert gaps["SGD"] < 1e-10
    assert gaps["momentum"] > 0.01
    assert gaps["Adam"] > 0.1


@pytest.mark.parametrize("rule", ["SGD", "momentum", "Adam"])
def test_the_option_weight_decay_is_the_penalty_6_5(rule):
    assert float(decay(rule, steps=20)["option"]) < 1e-6


def test_shrinking_under_adam_is_torchs_adamw_6_5(monkeypatch):
    (shrunk, _) = regularisation._decayed("shrink", "Adam", 0.1, 10, 0, "dlbook")
    monkeypatch.setattr(
        regularisation,
        "_rule",
        lambda rule, w, strength, library: (torch.optim.AdamW(w, 0.01, weight_decay=0.1), 0.01),
    )
    (known, _) = regularisation._decayed("none", "Adam", 0.1, 10, 0, "dlbook")
    torch.testing.assert_close(shrunk, known)


def test_the_penalty_keeps_the_weights_smaller_6_5():
    found = decay("SGD", steps=30)
    assert found["norm_penalty"][-1] < found["norm_none"][-1]
