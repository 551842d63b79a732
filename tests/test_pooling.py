"""What pooling promises beyond the case table: laws, ties, types, memory."""

from inspect import signature

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import nn
from dlbook_torch.nn import functional, pooling

ranks = pytest.mark.parametrize("rank", [1, 2, 3])
IMAGE = (6, 5, 4)


def both(name, rank, *args, **kwargs):
    """Our layer and torch's."""
    return (getattr(m, f"{name}{rank}d")(*args, **kwargs) for m in (nn, torch.nn))


@ranks
def test_unpooling_keeps_the_maxima(rank):
    x = torch.rand(2, 3, *IMAGE[:rank]) + 1
    pool = getattr(nn, f"MaxPool{rank}d")(2, return_indices=True)
    y, index = pool(x)
    image = getattr(nn, f"MaxUnpool{rank}d")(2)(y, index, x.shape)
    assert image.shape == x.shape
    assert_close(pool(image), (y, index))
    assert image.count_nonzero() == y.numel()
    assert torch.equal(image[image > 0], x[image > 0])


@ranks
def test_unpooling_refuses_an_image_of_negative_size(rank):
    y = torch.ones(3, *IMAGE[:rank])
    ours, ref = both("MaxUnpool", rank, 2, stride=1, padding=4)
    with pytest.raises(ValueError, match="negative size"):
        ours(y, y.long())
    # No row of the table, which asks for one type: torch 2.11 has no check, and overflows later.
    with pytest.raises((ValueError, RuntimeError)):
        ref(y, y.long())


@ranks
def test_adaptive_pooling_to_one_sees_the_whole_image(rank):
    x, axes = torch.randn(2, 3, *IMAGE[:rank]), tuple(range(2, rank + 2))
    mean, largest = (getattr(nn, f"Adaptive{kind}Pool{rank}d")(1)(x) for kind in ("Avg", "Max"))
    assert_close(mean, x.mean(axes, keepdim=True))
    assert_close(largest, x.amax(axes, keepdim=True))


@ranks
def test_adaptive_pooling_to_a_divisor_is_plain_pooling(rank):
    x = torch.randn(2, 3, *(6, 4, 8)[:rank])
    for kind in ("Avg", "Max"):
        adaptive = getattr(nn, f"Adaptive{kind}Pool{rank}d")((3, 2, 4)[:rank])
        assert_close(adaptive(x), getattr(nn, f"{kind}Pool{rank}d")(2)(x))


# Constant images, whole numbers with many ties, nan, and infinities of both signs.
AWKWARD = {
    "constant": lambda x: torch.ones_like(x),
    "few values": lambda x: x.round(),
    "nan": lambda x: x.masked_fill(x > 0.8, torch.nan),
    "-inf": lambda x: torch.full_like(x, -torch.inf),
    "inf and -inf": lambda x: torch.where(x > 0, torch.inf, -torch.inf),
}


@ranks
@pytest.mark.parametrize("kind", AWKWARD)
@pytest.mark.parametrize(
    "name, kwargs",
    [
        ("MaxPool", dict(kernel_size=2)),
        ("MaxPool", dict(kernel_size=3, stride=1, padding=1)),
        ("MaxPool", dict(kernel_size=2, stride=1, padding=1, dilation=2, ceil_mode=True)),
        ("AdaptiveMaxPool", dict(output_size=1)),
        ("AdaptiveMaxPool", dict(output_size=2)),
        ("AdaptiveMaxPool", dict(output_size=4)),
    ],
)
def test_ties_nan_and_infinities_choose_the_pixel_that_torch_chooses(rank, kind, name, kwargs):
    x = AWKWARD[kind](torch.randn(2, 3, *IMAGE[:rank]))
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    ours, ref = both(name, rank, return_indices=True, **kwargs)
    (y, index), (y_ref, index_ref) = ours(a), ref(b)
    assert_close(y, y_ref, equal_nan=True)
    assert torch.equal(index, index_ref)
    for result in (y, y_ref):
        result.backward(torch.ones_like(y))
    assert_close(a.grad, b.grad)


@ranks
@pytest.mark.parametrize("name, size", [("AvgPool", 3), ("AdaptiveAvgPool", 4)])
def test_an_infinite_pixel_stays_in_its_window(rank, name, size):
    x = torch.ones(1, 1, *IMAGE[:rank])
    x[(0, 0, *[0] * rank)] = torch.inf
    ours, ref = both(name, rank, size)
    assert_close(ours(x), ref(x))


@ranks
def test_maxima_in_one_place_are_unpooled_as_torch_does(rank):
    x = torch.randn(2, 3, *IMAGE[:rank])
    y, index = getattr(torch.nn, f"MaxPool{rank}d")(3, 1, return_indices=True)(x)
    a, b = y.clone().requires_grad_(), y.clone().requires_grad_()
    out = [layer(t, index) for layer, t in zip(both("MaxUnpool", rank, 3, 1), (a, b), strict=True)]
    assert_close(*out)
    dy = torch.randn_like(out[0])
    for result in out:
        result.backward(dy)
    assert_close(a.grad, b.grad)


@ranks
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "f16"])
@pytest.mark.parametrize("name", ["MaxPool", "AvgPool", "AdaptiveMaxPool", "AdaptiveAvgPool"])
def test_sixteen_bits_hold_the_exact_result_rounded_once(rank, dtype, name):
    x = torch.randn(2, 3, *IMAGE[:rank]).to(dtype)
    ours, ref = both(name, rank, 3)
    y, exact = ours(x), ref(x.double())
    assert y.dtype == dtype
    half_a_digit = torch.finfo(dtype).eps / 2
    assert_close(y.double(), exact, rtol=1.001 * half_a_digit, atol=1e-7)


@ranks
@pytest.mark.parametrize("name", ["MaxPool", "AvgPool", "AdaptiveMaxPool", "AdaptiveAvgPool"])
def test_autocast_widens_three_axes_on_the_cpu(rank, name):
    for x in (torch.randn(2, 3, *IMAGE[:rank]), torch.randn(2, 3, *IMAGE[:rank]).bfloat16()):
        with torch.autocast("cpu", torch.bfloat16):
            y, y_ref = (layer(x) for layer in both(name, rank, 2))
        assert y.dtype == y_ref.dtype
        assert_close(y, y_ref)


@pytest.mark.parametrize("kwargs", [dict(), dict(stride=1, padding=1, count_include_pad=False)])
def test_whole_numbers_are_pooled_as_torch_pools_them(kwargs):
    x = torch.randint(-9, 9, (2, 3, 6, 5))
    assert_close(
        functional.avg_pool2d(x, 3, **kwargs), torch.nn.functional.avg_pool2d(x, 3, **kwargs)
    )
    for dtype in (torch.uint8, torch.int32, torch.int64):
        args = (x.to(dtype), 3, 2, 1)
        ours = functional.max_pool2d_with_indices(*args)
        assert_close(ours, torch.nn.functional.max_pool2d(*args, return_indices=True))


@pytest.mark.parametrize("rank, layout", [(2, torch.channels_last), (3, torch.channels_last_3d)])
@pytest.mark.parametrize(
    "name, args",
    [
        ("MaxPool", (2,)),
        ("MaxPool", (3, 2, 1)),
        ("AvgPool", (3, 2, 1)),
        ("AdaptiveMaxPool", (2,)),
        ("AdaptiveAvgPool", (3,)),
    ],
)
def test_channels_last_stays_so(rank, layout, name, args):
    x = torch.randn(2, 3, *IMAGE[:rank]).to(memory_format=layout)
    y, y_ref = (layer(x) for layer in both(name, rank, *args))
    assert_close(y, y_ref)
    assert y.is_contiguous(memory_format=layout)


@ranks
@pytest.mark.parametrize("size", [0, 1, 2])
def test_an_output_of_size_nothing_is_empty(rank, size):
    sizes = (0, *[size] * (rank - 1))
    x = torch.randn(2, 3, *IMAGE[:rank], requires_grad=True)
    for name in ("AdaptiveAvgPool", "AdaptiveMaxPool"):
        ours, ref = both(name, rank, sizes)
        assert ours(x).shape == ref(x).shape
        assert ours(x).requires_grad


def test_input_is_not_written_to_and_output_is_no_view_of_it():
    x = torch.randn(2, 3, 6, 5)
    before = x.clone()
    for name, args in [("MaxPool", (1,)), ("AvgPool", (1,)), ("AdaptiveMaxPool", ((6, 5),))]:
        y = next(both(name, 2, *args))(x)
        assert_close(y, x)
        y.zero_()
        assert torch.equal(x, before)


@pytest.mark.parametrize("view", ["transposed", "strided", "expanded"])
@pytest.mark.parametrize("name", ["MaxPool", "AvgPool", "AdaptiveMaxPool", "AdaptiveAvgPool"])
def test_input_may_lie_anyhow_in_memory(name, view):
    x = torch.randn(4, 3, 6, 5)
    x = {"transposed": x.mT, "strided": x[::2, :, ::2], "expanded": x[:1].expand(4, 3, 6, 5)}[view]
    for args in ((3,), (2, 1, 1)) if "Adaptive" not in name else ((3,), ((2, 1),)):
        y, y_ref = (layer(x) for layer in both(name, 2, *args))
        assert_close(y, y_ref)


def test_a_maximum_costs_one_byte_between_forward_and_backward():
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        nn.MaxPool2d(2)(torch.randn(2, 3, 6, 4, requires_grad=True))
    assert [(t.shape, t.dtype) for t in saved] == [((2, 3, 3, 2), torch.uint8)]


@ranks
@pytest.mark.parametrize("name", ["max_pool", "adaptive_max_pool", "max_unpool"])
def test_functions_take_the_arguments_that_torchs_take(rank, name):
    twins = [f"{name}{rank}d", *([] if "un" in name else [f"{name}{rank}d_with_indices"])]
    for twin in twins:
        ours = signature(getattr(functional, twin)).parameters.values()
        ref = signature(getattr(torch.nn.functional, twins[-1])).parameters.values()
        assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in ref]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize(
    "name, args",
    [
        ("MaxPool", (3, 2, 1)),
        ("AvgPool", (3, 2, 1)),
        ("AdaptiveMaxPool", (4,)),
        ("AdaptiveAvgPool", (4,)),
    ],
)
def test_layers_are_exported_for_any_batch(name, args, layout):
    x = torch.randn(2, 3, 6, 5).to(memory_format=layout)
    ours, ref = both(name, 2, *args)
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(ours, (x,), dynamic_shapes=(batch,)).module()
    for t in (x, torch.randn(5, 3, 6, 5).to(memory_format=layout)):
        assert_close(program(t), ref(t))


def test_indices_of_a_window_with_more_cells_than_a_byte_counts():
    x = torch.randn(2, 20, 18)
    ours, ref = (library.MaxPool2d(17, 1, return_indices=True)(x) for library in (nn, torch.nn))
    assert torch.equal(ours[1], ref[1])


def test_unpooling_function_steps_by_its_kernel_unless_told_otherwise():
    x = torch.randn(2, 3, 6, 4)
    y, index = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
    ours, ref = (f.max_unpool2d(y, index, 2) for f in (functional, torch.nn.functional))
    assert_close(ours, ref)


@pytest.mark.filterwarnings(  # torch 2.11's own tracer instantiates the Function it traces
    "ignore:.*should not be instantiated:DeprecationWarning"
)
@pytest.mark.parametrize(
    "name, args",
    [
        ("MaxPool", (3, 2, 1)),
        ("MaxPool", (2, 1, 1, 2)),
        ("AvgPool", (2,)),
        ("AvgPool", (3, 3, 1)),
        ("AvgPool", (3, 2)),
        ("AdaptiveAvgPool", (4,)),
        ("AdaptiveMaxPool", (4,)),
    ],
)
def test_windows_of_every_kind_are_compiled(name, args):
    a = torch.randn(2, 3, 6, 6).round(decimals=1).requires_grad_()
    b = a.detach().clone().requires_grad_()
    ours, ref = both(name, 2, *args)
    torch._dynamo.reset()
    y, y_ref = torch.compile(ours, fullgraph=True, backend="aot_eager")(a), ref(b)
    assert_close(y, y_ref)
    dy = torch.randn_like(y_ref)
    y.backward(dy)
    y_ref.backward(dy)
    assert_close(a.grad, b.grad)


@pytest.mark.parametrize("name, args", [("MaxPool", (2,)), ("MaxPool", (3, 2, 1))])
def test_many_pieces_are_pooled_like_one(name, args, monkeypatch):
    monkeypatch.setattr(pooling, "PIECE", 2 * 3 * 6 * 5)  # two images at a time, the last one alone
    a = torch.randn(5, 3, 6, 5).requires_grad_()
    b = a.detach().clone().requires_grad_()
    ours, ref = both(name, 2, *args, return_indices=True)
    for layer, x in ((ours, a), (ref, b)):
        layer(x)[0].square().sum().backward()
    assert_close(ours(a), ref(b))
    assert_close(a.grad, b.grad)
