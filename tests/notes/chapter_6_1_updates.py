"""Chapter 6.1: what it means to learn by repeated gradient steps."""

import numpy as np
import torch
from torch.testing import assert_close

from dlbook_torch import optim

from .base import note


def descend(f, start, lr, steps):
    """Where plain gradient steps on ``f`` lead."""
    w = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = optim.SGD([w], lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        f(w).backward()
        optimizer.step()
    return w.detach()


def bowl(w):
    return (w**2).sum()


@note(
    "6.1",
    says="To learn, the parameters are moved along the direction of the gradient.",
    verdict="wrong",
    truth="Against it: a step along the gradient climbs (25 to 36 on x0^2 + x1^2 from (-3, 4) "
    "with a rate of 0.1), a step against it descends (25 to 16). The formula of 6.2.1 has the "
    "minus.",
)
def the_gradient_points_uphill():
    assert_close(bowl(descend(bowl, (-3, 4), lr=0.1, steps=1)).item(), 16.0)
    w = torch.tensor([-3.0, 4.0], dtype=torch.float64, requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1, maximize=True)
    bowl(w).backward()
    optimizer.step()
    assert_close(bowl(w).item(), 36.0)


@note(
    "6.1",
    says="Repeating the step many times approaches the best parameters little by little.",
    verdict="conditional",
    truth="Only with a rate below 2 / curvature: on x0^2 + x1^2, whose curvature is 2, a rate of "
    "0.9 converges, 1.0 jumps to and fro for ever, and 1.1 runs away.",
)
def repeated_steps_converge_only_below_two_over_the_curvature():
    assert bowl(descend(bowl, (-3, 4), lr=0.9, steps=100)) < 1e-15
    assert_close(bowl(descend(bowl, (-3, 4), lr=1.0, steps=100)).item(), 25.0)
    assert bowl(descend(bowl, (-3, 4), lr=1.1, steps=100)) > 1e15


@note(
    "6.1",
    says="(book) x0^2 + x1^2 from (-3, 4), rate 0.1: after 100 steps (-6.11e-10, 8.15e-10).",
    verdict="right",
    truth="Each step multiplies both coordinates by 0.8, and 0.8^100 is 2.037e-10.",
)
def a_hundred_steps_end_six_and_eight_times_ten_to_the_minus_ten_away():
    end = descend(bowl, (-3, 4), lr=0.1, steps=100)
    assert_close(end, torch.tensor([-6.11e-10, 8.15e-10]).double(), rtol=1e-3, atol=0)
    assert_close(end, torch.tensor([-3, 4]).double() * 0.8**100, rtol=1e-12, atol=0)


@note(
    "6.1",
    says="Repeated steps along the gradient of the parameters are called stochastic gradient "
    "descent.",
    verdict="conditional",
    truth="Stochastic only if the gradient is that of a random part of the data. Then a single "
    "one is off, and only their mean is the gradient; with all data there is nothing stochastic "
    "in it.",
)
def the_gradient_of_a_batch_is_off_and_right_on_average():
    generator = torch.Generator().manual_seed(0)
    x, t = (torch.randn(12, n, dtype=torch.float64, generator=generator) for n in (3, 1))
    w = torch.zeros(3, 1, dtype=torch.float64, requires_grad=True)

    def gradient(rows):
        (g,) = torch.autograd.grad(((x[rows] @ w - t[rows]) ** 2).mean(), w)
        return g

    whole = gradient(torch.arange(12))
    assert torch.equal(whole, gradient(torch.arange(12)))
    parts = torch.stack([gradient(rows) for rows in torch.arange(12).split(4)])
    assert ((parts - whole).flatten(1).norm(dim=1) > 0.1 * whole.norm()).all()
    assert_close(parts.mean(0), whole)


@note(
    "6.1",
    says="(book) An epoch of MNIST is 600 draws of a batch of 100 from 60000 images.",
    verdict="conditional",
    truth="600 batches are as many images as there are, but the book draws each with replacement: "
    "one epoch shows 1 - (1 - 1/n)^n = 63.2 % of the images. All of them come only if they are "
    "shuffled.",
)
def drawing_with_replacement_shows_63_percent_of_the_images_per_epoch():
    n = 60000
    random = np.random.default_rng(0)
    drawn = np.unique(np.concatenate([random.choice(n, 100) for _ in range(600)]))
    assert_close(len(drawn) / n, 1 - (1 - 1 / n) ** n, rtol=0, atol=5e-3)
    assert_close(len(drawn) / n, 0.632, rtol=0, atol=5e-3)
    shuffled = random.permutation(n).reshape(600, 100)
    assert len(np.unique(shuffled)) == n


@note(
    "6.1",
    says="(book) An epoch ends where the iteration is a multiple of samples / batch size.",
    verdict="conditional",
    truth="That quotient is a fraction unless the batches fit: 60000 / 100 ends 16 epochs in 16 "
    "epochs, 1000 / 128 = 7.8125 is met by a whole iteration only once in 16.",
)
def a_fractional_epoch_is_hardly_ever_noticed():
    def noticed(samples, batch, epochs):
        length = samples / batch
        return sum(i % length == 0 for i in range(int(epochs * length)))

    assert noticed(60000, 100, epochs=16) == 16
    assert noticed(1000, 128, epochs=16) == 1
