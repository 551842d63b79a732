"""Chapter 6.2: Adam, its parameters, and the block of code with all the rules."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import optim

from .base import note
from .nets import deep_relu, loss_on_digits
from .walks import default, noise, race, ravine, run, tensor, walk


def epsilon_hat(gradients, eta=0.001, beta1=0.9, beta2=0.999, eps=1e-7, m_is_updated=True):
    """Path of Adam as the notes' code means it: epsilon joins v before its correction."""
    w = m = v = torch.zeros_like(gradients[0])
    path = []
    for t, g in enumerate(gradients, 1):
        eta_t = eta * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        if m_is_updated:
            m = m + (1 - beta1) * (g - m)
        v = v + (1 - beta2) * (g**2 - v)
        w = w - eta_t * m / (v.sqrt() + eps)
        path.append(w)
    return torch.stack(path)


# 6.2.4


@note(
    "6.2.4",
    says="Adam is Momentum and AdaGrad in one.",
    verdict="conditional",
    truth="Its v is RMSprop's moving average, not AdaGrad's sum: under a constant gradient its "
    "steps do not shrink. It becomes AdaGrad for beta1 = 0, beta2 -> 1 and a rate of eta / "
    "sqrt(t).",
)
def adam_averages_where_adagrad_sums():
    ones = torch.ones(200, 1)
    adam, adagrad = (
        -walk(optim, rule, ones, lr=0.1).flatten().diff() for rule in ("Adam", "Adagrad")
    )
    assert_close(adam, torch.full_like(adam, 0.1), rtol=1e-6, atol=0)
    assert_close(adagrad, 0.1 / torch.arange(2, 201).double().sqrt(), rtol=1e-6, atol=0)

    gradients = noise(50)
    w = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = optim.Adam([w], lr=0.1, betas=(0.0, 1 - 1e-9), eps=1e-10)
    path = []
    for t, g in enumerate(gradients, 1):
        optimizer.param_groups[0]["lr"] = 0.1 / t**0.5
        path.append(run(optimizer, w, [g])[0])
    sums = walk(optim, "Adagrad", gradients, lr=0.1, eps=1e-10)
    assert_close(torch.stack(path), sums, rtol=0, atol=1e-5)


@note(
    "6.2.4",
    says="(book) Race, 30 updates, Adam 0.3: (0.136007, 0.318245).",
    verdict="conditional",
    truth="With the epsilon of the book's code. torch's smaller one, at another place, leads to "
    "0.136014.",
)
def adam_ends_the_race_at_0136():
    w = tensor(-7, 2).requires_grad_()
    optimizer = optim.Adam([w], lr=0.3)
    for t in range(1, 31):
        optimizer.param_groups[0]["eps"] = 1e-7 / (1 - 0.999**t) ** 0.5
        optimizer.zero_grad()
        ravine(w).backward()
        optimizer.step()
    assert_close(w.detach(), tensor(0.136007, 0.318245), rtol=0, atol=5e-7)
    torchs = race(torch.optim, "Adam", lr=0.3)[-1]
    assert_close(torchs[0].item(), 0.136014, rtol=0, atol=1e-6)


@note(
    "6.2.4",
    says="Alpha, the rate or step size, sets how much the weights change (such as 0.001).",
    verdict="right",
    truth="A constant gradient moves a weight by alpha per update, whether it is 0.01 or 100; "
    "0.001 is torch's default too.",
)
def alpha_is_the_step_whatever_the_gradient():
    assert default("Adam", "lr") == 0.001
    path = walk(optim, "Adam", [tensor(0.01, 100)] * 20)
    expected = -0.001 * torch.arange(1, 21, dtype=torch.float64)
    assert_close(path, expected[:, None].expand(20, 2), rtol=2e-6, atol=0)


def noisy_distance(lr, start, updates):
    """How far Adam ends from the minimum of a bowl whose gradient is noisy (root mean square)."""
    w = torch.full((200,), start, dtype=torch.float64, requires_grad=True)
    optimizer = optim.Adam([w], lr=lr)
    for epsilon in noise(updates, 200):
        w.grad = w.detach() + epsilon
        optimizer.step()
    return w.square().mean().sqrt().item()


@note(
    "6.2.4",
    says="A large alpha such as 0.3 learns faster at first.",
    verdict="right",
    truth="From 5 away from the minimum of a noisy bowl, 0.3 is there in 30 updates; 1e-5 has "
    "moved by 0.0003.",
)
def a_large_alpha_is_faster_at_first():
    assert noisy_distance(0.3, start=5.0, updates=30) < 1.5
    assert_close(noisy_distance(1e-5, start=5.0, updates=30), 5 - 3e-4, rtol=0, atol=1e-4)


@note(
    "6.2.4",
    says="A small alpha such as 1e-5 converges to a better result.",
    verdict="conditional",
    truth="Near the minimum it does: the noise keeps 0.3 about 0.4 away and 1e-5 on the spot. "
    "From afar it never gets there: at most about 1e-5 per update, 500000 updates for a way of 5.",
)
def a_small_alpha_is_better_only_near_the_minimum():
    assert noisy_distance(0.3, start=0.01, updates=300) > 0.2
    assert noisy_distance(1e-5, start=0.01, updates=300) < 0.011
    assert noisy_distance(0.3, start=5.0, updates=300) < 1
    assert noisy_distance(1e-5, start=5.0, updates=300) > 4.99


@note(
    "6.2.4",
    says="Beta1 (0.9) and beta2 (0.999) are the exponential decay rates of both moment estimates.",
    verdict="right",
    truth="A gradient of t updates ago counts beta^t as much: half after 7 updates in m, after "
    "693 in v.",
)
def both_moments_forget_exponentially():
    assert default("Adam", "betas") == (0.9, 0.999)
    w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = optim.Adam([w])
    run(optimizer, w, [tensor(1)])
    for t in range(1, 694):
        run(optimizer, w, [tensor(0)])
        state = optimizer.state[w]
        assert_close(state["exp_avg"].item(), 0.1 * 0.9**t, rtol=1e-9, atol=1e-30)
        assert_close(state["exp_avg_sq"].item(), 0.001 * 0.999**t, rtol=1e-9, atol=0)
    assert 0.9**6 > 0.5 > 0.9**7
    assert 0.999**692 > 0.5 > 0.999**693


@note(
    "6.2.4",
    says="With sparse gradients beta2 should be near 1.",
    verdict="right",
    truth="v has to remember the last gradient until the next: of one 100 updates ago, 0.999 "
    "keeps 90 % and 0.9 only 0.003 %. Below beta1^2 it is worse: v fades before m, and a single "
    "gradient makes the weight run away.",
)
def a_short_memory_of_v_runs_away_after_a_rare_gradient():
    def way(beta2):
        rare = torch.zeros(100, 1, dtype=torch.float64)
        rare[0] = 1
        return -walk(optim, "Adam", rare, lr=1.0, betas=(0.9, beta2))[-1].item()

    assert_close(0.999**100, 0.905, rtol=0, atol=1e-3)
    assert 0.9**100 < 3e-5
    assert way(0.999) < 10
    assert way(0.5) > 1e4


@note(
    "6.2.4",
    says="Epsilon is a very small number against a division by zero.",
    verdict="right",
    truth="Without it, an element whose gradient is 0 from the first update on becomes 0 / 0.",
)
def adam_without_epsilon_divides_zero_by_zero():
    zero = [tensor(0)]
    assert walk(optim, "Adam", zero, eps=0.0).isnan().all()
    assert walk(optim, "Adam", zero).item() == 0


@note(
    "6.2.4",
    says="Epsilon is for instance 10E-8.",
    verdict="wrong",
    truth="10E-8 is 1e-7; the paper and torch have 1e-8.",
)
def ten_e_minus_8_is_one_e_minus_7():
    assert float("10E-8") == 1e-7
    assert default("Adam", "eps") == 1e-8
    assert float("10E-8") == pytest.approx(10 * default("Adam", "eps"))


@note(
    "6.2.4",
    says="Torch's Adam has by default 0.001, 0.9, 0.999 and 1e-8.",
    verdict="right",
    truth="So it has.",
)
def torchs_defaults_are_as_listed():
    names = ("lr", "betas", "eps")
    assert tuple(default("Adam", name) for name in names) == (0.001, (0.9, 0.999), 1e-8)
    gradients = noise(10)
    listed = walk(optim, "Adam", gradients, lr=0.001, betas=(0.9, 0.999), eps=1e-8)
    assert_close(walk(torch.optim, "Adam", gradients), listed)


@note(
    "6.2.4",
    says="Keras' Adam has an epsilon of 1e-08.",
    verdict="wrong",
    truth="tf.keras has 1e-07 (keras.io/2.16/api/optimizers/adam), as epsilon-hat. On a first "
    "gradient of 1e-6 it steps 2.40e-4, and would step 7.60e-4 with 1e-8.",
)
def keras_epsilon_is_ten_times_the_printed_one():
    tiny = [tensor(1e-6)]
    assert_close(-epsilon_hat(tiny, eps=1e-7).item(), 2.40e-4, rtol=0, atol=5e-7)
    assert_close(-epsilon_hat(tiny, eps=1e-8).item(), 7.60e-4, rtol=0, atol=5e-7)


@note(
    "6.2.4",
    says="Blocks' Adam has a decay_factor of 1.",
    verdict="rounded",
    truth="Its source has 1 - 1e-8. That is 1 in float32, Theano's usual type on a GPU; in "
    "float64 beta1 falls by 1 % in a million updates.",
)
def blocks_decay_factor_is_one_only_in_float32():
    assert np.float32(1 - 1e-8) == 1
    assert_close((1 - 1e-8) ** 1e6, 0.99, rtol=0, atol=1e-4)


@note(
    "6.2.4",
    says="(book) On MNIST, 4 x 100 ReLUs, the order is SGD .150, Momentum .050, Adam .032, "
    "AdaGrad .016.",
    verdict="conditional",
    truth="So it is on scikit-learn's digits with the book's rates, 0.01 and 0.001 for Adam (the "
    "losses of MNIST are not recomputed here). It is an order of rates as much as of rules: SGD "
    "at 0.2 is ahead of Momentum.",
)
def adagrad_wins_on_digits_and_sgd_only_lacks_a_larger_rate():
    def loss(rule, lr, **kwargs):
        return loss_on_digits(deep_relu(2**0.5, depth=4), 100, lr, rule, **kwargs)[0]

    momentum = loss(optim.SGD, 0.01, momentum=0.9)
    adam, adagrad = loss(optim.Adam, 0.001), loss(optim.Adagrad, 0.01)
    assert loss(optim.SGD, 0.01) > 2 * momentum
    assert momentum > adam > adagrad
    assert loss(optim.SGD, 0.2) < momentum


# 6.2.5


@note(
    "6.2.5",
    says="(code) Adam scales its rate by sqrt(1 - beta2^t) / (1 - beta1^t).",
    verdict="right",
    truth="That is both bias corrections in one factor: without epsilon, the run of m_hat / "
    "sqrt(v_hat).",
)
def one_factor_corrects_both_moments():
    gradients = noise(50)
    printed = epsilon_hat(gradients, eps=0)
    assert_close(printed, walk(optim, "Adam", gradients, eps=0.0), rtol=1e-10, atol=1e-14)


@note(
    "6.2.5",
    says="(code) Adam adds its epsilon (1e-7) to sqrt(v), not to sqrt(v_hat).",
    verdict="conditional",
    truth="That is epsilon-hat of the paper, and equals torch's Adam with eps / sqrt(1 - "
    "beta2^t), which falls from 3.16e-6 at t = 1 to 1e-7. With torch's fixed eps it differs.",
)
def adams_code_is_the_epsilon_hat_form():
    gradients = 1e-6 * noise(50)
    w = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([w])
    path = []
    for t, g in enumerate(gradients, 1):
        optimizer.param_groups[0]["eps"] = 1e-7 / (1 - 0.999**t) ** 0.5
        path.append(run(optimizer, w, [g])[0])
    printed = epsilon_hat(gradients)
    assert_close(torch.stack(path), printed, rtol=1e-11, atol=1e-14)
    assert_close(1e-7 / (1 - 0.999) ** 0.5, 3.16e-6, rtol=1e-3, atol=0)
    fixed = walk(torch.optim, "Adam", gradients, eps=1e-7)
    assert (fixed - printed).abs().max() > 0.1 * printed.abs().max()


@note(
    "6.2.5",
    says="(code) Its first step on a gradient of 1e-6 is 2.40e-4.",
    verdict="conditional",
    truth="torch's Adam, with 1e-8 added to sqrt(v_hat), steps 9.90e-4. For a gradient of 1 both "
    "step 0.001.",
)
def adams_code_moves_a_tiny_gradient_four_times_less():
    first = [
        -path.item() for path in (epsilon_hat([tensor(1e-6)]), walk(optim, "Adam", [tensor(1e-6)]))
    ]
    assert_close(first, [2.40e-4, 9.90e-4], rtol=0, atol=5e-7)
    assert_close(epsilon_hat([tensor(1)]), walk(optim, "Adam", [tensor(1)]), rtol=1e-5, atol=0)


@note(
    "6.2.5",
    says="(code) m += (1 - beta1)(g - m) replaces m <- beta1 m + (1 - beta1) g; v in the same way.",
    verdict="right",
    truth="The same moving average, written as a step towards the new value.",
)
def a_moving_average_is_a_step_towards_the_new_value():
    m = v = step_m = step_v = torch.zeros(5, dtype=torch.float64)
    for g in noise(20):
        m, v = 0.9 * m + (1 - 0.9) * g, 0.999 * v + (1 - 0.999) * g**2
        step_m = step_m + (1 - 0.9) * (g - step_m)
        step_v = step_v + (1 - 0.999) * (g**2 - step_v)
        assert_close((step_m, step_v), (m, v))


@note(
    "6.2.5",
    says="(code, a comment) unbias_m += (1 - beta1)(g - m) corrects the bias.",
    verdict="wrong",
    truth="It is the biased average itself: a first gradient of 1 gives 0.1. The correction is "
    "the division by 1 - beta1^t, which gives 1.",
)
def the_commented_correction_corrects_nothing():
    m, g, beta1 = 0.0, 1.0, 0.9
    unbias_m = m + (1 - beta1) * (g - m)
    assert_close(unbias_m, 0.1)
    assert_close(unbias_m / (1 - beta1**1), 1.0)


@note(
    "6.2.5",
    says="(code) The default rate is 0.01, and 0.001 for Adam.",
    verdict="conditional",
    truth="torch has the same for Adagrad, RMSprop and Adam, but 0.001 for SGD, with or without "
    "momentum.",
)
def default_rates_are_torchs_but_for_sgd():
    assert [default(rule, "lr") for rule in ("Adagrad", "RMSprop", "Adam")] == [0.01, 0.01, 0.001]
    assert default("SGD", "lr") == 0.001
    assert_close(walk(optim, "SGD", [tensor(1)]).item(), -0.001)


NESTED = """
class Rule:
    def __init__(self):
        self.memory = None
        def update(self, params):
        {body}
"""


@note(
    "6.2.5",
    says="(code) The block defines the six optimizers.",
    verdict="wrong",
    truth="It does not parse. In Momentum, Nesterov, AdaGrad, RMSprop and Adam `def update` "
    "stands as deep as the lines of __init__, and its body no deeper: IndentationError. Only SGD "
    "is well-formed.",
)
def the_block_of_optimizers_does_not_parse():
    with pytest.raises(IndentationError, match="expected an indented block"):
        compile(NESTED.format(body="params.clear()"), "block", "exec")
    well_formed = NESTED.replace("        def", "    def").format(body="params.clear()")
    compile(well_formed, "block", "exec")


@note(
    "6.2.5",
    says="(code) `update` is a method of Momentum, Nesterov, AdaGrad, RMSprop and Adam.",
    verdict="wrong",
    truth="Even with its body indented it stands inside __init__: a local function that is "
    "forgotten at once, so that calling update is an AttributeError. It has to stand as deep as "
    "__init__.",
)
def update_inside_init_is_no_method():
    rooms = {}
    exec(NESTED.format(body="    params.clear()"), rooms)
    with pytest.raises(AttributeError, match="update"):
        rooms["Rule"]().update({})
    exec(NESTED.replace("        def", "    def").format(body="params.clear()"), rooms)
    params = {"w": 1}
    rooms["Rule"]().update(params)
    assert params == {}


@note(
    "6.2.5",
    says="(code) Adam updates m, then v, then the parameters.",
    verdict="wrong",
    truth="The statement that updates m is swallowed by the comment line in front of it. m stays "
    "0, and so the step eta_t m / (sqrt(v) + eps) is 0: the parameters never move.",
)
def adam_as_printed_never_moves():
    gradients = noise(50)
    assert torch.equal(epsilon_hat(gradients, m_is_updated=False), torch.zeros_like(gradients))
    repaired = epsilon_hat(gradients)
    assert (repaired[-1] != 0).all()
    assert_close(repaired, walk(torch.optim, "Adam", gradients), rtol=0, atol=1e-6)


@note(
    "6.2.5",
    says="(code) The list of default parameters is a block of Python.",
    verdict="wrong",
    truth="It is marked as such but is plain text; Python stops at the full-width colon after a "
    "name.",
)
def the_list_of_defaults_is_no_python():
    with pytest.raises(SyntaxError):
        compile("Library：rate=0.001, beta=0.9", "block", "exec")
    compile("Library = dict(rate=0.001, beta=0.9)", "block", "exec")
