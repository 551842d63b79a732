"""Normalization where a formula is easily wrong: no variance, large offsets, few values, types."""

import copy
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import nn
from dlbook_torch.nn import functional as ours

ref = torch.nn.functional
INF, NAN = torch.inf, torch.nan
dtypes = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
halves = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "f16"])
modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])

FUNCTIONS = {
    "layer_norm": lambda f, x, w, b: f.layer_norm(x, x.shape[-1:], w, b),
    "batch_norm": lambda f, x, w, b: f.batch_norm(x.mT, None, None, w, b, training=True),
    "batch_norm2d": lambda f, x, w, b: f.batch_norm(
        x.mT.reshape(*x.mT.shape, 1, 1).expand(-1, -1, 2, 3), None, None, w, b, training=True
    ),
}
functions = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)

ROWS = {
    "offset 1e4": [1e4, 1e4 + 1, 1e4 - 1, 1e4 + 2, 1e4],
    "scale 1e4": [1e4, -1e4, 5e3, 0.0, -100.0],
    "scale 100": [100.0, -100.0, 50.0, -0.0, 1.0],
    "scale 1e-8": [1e-8, -1e-8, 5e-9, 0.0, 1e-8],
    "one spike": [0.0, 0.0, 1e4, 0.0, 0.0],
    "zeros": [0.0, -0.0, 0.0, 0.0, -0.0],
    **{f"constant {c}": [c] * 5 for c in (0.1, -100.3, 12345.678, 1e-8)},
    "inf": [INF, 0.0, 1.0, 2.0, 3.0],
    "-inf": [0.0, -INF, 1.0, 2.0, 3.0],
    "nan": [0.0, 1.0, NAN, 2.0, 3.0],
}


def gradients(function, library, x, dtype):
    """The output and the gradients of input, weight and bias, all computed in ``dtype``."""
    torch.manual_seed(0)
    n = x.shape[-1] if function is FUNCTIONS["layer_norm"] else x.shape[0]
    leaves = [x, torch.rand(n, dtype=torch.float64), torch.rand(n, dtype=torch.float64)]
    leaves = [t.detach().to(dtype).requires_grad_() for t in leaves]
    y = function(library, *leaves)
    y.backward(torch.randn(y.shape, dtype=torch.float64).to(dtype))
    return y, *[t.grad for t in leaves]


@functions
@dtypes
@pytest.mark.parametrize("rows", [[row] for row in ROWS] + [["scale 100", "zeros", "inf"]], ids=str)
def test_edges_are_torchs(function, rows, dtype):
    x = torch.tensor([ROWS[row] for row in rows], dtype=dtype)
    a = gradients(function, ours, x, dtype)
    b = gradients(function, ref, x.double(), torch.float64)  # in float32 torch itself is off
    for s, t in zip(a, b, strict=True):
        # a mean of 1e4 is known to 5e-4 in float32, and is what the backward takes off again
        tolerance = dict(rtol=1e-3, atol=2e-3) if dtype == torch.float32 else {}
        assert_close(s, t.to(dtype), equal_nan=True, **tolerance)


@dtypes
@pytest.mark.parametrize("c", [0.1, -100.3, 12345.678, 1e4, 1e-8])
@pytest.mark.parametrize("count", [5, 37, 1000])
def test_constant_input_gives_nothing_but_the_bias(c, count, dtype):
    x = torch.full((3, count), c, dtype=dtype)
    for call in (lambda f, x: f(x), lambda f, x: torch.vmap(f)(x[None])[0]):  # fast, and plain
        y = call(lambda x: ours.layer_norm(x, (count,)), x)
        assert_close(y, torch.zeros_like(x))
        y = call(lambda x: ours.batch_norm(x, None, None, training=True), x.mT)
        assert_close(y, torch.zeros_like(x.mT))


@dtypes
def test_one_feature_has_no_spread_and_no_gradient(dtype):
    x = torch.randn(4, 1, dtype=dtype, requires_grad=True)
    y = nn.LayerNorm(1, dtype=dtype)(x)
    y.backward(torch.randn_like(y))
    assert_close(y, torch.zeros_like(y))
    assert_close(x.grad, torch.zeros_like(y))


LAYERS = {  # shape of an input with 3 channels, or 5 features
    "BatchNorm1d": (4, 3, 5),
    "BatchNorm2d": (4, 3, 2, 5),
    "BatchNorm3d": (4, 3, 2, 1, 5),
    "LayerNorm": (4, 3, 5),
}
layers = pytest.mark.parametrize("name, shape", LAYERS.items(), ids=LAYERS)


def twins(name, **kwargs):
    size = 5 if name == "LayerNorm" else 3
    a, b = (getattr(m, name)(size, **kwargs) for m in (nn, torch.nn))
    with torch.no_grad():
        for t in (*a.parameters(), *a.buffers()):
            if t.is_floating_point():
                t.add_(torch.rand_like(t))
    b.load_state_dict(a.state_dict())
    return a, b


def same(a, b, x, **tolerance):
    """Same output, gradients and memory after one step."""
    x_ref = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    x = x.detach().requires_grad_()
    y, y_ref = a(x), b(x_ref)
    assert_close(y, y_ref, **tolerance)
    assert y.stride() == y_ref.stride() or not y.numel()
    dy = torch.randn_like(y)
    y.backward(dy)
    y_ref.backward(dy)
    for s, t in zip((x, *a.parameters()), (x_ref, *b.parameters()), strict=True):
        assert_close(s.grad, t.grad, **tolerance)
    for s, t in zip(a.buffers(), b.buffers(), strict=True):
        assert_close(s, t, **tolerance)


@layers
@modes
@halves
@pytest.mark.parametrize("wide", [True, False], ids=["f32 parameters", "narrow"])
def test_sixteen_bits_with_parameters_of_either_width(name, shape, training, dtype, wide):
    a, b = (m.train(training) for m in twins(name, dtype=torch.float32 if wide else dtype))
    few = 8 * torch.finfo(dtype).eps  # roundings of torch 2.11, which keeps sums in 16 bits
    same(a, b, torch.randn(shape, dtype=dtype), rtol=few, atol=few)


@layers
@modes
def test_empty_batch_is_torchs_and_leaves_the_statistics(name, shape, training):
    a, b = (m.train(training) for m in twins(name))
    same(a, b, torch.randn(0, *shape[1:]))
    if len(shape) > 3:
        same(a, b, torch.randn(*shape[:2], 0, *shape[3:]))


@modes
def test_order_of_memory_is_torchs(training):
    images, volumes = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 2, 5)
    inputs = {
        "BatchNorm1d": [
            torch.randn(2, 5, 3).mT,
            torch.randn(3, 4).mT,
            torch.randn(3, 2, 5).transpose(0, 1),
        ],
        "BatchNorm2d": [
            images,
            images.contiguous(memory_format=torch.channels_last),
            torch.randn(3, 2, 4, 5).transpose(0, 1),
            torch.randn(2, 3, 4, 10)[..., ::2],
            torch.randn(2, 3, 1, 1),
        ],
        "BatchNorm3d": [
            volumes,
            volumes.contiguous(memory_format=torch.channels_last_3d),
            torch.randn(3, 2, 4, 2, 5).transpose(0, 1),
        ],
        "LayerNorm": [
            torch.randn(5, 4).mT,
            images.contiguous(memory_format=torch.channels_last),
            torch.randn(4, 10)[:, ::2],
        ],
    }
    for name, xs in inputs.items():
        for x in xs:
            same(*(m.train(training) for m in twins(name)), x)


def test_channels_last_does_not_get_lost_in_a_network():
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    layers = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Dropout(inplace=True))
    assert layers(x).is_contiguous(memory_format=torch.channels_last)


def test_next_layer_may_work_in_place():
    for name, shape in LAYERS.items():
        x = torch.randn(shape, requires_grad=True)
        a, b = twins(name)
        y, y_ref = (torch.relu_(m(x)) for m in (a, b))
        assert_close(y, y_ref)
        grads = (torch.autograd.grad(t.square().sum(), x)[0] for t in (y, y_ref))
        assert_close(*grads)


@layers
def test_without_a_momentum_all_batches_count_alike(name, shape):
    if name == "LayerNorm":
        return
    a, b = twins(name, momentum=None)
    for n in (2, 4, 3):
        x = torch.randn(n, *shape[1:])
        assert_close(a(x), b(x))
    assert_close(a.state_dict(), b.state_dict())
    assert_close(a.eval()(x), b.eval()(x))


@pytest.mark.parametrize("version", [None, 1, 2])
def test_states_from_before_the_count_are_loaded(version):
    state = torch.nn.BatchNorm2d(3).state_dict()
    del state["num_batches_tracked"]
    state._metadata[""]["version"] = version
    for library in (torch.nn, nn):
        norm = torch.nn.Sequential(library.BatchNorm2d(3))
        old = {f"0.{k}": v for k, v in state.items()}
        loaded = copy.deepcopy(state).__class__(old)
        loaded._metadata = {"0": dict(version=version)} if version else {}
        if version == 2:
            with pytest.raises(RuntimeError, match="num_batches_tracked"):
                norm.load_state_dict(loaded)
        else:
            norm.load_state_dict(loaded)
            assert norm[0].num_batches_tracked == 0
    assert nn.BatchNorm2d(3).state_dict()._metadata[""]["version"] == 2


def test_first_version_loads_onto_the_meta_device():
    with torch.device("meta"):
        norm = nn.BatchNorm1d(2)
    state = {k: torch.ones(2) for k in ("weight", "bias", "running_mean", "running_var")}
    norm.load_state_dict(state, assign=True)
    assert norm.num_batches_tracked.item() == 0


def test_mixed_types_are_refused_as_torch_refuses_them():
    kinds = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
    for name, shape in LAYERS.items():
        for a in kinds:
            for b in kinds:
                for training in (True, False):
                    outcomes = []
                    for m in twins(name, dtype=b):
                        try:
                            outcomes.append(m.train(training)(torch.randn(shape, dtype=a)).dtype)
                        except RuntimeError:
                            outcomes.append(RuntimeError)
                    assert outcomes[0] == outcomes[1], (name, a, b)
        for library in (nn, torch.nn):
            with pytest.raises(RuntimeError):
                getattr(library, name)(shape[-1 if name == "LayerNorm" else 1])(
                    torch.ones(shape, dtype=torch.long)
                )


@halves
@layers
def test_autocast_leaves_normalization_alone(name, shape, dtype):
    a, b = twins(name)
    for kind in (torch.float32, dtype):
        x = torch.randn(shape, dtype=kind)
        with torch.autocast("cpu", dtype):
            assert a(x).dtype == b(x).dtype == kind


def test_functions_refuse_parameters_of_another_size():
    x, good, bad = torch.randn(4, 5), torch.ones(5), torch.ones(4)
    for key in ("running_mean", "running_var", "weight", "bias"):
        statistics = dict(running_mean=good, running_var=good) | {key: bad}
        for f in (ref, ours):
            for training in (True, False):
                with pytest.raises(RuntimeError, match=key):
                    f.batch_norm(x, **statistics, training=training)
    for key in ("weight", "bias"):
        for f in (ref, ours):
            with pytest.raises(RuntimeError, match=key):
                f.layer_norm(x, (5,), **{key: bad})
    for f in (ref, ours):
        with pytest.raises(RuntimeError):
            f.batch_norm(x, None, None)
        with pytest.raises(TypeError):
            f.layer_norm(x, 5)
    for eps in (0.0, -1.0):
        with pytest.raises(ValueError, match=str(eps)):
            ours.batch_norm(x, None, None, training=True, eps=eps)


@layers
def test_layers_of_different_parameters_side_by_side(name, shape):
    """Vmap over the parameters, the input shared or not: an ensemble."""
    members = [
        twins(name, **({} if name == "LayerNorm" else dict(track_running_stats=False)))
        for _ in range(3)
    ]
    x = torch.randn(3, *shape)
    for which in (0, 1):
        params, _ = torch.func.stack_module_state([pair[which] for pair in members])
        base = members[0][which]
        for dims, data in ((None, x[0]), (0, x)):
            call = partial(torch.func.functional_call, base)
            y = torch.vmap(call, (0, dims))(params, data)
            each = [m[1](data[i] if dims == 0 else data) for i, m in enumerate(members)]
            assert_close(y, torch.stack(each))
