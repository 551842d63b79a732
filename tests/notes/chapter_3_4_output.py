"""Chapter 3.4 of the notes: the activation of the output."""

import math
from decimal import Decimal, getcontext

import pytest
import torch
from scipy import special
from torch.testing import assert_close

from dlbook_torch import nn

from .base import note
from .tools import (
    draw,
    f64,
)


def residual(output, loss, t):
    """Gradient of the summed loss on the scores, minus what the output is short of: y - t."""
    a = draw(6, 3).requires_grad_()
    return torch.autograd.grad(loss(output(a), t), a)[0] - (output(a) - t)


@note(
    "3.4",
    says="Regression: the identity as output.",
    verdict="right",
    truth="It reaches every number, and half the squared error has the gradient y - t.",
)
def regression_has_the_identity():
    t = 5 * draw(6, 3, seed=1)
    half = lambda y, t: nn.MSELoss(reduction="sum")(y, t) / 2  # noqa: E731
    assert_close(residual(nn.Identity(), half, t), torch.zeros(6, 3).double())
    assert torch.equal(nn.Identity()(t), t)
    assert nn.Sigmoid()(1e9 * t).max() == 1  # a sigmoid would not reach 5


@note(
    "3.4",
    says="Two classes: the sigmoid as output.",
    verdict="right",
    truth="With binary cross-entropy its gradient is y - t.",
)
def two_classes_have_the_sigmoid():
    t = (draw(6, 3, seed=1) > 0).double()
    zero = torch.zeros(6, 3).double()
    assert_close(residual(nn.Sigmoid(), nn.BCELoss(reduction="sum"), t), zero)


@note(
    "3.4",
    says="Many classes: softmax as output.",
    verdict="right",
    truth="With cross-entropy its gradient is y - t.",
)
def many_classes_have_the_softmax():
    t = f64(torch.eye(3)[[0, 2, 1, 1, 0, 2]].tolist())
    cross_entropy = lambda y, t: -(t * y.log()).sum()  # noqa: E731
    assert_close(residual(nn.Softmax(-1), cross_entropy, t), torch.zeros(6, 3).double())


@note(
    "3.4",
    says="y_k = exp(a_k) / sum_i exp(a_i).",
    verdict="right",
    truth="torch.softmax.",
)
def formula_of_softmax():
    a = draw(5, 4)
    e = a.exp()
    assert_close(nn.Softmax(-1)(a), e / e.sum(-1, keepdim=True))
    assert_close(nn.Softmax(-1)(a), torch.softmax(a, -1))


@note(
    "3.4",
    says="Computed by its formula, softmax overflows.",
    verdict="right",
    truth="Scores of 1010, 1000 and 990 give nan, nan, nan, in float64 too.",
)
def softmax_typed_in_overflows():
    e = f64([1010.0, 1000.0, 990.0]).exp()
    assert (e / e.sum()).isnan().all()
    assert nn.Softmax(-1)(f64([1010.0, 1000.0, 990.0])).isfinite().all()


@note(
    "3.4",
    says="e^100 is above 20000.",
    verdict="wrong",
    truth="Meant is e^10 = 22026.47; e^100 is 2.69e43.",
)
def e_to_the_10_is_above_20000():
    assert math.exp(10) == pytest.approx(22026.4658, abs=1e-4)
    assert math.exp(100) == pytest.approx(2.69e43, rel=1e-3)
    assert math.log(20000) == pytest.approx(9.9035, abs=1e-4)


@note(
    "3.4",
    says="e^100 is a number with more than 40 zeros.",
    verdict="conditional",
    truth="44 digits in float64. In float32, torch's default, all above e^88.7 is inf.",
)
def e_to_the_100_has_44_digits():
    getcontext().prec = 60
    assert len(str(int(Decimal(100).exp()))) == 44
    assert f64(100.0).exp().item() == pytest.approx(2.688117e43, rel=1e-6)
    assert torch.tensor(100.0).exp() == math.inf
    x = torch.arange(88.0, 90.0, 0.0625)
    assert x[x.exp().isinf()][0] == 88.75
    assert math.log(torch.finfo(torch.float32).max) == pytest.approx(88.72, abs=0.01)


@note(
    "3.4",
    says="e^1000 comes back as inf.",
    verdict="right",
    truth="It is 1.97e434; float64 ends at 1.8e308, that is e^709.78.",
)
def e_to_the_1000_is_inf():
    getcontext().prec = 30
    assert f64(1000.0).exp() == math.inf
    assert f"{Decimal(1000).exp():.2e}" == "1.97e+434"
    assert math.log(torch.finfo(torch.float64).max) == pytest.approx(709.78, abs=0.01)


@note(
    "3.4",
    says="Dividing values like e^1000 gives something undefined.",
    verdict="right",
    truth="inf / inf is nan.",
)
def inf_by_inf_is_nan():
    assert (f64(1000.0).exp() / f64(2000.0).exp()).isnan()
    assert (f64(100.0).exp() / f64(100.0).exp()) == 1  # huge alone is no harm


@note(
    "3.4",
    says="A constant added to all scores, or subtracted, does not change the softmax.",
    verdict="right",
    truth="e^C cancels.",
)
def softmax_does_not_see_a_constant():
    a = draw(5, 4)
    for c in (-50.0, 0.3, 700.0, 1e4):
        assert_close(nn.Softmax(-1)(a + c), torch.softmax(a, -1), atol=1e-11, rtol=0)
    e, c = a.exp(), 3.0
    assert_close((math.exp(c) * e) / (math.exp(c) * e).sum(-1, keepdim=True), torch.softmax(a, -1))


@note(
    "3.4",
    says="The constant added to the scores may be anything.",
    verdict="conditional",
    truth="On paper. Beside 1e17 the differences between the scores are rounded away.",
)
def a_constant_can_be_too_large():
    a = f64([1.0, 2.0, 3.0])
    assert_close(nn.Softmax(-1)(a + 1e3 - 1e3), torch.softmax(a, -1))
    assert nn.Softmax(-1)(a + 1e17 - 1e17).tolist() == pytest.approx([1 / 3] * 3)


@note(
    "3.4",
    says="Against overflow one takes the largest score as the constant.",
    verdict="conditional",
    truth="Subtracted: then the largest exponent is 0. Added, it makes the overflow worse.",
)
def the_maximum_is_subtracted():
    a = f64([600.0, 590.0])

    def typed(a):
        return a.exp() / a.exp().sum()

    assert typed(a - a.max()).tolist() == pytest.approx(special.softmax([600.0, 590.0]))
    assert typed(a).isfinite().all()
    assert typed(a + a.max()).isnan().all()


@note(
    "3.4",
    says="The outputs of softmax lie between 0 and 1.",
    verdict="right",
    truth="The ends by rounding only.",
)
def softmax_lies_between_0_and_1():
    y = nn.Softmax(-1)(3 * draw(200, 5))
    assert 0 < y.min() < y.max() < 1
    assert nn.Softmax(-1)(f64([0.0, 1000.0])).tolist() == [0, 1]


@note(
    "3.4",
    says="The outputs of softmax sum up to 1.",
    verdict="right",
    truth="So they can be read as probabilities.",
)
def softmax_sums_to_1():
    y = nn.Softmax(-1)(torch.cat([3 * draw(200, 5), 1000 * draw(200, 5)]))
    assert_close(y.sum(-1), torch.ones(400).double())


@note(
    "3.4",
    says="The answer of the network is the class of the largest output only.",
    verdict="right",
    truth="Which throws away how sure it was: 0.4 and 0.99 give one answer.",
)
def the_answer_is_the_largest_output():
    y = f64([[0.3, 0.4, 0.3], [0.005, 0.99, 0.005]])
    assert y.argmax(1).tolist() == [1, 1]
    a = draw(300, 4)
    assert torch.equal(nn.Softmax(-1)(a).sort(1).indices[:, -1], a.argmax(1))


@note(
    "3.4",
    says="Softmax leaves the largest output where it is.",
    verdict="right",
    truth="The exponential rises: the order of all outputs stays.",
)
def softmax_keeps_the_order():
    a = 3 * draw(500, 6)
    assert torch.equal(nn.Softmax(-1)(a).argsort(-1), a.argsort(-1))


@note(
    "3.4",
    says="At inference softmax may be, and usually is, left out, to save exponentials.",
    verdict="conditional",
    truth="For the class alone. The mean over three networks is another class by probabilities.",
)
def softmax_may_be_left_out_for_the_class():
    a = draw(100, 4)
    assert torch.equal(a.argmax(1), torch.softmax(a, 1).argmax(1))
    three = f64([[9.0, 0.0], [-3.0, 0.0], [-3.0, 0.0]])
    assert three.mean(0).argmax() == 0
    assert nn.Softmax(-1)(three).mean(0).argmax() == 1


@note(
    "book ch03",
    says="softmax(1010, 1000, 990) = 0.99995460, 4.5397869e-5, 2.0610600e-9.",
    verdict="rounded",
    truth="0.999954600070, 4.539786861e-5, 2.061060046e-9.",
)
def softmax_of_large_scores():
    y = nn.Softmax(-1)(f64([1010.0, 1000.0, 990.0])).tolist()
    assert y == pytest.approx(special.softmax([1010, 1000, 990]), rel=1e-12)
    assert y == pytest.approx([0.99995460, 4.5397869e-5, 2.0610600e-9], rel=5e-8)
    assert [f"{v:.9e}" for v in y[1:]] == ["4.539786861e-05", "2.061060046e-09"]


@note(
    "book ch03",
    says="softmax(0.3, 2.9, 4.0) = 0.01821127, 0.24519181, 0.73659691.",
    verdict="rounded",
    truth="To eight digits; they sum up to 0.99999999.",
)
def softmax_of_small_scores():
    y = nn.Softmax(-1)(f64([0.3, 2.9, 4.0]))
    printed = [0.01821127, 0.24519181, 0.73659691]
    assert [round(v, 8) for v in y.tolist()] == printed
    assert sum(printed) == pytest.approx(0.99999999, abs=1e-12)
