"""Chapter 5 of the notes: backpropagation, by its worked example."""

import math

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import nn

from .base import note
from .tools import f64

X, T = (0.35, 0.9), 0.5
W0, W1 = ((0.1, 0.8), (0.4, 0.6)), (0.3, 0.9)
PRINTED = ((0.09661944, 0.78985831), (0.39661944, 0.58985831))  # the notes' w31, w32; w41, w42


def f(z):
    """Sigmoid, on plain numbers."""
    return 1 / (1 + math.exp(-z))


def forward(w0=W0, w1=W1):
    """z3, z4, y3, y4, z5 and y5 by the formulas, on plain numbers."""
    z3, z4 = (w[0] * X[0] + w[1] * X[1] for w in w0)
    y3, y4 = f(z3), f(z4)
    z5 = w1[0] * y3 + w1[1] * y4
    return z3, z4, y3, y4, z5, f(z5)


def cost(w0=W0, w1=W1):
    """Half of the squared error."""
    return (forward(w0, w1)[-1] - T) ** 2 / 2


def gradient(w0=W0, w1=W1):
    """The chain rule by hand: dC/dW0 and dC/dW1."""
    *_, y3, y4, _, y5 = forward(w0, w1)
    delta5 = (y5 - T) * y5 * (1 - y5)
    delta = [delta5 * w * y * (1 - y) for w, y in zip(w1, (y3, y4), strict=True)]
    return [[d * x for x in X] for d in delta], [delta5 * y3, delta5 * y4]


def autograd():
    """The same by torch."""
    w0, w1 = f64(W0).requires_grad_(), f64(W1).requires_grad_()
    y5 = torch.sigmoid(w1 @ torch.sigmoid(w0 @ f64(X)))
    return [g.tolist() for g in torch.autograd.grad((y5 - T) ** 2 / 2, (w0, w1))]


def step(w0=W0, w1=W1, eta=1.0):
    """Weights after a step of gradient descent."""
    dw0, dw1 = gradient(w0, w1)
    return (
        [[w - eta * d for w, d in zip(*rows, strict=True)] for rows in zip(w0, dw0, strict=True)],
        [w - eta * d for w, d in zip(w1, dw1, strict=True)],
    )


def slip(w1=W1):
    """W0 after the update that gives the notes' numbers: one vector for both rows."""
    *_, y3, y4, _, y5 = forward()
    delta5 = (y5 - T) * y5 * (1 - y5)
    one_number = y3 * (1 - y3) * X[0] + y4 * (1 - y4) * X[1]  # a dot product over the units
    update = [delta5 * one_number * w for w in w1]
    return [[w - d for w, d in zip(row, update, strict=True)] for row in W0]


def network():
    """The worked example of our own layers."""
    model = nn.Sequential(
        nn.Linear(2, 2, bias=False), nn.Sigmoid(), nn.Linear(2, 1, bias=False), nn.Sigmoid()
    ).double()
    model.load_state_dict({"0.weight": f64(W0), "2.weight": f64([W1])})
    return model


@note(
    "5",
    says="Backpropagation computes the gradient of the weights efficiently.",
    verdict="right",
    truth="Six weights by central differences: 12 forward passes. By backpropagation: one.",
)
def one_pass_instead_of_twelve():
    model, passes, h = network(), [], 1e-5
    model.register_forward_hook(lambda *_: passes.append(1))
    ((model(f64(X)) - T) ** 2 / 2).sum().backward()
    assert len(passes) == 1
    passes.clear()
    for p in model.parameters():
        for i in range(p.numel()):
            ends = []
            for way in (h, -2 * h):
                p.data.flatten()[i] += way
                ends.append(((model(f64(X)) - T) ** 2 / 2).item())
            p.data.flatten()[i] += h
            assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(
                p.grad.flatten()[i].item(), rel=1e-6
            )
    assert len(passes) == 12


@note(
    "5",
    says="z1 = W0 X, with X as a column.",
    verdict="right",
    truth="Row by row w31 x1 + w32 x2; section 3.3 has samples as rows, X W.",
)
def a_column_from_the_left():
    column = f64(X)[:, None]
    assert_close(f64(W0) @ column, f64(forward()[:2])[:, None])
    assert_close((column.T @ f64(W0).T).T, f64(W0) @ column)
    assert_close(network()[0](column.T).T, f64(W0) @ column)
    assert not torch.allclose(f64(W0).T @ column, f64(W0) @ column)


@note("5", says="z3 = 0.1 * 0.35 + 0.8 * 0.9 = 0.755.", verdict="right", truth="0.755.")
def z3_is_0_755():
    assert forward()[0] == pytest.approx(0.755, abs=1e-15)
    assert network()[0](f64(X))[0].item() == pytest.approx(0.755, abs=1e-15)


@note("5", says="z4 = 0.4 * 0.35 + 0.6 * 0.9 = 0.68.", verdict="right", truth="0.68.")
def z4_is_0_68():
    assert forward()[1] == pytest.approx(0.68, abs=1e-15)
    assert network()[0](f64(X))[1].item() == pytest.approx(0.68, abs=1e-15)


@note("5", says="y3 = f(0.755) = 0.680.", verdict="rounded", truth="0.6802671967.")
def y3_is_0_680():
    y3 = network()[:2](f64(X))[0].item()
    assert y3 == pytest.approx(0.6802671967, abs=5e-11)
    assert y3 == pytest.approx(forward()[2], abs=1e-15)
    assert round(y3, 3) == 0.680


@note(
    "5",
    says="y4 = f(0.68) = 0.663.",
    verdict="rounded",
    truth="0.6637386974: cut off. Rounded it is 0.664.",
)
def y4_is_0_664():
    y4 = network()[:2](f64(X))[1].item()
    assert y4 == pytest.approx(0.6637386974, abs=5e-11)
    assert y4 == pytest.approx(forward()[3], abs=1e-15)
    assert (math.floor(1000 * y4), round(1000 * y4)) == (663, 664)


@note(
    "5",
    says="z5 = 0.3 y3 + 0.9 y4 = 0.801.",
    verdict="rounded",
    truth="0.8014449867; from the printed 0.680 and 0.663 it is 0.8007.",
)
def z5_is_0_801():
    z5 = network()[:3](f64(X)).item()
    assert z5 == pytest.approx(0.8014449867, abs=5e-11)
    assert z5 == pytest.approx(forward()[4], abs=1e-15)
    assert round(z5, 3) == round(0.3 * 0.680 + 0.9 * 0.663, 3) == 0.801


@note("5", says="y5 = f(0.801) = 0.690.", verdict="rounded", truth="0.6902834929.")
def y5_is_0_690():
    y5 = network()(f64(X)).item()
    assert y5 == pytest.approx(0.6902834929, abs=5e-11)
    assert y5 == pytest.approx(forward()[5], abs=1e-15)
    assert round(y5, 3) == round(f(0.801), 3) == 0.690


@note(
    "5",
    says="The error is 0.19.",
    verdict="rounded",
    truth="y5 - t = 0.1902834929. This is the difference, not the cost C.",
)
def error_is_the_difference():
    assert forward()[5] - T == pytest.approx(0.1902834929, abs=5e-11)
    assert round(forward()[5] - T, 2) == 0.19
    assert round(cost(), 2) == 0.02


@note(
    "5",
    says="C = (0.690 - 0.5)^2 / 2 = 0.01805.",
    verdict="rounded",
    truth="Of the rounded 0.690, yes; C is 0.0181039038.",
)
def cost_of_the_rounded_output():
    of_rounded = (0.690 - 0.5) ** 2 / 2
    assert of_rounded == pytest.approx(0.01805, abs=1e-15)
    assert cost() == pytest.approx(0.0181039038, abs=5e-11)
    loss = nn.MSELoss()(network()(f64(X)), f64([T])).item() / 2
    assert loss == pytest.approx(cost(), abs=1e-15)


@note(
    "5",
    says="C = (y5 - t)^2 / 2.",
    verdict="right",
    truth="Half of torch's MSELoss; the half makes the derivative y5 - t.",
)
def half_the_square_has_the_difference_as_slope():
    y5 = f64([0.6902834929]).requires_grad_()
    C = nn.MSELoss()(y5, f64([T])) / 2
    assert C.item() == pytest.approx((0.6902834929 - T) ** 2 / 2, abs=1e-15)
    assert torch.autograd.grad(C, y5)[0].item() == pytest.approx(0.1902834929, abs=1e-15)


@note(
    "5",
    says="dC/dw53 = (y5 - t) f(z5) (1 - f(z5)) y3, by the chain rule.",
    verdict="right",
    truth="0.0276740349, as torch's autograd and a central difference have it.",
)
def chain_rule_of_w53():
    *_, y3, _, z5, y5 = forward()
    by_hand = (y5 - T) * f(z5) * (1 - f(z5)) * y3
    assert by_hand == pytest.approx(0.0276740349, abs=5e-11)
    assert by_hand == pytest.approx(autograd()[1][0], abs=1e-15)
    h = 1e-5
    numerical = (cost(w1=(0.3 + h, 0.9)) - cost(w1=(0.3 - h, 0.9))) / (2 * h)
    assert by_hand == pytest.approx(numerical, abs=1e-10)
    model = network()
    (nn.MSELoss()(model(f64(X)), f64([T])) / 2).backward()
    assert model[2].weight.grad[0, 0].item() == pytest.approx(by_hand, abs=1e-15)


@note(
    "5",
    says="dC/dw53 = 0.19 * 0.69 * 0.31 * 0.68 = 0.02763.",
    verdict="rounded",
    truth="That product is 0.0276359, cut off; from unrounded factors 0.0276740.",
)
def gradient_of_w53():
    product = 0.19 * 0.69 * 0.31 * 0.68
    assert product == pytest.approx(0.0276359, abs=5e-8)
    assert math.floor(1e5 * product) == 2763
    assert autograd()[1][0] == pytest.approx(0.0276740, abs=5e-8)


@note(
    "5",
    says="Each weight becomes w - eta dC/dw.",
    verdict="right",
    truth="torch.optim.SGD. eta is not printed; with the weights that follow it must be 1.",
)
def update_is_gradient_descent():
    w0, w1 = f64(W0).requires_grad_(), f64(W1).requires_grad_()
    optimizer = torch.optim.SGD([w0, w1], lr=0.7)
    ((torch.sigmoid(w1 @ torch.sigmoid(w0 @ f64(X))) - T) ** 2 / 2).backward()
    optimizer.step()
    new = step(eta=0.7)
    assert_close(w0.detach(), f64(new[0]))
    assert_close(w1.detach(), f64(new[1]))
    assert cost(*new) < cost()
    moved = W0[0][0] - PRINTED[0][0]
    assert moved / (W0[0][0] - slip()[0][0]) == pytest.approx(1, abs=2e-6)


def is_wrong(i, j, exact):
    """The printed weight in row i, column j of W0, the true one, and what the slip makes of it."""
    true = step()[0][i][j]
    assert true == pytest.approx(exact, abs=5e-11)
    assert true == pytest.approx(W0[i][j] - autograd()[0][i][j], abs=1e-15)
    assert abs(PRINTED[i][j] - true) > 5e-4
    assert round(slip()[i][j], 8) == PRINTED[i][j]


@note("5", says="w31 becomes 0.09661944.", verdict="wrong", truth="0.0990709288 (eta = 1).")
def w31_becomes_0_0990709():
    is_wrong(0, 0, 0.0990709288)


@note("5", says="w32 becomes 0.78985831.", verdict="wrong", truth="0.7976109599 (eta = 1).")
def w32_becomes_0_7976110():
    is_wrong(0, 1, 0.7976109599)


@note("5", says="w41 becomes 0.39661944.", verdict="wrong", truth="0.3971399242 (eta = 1).")
def w41_becomes_0_3971399():
    is_wrong(1, 0, 0.3971399242)


@note("5", says="w42 becomes 0.58985831.", verdict="wrong", truth="0.5926455194 (eta = 1).")
def w42_becomes_0_5926455():
    is_wrong(1, 1, 0.5926455194)


@note(
    "5",
    says="Both rows of W0 move by the same amounts, 0.00338056 and 0.01014169.",
    verdict="wrong",
    truth="A slip of shapes gives all four numbers to eight digits: a dot product over both units, "
    "times (w53, w54) instead of (x1, x2), for every row.",
)
def one_update_for_both_rows_is_a_slip():
    moved = [
        [round(w - v, 8) for w, v in zip(*rows, strict=True)]
        for rows in zip(W0, PRINTED, strict=True)
    ]
    assert moved == [[0.00338056, 0.01014169]] * 2
    assert [[round(w, 8) for w in row] for row in slip()] == [list(row) for row in PRINTED]
    assert moved[0][1] / moved[0][0] == pytest.approx(W1[1] / W1[0], rel=1e-5)  # 3, of W1
    (a, b), (c, d) = gradient()[0]
    assert b / a == pytest.approx(d / c) == pytest.approx(X[1] / X[0])  # 2.571, of X
    assert c > 3 * a
    assert_close(f64(gradient()[0]), f64(autograd()[0]))


@note(
    "5",
    says="The update of W0 is computed before W1 is changed.",
    verdict="right",
    truth="As it must be; with the new W1 the same slip would give 0.0969313 for w31.",
)
def w0_is_updated_with_the_old_w1():
    assert round(slip()[0][0], 8) == PRINTED[0][0]
    assert slip(step()[1])[0][0] == pytest.approx(0.0969313, abs=5e-8)


@note(
    "5",
    says="After that step the error is 0.165.",
    verdict="wrong",
    truth="A zero is lost: 0.0165 is the cost C. The error y5 - t is 0.1820; 0.166 takes 3 steps.",
)
def a_zero_is_lost_in_0_165():
    new = step()
    assert cost(*new) == pytest.approx(0.0165653823, abs=5e-11)
    assert forward(*new)[-1] - T == pytest.approx(0.1820185833, abs=5e-11)
    errors, weights = [], (W0, W1)
    for _ in range(3):
        weights = step(*weights)
        errors.append(round(forward(*weights)[-1] - T, 5))
    assert errors == [0.18202, 0.17394, 0.16606]


@note(
    "5",
    says="The step moves W1 too (its new values are not printed).",
    verdict="right",
    truth="To 0.2723260, 0.8729984: only then C is 0.0165 with the printed W0, else 0.0180.",
)
def w1_moves_too():
    w1 = step()[1]
    assert w1 == pytest.approx([0.2723259651, 0.8729983630], abs=5e-11)
    assert cost(PRINTED, w1) == pytest.approx(0.0165263, abs=5e-8)
    assert cost(PRINTED, W1) == pytest.approx(0.0179922, abs=5e-8)


@note(
    "5",
    says="Repeated, the loss gets smaller and the output comes ever closer to 0.5.",
    verdict="right",
    truth="With eta = 1 y5 - t is 0.1175 after 10 steps, 0.0128 after 50, 7.6e-4 after 100, 2.7e-6 "
    "after 200.",
)
def repeated_it_converges():
    weights, errors = (W0, W1), []
    for _ in range(200):
        errors.append(forward(*weights)[-1] - T)
        weights = step(*weights)
    errors.append(forward(*weights)[-1] - T)
    assert errors == sorted(errors, reverse=True)
    printed = [0.1175, 0.01283, 7.64e-4, 2.71e-6]
    assert [errors[n] for n in (10, 50, 100, 200)] == pytest.approx(printed, rel=2e-3)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(50):
        optimizer.zero_grad()
        (nn.MSELoss()(model(f64(X)), f64([T])) / 2).backward()
        optimizer.step()
    assert (model(f64(X)) - T).item() == pytest.approx(errors[50], abs=1e-12)


# the book's chapter 5


def shopping(*fruit, tax=1.1):
    """Total price of (price, number) pairs with tax, and its gradients: by fruit, then tax."""
    leaves = [f64(v).requires_grad_() for pair in fruit for v in pair] + [f64(tax).requires_grad_()]
    total = sum(leaves[i] * leaves[i + 1] for i in range(0, len(leaves) - 1, 2)) * leaves[-1]
    return total.item(), [g.item() for g in torch.autograd.grad(total, leaves)]


@note(
    "book ch05",
    says="Two apples at 100 with 10 % tax cost 220.",
    verdict="right",
    truth="100 * 2 * 1.1.",
)
def two_apples_cost_220():
    assert shopping((100.0, 2.0))[0] == pytest.approx(220) == 100 * 2 * 11 / 10


@note(
    "book ch05",
    says="The gradients of two apples: 2.2 (price), 110 (number) and 200 (tax).",
    verdict="right",
    truth="Of a product each gets the product of the others.",
)
def gradients_of_two_apples():
    assert shopping((100.0, 2.0))[1] == pytest.approx([2.2, 110, 200])
    by_hand = [2 * 1.1, 100 * 1.1, 100 * 2]
    assert by_hand == pytest.approx([2.2, 110, 200])


@note(
    "book ch05",
    says="Two apples at 100 and three oranges at 150 with tax cost 715.",
    verdict="right",
    truth="(200 + 450) * 1.1.",
)
def apples_and_oranges_cost_715():
    assert shopping((100.0, 2.0), (150.0, 3.0))[0] == pytest.approx(715) == 650 * 11 / 10


@note(
    "book ch05",
    says="The gradients: apple 2.2, its number 110, orange 3.3, its number 165, tax 650.",
    verdict="right",
    truth="A sum passes its gradient on as it is.",
)
def gradients_of_apples_and_oranges():
    total, found = shopping((100.0, 2.0), (150.0, 3.0))
    assert found == pytest.approx([2.2, 110, 3.3, 165, 650])
    dearer = shopping((100.0, 2.0), (151.0, 3.0))[0]
    assert dearer - total == pytest.approx(3.3)  # linear in each: the difference is the gradient


@note(
    "book ch05",
    says="Gradient check: W1 is 1.8e-6 off, b1 2.4e-5, W2 6.2e-9, b2 1.4e-7.",
    verdict="conditional",
    truth="Below 1e-9 where the network is smooth; with a ReLU's kink closer than h, up to half of "
    "its slope.",
)
def gradient_check_fails_at_a_kink():
    def difference(layer, x, h=1e-4):
        a = f64(x).requires_grad_()
        exact = torch.autograd.grad(layer(a), a)[0].item()
        with torch.no_grad():
            return abs(((layer(a + h) - layer(a - h)) / (2 * h)).item() - exact)

    assert difference(nn.Sigmoid(), 0.7) < 1e-9
    assert difference(nn.ReLU(), 0.7) < 1e-9
    assert difference(nn.ReLU(), 2e-5) == pytest.approx(0.4, abs=1e-9)
