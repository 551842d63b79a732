"""Laws that an update rule obeys, from its formula alone: no other implementation is asked."""

from math import prod, sqrt

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import optim

BOWL = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)  # curvatures
START = torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64)
STEEP = torch.cos(torch.arange(4.0, dtype=torch.float64) ** 2)  # a gradient with both signs


def path(name, gradient, start=START, steps=100, **kwargs):
    """The places that a rule comes through, with the start, and what it remembers at the end."""
    w = start.clone().requires_grad_()
    rule = getattr(optim, name)([w], **kwargs)
    places = [start]
    for t in range(steps):
        w.grad = gradient(w.detach(), t)
        rule.step()
        places.append(w.detach().clone())
    return torch.stack(places), rule.state[w]


def fed(scale=1.0):
    """A gradient that changes from step to step and does not depend on the place."""
    return lambda w, t: scale * torch.cos(torch.arange(w.numel(), dtype=w.dtype) + t)


def slope(w, t):
    """Of f = sum of curvature times w squared, halved."""
    return BOWL * w


def f(w):
    return (BOWL * w * w).sum().item() / 2


@pytest.mark.parametrize(
    "name, kwargs, steps, bound",
    [
        ("SGD", dict(lr=0.2), 100, 1e-8),
        ("SGD", dict(lr=0.2, momentum=0.5), 100, 1e-12),
        ("SGD", dict(lr=0.2, momentum=0.5, nesterov=True), 100, 1e-12),
        ("ASGD", dict(lr=0.2), 100, 1e-8),
        ("Rprop", dict(lr=0.1), 100, 1e-10),
        ("Adagrad", dict(lr=1.0), 200, 1e-6),
        ("RMSprop", dict(lr=0.05), 300, 1e-3),  # steps keep their length: it circles the bottom
        ("Adadelta", {}, 1000, 1e-3),  # slow to begin: its first step is made of epsilon
        ("Adam", dict(lr=0.1), 500, 1e-6),
        ("AdamW", dict(lr=0.1, weight_decay=0), 500, 1e-6),
        ("NAdam", dict(lr=0.1), 500, 1e-6),
        ("RAdam", dict(lr=0.1), 500, 1e-6),
        ("Adamax", dict(lr=0.2), 500, 1e-6),
    ],
    ids=lambda value: str(value).replace(" ", ""),
)
def test_every_rule_comes_down_a_quadratic_bowl(name, kwargs, steps, bound):
    places, _ = path(name, slope, steps=steps, **kwargs)
    assert f(places[0]) > 5
    assert f(places[-1]) < bound
    up, _ = path(name, lambda w, t: -slope(w, t), steps=20, maximize=True, **kwargs)
    assert_close(up, places[:21])


def test_sgd_contracts_every_axis_by_its_own_factor():
    """w_t = (1 - lr lambda)^t w_0."""
    places, _ = path("SGD", slope, lr=0.2, steps=30)
    t = torch.arange(31.0, dtype=torch.float64)[:, None]
    assert_close(places, START * (1 - 0.2 * BOWL) ** t)


def test_sgd_flies_off_above_two_over_the_largest_curvature():
    limit = 2 / BOWL.max().item()
    ends = [f(path("SGD", slope, lr=limit * k, steps=200)[0][-1]) for k in (0.99, 1.01)]
    assert ends[0] < f(START) < ends[1]


def test_momentum_contracts_by_the_root_of_mu_where_it_oscillates():
    """|w_t| falls as mu^(t/2): the roots of z^2 - (1 + mu - lr lambda) z + mu are complex."""
    mu = 0.81
    places, _ = path("SGD", slope, lr=0.2, momentum=mu, steps=400)
    size = (places**2).sum(1).sqrt()
    assert (size[399] / size[199]).item() ** (1 / 200) == pytest.approx(sqrt(mu), rel=0.01)


def test_momentum_follows_its_recurrence():
    """Without the velocity: w_{t+1} = (1 + mu - lr lambda) w_t - mu w_{t-1}."""
    w, _ = path("SGD", slope, lr=0.1, momentum=0.9, steps=30)
    assert_close(w[2:], (1.9 - 0.1 * BOWL) * w[1:-1] - 0.9 * w[:-2])


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("dampening", [0.0, 0.6])
def test_terminal_velocity_of_momentum(nesterov, dampening):
    """Under a constant gradient g the step grows to lr (1 - tau) g / (1 - mu)."""
    if nesterov and dampening:
        return
    options = dict(lr=0.01, momentum=0.9, nesterov=nesterov, dampening=dampening)
    w, _ = path("SGD", lambda w, t: STEEP, torch.zeros(4).double(), 400, **options)
    assert_close(w[-2] - w[-1], 0.01 * STEEP * (1 - dampening) / (1 - 0.9))
    first = 1.9 if nesterov else 1.0
    assert_close(w[0] - w[1], 0.01 * STEEP * first)


@pytest.mark.parametrize("steps", [1, 7])
def test_momentum_after_t_steps_of_a_constant_gradient(steps):
    """v_t = g (1 - mu^t) / (1 - mu)."""
    _, state = path("SGD", lambda w, t: STEEP, START[:1].expand(4), steps, lr=0.1, momentum=0.9)
    assert_close(state["momentum_buffer"], STEEP * (1 - 0.9**steps) / (1 - 0.9))


SCALE_FREE = [
    ("Adam", dict(lr=0.1, eps=0.0)),
    ("Adam", dict(lr=0.1, eps=0.0, amsgrad=True)),
    ("AdamW", dict(lr=0.1, eps=0.0)),
    ("NAdam", dict(lr=0.1, eps=0.0)),
    ("Adamax", dict(lr=0.1, eps=0.0)),
    ("Adagrad", dict(lr=0.1, eps=0.0)),
    ("RMSprop", dict(lr=0.1, eps=0.0)),
    ("RMSprop", dict(lr=0.1, eps=0.0, centered=True, momentum=0.9)),
    ("Rprop", dict(lr=0.1)),
]


@pytest.mark.parametrize("name, kwargs", SCALE_FREE, ids=str)
def test_step_does_not_depend_on_the_scale_of_the_gradient(name, kwargs):
    start = torch.ones(4, dtype=torch.float64)
    small, one, large = (
        path(name, fed(scale), start, 12, **kwargs)[0] for scale in (2.0**-20, 1.0, 2.0**20)
    )
    assert_close(small, one)
    assert_close(large, one)


@pytest.mark.parametrize("name", ["SGD", "ASGD", "RAdam"])
def test_step_of_the_others_depends_on_it(name):
    """RAdam's too, whose first steps are those of a momentum."""
    start = torch.ones(4, dtype=torch.float64)
    one, large = (path(name, fed(scale), start, 3)[0] for scale in (1.0, 2.0**10))
    assert not torch.allclose(one, large)


def test_rprop_looks_at_nothing_but_the_sign():
    def bent(w, t):
        g = fed()(w, t)
        return g.sign() * g.abs() ** (1 + t % 3)  # another size at every step and element

    assert_close(path("Rprop", bent)[0], path("Rprop", fed())[0], rtol=0, atol=0)


def test_rprop_grows_while_the_sign_stays_and_waits_a_step_where_it_turns():
    signs = [1.0, 1.0, 1.0, -1.0, -1.0, 1.0, 0.0, 1.0]
    start = torch.zeros(1, dtype=torch.float64)
    w, state = path("Rprop", lambda w, t: torch.full_like(w, signs[t]), start, 8, lr=0.1)
    sizes = [0.1, 0.12, 0.144, 0.072, 0.072, 0.036, 0.036, 0.036]
    moves = [-0.1, -0.12, -0.144, 0.0, 0.072, 0.0, 0.0, -0.036]
    assert_close(w[1:, 0] - w[:-1, 0], torch.tensor(moves, dtype=torch.float64))
    assert state["step_size"].item() == pytest.approx(sizes[-1])


def test_rprop_stays_between_its_step_sizes():
    w, _ = path("Rprop", lambda w, t: torch.ones_like(w), steps=40, step_sizes=(0.01, 0.5))
    assert_close(w[-2] - w[-1], torch.full_like(START, 0.5))
    w, state = path("Rprop", lambda w, t: (-1.0) ** t * START.sign(), steps=41, lr=0.1)
    assert state["step_size"].tolist() == [1e-6] * 3


def test_adagrads_rate_never_rises():
    """It is lr / sqrt(h), h the sum of squares: under a gradient of 1 the step is lr / sqrt(t)."""
    w, _ = path("Adagrad", lambda w, t: torch.ones_like(w), lr=0.5, eps=0.0)
    t = torch.arange(1.0, 101, dtype=torch.float64)[:, None]
    assert_close(w[:-1] - w[1:], (0.5 / t.sqrt()).expand(-1, 3))
    rates = [
        path("Adagrad", fed(), steps=t, lr=0.5)[1]["sum"].clone().rsqrt().max().item()
        for t in range(1, 12)
    ]
    assert rates == sorted(rates, reverse=True)


def test_adagrads_other_decay_is_that_of_a_schedule():
    one, none = (
        path("Adagrad", lambda w, t: torch.ones_like(w), lr=0.5, lr_decay=decay)[0]
        for decay in (0.1, 0.0)
    )
    t = torch.arange(100.0, dtype=torch.float64)[:, None]
    assert_close(one[1:] - one[:-1], (none[1:] - none[:-1]) / (1 + 0.1 * t))


def test_rmsprop_forgets_where_adagrad_does_not():
    """Under a constant gradient its step comes to lr and stays, as v comes to the square of g."""
    w, _ = path("RMSprop", lambda w, t: 7.0 * START, steps=2000, lr=0.01)
    assert_close(w[-2] - w[-1], 0.01 * START.sign(), rtol=1e-6, atol=0)
    w, _ = path("RMSprop", lambda w, t: 7.0 * START, steps=1, lr=0.01)
    assert_close(w[0] - w[1], 0.01 * START.sign() / sqrt(1 - 0.99))


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_rmsprop_centred_divides_by_the_deviation(steps):
    """Of a constant gradient, 1 - alpha^t of which is in both averages."""
    options = dict(lr=0.1, centered=True, alpha=0.9, eps=0.0)
    w, state = path("RMSprop", lambda w, t: START, steps=steps, **options)
    share = 1 - 0.9**steps
    assert_close(state["square_avg"], share * START**2)
    assert_close(state["grad_avg"], share * START)
    assert_close(w[-2] - w[-1], 0.1 * START.sign() / sqrt(share * (1 - share)))


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Adamax"])
def test_first_step_of_adam_is_the_rate_in_every_element(name):
    start = torch.zeros(4, dtype=torch.float64)
    w, _ = path(name, lambda w, t: STEEP, start, 1, lr=0.1, eps=0.0)
    assert_close(w[1], -0.1 * STEEP.sign())


def test_adam_under_a_constant_gradient_steps_by_the_rate_for_ever():
    w, state = path("Adam", lambda w, t: START, steps=50, lr=0.1, eps=0.0)
    assert_close(w[1:] - w[:-1], (-0.1 * START.sign()).expand(50, 3))
    assert_close(state["exp_avg"], START * (1 - 0.9**50))
    assert_close(state["exp_avg_sq"], START**2 * (1 - 0.999**50))


def test_adams_step_is_bounded():
    """By lr (1 - beta1) / sqrt(1 - beta2), which a gradient reaches that comes after none."""
    options = dict(lr=0.1, betas=(0.5, 0.99))
    w, _ = path("Adam", lambda w, t: START * (1e-6 + (t == 1999)), steps=2000, **options)
    largest = (w[1:] - w[:-1]).abs().max().item()
    assert largest == pytest.approx(0.1 * 0.5 / sqrt(0.01), rel=1e-3)


def test_amsgrads_denominator_never_falls():
    sums = [
        path("Adam", lambda w, t: START / (t + 1), steps=t, amsgrad=True, betas=(0.9, 0.5))[1]
        for t in range(1, 10)
    ]
    largest = torch.stack([state["max_exp_avg_sq"] for state in sums])
    assert (largest[1:] >= largest[:-1]).all()
    assert (sums[-1]["exp_avg_sq"] < largest[-1]).all()


def test_adamw_without_a_gradient_shrinks_by_a_constant_factor():
    w, _ = path("AdamW", lambda w, t: torch.zeros_like(w), lr=0.1, weight_decay=0.2, steps=40)
    t = torch.arange(41.0, dtype=torch.float64)[:, None]
    assert_close(w, START * (1 - 0.1 * 0.2) ** t)


def test_adams_penalty_is_divided_away_and_adamws_is_not():
    """Penalty and gradient along w: Adam's step is lr whatever the penalty, AdamW's is more."""
    ends = {
        (name, decay): path(name, lambda w, t: w, lr=0.01, weight_decay=decay, steps=1)[0][1]
        for name in ("Adam", "AdamW")
        for decay in (0.0, 0.5)
    }
    assert_close(ends["Adam", 0.0], ends["Adam", 0.5])
    assert_close(ends["AdamW", 0.5], ends["Adam", 0.0] - 0.01 * 0.5 * START)


@pytest.mark.parametrize("psi", [0.0, 0.004, 1.0, 100.0])
def test_nadams_momentum_rises_from_half_of_beta1_to_all_of_it(psi):
    """And its first step is lr times 1 + mu_2 (1 - beta1) / (1 - mu_1 mu_2), whatever g is."""
    mu = [0.9 * (1 - 0.5 * 0.96 ** (t * psi)) for t in range(1, 8)]
    w, state = path("NAdam", lambda w, t: START, steps=7, momentum_decay=psi, lr=0.1, eps=0.0)
    assert state["mu_product"].item() == pytest.approx(prod(mu))
    first = 0.1 * (1 + mu[1] * (1 - 0.9) / (1 - mu[0] * mu[1]))
    assert_close(w[0] - w[1], first * START.sign(), rtol=1e-6, atol=0)  # a float32 product


def test_radam_is_momentum_for_five_steps():
    """rho passes 5 at the sixth step with beta2 = 0.999: until then w moves by lr m_hat."""
    w, _ = path("RAdam", lambda w, t: 3.0 * START, steps=6, lr=0.1)
    moves = w[:-1] - w[1:]
    assert_close(moves[:5], (0.1 * 3 * START).expand(5, 3))
    limit = 2 / (1 - 0.999) - 1
    rho = limit - 2 * 6 * 0.999**6 / (1 - 0.999**6)
    r = sqrt((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho))
    assert rho > 5
    assert_close(moves[5], 0.1 * r * START.sign())


def test_adamax_never_moves_an_element_by_more_than_the_rate():
    w, _ = path("Adamax", fed(5.0), steps=200, lr=0.1, eps=0.0)
    assert (w[1:] - w[:-1]).abs().max().item() <= 0.1 * (1 + 1e-12)


def test_adamax_forgets_a_large_gradient_at_its_own_pace():
    """The u of one gradient of 1 is beta2^t later on."""
    _, state = path("Adamax", lambda w, t: START * (t == 0), steps=51, eps=0.0)
    assert_close(state["exp_inf"], START.abs() * 0.999**50)
    assert_close(state["exp_avg"], START * 0.1 * 0.9**50)


def test_adadelta_keeps_the_unit_of_the_parameter():
    """In another unit, w' = c w and g' = g / c, it takes the same path: SGD does not."""

    def end(name, c, **kwargs):
        w = (c * START).requires_grad_()
        rule = getattr(optim, name)([w], **kwargs)
        for t in range(40):
            w.grad = slope(w.detach() / c, t) / c
            rule.step()
            if name == "Adadelta" and t == 0:  # without epsilon it stands still until now
                rule.state[w]["acc_delta"].fill_(1e-4 * c**2)
        return w.detach() / c

    c = 2.0**10
    assert_close(end("Adadelta", c, eps=0.0), end("Adadelta", 1.0, eps=0.0), rtol=0, atol=0)
    assert not torch.allclose(end("Adadelta", 1.0, eps=0.0), START)
    assert not torch.allclose(end("SGD", c, lr=0.1), end("SGD", 1.0, lr=0.1))


def test_adadeltas_first_step_is_made_of_epsilon():
    """d = g sqrt(eps) / sqrt((1 - rho) g^2 + eps)."""
    for eps in (1e-6, 1e-2):
        w, _ = path("Adadelta", lambda w, t: START, steps=1, rho=0.9, eps=eps)
        assert_close(w[0] - w[1], START * sqrt(eps) / (0.1 * START**2 + eps).sqrt())


def test_asgds_average_is_the_mean_of_the_places_after_t0():
    """Until the step after t0 it is the last place; mu is kept in float32, as torch keeps it."""
    w, state = path("ASGD", slope, steps=30, lr=0.1, t0=10)
    assert_close(state["ax"], w[12:].mean(0), rtol=1e-6, atol=0)
    before = path("ASGD", slope, steps=8, lr=0.1, t0=10)
    assert_close(before[1]["ax"], before[0][-1])


def test_asgds_rate_falls_as_stated():
    lr, lambd, alpha = 0.5, 0.1, 0.75
    w, _ = path("ASGD", lambda w, t: START, 0 * START, 9, lr=lr, lambd=lambd, alpha=alpha)
    t = torch.arange(9.0, dtype=torch.float64)[:, None]
    eta = lr / (1 + lambd * lr * t) ** alpha
    assert_close(w[1:], (1 - lambd * eta) * w[:-1] - eta * START, rtol=1e-6, atol=1e-7)
    # the rate is kept in float32, as torch keeps it


def test_weight_decay_of_sgd_is_a_factor_and_of_the_others_a_gradient():
    """SGD: w shrinks by 1 - lr lambda. Adam: by lr, whatever lambda."""
    w, _ = path("SGD", lambda w, t: 0 * w, lr=0.1, weight_decay=0.3, steps=5)
    assert_close(w[-1], START * (1 - 0.03) ** 5)
    for decay in (0.1, 10.0):
        w, _ = path("Adam", lambda w, t: 0 * w, lr=0.1, weight_decay=decay, eps=0.0, steps=1)
        assert_close(w[1], START - 0.1 * START.sign())
