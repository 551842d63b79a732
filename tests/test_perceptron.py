"""The perceptron learns what a line can part, and nothing else; gates answer by their tables."""

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import nn
from dlbook_torch.nn import functional

INPUTS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
TABLES = {"AND": [0, 0, 0, 1], "NAND": [1, 1, 1, 0], "OR": [0, 1, 1, 1], "XOR": [0, 1, 1, 0]}


def table(name):
    return torch.tensor(TABLES[name], dtype=torch.float32)[:, None]


@pytest.mark.parametrize("name", TABLES)
def test_gate_answers_by_its_table(name):
    gate = getattr(nn, name)()
    assert torch.equal(gate(INPUTS), table(name))
    assert [gate(x).item() for x in INPUTS] == TABLES[name]  # one at a time, no batch


def test_not():
    assert nn.NOT()(torch.tensor([[0.0], [1.0]])).tolist() == [[1], [0]]


def test_gates_bear_the_weights_of_the_notes_and_draw_nothing():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    gates = nn.AND(), nn.NAND(), nn.OR()
    assert torch.equal(torch.rand(1), expected)
    found = [(*gate.weight.tolist()[0], round(gate.bias.item(), 6)) for gate in gates]
    assert found == [(0.5, 0.5, -0.7), (-0.5, -0.5, 0.7), (0.5, 0.5, -0.2)]
    assert nn.XOR(dtype=torch.float64).and_.weight.dtype == torch.float64


@pytest.mark.parametrize("bias, fires_above", [(-0.1, 0.1), (-20.0, 20.0)])
def test_bias_is_minus_the_threshold(bias, fires_above):
    unit = nn.Perceptron(1, dtype=torch.float64)
    with torch.no_grad():
        unit.weight.fill_(1)
        unit.bias.fill_(bias)
    x = torch.tensor([[0.5], [1.0], [1.5]], dtype=torch.float64) * fires_above
    assert unit(x).tolist() == [[0], [0], [1]]


def test_step_is_heaviside_with_its_tie_at_0():
    x = torch.tensor([0.0, -0.0, 1e-30, -1e-30, 7.0, torch.inf, -torch.inf, torch.nan])
    for t in (x, x.double(), x.bfloat16(), x.half(), torch.tensor([-1, 0, 2])):
        expected = torch.heaviside(t, torch.zeros((), dtype=t.dtype))
        assert_close(functional.step(t), expected, rtol=0, atol=0)


def test_step_stops_every_gradient():
    x = torch.randn(20, requires_grad=True)
    nn.Step()(x).backward(torch.full((20,), torch.inf))
    assert not x.grad.any()


@pytest.mark.parametrize("name", ["AND", "NAND", "OR"])
@pytest.mark.parametrize("lr", [0.1, 1.0])
def test_perceptron_learns_what_a_line_parts(name, lr):
    unit = nn.Perceptron(2)
    passes = [unit.learn(INPUTS, table(name), lr) for _ in range(50)]
    assert passes[0] > 0
    assert passes[-1] == 0
    assert torch.equal(unit(INPUTS), table(name))
    before = unit.weight.clone()
    unit.learn(INPUTS, table(name), lr)
    assert torch.equal(unit.weight, before)  # without a mistake there is nothing to learn


def test_perceptron_never_learns_xor():
    unit = nn.Perceptron(2)
    assert all(unit.learn(INPUTS, table("XOR"), 0.1) > 0 for _ in range(300))


def test_one_mistake_moves_the_weights_by_the_rule():
    unit = nn.Perceptron(2, 2, dtype=torch.float64)
    with torch.no_grad():
        unit.weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, 0.0]]))
        unit.bias.fill_(0.5)
    x, t = torch.tensor([[3.0, -1.0]]).double(), torch.tensor([[0.0, 1.0]]).double()
    assert unit.learn(x, t, lr=0.5) == 2
    assert unit.weight.tolist() == [[-0.5, 2.5], [0.5, -0.5]]
    assert unit.bias.tolist() == [0, 1]


def test_perceptrons_side_by_side_learn_three_gates_at_once():
    unit = nn.Perceptron(2, 3)
    t = torch.cat([table(name) for name in ("AND", "NAND", "OR")], 1)
    assert [unit.learn(INPUTS, t) for _ in range(50)][-1] == 0
    assert torch.equal(unit(INPUTS), t)


def test_perceptron_learns_without_a_bias_what_goes_through_the_origin():
    unit = nn.Perceptron(2, bias=False)
    x = torch.randn(50, 2)
    t = (x[:, :1] > x[:, 1:]).float()
    for _ in range(100):
        mistakes = unit.learn(x, t)
    assert mistakes == 0
    assert list(unit.state_dict()) == ["weight"]


def test_targets_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 1\), got \(4,\)"):
        nn.Perceptron(2).learn(INPUTS, torch.zeros(4))


def test_a_stack_of_affine_layers_is_one_affine_layer():
    first, second = nn.Linear(4, 5), nn.Linear(5, 3)
    stack = nn.Sequential(first, nn.Identity(), second)
    one = nn.Linear(4, 3)
    with torch.no_grad():
        one.weight.copy_(second.weight @ first.weight)
        one.bias.copy_(second(first.bias))
    x = torch.randn(6, 4)
    assert_close(stack(x), one(x))
