"""First values: the same draws as torch's, and of the size that their names promise."""

import inspect
import math

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch.nn import init
from dlbook_torch.nn.init import calculate_gain

REDRAWS = "erfinv" not in inspect.getsource(torch.nn.init)  # not so trunc_normal_ of torch 2.11
NAMES = [name for name in init.__all__ if name != "lecun_normal_"]
ANY, MATRIX, KERNEL = (7,), (6, 9), (6, 4, 3, 2)

FILLS = [
    *[("uniform_", shape, kw) for shape in (ANY, KERNEL) for kw in ({}, dict(a=-1.0, b=3.0))],
    *[("normal_", shape, kw) for shape in (ANY, KERNEL) for kw in ({}, dict(mean=2.0, std=0.1))],
    *[("constant_", shape, dict(val=0.3)) for shape in (ANY, KERNEL)],
    *[(name, shape, {}) for name in ("ones_", "zeros_") for shape in (ANY, KERNEL)],
    *[("eye_", shape, {}) for shape in (MATRIX, MATRIX[::-1])],
    *[("dirac_", shape, {}) for shape in ((5, 3, 4), KERNEL, (3, 4, 2, 3, 5))],
    *[("dirac_", KERNEL, dict(groups=groups)) for groups in (2, 3)],
    *[
        (name, shape, kw)
        for name in ("xavier_uniform_", "xavier_normal_")
        for shape in (MATRIX, KERNEL)
        for kw in ({}, dict(gain=1.7))
    ],
    *[
        (name, shape, kw)
        for name in ("kaiming_uniform_", "kaiming_normal_")
        for shape in (MATRIX, KERNEL)
        for kw in (
            {},
            dict(a=0.5),
            dict(mode="FAN_OUT", nonlinearity="relu"),
            dict(nonlinearity="tanh"),
        )
    ],
    *[("orthogonal_", shape, {}) for shape in (MATRIX, MATRIX[::-1], KERNEL, (0, 3))],
    ("orthogonal_", MATRIX, dict(gain=2)),
    *[("sparse_", shape, dict(sparsity=0.35)) for shape in (MATRIX, (0, 3))],
    ("sparse_", MATRIX, dict(sparsity=0.5, std=2.0)),
]
TRUNCATED = [
    {},
    dict(std=0.02),
    dict(mean=1.0, std=2.0, a=0.0, b=1.5),
    dict(a=1.5, b=4.0),
    dict(std=3.0, a=-0.5, b=0.1),
]
if REDRAWS:
    FILLS += [("trunc_normal_", shape, kw) for shape in (ANY, KERNEL, (0,)) for kw in TRUNCATED]


def brief(value):
    return ",".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


DTYPES = [torch.float32, torch.float64, torch.bfloat16]


@pytest.mark.parametrize(
    "name, shape, kwargs, dtype",
    [
        (*fill, dtype)
        for fill in FILLS
        for dtype in DTYPES
        if fill[0] != "orthogonal_" or dtype != torch.bfloat16  # QR is not made for it
    ],
    ids=brief,
)
def test_same_seed_same_values_bit_by_bit(name, shape, kwargs, dtype):
    results = []
    for library in (init, torch.nn.init):
        torch.manual_seed(0)
        w = torch.full(shape, 7, dtype=dtype, requires_grad=True)
        assert getattr(library, name)(w, **kwargs) is w
        assert w.requires_grad
        assert w.grad_fn is None
        results.append((w.detach(), torch.rand(3)))
    assert_close(*results, rtol=0, atol=0)


def test_every_function_of_torch_is_here_with_its_arguments():
    ref = torch.nn.init
    fills = {name for name in vars(ref) if name.endswith("_") and name[0] != "_"}
    assert fills | {"calculate_gain"} == set(NAMES)
    for name in NAMES:
        ours, theirs = (inspect.signature(getattr(m, name)).parameters for m in (init, ref))
        assert [(p.name, p.default) for p in ours.values()] == [
            (p.name, p.default) for p in theirs.values()
        ]


DRAWING = ["uniform_", "normal_", "xavier_uniform_", "kaiming_normal_", "orthogonal_", "sparse_"]


@pytest.mark.parametrize("name", DRAWING + ["trunc_normal_"] * REDRAWS)
def test_generator_is_drawn_from_and_transposed_weights_are_filled_alike(name):
    results = []
    for library in (init, torch.nn.init):
        torch.manual_seed(1)
        w, generator = torch.zeros(9, 6).T, torch.Generator().manual_seed(3)
        args = (0.3,) if name == "sparse_" else ()
        results.append(getattr(library, name)(w, *args, generator=generator))
    assert_close(*results, rtol=0, atol=0)


@pytest.mark.parametrize(
    "fill, std",
    [
        (init.lecun_normal_, 1 / math.sqrt(200)),
        (init.xavier_normal_, math.sqrt(2 / 500)),
        (init.xavier_uniform_, math.sqrt(2 / 500)),
        (init.kaiming_normal_, math.sqrt(2 / 200)),
        (init.kaiming_uniform_, math.sqrt(2 / 200)),
        (lambda w: init.kaiming_normal_(w, mode="fan_out"), math.sqrt(2 / 300)),
        (lambda w: init.kaiming_uniform_(w, a=math.sqrt(5)), 1 / math.sqrt(3 * 200)),
        (lambda w: init.trunc_normal_(w, std=2, a=-4, b=4), 2 * 0.8796),
        (lambda w: init.trunc_normal_(w, a=2, b=9), 0.3391),
        (lambda w: init.uniform_(w, 1, 4), 3 / math.sqrt(12)),
    ],
    ids=[
        "lecun",
        "xavier",
        "xavier-u",
        "he",
        "he-u",
        "he-out",
        "default",
        "cut",
        "tail",
        "uniform",
    ],
)
def test_standard_deviation_is_the_promised_one(fill, std):
    w = fill(torch.empty(300, 200, dtype=torch.float64))
    assert w.std().item() == pytest.approx(std, rel=0.01)


def test_initialisation_of_the_notes_has_another_name_in_torch():
    results = []
    for fill in (
        init.lecun_normal_,
        lambda w: torch.nn.init.kaiming_normal_(w, nonlinearity="linear"),
        lambda w: torch.nn.init.normal_(w, std=1 / math.sqrt(8)),
        torch.nn.init.xavier_normal_,  # the same here alone, where inputs and outputs are as many
    ):
        torch.manual_seed(0)
        results.append(fill(torch.empty(8, 8)))
    for other in results[1:]:
        assert_close(results[0], other)


@pytest.mark.parametrize("kwargs", TRUNCATED, ids=brief)
def test_truncated_values_are_normal_within_their_bounds(kwargs):
    given = dict(mean=0.0, std=1.0, a=-2.0, b=2.0) | kwargs
    w = init.trunc_normal_(torch.empty(100_000, dtype=torch.float64), **kwargs)
    assert given["a"] <= w.min() < w.max() <= given["b"]
    normal = torch.distributions.Normal(given["mean"], given["std"])
    low, high = (normal.cdf(torch.tensor(given[k])) for k in "ab")
    x = torch.linspace(given["a"], given["b"], 9)[1:-1]
    expected = (normal.cdf(x) - low) / (high - low)
    measured = torch.stack([(w <= edge).double().mean() for edge in x])
    assert_close(measured, expected.double(), rtol=0, atol=0.006)  # about four deviations


@pytest.mark.parametrize("shape", [MATRIX, MATRIX[::-1], (5, 5)], ids=str)
def test_orthogonal_rows_or_columns_are_perpendicular(shape):
    w = init.orthogonal_(torch.empty(shape, dtype=torch.float64), gain=3)
    small = w @ w.T if shape[0] <= shape[1] else w.T @ w
    assert_close(small, 9 * torch.eye(min(shape), dtype=torch.float64))


def test_sparse_columns_have_as_many_zeros_as_asked():
    w = init.sparse_(torch.empty(10, 6), sparsity=0.35)
    assert ((w == 0).sum(0) == 4).all()


@pytest.mark.parametrize(
    "name",
    ["linear", "conv2d", "conv_transpose1d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"],
)
def test_gains_are_torchs(name):
    assert calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


@pytest.mark.parametrize(
    "name, args, error, value",
    [
        ("calculate_gain", ("gelu",), ValueError, "gelu"),
        ("calculate_gain", ("leaky_relu", True), ValueError, "True"),
        ("calculate_gain", ("leaky_relu", "a"), ValueError, "a"),
        ("eye_", (torch.empty(3),), ValueError, "(3,)"),
        ("sparse_", (torch.empty(3), 0.1), ValueError, "(3,)"),
        ("dirac_", (torch.empty(3, 4),), ValueError, "(3, 4)"),
        ("dirac_", (torch.empty(3, 4, 5), 2), ValueError, "groups=2"),
        ("orthogonal_", (torch.empty(3),), ValueError, "(3,)"),
        ("xavier_uniform_", (torch.empty(3),), ValueError, "(3,)"),
        ("xavier_normal_", (torch.empty(3),), ValueError, "(3,)"),
        ("kaiming_normal_", (torch.empty(3),), ValueError, "(3,)"),
        ("kaiming_uniform_", (torch.empty(3, 4), 0, "fan_up"), ValueError, "fan_up"),
        ("kaiming_uniform_", (torch.empty(3, 4), 0, "fan_in", "gelu"), ValueError, "gelu"),
        ("uniform_", (torch.empty(3), 2.0, 1.0), RuntimeError, "2"),
        ("normal_", (torch.empty(3), 0.0, -1.0), RuntimeError, "-1"),
    ],
    ids=str,
)
def test_ours_refuses_what_torch_refuses_and_names_the_value(name, args, error, value):
    with pytest.raises(error):
        getattr(torch.nn.init, name)(*args)
    with pytest.raises(error) as info:
        getattr(init, name)(*args)
    assert value in str(info.value)


@pytest.mark.parametrize(
    "fill, theirs, ours",
    [
        (
            lambda m: m.trunc_normal_(torch.empty(5), mean=6.0),
            "more than 2 std",
            "mean 6.0 .* 2 std",
        ),
        (lambda m: m.kaiming_normal_(torch.empty(0, 5)), "zero-element", "without elements"),
        (lambda m: m.kaiming_uniform_(torch.empty(0, 5)), "zero-element", "without elements"),
    ],
    ids=["far", "empty", "empty-uniform"],
)
def test_ours_warns_where_torch_warns(fill, theirs, ours):
    with pytest.warns(UserWarning, match=theirs):
        fill(torch.nn.init)
    with pytest.warns(UserWarning, match=ours) as record:
        fill(init)
    assert record[0].filename == __file__


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith("_")])
def test_weights_without_memory_stay_so(name):
    args = {"constant_": (1.0,), "sparse_": (0.5,)}.get(name, ())
    shape = MATRIX if name in ("eye_", "sparse_") else KERNEL
    w = torch.empty(shape, device="meta")
    assert getattr(init, name)(w, *args) is w
