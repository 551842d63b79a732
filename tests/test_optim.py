"""Every update rule against its twin: the same random gradients, the same trajectory."""

import re

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import optim
from dlbook_torch.parity import checks
from dlbook_torch.parity.cases import BAD_RULES, RULES

each = pytest.mark.parametrize("rule", RULES, ids=str)


@each
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
def test_trajectory_is_torchs(rule, dtype):
    checks.trajectory(rule, dtype)


@each
@pytest.mark.parametrize("there, back", [(torch.optim, optim), (optim, torch.optim)])
def test_state_passes_to_the_twin_in_mid_run(rule, there, back):
    checks.handover(rule, there, back)


@pytest.mark.parametrize("name", sorted({rule.name for rule in RULES}))
def test_signature_is_torchs(name):
    checks.same_signature(name, optim, torch.optim)


def test_every_public_rule_has_a_row_and_no_row_stands_twice():
    assert {"Optimizer", "lr_scheduler"} | {rule.name for rule in RULES} == set(optim.__all__)
    assert len(RULES) == len({str(rule) for rule in RULES})


@pytest.mark.parametrize("name, kwargs, value", BAD_RULES, ids=str)
def test_ours_refuses_what_torch_refuses_and_names_the_value(name, kwargs, value):
    params = [torch.zeros(2, requires_grad=True)]
    with pytest.raises(ValueError):  # noqa: PT011 (torch words it its own way)
        getattr(torch.optim, name)(params, **kwargs)
    with pytest.raises(ValueError, match=re.escape(value)):
        getattr(optim, name)(params, **kwargs)


@each
def test_state_has_torchs_types_and_sizes(rule):
    twins = [rule.build(library) for library in (optim, torch.optim)]
    list(checks.push(1, *twins))
    ours, ref = (
        {
            i: {key: (t.dtype, t.shape) for key, t in state.items()}
            for i, state in optimizer.state_dict()["state"].items()
        }
        for _, optimizer in twins
    )
    assert ours == ref


@each
def test_gradient_is_read_and_never_written(rule):
    params, optimizer = rule.build(optim)
    gradients = [torch.randn_like(p) for p in params]
    for p, g in zip(params, gradients, strict=True):
        p.grad = g.clone()
    for _ in range(2):
        optimizer.step()
    assert_close([p.grad for p in params], gradients, rtol=0, atol=0)


@each
def test_parameter_without_a_gradient_is_left_alone(rule):
    params, optimizer = rule.build(optim)
    before = [p.detach().clone() for p in params]
    params[0].grad = torch.ones_like(params[0])
    optimizer.step()
    same = [torch.equal(p, q) for p, q in zip(params, before, strict=True)]
    assert same == [False, True, True]
    assert set(optimizer.state) <= {params[0]}


@each
def test_rule_is_handwritten(rule):
    checks.handwritten_rule(rule)


def test_closure_runs_with_gradients_and_its_loss_comes_back():
    w = torch.tensor([3.0], requires_grad=True)
    rule = optim.SGD([w], lr=0.1)

    def closure():
        rule.zero_grad()
        loss = (w**2).sum()
        loss.backward()
        return loss

    assert rule.step(closure).item() == 9
    assert_close(w.detach(), torch.tensor([2.4]))


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_scheduler_turns_ours_as_it_turns_torchs(name):
    def run(library):
        w = torch.ones(3, dtype=torch.float64, requires_grad=True)
        rule = getattr(library, name)([w], lr=0.1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(rule, 0.5, total_steps=12)
        for step in range(12):
            w.grad = torch.full_like(w, float(step))
            rule.step()
            schedule.step()
        return w

    assert_close(run(optim), run(torch.optim))


def test_terminal_velocity_of_momentum():
    """Under a constant gradient g the step grows to lr g / (1 - mu), ten times the first."""
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    rule = optim.SGD([w], lr=0.01, momentum=0.9)
    for _ in range(400):
        before = w.item()
        w.grad = torch.ones_like(w)
        rule.step()
    assert before - w.item() == pytest.approx(0.01 / (1 - 0.9))


def test_adam_takes_the_same_step_whatever_the_scale_of_the_gradient():
    ends = []
    for scale in (1e-3, 1.0, 1e3):
        w = torch.zeros(4, dtype=torch.float64, requires_grad=True)
        rule = optim.Adam([w], lr=0.1, eps=0.0)
        for k in range(10):
            w.grad = scale * torch.cos(torch.arange(4.0, dtype=torch.float64) + k)
            rule.step()
        ends.append(w.detach())
    assert_close(ends[0], ends[1])
    assert_close(ends[2], ends[1])


def test_differentiable_step_carries_the_gradient_of_the_learning_rate():
    lr = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    w = torch.tensor([2.0], dtype=torch.float64, requires_grad=True).clone()
    rule = optim.SGD([w], lr=lr, differentiable=True)
    w.grad = torch.tensor([3.0], dtype=torch.float64)
    rule.step()
    assert torch.autograd.grad(w.sum(), lr)[0].item() == -3
