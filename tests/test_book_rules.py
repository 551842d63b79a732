"""The book's update rules: the law that connects each with torch's, and the figures behind it."""

import inspect
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import StepLR
from torch.testing import assert_close

from dlbook_torch import book, optim
from dlbook_torch.parity.checks.handwritten import ELEMENTARY, Recorder

MU = 0.9
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
# Each rule of the book, torch's, and the settings at which they are one; Adam's eps is 0 here.
TWINS = {
    "Momentum": ("SGD", {}, dict(lr=0.01, momentum=0.9)),
    "Nesterov": ("SGD", {}, dict(lr=0.01, momentum=0.9, nesterov=True)),
    "AdaGrad": ("Adagrad", {}, dict(lr=0.01, eps=1e-7)),
    "RMSprop": ("RMSprop", {}, dict(lr=0.01, alpha=0.99, eps=1e-7)),
    "Adam": ("Adam", dict(eps=0.0), dict(lr=0.001, betas=(0.9, 0.999), eps=0.0)),
}
# Other settings, two rates, and an eps that shows.
BOLD = {
    "Momentum": dict(lr=0.1, momentum=0.5),
    "Nesterov": dict(lr=0.1, momentum=0.5),
    "AdaGrad": dict(lr=0.1, eps=0.1),
    "RMSprop": dict(lr=0.1, decay_rate=0.5, eps=0.1),
    "Adam": dict(lr=0.1, beta1=0.5, beta2=0.9, eps=0.1),
}
each = pytest.mark.parametrize("name", TWINS)


def parameters(dtype=torch.float64):
    """Three, the same at every call."""
    draw = torch.Generator().manual_seed(0)
    shapes = ((3, 2), (5,), ())
    return [
        torch.randn(s, dtype=torch.float64, generator=draw).to(dtype).requires_grad_()
        for s in shapes
    ]


def groups(params, **options):
    return [dict(params=params[:2], **options), dict(params=params[2:], lr=0.03, **options)]


def bold(name, dtype=torch.float64, **options):
    """A rule at bold settings and its parameters."""
    params = parameters(dtype)
    return params, getattr(book, name)(groups(params, **options), **BOLD[name])


def push(steps, *pairs, seed=1):
    """Step every rule with the same random gradients; yield after each step."""
    draw = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        gradients = [torch.randn(p.shape, dtype=torch.float64, generator=draw) for p in pairs[0][0]]
        for params, rule in pairs:
            for p, g in zip(params, gradients, strict=True):
                p.grad = g.to(p.dtype)
            rule.step()
        yield


def gap(ours, theirs):
    """The largest distance of an element."""
    return max((p - q).abs().max().item() for p, q in zip(ours, theirs, strict=True))


def steps_of(rule, w, rates, gradients):
    """Where w is after each step."""
    path = []
    for lr, g in zip(rates, gradients, strict=True):
        rule.param_groups[0]["lr"] = lr
        w.grad = torch.as_tensor(g, dtype=w.dtype).expand_as(w).clone()
        rule.step()
        path.append(w.detach().clone())
    return torch.stack(path)


def scalar(value=0.0):
    return torch.tensor([value], dtype=torch.float64, requires_grad=True)


# The laws


@each
@DTYPES
def test_rule_is_torchs_at_a_constant_rate(name, dtype):
    twin, ours, theirs = TWINS[name]
    w, v = parameters(dtype), parameters(dtype)
    pairs = (w, getattr(book, name)(w, **ours)), (v, getattr(torch.optim, twin)(v, **theirs))
    gaps = []
    for _ in push(200, *pairs):
        gaps.append(gap(w, v))  # noqa: PERF401 (push is a loop, not a list)
    assert gap(w, parameters(dtype)) > 0.01
    # The other three order the same products differently, and round some of them otherwise.
    exact = name in ("AdaGrad", "RMSprop")
    assert max(gaps) <= (0 if exact else 50 * torch.finfo(dtype).eps)


@each
def test_defaults_are_the_books(name):
    expected = {
        "Momentum": dict(lr=0.01, momentum=0.9),
        "Nesterov": dict(lr=0.01, momentum=0.9),
        "AdaGrad": dict(lr=0.01, eps=1e-7),
        "RMSprop": dict(lr=0.01, decay_rate=0.99, eps=1e-7),
        "Adam": dict(lr=0.001, beta1=0.9, beta2=0.999, eps=1e-7),
    }[name]
    signature = inspect.signature(getattr(book, name)).parameters
    assert {k: p.default for k, p in signature.items() if k != "params"} == expected
    rule = getattr(book, name)([scalar()])
    assert rule.param_groups[0].items() >= expected.items()


def test_two_rates_part_momentum_from_torchs():
    w, v = scalar(), scalar()
    ours = steps_of(book.Momentum([w]), w, [0.1, 0.01], [1, 1])
    theirs = steps_of(torch.optim.SGD([v], momentum=MU), v, [0.1, 0.01], [1, 1])
    assert ours[-1].item() == pytest.approx(-0.2, abs=1e-15)
    assert theirs[-1].item() == pytest.approx(-0.119, abs=1e-15)


def scheduled(kind, library=book, steps=200, **kwargs):
    """w after each of 200 random gradients, at 0.01, and after 100 of them at 0.001."""
    draw = np.random.default_rng(0)
    w = torch.tensor(draw.standard_normal(3), requires_grad=True)
    rule = getattr(library, kind)([w], lr=0.01, momentum=MU, **kwargs)
    schedule, path = StepLR(rule, 100), []
    for _ in range(steps):
        w.grad = torch.tensor(draw.standard_normal(3))
        rule.step()
        schedule.step()
        path.append(w.detach().clone())
    return torch.stack(path)


@pytest.mark.parametrize("kind, nesterov, apart", [("Momentum", 0, 0.254), ("Nesterov", 1, 0.229)])
def test_run_under_a_schedule_ends_elsewhere_than_torchs(kind, nesterov, apart):
    """The inventory has the two figures without their set-up; this one gives both."""
    ours = scheduled(kind)
    theirs = scheduled("SGD", torch.optim, nesterov=bool(nesterov))
    assert_close(ours[:100], theirs[:100])
    assert (ours - theirs)[-1].abs().max().item() == pytest.approx(apart, abs=5e-4)


def test_velocity_keeps_every_gradient_at_the_rate_of_its_own_step():
    draw = torch.Generator().manual_seed(0)
    g = torch.randn(30, dtype=torch.float64, generator=draw)
    rates = torch.rand(30, dtype=torch.float64, generator=draw)
    t = torch.arange(30)
    kept = torch.where(t[:, None] >= t, MU ** (t[:, None] - t).double(), 0.0)  # mu^(t-s)
    w, v = scalar(), scalar()
    ours = steps_of(book.Momentum([w]), w, rates.tolist(), g)[:, 0]
    theirs = steps_of(torch.optim.SGD([v], momentum=MU), v, rates.tolist(), g)[:, 0]
    assert_close(ours, -(kept @ (rates * g)).cumsum(0))
    assert_close(theirs, -(rates * (kept @ g)).cumsum(0))
    assert_close(ours - theirs, ((kept * (rates[:, None] - rates)) @ g).cumsum(0))
    assert (ours - theirs).abs().max() > 1


def test_schedule_does_to_nesterov_mu_times_what_it_does_to_momentum():
    momentum = scheduled("Momentum") - scheduled("SGD", torch.optim)
    nesterov = scheduled("Nesterov") - scheduled("SGD", torch.optim, nesterov=True)
    assert_close(nesterov, MU * momentum, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind, nesterov", [("Momentum", False), ("Nesterov", True)])
def test_velocity_times_new_rate_over_old_is_torchs_again(kind, nesterov):
    w, v = scalar(), scalar()
    rule = getattr(book, kind)([w], lr=0.1)
    twin = torch.optim.SGD([v], lr=0.1, momentum=MU, nesterov=nesterov)
    rates = [0.1, 0.1, 0.03, 0.03, 0.01, 0.2, 0.2]
    for before, lr in pairwise([0.1, *rates]):
        if "v" in rule.state[w]:
            rule.state[w]["v"] *= lr / before
        ours, theirs = steps_of(rule, w, [lr], [lr + 1]), steps_of(twin, v, [lr], [lr + 1])
        assert_close(ours, theirs, rtol=1e-14, atol=0)


def test_nesterov_is_the_form_of_2021_and_not_the_one_before():
    """Plain numbers: mu^2 times the velocity from before the step, not from after it."""
    gradients, lr = [1.0, -2.0, 0.5, 3.0, -1.0], 0.1
    ends = {}
    for edition in ("2021", "before"):
        x = v = 0.0
        for g in gradients:
            after = MU * v - lr * g
            x += MU * MU * (v if edition == "2021" else after) - (1 + MU) * lr * g
            v = after
        ends[edition] = x
    w = scalar()
    end = steps_of(book.Nesterov([w]), w, [lr] * 5, gradients)[-1].item()
    assert end == pytest.approx(ends["2021"], rel=1e-14)
    assert abs(end - ends["before"]) > 0.01


@DTYPES
def test_adam_is_torchs_whose_eps_moves(dtype):
    w, v = parameters(dtype), parameters(dtype)
    rule = book.Adam(w, lr=0.1, eps=0.1)
    twin = torch.optim.Adam(v, lr=0.1, eps=1 / 9)
    plain = parameters(dtype)
    still = torch.optim.Adam(plain, lr=0.1, eps=0.1)
    twin.register_step_pre_hook(lambda *_: twin.param_groups[0].update(eps=next(moving)))
    moving = (0.1 / (1 - 0.999**t) ** 0.5 for t in range(1, 101))
    for _ in push(100, (w, rule), (v, twin), (plain, still)):
        assert gap(w, v) <= 40 * torch.finfo(dtype).eps
    assert next(moving, None) is None
    assert gap(w, plain) > 0.1


def test_first_step_of_adam_at_a_small_gradient():
    assert pytest.approx(3.16e-6, rel=1e-3) == 1e-7 / (1 - 0.999) ** 0.5
    lengths = []
    for kind in (book.Adam, torch.optim.Adam):
        w = scalar()
        lengths.append(-steps_of(kind([w]), w, [0.001], [1e-6]).item())
    assert lengths == pytest.approx([2.40e-4, 9.90e-4], rel=2e-3)
    w = scalar()
    assert -steps_of(
        torch.optim.Adam([w], eps=1e-7 / (1 - 0.999) ** 0.5), w, [0.001], [1e-6]
    ).item() == pytest.approx(lengths[0], rel=1e-14)


@pytest.mark.parametrize(
    "name, lr, end",
    [
        ("SGD", 0.95, (-0.350393, 0.084782)),
        ("Momentum", 0.1, (0.896414, 0.088086)),
        ("AdaGrad", 1.5, (-0.120162, 2.5e-17)),
        ("Adam", 0.3, (0.136007, 0.318245)),
    ],
)
def test_race_down_the_valley_ends_where_the_books_does(name, lr, end):
    """f = x^2 / 20 + y^2, 30 updates from (-7, 2)."""
    w = torch.tensor([-7.0, 2.0], dtype=torch.float64, requires_grad=True)
    rule = getattr(optim if name == "SGD" else book, name)([w], lr=lr)
    for _ in range(30):
        rule.zero_grad()
        (w[0] ** 2 / 20 + w[1] ** 2).backward()
        rule.step()
    assert w.tolist() == pytest.approx(end, abs=5e-7)
    if name == "AdaGrad":
        assert w[1].item() == pytest.approx(2.5e-17, rel=0.02)


# To torch and back


@each
@DTYPES
def test_run_goes_on_with_torchs_rule(name, dtype):
    ours, witness = bold(name, dtype), bold(name, dtype)
    list(push(5, ours, witness))
    twin = ours[1].to_torch()
    assert type(twin) is getattr(torch.optim, TWINS[name][0])
    for _ in push(30, (ours[0], twin), witness, seed=2):
        assert gap(ours[0], witness[0]) <= 20 * torch.finfo(dtype).eps


@each
@DTYPES
@pytest.mark.parametrize("library", [torch.optim, optim], ids=["torch", "ours"])
def test_run_goes_on_with_the_books_rule(name, dtype, library):
    """Adam's eps is the one thing that torch holds still: here it is 0."""
    twin, _, settings = TWINS[name]
    settings = settings | dict(lr=0.1)
    params, others = parameters(dtype), parameters(dtype)
    rule = getattr(library, twin)(groups(params, weight_decay=0.1), **settings)
    witness = others, getattr(torch.optim, twin)(groups(others, weight_decay=0.1), **settings)
    list(push(5, (params, rule), witness))
    rule = getattr(book, name).from_torch(rule)
    assert type(rule) is getattr(book, name)
    for _ in push(30, (params, rule), witness, seed=2):
        assert gap(params, others) <= 30 * torch.finfo(dtype).eps


@each
@pytest.mark.parametrize("steps", [0, 7])
def test_way_to_torch_and_back_changes_nothing(name, steps):
    params, rule = bold(name, weight_decay=0.1, maximize=True)
    list(push(steps, (params, rule)))
    back = type(rule).from_torch(rule.to_torch())
    before, after = rule.state_dict(), back.state_dict()
    if steps:
        assert_close(after["state"], before["state"])
    assert all((t == 0).all() for s in after["state"].values() for t in s.values() if not steps)
    for ours, theirs in zip(before["param_groups"], after["param_groups"], strict=True):
        assert_close({key: theirs[key] for key in ours}, ours, rtol=1e-14, atol=0)
        assert theirs.keys() <= ours.keys() | {"foreach"}
    assert back.defaults == pytest.approx(rule.defaults)


@each
def test_state_of_the_twin_is_torchs(name):
    """Names, types and sizes; and the rule of our optim loads it."""
    params, rule = bold(name)
    twin_name, _, _ = TWINS[name]
    others = parameters()
    ref = getattr(torch.optim, twin_name)(groups(others), **TWINS[name][2])
    list(push(3, (params, rule), (others, ref)))
    twin = rule.to_torch()
    assert [set(g) for g in twin.param_groups] == [set(g) for g in ref.param_groups]
    ours, theirs = (
        {
            i: {key: (t.dtype, t.shape, key == "step" and t.item()) for key, t in state.items()}
            for i, state in optimizer.state_dict()["state"].items()
        }
        for optimizer in (twin, ref)
    )
    assert ours == theirs
    handwritten = getattr(optim, twin_name)(groups(params), lr=1.0)
    handwritten.load_state_dict(twin.state_dict())
    assert_close(handwritten.state_dict()["state"], twin.state_dict()["state"])


@each
def test_twins_do_not_write_into_each_others_memory(name):
    params, rule = bold(name)
    list(push(2, (params, rule)))
    twin = rule.to_torch()
    third = type(rule).from_torch(twin)
    before = [{k: t.clone() for k, t in rule.state[p].items()} for p in params]
    list(push(1, (params, twin)))
    list(push(1, (params, third)))
    assert_close([rule.state[p] for p in params], before, rtol=0, atol=0)


def test_eps_of_torchs_adam_goes_along():
    w, rule = bold("Adam")
    list(push(2, (w, rule)))
    twin = rule.to_torch()
    for t in (3, 4, 5):
        assert twin.param_groups[0]["eps"] == pytest.approx(0.1 / (1 - 0.9**t) ** 0.5)
        list(push(1, (w, twin)))


def test_next_step_of_adam_from_torch_is_torchs_whatever_its_eps():
    w, v = parameters(), parameters()
    ours, ref = (torch.optim.Adam(p, lr=0.1, eps=0.1) for p in (w, v))
    list(push(5, (w, ours), (v, ref)))
    rule = book.Adam.from_torch(ours)
    assert rule.param_groups[0]["eps"] == pytest.approx(0.1 * (1 - 0.999**6) ** 0.5)
    moves = push(2, (w, rule), (v, ref), seed=2)
    next(moves)
    assert gap(w, v) < 1e-14
    next(moves)
    assert gap(w, v) > 1e-6


@pytest.mark.parametrize(
    "rule, twin, kwargs, sentence",
    [
        ("Momentum", "Adam", {}, "Momentum goes on from SGD, got Adam"),
        ("Adam", "AdamW", {}, "Adam goes on from Adam, got AdamW"),
        ("Momentum", "SGD", dict(momentum=0.9, nesterov=True), "Momentum has no nesterov=True"),
        ("Nesterov", "SGD", dict(momentum=0.9), "Nesterov has no nesterov=False"),
        ("Momentum", "SGD", dict(momentum=0.9, dampening=0.5), "has no dampening=0.5"),
        ("AdaGrad", "Adagrad", dict(lr_decay=0.1), "AdaGrad has no lr_decay=0.1"),
        ("RMSprop", "RMSprop", dict(momentum=0.9), "RMSprop has no momentum=0.9"),
        ("RMSprop", "RMSprop", dict(centered=True), "RMSprop has no centered=True"),
        ("Adam", "Adam", dict(amsgrad=True), "Adam has no amsgrad=True"),
        ("Adam", "Adam", dict(decoupled_weight_decay=True), "no decoupled_weight_decay=True"),
    ],
)
def test_what_the_book_does_not_have_is_refused(rule, twin, kwargs, sentence):
    optimizer = getattr(torch.optim, twin)(parameters(), **kwargs)
    with pytest.raises(ValueError, match=re.escape(sentence)):
        getattr(book, rule).from_torch(optimizer)


def test_velocity_without_a_rate_has_no_twin():
    w = scalar()
    rule = book.Momentum([w], lr=0.1)
    steps_of(rule, w, [0.1], [1])
    rule.param_groups[0]["lr"] = 0.0
    with pytest.raises(ValueError, match=re.escape("at lr=0.0")):
        rule.to_torch()


def test_one_eps_for_two_counters_is_refused():
    w, v = scalar(), scalar()
    rule = book.Adam([w, v])
    steps_of(rule, w, [0.1] * 2, [1, 1])
    twin = rule.to_torch()  # v has not moved yet, and has no counter
    v.grad = torch.ones_like(v)
    with pytest.raises(ValueError, match=re.escape("after [1, 3] steps")):
        twin.step()
    with pytest.raises(ValueError, match=re.escape("after [1, 3] steps")):
        book.Adam.from_torch(twin)


# What every rule promises


@each
@DTYPES
def test_whole_groups_move_as_single_parameters_do(name, dtype):
    one, many = (bold(name, dtype, foreach=foreach) for foreach in (False, True))
    for _ in push(20, one, many):
        assert_close(one[0], many[0], rtol=0, atol=0)


@each
def test_state_dict_carries_a_run_on(name):
    first, witness, second = bold(name), bold(name), bold(name)
    list(push(5, first, witness))
    with torch.no_grad():
        for p, q in zip(second[0], first[0], strict=True):
            p.copy_(q)
    second[1].load_state_dict(first[1].state_dict())
    assert set(second[1].state[second[0][0]]) == set(type(second[1]).MEMORY)
    for _ in push(5, second, witness, seed=2):
        assert_close(second[0], witness[0], rtol=0, atol=0)


@each
def test_maximize_of_a_group_climbs(name):
    (up, climb), (down, descend) = bold(name, maximize=True), bold(name)
    list(push(5, (up, climb), (down, descend)))
    for p, q, start in zip(up, down, parameters(), strict=True):
        assert_close(p - start, start - q)


@each
def test_rate_may_be_a_tensor(name):
    rates = 0.1, torch.tensor(0.1, dtype=torch.float64)
    one, other = (
        (params, getattr(book, name)(params, lr=lr))
        for lr, params in zip(rates, (parameters(), parameters()), strict=True)
    )
    list(push(5, one, other))
    assert_close(one[0], other[0], rtol=0, atol=0)
    list(push(5, (one[0], one[1].to_torch()), (other[0], other[1].to_torch()), seed=2))
    assert_close(one[0], other[0])


@each
def test_gradient_is_read_and_never_written_to(name):
    params, rule = bold(name)
    for p in params:
        p.grad = torch.full_like(p, 0.5)
    for _ in range(3):
        rule.step()
    assert all((p.grad == 0.5).all() for p in params)


@each
def test_rule_is_handwritten(name):
    params, rule = bold(name)
    list(push(1, (params, rule)))
    with Recorder() as recorder:
        rule.step()
    assert recorder.names
    assert not recorder.names - ELEMENTARY


@pytest.mark.parametrize(
    "name, kwargs, value",
    [
        *((name, dict(lr=-0.1), "-0.1") for name in TWINS),
        ("Momentum", dict(momentum=-0.5), "momentum must be in [0, inf), got -0.5"),
        ("Nesterov", dict(momentum=-0.5), "momentum must be in [0, inf), got -0.5"),
        *((name, dict(eps=-1e-7), "-1e-07") for name in ("AdaGrad", "RMSprop", "Adam")),
        ("RMSprop", dict(decay_rate=1.0), "decay_rate must be in [0, 1), got 1.0"),
        ("RMSprop", dict(decay_rate=-0.1), "decay_rate must be in [0, 1), got -0.1"),
        ("Adam", dict(beta1=1.0), "beta1 must be in [0, 1), got 1.0"),
        ("Adam", dict(beta2=-0.5), "beta2 must be in [0, 1), got -0.5"),
        ("Adam", dict(beta2=float("nan")), "beta2 must be in [0, 1), got nan"),
    ],
)
def test_bad_value_is_named(name, kwargs, value):
    with pytest.raises(ValueError, match=re.escape(value)):
        getattr(book, name)([scalar()], **kwargs)


# Weight decay


def shrinking(decay):
    """Weights and biases of a layer after 10 steps; ``decay`` gives groups and extra gradient."""
    draw = torch.Generator().manual_seed(0)
    W, b = (torch.randn(s, generator=draw, dtype=torch.float64) for s in ((3, 2), (2,)))
    W.requires_grad_(), b.requires_grad_()
    x = torch.randn(8, 3, generator=draw, dtype=torch.float64)
    rule, penalty = decay(W, b)
    for _ in range(10):
        rule.zero_grad()
        (((x @ W + b) ** 2).mean() + penalty(W, b)).backward()
        rule.step()
    return W.detach(), b.detach()


def test_penalty_on_the_weights_is_torchs_weight_decay_on_a_group_of_weights():
    """The book adds lambda W to the gradients of weights, torch's option to those of biases too."""
    rate, strength = dict(lr=0.1, momentum=MU), 0.1

    def books(W, b):
        return book.Momentum([W, b], **rate), lambda W, b: strength / 2 * (W**2).sum()

    def grouped(W, b):
        weights, biases = dict(params=[W], weight_decay=strength), dict(params=[b])
        return torch.optim.SGD([weights, biases], **rate), lambda W, b: 0

    def option(W, b):
        return book.Momentum([dict(params=[W], weight_decay=strength), dict(params=[b])], **rate), (
            lambda W, b: 0
        )

    def single(W, b):
        return torch.optim.SGD([W, b], **rate, weight_decay=strength), lambda W, b: 0

    assert_close(shrinking(books), shrinking(grouped), rtol=1e-13, atol=1e-15)
    assert_close(shrinking(books), shrinking(option), rtol=1e-13, atol=1e-15)
    weights, biases = (
        (p - q).abs().max() for p, q in zip(shrinking(books), shrinking(single), strict=True)
    )
    assert weights > 1e-3
    assert biases > 1e-2
