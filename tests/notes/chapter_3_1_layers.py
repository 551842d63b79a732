"""Chapters 3.1 and 3.2 of the notes: layers, and what an activation is for."""

import math
from itertools import product

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import nn

from .base import note
from .tools import (
    CORNERS,
    XOR,
    draw,
    f64,
    network,
    slope,
    solve,
)


@note(
    "3.1",
    says="Layers count from 0: the input is layer 0, the hidden one 1, the output 2.",
    verdict="right",
    truth="So the last number is the number of layers that have weights.",
)
def layers_count_from_0():
    model, x = network([3], outputs=2), draw(4, 2)
    affine = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert [2, *(layer.out_features for layer in affine)] == [2, 3, 2]
    assert len(affine) == 2
    assert_close(model(x), affine[1](torch.relu(affine[0](x))))


@note(
    "3.1",
    says="Hidden means that the neurons in the middle are not seen.",
    verdict="right",
    truth="From outside one cannot even tell them apart: in another order they give one output.",
)
def hidden_units_cannot_be_told_apart():
    model, x, order = network([5], "tanh"), draw(9, 2), [3, 0, 4, 1, 2]
    before = model(x)
    first, last = (layer for layer in model.modules() if isinstance(layer, nn.Linear))
    with torch.no_grad():
        first.weight.copy_(first.weight[order])
        assert not torch.allclose(model(x), before)
        first.bias.copy_(first.bias[order])
        last.weight.copy_(last.weight[:, order])
    assert_close(model(x), before)


@note(
    "3.2",
    says="The activation function decides how the sum of the inputs fires.",
    verdict="right",
    truth="A sum of -1 leaves a step and a ReLU as 0, a sigmoid as 0.269, a tanh as -0.762.",
)
def the_activation_decides_how_a_sum_fires():
    x = f64([-1.0])
    layers = nn.Step(), nn.ReLU(), nn.Sigmoid(), nn.Tanh()
    e = math.e
    expected = 0, 0, 1 / (1 + e), (1 / e - e) / (1 / e + e)
    assert [layer(x).item() for layer in layers] == pytest.approx(expected)
    assert expected[2:] == pytest.approx((0.269, -0.762), abs=5e-4)


@note(
    "3.2",
    says="An activation function maps the input of a node to its output.",
    verdict="conditional",
    truth="Sigmoid, tanh and ReLU do; in a softmax every output depends on every input.",
)
def an_activation_maps_node_by_node():
    x = draw(4)
    for layer in (nn.Sigmoid(), nn.Tanh(), nn.ReLU()):
        jacobian = torch.autograd.functional.jacobian(layer, x)
        assert torch.equal(jacobian, jacobian.diag().diag())
    assert torch.autograd.functional.jacobian(nn.Softmax(-1), x).all()


@note(
    "3.2",
    says="A computer chip is a network of on/off activations, like the linear perceptron.",
    verdict="right",
    truth="NAND alone adds two bits. But an on/off step has gradient 0: it cannot be trained so.",
)
def a_chip_is_made_of_nand():
    nand = nn.NAND(dtype=torch.float64)
    for a, b in product((0, 1), repeat=2):
        gate = lambda x, y: nand(torch.stack([x, y], -1))[..., 0]  # noqa: E731
        x, y = f64(a), f64(b)
        n = gate(x, y)
        total, carry = gate(gate(x, n), gate(y, n)), gate(n, n)
        assert 2 * carry + total == a + b
    assert not slope(nn.Step(), draw(50)).any()


@note(
    "3.2",
    says="Only non-linear activations let few nodes solve problems that are not trivial.",
    verdict="right",
    truth="A stack of affine layers is one affine layer: for XOR its best is 1/2 everywhere.",
)
def affine_layers_in_a_row_are_one():
    first, second = nn.Linear(2, 5).double(), nn.Linear(5, 1).double()
    w, b = second.weight @ first.weight, second.weight @ first.bias + second.bias
    assert_close(nn.Sequential(first, second)(CORNERS), CORNERS @ w.T + b)
    columns = torch.cat([CORNERS, torch.ones(4, 1)], 1)
    assert_close(columns @ solve(columns, XOR), f64([[0.5]] * 4))
    two, h = f64([[1.0], [-2.0]]), torch.relu(CORNERS.sum(1, True) - f64([0.0, 1.0]))
    assert torch.equal(h @ two, XOR)  # two ReLUs do


@note(
    "3.2",
    says="With non-linear activations a network can represent any complicated function.",
    verdict="conditional",
    truth="Not if they are polynomials: squares give parabolas, however many. ReLUs come close.",
)
def polynomial_activations_do_not_suffice():
    x = torch.linspace(-1, 1, 200).double()[:, None]
    t = (3 * torch.pi * x).sin()

    def error(activation, width):
        h = torch.cat([activation(3 * x * draw(width) + 3 * draw(width, seed=1)), x**0], 1)
        return (h @ solve(h, t) - t).square().mean().item()

    best_parabola = torch.cat([x**2, x, x**0], 1)
    floor = (best_parabola @ solve(best_parabola, t) - t).square().mean().item()
    assert floor > 0.4
    assert error(torch.square, 100) == pytest.approx(floor, rel=1e-6)
    assert error(nn.ReLU(), 100) < 0.01
