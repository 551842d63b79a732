"""Every way of a convolution is the same convolution, the fastest is taken, and it can be told."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd
from torch.testing import assert_close

from dlbook_torch import nn
from dlbook_torch.nn import conv, conv_transpose, conv_unfold, conv_ways, conv_winograd
from dlbook_torch.parity import checks
from dlbook_torch.parity.cases import CASES, Case
from dlbook_torch.parity.checks.compare import LAST, STRIDED, SUMMED, Way, written_over

pytestmark = pytest.mark.filterwarnings(
    "ignore:Using padding='same' with even kernel:UserWarning"  # torch's own layer says so
)
EXPORTED = torch.compile(lambda: torch.compiler.is_exporting(), backend="eager")
SHORT_CUTS = [way for way in conv.WAYS if way != "unfold"]


def wide(name, shape, **kwargs):
    """A row with more tiles than one, cut off at the edge, in more pieces than one."""
    channels = dict(in_channels=shape[1], out_channels=3, kernel_size=3)
    return Case("7.1", name, shape, channels | kwargs)


ROWS = [case for case in CASES if "Conv" in case.name and 0 not in case.shape] + [
    wide("Conv2d", (3, 2, 9, 11), padding=1),
    wide("Conv2d", (2, 2, 8, 6), padding=(2, 0)),
    wide("Conv2d", (2, 2, 9, 7), kernel_size=4, padding="same"),
    wide("Conv2d", (2, 2, 11, 12), kernel_size=4, padding=2),
    wide("ConvTranspose2d", (2, 2, 5, 6), padding=1),
    wide("Conv2d", (2, 2, 11, 12), kernel_size=5, padding=2),
    wide("ConvTranspose2d", (2, 2, 5, 6), kernel_size=4),
    wide("ConvTranspose2d", (2, 2, 5, 6), kernel_size=5),
]


def can_go(way, case):
    """Whether a row's layer can go a way, by its arguments."""
    layer = case.build(nn)
    if layer.groups > 1:
        return False
    steps, sizes = {*layer.stride, *layer.dilation}, {*layer.kernel_size}
    if way == "winograd":
        return layer.rank == 2 and steps == {1} and len(sizes) == 1 and sizes <= {3, 4, 5}
    return way == "ones"


@pytest.fixture
def forced(monkeypatch):
    """All convolutions go one way in small pieces, whatever their type; returns how they went.

    That float64 goes it too shows that the formulas are the same, to the last digits.
    """

    def force(way):
        gone = []

        def way_of(x, weight, image, window, groups):
            gone.append(way if conv.WAYS[way].suits(weight, window, groups) else "unfold")
            return gone[-1]

        for module in (conv, conv_transpose):
            monkeypatch.setattr(module, "way_of", way_of)
        for name, size in (("PIECE", 1), ("ROWS", 5), ("LARGE", 10)):
            monkeypatch.setattr(conv_winograd, name, size)
        monkeypatch.setattr(conv_unfold, "CHUNK_BYTES", 1000)
        return gone

    return force


def last(case):
    """Channels last, in float64."""
    axes = checks.rank(case)
    arrange = lambda t: t.clone(memory_format=LAST.get(t.dim(), torch.contiguous_format))  # noqa: E731
    checks.compare(case, way=Way(arrange, arrange, memory_format=LAST[axes]))


PROMISES = {
    "numbers": checks.compare,
    "strided": partial(checks.compare, way=STRIDED),
    "summed": partial(checks.compare, way=SUMMED),
    "in_place_after": partial(checks.compare, way=Way(wrap=written_over)),
    "channels_last": last,
    "gradcheck": checks.derivative,
    "gradgradcheck": checks.second_derivative,
    "handwritten": checks.handwritten,
    "functional_call": checks.functional_call,
    "vmap": checks.vmap,
}


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize(
    "way, case",
    [
        pytest.param(way, case, id=f"{way}-{case}")
        for way in SHORT_CUTS
        for case in ROWS
        if can_go(way, case)
    ],
)
def test_every_way_keeps_the_promises_of_a_convolution(way, case, promise, forced):
    if promise == "channels_last" and checks.rank(case) not in LAST:
        pytest.skip("no format of that name for series")
    gone = forced(way)
    try:
        PROMISES[promise](case)
    except checks.TorchRefuses:
        pytest.skip("torch's own layer does not either")
    assert set(gone) == {way}


def errors(layer, inputs, dy):
    """Of output and gradients, in units of the largest number, against the same in float64."""
    found = []
    for kind in (torch.float32, torch.float64):
        twin = deepcopy(layer).to(kind)
        x = inputs.detach().to(kind).clone().requires_grad_()
        y = twin(x)
        y.backward(dy.detach().to(kind))
        found.append([t.double() for t in (y, x.grad, *(p.grad for p in twin.parameters()))])
    return [((a - b).abs().max() / b.abs().max()).item() for a, b in zip(*found, strict=True)]


LARGE = [
    ("winograd", (4, 128, 18, 18), dict(kernel_size=3, padding=1, out_channels=128)),
    ("winograd", (16, 256, 8, 8), dict(kernel_size=3, padding=1, out_channels=192)),
    ("winograd", (8, 128, 15, 15), dict(kernel_size=4, out_channels=128)),
    ("ones", (64, 1, 28, 28), dict(kernel_size=5)),
    ("ones", (4, 3, 40, 40), dict(kernel_size=7, stride=2, padding=3)),
    ("ones", (8, 15, 16, 16), dict(kernel_size=1)),
    ("unfold", (8, 16, 16, 16), dict(kernel_size=1)),  # half as many channels as filters
    ("winograd", (8, 32, 28, 28), dict(kernel_size=5, padding=2, out_channels=64)),
    ("winograd", (16, 16, 14, 14), dict(kernel_size=5, padding=2)),
    ("unfold", (16, 16, 14, 14), dict(kernel_size=5, padding=2, out_channels=16)),
    ("unfold", (16, 16, 14, 14), dict(kernel_size=6, padding=2)),
    ("unfold", (16, 64, 15, 15), dict(kernel_size=2)),
    ("unfold", (8, 128, 26, 26), dict(kernel_size=3, stride=2, out_channels=128)),
    ("unfold", (8, 128, 26, 26), dict(kernel_size=3, groups=2, out_channels=128)),
    ("unfold", (8, 128, 26, 26), dict(kernel_size=(3, 2), out_channels=128)),
    ("unfold", (8, 128, 26, 26), dict(kernel_size=3, dilation=2, out_channels=128)),
    ("unfold", (8, 12, 18, 18), dict(kernel_size=3, out_channels=20)),  # too few channels
    ("unfold", (4, 192, 18, 18), dict(kernel_size=3, out_channels=12)),  # too few filters
    ("unfold", (8, 16, 18, 18), dict(kernel_size=3, out_channels=20)),  # of both together
    # more than half of 4 tiles unused; too few tiles
    ("unfold", (16, 128, 5, 5), dict(kernel_size=3, padding=1, out_channels=128)),
    ("unfold", (1, 128, 8, 8), dict(kernel_size=3, padding=1, out_channels=128)),
    ("unfold", (8, 256, 4, 4), dict(kernel_size=1)),
    ("unfold", (1, 256, 17, 17), dict(kernel_size=1, stride=2)),
    ("unfold", (1, 256, 16, 16), dict(kernel_size=1, padding=1)),
]


@pytest.mark.parametrize("way, shape, how", LARGE, ids=str)
def test_the_way_taken_is_told_and_exact(way, shape, how):
    layer = nn.Conv2d(**dict(in_channels=shape[1], out_channels=32) | how)
    x = torch.randn(shape)
    assert layer.algorithm(x) == way
    # torch's own dw of a long sum is off by 6e-6
    assert max(errors(layer, x, torch.randn_like(layer(x)))) <= 1e-5
    with nn.algorithms(convolution="unfold"):
        assert layer.algorithm(x) == "unfold"


@pytest.mark.parametrize("way, shape, how", LARGE, ids=str)
def test_what_is_not_float32_in_memory_goes_the_plain_way(way, shape, how):
    layer = nn.Conv2d(**dict(in_channels=shape[1], out_channels=32) | how)
    x = torch.randn(shape)
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        assert layer.to(dtype).algorithm(x.to(dtype)) == "unfold"
    assert layer.to("meta").float().algorithm(x.to("meta")) == "unfold"
    assert layer.algorithm(x.to("meta")[:0]) == "unfold"


@pytest.mark.parametrize("way", SHORT_CUTS)
def test_a_way_that_is_asked_for_is_gone_where_it_can_be(way):
    can = nn.Conv2d(2, 3, 3)
    cannot = nn.Conv2d(2, 4, 3, groups=2)
    x = torch.randn(2, 2, 6, 6)
    with nn.algorithms(convolution=way):
        assert (can.algorithm(x), cannot.algorithm(x)) == (way, "unfold")


def test_padded_by_another_rule_the_enlarged_image_counts():
    layer = nn.Conv2d(128, 128, 3, padding=2, padding_mode="reflect")
    assert layer.algorithm(torch.randn(1, 128, 28, 28)) == "winograd"
    assert layer.algorithm(torch.randn(1, 128, 24, 24)) == "unfold"


@pytest.mark.parametrize("compiled", [False, True], ids=["", "compiled"])
@pytest.mark.filterwarnings(  # torch 2.11's own tracer instantiates the Function it traces
    "ignore:.*should not be instantiated:DeprecationWarning"
)
@pytest.mark.parametrize("way", SHORT_CUTS)
def test_backward_goes_the_way_that_forward_went(way, compiled, monkeypatch):
    torch._dynamo.reset()
    if compiled and EXPORTED():
        pytest.skip("torch 2.11 says of every compiled graph that it is an exported one")
    layer, x = nn.Conv2d(2, 3, 3), torch.randn(2, 2, 6, 6)
    forward = torch.compile(layer, fullgraph=True, backend="aot_eager") if compiled else layer
    with nn.algorithms(convolution=way):
        y = forward(x.requires_grad_())
    gone = []
    for name, module in conv.WAYS.items():
        for kind in ("convolve_input", "convolve_weight", "gradients"):
            real = getattr(module, kind, None)
            if real:
                call = lambda *a, name=name, real=real: gone.append(name) or real(*a)  # noqa: E731
                monkeypatch.setattr(module, kind, call)
    y.sum().backward()
    assert set(gone) == {way}


@pytest.mark.parametrize("way", SHORT_CUTS)
@pytest.mark.parametrize("needed", [(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1)], ids=str)
def test_gradients_at_once_are_those_that_can_be_differentiated(way, needed, forced, monkeypatch):
    gone = forced(way)
    monkeypatch.setattr(conv_unfold, "CHUNK_BYTES", 6000)  # pieces of 2 images and of 1
    layer = nn.Conv2d(2, 3, 3).double()
    x = torch.randn(3, 2, 7, 6).double()
    for t, wanted in zip((x, layer.weight, layer.bias), needed, strict=True):
        t.requires_grad_(bool(wanted))
    inputs = [t for t in (x, layer.weight, layer.bias) if t.requires_grad]
    y = layer(x)
    dy = torch.randn_like(y)
    at_once = torch.autograd.grad(y, inputs, dy, retain_graph=True)
    recorded = torch.autograd.grad(y, inputs, dy, create_graph=True)
    assert_close(at_once, recorded)
    assert set(gone) == {way}


WINDOWS = [
    {},
    dict(padding=(1, 0)),
    dict(kernel_size=(2, 3), padding="same"),
    dict(dilation=2, padding=3),
    dict(kernel_size=2, padding=2),  # more than a window reaches
    dict(groups=2),
    dict(stride=2, padding=1),
    dict(out_channels=8),
    dict(out_channels=9),  # more than twice the channels
]


@pytest.mark.parametrize("how", WINDOWS, ids=str)
def test_gradients_from_one_set_of_columns_are_those_from_two(how, monkeypatch):
    monkeypatch.setattr(conv_unfold, "CHUNK_BYTES", 40000)  # pieces of 2, 2 and 1 images
    layer = nn.Conv2d(**(dict(in_channels=4, out_channels=4, kernel_size=3) | how)).double()
    x = torch.randn(5, 4, 9, 7).double().requires_grad_()
    calls, real = [], conv_unfold.both
    monkeypatch.setattr(conv_unfold, "both", lambda *a: calls.append(1) or real(*a))
    y = layer(x)
    inputs, dy = [x, layer.weight, layer.bias], torch.randn_like(y)
    at_once = torch.autograd.grad(y, inputs, dy, retain_graph=True)
    assert len(calls) == (
        how.get("stride", 1) == 1 and how.get("padding") != 2 and how.get("out_channels") != 9
    )
    assert_close(at_once, torch.autograd.grad(y, inputs, dy, create_graph=True))


COMPILED = [
    ((3, 4, 9, 8), dict(out_channels=6, padding=(2, 1), stride=2, groups=2)),
    ((3, 4, 9, 8), dict(out_channels=9, padding="same", dilation=2, bias=False)),
    ((8, 32, 18, 18), dict(out_channels=64)),
    ((8, 32, 18, 18), dict(out_channels=64, padding=2)),
]


def called(layer, x):
    """What a compiler's graph of the layer calls, and the layer's answer; gradients in x.grad."""
    found = []

    def backend(graph, inputs):
        found.extend(str(node.target) for node in graph.graph.nodes if node.op == "call_function")
        return make_boxed_func(graph)

    backend = aot_autograd(fw_compiler=backend, bw_compiler=backend)
    y = torch.compile(layer, fullgraph=True, backend=backend)(x)
    y.square().mean().backward()
    return found, y


@pytest.mark.filterwarnings(  # torch 2.11's own tracer instantiates the Function it traces
    "ignore:.*should not be instantiated:DeprecationWarning"
)
@pytest.mark.parametrize("last", [False, True], ids=["", "channels_last"])
@pytest.mark.parametrize("shape, how", COMPILED, ids=str)
def test_a_compiler_calls_the_way_that_is_fastest_and_looks_into_the_plain_one(shape, how, last):
    torch._dynamo.reset()
    if EXPORTED():
        pytest.skip("torch 2.11 says of every compiled graph that it is an exported one")
    layer, x = nn.Conv2d(**dict(in_channels=shape[1], kernel_size=3) | how), torch.randn(shape)
    x = x.contiguous(memory_format=LAST[4]) if last else x
    answers = []
    for way in ("auto", "unfold"):
        x = x.detach().requires_grad_()
        layer.zero_grad()
        with nn.algorithms(convolution=way):
            calls, y = called(layer, x)
            hidden = [name for name in calls if name.startswith("dlbook_torch.convolve")]
            assert len(hidden) == (2 if way == "auto" else 0)
            assert any("mm" in name for name in calls) != bool(hidden)
            assert y.stride() == layer(x).stride()
        answers.append((y, x.grad, *(p.grad for p in layer.parameters())))
    assert_close(*answers, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's
@pytest.mark.parametrize("last", [False, True], ids=["", "channels_last"])
@pytest.mark.parametrize("shape, how", COMPILED, ids=str)
def test_operators_of_a_compiled_convolution_are_what_they_say(shape, how, last, monkeypatch):
    layer, x = nn.Conv2d(**dict(in_channels=shape[1], kernel_size=3) | how), torch.randn(shape)
    x = x.contiguous(memory_format=LAST[4]) if last else x
    seen, convolve = [], conv_ways.convolve
    monkeypatch.setattr(conv, "opaque", lambda x: True)
    monkeypatch.setattr(conv_ways, "convolve", lambda *a: seen.append(a) or convolve(*a))
    dy = torch.randn_like(layer(x.requires_grad_()))
    ((*operands, steps, choice),) = seen
    torch.library.opcheck(convolve, (*operands, steps, choice))
    needed = [t is not None for t in operands]
    x, weight = (t.detach() for t in operands[:2])
    torch.library.opcheck(conv_ways.gradients, (x, weight, dy, steps, choice, needed))


@pytest.mark.parametrize("r", [3, 4, 5])
def test_matrices_of_winograd_slide_a_filter_along_a_line(r):
    a, b, _ = conv_winograd.MATRICES[r]
    g = torch.tensor([[p**i for i in range(r)] for p in conv_winograd.POINTS[r]] + [[0.0] * r])
    g[-1, -1] = 1
    x, w = torch.randn(len(b)).double(), torch.randn(r).double()
    scaled = g.double() / g.double().abs().sum(1, keepdim=True)
    y = a.mT @ ((scaled @ w) * (b @ x))
    assert_close(y, torch.stack([x[i : i + r] @ w for i in range(a.shape[1])]))
    assert a.shape[1] >= 3  # answers


def test_an_infinite_pixel_stays_in_its_tile():
    layer, x = nn.Conv2d(128, 128, 3), torch.randn(8, 128, 14, 14)
    assert layer.algorithm(x) == "winograd"
    x[0, 3, 5, 5] = torch.inf
    bad = ~layer(x).isfinite()
    assert bad[0, :, 3:6, 3:6].all()
    assert not bad[1:].any()
    assert not bad[0, :, 8:].any()
    assert not bad[0, :, :, 8:].any()
