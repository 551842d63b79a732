"""Dropout: the same seed, the same mask as torch's, whole channels where channels are meant.

By default float32 and narrower types draw another mask than torch's: it is read off the output, and
its frequency, its independence and everything but itself are checked.
"""

import itertools
import warnings
from math import sqrt

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import nn
from dlbook_torch.nn import functional as ours

ref = torch.nn.functional
NAMES = ["dropout", "dropout1d", "dropout2d", "dropout3d"]


def torchs_mask():
    """Dropout draws as torch does."""
    return nn.algorithms(dropout="bernoulli")


def drawn(f, name, x, **kwargs):
    """What comes out at a fixed seed, the next draw after it, and how often it warned."""
    torch.manual_seed(0)
    with torchs_mask(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            y = getattr(f, name)(x, **kwargs)
        except RuntimeError:
            y = torch.tensor(torch.nan)  # refused
    return y, torch.rand(3), len(caught)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("inplace", [True, False], ids=["inplace", "copy"])
@pytest.mark.parametrize(
    "shape",
    [(), (4,), (3, 4), (2, 3, 4), (2, 3, 4, 2), (2, 3, 4, 2, 2), (2, 1, 3, 2, 1, 2), (0, 3, 4)],
    ids=str,
)
def test_mask_next_draw_and_warnings_are_torchs(name, p, training, inplace, shape):
    x = torch.randn(shape)
    for layout in (x, x.mT if x.dim() > 1 else x):
        a, b = layout.clone(), layout.clone()
        kwargs = dict(p=p, training=training, inplace=inplace)
        results = drawn(ours, name, a, **kwargs), drawn(ref, name, b, **kwargs)
        assert_close(*results, rtol=0, atol=0, equal_nan=True)
        if not results[0][0].isnan().any():  # torch changes the shape of what it refuses
            assert_close(a, b, rtol=0, atol=0)
        assert results[0][0].stride() == results[1][0].stride()


@pytest.mark.parametrize("name", ["Dropout1d", "Dropout2d", "Dropout3d"])
def test_channels_are_dropped_whole(name):
    x = torch.ones(50, 3, *(2,) * int(name[-2]))
    y = getattr(nn, name)(0.5)(x).flatten(2)
    assert torch.equal(y, y[..., :1].expand_as(y))
    assert set(y.unique().tolist()) == {0.0, 2.0}
    per_sample = y[:, :, 0].sum(1)
    assert per_sample.unique().numel() > 1  # every sample draws for itself


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "f16"])
def test_narrow_types_draw_torchs_mask(dtype):
    x = torch.randn(4, 3, 5, dtype=dtype)
    for name in ("dropout", "dropout1d"):
        assert_close(drawn(ours, name, x, p=0.3), drawn(ref, name, x, p=0.3), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["Dropout", "Dropout1d"])
def test_vmap_draws_for_all_or_for_each(name):
    x = torch.ones(4, 2, 50, 3)
    ours_, ref_ = getattr(nn, name)(), getattr(torch.nn, name)()
    with pytest.raises(RuntimeError, match="randomness"):
        torch.vmap(ours_)(x)
    for randomness in ("same", "different"):
        for layer in (ours_, ref_):
            y = torch.vmap(layer, randomness=randomness)(x)
            assert torch.equal(y[0], y[1]) is (randomness == "same"), layer


P = [1 / 128, 0.1, 0.3, 0.5, 0.75, 127 / 128]
NARROW = [torch.float32, torch.bfloat16, torch.float16]


def kept(x, p, **kwargs):
    """Where dropout leaves something of x, which is nowhere 0."""
    return ours.dropout(x, p, **kwargs) != 0


def within(share, p, n):
    """Whether a share of n independent draws is five standard deviations from p at most."""
    return abs(share - p) <= 5 * sqrt(p * (1 - p) / n)


@pytest.mark.parametrize("dtype", [torch.float64, *NARROW], ids=str)
@pytest.mark.parametrize("p", [1e-9, 1e-5, 0.007, 0.993, 1 - 1e-5])
def test_default_draws_torchs_mask_in_double_precision_and_where_16_bits_are_coarse(dtype, p):
    x = torch.ones(1000, dtype=dtype)
    torch.manual_seed(0)
    y = ours.dropout(x, p)
    torch.manual_seed(0)
    assert torch.equal(y, ref.dropout(x, p))


def test_tiny_probability_silences_as_often_as_it_says():
    n, p = 4_000_000, 1e-5  # a sixth of a grid of 1/65536 away from its nearest point, 2/3 of it
    assert within((~kept(torch.ones(n), p)).double().mean().item(), p, n)


@pytest.mark.parametrize("dtype", NARROW, ids=str)
@pytest.mark.parametrize("p", P)
def test_default_is_torchs_formula_with_another_mask_of_the_right_frequency(p, dtype):
    n = 400_000
    torch.manual_seed(0)
    x = torch.rand(n).add(0.5).to(dtype).requires_grad_()
    y = nn.Dropout(p)(x)
    mask = y.detach() != 0
    assert within(mask.double().mean().item(), 1 - p, n)
    assert_close(y, mask.to(dtype) * (x / (1 - p)))
    (dx,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(dx != 0, mask)
    assert_close(dx, mask.to(dtype) * torch.full((n,), 1 / (1 - p), dtype=dtype))
    torch.manual_seed(0)
    assert not torch.equal(mask, ref.dropout(torch.rand(n).add(0.5).to(dtype), p) != 0)


@pytest.mark.parametrize("p", [0.1, 1 / 3, 0.7])
def test_default_keeps_the_expectation_although_p_is_rounded(p):
    # the scale is that of 1 - k / 65536, of which exactly 65536 - k of the 65536 numbers remain
    k = round(p * 65536)
    y = ours.dropout(torch.ones(64, dtype=torch.float32), p)
    assert y.max().item() == pytest.approx(65536 / (65536 - k), rel=1e-7)
    assert abs(k / 65536 - p) <= 2**-17


def test_every_one_of_the_65536_numbers_decides_as_its_value_says(monkeypatch):
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.int64)
    monkeypatch.setattr(torch.Tensor, "random_", lambda self, *_: self.copy_(every))
    for p in (1 / 128, 0.3, 0.5):
        assert (~kept(torch.ones(2**16), p)).sum() == round(p * 2**16)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_elements_are_silenced_independently_of_their_neighbours(p):
    n = 400_000
    mask = kept(torch.ones(n), p).double()
    spread = (mask - (1 - p)) / sqrt(p * (1 - p))
    for gap in (1, 2, 3, 4, 8, 624, 1248):  # inside a 64-bit number, beyond it, the generator's
        assert abs((spread[gap:] * spread[:-gap]).mean().item()) <= 5 / sqrt(n - gap), gap
    quarters = mask.view(-1, 4)  # of one 64-bit number each
    for pattern in itertools.product((0, 1), repeat=4):
        expected = p ** (4 - sum(pattern)) * (1 - p) ** sum(pattern)
        share = (quarters == torch.tensor(pattern)).all(1).double().mean().item()
        assert within(share, expected, n // 4), pattern


def test_default_mask_is_the_seeds_and_goes_on_from_a_saved_state():
    x = torch.ones(3, 5)
    torch.manual_seed(1)
    first, state = kept(x, 0.5), torch.get_rng_state()
    second = kept(x, 0.5)
    torch.set_rng_state(state)
    assert torch.equal(kept(x, 0.5), second)
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(kept(x, 0.5), first)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (4, 5), (2, 3, 5, 7)], ids=str)
def test_default_keeps_the_layout_and_writes_in_place_where_it_is_told_to(shape):
    x = torch.ones(shape)
    for layout in (x, x.mT if x.dim() > 1 else x, x.expand(2, *shape)):
        assert ours.dropout(layout, 0.5).stride() == torch.empty_like(layout).stride()
    torch.manual_seed(0)
    y = ours.dropout(x, 0.5)
    torch.manual_seed(0)
    assert ours.dropout(x, 0.5, inplace=True) is x
    assert torch.equal(x, y)


@pytest.mark.parametrize("name", ["Dropout1d", "Dropout2d", "Dropout3d"])
def test_channel_dropout_always_draws_torchs_mask(name):
    x = torch.ones(4, 3, *(2,) * int(name[-2]))
    torch.manual_seed(0)
    y = getattr(nn, name)(0.3)(x)
    torch.manual_seed(0)
    assert torch.equal(y, getattr(torch.nn, name)(0.3)(x))


@pytest.mark.filterwarnings(  # torch 2.11's own tracer instantiates the Function it traces
    "ignore:.*should not be instantiated:DeprecationWarning"
)
def test_compiled_dropout_is_one_graph_and_silences_as_many():
    layer = torch.compile(nn.Dropout(0.3), fullgraph=True, backend="aot_eager")
    x = torch.ones(500, 301, requires_grad=True)
    y = layer(x)
    silent, n = (y == 0).sum().item(), x.numel()
    assert abs(silent - 0.3 * n) < 5 * (0.3 * 0.7 * n) ** 0.5
    survivors = y[y != 0].unique()
    assert_close(survivors, torch.tensor([1 / 0.7]), rtol=1e-4, atol=0)
    assert not torch.equal(layer(x), y)
    (dx,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(dx, y)


def test_exported_dropout_draws_as_torch_does():
    x = torch.ones(50, 3)
    program = torch.export.export(nn.Dropout(0.3), (x,)).module()
    torch.manual_seed(0)
    y = program(x)
    torch.manual_seed(0)
    assert torch.equal(y, ref.dropout(x, 0.3))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # as above
@pytest.mark.parametrize("how", ["float64", "bernoulli"])
def test_compiled_dropout_draws_as_torch_does_where_it_does_uncompiled(how):
    layer = torch.compile(nn.Dropout(0.3), fullgraph=True, backend="aot_eager")
    x = torch.ones(50, 3, dtype=torch.float64 if how == "float64" else torch.float32)
    with nn.algorithms(**{"dropout": how} if how in nn.algorithm.WAYS["dropout"] else {}):
        torch.manual_seed(0)
        y = layer(x)
    torch.manual_seed(0)
    assert torch.equal(y, ref.dropout(x, 0.3))
