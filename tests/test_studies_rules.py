"""The numbers behind the pictures of notes 6.1 and 6.2."""

import pytest
import torch

from dlbook_torch.experiment.studies.rules import bowl, halved, new_goal, shrinking

ENDS = {  # of 30 updates with the book's own code
    "SGD": (-0.350393, 0.084782),
    "Momentum": (0.896414, 0.088086),
    "Adagrad": (-0.120162, 2.5e-17),
    "Adam": (0.136007, 0.318245),
}


@pytest.mark.parametrize("rule", ENDS)
@pytest.mark.parametrize("library", ["dlbook", "torch"])
def test_the_race_ends_where_the_book_ends(rule, library):
    numbers = bowl(rule, library=library)
    x, y = ENDS[rule]
    assert numbers["path"][30].tolist() == pytest.approx((x, y), abs=1e-5)  # the book's eps
    assert numbers["height30"].item() == pytest.approx(x**2 / 20 + y**2, abs=1e-5)
    assert numbers["distance30"].item() == pytest.approx((x**2 + y**2) ** 0.5, abs=1e-5)


def test_sgd_crosses_the_valley_at_every_update_as_its_formula_says():
    numbers = bowl("SGD", steps=30)
    t = torch.arange(1, 31)
    torch.testing.assert_close(numbers["y"], 2 * (1 - 2 * 0.95) ** t.double())
    assert numbers["crossings"] == 30


def test_adagrad_on_noise_makes_steps_of_lr_over_the_root_of_t():
    numbers = shrinking("Adagrad", steps=1000)
    expected = 0.01 / numbers["t"].double().sqrt()
    late = numbers["t"] > 50
    torch.testing.assert_close(numbers["rate"][late], expected[late], rtol=0.1, atol=0)
    assert numbers["exponent"].item() == pytest.approx(-0.5, abs=0.02)


def test_sgd_on_noise_keeps_its_rate():
    numbers = shrinking("SGD", steps=100)
    torch.testing.assert_close(numbers["rate"], torch.full_like(numbers["rate"], 1e-3))
    assert numbers["exponent"].item() == pytest.approx(0, abs=1e-4)


def test_halved_counts_updates_and_says_never():
    assert halved(torch.tensor([9.0, 6.0, 4.0, 6.0])) == 3
    assert halved(torch.tensor([9.0, 6.0])) == 3


def test_sgd_needs_as_long_for_the_second_goal_as_for_the_first():
    numbers = new_goal("SGD", lr=0.05, steps=200)
    assert numbers["first"] == pytest.approx(14, abs=1)  # 0.95^14 = 0.49
    assert numbers["slower"] == pytest.approx(1, abs=0.1)
    assert numbers["left"] < 0.05


def test_both_libraries_walk_alike():
    ours, theirs = (new_goal("Adadelta", 1.0, 50, library=name) for name in ("dlbook", "torch"))
    torch.testing.assert_close(ours["distance"], theirs["distance"])
