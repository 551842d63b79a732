"""Chapter 3.3 of the notes: how signals pass a network."""

import pytest
import torch
from scipy import special
from torch.nn import functional as F
from torch.testing import assert_close

from dlbook_torch import nn

from .base import note
from .tools import (
    draw,
    f64,
)


@note(
    "3.3",
    says="a1 = w11 x1 + w12 x2 + b1.",
    verdict="right",
    truth="The first number of w is the unit it leads to, the second where it comes from.",
)
def one_sum_by_hand():
    layer = nn.Linear(2, 3).double()
    (w11, w12), b1 = layer.weight[0].tolist(), layer.bias[0].item()
    assert layer(f64([1.0, 0.5]))[0].item() == pytest.approx(w11 * 1.0 + w12 * 0.5 + b1)


@note(
    "3.3",
    says="A = X W + B.",
    verdict="right",
    truth="Here W has a column per unit, w12 in row 2; torch keeps it transposed: X W^T + B.",
)
def a_layer_is_a_product_of_matrices():
    x, layer = draw(4, 2), nn.Linear(2, 3).double()
    w_of_the_book = layer.weight.T
    a = [
        [sum(x[n, i] * w_of_the_book[i, j] for i in range(2)) + layer.bias[j] for j in range(3)]
        for n in range(4)
    ]
    assert_close(layer(x), torch.stack([torch.stack(row) for row in a]))
    assert_close(F.linear(x, layer.weight, layer.bias), x @ w_of_the_book + layer.bias)
    assert w_of_the_book[1, 0] == layer.weight[0, 1]


@note(
    "3.3",
    says="In code: affine, sigmoid, affine, sigmoid, affine, softmax; image by image.",
    verdict="right",
    truth="A whole batch at once gives the same.",
)
def an_image_alone_is_an_image_in_a_batch():
    w = [draw(7, 5), draw(5, 4, seed=1), draw(4, 3, seed=2)]
    b, x = [draw(5), draw(4, seed=1), draw(3, seed=2)], draw(6, 7, seed=3)
    layers = [nn.Linear(7, 5), nn.Linear(5, 4), nn.Linear(4, 3)]
    for layer, weight, bias in zip(layers, w, b, strict=True):
        layer.double().load_state_dict({"weight": weight.T, "bias": bias})
    model = nn.Sequential(
        layers[0], nn.Sigmoid(), layers[1], nn.Sigmoid(), layers[2], nn.Softmax(-1)
    )
    for image, y in zip(x, model(x), strict=True):
        z = torch.sigmoid(torch.sigmoid(image @ w[0] + b[0]) @ w[1] + b[1])
        assert_close(y, f64(special.softmax((z @ w[2] + b[2]).numpy())))
        assert_close(model(image), y)


@note(
    "3.3",
    says="The accuracy is the number of right argmaxes divided by the number of images.",
    verdict="right",
    truth="One minus the classification error of 4.2.",
)
def accuracy_is_a_share():
    y, t = draw(200, 10).softmax(1), torch.arange(200) % 10
    right = sum(
        int(max(range(10), key=row.__getitem__) == k) for row, k in zip(y.tolist(), t, strict=True)
    )
    assert 0 < right < 200
    assert (y.argmax(1) == t).double().mean().item() == right / 200
