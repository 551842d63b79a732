"""The numbers behind the pictures of notes 4.2 and 5."""

import pytest
import torch

from dlbook_torch.experiment.studies.loss import (
    backpropagation,
    batches,
    descend,
    error,
    learning,
    objective_of,
    slope,
)

Z = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [1.0, 3.0, 2.0]], dtype=torch.float64)
T = torch.tensor([0, 0, 1])


@pytest.mark.parametrize(
    ("loss", "formula"),
    [
        ("cross-entropy", lambda y: 1 - y),
        ("squares", lambda y: (1 - y) * y * (1 - y)),
    ],
)
def test_the_slopes_of_the_two_losses_are_those_of_the_formulas(loss, formula):
    numbers = slope(loss)
    y = torch.sigmoid(numbers["logit"].detach())
    torch.testing.assert_close(numbers["slope"], formula(y))


def test_the_error_is_the_share_of_wrong_answers_and_has_no_slope():
    z = Z.clone().requires_grad_()
    found = error(z, T)
    assert found.item() == pytest.approx((Z.argmax(1) != T).double().mean().item())
    (gradient,) = torch.autograd.grad(found, z)
    h = 1e-4  # by differences of the count itself
    slopes = [
        (error(Z + h * e, T) - error(Z - h * e, T)) / (2 * h)
        for e in torch.eye(Z.numel(), dtype=Z.dtype).view(-1, *Z.shape)
    ]
    torch.testing.assert_close(gradient, torch.stack(slopes).view_as(Z))


@pytest.mark.parametrize("library", ["dlbook", "torch"])
def test_the_squares_are_half_the_squared_distance_from_one_hot_per_sample(library):
    found = objective_of("squares of softmax", library)(Z, T)
    apart = torch.softmax(Z, 1) - torch.eye(3, dtype=torch.float64)[T]
    torch.testing.assert_close(found, (apart**2).sum() / 2 / 3)


def test_batches_visit_every_sample_once_per_epoch_and_stop_after_so_many_steps():
    data = torch.arange(10), torch.arange(10)
    seen = [x.tolist() for x, _ in batches(data, 4, 7, seed=1)]
    assert [len(x) for x in seen] == [4, 4, 2, 4, 4, 2, 4]
    for epoch in (seen[:3], seen[3:6]):
        assert sorted(i for batch in epoch for i in batch) == list(range(10))


def test_a_step_of_descent_is_that_of_torch():
    nets = [torch.nn.Linear(3, 2) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    x = torch.randn(5, 3)
    rule = torch.optim.SGD(nets[1].parameters(), lr=0.1)
    nets[1](x).square().sum().backward()
    rule.step()
    descend(nets[0], nets[0](x).square().sum(), 0.1)
    for ours, theirs in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_both_libraries_learn_alike():
    ours, theirs = (learning("squares of sigmoid", 0.3, 20, library=n) for n in ("dlbook", "torch"))
    assert ours["accuracy"] == pytest.approx(theirs["accuracy"], abs=0.011)  # two images of 200
    assert ours["gradient"] == pytest.approx(theirs["gradient"], rel=1e-4)


def test_steps_to_90_percent_is_one_more_than_there_were_if_it_was_never_reached():
    assert learning("error", steps=3)["steps90"] == 4


def test_differences_call_the_loss_twice_per_parameter():
    numbers = backpropagation(5)
    assert numbers["parameters"] == 16 * 5 + 5 + 5 * 5 + 5
    assert numbers["evaluations"] == 2 * numbers["parameters"]
    assert 0 < numbers["difference"] < 1e-7
