"""Every layer against the torch layer of the same name: every promise over every row of cases."""

from functools import partial
from inspect import signature

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import nn
from dlbook_torch.nn import functional, geometry
from dlbook_torch.parity import checks
from dlbook_torch.parity.cases import CASES, REFUSED, Case, activation
from dlbook_torch.parity.cases.base import ROW
from dlbook_torch.parity.promises import LAYERS, REFUSALS, promised

pytestmark = pytest.mark.filterwarnings(
    "ignore:Using padding='same' with even kernel:UserWarning"  # torch's own layer says so
)
NAMES = sorted({case.name for case in CASES})


@pytest.mark.filterwarnings("ignore:Using a target size:UserWarning")
@pytest.mark.filterwarnings("ignore:.*they broadcast:UserWarning")
@pytest.mark.filterwarnings(  # torch 2.11's own tracer instantiates the Function it traces
    "ignore:.*should not be instantiated:DeprecationWarning"
)
@pytest.mark.parametrize(
    "promise, row",
    [
        pytest.param(promise, row, id=f"{row}-{promise}")
        for promise, row in promised(LAYERS, CASES) + promised(REFUSALS, REFUSED)
    ],
)
def test_layer_keeps_its_promise(promise, row):
    try:
        promise(row)
    except checks.TorchRefuses:
        pytest.skip(f"{promise}: torch's own layer does not either")


def test_every_public_layer_has_a_case_and_no_case_stands_twice():
    own = {n for n in nn.__all__ if getattr(nn, n) is not getattr(torch.nn, n, None)}
    own -= {"functional", "init", "algorithms"}
    assert own == set(NAMES)
    ids = [str(case) for case in (*CASES, *REFUSED)]
    assert len(ids) == len(set(ids))


def test_elementary_are_no_functions_of_layers():
    kernels = {name for name in checks.ELEMENTARY if name.endswith("backward")}
    kernels |= {name for name in checks.ELEMENTARY if name.startswith(("native_", "_fused_"))}
    assert not kernels | {n for n in checks.ELEMENTARY if n.strip("_") in dir(torch.nn.functional)}


# Values and gradients where a formula is easily wrong: zeros of both signs, saturation, overflow.
# And where the pieces of one meet.
EDGES = [0.0, 1e-8, 0.3, 0.5, 0.7, 1.0, 3.0, 6.0, 10.0, 20.0, 20.5, 89.0, 100.0, 1e4]
EDGES = [sign * x for x in EDGES for sign in (1, -1)]
INFINITE = [torch.inf, -torch.inf, torch.nan]
HALVES = [torch.bfloat16, torch.float16]
FULLS = [torch.float32, torch.float64]
# One row of each elementwise activation and of each of its settings.
ELEMENTWISE = [c for c in activation.CASES if c.shape == ROW and "dim" not in c.kwargs]
elementwise = pytest.mark.parametrize("case", ELEMENTWISE, ids=str)


def values_and_slopes(layer, x):
    """The layer's answer, and the gradient of its sum."""
    x = x.detach().clone().requires_grad_()
    y = layer(x)
    y.backward(torch.ones_like(y))
    return y.detach(), x.grad


@elementwise
@pytest.mark.parametrize("dtype", FULLS + HALVES, ids=str)
def test_edges_are_torchs(case, dtype):
    ours, ref = case.twins(dtype)
    x = torch.tensor(2 * (INFINITE + EDGES), dtype=dtype)
    together = values_and_slopes(ref, x)
    # What torch makes of inf and nan differs with the kernel, of one number, of many or of 64 bits:
    # it is to be copied where they agree.
    alone = map(torch.cat, zip(*[values_and_slopes(ref, t) for t in x.split(1)], strict=True))
    wide = values_and_slopes(ref, x.double())
    same = partial(torch.isclose, rtol=0.02, equal_nan=True)
    agreed = [
        x.isfinite() | (same(one, two) & same(one.double(), three))
        for one, two, three in zip(together, alone, wide, strict=True)
    ]
    mine = values_and_slopes(ours, x)
    for y, y_ref, here in zip(mine, together, agreed, strict=True):
        assert_close(y[here], y_ref[here], equal_nan=True)
    number = agreed[0] & ~mine[0].isnan()
    assert torch.equal(mine[0].signbit()[number], together[0].signbit()[number])


@elementwise
@pytest.mark.parametrize("dtype", FULLS, ids=str)
def test_gradients_of_gradients_at_the_edges_are_torchs(case, dtype):
    def bend(layer):
        x = torch.tensor(EDGES, dtype=dtype, requires_grad=True)
        (slope,) = torch.autograd.grad(layer(x).sum(), x, create_graph=True)
        return torch.autograd.grad(slope.sum(), x)[0]

    ours, ref = case.twins(dtype)
    if case.name != "Hardsigmoid":
        assert_close(bend(ours), bend(ref))
        return
    with pytest.raises(RuntimeError, match="not implemented"):  # torch has none
        bend(ref)
    assert not bend(ours).any()


@pytest.mark.parametrize("case", activation.CASES, ids=str)
@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_activation_is_as_exact_as_torchs_in_16_bits(case, dtype):
    # Not against torch's numbers: some of its kernels round more than once on the way.
    ours, ref = case.twins(dtype)
    x = torch.randn(50, *case.shape, dtype=dtype)
    dy = torch.randn_like(x)

    def errors(layer):
        answers = []
        for kind, a in ((layer, x), (ref, x.double())):
            a = a.detach().requires_grad_()
            y = kind(a)
            y.backward(dy.to(y.dtype))
            assert y.dtype == a.grad.dtype == a.dtype
            answers.append(torch.stack([y.detach(), a.grad]).double())
        return (answers[0] - answers[1]).abs().reshape(2, -1)

    mine, theirs = errors(ours), errors(ref)
    assert (mine.sum(1) <= 1.05 * theirs.sum(1)).all()


def test_relu6_is_a_function_too():
    x = torch.linspace(-1, 8, 19)
    assert_close(functional.relu6(x), torch.nn.functional.relu6(x))


@pytest.mark.parametrize("name", ["Sigmoid", "Tanh", "SiLU"])
def test_complex_numbers_are_left_to_torch(name):
    z = torch.tensor([0.5 + 0.5j])
    getattr(torch.nn, name)()(z)
    with pytest.raises(NotImplementedError, match="complex64"):
        getattr(nn, name)()(z)


def test_tanh_keeps_its_digits_near_zero():
    x = torch.tensor([1e-12, -1e-8, 1e-5], dtype=torch.float64)
    assert_close(nn.Tanh()(x), torch.tanh(x), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(
    "row",
    [[1e4, 0.0], [-1e4, 0.0], [3.0, 3.0], [-torch.inf, 0.0], [[1e4, 0.0], [0.0, 0.0]]],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_softmax_survives_the_exponentials_that_overflow(name, row, dtype):
    x = torch.tensor([row], dtype=dtype)
    assert_close(getattr(nn, name)(dim=1)(x), getattr(torch.nn, name)(dim=1)(x))


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_is_computed_in_the_type_that_is_asked_for(name):
    x = torch.randn(3, 4)
    ours, ref = (
        getattr(f, name)(x, 1, dtype=torch.float64) for f in (functional, torch.nn.functional)
    )
    assert_close(ours, ref)


@pytest.mark.parametrize("shape", [(), (5,), (4, 5), (2, 4, 5), (2, 3, 4, 5)], ids=str)
def test_softmax_guesses_the_axis_that_torch_guesses_and_warns(shape):
    x = torch.randn(shape)
    with pytest.warns(UserWarning, match="Implicit dimension"):
        expected = torch.nn.Softmax()(x)
    with pytest.warns(UserWarning, match="without dim"):
        assert_close(nn.Softmax()(x), expected)


@pytest.mark.parametrize("name", ["NLLLoss", "CrossEntropyLoss"])
def test_loss_of_nothing_of_bytes_and_of_scores_that_overflow(name):
    x = 1e4 * torch.eye(3, dtype=torch.float64)
    for t in (torch.full((3,), -100), torch.tensor([0, 1, 1], dtype=torch.uint8)):
        ours, ref = (getattr(library, name)()(x, t) for library in (nn, torch.nn))
        assert_close(ours, ref, equal_nan=True)


@pytest.mark.filterwarnings("ignore:size_average and reduce args:UserWarning")
@pytest.mark.parametrize("size_average, reduce", [(False, None), (True, True), (None, False)])
def test_loss_understands_the_old_words_for_reduction(size_average, reduce):
    x, t, old = torch.randn(4, 5), torch.randn(4, 5), dict(size_average=size_average, reduce=reduce)
    expected = torch.nn.functional.mse_loss(x, t, **old)
    assert_close(nn.MSELoss(**old)(x, t), expected)
    assert_close(functional.mse_loss(x, t, **old), expected)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mse_loss_weighs_its_elements_and_their_mean(reduction):
    x, t, weight = torch.randn(3, 4, 5).unbind()
    weight = weight.abs()
    ours, ref = (
        f.mse_loss(x, t, weight=weight, reduction=reduction)
        for f in (functional, torch.nn.functional)
    )
    assert_close(ours, ref)


def test_max_pool_gives_a_tie_to_the_first_and_nan_wins():
    x = torch.tensor([[[1.0, 1.0, 0.0, torch.nan], [1.0, 0.0, 2.0, 5.0]]], requires_grad=True)
    y, index = nn.MaxPool2d(2, return_indices=True)(x)
    assert index.tolist() == [[[0, 3]]]
    assert torch.isnan(y[0, 0, 1])
    y.backward(torch.ones_like(y))
    assert x.grad.tolist() == [[[1, 0, 0, 1], [0, 0, 0, 0]]]


def test_max_pool_of_minus_infinity_points_to_the_first_pixel_inside():
    x, how = torch.full((1, 6, 5), -torch.inf), (2, 1, 1, 3)
    ours, ref = (m.MaxPool2d(*how, return_indices=True)(x) for m in (nn, torch.nn))
    assert torch.equal(ours[1], ref[1])


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_pooling_function_steps_by_its_kernel_unless_told_otherwise(name):
    x = torch.randn(2, 3, 6, 5)
    assert_close(getattr(functional, name)(x, 2), getattr(torch.nn.functional, name)(x, 2))


IN_PLACE = [
    case for case in ELEMENTWISE if "inplace" in signature(case.build(nn).__init__).parameters
]


IN_PLACE_OR_DROPOUT = [*IN_PLACE, Case("6.5", "Dropout", (50,), dict(p=0.3))]


@pytest.mark.parametrize("case", IN_PLACE_OR_DROPOUT, ids=str)
def test_inplace_writes_over_the_input_and_only_then(case):
    for inplace in (True, False):
        layer = getattr(nn, case.name)(**case.kwargs, inplace=inplace)
        x = torch.randn(50)
        before = x.clone()
        y = layer(x)
        assert (y.data_ptr() == x.data_ptr()) is inplace
        assert torch.equal(x, before) is not inplace


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("case", IN_PLACE_OR_DROPOUT, ids=str)
def test_inplace_layer_passes_on_the_gradient_that_torchs_does(case, compiled):
    def slopes(library):
        torch.manual_seed(0)  # of the masks
        layer = getattr(library, case.name)(**case.kwargs, inplace=True)
        call = lambda x: layer(x * 1)  # noqa: E731
        if compiled and library is nn:
            torch._dynamo.reset()
            call = torch.compile(call, fullgraph=True, backend="aot_eager")
        with nn.algorithms(dropout="bernoulli"):
            return [
                values_and_slopes(call, torch.linspace(-7, 7, 29, dtype=dtype))
                for dtype in ((torch.float64,) if compiled else (torch.float64, torch.bfloat16))
            ]

    if min(case.kwargs.get(name, 0) for name in ("alpha", "negative_slope")) < 0:
        for library in (torch.nn,) if compiled else (torch.nn, nn):
            with pytest.raises(RuntimeError):  # y does not tell where x was negative
                slopes(library)
        return
    assert_close(slopes(nn), slopes(torch.nn))


@pytest.mark.parametrize("case", IN_PLACE, ids=str)
def test_inplace_activation_refuses_a_parameter_as_torchs_does(case):
    for library in (torch.nn, nn):
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            getattr(library, case.name)(**case.kwargs, inplace=True)(
                torch.zeros(3).requires_grad_()
            )


@elementwise
def test_activation_refuses_the_types_of_number_that_torch_refuses(case):
    ours, ref = case.twins(torch.float32)
    for x in (torch.tensor([-2, 0, 3, 9]), torch.tensor([True, False])):
        try:
            expected = ref(x)
        except RuntimeError:  # in later versions, its NotImplementedError
            with pytest.raises(NotImplementedError, match=str(x.dtype)):
                ours(x)
        else:
            assert_close(ours(x), expected)


@pytest.mark.parametrize("name", ["Softmax", "Softmin", "LogSoftmax"])
def test_softmax_of_a_transposed_input_can_be_viewed_as_torchs_can(name):
    y = getattr(nn, name)(dim=1)(torch.randn(4, 5).t())
    assert y.is_contiguous()


def test_hardtanh_knows_its_old_names():
    for library in (torch.nn, nn):
        with pytest.warns(FutureWarning, match="min_value"):
            layer = library.Hardtanh(min_value=-2.0)
        with pytest.warns(FutureWarning, match="max_value"):
            layer = library.Hardtanh(-2.0, max_value=0.5)
        assert (layer.min_val, layer.max_val) == (-2, 0.5)
    with pytest.raises(ValueError, match="got 2"):
        functional.hardtanh(torch.zeros(3), 2, 1)


def test_dropout_keeps_the_expectation_not_the_variance():
    x, p = torch.full((200_000,), 3.0), 0.4
    y = nn.Dropout(p)(x)
    assert y.mean().item() == pytest.approx(3, abs=0.03)
    assert y.var().item() == pytest.approx(9 * p / (1 - p), rel=0.02)


@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_dropout_function_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match=str(p)):
        functional.dropout(torch.ones(2), p)


@pytest.mark.parametrize("momentum", [None, 0.3])
def test_running_statistics_of_several_batches_and_their_reset(momentum):
    ours, ref = (m.BatchNorm1d(3, momentum=momentum) for m in (nn, torch.nn))
    for batch in torch.randn(3, 4, 3):
        assert_close(ours(batch), ref(batch))
    assert_close(ours.state_dict(), ref.state_dict())
    torch.nn.init.zeros_(ours.weight)
    ours.reset_parameters()
    assert_close(ours.state_dict(), nn.BatchNorm1d(3).state_dict())


def test_statistics_of_half_precision_are_summed_in_single():
    x, (ours, ref) = torch.randn(64, 3) + 10, (m.BatchNorm1d(3) for m in (nn, torch.nn))
    assert_close(ours(x.bfloat16()), ref(x.bfloat16()))
    assert_close(ours.state_dict(), ref.state_dict())


def test_batch_norm_without_shift():
    assert set(dict(nn.BatchNorm2d(3, bias=False).named_parameters())) == {"weight"}


def test_running_statistics_keep_no_graph():
    norm = nn.BatchNorm1d(3)
    norm(torch.randn(4, 3, requires_grad=True))
    assert not norm.running_mean.requires_grad
    assert not norm.running_var.requires_grad


def test_large_batch_is_cut_in_pieces_without_a_difference():
    from dlbook_torch.nn import conv_unfold

    x, w = torch.randn(5, 3, 8, 8).double(), torch.randn(4, 3, 3, 3).double()
    whole = functional.conv2d(x, w)
    old, conv_unfold.CHUNK_BYTES = conv_unfold.CHUNK_BYTES, 1  # one image at a time
    try:
        assert_close(functional.conv2d(x, w), whole)
        case = next(c for c in CASES if c.name == "Conv2d" and c.kwargs.get("stride"))
        checks.compare(case)
    finally:
        conv_unfold.CHUNK_BYTES = old


@pytest.mark.parametrize("size", [5, 6, 7, 28])
@pytest.mark.parametrize(
    "how", [(5, 2, 0), (3, 1, 1), (2, 3, 1), (3, 2, 1), (3, 1, 1, 2), (2, 2, 1, 3)], ids=str
)
def test_output_size_is_the_size_of_torchs_output(size, how):
    for ceil_mode in (False, True):
        y = torch.nn.MaxPool1d(*how, ceil_mode=ceil_mode)(torch.zeros(1, 1, size))
        assert geometry.output_size(size, *how, ceil_mode=ceil_mode) == y.shape[-1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "f16"])
def test_autocast_gives_the_types_that_torch_gives(dtype):
    layers = [
        lambda m: m.Linear(5, 3),
        lambda m: m.Sequential(m.Conv2d(1, 2, 3), m.BatchNorm2d(2), m.ReLU(), m.MaxPool2d(2)),
    ]
    for make, shape in zip(layers, [(4, 5), (4, 1, 8, 8)], strict=True):
        ours, ref = make(nn), make(torch.nn)
        ref.load_state_dict(ours.state_dict())
        x = torch.randn(shape)
        with torch.autocast("cpu", dtype):
            y, y_ref = ours(x), ref(x)
        assert y.dtype == y_ref.dtype == dtype
        assert_close(y, y_ref, rtol=2e-2, atol=2e-2)  # one rounding to 8 bits, in another order
        y.float().sum().backward()
        y_ref.float().sum().backward()
        for p, q in zip(ours.parameters(), ref.parameters(), strict=True):
            assert p.grad.dtype == q.grad.dtype
            assert_close(p.grad, q.grad, rtol=5e-2, atol=5e-2)


def test_autocast_leaves_double_precision_alone():
    x = torch.randn(4, 5, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        for library in (nn, torch.nn):
            assert library.Linear(5, 3, dtype=torch.float64)(x).dtype == torch.float64
