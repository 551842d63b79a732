"""Convolution beyond the table: memory, types, layouts, exports; and the receptive field."""

import re
import weakref
from copy import deepcopy
from math import prod

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from dlbook_torch import nn
from dlbook_torch.models import DeepConvNet, SimpleConvNet
from dlbook_torch.nn import conv_unfold, conv_winograd, functional
from dlbook_torch.nn.geometry import receptive_field
from dlbook_torch.parity import checks
from dlbook_torch.parity.cases import CASES

pytestmark = pytest.mark.filterwarnings(
    "ignore:Using padding='same' with even kernel:UserWarning"  # torch's own layer says so
)
FAMILY = [case for case in CASES if "Conv" in case.name or case.name in ("Fold", "Unfold")]
FIRST = list({case.name: case for case in reversed(FAMILY)}.values())  # one row of each
one_of_each = pytest.mark.parametrize("case", FIRST, ids=lambda case: case.name)


class Memory(TorchDispatchMode):
    """Bytes of what is created inside the ``with`` block and still alive, and their peak."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.seen = weakref.WeakSet()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        alias = any(a.alias_info is not None for a in func._schema.returns)
        for t in [out] if isinstance(out, torch.Tensor) and not alias else []:
            storage = t.untyped_storage()
            if storage not in self.seen:
                self.seen.add(storage)
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self.free, storage.nbytes())
        return out

    def free(self, size):
        self.now -= size


MEMORY = [
    ("Conv2d", (256, 4, 32, 32), {}),
    ("Conv2d", (512, 4, 16, 16), dict(out_channels=64, padding=1)),
    ("Conv2d", (2, 4, 256, 256), dict(padding=1)),  # an image whose columns alone are 9 MiB
    ("ConvTranspose2d", (256, 4, 32, 32), {}),
    ("ConvTranspose2d", (256, 4, 16, 16), dict(stride=2, out_channels=16)),
]


@pytest.mark.parametrize("name, shape, kwargs", MEMORY, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
def test_memory_beside_the_results_does_not_grow_with_the_batch(name, shape, kwargs, dtype):
    layer = getattr(nn, name)(**dict(in_channels=4, out_channels=4, kernel_size=3) | kwargs)
    layer, x = layer.to(dtype), torch.randn(shape, dtype=dtype, requires_grad=True)
    with Memory() as forward:
        y = layer(x)
    dy = torch.randn_like(y)
    with Memory() as backward:
        y.backward(dy)
    unfolded, positions = (x, y) if name == "Conv2d" else (y, x)
    image = 4 * unfolded.shape[1] * 9 * prod(positions.shape[2:])  # bytes of its columns
    bound = 3 * max(conv_unfold.CHUNK_BYTES, image)
    assert shape[0] * image > bound or shape[0] == 2  # all columns at once would not pass
    gradients = [t.grad.untyped_storage().nbytes() for t in (x, *layer.parameters())]
    assert forward.peak - y.untyped_storage().nbytes() <= bound
    assert backward.peak - sum(gradients) <= bound


def needed_beside_the_results(batch):
    """Bytes that a convolution of many channels needs, forward and backward."""
    layer = nn.Conv2d(128, 128, 3, padding=1)
    x = torch.randn(batch, 128, 16, 16, requires_grad=True)
    assert layer.algorithm(x) == "winograd"
    with Memory() as forward:
        y = layer(x)
    dy = torch.randn_like(y)
    with Memory() as backward:
        y.backward(dy)
    return forward.peak - y.untyped_storage().nbytes(), backward.peak - x.untyped_storage().nbytes()


def test_memory_of_tiles_does_not_grow_with_the_batch():
    sizes = zip(*map(needed_beside_the_results, (64, 256)), strict=True)
    filters = 2 * 36 * 128 * 128  # at all points, and what they get
    for few, many in sizes:
        assert few == pytest.approx(many, rel=0.02)
        assert few <= 4 * (6 * conv_winograd.PIECE + filters)


def test_nothing_but_the_input_and_the_filters_is_kept_for_the_backward():
    x, layer = torch.randn(2, 3, 6, 6, requires_grad=True), nn.Conv2d(3, 4, 3)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        layer(x)
    assert {t.data_ptr() for t in kept} == {x.data_ptr(), layer.weight.data_ptr()}
    assert len(kept) == 2


@pytest.mark.parametrize("case", FAMILY, ids=str)
def test_result_may_be_written_over(case):
    ours, ref = case.twins()
    a = case.inputs()
    b = tuple(map(checks.twin_of, a))
    for layer, (x, *rest) in ((ours, a), (ref, b)):
        layer(x, *rest).mul_(3).square().sum().backward()
    assert_close(a[0].grad, b[0].grad)


def results(layer, inputs, dy):
    """Output and gradients, in float64 for comparison."""
    y = layer(*inputs)
    y.backward(dy.to(y.dtype))
    return [t.double() for t in (y, inputs[0].grad, *(p.grad for p in layer.parameters()))]


@pytest.mark.parametrize("case", FAMILY, ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "f16"])
def test_half_precision_on_the_cpu_is_right_to_one_rounding_or_as_torchs(case, dtype):
    ours, ref = case.twins(dtype)
    exact, a = deepcopy(ref).double(), case.inputs(dtype)
    b, c = (tuple(map(checks.twin_of, a)) for _ in range(2))
    c = (c[0].detach().double().requires_grad_(), *c[1:])
    with torch.no_grad():
        y = ours(*a)
    assert y.dtype == dtype
    dy = torch.randn_like(y)
    runs = (results(m, i, dy) for m, i in ((ours, a), (ref, b), (exact, c)))
    for t, t_ref, true in zip(*runs, strict=True):
        if t.numel():
            unit = torch.finfo(dtype).eps * true.abs().max()
            assert (t - true).abs().max() <= torch.maximum((t_ref - true).abs().max(), unit)


@pytest.mark.parametrize("name", ["Conv2d", "ConvTranspose2d"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "f16"])
def test_half_precision_on_the_cpu_rounds_once_however_long_the_sums(name, dtype):
    ours = getattr(nn, name)(16, 16, 3, dtype=dtype)
    exact = deepcopy(ours).double()
    x = torch.randn(8, 16, 8, 8, dtype=dtype, requires_grad=True)
    dy = torch.randn_like(ours(x).detach())
    runs = (results(ours, (x,), dy), results(exact, (x.detach().double().requires_grad_(),), dy))
    for t, true in zip(*runs, strict=True):
        ulp = torch.finfo(dtype).eps * true.abs()
        assert ((t - true).abs() <= 0.51 * ulp + 1e-5 * true.abs().max()).all()


def test_gradient_of_filters_in_half_precision_is_rounded_once(monkeypatch):
    monkeypatch.setattr(conv_unfold, "CHUNK_BYTES", 1)  # one image at a time
    x, layer = torch.rand(200, 1, 3, 3).bfloat16(), nn.Conv2d(1, 1, 3, dtype=torch.bfloat16)
    layer(x).sum().backward()
    assert_close(layer.weight.grad, x.float().sum(0, keepdim=True).bfloat16(), rtol=1e-2, atol=0)


def test_output_size_of_a_dilated_transposed_convolution():
    how = dict(kernel_size=3, stride=3, dilation=2, padding=1)
    ours, ref = (library.ConvTranspose2d(1, 1, **how) for library in (nn, torch.nn))
    ref.load_state_dict(ours.state_dict())
    x = torch.randn(1, 1, 4, 3)
    assert_close(ours(x, output_size=(13, 11)), ref(x, output_size=(13, 11)))


@pytest.mark.parametrize("case", FAMILY, ids=str)
def test_autocast_computes_in_the_type_that_torch_computes_in(case):
    (ours, ref), a = case.twins(torch.float32), case.inputs(torch.float32)
    b = tuple(map(checks.twin_of, a))
    with torch.autocast("cpu", torch.bfloat16):
        y, y_ref = ours(*a), ref(*b)
    assert y.dtype == y_ref.dtype
    whole = deepcopy(ours).to(y.dtype)(a[0].to(y.dtype), *a[1:])
    assert torch.equal(y, whole)  # bit by bit what a model all in that type gives
    y.sum().backward()
    y_ref.sum().backward()
    for t, t_ref in zip((a[0], *ours.parameters()), (b[0], *ref.parameters()), strict=True):
        assert t.grad.dtype == t_ref.grad.dtype


@pytest.mark.parametrize("name", ["Conv2d", "Conv3d", "ConvTranspose2d", "ConvTranspose3d"])
@pytest.mark.parametrize("which", ["input", "weight", "neither"])
@pytest.mark.parametrize("channels", [1, 3])
def test_channels_last_stays_channels_last(name, which, channels):
    layers = [getattr(m, name)(channels, 4, 2) for m in (nn, torch.nn)]
    layers[1].load_state_dict(layers[0].state_dict())
    rank = layers[0].rank
    layout = torch.channels_last if rank == 2 else torch.channels_last_3d
    a = torch.randn(2, channels, *range(3, 3 + rank)).requires_grad_()
    if which == "input":
        a = a.detach().to(memory_format=layout).requires_grad_()
    if which == "weight":
        layers = [layer.to(memory_format=layout) for layer in layers]
    b = a.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y, y_ref = layers[0](a), layers[1](b)
    assert y.stride() == y_ref.stride()
    assert_close(y, y_ref)
    dy = torch.randn_like(y_ref)
    y.backward(dy)
    y_ref.backward(dy)
    assert_close(a.grad, b.grad)


@one_of_each
def test_layer_exports_for_batches_of_every_size(case):
    ours, _ = case.twins(torch.float32)
    (x,) = (t.detach() for t in case.inputs(torch.float32))
    x = torch.cat([x, -x])
    program = torch.export.export(ours, (x,), dynamic_shapes=({0: torch.export.Dim("n")},))
    for batch in (x, torch.cat([x] * 1000)):
        assert_close(program.module()(batch), ours(batch))


@pytest.mark.filterwarnings(  # torch 2.11's own tracer instantiates the Function it traces
    "ignore:.*should not be instantiated:DeprecationWarning"
)
@pytest.mark.parametrize("first", [False, True], ids=["", "first"])  # layer of a network
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])
@one_of_each
def test_layer_and_its_gradients_compile_without_a_graph_break(case, dtype, first):
    torch._dynamo.reset()
    (ours, ref), a = case.twins(dtype), case.inputs(dtype)
    if first and not list(ours.parameters()):
        pytest.skip("nothing in it learns")
    a[0].requires_grad_(not first)
    b = tuple(map(checks.twin_of, a))
    y = torch.compile(ours, fullgraph=True, backend="aot_eager")(*a)
    y.square().sum().backward()
    ref(*b).square().sum().backward()
    assert_close(a[0].grad, b[0].grad)
    for p, q in zip(ours.parameters(), ref.parameters(), strict=True):
        assert_close(p.grad, q.grad)


@pytest.mark.parametrize(
    "over, case",
    [
        pytest.param(over, case, id=f"{over}-{case.name}")
        for over in ("input", "parameters", "both")
        for case in FIRST
        if over == "input" or list(case.build(nn).parameters())
    ],
)
def test_gradients_by_vmap(over, case):
    layers, (x, *_) = case.twins(), case.inputs()
    xs = torch.stack([x.detach(), -x.detach()]) if over != "parameters" else x.detach()
    results = []
    for layer in layers:
        params = {k: p.detach() for k, p in layer.named_parameters()}
        if over != "input":
            params = {k: torch.stack([p, p.flip(0)]) for k, p in params.items()}

        def loss(x, params, layer=layer):
            return torch.func.functional_call(layer, params, (x,)).square().sum()

        axes = (0 if over != "parameters" else None, 0 if over != "input" else None)
        results.append(torch.vmap(torch.func.grad(loss, (0, 1)), axes)(xs, params))
    assert_close(*results)


@one_of_each
def test_layer_knows_its_shape_without_data(case):
    ours, ref = (m.to("meta") for m in case.twins())
    inputs = case.inputs(device="meta")
    assert ours(*inputs).shape == ref(*inputs).shape


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_functional_forms_take_torchs_arguments_in_torchs_order(rank):
    shape = (2, 4, 5, 4, 6)[: rank + 2]
    x, w, b = torch.randn(shape), torch.randn(6, 2, *[2] * rank), torch.randn(6)
    args = (x, w, b, 2, 1, 2, 2)  # stride, padding, dilation, groups
    name = f"conv{rank}d"
    assert_close(getattr(functional, name)(*args), getattr(torch.nn.functional, name)(*args))
    args = (x, torch.randn(4, 3, *[2] * rank), b, 2, 1, 1, 2, 3)  # ..., output_padding, groups
    name = f"conv_transpose{rank}d"
    assert_close(getattr(functional, name)(*args), getattr(torch.nn.functional, name)(*args))


def test_functional_unfold_and_fold_take_torchs_arguments_in_torchs_order():
    x, F = torch.randn(2, 3, 7, 8), torch.nn.functional
    args = ((2, 3), 2, (1, 2), (2, 1))  # kernel, dilation, padding, stride
    columns = F.unfold(x, *args)
    assert torch.equal(functional.unfold(x, *args), columns)
    assert_close(functional.fold(columns, (7, 8), *args), F.fold(columns, (7, 8), *args))


W = torch.zeros(6, 4, 3, 3)
MISFITS = [
    ("conv2d", (torch.zeros(1, 4, 5, 5), W, torch.zeros(5)), {}, "(5,)"),
    ("conv2d", (torch.zeros(1, 4, 5, 5), W[0]), {}, "(4, 3, 3)"),
    ("conv2d", (torch.zeros(1, 4, 5, 5).double(), W), {}, "float64"),
    ("conv2d", (torch.zeros(1, 4, 5, 5).bfloat16(), W), {}, "bfloat16"),
    ("conv2d", (torch.zeros(1, 4, 5, 5), W), dict(groups=0), "0 groups"),
    ("conv2d", (torch.zeros(1, 16, 5, 5), W), dict(groups=4), "4 groups"),
    ("conv1d", (torch.zeros(1, 4, 5), W), {}, "(6, 4, 3, 3)"),
    ("conv2d", (torch.zeros(1, 4, 5, 5), W[:, :, :0]), {}, "(6, 4, 0, 3)"),
    ("conv_transpose2d", (torch.zeros(1, 6, 5, 5), W, torch.zeros(5)), {}, "(5,)"),
    ("conv_transpose2d", (torch.zeros(1, 6, 5, 5), W), dict(groups=4), "4 groups"),
    ("conv_transpose2d", (torch.zeros(1, 6, 5, 5), W), dict(dilation=0), "(0, 0)"),
]


@pytest.mark.parametrize("name, args, kwargs, value", MISFITS, ids=lambda v: str(v)[:20])
def test_functional_forms_refuse_operands_that_do_not_fit(name, args, kwargs, value):
    with pytest.raises(RuntimeError):
        getattr(torch.nn.functional, name)(*args, **kwargs)
    with pytest.raises(RuntimeError) as info:
        getattr(functional, name)(*args, **kwargs)
    assert value in str(info.value)


def support(model, image):
    """Along the diagonal of the output, the first and the last pixels that have a gradient."""
    x = torch.rand(1, 1, *image, dtype=torch.float64, requires_grad=True)
    y = model.double()(x)
    for h in range(min(y.shape[2:])):
        (g,) = torch.autograd.grad(y[(0, 0, *[h] * len(image))], x, retain_graph=True)
        pixels = g[0, 0].nonzero()
        yield h, pixels.min(0).values.tolist(), pixels.max(0).values.tolist()


def deep(m):
    """The book's deep network with a mean for the maximum, whose gradient is mostly zero."""
    for padding in (1, 2, 1):
        yield from (m.Conv2d(1, 1, 3, padding=1), m.Conv2d(1, 1, 3, padding=padding))
        yield m.AvgPool2d(2)


def stacks(m):
    """Layers whose gradient reaches every pixel of their window."""
    return [
        ((13, 12), m.Sequential(m.Conv2d(1, 1, 5), m.AvgPool2d(2), m.Sigmoid())),
        ((14, 9), m.Sequential(m.Conv2d(1, 1, (3, 2), stride=(2, 1), padding=1, dilation=(2, 1)))),
        ((9, 9), m.Sequential(m.Conv2d(1, 1, 4, padding="same"), m.Sequential(m.Tanh()))),
        (
            (17,),
            m.Sequential(m.Conv1d(1, 1, 3, padding=2), m.Conv1d(1, 1, 2, stride=3, dilation=2)),
        ),
        ((5, 6, 5), m.Sequential(m.Conv3d(1, 1, (1, 2, 3), padding=(0, 1, 1), stride=(2, 1, 1)))),
        ((70, 60), m.Sequential(*deep(m))),
    ]


@pytest.mark.parametrize("library", [nn, torch.nn], ids=["ours", "torch"])
@pytest.mark.parametrize("which", range(6))
def test_receptive_field_is_the_support_of_the_gradient(library, which):
    image, model = stacks(library)[which]
    with torch.no_grad():
        for p in model.parameters():
            p.abs_()  # nothing cancels
    field = receptive_field(model)
    for h, first, last in support(model, image):
        for axis, n in enumerate(image):
            start = field.start[axis] + h * field.jump[axis]
            kernel = [start + i for i in range(field.size[axis])]
            inside = [i for i in kernel if 0 <= i < n]
            if inside[0] == start:  # a dilated window that hangs over the edge may skip a pixel
                assert first[axis] == start
            if inside[-1] == kernel[-1]:
                assert last[axis] == kernel[-1]
            assert inside[0] <= first[axis] <= last[axis] <= inside[-1]


@pytest.mark.parametrize("library", ["dlbook", "torch"])
def test_receptive_field_of_the_books_networks(library):
    assert receptive_field(SimpleConvNet(library=library)) == ((6, 6), (2, 2), (0, 0))
    deep = receptive_field(DeepConvNet(library=library))
    assert (deep.size, deep.jump) == ((36, 36), (8, 8))


@pytest.mark.parametrize(
    "model, words",
    [
        (
            nn.Sequential(nn.Conv2d(1, 1, 3), nn.ConvTranspose2d(1, 1, 3)),
            "ConvTranspose2d (model.1)",
        ),
        (nn.Sequential(nn.Conv2d(1, 1, 3), torch.nn.GroupNorm(1, 1)), "GroupNorm (model.1)"),
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.Linear(3, 3)), "Linear (model.1)"),
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Conv1d(1, 1, 2)), "behind model.1"),
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv1d(1, 1, 2)), "behind layers of 2 axes"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3, 3)), "neither convolution nor pooling"),
        (nn.ModuleDict(dict(a=nn.Conv2d(1, 1, 3), b=nn.ReLU())), "ModuleDict (model)"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_receptive_field_says_which_layer_it_cannot_judge(model, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        receptive_field(model)
