"""Chapter 6.5: weight decay and dropout."""

import functools
from itertools import pairwise, product

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import nn, optim

from .base import note
from .nets import digits
from .walks import noise, run, tensor


@functools.cache
def learned(updates, lr, decay=0.0, dropout=0.0, depth=6):
    """Accuracy of a net with layers of 100 ReLUs on the 50 digits that it learns, and on others."""
    torch.manual_seed(0)
    layers = []
    for n, m in pairwise([64, *[100] * depth]):
        linear = nn.Linear(n, m)
        nn.init.kaiming_normal_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
    net = nn.Sequential(*layers, nn.Linear(100, 10))
    optimizer = optim.SGD(groups(net, decay), lr=lr)
    x, labels = digits()
    for _ in range(updates):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[:50]), labels[:50]).backward()
        optimizer.step()
    right = (net.eval()(x).argmax(1) == labels).double()
    return right[:50].mean().item(), right[50:].mean().item()


def groups(net, decay):
    """The weights with a decay, the biases without."""
    weights = [p for p in net.parameters() if p.dim() > 1]
    biases = [p for p in net.parameters() if p.dim() == 1]
    return [dict(params=weights, weight_decay=decay), dict(params=biases)]


@note(
    "6.5",
    says="Weight decay punishes large weights.",
    verdict="right",
    truth="The book's penalty is lambda/2 |W|^2 (the notes print none). Its gradient is lambda W, "
    "so every update takes eta lambda W away: the more, the larger. That is "
    "SGD(weight_decay=lambda).",
)
def the_penalty_takes_a_share_of_every_weight():
    eta, decay, start = 0.1, 0.3, tensor(1, -100)
    w = start.clone().requires_grad_()
    (decay / 2 * (w**2).sum()).backward()
    assert_close(w.grad, decay * start)
    for library in (optim, torch.optim):
        w = start.clone().requires_grad_()
        w.grad = torch.zeros(2, dtype=torch.float64)
        library.SGD([w], lr=eta, weight_decay=decay).step()
        assert_close(w.detach(), (1 - eta * decay) * start)


def ridge(decay):
    """Errors of a polynomial of degree 9 on 12 noisy points of a sine, and on the sine itself."""
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.rand(12, dtype=torch.float64, generator=generator) - 1
    t = (torch.pi * x).sin() + 0.3 * torch.randn(12, dtype=torch.float64, generator=generator)
    new = torch.linspace(-1, 1, 200, dtype=torch.float64)
    powers, new_powers = (points[:, None] ** torch.arange(10) for points in (x, new))
    penalty = decay * torch.eye(10, dtype=torch.float64)
    w = torch.linalg.solve(powers.T @ powers + penalty, powers.T @ t)
    return [((powers @ w - t) ** 2).mean(), ((new_powers @ w - (torch.pi * new).sin()) ** 2).mean()]


@note(
    "6.5",
    says="Weight decay holds overfitting down.",
    verdict="conditional",
    truth="With the right lambda. A polynomial of degree 9 on 12 noisy points: 0.01 brings the "
    "error on new points below 0.1 from more than 1000; 1000 makes it fit nothing, old or new.",
)
def weight_decay_helps_only_with_the_right_coefficient():
    overfitted, good, underfitted = (ridge(decay) for decay in (0, 0.01, 1000))
    assert overfitted[0] < good[0] < underfitted[0]
    assert overfitted[1] > 1000
    assert good[1] < 0.1
    assert underfitted[1] > 4 * good[1]


@note(
    "6.5",
    says="It is not the decay that prevents overfitting but the term behind it; the coefficient "
    "says how much that term counts in the loss.",
    verdict="right",
    truth="dL/d lambda is the term itself, 12.5 for W = (3, 4); with lambda = 0 the loss is that "
    "of the data.",
)
def the_coefficient_weighs_the_term():
    decay, w = tensor(0.3).requires_grad_(), tensor(3, 4)
    loss = 1.0 + decay * (w**2).sum() / 2
    (g,) = torch.autograd.grad(loss, decay)
    assert_close((loss.item(), g.item()), (1 + 0.3 * 12.5, 12.5))


@note(
    "6.5",
    says="Weight decay is the coefficient in front of the regularisation term in the loss.",
    verdict="conditional",
    truth="For SGD: there the term and a shrinking of the weights by eta lambda are the same. For "
    "Adam they are not: it divides the term's gradient by its own size. AdamW shrinks the "
    "weights.",
)
def penalty_and_decay_are_the_same_for_sgd_only():
    def path(rule, shrink=0.0, **kwargs):
        w = torch.ones(5, dtype=torch.float64, requires_grad=True)
        optimizer = rule([w], lr=0.01, **kwargs)
        for g in noise(20):
            w.data.mul_(1 - shrink)
            run(optimizer, w, [g])
        return w.detach()

    penalised, shrunk = path(optim.SGD, weight_decay=0.1), path(optim.SGD, shrink=0.001)
    assert_close(penalised, shrunk)
    penalised, shrunk = path(optim.Adam, weight_decay=0.1), path(optim.Adam, shrink=0.001)
    assert (penalised - shrunk).abs().max() > 1e-3
    assert_close(path(optim.AdamW, weight_decay=0.1), shrunk)


@note(
    "6.5",
    says="The regularisation term tells how complex the model is; with a large decay a complex "
    "model has a large loss.",
    verdict="conditional",
    truth="The loss does grow with |W|^2. But that is no measure of the function: 10 W1 and W2 / "
    "10 is the same ReLU net with another penalty.",
)
def the_same_function_can_have_two_penalties():
    x, w1, w2 = noise(20, 4), noise(4, 8, seed=1), noise(8, 2, seed=2)

    def net(scale):
        return nn.functional.relu(x @ (scale * w1)) @ (w2 / scale)

    def penalty(scale):
        return ((scale * w1) ** 2).sum() + ((w2 / scale) ** 2).sum()

    assert_close(net(10.0), net(1.0))
    assert penalty(10.0) > 10 * penalty(1.0)


@note(
    "6.5",
    says="(book) The penalty is on the weights and not on the biases.",
    verdict="conditional",
    truth="In the book. torch's weight_decay shrinks all that it is given, biases too, unless "
    "they stand in a parameter group without it.",
)
def torch_decays_biases_too_unless_they_have_a_group():
    def after(parameters):
        torch.manual_seed(0)
        layer = nn.Linear(3, 2)
        nn.init.ones_(layer.bias)
        optimizer = optim.SGD(parameters(layer), lr=0.1, weight_decay=0.5)
        for p in layer.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
        return layer.bias.tolist()

    assert after(lambda layer: layer.parameters()) == pytest.approx([0.95, 0.95])
    weights_only = after(
        lambda layer: [dict(params=[layer.weight]), dict(params=[layer.bias], weight_decay=0)]
    )
    assert weights_only == [1, 1]


@note(
    "6.5",
    says="(book) A decay of 0.1 holds overfitting down: 300 images, 6 x 100 units, 201 epochs, "
    ".9267 on them and .7207 on the test images.",
    verdict="conditional",
    truth="The net no longer knows its images by heart, but 0.1 is too much to be of use: on 50 "
    "digits it lowers the accuracy on the other digits too, and more.",
)
def a_decay_of_a_tenth_lowers_both_accuracies():
    free, decayed = learned(100, 0.1), learned(100, 0.1, decay=0.1)
    assert free[0] == 1 > decayed[0] + 0.05
    assert free[1] > decayed[1] + 0.1
    assert free[1] - decayed[1] > free[0] - decayed[0]


def masks(n, p):
    """All patterns of n units dropped with probability p, each with its own probability."""
    for pattern in product((0.0, 1.0), repeat=n):
        kept = sum(pattern)
        yield tensor(*pattern), (1 - p) ** kept * p ** (n - kept)


def mean_over_masks(f, n, p):
    return sum(probability * f(mask) for mask, probability in masks(n, p))


@note(
    "6.5",
    says="Dropout sets half of the hidden units to 0 in every batch.",
    verdict="conditional",
    truth="Each unit falls on its own with probability p: half of them on average, for 100 units "
    "50 +- 5, and other ones for every sample. p need not be one half.",
)
def half_of_the_units_are_dropped_only_on_average():
    torch.manual_seed(0)
    dropped = (nn.Dropout(0.5)(torch.ones(2000, 100)) == 0).double().sum(1)
    assert_close(dropped.mean().item(), 50.0, rtol=0, atol=0.5)
    assert_close(dropped.std().item(), 5.0, rtol=0, atol=0.3)
    few = (nn.Dropout(0.2)(torch.ones(2000, 100)) == 0).double().mean()
    assert_close(few.item(), 0.2, rtol=0, atol=5e-3)


@note(
    "6.5",
    says="Dropout makes a unit stop with probability p.",
    verdict="right",
    truth="p is the share that falls, here, in torch and in the book (dropout_ratio); some papers "
    "and TensorFlow 1 count what is kept.",
)
def p_is_the_probability_of_being_dropped():
    for p in (0.1, 0.9):
        for x in (torch.ones(20000, dtype=torch.float64), torch.ones(20000)):
            torch.manual_seed(0)
            ours = nn.Dropout(p)(x)
            assert_close((ours == 0).double().mean().item(), p, rtol=0, atol=0.01)
            if x.dtype == torch.float64:  # in float32 it draws faster, and another mask
                torch.manual_seed(0)
                assert torch.equal(ours, torch.nn.Dropout(p)(x))


@note(
    "6.5",
    says="Dropout clearly reduces overfitting and makes the model generalise better.",
    verdict="conditional",
    truth="In front of a linear model it is a ridge penalty of p/(1 - p) sum x^2 w^2. That helps "
    "22 noisy samples of 20 features (error of w 39, then 0.6) and harms 2000 (0.002, then 0.28).",
)
def dropout_helps_few_samples_and_harms_many():
    def error_of_w(n, p):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(n, 20, dtype=torch.float64, generator=generator)
        true = noise(1, 20, seed=99)[0] / 20**0.5
        t = x @ true + torch.randn(n, dtype=torch.float64, generator=generator)
        gram = x.T @ x
        w = torch.linalg.solve(gram + p / (1 - p) * gram.diag().diag(), x.T @ t)
        return ((w - true) ** 2).sum().item()

    x, t, w, p = noise(3, 4), noise(3, 1, seed=1)[:, 0], noise(1, 4, seed=2)[0], 0.3
    with_dropout = mean_over_masks(lambda m: ((x * m / (1 - p)) @ w - t).square().sum(), 4, p)
    ridge_loss = (x @ w - t).square().sum() + p / (1 - p) * (x**2 @ w**2).sum()
    assert_close(with_dropout, ridge_loss)

    assert error_of_w(22, 0.5) < 0.1 * error_of_w(22, 0)
    assert error_of_w(2000, 0.5) > 10 * error_of_w(2000, 0)


@note(
    "6.5",
    says="Dropout reduces the dependence of feature detectors on each other.",
    verdict="right",
    truth="Two copies of one input can share the work in any way, w1 + w2 = 1. Under dropout (3, "
    "-2), where each needs the other, costs 26 times as much as one half each.",
)
def dropout_shares_the_work_out_evenly():
    def loss(w1, w2, p=0.5):
        return mean_over_masks(lambda m: (1 - (m[0] * w1 + m[1] * w2) / (1 - p)) ** 2, 2, p).item()

    assert loss(3, -2) == pytest.approx(26 * loss(0.5, 0.5))
    assert loss(0.5, 0.5) < loss(1, 0) < loss(3, -2)
    assert loss(3, -2, p=0) == loss(0.5, 0.5, p=0) == 0


@note(
    "6.5",
    says="It keeps the distribution of every layer the same in training and in testing.",
    verdict="wrong",
    truth="Only the mean. In training a unit has the additional variance x^2 p / (1 - p): for p = "
    "0.5 as much as its own square.",
)
def dropout_keeps_the_mean_and_not_the_variance():
    x = 3.0
    for p in (0.2, 0.5):
        mean = mean_over_masks(lambda m, p=p: m[0] * x / (1 - p), 1, p)
        variance = mean_over_masks(lambda m, p=p: (m[0] * x / (1 - p) - x) ** 2, 1, p)
        assert_close((mean.item(), variance.item()), (x, x**2 * p / (1 - p)))
        layer = nn.Dropout(p)
        torch.manual_seed(0)
        y = layer(torch.full((100000,), x))
        assert_close(y.var().item(), variance.item(), rtol=0.02, atol=0)
        assert layer.eval()(torch.full((9,), x)).var() == 0


@note(
    "6.5",
    says="Dropout regularises most strongly at a rate of 0.5.",
    verdict="conditional",
    truth="0.5 maximises the variance of the mask, p (1 - p), and so the number of likely "
    "subnetworks. The noise after scaling, p / (1 - p), and with it the penalty, grows with p "
    "without a limit.",
)
def the_noise_of_scaled_dropout_grows_with_p():
    rates = [0.1, 0.3, 0.5, 0.7, 0.9]

    def variance(p, scale):
        mean = mean_over_masks(lambda m: scale * m[0], 1, p)
        return mean_over_masks(lambda m: (scale * m[0] - mean) ** 2, 1, p).item()

    unscaled = [variance(p, scale=1) for p in rates]
    assert max(unscaled) == unscaled[2] == pytest.approx(0.25)
    scaled = [variance(p, scale=1 / (1 - p)) for p in rates]
    assert scaled == pytest.approx([p / (1 - p) for p in rates])
    assert scaled == sorted(scaled)


@note(
    "6.5",
    says="The expected output of a unit is (1 - p) x + p 0 = (1 - p) x.",
    verdict="right",
    truth="Without any scaling.",
)
def an_unscaled_unit_loses_p_of_its_output():
    x, p = 3.0, 0.2
    assert_close(mean_over_masks(lambda m: m[0] * x, 1, p).item(), (1 - p) * x)
    torch.manual_seed(0)
    kept = (torch.rand(100000) > p) * x
    assert_close(kept.mean().item(), (1 - p) * x, rtol=1e-2, atol=0)


@note(
    "6.5",
    says="First way: scaled by 1/(1 - p) in training, the expectation is (1-p)x/(1-p) + p* = x.",
    verdict="wrong",
    truth="A slip of the pen: `p*` lacks its 0. With p*0 the sum is x: it is what torch and ours "
    "do.",
)
def the_expectation_of_the_first_way_lacks_a_zero():
    with pytest.raises(SyntaxError):
        compile("(1-p)*x/(1-p)+p*", "notes", "eval")
    assert eval("(1-p)*x/(1-p)+p*0", {"p": 0.5, "x": 3.0}) == 3
    layer, x = nn.Dropout(0.2), torch.full((200000,), 3.0)
    torch.manual_seed(0)
    assert_close(layer(x).mean().item(), 3.0, rtol=0, atol=0.02)
    assert torch.equal(layer.eval()(x), x)


@note(
    "6.5",
    says="Second way: scaled by (1 - p) at test time, the expectations of both are (1 - p) x.",
    verdict="right",
    truth="The book's code. It is the first way times (1 - p), everywhere: output in training, "
    "output in testing, and gradient; so its weights learn with a rate that is smaller by that.",
)
def the_second_way_is_the_first_times_one_minus_p():
    p, x = 0.2, noise(1, 1000)[0]
    torch.manual_seed(0)
    inverted = x.clone().requires_grad_()
    y = nn.Dropout(p)(inverted)
    y.sum().backward()
    mask = (y != 0).double()
    book = x.clone().requires_grad_()
    (book * mask).sum().backward()
    assert_close((book * mask).detach(), (1 - p) * y.detach())
    assert_close(book.grad, (1 - p) * inverted.grad)
    assert_close(mean_over_masks(lambda m: m[0] * 3.0, 1, p).item(), (1 - p) * 3.0)


@note(
    "6.5",
    says="(1) Half of the hidden units are deleted at random, inputs and outputs are left as they "
    "are.",
    verdict="conditional",
    truth="That is usual. But the book's DeepConvNet drops out its ten scores too: at test time "
    "all are halved, which leaves the answer as it is and makes the loss wrong.",
)
def halved_scores_have_the_same_answer_and_another_loss():
    scores, labels = 8 * noise(100, 10), torch.arange(100) % 10
    labels[:90] = scores[:90].argmax(1)
    halved = 0.5 * scores
    assert torch.equal(halved.argmax(1), scores.argmax(1))
    loss, loss_of_halved = (
        nn.functional.cross_entropy(s[:90], labels[:90]) for s in (scores, halved)
    )
    assert loss_of_halved > 1.2 * loss


def dropped_unit(optimizer_of):
    """Weights of a unit after an update with it and one without it, and its last gradients."""
    torch.manual_seed(0)
    first, second = nn.Linear(4, 3).double(), nn.Linear(3, 2).double()
    weights = [first.weight, second.weight]
    optimizer = optimizer_of(weights)
    rows = []
    for mask in (tensor(1, 1, 1), tensor(0, 1, 1)):
        optimizer.zero_grad()
        hidden = torch.tanh(first(noise(8, 4))) * mask
        (second(hidden) ** 2).sum().backward()
        optimizer.step()
        rows.append(torch.cat([first.weight[0], second.weight[:, 0]]).detach().clone())
    return rows, torch.cat([first.weight.grad[0], second.weight.grad[:, 0]])


@note(
    "6.5",
    says="(2) Only the parameters of units that were not deleted are updated; the others stay.",
    verdict="conditional",
    truth="Under plain SGD: the gradient of a dropped unit is exactly 0. With momentum, Adam or "
    "weight decay it moves all the same.",
)
def a_dropped_unit_stays_only_under_plain_sgd():
    (before, after), gradient = dropped_unit(lambda w: optim.SGD(w, lr=0.01))
    assert gradient.abs().max() == 0
    assert torch.equal(before, after)
    for moving in (
        lambda w: optim.SGD(w, lr=0.01, momentum=0.9),
        lambda w: optim.SGD(w, lr=0.01, weight_decay=0.1),
        lambda w: optim.Adam(w),
    ):
        (before, after), gradient = dropped_unit(moving)
        assert gradient.abs().max() == 0
        assert (after != before).all()


@note(
    "6.5",
    says="(3) Then the deleted units come back as they were, and others are deleted for the next "
    "batch.",
    verdict="right",
    truth="Every call in training draws a new mask; the layer has no parameters and keeps nothing.",
)
def every_batch_has_its_own_mask():
    torch.manual_seed(0)
    layer, x = nn.Dropout(0.5), torch.ones(100)
    first, second = layer(x), layer(x)
    assert 30 < (first != second).sum() < 70
    assert list(layer.parameters()) == [] == list(layer.state_dict())


@note(
    "6.5",
    says="(book) Dropout of 0.2 holds overfitting down: 300 images, 6 x 100 units, SGD 0.01, 301 "
    "epochs, .67 on them and .5478 on the test images.",
    verdict="conditional",
    truth="Both are low because learning is not done. On 50 digits: after 100 small updates of a "
    "deep net it is behind on both; where it has time to learn them all, it is no worse on "
    "others.",
)
def early_dropout_is_behind_on_both_and_catches_up():
    early, early_free = learned(100, 0.03, dropout=0.2), learned(100, 0.03)
    assert early_free[0] > early[0] + 0.1
    assert early_free[1] > early[1] + 0.1
    done, done_free = (learned(150, 0.1, dropout=p, depth=3) for p in (0.2, 0.0))
    assert done[0] == done_free[0] == 1
    assert done[1] > done_free[1] - 0.01
