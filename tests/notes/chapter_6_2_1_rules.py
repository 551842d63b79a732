"""Chapter 6.2: the update rules, their formulas, and the race between them."""

from itertools import pairwise

import torch
from torch.testing import assert_close

from dlbook_torch import optim

from .base import note
from .walks import default, noise, race, ravine, run, tensor, walk

# 6.2.1


@note(
    "6.2.1",
    says="SGD: W <- W - eta dL/dW.",
    verdict="right",
    truth="The rule of SGD without momentum, here and in torch.",
)
def sgd_is_the_printed_formula():
    eta, gradients = 0.1, noise(10)
    printed = -eta * gradients.cumsum(0)
    assert_close(walk(optim, "SGD", gradients, lr=eta), printed)
    assert_close(walk(torch.optim, "SGD", gradients, lr=eta), printed)


@note(
    "6.2.1",
    says="The rate is in practice a number fixed beforehand, such as 0.01 or 0.001.",
    verdict="conditional",
    truth="It depends on the curvature: with a curvature of 150, 0.01 converges and 0.95 blows "
    "up; in the book's race 0.95 is good and 0.01 is still at x = -6.79 after 30 updates.",
)
def a_rate_of_a_hundredth_suits_one_function_and_not_another():
    def steep(w):
        return 75 * (w**2).sum()

    assert steep(race(optim, "SGD", lr=0.01, f=steep)[-1]) < 1e-10
    assert steep(race(optim, "SGD", lr=0.95, f=steep)[-1]) > 1e10
    assert_close(race(optim, "SGD", lr=0.01)[-1, 0].item(), -6.79, rtol=0, atol=5e-3)
    assert ravine(race(optim, "SGD", lr=0.95)[-1]) < 0.02


@note(
    "6.2.1",
    says="On a stretched (anisotropic) function SGD searches very inefficiently.",
    verdict="right",
    truth="On x^2/20 + y^2 with 0.95, y changes its sign at every update while x shrinks by only "
    "9.5 %; on the round bowl (x^2 + y^2)/2 a rate of 1 arrives in one update.",
)
def sgd_zigzags_through_a_ravine():
    x, y = race(optim, "SGD", lr=0.95).T
    assert (y[1:] * y[:-1] < 0).all()
    assert_close(x[1:] / x[:-1], torch.full((30,), 0.905, dtype=torch.float64))
    round_bowl = race(optim, "SGD", updates=1, lr=1.0, f=lambda w: (w**2).sum() / 2)
    assert_close(round_bowl[-1], tensor(0, 0))


@note(
    "6.2.1",
    says="The root of it: the gradient does not point to the minimum.",
    verdict="right",
    truth="At (-7, 2) the way down and the way to the minimum are 64 degrees apart; on a round "
    "bowl 0.",
)
def the_way_down_is_64_degrees_from_the_way_to_the_minimum():
    def angle(f):
        w = tensor(-7, 2).requires_grad_()
        (g,) = torch.autograd.grad(f(w), w)
        return torch.cosine_similarity(-g, -w, dim=0).acos().rad2deg().item()

    assert_close(angle(ravine), 64.0, rtol=0, atol=0.5)
    assert_close(angle(lambda w: (w**2).sum()), 0.0, rtol=0, atol=1e-5)


@note(
    "6.2.1",
    says="(book) Race on x^2/20 + y^2 from (-7, 2), 30 updates, SGD 0.95: (-0.350393, 0.084782).",
    verdict="right",
    truth="It is (-7 * 0.905^30, 2 * 0.9^30) in closed form.",
)
def sgd_ends_the_race_at_minus_035():
    end = race(optim, "SGD", lr=0.95)[-1]
    assert_close(end, tensor(-0.350393, 0.084782), rtol=0, atol=5e-7)
    assert_close(end, tensor(-7 * 0.905**30, 2 * 0.9**30))


# 6.2.2


@note(
    "6.2.2",
    says="Momentum: v <- alpha v - eta dL/dW, then W <- W + v.",
    verdict="conditional",
    truth="Equal to torch's while the rate is constant (torch keeps v without eta). When it "
    "changes, the old rate lives on in v: g = 1, rate 0.1 then 0.01 gives -0.200, torch -0.119.",
)
def momentum_differs_from_torchs_as_soon_as_the_rate_changes():
    def printed(gradients, rates, alpha=0.9):
        w = v = 0.0
        path = []
        for g, eta in zip(gradients, rates, strict=True):
            v = alpha * v - eta * g
            w = w + v
            path.append(w)
        return torch.stack(path)

    def torchs(gradients, rates):
        w = torch.zeros_like(gradients[0]).requires_grad_()
        optimizer = optim.SGD([w], lr=0.1, momentum=0.9)
        path = []
        for g, eta in zip(gradients, rates, strict=True):
            optimizer.param_groups[0]["lr"] = eta
            path.append(run(optimizer, w, [g])[0])
        return torch.stack(path)

    gradients = noise(50)
    assert_close(printed(gradients, [0.1] * 50), torchs(gradients, [0.1] * 50))
    ones = torch.ones(2, 1, dtype=torch.float64)
    assert_close(printed(ones, [0.1, 0.01])[-1].item(), -0.2)
    assert_close(torchs(ones, [0.1, 0.01])[-1].item(), -0.119)


@note(
    "6.2.2",
    says="v is a velocity: a force along the gradient makes it grow.",
    verdict="conditional",
    truth="Under a constant force it grows, but only up to eta / (1 - alpha), ten times a plain "
    "step for alpha = 0.9; without a force it does not stay, as a velocity would, but dies away.",
)
def velocity_grows_up_to_ten_plain_steps():
    pushed = walk(optim, "SGD", torch.ones(200, 1), lr=0.1, momentum=0.9).flatten()
    speed = -pushed.diff()
    assert (speed[1:100] > speed[:99]).all()
    assert_close(speed[-1].item(), 0.1 / (1 - 0.9), rtol=1e-6, atol=0)
    coasting = walk(optim, "SGD", torch.eye(200)[0].unsqueeze(1), lr=0.1, momentum=0.9).flatten()
    assert_close(coasting.diff(), -0.1 * 0.9 ** torch.arange(1.0, 200).double())


@note(
    "6.2.2",
    says="If v points the way of the negative gradient, the step becomes longer.",
    verdict="right",
    truth="|alpha v - eta g| is the sum of both lengths then, and their difference if they are "
    "opposed.",
)
def a_velocity_with_the_slope_lengthens_the_step():
    with_the_slope = walk(optim, "SGD", [tensor(1), tensor(1)], lr=0.1, momentum=0.9)
    against = walk(optim, "SGD", [tensor(-1), tensor(1)], lr=0.1, momentum=0.9)
    assert_close(with_the_slope.diff(dim=0).item(), -(0.9 * 0.1 + 0.1))
    assert_close(against.diff(dim=0).item(), 0.9 * 0.1 - 0.1)


@note(
    "6.2.2",
    says="So momentum makes convergence faster.",
    verdict="conditional",
    truth="In a long ravine it does: 100 updates at 0.1 end 10^3 times lower with momentum. On a "
    "round bowl, where plain SGD arrives in one update, it overshoots and needs dozens.",
)
def momentum_helps_in_a_ravine_and_hurts_on_a_round_bowl():
    plain, heavy = (
        ravine(race(optim, "SGD", updates=100, lr=0.1, momentum=mu)[-1]) for mu in (0, 0.9)
    )
    assert heavy < 1e-3 * plain

    def round_bowl(w):
        return (w**2).sum() / 2

    path = race(optim, "SGD", updates=30, lr=1.0, momentum=0.9, f=round_bowl)
    assert round_bowl(race(optim, "SGD", updates=1, lr=1.0, f=round_bowl)[-1]) == 0
    assert round_bowl(path[-1]) > 0.01
    assert (path[1:4].norm(dim=1) > 1).any()


@note(
    "6.2.2",
    says="(book) Race, 30 updates, Momentum 0.1: (0.896414, 0.088086).",
    verdict="right",
    truth="Recomputed in float64 with torch's form of the rule, whose run is the same.",
)
def momentum_ends_the_race_at_0896():
    end = race(optim, "SGD", lr=0.1, momentum=0.9)[-1]
    assert_close(end, tensor(0.896414, 0.088086), rtol=0, atol=5e-7)


@note(
    "6.2.2",
    says="(code) Momentum and Nesterov have a momentum of 0.9 unless told otherwise.",
    verdict="conditional",
    truth="In the notes; torch's SGD has 0, which is no momentum at all, unless it is given.",
)
def torchs_momentum_is_zero_unless_given():
    assert default("SGD", "momentum") == 0
    gradients = noise(5)
    plain = walk(optim, "SGD", gradients, lr=0.01)
    assert_close(walk(optim, "SGD", gradients, lr=0.01, momentum=0), plain, rtol=0, atol=0)
    heavy = walk(optim, "SGD", gradients, lr=0.01, momentum=0.9)
    assert not torch.allclose(heavy, plain)


def nesterov(gradients, rates, mu=0.9, velocity_first=False):
    """The notes' Nesterov, or its order before 2021, which moves v before it is used."""
    w, v, path = torch.zeros_like(gradients[0]), torch.zeros_like(gradients[0]), []
    for g, eta in zip(gradients, rates, strict=True):
        used = mu * v - eta * g if velocity_first else v
        w = w + mu * mu * used - (1 + mu) * eta * g
        v = mu * v - eta * g
        path.append(w)
    return torch.stack(path)


@note(
    "6.2.2",
    says="(code) Nesterov: w += mu^2 v - (1 + mu) eta g, then v <- mu v - eta g.",
    verdict="conditional",
    truth="Equal to SGD(nesterov=True) at a constant rate, another run when the rate changes.",
)
def nesterov_is_torchs_at_a_constant_rate_only():
    gradients, rates = noise(50), [0.1] * 25 + [0.01] * 25
    w = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1, momentum=0.9, nesterov=True)
    constant = run(optimizer, w, gradients[:25])
    optimizer.param_groups[0]["lr"] = 0.01
    dropped = run(optimizer, w, gradients[25:])
    printed = nesterov(gradients, rates)
    assert_close(constant, printed[:25])
    assert (dropped - printed[25:]).abs().max() > 0.1


@note(
    "6.2.2",
    says="(code) That is Nesterov's accelerated gradient.",
    verdict="right",
    truth="Its w is the point w' + mu v' at which the textbook form takes the gradient. The order "
    "counts: with v moved first, as the book's code had it until 2021, it is another run.",
)
def nesterov_walks_along_the_look_ahead_points():
    eta, mu = 0.05, 0.9
    w = ahead = tensor(-7, 2)
    v = torch.zeros_like(w)
    gradients, textbook = [], []
    for _ in range(20):
        g = tensor(ahead[0] / 10, 2 * ahead[1])
        v = mu * v - eta * g
        w = w + v
        ahead = w + mu * v
        gradients.append(g)
        textbook.append(ahead)
    printed = tensor(-7, 2) + nesterov(gradients, [eta] * 20)
    assert_close(printed, torch.stack(textbook))
    old = tensor(-7, 2) + nesterov(gradients, [eta] * 20, velocity_first=True)
    assert (old - printed).abs().max() > 0.1


# 6.2.3


@note(
    "6.2.3",
    says="AdaGrad: h <- h + g * g, then W <- W - eta g / sqrt(h).",
    verdict="conditional",
    truth="Holds once every element has had a gradient. Before that it is 0 / 0, not a number: "
    "the code and torch add an epsilon to sqrt(h), which the formula leaves out.",
)
def adagrad_without_epsilon_divides_zero_by_zero():
    def printed(gradients, eta=0.1):
        h = (gradients**2).cumsum(0)
        return (-eta * gradients / h.sqrt()).cumsum(0)

    gradients = noise(20)
    assert_close(walk(optim, "Adagrad", gradients, lr=0.1), printed(gradients), atol=1e-8, rtol=0)
    zero = torch.zeros(1, 1, dtype=torch.float64)
    assert printed(zero).isnan().all()
    assert_close(walk(optim, "Adagrad", zero, lr=0.1), zero)


@note(
    "6.2.3",
    says="(code) AdaGrad divides by sqrt(h) + 1e-7.",
    verdict="right",
    truth="Equal to torch's Adagrad with eps=1e-7, but for rounding.",
)
def adagrads_code_is_torchs_with_another_epsilon():
    gradients = noise(50)
    h = w = torch.zeros(5, dtype=torch.float64)
    printed = []
    for g in gradients:
        h = h + g * g
        w = w - 0.01 * g / (h.sqrt() + 1e-7)
        printed.append(w)
    for library in (optim, torch.optim):
        path = walk(library, "Adagrad", gradients, lr=0.01, eps=1e-7)
        assert_close(path, torch.stack(printed), rtol=1e-14, atol=1e-16)


@note(
    "6.2.3",
    says="(code) 1e-7 is the epsilon of AdaGrad and RMSprop.",
    verdict="conditional",
    truth="torch has 1e-10 for Adagrad and 1e-8 for RMSprop. It makes no difference for gradients "
    "around 1; one of 1e-8 takes 9 % of a step in the notes' AdaGrad and 99 % in torch's.",
)
def epsilon_matters_only_for_tiny_gradients():
    assert (default("Adagrad", "eps"), default("RMSprop", "eps")) == (1e-10, 1e-8)

    def first_step(g, eps):
        return -walk(optim, "Adagrad", [tensor(g)], lr=1.0, eps=eps).item()

    assert_close(first_step(1.0, 1e-7), first_step(1.0, 1e-10), rtol=1e-6, atol=0)
    assert_close(first_step(1e-8, 1e-7), 0.0909, rtol=0, atol=1e-4)
    assert_close(first_step(1e-8, 1e-10), 0.990, rtol=0, atol=1e-3)


@note(
    "6.2.3",
    says="The rate decays: it becomes smaller as learning goes on.",
    verdict="right",
    truth="AdaGrad's effective rate eta / sqrt(h) never grows, whatever the gradients.",
)
def adagrads_effective_rate_never_grows():
    w = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = optim.Adagrad([w], lr=0.1)
    rates = []
    for g in noise(50):
        run(optimizer, w, [g])
        rates.append(0.1 / optimizer.state[w]["sum"].sqrt())
    assert all((after <= before).all() for before, after in pairwise(rates))
    assert (rates[-1] < 0.5 * rates[0]).all()


@note(
    "6.2.3",
    says="Every element has a rate of its own; one that changes a lot gets a smaller one.",
    verdict="right",
    truth="With constant gradients of 1 and 100 the rates are 100 times apart, and so both "
    "elements take the same steps.",
)
def an_element_with_large_gradients_gets_a_small_rate():
    w = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = optim.Adagrad([w], lr=0.1)
    path = run(optimizer, w, [tensor(1, 100)] * 10)
    small, large = (0.1 / optimizer.state[w]["sum"].sqrt()).tolist()
    assert_close(small / large, 100.0)
    assert_close(path[:, 0], path[:, 1], rtol=0, atol=1e-9)


@note(
    "6.2.3",
    says="A main advantage of AdaGrad: the rate need not be tuned by hand any more.",
    verdict="wrong",
    truth="The first step has the length eta, whatever the gradient, so eta decides all: the "
    "book's race takes 1.5, and with the default of 0.01 x is still at -6.90 after 30 updates.",
)
def adagrad_still_needs_its_rate():
    for g in (1e-3, 1.0, 1e3):
        first = walk(optim, "Adagrad", [tensor(g)], lr=0.01)
        assert_close(first.item(), -0.01, rtol=1e-6, atol=0)
    assert_close(race(optim, "Adagrad", lr=0.01)[-1, 0].item(), -6.90, rtol=0, atol=5e-3)
    assert ravine(race(optim, "Adagrad", lr=1.5)[-1]) < 1e-3


@note(
    "6.2.3",
    says="Every term added to h is positive, so h grows all the time.",
    verdict="conditional",
    truth="It is a square, so never negative; but a gradient of 0 adds nothing, and h stands "
    "still.",
)
def h_stands_still_without_a_gradient():
    w = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = optim.Adagrad([w], lr=0.1)
    sums = []
    for _ in range(3):
        run(optimizer, w, [tensor(-1, 0)])
        sums.append(optimizer.state[w]["sum"].clone())
    assert_close(torch.stack(sums), tensor([1, 0], [2, 0], [3, 0]))


@note(
    "6.2.3",
    says="The rate of AdaGrad becomes infinitely small in the end, and the model stops learning.",
    verdict="conditional",
    truth="The rate goes to 0 like 1 / sqrt(t), but under a constant gradient the steps still add "
    "up to 2 eta sqrt(t), without a limit. It does stop where early gradients were huge: after "
    "one of 1000, a gradient of 1 takes a thousandth of a step.",
)
def adagrads_steps_shrink_and_still_add_up_without_limit():
    path = -walk(optim, "Adagrad", torch.ones(2500, 1), lr=0.1).flatten()
    assert_close((path[-1] - path[-2]).item(), 0.1 / 2500**0.5, rtol=1e-3, atol=0)
    assert_close(path[-1].item(), 2 * 0.1 * 2500**0.5, rtol=0.02, atol=0)
    shocked = walk(optim, "Adagrad", [tensor(1000), tensor(1)], lr=0.1)
    assert_close(-shocked.diff(dim=0).item(), 0.1 / 1000, rtol=1e-3, atol=0)


@note(
    "6.2.3",
    says="Adadelta was made to cure that.",
    verdict="right",
    truth="Under a constant gradient AdaGrad's steps shrink for ever, those of Adadelta, which "
    "forgets old squares, do not.",
)
def adadelta_does_not_slow_down():
    steps = {
        rule: walk(optim, rule, torch.ones(1000, 1), lr=1.0).diff(dim=0).abs().flatten()
        for rule in ("Adagrad", "Adadelta")
    }
    assert (steps["Adagrad"].diff() < 0).all()
    assert (steps["Adadelta"].diff() > 0).all()


@note(
    "6.2.3",
    says="(book) Race, 30 updates, AdaGrad 1.5: (-0.120162, 2.5e-17).",
    verdict="right",
    truth="Recomputed in float64 with torch's Adagrad and eps=1e-7.",
)
def adagrad_ends_the_race_at_minus_012():
    x, y = race(optim, "Adagrad", lr=1.5, eps=1e-7)[-1].tolist()
    assert_close(x, -0.120162, rtol=0, atol=5e-7)
    assert_close(y, 2.5e-17, rtol=0, atol=1e-17)


@note(
    "6.2.3",
    says="(code) RMSprop: h <- 0.99 h + 0.01 g^2, then W <- W - eta g / (sqrt(h) + 1e-7).",
    verdict="right",
    truth="Equal to torch's RMSprop with alpha=0.99 (its default too) and eps=1e-7.",
)
def rmsprops_code_is_torchs():
    gradients = noise(50)
    h = w = torch.zeros(5, dtype=torch.float64)
    printed = []
    for g in gradients:
        h = 0.99 * h + (1 - 0.99) * g * g
        w = w - 0.01 * g / (h.sqrt() + 1e-7)
        printed.append(w)
    assert default("RMSprop", "alpha") == 0.99
    for library in (optim, torch.optim):
        path = walk(library, "RMSprop", gradients, lr=0.01, eps=1e-7)
        assert_close(path, torch.stack(printed), rtol=1e-14, atol=1e-15)
