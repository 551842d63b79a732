"""Small tasks for seeded runs: pictures, tables, and what was drawn by a rule."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..data.splits import stratified_order

VAL, TEST = 400, 800  # the test set is for judging the outcome: no diagnosis sees it


class Split(NamedTuple):
    """Inputs and targets."""

    x: Tensor
    t: Tensor


class Sets(NamedTuple):
    """What a run is trained on, watched on, and judged on."""

    train: Split
    val: Split
    test: Split


@dataclass(frozen=True)
class Task:
    """A data set.

    Args:
        name: as in a run's ``config["data"]``.
        shape: of one input.
        classes: number of classes, None for numbers as targets.
        samples: how many training samples there are.
        bar: accuracy on the test set (share of its variance explained, for numbers) that a
            healthy network of any kind reaches.
        pool: gives all samples; those that are not for training are shared out.
    """

    name: str
    shape: tuple[int, ...]
    classes: int | None
    samples: int
    bar: float
    pool: Callable[[], Split]

    @property
    def outputs(self) -> int:
        return self.classes or 1

    def sets(self, n: int, seed: int) -> Sets:
        """Draw n training samples, ``VAL`` and ``TEST`` others (fewer where the pool is small)."""
        x, t = self.pool()
        if self.classes:
            order = stratified_order(t, seed)
        else:
            order = torch.randperm(len(t), generator=torch.Generator().manual_seed(seed))
        rest = len(t) - self.samples
        test, val = min(TEST, rest // 2), min(VAL, rest // 2)
        parts = order.split([val, test, len(t) - val - test])
        return Sets(*(Split(x[i], t[i]) for i in (parts[2][:n], parts[0], parts[1])))


@cache
def _digits() -> Split:
    from sklearn.datasets import load_digits  # takes a second

    images, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(images).float().unflatten(1, (1, 8, 8)) / 16
    return Split((x - x.mean()) / x.std(), torch.from_numpy(labels).long())


@cache
def _fashion() -> Split:
    """The first 2400 pictures of Fashion-MNIST, every 2 x 2 pixels averaged."""
    from ..data import FashionMNIST

    clothes = FashionMNIST(download=False)
    x, t = clothes.read(train=True)
    small = x[:2400].float().unflatten(2, (14, 2)).unflatten(4, (14, 2)).mean((3, 5)) / 255
    return Split((small - small.mean()) / small.std(), t[:2400])


@cache
def _numerals() -> Split:
    """The digits, every 2 x 2 pixels averaged."""
    x, t = _digits()
    small = x.unflatten(2, (4, 2)).unflatten(4, (4, 2)).mean((3, 5))
    return Split((small - small.mean()) / small.std(), t)


@cache
def _clothes() -> Split:
    """The first 2400 test pictures of Fashion-MNIST, every 4 x 4 pixels averaged."""
    from ..data import FashionMNIST

    x, t = FashionMNIST(download=False).read(train=False)
    small = x[:2400].float().unflatten(2, (7, 4)).unflatten(4, (7, 4)).mean((3, 5)) / 255
    return Split((small - small.mean()) / small.std(), t[:2400])


def _table(inputs: Any, targets: Any) -> Split:
    """Columns of mean 0 and variance 1; numbers as targets likewise."""
    x, t = (torch.as_tensor(a) for a in (inputs, targets))
    x = (x - x.mean(0)) / x.std(0)
    if t.is_floating_point():
        t = ((t - t.mean()) / t.std())[:, None]
    return Split(x.float(), t.float() if t.is_floating_point() else t.long())


@cache
def _shells() -> Split:
    """Four classes, each further from the centre than the one before."""
    from sklearn.datasets import make_gaussian_quantiles

    return _table(
        *make_gaussian_quantiles(n_samples=4000, n_features=5, n_classes=4, random_state=12)
    )


@cache
def _tumours() -> Split:
    """Measurements of 569 tumours, benign or not."""
    from sklearn.datasets import load_breast_cancer

    return _table(*load_breast_cancer(return_X_y=True))


@cache
def _friedman() -> Split:
    """Friedman's function of five of ten numbers, with noise."""
    from sklearn.datasets import make_friedman1

    return _table(*make_friedman1(4000, noise=1.0, random_state=13))


@cache
def _patients() -> Split:
    """Measurements of 442 patients, and how their diabetes went on."""
    from sklearn.datasets import load_diabetes

    return _table(*load_diabetes(return_X_y=True))


@cache
def _mixture(classes: int = 8, inputs: int = 20, clusters: int = 2, n: int = 4000) -> Split:
    """Every class is a mixture of Gaussians around centres of its own."""
    g = torch.Generator().manual_seed(11)
    centres = 0.85 * torch.randn(classes, clusters, inputs, generator=g)
    t = torch.randint(classes, (n,), generator=g)
    which = torch.randint(clusters, (n,), generator=g)
    x = centres[t, which] + torch.randn(n, inputs, generator=g)
    return Split((x - x.mean(0)) / x.std(0), t)


def _teacher(inputs: int, outputs: int, n: int, seed: int) -> Split:
    """Inputs, and what a random tanh network of 16 units makes of them."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, inputs, generator=g)
    hidden = torch.tanh(x @ torch.randn(inputs, 16, generator=g) * 2 / inputs**0.5)
    y = hidden @ torch.randn(16, outputs, generator=g)
    return Split(x, (y - y.mean(0)) / y.std(0))


@cache
def _classes() -> Split:
    x, y = _teacher(8, 5, 4000, 5)
    return Split(x, y.argmax(1))


@cache
def _regression() -> Split:
    x, y = _teacher(8, 1, 4000, 7)
    noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(8))
    return Split(x, y + 0.15 * noise)


TASKS = {
    task.name: task
    for task in (
        Task("digits", (1, 8, 8), 10, 1100, 0.90, _digits),
        Task("gmm", (20,), 8, 2400, 0.80, _mixture),
        Task("fashion", (1, 14, 14), 10, 1200, 0.74, _fashion),
        Task("teacher", (8,), 5, 2400, 0.76, _classes),
        Task("reg", (8,), None, 2000, 0.80, _regression),
        Task("clothes", (1, 7, 7), 10, 1200, 0.70, _clothes),
        Task("numerals", (1, 4, 4), 10, 1100, 0.80, _numerals),
        Task("shells", (5,), 4, 2400, 0.80, _shells),
        Task("tumours", (30,), 2, 300, 0.94, _tumours),
        Task("friedman", (10,), None, 2000, 0.80, _friedman),
        Task("patients", (10,), None, 240, 0.40, _patients),
    )
}


def missing() -> str:
    """Why the clothes cannot be had, as a sentence; empty if they can."""
    try:
        _fashion(), _clothes()
    except (FileNotFoundError, ValueError, OSError) as error:
        where = os.environ.get("DLBOOK_DATA", "not set")
        return f"Fashion-MNIST is left out (DLBOOK_DATA is {where}): {error}"
    return ""
