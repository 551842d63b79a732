"""The book's layers: their backward against autograd, and the law that ties each one to torch's."""

import copy
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from dlbook_torch import book
from dlbook_torch.book import cross_entropy_error, sum_squared_error


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


class Row(NamedTuple):
    build: Callable[[], book.Layer]
    shape: tuple[int, ...]


def batch_norm(n: int) -> book.BatchNorm:
    return book.BatchNorm(randn(n), randn(n), 0.9, randn(n), randn(n).exp())


ROWS = {
    "3.2-Relu": Row(book.Relu, (4, 3)),
    "3.2-Sigmoid": Row(book.Sigmoid, (4, 3)),
    "3.3-Affine": Row(lambda: book.Affine(randn(5, 3), randn(3)), (4, 5)),
    "3.3-Affine-images": Row(lambda: book.Affine(randn(12, 3), randn(3)), (4, 2, 3, 2)),
    "6.4-BatchNorm": Row(lambda: batch_norm(3), (6, 3)),
    "6.4-BatchNorm-images": Row(lambda: batch_norm(12), (6, 3, 2, 2)),
    "6.4-BatchNorm-two": Row(lambda: batch_norm(3), (2, 3)),
    "6.5-Dropout": Row(lambda: book.Dropout(0.3), (4, 3)),
    "6.5-Dropout-all": Row(lambda: book.Dropout(1.0), (4, 3)),
    "6.5-Scale": Row(lambda: book.Scale(0.3), (4, 3)),
    "7.1-Convolution": Row(lambda: book.Convolution(randn(4, 2, 3, 3), randn(4)), (3, 2, 5, 6)),
    "7.1-Convolution-pad": Row(
        lambda: book.Convolution(randn(4, 2, 3, 2), randn(4), stride=2, pad=1), (3, 2, 6, 5)
    ),
    "7.1-Convolution-pixel": Row(
        lambda: book.Convolution(randn(4, 2, 1, 1), randn(4)), (1, 2, 3, 3)
    ),
    "7.2-Pooling": Row(lambda: book.Pooling(2, 2, stride=2), (3, 2, 5, 6)),
    "7.2-Pooling-overlap": Row(lambda: book.Pooling(3, 2), (3, 2, 5, 6)),
    "7.2-Pooling-pad": Row(lambda: book.Pooling(2, 2, stride=2, pad=1), (3, 2, 4, 5)),
}
rows = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def by_hand(layer: book.Layer, x: Tensor, dout: Tensor) -> list[Tensor]:
    """The gradients of x and the parameters, from the layer's own backward."""
    layer.zero_grad()
    layer.forward(x)
    return [layer.backward(dout), *(p.grad for p in layer.parameters())]


@rows
@modes
def test_backward_is_what_autograd_finds_through_forward(row, training):
    layer, x = row.build().train(training), randn(*row.shape).requires_grad_()
    y = layer(x)
    dout = torch.randn_like(y)
    kept = dout.clone()
    by_autograd = torch.autograd.grad(y, [x, *layer.parameters()], dout)
    dx = layer.backward(dout)
    assert_close([dx, *(p.grad for p in layer.parameters())], list(by_autograd))
    assert torch.equal(dout, kept)
    assert not dx.requires_grad


@pytest.mark.parametrize(
    "name, training",
    # dropout draws another mask in training: see test_dropout_is_torchs_times_1_minus_p
    [(name, mode) for name in ROWS for mode in (True, False) if not (mode and "Dropout" in name)],
)
def test_layer_is_its_torch_twin_under_its_law(name, training):
    layer, x = ROWS[name].build().train(training), randn(*ROWS[name].shape)
    twin, x_twin = book.to_torch(layer), x.clone().requires_grad_()
    flat = isinstance(layer, book.Affine | book.BatchNorm)
    y = layer(x)
    y_twin = twin(x_twin.flatten(1) if flat else x_twin).view_as(y)
    assert_close(y.detach(), y_twin.detach())
    dout = torch.randn_like(y)
    y_twin.backward(dout)
    grads = [p.grad for p in twin.parameters()]
    if isinstance(layer, book.Affine):
        grads[0] = grads[0].T
    assert_close(by_hand(layer, x, dout), [x_twin.grad, *grads])


@rows
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
def test_narrower_types_stay_what_they_are(row, dtype):
    layer, x = row.build().to(dtype), randn(*row.shape).to(dtype)
    y = layer(x)
    grads = by_hand(layer, x, torch.ones_like(y))
    assert {t.dtype for t in (y, *grads)} == {dtype}
    assert grads[0].shape == x.shape


@rows
def test_backward_needs_a_forward(row):
    layer = row.build()
    with pytest.raises(RuntimeError, match=f"{type(layer).__name__}.backward was called before"):
        layer.backward(randn(*row.shape))


def test_losses_need_a_forward_too():
    for loss in (book.SumSquaredError(), book.SoftmaxWithLoss()):
        with pytest.raises(RuntimeError, match="before its forward"):
            loss.backward()


def test_gradients_are_written_and_not_added():
    layer, x = book.Affine(randn(2, 3), randn(3)), randn(4, 2)
    layer(x)
    for _ in range(2):
        layer.backward(torch.ones(4, 3).double())
    assert_close(layer.b.grad, torch.full((3,), 4.0).double())


def test_frozen_parameter_gets_no_gradient():
    layer, x = book.Affine(randn(2, 3), randn(3)), randn(4, 2)
    layer.W.requires_grad_(False)
    layer(x)
    layer.backward(randn(4, 3))
    assert layer.W.grad is None
    assert layer.b.grad is not None


def test_layer_can_be_copied_after_a_forward():
    layer, x = book.Affine(randn(2, 3), randn(3)), randn(4, 2).requires_grad_()
    y = layer(2 * x)  # torch copies no tensor inside a graph
    dout = torch.randn_like(y)
    assert_close(copy.deepcopy(layer).backward(dout), layer.backward(dout))


def test_parameter_that_is_given_stays_the_object_that_it_is():
    W = torch.nn.Parameter(randn(2, 3))
    assert book.Affine(W, randn(3)).W is W


# 3.2, 3.3


def test_relu_passes_nothing_at_0_as_torchs():
    x = torch.tensor([-1.0, -0.0, 0.0, 1e-30], requires_grad=True)
    layer = book.Relu()
    layer(x)
    dx = layer.backward(torch.ones(4))
    torch.relu(x).sum().backward()
    assert dx.tolist() == x.grad.tolist() == [0, 0, 0, 1]


def test_books_relu_would_write_over_its_argument():
    dout, mask = torch.ones(2), torch.tensor([True, False])
    erratum = dout.clone()
    erratum[mask] = 0  # as its backward does
    assert not torch.equal(erratum, dout)
    layer = book.Relu()
    layer(torch.tensor([-1.0, 1.0]))
    assert torch.equal(layer.backward(dout), erratum)
    assert dout.tolist() == [1, 1]


def test_affine_weight_is_linears_transposed():
    linear = torch.nn.Linear(5, 3)
    layer = book.Affine(linear.weight.detach().T, linear.bias.detach())
    x = torch.randn(4, 5)
    assert layer.W.shape == (5, 3)
    assert_close(layer(x), linear(x))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: book.Affine(randn(5, 3), randn(3))(randn(4, 6)), r"5 numbers .* got \(4, 6\)"),
        (lambda: book.Affine(randn(5, 3), randn(3))(randn(5)), r"5 numbers .* got \(5,\)"),
        (lambda: batch_norm(3)(randn(4, 2)), r"3 numbers .* got \(4, 2\)"),
        (
            lambda: book.Convolution(randn(4, 2, 3, 3), randn(4))(randn(1, 3, 5, 5)),
            r"2 channels, got \(1, 3, 5, 5\)",
        ),
        (lambda: book.Pooling(4, 4)(randn(1, 2, 3, 3)), "larger than the padded input"),
        (lambda: book.Pooling(2, 2, stride=0)(randn(1, 2, 3, 3)), "must be positive"),
    ],
)
def test_inputs_that_do_not_fit_are_named(call, message):
    with pytest.raises(RuntimeError, match=message):
        call()


# 4.2

TWO = torch.tensor(2)
GOOD = torch.tensor([0.1, 0.05, 0.6, 0, 0.05, 0.1, 0, 0.1, 0, 0], dtype=torch.float64)
BAD = torch.tensor([0.1, 0.05, 0.1, 0, 0.05, 0.1, 0, 0.6, 0, 0], dtype=torch.float64)
RIGHT = F.one_hot(TWO, 10).double()


@pytest.mark.parametrize(
    "y, squared, mean, entropy",
    [(GOOD, 0.0975, 0.0195, 0.510825457099338), (BAD, 0.5975, 0.1195, 2.302584092994546)],
    ids=["good", "bad"],
)
def test_losses_are_the_books_numbers(y, squared, mean, entropy):
    assert sum_squared_error(y, RIGHT).item() == pytest.approx(squared, rel=1e-12)
    assert F.mse_loss(y, RIGHT).item() == pytest.approx(mean, rel=1e-12)
    for t in (TWO, RIGHT, RIGHT.long()):
        assert cross_entropy_error(y, t).item() == pytest.approx(entropy, rel=1e-12)


def test_sum_squared_error_is_n_halves_of_the_mean():
    y, t = randn(4, 3).requires_grad_(), randn(4, 3)
    loss = book.SumSquaredError()
    value = loss(y, t)
    n = y.numel()
    assert_close(value, n / 2 * F.mse_loss(y, t))
    (dy,) = torch.autograd.grad(n / 2 * F.mse_loss(y, t), y)
    assert_close(loss.backward(), dy)
    assert_close(loss.backward(3.0), 3 * dy)


def test_cross_entropy_error_is_torchs_but_for_a_logarithm_that_never_ends():
    y, t = randn(5, 4).softmax(1), torch.tensor([0, 3, 1, 1, 2])
    chosen = y.gather(1, t.unsqueeze(1))
    gap = (1 + 1e-7 / chosen).log().mean()
    assert 1e-8 < gap < 1e-4
    assert_close(F.nll_loss(y.log(), t) - cross_entropy_error(y, t), gap, rtol=1e-6, atol=0)


@pytest.mark.parametrize("p, loss", [(1.0, -1e-7), (0.0, 16.11809565095832)])
def test_cross_entropy_error_of_a_sure_answer_is_below_0_and_of_a_sure_mistake_16(p, loss):
    y = torch.tensor([[p, 1 - p]], dtype=torch.float64)
    assert cross_entropy_error(y, torch.tensor([0])).item() == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize(
    "y, t, message",
    [
        ((5, 4), (4,), r"shape \(5,\), or one-hot \(5, 4\), got \(4,\)"),
        ((5, 4), (5, 1), r"got \(5, 1\)"),
        ((4,), (1,), r"shape \(\), or one-hot \(4,\), got \(1,\)"),
        ((5, 4, 2), (5, 4), r"one row of classes per sample, got \(5, 4, 2\)"),
    ],
)
def test_labels_that_do_not_fit_are_named(y, t, message):
    with pytest.raises(ValueError, match=message):
        cross_entropy_error(torch.rand(y), torch.zeros(t))
    with pytest.raises(ValueError, match=message):
        book.SoftmaxWithLoss()(torch.rand(y), torch.zeros(t))


LABELS = [torch.tensor([0, 3, 1, 1, 2]), F.one_hot(torch.tensor([0, 3, 1, 1, 2]), 4)]


@pytest.mark.parametrize("t", LABELS, ids=["index", "one-hot"])
def test_softmax_with_loss_goes_back_as_torchs_cross_entropy(t):
    x = randn(5, 4).requires_grad_()
    loss = book.SoftmaxWithLoss()
    value = loss(x, t)
    (dx,) = torch.autograd.grad(F.cross_entropy(x, LABELS[0]), x)
    assert_close(loss.backward(), dx)
    assert_close(loss.backward(torch.tensor(2.0)), 2 * dx)
    (by_autograd,) = torch.autograd.grad(value, x)  # sees the 1e-7
    chosen = x.softmax(1).gather(1, LABELS[0].unsqueeze(1)).detach()
    assert_close(by_autograd, dx * chosen / (chosen + 1e-7), rtol=1e-10, atol=0)
    assert (by_autograd - dx).abs().max() > 1e-10


def test_sure_mistake_teaches_by_hand_and_hardly_by_autograd():
    x = torch.tensor([[0.0, 40.0]], dtype=torch.float64, requires_grad=True)
    loss = book.SoftmaxWithLoss()
    value = loss(x, torch.tensor([0]))
    (by_autograd,) = torch.autograd.grad(value, x)
    assert loss.backward().tolist() == [[-1.0, 1.0]]
    assert by_autograd.abs().max() < 1e-9


def test_softmax_with_loss_takes_a_single_sample():
    x, loss = randn(4).requires_grad_(), book.SoftmaxWithLoss()
    loss(x, torch.tensor(2))
    (dx,) = torch.autograd.grad(F.cross_entropy(x, torch.tensor(2)), x)
    assert_close(loss.backward(), dx)


# 6.4


def test_batch_norm_sees_an_image_pixel_by_pixel():
    x, ones, zeros = randn(10, 3, 4, 4), torch.ones(48).double(), torch.zeros(48).double()
    y = book.BatchNorm(ones, zeros)(x)
    pixels = torch.nn.BatchNorm1d(48, eps=1e-6).double()(x.flatten(1)).view_as(x)
    channels = torch.nn.BatchNorm2d(3, eps=1e-6).double()(x)
    assert_close(y, pixels)
    assert (y - channels).abs().max() > 1.0


def test_eps_is_1e_6():
    x = torch.tensor([[-1e-3], [1e-3]], dtype=torch.float64)  # a variance of 1e-6
    y = book.BatchNorm(torch.ones(1).double(), torch.zeros(1).double())(x)
    assert_close(y.flatten(), torch.tensor([-1.0, 1.0]).double() / 2**0.5)
    y = torch.nn.BatchNorm1d(1).double()(x)  # an eps of 1e-5
    assert_close(y.flatten().detach(), torch.tensor([-1.0, 1.0]).double() / 11**0.5)


@pytest.mark.parametrize("n", [2, 5, 100])
def test_running_averages_follow_their_recursion_and_torchs_by_the_law(n):
    ours = book.BatchNorm(torch.ones(3).double(), torch.zeros(3).double())
    ref = torch.nn.BatchNorm1d(3, eps=1e-6, momentum=1 - 0.9).double()
    mean, var = torch.zeros(3).double(), torch.zeros(3).double()
    for k in range(1, 31):
        x = 2 * randn(n, 3) + 1
        ours(x)
        ref(x)
        mean = 0.9 * mean + 0.1 * x.mean(0)
        var = 0.9 * var + 0.1 * x.var(0, correction=0)
        assert_close(ours.running_mean, mean)
        assert_close(ours.running_var, var)
        assert_close(ref.running_mean, ours.running_mean)
        assert_close(ref.running_var, ours.running_var * n / (n - 1) + 0.9**k)
    assert not ours.running_var.requires_grad


def test_evaluation_uses_the_running_averages_and_leaves_them():
    layer, x = batch_norm(3), randn(5, 3)
    state = copy.deepcopy(layer.state_dict())
    expected = F.batch_norm(
        x, layer.running_mean, layer.running_var, layer.gamma, layer.beta, eps=1e-6
    )
    assert_close(layer.eval()(x), expected)
    assert_close(layer.state_dict(), state, rtol=0, atol=0)


def test_given_averages_are_copied():
    mean = torch.zeros(3)
    book.BatchNorm(torch.ones(3), torch.zeros(3), running_mean=mean)(torch.ones(2, 3))
    assert mean.tolist() == [0, 0, 0]


def test_batch_of_one_is_beta_alone_and_teaches_nothing():
    layer, x = batch_norm(3), randn(1, 3)
    assert torch.equal(layer(x), layer.beta.unsqueeze(0))
    dx, dgamma, dbeta = by_hand(layer, x, torch.ones(1, 3).double())
    assert dx.abs().sum() == dgamma.abs().sum() == 0
    assert dbeta.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        book.to_torch(layer)(x)


# 6.5


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9])
def test_dropout_is_torchs_times_1_minus_p(p, monkeypatch):
    ours, ref = book.Dropout(p), torch.nn.Dropout(p)
    x = randn(20, 30)
    x_ref = x.clone().requires_grad_()
    y_ref = ref(x_ref)
    mask = (y_ref != 0).double()
    monkeypatch.setattr(torch, "rand_like", lambda x: (1 + p) / 2 * mask + p * (1 - mask))
    y = ours(x)
    assert_close(y, (1 - p) * y_ref.detach())
    dout = torch.randn_like(y)
    y_ref.backward(dout)
    assert_close(ours.backward(dout), (1 - p) * x_ref.grad)
    assert_close(ours.eval()(x), (1 - p) * ref.eval()(x))
    assert_close(ours.backward(dout), (1 - p) * dout)


@pytest.mark.parametrize("p", [0.2, 0.7])
def test_dropout_silences_with_probability_p_and_keeps_the_rest(p):
    y = book.Dropout(p)(torch.ones(100_000))
    assert set(y.unique().tolist()) == {0.0, 1.0}
    assert y.mean().item() == pytest.approx(1 - p, abs=0.006)  # four standard deviations


def test_dropout_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match=r"in \[0, 1\], got 1.5"):
        book.Dropout(1.5)


# 7

WINDOWS = [(3, 3, 1, 0), (2, 3, 2, 1), (1, 1, 1, 0), (5, 5, 2, 0), (2, 2, 3, 2)]
windows = pytest.mark.parametrize("height, width, stride, pad", WINDOWS, ids=str)


def test_im2col_of_a_tiny_image_by_hand():
    x = torch.arange(9.0).view(1, 1, 3, 3)
    assert book.im2col(x, 2, 2).tolist() == [
        [0, 1, 3, 4],
        [1, 2, 4, 5],
        [3, 4, 6, 7],
        [4, 5, 7, 8],
    ]


def test_im2col_has_the_books_shapes():
    assert book.im2col(torch.rand(1, 3, 7, 7), 5, 5).shape == (9, 75)
    assert book.im2col(torch.rand(10, 3, 7, 7), 5, 5).shape == (90, 75)


@windows
def test_im2col_is_unfold_turned_and_col2im_is_fold(height, width, stride, pad):
    x = randn(3, 2, 7, 6)
    columns = F.unfold(x, (height, width), padding=pad, stride=stride)  # (N, CK, L)
    expected = columns.transpose(1, 2).reshape(-1, columns.shape[1])
    col = book.im2col(x, height, width, stride, pad)
    assert torch.equal(col, expected)
    back = book.col2im(col, x.shape, height, width, stride, pad)
    assert_close(back, F.fold(columns, (7, 6), (height, width), padding=pad, stride=stride))
    dcol = torch.randn_like(col)  # <col(x), dcol> = <x, col^T(dcol)>
    adjoint = book.col2im(dcol, x.shape, height, width, stride, pad)
    assert_close((col * dcol).sum(), (x * adjoint).sum())


@windows
def test_convolution_is_conv2d(height, width, stride, pad):
    W, b, x = randn(4, 2, height, width), randn(4), randn(3, 2, 7, 6)
    assert_close(book.Convolution(W, b, stride, pad)(x), F.conv2d(x, W, b, stride, pad))


@windows
def test_pooling_is_max_pool_2d_behind_a_margin_of_zeros(height, width, stride, pad):
    x = randn(3, 2, 7, 6)
    padded = F.pad(x, (pad,) * 4)
    expected = F.max_pool2d(padded, (height, width), stride)
    assert_close(book.Pooling(height, width, stride, pad)(x), expected)


def test_first_of_equal_pixels_gets_the_gradient_as_in_torch():
    x = torch.tensor([[0.0, 1, 1, 2], [1, 1, 2, 2], [3, 3, 0, 0], [3, 3, 0, 0]])
    x = x.view(1, 1, 4, 4).requires_grad_()
    layer = book.Pooling(2, 2, stride=2)
    dout = torch.arange(1.0, 5).view(1, 1, 2, 2)
    layer(x)
    F.max_pool2d(x, 2).backward(dout)
    assert torch.equal(layer.backward(dout), x.grad)
    assert x.grad.flatten().tolist() == [0, 1, 0, 2, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0, 0]


def test_margin_of_zeros_beats_negative_pixels_and_torchs_does_not():
    x = -torch.ones(1, 1, 4, 4) - torch.rand(1, 1, 4, 4)
    y, ref = book.Pooling(2, 2, stride=2, pad=1)(x), F.max_pool2d(x, 2, padding=1)
    assert y.shape == ref.shape == (1, 1, 3, 3)  # the book's own count is (4 - 2) / 2 + 1 = 2
    assert (y == 0).sum() == 8
    assert (ref < 0).all()
    assert_close(book.Pooling(2, 2, stride=2, pad=1)(-x), F.max_pool2d(-x, 2, padding=1))


def test_layer_without_a_backward_says_so():
    class Half(book.Layer):
        def forward(self, x):
            return x / 2

    with pytest.raises(NotImplementedError, match="Half has no backward"):
        Half().backward(torch.ones(2))
