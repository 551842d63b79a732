"""Overfitting by two plain losses, on curves of the shapes that training logs have.

Each shape is drawn at lengths from 10 to 500 epochs with other levels, speeds, and noise, and
whether it overfits is known by how it was drawn: nothing is told besides the two losses.
"""

from functools import cache

import numpy as np
import pytest

from dlbook_torch.bench.scoring import binary
from dlbook_torch.diagnostics import Curves, diagnose

LENGTHS = (10, 15, 30, 60, 120, 300, 500)
SEEDS = 3


def falls(n, first, last, speed):
    return last + (first - last) * np.exp(-speed * np.linspace(0, 1, n))


def train_of(draw, n):
    """A training loss, exponential or by a power, and its first value."""
    first = draw.uniform(0.7, 5)
    last = first * draw.uniform(0.02, 0.4)
    if draw.random() < 0.6:
        return falls(n, first, last, draw.uniform(3, 12)), first
    return last + (first - last) * (1.0 + np.arange(n)) ** -draw.uniform(0.5, 1.5), first


def noise(draw, n, share, lasts=0.0):
    """A factor around 1; ``lasts`` is the correlation of neighbours."""
    x = draw.standard_normal(n)
    for i in range(1, n):
        x[i] = lasts * x[i - 1] + (1 - lasts**2) ** 0.5 * x[i]
    return 1 + share * x


def rough(draw, n, most=0.03):
    return noise(draw, n, draw.uniform(0, most), draw.choice([0, 0, 0.5]))


# --- not overfitted


def falls_together(draw, n):
    t, first = train_of(draw, n)
    return t, (t * draw.uniform(0.95, 1.3) + 0.02 * first) * rough(draw, n)


def settles_above(draw, n):
    t, first = train_of(draw, n)
    end = max(t[-1], 0.1 * first) * draw.uniform(1.1, 1.8)
    return t, falls(n, first, end, draw.uniform(6, 20)) * rough(draw, n)


def begins_late(draw, n):
    wait = int(n * draw.uniform(0.1, 0.4))
    t, first = train_of(draw, n - wait)
    t = np.r_[np.full(wait, t[0]), t]
    return t, (t * 1.1 + 0.02 * first) * rough(draw, n)


def is_held_back_in_training(draw, n):
    t, first = train_of(draw, n)  # by dropout or a penalty
    return t + 0.1 * first, t * draw.uniform(0.6, 0.9) * rough(draw, n)


def stays_high(draw, n):
    first = draw.uniform(0.7, 5)
    t = falls(n, first, first * draw.uniform(0.6, 0.95), 15)
    return t, 1.05 * t * rough(draw, n)


def falls_with_the_rate(draw, n):
    t, first = train_of(draw, n)
    v = 1.2 * t + 0.03 * first
    for past in (0.4, 0.75):
        at, factor = int(n * past), draw.uniform(0.5, 0.8)
        t[at:] *= factor
        v[at:] *= 0.5 + 0.5 * factor
    return t, v * rough(draw, n)


def has_spikes(draw, n):
    t, v = settles_above(draw, n)
    return t, v * (1 + (draw.random(n) < 0.08) * draw.uniform(0.1, 1, n))


def ends_with_a_spike(draw, n):
    t, v = settles_above(draw, n)
    v[-1] *= 1 + draw.uniform(0.1, 0.5)
    return t, v


def descends_twice(draw, n):
    t, first = train_of(draw, n)
    s = np.linspace(0, 1, n)
    hill = 0.15 * np.exp(-(((s - 0.4) / 0.12) ** 2)) - 0.08 * np.clip(s - 0.5, 0, 1)
    return t, (falls(n, first, 0.25 * first, 8) + first * hill) * rough(draw, n)


def restarts(draw, n):
    t, first = train_of(draw, n)
    cycle = np.linspace(0, draw.integers(2, 5), n, endpoint=False) % 1
    wave = 0.25 * (1 + np.cos(np.pi * cycle)) / 2
    return t * (1 + wave), (1.2 * t + 0.03 * first) * (1 + 0.6 * wave) * rough(draw, n)


def wanders(draw, n):
    t, first = train_of(draw, n)
    return t, falls(n, first, 0.3 * first, 10) * noise(draw, n, 0.04, 0.7)


def learns_nothing(draw, n):
    first = draw.uniform(0.7, 5)
    return first * noise(draw, n, 0.003), 1.01 * first * noise(draw, n, 0.01, draw.choice([0, 0.5]))


# --- overfitted


def turns(draw, n, turn=None, size=None, shape=None):
    """The validation loss falls until ``turn`` and rises by ``size`` of its lowest."""
    t, first = train_of(draw, n)
    turn = draw.uniform(0.15, 0.6) if turn is None else turn
    size = draw.uniform(0.12, 1.5) if size is None else size
    shape = draw.choice([0.5, 1, 2]) if shape is None else shape
    low, s = first * draw.uniform(0.3, 0.6), np.linspace(0, 1, n)
    v = falls(n, first, low, 4 / turn)
    v += low * size * np.clip((s - turn) / (1 - turn), 0, 1) ** shape
    t = np.minimum(t, first * np.exp(-draw.uniform(2, 5) * s))
    return t, v * rough(draw, n, 0.02)


def rises_slowly(draw, n):
    return turns(draw, n, 0.15, draw.uniform(0.12, 0.3), 1)


def rises_and_rests(draw, n):
    return turns(draw, n, 0.1, draw.uniform(0.2, 0.8), 0.3)


def rises_at_once(draw, n):
    return turns(draw, n, 0.1 if n >= 20 else 0.2, draw.uniform(0.3, 2))


def rises_under_a_penalty(draw, n):
    t, v = turns(draw, n)  # so that the training loss is above the other at first
    return t + t[0] * draw.uniform(0.1, 0.5), v


def rises_after_the_rate_fell(draw, n):
    t, first = train_of(draw, n)
    at = int(0.4 * n)
    v = falls(n, first, 0.5 * first, 10)
    v[at:] *= 0.7 * (1 + np.linspace(0, draw.uniform(0.15, 0.6), n - at))
    t[at:] *= 0.4
    return t, v * rough(draw, n)


def rises_in_noise(draw, n):
    t, v = turns(draw, n, size=draw.uniform(0.4, 1.5))
    return t, v * noise(draw, n, 0.06)


def comes_back_in_part(draw, n):
    t, v = turns(draw, n, 0.25, draw.uniform(0.4, 1), 0.7)
    at = int(0.8 * n)
    back = np.minimum(1, np.arange(n - at) / max(1, (n - at) / 3))
    v[at:] -= 0.35 * (v[at] - v.min()) * back
    return t, v


def knows_all_by_heart(draw, n):
    t, v = turns(draw, n, 0.2, draw.uniform(0.3, 2))
    return falls(n, t[0], 1e-6, 14), v


FINE = (
    falls_together,
    settles_above,
    begins_late,
    is_held_back_in_training,
    stays_high,
    falls_with_the_rate,
    has_spikes,
    ends_with_a_spike,
    descends_twice,
    restarts,
    wanders,
    learns_nothing,
)
OVERFITTED = (
    turns,
    rises_slowly,
    rises_and_rests,
    rises_at_once,
    rises_under_a_penalty,
    rises_after_the_rate_fell,
    rises_in_noise,
    comes_back_in_part,
    knows_all_by_heart,
)


@cache
def found(shape):
    """Whether it is found, and whether Prechelt's bare rule finds it, for all lengths and seeds."""
    number = [*FINE, *OVERFITTED].index(shape)
    said, plain = [], []
    for n in LENGTHS:
        for seed in range(SEEDS):
            draw = np.random.default_rng([seed, n, number])
            t, v = shape(draw, n)
            report = diagnose(Curves(t * noise(draw, n, 0.01), v, measured=False))
            said.append(any(x.id == "overfitting" for x in report.findings))
            plain.append(bool(v[-1] > 1.05 * v.min()))
    return said, plain


@pytest.mark.parametrize("shape", FINE, ids=lambda f: f.__name__)
def test_a_loss_that_does_not_rise_for_good_is_no_overfitting(shape):
    assert sum(found(shape)[0]) <= 1


@pytest.mark.parametrize("shape", OVERFITTED, ids=lambda f: f.__name__)
def test_a_loss_that_rises_for_good_is_overfitting(shape):
    said, _ = found(shape)
    assert sum(said) >= 0.8 * len(said)
    assert all(said[LENGTHS.index(60) * SEEDS :])  # long curves leave no doubt


def test_macro_f1_of_all_shapes_is_far_above_that_of_a_bare_threshold():
    ours, plain = (
        binary((f in OVERFITTED, x) for f in FINE + OVERFITTED for x in found(f)[which]).macro_f1
        for which in (0, 1)
    )
    assert ours >= 0.97
    assert ours > plain + 0.05
