"""Chapter 2 of the notes: the perceptron."""

import math

import torch
from torch.testing import assert_close

from dlbook_torch import nn

from .base import note
from .tools import CORNERS, answers, draw, f64, parted_by_a_line, perceptron

AND, NAND, OR, XOR = [0, 0, 0, 1], [1, 1, 1, 0], [0, 1, 1, 1], [0, 1, 1, 0]


@note(
    "2.1",
    says="A perceptron receives several signals and sends out one.",
    verdict="right",
    truth="n inputs, one output; several outputs are several perceptrons.",
)
def several_signals_become_one():
    assert nn.Perceptron(7)(torch.randn(20, 7)).shape == (20, 1)
    w, b, x = draw(3, 7), draw(3, seed=1), draw(20, 7, seed=2)
    alone = [perceptron(w[i].tolist(), b[i].item())(x) for i in range(3)]
    assert torch.equal(perceptron(w.tolist(), b.tolist())(x), torch.cat(alone, 1))


@note(
    "2.1",
    says="The signal has two values only: 1 flows on, 0 does not.",
    verdict="right",
    truth="Whatever the inputs and weights, the answer is 0 or 1.",
)
def a_signal_is_0_or_1():
    y = perceptron(draw(5, 7).tolist(), draw(5).tolist())(100 * draw(400, 7, seed=1))
    assert y.unique().tolist() == [0, 1]


@note(
    "2.1",
    says="Formula: y_i = w_i x_i + ... + w_n x_n + b_i.",
    verdict="wrong",
    truth="That is the sum before the threshold: y = 1 if the sum is above 0, else 0.",
)
def the_formula_lacks_the_threshold():
    unit = nn.AND(dtype=torch.float64)
    total = CORNERS @ f64([0.5, 0.5]) - 0.7
    assert_close(total, f64([-0.7, -0.2, -0.2, 0.3]))  # not 0 or 1
    assert torch.equal(unit(CORNERS)[:, 0], torch.heaviside(total, torch.zeros(4).double()))


@note(
    "2.1",
    says="The sum in that formula runs from the input i to n.",
    verdict="wrong",
    truth="It runs over all inputs: i counts the outputs, not where to begin.",
)
def the_sum_begins_with_the_first_input():
    w, x, b = (0.5, 0.5), (1.0, 1.0), -0.7
    from_2 = sum(w[k] * x[k] for k in range(1, 2)) + b
    from_1 = sum(w[k] * x[k] for k in range(2)) + b
    assert from_2 < 0 < from_1
    assert answers(perceptron(w, b), f64([x])) == [1]


@note(
    "2.2",
    says="AND has w = (0.5, 0.5) and b = -0.7.",
    verdict="right",
    truth="0, 0, 0, 1 on the four corners; so do many other weights.",
)
def weights_of_and():
    gate = nn.AND()
    assert gate.weight.tolist() == [[0.5, 0.5]]
    assert math.isclose(gate.bias.item(), -0.7, rel_tol=1e-7)
    assert answers(perceptron((0.5, 0.5), -0.7)) == AND == [a & b for a in (0, 1) for b in (0, 1)]
    assert answers(perceptron((3.0, 2.0), -4.0)) == AND


@note(
    "2.2",
    says="The gate with w = (-0.5, -0.5), b = 0.7 is titled NOT.",
    verdict="wrong",
    truth="It is NAND, as its own name says. NOT has one input: w = -0.5, b = 0.25 makes one.",
)
def nand_is_titled_not():
    gate = perceptron((-0.5, -0.5), 0.7)
    assert answers(gate) == [1 - (a & b) for a in (0, 1) for b in (0, 1)]
    assert answers(gate)[1:3] == [1, 1]  # so it is the NOT of neither input
    assert answers(perceptron((-0.5,), 0.25), f64([[0.0], [1.0]])) == [1, 0]


@note(
    "2.2",
    says="NAND has w = (-0.5, -0.5) and b = 0.7.",
    verdict="right",
    truth="1, 1, 1, 0: the weights of AND with every sign turned.",
)
def weights_of_nand():
    gate = nn.NAND()
    assert gate.weight.tolist() == [[-0.5, -0.5]]
    assert math.isclose(gate.bias.item(), 0.7, rel_tol=1e-7)
    assert answers(perceptron((-0.5, -0.5), 0.7)) == NAND
    assert [1 - y for y in answers(nn.AND(dtype=torch.float64))] == NAND


@note(
    "2.2",
    says="OR has w = (0.5, 0.5) and b = -0.2.",
    verdict="right",
    truth="0, 1, 1, 1: only the bias differs from AND.",
)
def weights_of_or():
    gate = nn.OR()
    assert gate.weight.tolist() == nn.AND().weight.tolist() == [[0.5, 0.5]]
    assert math.isclose(gate.bias.item(), -0.2, rel_tol=1e-7)
    assert answers(perceptron((0.5, 0.5), -0.2)) == OR == [a | b for a in (0, 1) for b in (0, 1)]


@note(
    "2.2",
    says="In the code a sum of exactly 0 gives 0.",
    verdict="right",
    truth="As torch.heaviside(x, 0): the threshold has to be passed, not met.",
)
def a_sum_of_0_does_not_fire():
    assert answers(perceptron((0.5, 0.5), -1.0)) == [0, 0, 0, 0]
    assert answers(perceptron((0.5, 0.5), math.nextafter(-1, 0))) == AND
    assert torch.heaviside(torch.tensor(0.0), torch.tensor(0.0)) == 0


@note(
    "2.2",
    says="The bias b is -theta, the negative threshold.",
    verdict="right",
    truth="w x + b > 0 is the same as w x > theta.",
)
def bias_is_minus_the_threshold():
    w, x = draw(4), draw(500, 4, seed=1)
    for theta in (-2.0, 0.0, 1.5):
        fires = (x @ w > theta).int().tolist()
        assert answers(perceptron(w.tolist(), -theta), x) == fires
        assert 0 < sum(fires) < 500


@note(
    "2.2",
    says="With b = -0.1 the neuron fires as soon as the weighted sum is above 0.1.",
    verdict="right",
    truth="Not at 0.1, but at the next larger number.",
)
def bias_of_minus_0_1_fires_above_0_1():
    x = f64([[0.0], [0.1], [math.nextafter(0.1, 1)], [5.0]])
    assert answers(perceptron((1.0,), -0.1), x) == [0, 0, 1, 1]


@note(
    "2.2",
    says="With b = -20.0 the weighted sum has to be above 20.0.",
    verdict="right",
    truth="Not at 20, but at the next larger number.",
)
def bias_of_minus_20_fires_above_20():
    x = f64([[0.1], [20.0], [math.nextafter(20, 21)]])
    assert answers(perceptron((1.0,), -20.0), x) == [0, 0, 1]


@note(
    "2.2",
    says="The bias sets how easily the neuron fires.",
    verdict="right",
    truth="The larger b, the more inputs fire: for normal ones none at b = -20, all at 20.",
)
def a_larger_bias_fires_more_easily():
    x = draw(500, 2)
    fired = [sum(answers(perceptron((1.0, 1.0), b), x)) for b in (-20.0, -2.0, -0.1, 1.0, 20.0)]
    assert fired == sorted(set(fired))
    assert (fired[0], fired[-1]) == (0, 500)


@note(
    "2.2",
    says="The weights set how important each input is.",
    verdict="conditional",
    truth="Of inputs of one scale: in millimetres a metre needs a weight 1000 times smaller.",
)
def weights_are_importance_at_one_scale():
    x = draw(500, 2)
    both, first, second = (
        torch.tensor(answers(perceptron(w, 0.0), x)) for w in ((5.0, 1.0), (1.0, 0.0), (0.0, 1.0))
    )
    assert (both == first).sum() > (both == second).sum() + 100
    scaled = answers(perceptron((0.005, 1.0), 0.0), x * torch.tensor([1000.0, 1.0]))
    assert scaled == both.tolist()  # now the smaller weight is at the more important input


@note(
    "2.2",
    says="By context, the word weights may mean b too.",
    verdict="right",
    truth="b is the weight of one more input that is always 1.",
)
def the_bias_is_a_weight_of_a_constant():
    w, b, x = draw(4), 0.3, draw(500, 4, seed=1)
    wider = torch.cat([x, torch.ones(500, 1)], 1)
    unit = nn.Perceptron(5, bias=False, dtype=torch.float64)
    unit.load_state_dict({"weight": torch.cat([w, torch.tensor([b])])[None]})
    assert answers(unit, wider) == answers(perceptron(w.tolist(), b), x)


@note(
    "2.3",
    says="No straight line parts the circles from the triangles (of XOR).",
    verdict="right",
    truth="The four conditions on w and b contradict each other; AND, NAND and OR allow a line.",
)
def no_line_parts_xor():
    assert [parted_by_a_line(CORNERS, t) for t in (AND, NAND, OR, XOR)] == [True, True, True, False]
    # w1 + w2 + 2b is the sum over the 0s, so not above 0, and over the 1s, so above 0
    assert torch.equal(CORNERS[[0, 3]].sum(0), CORNERS[[1, 2]].sum(0))


@note(
    "2.3",
    says="Without the word straight it can be done.",
    verdict="right",
    truth="AND(NAND, OR) gives 0, 1, 1, 0. The notes stop before it; the book builds it.",
)
def two_layers_bend_the_line():
    assert answers(nn.XOR(dtype=torch.float64)) == XOR
    first = perceptron([(-0.5, -0.5), (0.5, 0.5)], (0.7, -0.2))
    assert answers(nn.Sequential(first, perceptron((0.5, 0.5), -0.7))) == XOR


@note(
    "2.3",
    says="A perceptron can show only what one straight line divides.",
    verdict="conditional",
    truth="One perceptron: along any line it changes its mind once at most. Layers of them: more.",
)
def one_perceptron_is_one_straight_line():
    walk = torch.linspace(-5, 5, 201)[:, None]
    turns = []
    for seed in range(50):
        start, way = draw(2, 2, seed=seed)
        unit = perceptron(draw(2, seed=seed + 100).tolist(), 0.3)
        turns.append(int(unit(start + walk * way).diff(dim=0).abs().sum()))
    assert set(turns) == {0, 1}
    diagonal = torch.linspace(-0.5, 1.5, 201)[:, None].double().expand(-1, 2)
    assert nn.XOR(dtype=torch.float64)(diagonal).diff(dim=0).abs().sum() == 2


@note(
    "2.3",
    says="A space divided by a straight line is called a linear space.",
    verdict="conditional",
    truth="In the book's words. In mathematics the line is one, if b = 0; its sides are not.",
)
def a_linear_space_is_something_else():
    w = f64([2.0, -1.0])
    u, v = f64([1.0, 2.0]), f64([-3.0, -6.0])
    assert w @ u == w @ v == w @ (u + v) == w @ (-2 * u) == 0  # the line holds sums and multiples
    side = f64([[1.0, 0.0], [-1.0, 0.0]])
    assert answers(perceptron((2.0, -1.0), 0.0), side) == [1, 0]  # a side does not hold -x


@note(
    "book ch02",
    says="XOR has the table 0, 1, 1, 0.",
    verdict="right",
    truth="As a sum modulo 2, and as AND(NAND, OR).",
)
def table_of_xor():
    assert answers(nn.XOR(dtype=torch.float64)) == [a ^ b for a in (0, 1) for b in (0, 1)]
    assert answers(nn.XOR(dtype=torch.float64)) == (CORNERS.sum(1) % 2).int().tolist()
