"""Attention beyond the case table: its function alone, blind queries, dropout, types, tracers."""

import copy
import inspect

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import nn
from dlbook_torch.nn import functional

F = torch.nn.functional
L, S, N, E, H = 3, 4, 2, 6, 2
BLIND = torch.zeros(L, S, dtype=torch.bool)
BLIND[1] = True  # the second query may look at no key


def twins(dtype=torch.float64, **kwargs):
    ours, ref = (m.MultiheadAttention(E, H, **kwargs).to(dtype) for m in (nn, torch.nn))
    ref.load_state_dict(ours.state_dict())
    return ours, ref


def sequences(dtype=torch.float64):
    return [torch.randn(n, N, E).to(dtype) for n in (L, S, S)]


def results(f, inputs, loss, *args, **kwargs):
    """The output of a call, then the gradients of its inputs."""
    torch.manual_seed(1)
    inputs = [x.clone().requires_grad_() for x in inputs]
    y = f(*inputs, *args, **kwargs)
    loss(y).backward()
    return [y, *[x.grad for x in inputs]]


def test_arguments_are_torchs():
    name = "multi_head_attention_forward"
    ours, theirs = (
        inspect.signature(getattr(m, name)).parameters.values() for m in (functional, F)
    )
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize("shape", [(2, 3), (2,), ()], ids=str)
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        dict(is_causal=True),
        dict(scale=0.3),
        dict(scale=-1.0),
        dict(attn_mask=torch.rand(3, 5, generator=torch.Generator().manual_seed(0)) > 0.4),
        dict(attn_mask=torch.linspace(-2, 2, 15, dtype=torch.float64).view(3, 5)),
        dict(attn_mask=torch.linspace(-2, 2, 15).view(3, 5)),
        dict(attn_mask=torch.tensor([True, False, True]).view(3, 1).expand(3, 5)),
        dict(attn_mask=torch.tensor([0, -torch.inf, 0]).view(3, 1).expand(3, 5)),
        dict(dropout_p=0.4),
        dict(dropout_p=1.0),
    ],
    ids=[
        "plain",
        "causal",
        "scale",
        "negative",
        "bool",
        "f64",
        "f32",
        "blind",
        "blind-f32",
        "dropped",
        "gone",
    ],
)
def test_scaled_dot_product_is_torchs(shape, kwargs):
    inputs = [torch.randn(*shape, n, e, dtype=torch.float64) for n, e in ((3, 4), (5, 4), (5, 2))]
    ours, theirs = (
        results(m.scaled_dot_product_attention, inputs, lambda y: y.square().sum(), **kwargs)
        for m in (functional, F)
    )
    assert_close(ours, theirs)


def test_a_head_of_keys_serves_several_of_queries():
    q, k, v = torch.randn(1, 4, 3, 2), torch.randn(1, 2, 5, 2), torch.randn(1, 1, 5, 3)
    ours, theirs = (
        m.scaled_dot_product_attention(q, k, v, enable_gqa=True) for m in (functional, F)
    )
    assert_close(ours, theirs)


@pytest.mark.parametrize(
    "change, value",
    [
        (dict(query=torch.zeros(4)), "(4,)"),
        (dict(key=torch.zeros(2, 4, dtype=torch.float64)), "torch.float64"),
        (dict(key=torch.zeros(2, 5)), "5"),
        (dict(attn_mask=torch.zeros(3, 2, dtype=torch.int)), "int32"),
        (dict(attn_mask=torch.zeros(3, 3)), "3"),
        (dict(dropout_p=1.5), "1.5"),
        (
            dict(
                query=torch.zeros(4, 3, 4),
                key=torch.zeros(3, 2, 4),
                value=torch.zeros(3, 2, 4),
                enable_gqa=True,
            ),
            "3 and 3",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_scaled_dot_product_refuses_what_torch_refuses(change, value):
    call = dict(query=torch.zeros(3, 4), key=torch.zeros(2, 4), value=torch.zeros(2, 4)) | change
    with pytest.raises(RuntimeError):
        F.scaled_dot_product_attention(**call)
    with pytest.raises(RuntimeError) as info:
        functional.scaled_dot_product_attention(**call)
    assert value in str(info.value)


def test_scaled_dot_product_takes_one_mask():
    q, mask = torch.zeros(3, 4), torch.ones(3, 3, dtype=torch.bool)
    with pytest.raises(RuntimeError, match="is_causal"):  # torch 2.11 takes both on the CPU
        functional.scaled_dot_product_attention(q, q, q, attn_mask=mask, is_causal=True)


@pytest.mark.parametrize("need_weights", [True, False])
def test_query_without_a_key_gets_what_torch_gives(need_weights):
    inputs = sequences()

    def call(layer):
        return results(
            lambda *x: layer(*x, need_weights=need_weights, attn_mask=BLIND)[0], inputs, torch.sum
        )

    ours, theirs = map(call, twins())
    assert_close(ours, theirs, equal_nan=True)
    assert ours[0][1].isnan().all() == need_weights
    assert not ours[0][0].isnan().any()


@pytest.mark.parametrize("average", [True, False])
def test_gradient_through_the_weights_is_torchs(average):
    inputs = sequences()

    def call(layer):
        return results(
            lambda *x: layer(*x, average_attn_weights=average)[1],
            inputs[:2],
            lambda w: w[..., 0].square().sum(),
            inputs[2],
        )

    ours, theirs = map(call, twins(dropout=0.3))
    assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("need_weights", [True, False])
def test_narrow_types_are_as_exact_as_torchs(dtype, need_weights):
    ours, ref = twins(dtype)
    inputs = sequences(dtype)
    y, w = ours(*inputs, need_weights=need_weights)
    y_ref, w_ref = ref(*inputs, need_weights=need_weights)
    assert y.dtype == y_ref.dtype == dtype
    exact = copy.deepcopy(ours).double()(*[x.double() for x in inputs])
    eps = torch.finfo(dtype).eps
    assert_close(y.double(), exact[0], rtol=eps, atol=eps)
    if need_weights:
        assert w.dtype == w_ref.dtype == dtype
        assert_close(w.double(), exact[1], rtol=eps, atol=eps)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("kwargs", [{}, dict(add_bias_kv=True), dict(add_zero_attn=True)], ids=str)
@pytest.mark.parametrize("mask", [None, torch.zeros(L, S), torch.zeros(L, S).bool()], ids=str)
def test_autocast_gives_the_types_that_torch_gives(dtype, need_weights, kwargs, mask):
    ours, ref = twins(torch.float32, **kwargs)
    inputs, found = sequences(torch.float32), []
    for layer in (ours, ref):
        with torch.autocast("cpu", dtype):
            y, w = layer(*inputs, need_weights=need_weights, attn_mask=mask)
        y.float().sum().backward()
        found.append((y.dtype, w if w is None else w.dtype, layer.in_proj_weight.grad.dtype))
    assert found[0] == found[1]
    assert found[0][0] == dtype


def test_masks_of_two_types_are_warned_of():
    ours, ref = twins()
    masks = dict(key_padding_mask=torch.zeros(N, S).bool(), attn_mask=torch.zeros(L, S).double())
    inputs = sequences()
    with pytest.warns(UserWarning, match="mismatched"):
        expected = ref(*inputs, **masks)
    with pytest.warns(UserWarning, match=r"float64 and torch.bool"):
        assert_close(ours(*inputs, **masks), expected)


@pytest.mark.parametrize("add_zero_attn", [True, False])
def test_given_keys_and_values_are_not_projected(add_zero_attn):
    layers, (q, k, v) = twins(), sequences()
    static = [torch.randn(N * H, 5, E // H).double() for _ in "kv"]

    def call(library, layer):
        out = layer.out_proj
        args = (layer.in_proj_weight, layer.in_proj_bias, None, None, add_zero_attn, 0.0)
        return library.multi_head_attention_forward(
            q, k, v, E, H, *args, out.weight, out.bias, static_k=static[0], static_v=static[1]
        )

    assert_close(call(functional, layers[0]), call(F, layers[1]))


def test_inference_kernel_of_torch_gives_the_same():
    ours, ref = (layer.eval() for layer in twins(batch_first=True))
    x = torch.randn(N, L, E).double()
    with torch.no_grad():
        assert_close(ours(x, x, x), ref(x, x, x))


@pytest.mark.filterwarnings(  # torch 2.11's own tracer instantiates the Function it traces
    "ignore:.*should not be instantiated:DeprecationWarning"
)
@pytest.mark.parametrize(
    "need_weights, kwargs", [(True, dict(batch_first=True)), (False, dict(add_bias_kv=True))]
)
def test_masked_layer_compiles_without_a_graph_break(need_weights, kwargs):
    torch._dynamo.reset()
    ours, ref = twins(**kwargs)
    inputs = sequences()
    if "batch_first" in kwargs:
        inputs = [x.transpose(0, 1) for x in inputs]
    masks = (torch.zeros(N, S).bool(), need_weights, torch.eye(L, S).bool())
    y = torch.compile(ours, fullgraph=True, backend="aot_eager")(*inputs, *masks)
    assert_close(y, ref(*inputs, *masks))


def test_layer_is_exported_and_mapped_over():
    ours, (q, k, v) = twins()[0], sequences()
    expected = ours(q, k, v)
    assert_close(torch.export.export(ours, (q, k, v)).module()(q, k, v), expected)
    y = torch.vmap(lambda q: ours(q, k, v, need_weights=False)[0])(torch.stack([-q, q]))
    assert_close(y[1], expected[0])


def test_weights_are_drawn_anew_as_torch_draws_them():
    drawn = []
    for layer in twins(torch.float32, add_bias_kv=True, kdim=3):
        torch.manual_seed(0)
        layer._reset_parameters()
        drawn.append([p for name, p in layer.named_parameters() if name != "out_proj.weight"])
    assert_close(*drawn, rtol=0, atol=0)
