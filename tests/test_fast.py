"""The fast forms of the layers: in pieces, in place, on bits, and where the plain formula runs."""

from threading import Thread

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import nn
from dlbook_torch.nn import _fast
from dlbook_torch.parity import checks
from dlbook_torch.parity.cases import activation, normalization
from dlbook_torch.parity.cases.base import IMAGE, ROW

CASES = [*activation.CASES, *(c for c in normalization.CASES if c.name != "SyncBatchNorm")]
ELEMENTWISE = [c for c in activation.CASES if c.shape == ROW and "dim" not in c.kwargs]
SMALL = [c for c in CASES if c.shape in (ROW, (4, 3), IMAGE)]


@pytest.fixture
def tiny_pieces(monkeypatch):
    monkeypatch.setattr(_fast, "PIECE", 7)


@pytest.mark.usefixtures("tiny_pieces")
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("way", ["plain", "strided", "summed", "channels_last"])
def test_pieces_make_up_the_whole(case, way):
    if way == "channels_last":
        if checks.rank(case) not in checks.LAST:
            pytest.skip("no image")
        checks.channels_last(case)
        return
    ways = dict(plain=checks.Way(), strided=checks.STRIDED, summed=checks.SUMMED)
    for dtype in (torch.float32, torch.bfloat16):
        checks.compare(case, dtype=dtype, way=ways[way])


def test_pieces_are_cut_alike_and_hold_what_they_may(monkeypatch):
    monkeypatch.setattr(_fast, "PIECE", 10)
    table, column = torch.zeros(7, 4), torch.zeros(7, 1)
    cut = list(_fast.pieces(table, column))
    assert [(len(a), len(b)) for a, b in cut] == [(2, 2)] * 3 + [(1, 1)]
    assert [a.data_ptr() for a, _ in cut] == [table[i].data_ptr() for i in (0, 2, 4, 6)]
    assert len(list(_fast.pieces(table[:2], column[:2]))) == 1
    assert [len(a) for (a,) in _fast.pieces(torch.zeros(3, 99))] == [1, 1, 1]  # a row stays whole


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_gradients_of_many_results_at_once_are_those_of_each(case, tiny_pieces):
    layer, (x,) = case.twins(torch.float32)[0], case.inputs(torch.float32)
    y = layer(x)
    dys = torch.randn(3, *y.shape)
    once = torch.autograd.grad(y, x, dys, is_grads_batched=True, retain_graph=True)[0]
    each = [torch.autograd.grad(y, x, dy, retain_graph=True)[0] for dy in dys]
    assert_close(once, torch.stack(each))


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_gradients_of_gradients_in_float32_are_torchs(case):
    def bend(layer):
        x = torch.linspace(-2.1, 2.2, 1 if not case.shape else torch.Size(case.shape).numel())
        x = x.reshape(case.shape).requires_grad_()
        (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), x)[0]

    ours, ref = case.twins(torch.float32)
    if case.name == "Hardsigmoid":  # torch has none
        ref = lambda x: (x / 6 + 0.5).clamp(0, 1)  # noqa: E731
    assert_close(bend(ours), bend(ref), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("name", ["ReLU", "ReLU6", "Hardtanh", "Hardsigmoid"])
def test_a_silent_unit_stops_even_an_infinite_gradient_and_nan_does_as_in_torch(name, dtype):
    points = [-torch.inf, -9.0, -3.0, -1.0, -0.0, 0.0, 1e-30, 0.5, 1.0, 2.9, 3.0, 6.0, 7.0]
    points = torch.tensor([*points, torch.inf, torch.nan, -torch.nan], dtype=dtype)
    if name in ("ReLU6", "Hardtanh"):  # torch's kernels of one number and of many disagree on nan
        points = points[:-2]
    for slope in (torch.inf, -torch.inf, torch.nan, 2.0):
        slopes = []
        for library in (nn, torch.nn):
            x = points.clone().requires_grad_()
            getattr(library, name)()(x).backward(torch.full_like(points, slope))
            slopes.append(x.grad)
        assert_close(*slopes, equal_nan=True)


def test_between_equal_bounds_there_is_nothing():
    x = torch.tensor([0.9999999, 1.0, 1.0000001, 0.0, torch.nan], requires_grad=True)
    nn.functional.hardtanh(x, 1.0, 1.0).backward(torch.ones(5))
    assert not x.grad[:4].any()


def test_tanh_keeps_its_digits_in_single_precision():
    sizes = torch.cat([torch.logspace(-30, 1, 100_001), torch.linspace(0.1, 0.15, 100_001)])
    x = torch.cat([sizes, -sizes])
    exact = torch.tanh(x.double())
    error = ((nn.Tanh()(x).double() - exact) / exact).abs()
    assert error.max() < 1.2e-6


@pytest.mark.parametrize("k", [1, -1, 2, -0.5])
def test_exponential_by_powers_of_2_is_as_exact_as_it_says(k):
    x = torch.linspace(-40, 40, 100_001)
    exact = torch.exp(k * x.double())
    error = ((_fast.exp(x, k).double() - exact) / exact).abs()
    assert (error <= (k * x.double()).abs() * 8e-8 + 1e-7).all()


def test_plain_formula_runs_in_double_precision_and_where_somebody_looks_on():
    x = torch.ones(3)
    assert _fast.eager(x)
    assert not _fast.direct(x)
    with torch.no_grad():
        assert _fast.direct(x)
        assert not _fast.direct(x, x.double())
        assert not _fast.direct(x.to("meta"))
        seen = []
        torch.vmap(lambda t: seen.append(_fast.direct(t)) or t)(x)
        torch.func.grad(lambda t: seen.append(_fast.eager(t)) or t.sum())(x)
        assert seen == [False, False]


def test_every_thread_and_every_use_has_a_scratch_of_its_own():
    scratch = torch.no_grad()(_fast.scratch)  # a new thread records
    mine = scratch(torch.empty(2, 3)).fill_(1)
    other = []
    thread = Thread(target=lambda: other.append(scratch(torch.empty(2, 3)).fill_(2)))
    thread.start()
    thread.join()
    assert mine.unique().tolist() == [1]
    places = {t.data_ptr() for t in (mine, *other, scratch(mine, use="another"))}
    assert len(places) == 3
    assert scratch(torch.empty(6)).data_ptr() == mine.data_ptr()
    assert scratch(mine, (2, _fast.PIECE)).numel() == 2 * _fast.PIECE
    kept = scratch(mine).data_ptr()
    assert scratch(mine, (_fast.KEPT + 1,)).data_ptr() != kept
    assert scratch(mine).data_ptr() == kept
    for plain in (mine.double(), mine.bfloat16()):
        assert scratch(plain).dtype == plain.dtype
    assert _fast.scratch(mine).data_ptr() != kept  # autograd may want it


LARGE = {
    "Linear": (lambda: nn.Linear(512, 256), (256, 512)),
    "unfold": (lambda: nn.Conv2d(64, 64, 5, stride=2), (8, 64, 32, 32)),
    "ones": (lambda: nn.Conv2d(1, 32, 5), (64, 1, 28, 28)),
    "winograd": (lambda: nn.Conv2d(128, 128, 3), (8, 128, 26, 26)),
}


@pytest.mark.filterwarnings("ignore:.*Profiler clears events:UserWarning")  # torch 2.11
@pytest.mark.parametrize("name", LARGE)
def test_large_layers_are_elementary_where_nobody_looks_on(name):
    made, shape = LARGE[name]
    layer, x = made(), torch.randn(shape, requires_grad=True)
    assert name == "Linear" or layer.algorithm(x) == name
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        layer(x).sum().backward()  # recorded below Python: no layer can tell
    kernels = {e.name for e in profile.events()}
    assert "aten::mm" in kernels or "aten::bmm" in kernels
    borrowed = ("mkldnn", "linear", "conv", "addmm")
    kernels = {k for k in kernels if k.startswith(("aten::", "mkldnn::"))}
    assert not [k for k in kernels if any(name in k for name in borrowed)]


class _Doubled(_fast.Function):
    """A formula that no compiler takes in one piece."""

    @staticmethod
    def forward(x):
        torch._dynamo.graph_break()
        return 2 * x

    @staticmethod
    def setup_context(ctx, inputs, y):
        pass

    @staticmethod
    def backward(ctx, dy):
        return 2 * dy


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # and 2.11's
def test_a_compiler_that_comes_in_at_the_formula_itself_gets_by():
    torch._dynamo.reset()
    x = torch.randn(3, requires_grad=True)
    torch.compile(lambda x: _Doubled.apply(x) + 1, backend="aot_eager")(x).sum().backward()
    assert_close(x.grad, torch.full((3,), 2.0))
