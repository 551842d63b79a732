"""Losses where a formula is easily wrong: saturation, overflow, ignored labels, narrow types."""

import itertools

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import nn
from dlbook_torch.nn import functional as ours
from dlbook_torch.parity.checks import twin_of

ref = torch.nn.functional
INF, NAN = torch.inf, torch.nan
SCORES = [0.0, -0.0, 1e-8, -1e-8, 20.0, -20.0, 100.0, -100.0, 1e4, -1e4, INF, -INF, NAN]
dtypes = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
halves = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "f16"])
reductions = pytest.mark.parametrize("reduction", ["mean", "sum", "none"])


def same(name, inputs, **kwargs):
    """The value and every gradient of a loss are torch's."""
    pairs = [(t, twin_of(t)) for t in inputs]
    a, b = getattr(ours, name)(*[s for s, _ in pairs], **kwargs), None
    b = getattr(ref, name)(*[t for _, t in pairs], **kwargs)
    assert_close(a, b, equal_nan=True)
    dy = torch.randn_like(b)
    a.backward(dy)
    b.backward(dy)
    for s, t in pairs:
        if s.requires_grad:
            assert_close(s.grad, t.grad, equal_nan=True)


def grid(xs, ts, dtype):
    """Every input with every target."""
    pairs = torch.tensor(list(itertools.product(xs, ts)), dtype=dtype)
    return tuple(column.clone().requires_grad_() for column in pairs.T)


@dtypes
@pytest.mark.parametrize(
    "name", ["mse_loss", "l1_loss", "binary_cross_entropy_with_logits"], ids=str
)
def test_edges_of_elementwise_losses_are_torchs(name, dtype):
    same(name, grid(SCORES, [0.0, 0.3, 1.0], dtype), reduction="none")


@dtypes
@pytest.mark.parametrize("pos_weight", [0.0, 0.3, 7.0])
def test_edges_with_a_weight_of_the_positive_are_torchs(pos_weight, dtype):
    inputs = grid(SCORES[:-3], [0.0, 0.3, 1.0], dtype)
    weights = dict(pos_weight=torch.tensor(pos_weight, dtype=dtype), weight=torch.ones(()) / 2)
    same("binary_cross_entropy_with_logits", inputs, reduction="none", **weights)


@dtypes
def test_logarithm_of_a_sure_mistake_stops_where_torchs_does(dtype):
    probabilities = [0.0, 1e-30, 1e-8, 0.5, 1 - 1e-7, 1.0]
    same("binary_cross_entropy", grid(probabilities, [0.0, 0.3, 1.0], dtype), reduction="none")


LOGITS = [
    [[1e4, 0.0, -1e4]],
    [[-1e4, 1e4, 1e4]],
    [[1e-8, -1e-8, 0.0]],
    [[3.0, 3.0, 3.0]],
    [[-INF, 0.0, 1.0]],
    [[-INF, 100.0, -100.0], [1.0, -INF, -INF]],
    [[INF, 0.0, 0.0]],
    [[NAN, 0.0, 0.0]],
]


@dtypes
@reductions
@pytest.mark.parametrize("logits", LOGITS, ids=str)
@pytest.mark.parametrize("kwargs", [{}, dict(label_smoothing=0.2), dict(weight=[0.5, 0.0, 2.0])])
def test_edges_of_losses_over_classes_are_torchs(logits, reduction, kwargs, dtype):
    if "weight" in kwargs:
        kwargs = dict(weight=torch.tensor(kwargs["weight"], dtype=dtype))
    for t, ignored in itertools.product([0, 1, 2], [-100, 0]):
        x = torch.tensor(logits, dtype=dtype, requires_grad=True)
        labels = torch.full((len(logits),), t)
        rest = dict(reduction=reduction, ignore_index=ignored)
        same("cross_entropy", (x, labels), **kwargs, **rest)
        if "label_smoothing" not in kwargs:
            same("nll_loss", (x.detach().requires_grad_(), labels), **kwargs, **rest)
    q = torch.tensor([[0.0, 0.3, 0.7]] * len(logits), dtype=dtype, requires_grad=True)
    same("cross_entropy", (x.detach().requires_grad_(), q), **kwargs, reduction=reduction)


@reductions
@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 2), (3, 5, 2, 2), (3, 5, 1, 2, 2)], ids=str)
@pytest.mark.parametrize("total", ["weights", "labels"])
def test_a_total_weight_of_zero_gives_torchs_nan_and_gradients(name, reduction, shape, total):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    labels = torch.zeros(shape[:1] + shape[2:], dtype=torch.long)
    weight, ignore_index = None, 0
    if total == "weights":
        weight, ignore_index = torch.zeros(5, dtype=torch.float64), -100
    same(name, (x, labels), weight=weight, ignore_index=ignore_index, reduction=reduction)
    if name == "cross_entropy":
        x = x.detach().requires_grad_()
        rest = dict(weight=weight, ignore_index=ignore_index, reduction=reduction)
        same(name, (x, labels), label_smoothing=0.3, **rest)


@reductions
def test_labels_of_bytes_are_no_negative_numbers(reduction):
    x = torch.randn(2, 200, requires_grad=True)
    labels = torch.tensor([156, 3], dtype=torch.uint8)  # -100, were it signed
    for name in ("nll_loss", "cross_entropy"):
        same(name, (x.detach().requires_grad_(), labels), reduction=reduction)


def test_an_ignored_label_may_be_no_class():
    x, labels = torch.randn(3, 5, requires_grad=True), torch.tensor([7, 1, 7])
    same("nll_loss", (x, labels), ignore_index=7, weight=torch.rand(5))
    same("cross_entropy", (x.detach().requires_grad_(), labels), ignore_index=7)


@reductions
def test_one_sample_may_bring_its_label_in_a_row_of_one(reduction):
    x, label = torch.randn(5), torch.tensor([2])
    for name in ("nll_loss", "cross_entropy"):  # forward only: the backward of torch refuses it
        a, b = (getattr(f, name)(x, label, reduction=reduction) for f in (ours, ref))
        assert_close(a, b)


@reductions
@pytest.mark.parametrize("shape", [(0, 5), (0, 5, 3), (2, 5, 0), (0, 5, 2, 2)], ids=str)
def test_empty_batch_is_torchs(shape, reduction):
    def x():
        return torch.rand(shape, requires_grad=True)

    labels = torch.zeros(shape[:1] + shape[2:], dtype=torch.long)
    for name in ("mse_loss", "l1_loss", "binary_cross_entropy"):
        same(name, (x(), x()), reduction=reduction)
    same("binary_cross_entropy_with_logits", (x(), x()), reduction=reduction)
    same("cross_entropy", (x(), x()), reduction=reduction)
    for name in ("nll_loss", "cross_entropy"):
        same(name, (x(), labels), reduction=reduction)


PAIRS = ["mse_loss", "l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"]


@halves
@reductions
def test_sixteen_bits_in_sixteen_bits_out(dtype, reduction):
    labels, weight = torch.randint(5, (40,)), torch.rand(5).to(dtype)
    calls = [(name, None, {}) for name in (*PAIRS, "cross_entropy")]
    calls += [(name, labels, dict(weight=weight)) for name in ("nll_loss", "cross_entropy")]
    calls += [("cross_entropy", labels, dict(label_smoothing=0.1))]
    for name, t, kwargs in calls:
        x = torch.rand(40, 5).to(dtype).requires_grad_()
        t = torch.rand(40, 5).to(dtype) if t is None else t
        y = getattr(ours, name)(x, t, reduction=reduction, **kwargs)
        assert y.dtype == getattr(ref, name)(x, t, reduction=reduction, **kwargs).dtype == dtype
        wide = x.detach().double().requires_grad_()
        t = t.double() if t.is_floating_point() else t
        kwargs = {k: v.double() if k == "weight" else v for k, v in kwargs.items()}
        y_wide = getattr(ref, name)(wide, t, reduction=reduction, **kwargs)
        two_roundings = dict(rtol=2 * torch.finfo(dtype).eps, atol=1e-5)
        assert_close(y, y_wide.to(dtype), **two_roundings)
        y.sum().backward()
        y_wide.sum().backward()
        assert_close(x.grad, wide.grad.to(dtype), **two_roundings)


@halves
def test_autocast_runs_losses_in_float32(dtype):
    weight = torch.rand(5)
    for kind in (torch.float32, dtype, torch.float64):
        x, t, labels = torch.rand(4, 5).to(kind), torch.rand(4, 5).to(kind), torch.arange(4)
        with torch.autocast("cpu", dtype):
            for name in (*PAIRS, "cross_entropy"):
                assert_close(getattr(ours, name)(x, t), getattr(ref, name)(x, t), rtol=1e-2, atol=0)
            if kind != torch.float64:
                for name in ("nll_loss", "cross_entropy"):
                    a = getattr(ours, name)(x, labels, weight=weight)
                    b = getattr(ref, name)(x, labels, weight=weight)
                    assert_close(a, b, rtol=1e-2, atol=0)


@pytest.mark.parametrize("one", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("other", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_mixed_types_give_torchs_type(one, other):
    x, t = torch.rand(4, 5).to(one), torch.rand(4, 5).to(other)
    for name in ("mse_loss", "l1_loss", "binary_cross_entropy_with_logits", "cross_entropy"):
        assert getattr(ours, name)(x, t).dtype == getattr(ref, name)(x, t).dtype, name
    for name in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
        a, b = (getattr(m, name)(x, x, t[0]) for m in (ours, ref))
        assert a.dtype == b.dtype, name


@pytest.mark.filterwarnings("ignore:size_average and reduce:UserWarning")
@pytest.mark.parametrize("size_average", [None, True, False])
@pytest.mark.parametrize("reduce", [None, True, False])
def test_arguments_that_torch_gave_up_are_still_taken(size_average, reduce):
    x, t, labels = torch.rand(4, 5), torch.rand(4, 5), torch.arange(4)
    old = dict(size_average=size_average, reduce=reduce)
    for name in PAIRS:
        assert_close(getattr(ours, name)(x, t, **old), getattr(ref, name)(x, t, **old))
    for name in ("nll_loss", "cross_entropy"):
        assert_close(getattr(ours, name)(x, labels, **old), getattr(ref, name)(x, labels, **old))
    for name in ("MSELoss", "L1Loss", "BCELoss", "BCEWithLogitsLoss", "NLLLoss"):
        assert getattr(nn, name)(**old).reduction == getattr(torch.nn, name)(**old).reduction


@reductions
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss"])
def test_another_size_broadcasts_with_a_warning(name, reduction):
    x, t = torch.randn(4, 5, requires_grad=True), torch.randn(4, 1, requires_grad=True)
    with pytest.warns(UserWarning, match=r"target is \(4, 1\)"):
        ours_ = getattr(ours, name)(x, t, reduction=reduction)
    with pytest.warns(UserWarning, match="different to the input size"):
        assert_close(ours_, getattr(ref, name)(x, t, reduction=reduction))
    weight = torch.rand(4, 5)
    same(name, (x, t.detach().expand(4, 5)), weight=weight, reduction=reduction)
    with pytest.raises(ValueError, match=r"\(5,\)"):
        getattr(ours, name)(x, x, weight=weight[0])


def test_a_loss_is_not_differentiated_by_its_weight():
    x, weight = torch.rand(4, 5), torch.rand(5, requires_grad=True)
    calls = [
        lambda f: f.binary_cross_entropy(x, x, weight),
        lambda f: f.binary_cross_entropy_with_logits(x, x, weight),
        lambda f: f.binary_cross_entropy_with_logits(x, x, pos_weight=weight),
        lambda f: f.nll_loss(x, torch.arange(4), weight),
        lambda f: f.cross_entropy(x, torch.arange(4), weight),
    ]
    for call in calls:
        for f in (ref, ours):
            with pytest.raises(RuntimeError):
                call(f)


def test_probabilities_are_checked_inside_vmap_too():
    x = torch.rand(3, 4)
    for dims in [(0, 0), (0, None), (None, 0)]:
        args = [x if dim == 0 else x[0] for dim in dims]
        a, b = (torch.vmap(f.binary_cross_entropy, dims)(*args) for f in (ours, ref))
        assert_close(a, b)
    with pytest.raises(RuntimeError, match="input should be between 0 and 1, got 2"):
        torch.vmap(ours.binary_cross_entropy)(torch.full((3, 4), 2.0), x)
    with pytest.raises(RuntimeError, match="target should be between 0 and 1, got -2"):
        ours.binary_cross_entropy(torch.zeros(1), torch.tensor([-2.0]))


@pytest.mark.filterwarnings(  # torch 2.11's own tracer instantiates the Function it traces
    "ignore:.*should not be instantiated:DeprecationWarning"
)
def test_probabilities_are_checked_in_compiled_code():
    torch._dynamo.reset()
    f = torch.compile(ours.binary_cross_entropy, fullgraph=True, backend="aot_eager")
    with pytest.raises(RuntimeError, match="outside"):
        f(torch.tensor([1.5]), torch.tensor([0.5]))


def test_losses_on_the_meta_device_have_a_shape():
    x = torch.rand(4, 5, device="meta")
    labels = torch.zeros(4, dtype=torch.long, device="meta")
    for name in (*PAIRS, "cross_entropy"):
        assert getattr(ours, name)(x, x, reduction="none").is_meta
    assert ours.nll_loss(x, labels).shape == ours.cross_entropy(x, labels).shape == ()
