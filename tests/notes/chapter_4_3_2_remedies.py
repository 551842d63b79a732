"""Chapter 4.3 of the notes: remedies against overfitting."""

import pytest
import torch
from scipy import stats
from torch.nn import functional as F
from torch.testing import assert_close

from dlbook_torch import nn

from .base import note
from .tools import (
    draw,
    f64,
    fit,
    linear_data,
    network,
    solve,
)


@note(
    "4.3",
    says="BatchNorm makes the function oscillate and overfit; without it things improve.",
    verdict="wrong",
    truth="Trained, it is affine and folds into the layer before: it adds no function. 3.5 and 6.4 "
    "of the notes themselves recommend it against overfitting.",
)
def batch_norm_adds_no_function():
    affine, norm, x = nn.Linear(3, 4).double(), nn.BatchNorm1d(4).double(), draw(50, 3)
    for p in norm.parameters():
        nn.init.normal_(p)
    for _ in range(20):
        norm(affine(x))
    norm.eval()
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    w, b = scale[:, None] * affine.weight, scale * (affine.bias - norm.running_mean) + norm.bias
    assert_close(norm(affine(x)), x @ w.T + b)
    assert not torch.allclose(norm(affine(x)), affine(x))


@note(
    "4.3",
    says="Self-attention makes the function oscillate and overfit, too.",
    verdict="conditional",
    truth="Its mean over values cannot overshoot them. But it has 4 d^2 + 4 d weights to overfit "
    "with.",
)
def attention_cannot_overshoot_its_values():
    layer, x = nn.MultiheadAttention(1, 1, bias=False).double(), 3 * draw(7, 5, 1)
    with torch.no_grad():
        layer.in_proj_weight.copy_(f64([[5.0], [-7.0], [1.0]]))  # the values are the inputs
        layer.out_proj.weight.fill_(1)
    y, weights = layer(x, x, x)
    assert_close(weights.sum(-1), torch.ones(5, 7).double())
    assert (y <= x.amax(0)).all()
    assert (y >= x.amin(0)).all()
    d = 6
    assert sum(p.numel() for p in nn.MultiheadAttention(d, 2).parameters()) == 4 * d**2 + 4 * d


@note(
    "4.3",
    says="Dropout shrinks the space of solutions.",
    verdict="conditional",
    truth="It rules out none: in eval mode every function is still there. It makes long weights "
    "costly in training.",
)
def dropout_rules_out_no_function():
    x, affine = draw(500, 6), nn.Linear(6, 1, bias=False).double()
    model = nn.Sequential(nn.Dropout(0.5), affine)
    for scale in (1.0, 10.0):
        with torch.no_grad():
            affine.weight.copy_(scale * f64([[1.0, -1.0] * 3]))
        noise = (model.train()(x) - affine(x)).square().mean().item()
        expected = scale**2 * x.square().sum(1).mean().item()  # p / (1 - p) w^2 x^2
        assert noise == pytest.approx(expected, rel=0.2)
        assert torch.equal(model.eval()(x), affine(x))


@note(
    "4.3",
    says="Fewer layers shrink the space of solutions.",
    verdict="conditional",
    truth="With ReLUs: each layer less halves the folds. Of affine layers one is as rich as five.",
)
def fewer_relu_layers_fold_less():
    x = torch.linspace(0, 1, 257).double()
    pieces = []
    for depth in (4, 3, 2):
        y = x
        for _ in range(depth):
            y = 2 * nn.ReLU()(y) - 4 * nn.ReLU()(y - 0.5)
        pieces.append(int((y.diff().diff().abs() > 1e-9).sum()) + 1)
    assert pieces == [16, 8, 4]
    deep = nn.Sequential(*(nn.Linear(3, 3) for _ in range(5))).double()
    zero, one = torch.zeros(1, 3).double(), torch.eye(3).double()
    w, b = deep(one) - deep(zero), deep(zero)
    assert_close(deep(draw(20, 3)), draw(20, 3) @ w + b)


@note(
    "4.3",
    says="In a larger batch the mean error of many samples counts.",
    verdict="right",
    truth="The variance of its gradient falls as 1 / batch size.",
)
def the_gradient_of_a_batch_is_a_mean():
    x, t, *_ = linear_data(2000, 3, 1.0)
    grads = 2 * x * (x @ f64([0.5, 0.5, 0.5]) - t)[:, None]
    spread = {}
    for size in (1, 4, 16, 64):
        drawn = torch.randint(2000, (3000, size), generator=torch.Generator().manual_seed(size))
        spread[size] = grads[drawn].mean(1).var(0).sum().item()
    for size in (4, 16, 64):
        assert spread[1] / spread[size] == pytest.approx(size, rel=0.1)


@note(
    "4.3",
    says="A larger batch is a cure for overfitting.",
    verdict="wrong",
    truth="With more weights than samples, batches of 1 and of all end in one solution, noise "
    "learned by heart. The same paragraph of the notes warns of large batches.",
)
def a_larger_batch_is_no_cure():
    x, new, w = draw(20, 50), draw(500, 50, seed=1), draw(50, seed=2)
    t = x @ w + 2 * draw(20, seed=3)
    ends = []
    for size in (1, 20):
        v = torch.zeros(50).double()
        generator = torch.Generator().manual_seed(0)
        for _ in range(300):
            for batch in torch.randperm(20, generator=generator).split(size):
                v = v - 0.01 * x[batch].T @ (x[batch] @ v - t[batch])
        ends.append(v)
        assert F.mse_loss(x @ v, t) < 1e-6
    assert_close(ends[0], ends[1], atol=1e-3, rtol=0)
    assert_close(ends[1], solve(x, t), atol=1e-3, rtol=0)
    assert F.mse_loss(new @ ends[1], new @ w) > 20


@note(
    "4.3",
    says="With too large a batch SGD is less random and stays in a local minimum.",
    verdict="conditional",
    truth="Where there is one: single samples leave the higher of two wells, all at once do not. "
    "A bowl has none.",
)
def single_samples_leave_a_local_minimum():
    tilt = 6 * draw(1000)
    tilt = tilt - tilt.mean() + 0.3  # of each sample; (w^2 - 1)^2 + 0.3 w on average

    def ends(size, slope):
        w, least = 0.9, 0.9
        generator = torch.Generator().manual_seed(0)
        for _ in range(400):
            batch = torch.randint(1000, (size,), generator=generator)
            mean = tilt[batch].mean().item() if size < 1000 else 0.3
            w -= 0.03 * (slope(w) + mean)
            least = min(least, w)
        return least

    def wells(w):
        return 4 * w * (w * w - 1)

    assert ends(1000, wells) > 0.8
    assert ends(1, wells) < -0.8
    assert ends(1000, lambda w: 4 * w) < 0  # down to the bottom, at -0.075


@note(
    "4.3",
    says="Stretch the inputs so that unlike labels lie further apart: the data oscillate less.",
    verdict="conditional",
    truth="k times the scale is a k-th of the slope, which helps where long weights cost. Without "
    "a penalty the weights undo it: the same function.",
)
def stretching_helps_where_weights_cost():
    x, t, new, t_new = linear_data(30, 10, 0.0)

    def error(k, penalty):
        return F.mse_loss(k * new @ solve(k * x, t, penalty), t_new).item()

    assert error(10, 30.0) < error(1, 30.0) / 10
    assert_close(7 * new @ solve(7 * x, t), new @ solve(x, t))
    assert_close(solve(7 * x, t), solve(x, t) / 7)


@note(
    "4.3",
    says="More data make the data more diverse and lower overfitting.",
    verdict="conditional",
    truth="New ones do: the error falls as p / (n - p - 1). Copies of the old ones change nothing.",
)
def more_data_help_if_they_are_new():
    def excess(n):
        found = [
            (solve(x, x.sum(1) + draw(n, seed=s + 500)) - 1).square().sum().item()
            for s in range(100)
            for x in [draw(n, 20, seed=s)]
        ]
        return sum(found) / 100

    for n in (40, 400):
        assert excess(n) == pytest.approx(20 / (n - 21), rel=0.15)
    x, t, *_ = linear_data(40, 20, 1.0)
    assert_close(solve(x.repeat(10, 1), t.repeat(10)), solve(x, t))


@note(
    "4.3",
    says="Draw the classes evenly, so that few samples do not get too much weight.",
    verdict="conditional",
    truth="Of 95 to 5 the rare class is then found in 84 % instead of 32 %; but the accuracy on "
    "data as they are falls from 96 % to 84 %.",
)
def even_classes_find_the_rare_one():
    rare, often = stats.norm(1), stats.norm(-1)  # classes around 1 and -1, as one measures them
    x = f64(
        [
            *often.ppf([(i + 0.5) / 95 for i in range(95)]),
            *rare.ppf([(i + 0.5) / 5 for i in range(5)]),
        ]
    )
    k = torch.cat([torch.zeros(95), torch.ones(5)]).double()[:, None]

    def border(weight):
        model = network([], inputs=1)

        def loss(a, t):
            return F.binary_cross_entropy_with_logits(a, t, pos_weight=f64(weight))

        fit(model, x[:, None], k, 400, 0.1, torch.optim.Adam, loss)
        return -(model.layers[-1].bias / model.layers[-1].weight[0]).item()

    found, accuracy = {}, {}
    for name, cut in {"as they are": border(1.0), "even": border(19.0)}.items():
        found[name] = rare.sf(cut)
        accuracy[name] = 0.95 * often.cdf(cut) + 0.05 * rare.sf(cut)
    assert found == pytest.approx({"as they are": 0.32, "even": 0.84}, abs=0.06)
    assert accuracy == pytest.approx({"as they are": 0.96, "even": 0.84}, abs=0.04)


@note(
    "4.3",
    says="Gibbs sampling makes samples more even.",
    verdict="wrong",
    truth="It draws from a given distribution, variable by variable, and keeps it as it is.",
)
def gibbs_sampling_keeps_the_distribution():
    p = f64([[0.90, 0.04], [0.01, 0.05]])  # of two variables; the first is 1 in 6 % of the cases
    of_first, of_second = p / p.sum(0), p / p.sum(1, keepdim=True)
    step = torch.zeros(2, 2, 2, 2).double()  # from (a, b) to (c, d)
    for a in range(2):
        for b in range(2):
            for c in range(2):
                step[a, b, c] = of_first[c, b] * of_second[c]
    assert_close(torch.einsum("ab,abcd->cd", p, step), p)
    q = torch.full((2, 2), 0.25).double()  # begun evenly, it ends as uneven
    for _ in range(200):
        q = torch.einsum("ab,abcd->cd", q, step)
    assert_close(q, p)
    assert q.sum(1)[1].item() == pytest.approx(0.06)


@note(
    "4.3",
    says="Against uneven classes: learn class by class, with a network for each.",
    verdict="conditional",
    truth="A model of one class does not see the counts. One-against-the-rest does, and more "
    "unevenly: ten even classes are 1 to 9 each.",
)
def one_against_the_rest_is_uneven():
    k = torch.arange(10).repeat(20)
    assert (F.one_hot(k, 10).sum(0) / len(k)).tolist() == pytest.approx([0.1] * 10)
    x, one_hot = draw(200, 3), F.one_hot(k, 10).double()[:, :2]
    loss = nn.BCEWithLogitsLoss(reduction="sum")
    joint, alone = nn.Linear(3, 2).double(), [nn.Linear(3, 1).double() for _ in range(2)]
    for c in range(2):
        alone[c].load_state_dict({name: p[c : c + 1] for name, p in joint.state_dict().items()})
        fit(alone[c], x, one_hot[:, c : c + 1], 50, 0.002, loss=loss)
    fit(joint, x, one_hot, 50, 0.002, loss=loss)
    assert_close(joint.weight, torch.cat([one.weight for one in alone]))  # one layer does the same
    many, few = draw(2000) - 1, draw(2000, seed=1)[:100] + 1
    middle = (many.mean() + few.mean()) / 2  # where the two models of one class are equally good
    assert abs(middle) < 0.15


def end_of(rule, lr, x, t, steps):
    """Weights of a linear model after many steps from 0."""
    model = nn.Linear(x.shape[1], 1, bias=False).double()
    nn.init.zeros_(model.weight)
    loss = fit(model, x, t[:, None], steps, lr, rule)[-1]
    return model.weight[0].detach(), loss


SGD, ADAM = torch.optim.SGD, torch.optim.Adam


@note(
    "4.3",
    says="Adam overfits more; SGD generalises better.",
    verdict="conditional",
    truth="With more weights than samples: SGD ends at the shortest fit, Adam further off. With "
    "more samples than weights both end at one.",
)
def adam_ends_further_off_if_weights_abound():
    for seed in (0, 1):
        x, w = draw(40, 100, seed=seed), 10 * torch.eye(100).double()[0]
        (sgd, a), (adam, b) = end_of(SGD, 0.1, x, x @ w, 300), end_of(ADAM, 0.01, x, x @ w, 1200)
        assert max(a, b) < 1e-8
        assert_close(sgd, solve(x, x @ w), atol=1e-3, rtol=0)
        assert (adam - w).norm() > 1.2 * (sgd - w).norm()
    x, t, *_ = linear_data(100, 5, 1.0)
    (sgd, _), (adam, _) = end_of(SGD, 0.1, x, t, 300), end_of(ADAM, 0.05, x, t, 800)
    assert_close(sgd, adam, atol=1e-3, rtol=0)


@note(
    "4.3",
    says="SGD takes longer than Adam.",
    verdict="conditional",
    truth="On a bowl 1000 times steeper one way. On a round one it is there in one step.",
)
def sgd_takes_longer_on_a_long_bowl():
    def steps(rule, lr, curvature):
        p = torch.nn.Parameter(f64([1.0, 1.0]))
        optimizer = rule([p], lr=lr)
        for n in range(1, 2001):
            optimizer.zero_grad()
            (p**2 @ f64(curvature) / 2).backward()
            optimizer.step()
            if p.abs().max() < 0.05:
                return n
        return 2001

    assert steps(SGD, 1 / 1000, [1000.0, 1.0]) > 2000 > 10 * steps(ADAM, 0.1, [1000.0, 1.0])
    assert steps(SGD, 1.0, [1.0, 1.0]) == 1 < steps(ADAM, 0.1, [1.0, 1.0])


def wave(k, noise, rule, seed):
    """Error of a small network on sin(k pi x) after 400 steps."""
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(40, 1, generator=generator).double() - 1
    grid = torch.linspace(-1, 1, 200).double()[:, None]
    model = network([50], "tanh", inputs=1, seed=seed)
    t = (k * torch.pi * x).sin() + noise * draw(40, 1, seed=seed + 9)
    fit(model, x, t, 400, {SGD: 0.1, ADAM: 0.02}[rule], rule)
    return F.mse_loss(model(grid), (k * torch.pi * grid).sin()).item()


@note(
    "4.3",
    says="If the labels vary smoothly with the features, Adam is good and SGD very slow.",
    verdict="right",
    truth="One sine wave, 400 steps: Adam's error is less than a tenth of SGD's.",
)
def adam_is_faster_on_a_smooth_map():
    for seed in (0, 1):
        assert wave(1, 0.0, ADAM, seed) < wave(1, 0.0, SGD, seed) / 10


@note(
    "4.3",
    says="If the labels oscillate, Adam overfits and SGD is better.",
    verdict="conditional",
    truth="If the ups and downs are noise. If they are the law, SGD has not learned it when Adam "
    "has.",
)
def sgd_is_better_if_it_is_noise():
    noise, law = (
        [sum(wave(k, noise, rule, seed) for seed in range(3)) for rule in (SGD, ADAM)]
        for k, noise in ((0, 1.0), (4, 0.0))
    )
    assert noise[0] < noise[1] / 1.5
    assert law[1] < law[0] / 1.5


@note(
    "4.3",
    says="Make the labels vary more smoothly, if you can.",
    verdict="conditional",
    truth="A mean over 9 of 401 lowers the error of noisy labels, one over 121 wipes out the law.",
)
def smoother_labels_help_up_to_a_point():
    x = torch.linspace(-1, 1, 401).double()
    law = (3 * torch.pi * x).sin()
    t = law + 0.5 * draw(401)

    def error(width):
        smooth = nn.AvgPool1d(width, 1)(t[None, None])[0, 0]
        middle = slice(width // 2, 401 - width // 2)
        return F.mse_loss(smooth, law[middle]).item()

    assert error(9) < error(1) / 5
    assert error(121) > 3 * error(9)


@note(
    "4.3",
    says="The frequency principle: networks learn smooth functions first.",
    verdict="conditional",
    truth="Of sin(pi x) + sin(5 pi x) the slow wave comes first, 9/10 of the fast one is missing. "
    "Given sin(5 pi x) as an input, it is the other way round.",
)
def slow_waves_are_learned_first():
    x = torch.linspace(-1, 1, 101).double()[:-1, None]
    slow, fast = (torch.pi * x).sin(), (5 * torch.pi * x).sin()

    def missing(data, steps):
        model = network([50], "tanh", inputs=data.shape[1])
        fit(model, data, slow + fast, steps, 0.01, ADAM)
        rest = slow + fast - model(data)
        return [2 * (rest * wave).mean().item() for wave in (slow, fast)]

    rest = missing(x, 300)
    assert abs(rest[0]) < 0.1 < 0.8 < rest[1]
    rest = missing(torch.cat([fast, x], 1), 60)
    assert abs(rest[1]) < 0.1 < abs(rest[0])
