"""Measured slopes, the gradient check, and the worked example of chapter 5."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import nn
from dlbook_torch.autograd import (
    check_gradients,
    cli,
    example,
    gradient_descent,
    numerical_diff,
    numerical_gradient,
    numerical_gradients,
)
from dlbook_torch.autograd.check import KINK, NOISE, RIGHT, WRONG

ROOT = Path(__file__).parents[1]
F64 = torch.float64


def curve(x):
    return 0.01 * x**2 + 0.1 * x


def bowl(x):
    return (x**2).sum()


def net(*layers):
    return nn.Sequential(*layers).double()


# The slope is 0.2.
@pytest.mark.parametrize(
    "dtype, h, slope",
    [
        (torch.float64, 1e-4, 0.1999999999990898),  # the book prints this
        (torch.float32, 1e-4, 0.20027),
        (torch.float64, 1e-50, 0.0),
        (torch.float32, 1e-50, 0.0),
    ],
)
def test_float32_trap_4(dtype, h, slope):
    found = numerical_gradient(curve, torch.tensor(5.0, dtype=dtype), h)
    assert found.dtype == dtype
    assert_close(found, torch.tensor(slope, dtype=dtype), rtol=0, atol=5e-6 if slope > 0.2 else 0)


def test_a_float_has_a_slope_too_4():
    assert numerical_diff(curve, 5.0) == 0.1999999999990898
    assert numerical_diff(curve, 10.0) == pytest.approx(0.3, abs=1e-11)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 3), (0,)])
def test_numerical_gradient_is_autograd_s_4(shape):
    def f(x):
        return (x.sin() * x.exp()).sum() + x.prod()

    x = torch.randn(shape, dtype=F64)
    found = numerical_gradient(f, x)
    (known,) = torch.autograd.grad(f(x.requires_grad_()), x)
    assert_close(found, known, rtol=1e-7, atol=1e-7)


def test_numerical_gradient_of_a_transposed_tensor_4():
    x = torch.randn(3, 2, dtype=F64).T
    assert_close(numerical_gradient(lambda x: (x**3).sum(), x), 3 * x**2, rtol=1e-6, atol=1e-7)


def test_numerical_gradient_leaves_its_argument_alone_4():
    x = torch.randn(4, dtype=F64, requires_grad=True)
    before = x.detach().clone()
    found = numerical_gradient(lambda x: x.mul_(x).sum(), x)
    assert torch.equal(x, before)
    assert not found.requires_grad
    assert_close(found, 2 * before)


@pytest.mark.parametrize("stop_at", [None, 1, 5, 6])
def test_parameters_are_put_back_to_the_bit_even_after_an_error_4(stop_at):
    model = net(nn.Linear(2, 2), nn.Sigmoid())
    before = {name: w.detach().clone() for name, w in model.named_parameters()}
    x, calls = torch.randn(3, 2, dtype=F64), 0

    def loss():
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise ArithmeticError("enough")
        return model(x).square().mean()

    if stop_at is None:
        found = numerical_gradients(loss, dict(model.named_parameters()))
        loss().backward()
        for name, w in model.named_parameters():
            assert_close(found[name], w.grad, rtol=1e-7, atol=1e-9)
    else:
        with pytest.raises(ArithmeticError, match="enough"):
            numerical_gradients(loss, dict(model.named_parameters()))
    assert all(torch.equal(w, before[name]) for name, w in model.named_parameters())


@pytest.mark.parametrize("h", [0, -1e-4, float("nan"), float("inf")])
def test_bad_h_is_named_4(h):
    with pytest.raises(ValueError, match=f"h must be positive and finite, got {h}"):
        numerical_gradient(bowl, torch.ones(2), h)


def test_bad_arguments_are_named_4():
    with pytest.raises(TypeError, match=r"x must have a floating point type.*torch\.int64"):
        numerical_gradient(bowl, torch.tensor([3, 4]))
    with pytest.raises(TypeError, match=r"torch\.complex64"):
        numerical_gradient(lambda x: x.abs().sum(), torch.tensor([1j]))
    with pytest.raises(ValueError, match=r"one number, got shape \(2,\)"):
        numerical_gradient(lambda x: x, torch.ones(2))
    with pytest.raises(ValueError, match="steps must not be negative, got -1"):
        gradient_descent(bowl, torch.ones(2), steps=-1)


# The book prints all three. At 10, rounding decides where the path ends.
@pytest.mark.parametrize(
    "lr, end, digits",
    [
        (0.1, [-6.11110793e-10, 8.14814391e-10], 1e-8),
        (1e-10, [-2.99999994, 3.99999992], 1e-9),
        (10.0, [-2.58983747e13, -1.29524862e12], 1e-8),
    ],
)
def test_gradient_descent_ends_where_the_book_s_does_4(lr, end, digits):
    start = torch.tensor([-3.0, 4.0], dtype=F64)
    found, path = gradient_descent(bowl, start, lr, 100)
    assert_close(found, torch.tensor(end, dtype=F64), rtol=digits, atol=0)
    assert path.shape == (101, 2)
    assert torch.equal(path[0], start)
    assert torch.equal(path[-1], found)


def test_gradient_descent_shrinks_the_bowl_s_point_by_the_same_factor_4():
    _, path = gradient_descent(bowl, torch.tensor([-3.0, 4.0], dtype=F64), 0.1, 5)
    powers = 0.8 ** torch.arange(6, dtype=F64)
    assert_close(path, powers[:, None] * path[0], rtol=1e-10, atol=0)


class Skewed(torch.autograd.Function):
    """A product whose derivative is right but for three elements of the weight."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w.T

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        dw = dy.T @ x
        dw[0, 3] *= 1.0001
        dw[1, 2] *= 1.001
        dw[2, 0] *= 1.0001
        return dy @ w, dw


def classifier():
    model = net(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2))
    x, t = torch.randn(5, 4, dtype=F64), torch.tensor([0, 1, 1, 0, 1])
    return model, lambda: nn.functional.cross_entropy(model(x.to(model[0].weight)), t)


def test_check_passes_a_right_net_and_leaves_no_trace_5():
    model, loss = classifier()
    before = {name: w.detach().clone() for name, w in model.named_parameters()}
    report = check_gradients(loss, model.named_parameters())
    assert report.ok
    assert [row.name for row in report.rows] == list(before)
    assert {row.verdict for row in report.rows} == {RIGHT}
    assert max(row.difference for row in report.rows) < 1e-9
    assert "0 of 4 parameters wrong" in str(report)
    assert "Warning" not in str(report)
    for name, w in model.named_parameters():
        assert torch.equal(w, before[name])
        assert w.grad is None


def test_check_finds_the_worst_of_three_wrong_elements_5():
    first, second = (torch.randn(3, 4, dtype=F64, requires_grad=True) for _ in range(2))
    x = torch.randn(5, 4, dtype=F64)

    def loss():
        return (Skewed.apply(x, second) + x @ first.T).tanh().square().sum()

    report = check_gradients(loss, {"first": first, "second": second})
    assert not report.ok
    good, bad = report.rows
    assert (good.verdict, good.wrong) == (RIGHT, 0)
    assert (bad.name, bad.at, bad.verdict, bad.wrong) == ("second", (1, 2), WRONG, 3)
    assert report.worst is bad
    assert bad.relative == pytest.approx(0.001, rel=0.01)
    table = str(report).splitlines()
    assert table[0].split() == [
        "parameter", "shape", "difference", "relative", "at", "autograd", "measured", "verdict"
    ]  # fmt: skip
    assert table[1].endswith("right")
    assert table[2].startswith("second")
    assert "[1, 2]" in table[2]
    assert table[2].endswith("WRONG: 3 of 12")
    assert f"Look at second[1, 2]: autograd says {bad.autograd:.8g}" in str(report)
    assert f"{bad.measured:.8g}" in table[2]


def test_check_sees_what_autograd_does_not_5():
    a = torch.tensor(2.0, dtype=F64, requires_grad=True)
    b = torch.tensor(3.0, dtype=F64, requires_grad=True)
    report = check_gradients(lambda: a.detach() * a * b.detach(), {"a": a, "b": b})
    assert [(row.autograd, row.verdict) for row in report.rows] == [(6, WRONG), (0, WRONG)]
    assert [row.measured for row in report.rows] == pytest.approx([12, 4])
    assert "Look at b: autograd says 0" in str(report)


def test_gradient_that_is_no_number_is_wrong_5():
    x = torch.tensor([-800.0, 1.0], dtype=F64, requires_grad=True)
    report = check_gradients(lambda: (1 / (1 + (-x).exp())).sum(), {"x": x})  # notes 3.2.1
    assert report.worst.at == (0,)
    assert report.worst.verdict == WRONG


def test_unused_parameter_is_right_with_a_slope_of_0_5():
    used, unused = (torch.ones(2, dtype=F64, requires_grad=True) for _ in range(2))
    report = check_gradients(lambda: used.square().sum(), {"used": used, "unused": unused})
    assert report.ok
    assert (report.rows[1].autograd, report.rows[1].measured) == (0, 0)


def test_float32_is_too_coarse_and_the_report_says_so_5():
    model, loss = classifier()
    fine = check_gradients(loss, model.named_parameters())
    model.float()
    coarse = check_gradients(loss, model.named_parameters())
    assert "Warning: float32 rounds the loss too coarsely" in str(coarse)
    assert NOISE in {row.verdict for row in coarse.rows}
    assert coarse.worst.difference > 1000 * max(row.difference for row in fine.rows)


def test_kink_is_told_apart_from_a_mistake_5():
    x = torch.tensor([1.0, 0.0, -1.0], dtype=F64, requires_grad=True)

    def loss():
        return nn.functional.relu(x).sum()

    (row,) = check_gradients(loss, {"x": x}).rows
    assert (row.at, row.verdict, row.wrong) == ((1,), KINK, 0)
    assert (row.autograd, row.measured) == pytest.approx((0, 0.5))
    report = check_gradients(loss, {"x": x})
    assert report.ok
    assert "x[1] is at a kink" in str(report)
    assert "0 on one side and 1 on the other, and autograd chose 0" in str(report)
    with torch.no_grad():
        x[1] = 2e-4
    assert check_gradients(loss, {"x": x}).rows[0].verdict == RIGHT


def test_mistake_at_a_flat_point_is_no_kink_5():
    class Off(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * x

        @staticmethod
        def backward(ctx, dy):
            return dy * 0.01

    x = torch.zeros((), dtype=F64, requires_grad=True)
    report = check_gradients(lambda: Off.apply(x), {"x": x})
    assert not report.ok
    assert "The loss bends there" in str(report)


def parameter():
    return torch.ones(2, dtype=F64, requires_grad=True)


@pytest.mark.parametrize(
    "loss, parameters, sentence",
    [
        (bowl, {}, "no parameters to check"),
        (bowl, {"w": torch.ones(2)}, "w does not require a gradient"),
        (lambda w: bowl(w.detach()), {"w": parameter()}, "no way from the loss back to w"),
        (lambda w: 3.0, {"w": parameter()}, "no way from the loss back to w"),
        (lambda w: w, {"w": parameter()}, r"one number, got shape \(2,\)"),
        (lambda w: bowl(w / 0), {"w": parameter()}, "must be finite, got inf"),
        (
            lambda w: bowl(w * torch.rand(2)),
            {"w": parameter()},
            "the same every time, got .*dropout",
        ),
    ],
)
def test_what_cannot_be_checked_is_said_in_a_sentence_5(loss, parameters, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_gradients(lambda: loss(*parameters.values()), parameters)


# Recomputed outside of this package, to the last digit given.
EXACT = {
    "z3": 0.755,
    "z4": 0.68,
    "y3": 0.6802671967,
    "y4": 0.6637386974,
    "z5": 0.8014449867,
    "y5": 0.6902834929,
    "y5 - t": 0.1902834929,
    "C": 0.0181039038,
    "dC/dw53": 0.0276740349,
    "w31'": 0.0990709288,
    "w32'": 0.7976109599,
    "w41'": 0.3971399242,
    "w42'": 0.5926455194,
    "|y5 - t| after one step": 0.1820185833,
}
VERDICTS = dict.fromkeys(EXACT, "wrong") | {
    "z3": "right",
    "z4": "right",
    "y3": "rounded",
    "y4": "truncated",
    "z5": "rounded",
    "y5": "rounded",
    "y5 - t": "rounded",
    "C": "from rounded factors",
    "dC/dw53": "from rounded factors",
}


def test_worked_example_and_its_verdicts_5():
    rows = example.table()
    assert {row.name: row.exact for row in rows} == pytest.approx(EXACT, abs=1e-10)
    assert {row.name: row.verdict for row in rows} == VERDICTS
    assert all(bool(row.slips) == (row.verdict == "wrong") for row in rows)


def example_net():
    model = net(
        nn.Linear(2, 2, bias=False), nn.Sigmoid(), nn.Linear(2, 1, bias=False), nn.Sigmoid()
    )
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.1, 0.8], [0.4, 0.6]], dtype=F64))
        model[2].weight.copy_(torch.tensor([[0.3, 0.9]], dtype=F64))
    x = torch.tensor([0.35, 0.9], dtype=F64)
    return model, lambda: (model(x) - 0.5).square().sum() / 2


def test_worked_example_s_gradients_are_autograd_s_and_the_measured_ones_5():
    model, loss = example_net()
    assert check_gradients(loss, model.named_parameters()).ok
    loss().backward()
    dW0, dW1, *_ = example.step()
    assert_close(dW0, model[0].weight.grad)
    assert_close(dW1, model[2].weight.grad[0])


@pytest.mark.parametrize("eta", [1.0, 0.3])
def test_worked_example_trains_like_torch_5(eta):
    model, loss = example_net()
    rule, known = torch.optim.SGD(model.parameters(), lr=eta), []
    for _ in range(31):
        rule.zero_grad()
        C = loss()
        known.append((2 * C.item()) ** 0.5)
        C.backward()
        rule.step()
    assert example.errors(eta, 30) == pytest.approx(known, abs=1e-14)


def test_worked_example_gets_better_for_200_steps_5():
    errors = example.errors()
    assert len(errors) == 201
    shown = [f"{errors[n]:.4g}" for n in (1, 2, 3, 10, 50, 100, 200)]
    assert shown == ["0.182", "0.1739", "0.1661", "0.1175", "0.01283", "0.000764", "2.706e-06"]


@pytest.mark.parametrize(
    "printed, exact, rounded, verdict",
    [
        ("0.5", 0.5, None, "right"),
        ("0.50", 0.5, None, "right"),
        ("0.3", 0.1 + 0.2, None, "right"),
        ("0.664", 0.66374, None, "rounded"),
        ("0.663", 0.66374, None, "truncated"),
        ("0.663", 0.6633, None, "rounded"),
        ("0.6", 0.664, None, "truncated"),
        ("0.665", 0.66374, None, "wrong"),
        ("0.662", 0.66374, None, "wrong"),
        ("-0.66", -0.664, None, "rounded"),
        ("-0.66", -0.667, None, "truncated"),
        ("0.68", 0.66374, 0.6799, "from rounded factors"),
        ("0.67", 0.66374, 0.6799, "from rounded factors"),
        ("0.69", 0.66374, 0.6799, "wrong"),
        ("0.66", 0.66374, 0.6799, "rounded"),
    ],
)
def test_rule_of_the_verdicts_5(printed, exact, rounded, verdict):
    assert example.verdict(printed, exact, rounded) == verdict


def test_broadcast_slip_gives_the_notes_weights_to_all_eight_digits_5():
    w0, _ = example.slipped_step()
    printed = ["0.09661944", "0.78985831", "0.39661944", "0.58985831"]
    assert [f"{w:.8f}" for w in w0.flatten().tolist()] == printed
    late, _ = example.slipped_step(W1=example.step().W1)
    assert f"{late[0, 0]:.7f}" == "0.0969313"
    moved = example.W0 - w0
    assert torch.allclose(moved[0], moved[1], rtol=1e-12)  # both units alike
    assert_close(moved[0, 1] / moved[0, 0], torch.tensor(3.0, dtype=F64))  # 0.9 / 0.3, not x
    exact = example.step().dW0
    assert_close(exact[:, 1] / exact[:, 0], torch.full((2,), 0.9 / 0.35, dtype=F64))


def test_lost_zero_and_the_other_ways_to_0_165_5():
    *_, last = example.table()
    exact, notes = sorted(last.slips.values(), reverse=True)
    assert all("a zero was lost" in slip for slip in last.slips)
    assert f"{exact / 10:.10f}" == "0.0165653823"
    assert f"{notes / 10:.7f}" == "0.0165263"
    w0, _ = example.slipped_step()
    assert f"{float(example.forward(w0).C):.7f}" == "0.0179922"  # had W1 been left alone
    assert example.table(3.03)[-1].verdict == "rounded"  # the rate that would make it right


def run_script(*args):
    script = ROOT / "scripts" / "backprop_example.py"
    command = [sys.executable, str(script), *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_backprop_example_is_a_command_5():
    done = run_script("--steps", "12")
    assert (done.returncode, done.stderr) == (0, "")
    for name, exact in EXACT.items():
        (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"  {name}  ")]
        assert f"{exact:.9f}" in line or f"{exact:.10f}" in line
        assert line.rstrip().endswith(VERDICTS[name])
    assert "w31' = 0.0966194353" in done.stdout
    course = [line.split()[0] for line in done.stdout.splitlines()[-6:]]
    assert course == ["0", "1", "2", "3", "10", "12"]


@pytest.mark.parametrize(
    "args, sentence",
    [
        (("--eta", "fast"), "--eta: a rate must be a positive number, got 'fast'"),
        (("--eta", "-1"), "--eta: a rate must be a positive number, got '-1'"),
        (("--eta", "0"), "got '0'"),
        (("--eta", "nan"), "got 'nan'"),
        (("--eta", "inf"), "got 'inf'"),
        (("--steps", "0"), "--steps: steps must be a whole number from 1 on, got '0'"),
        (("--steps", "1.5"), "got '1.5'"),
        (("--rate", "1"), "unrecognized arguments: --rate 1"),
    ],
)
def test_bad_values_end_with_a_sentence_5(args, sentence, capsys):
    with pytest.raises(SystemExit) as info:
        cli.main(args)
    assert info.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(sentence)
