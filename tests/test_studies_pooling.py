"""The numbers behind the pictures of notes 7.2, against torch, formulas and the book's networks."""

import pytest
import torch
from torch.nn.functional import avg_pool2d, conv2d, interpolate, max_pool2d, pad
from torch.testing import assert_close

from dlbook_torch.data import Digits
from dlbook_torch.experiment.studies import pooling, upsampling

SHRINKS = ["max", "average", "stride", "none"]


@pytest.mark.parametrize("shrink", SHRINKS)
def test_the_network_is_two_convolutions_shrunk_as_it_says(shrink):
    net = pooling.Shrinking(shrink)
    first, second, last = (layer for layer in net.layers if hasattr(layer, "weight"))
    x = y = torch.rand(3, 1, 8, 8)
    pool = {"max": max_pool2d, "average": avg_pool2d}.get(shrink, lambda z, _: z)
    for layer in (first, second):
        y = conv2d(y, layer.weight, layer.bias, padding=1, stride=2 if shrink == "stride" else 1)
        y = pool(y.relu(), 2)
    assert y.shape[2:] == ((8, 8) if shrink == "none" else (2, 2))
    assert_close(net(x), y.flatten(1) @ last.weight.T + last.bias)
    twin = pooling.Shrinking(shrink, library="torch")
    twin.load_state_dict(net.state_dict())
    assert_close(twin(x), net(x))


@pytest.mark.parametrize("library", ["dlbook", "torch"])
def test_pooling_mixes_no_channels_and_a_convolution_all(library):
    for kind in ("MaxPool2d", "AvgPool2d"):
        found = pooling.alone(kind, library)
        assert (found["parameters"], found["channels"], found["others"]) == (0, 0, 0)
        assert found["reach"].tolist() == torch.eye(3).tolist()
    found = pooling.alone("Conv2d", library)
    assert (found["parameters"], found["others"]) == (3 * (3 * 2 * 2 + 1), 6)


def test_parameters_and_multiplications_are_the_products_of_the_sizes():
    side = 28
    expected = {  # the side behind each stage
        "max": (14, 7),
        "average": (14, 7),
        "stride": (14, 7),
        "none": (side, side),
    }
    for shrink, (first, second) in expected.items():
        found = pooling.costs(shrink, images=2)
        n = 16 * second**2
        conv_side = second if shrink == "stride" else first  # where the second convolution works
        assert found["parameters"] == n * 10 + 10
        assert found["multiplications"] == 8 * 16 * 9 * conv_side**2 + n * 10
        assert found["all_parameters"] == n * 10 + 10 + (9 * 8 + 8) + (8 * 9 * 16 + 16)


@pytest.mark.parametrize(
    "net, pooled, size", [("SimpleConvNet", 1, 6), ("SimpleConvNet", 0, 5), ("DeepConvNet", 0, 13)]
)
def test_measured_receptive_fields_are_those_of_the_formula(net, pooled, size):
    found = pooling.field(net, bool(pooled), side=48, images=4)
    assert found["size"] == found["formula"] == size
    inside = slice(found["start"], found["start"] + size)
    assert found["map"][inside, inside].sum() == pytest.approx(float(found["map"].sum()))


def test_the_deep_network_sees_36_pixels_and_half_of_it_in_the_quarter_in_the_middle():
    found = pooling.field("DeepConvNet", True)
    assert found["size"] == found["formula"] == 36
    inner = slice(found["start"] + 9, found["start"] + 27)
    assert found["map"][inner, inner].sum() > 0.5 * found["map"].sum()


def test_shifts_move_whole_pixels_and_zeros_move_in():
    x = torch.rand(2, 1, 5, 5)
    up, down, left, right = pooling._shifted(x, 1)
    assert_close(up, pad(x, [0, 0, 0, 1])[..., 1:, :])
    assert_close(down, pad(x, [0, 0, 1, 0])[..., :-1, :])
    assert_close(left, pad(x, [0, 1, 0, 0])[..., 1:])
    assert_close(right, pad(x, [1, 0, 0, 0])[..., :-1])
    for change, steps, _ in pooling.CHANGES.values():
        assert all(torch.allclose(made, x, atol=1e-5) for made in change(x, steps[0]))


def test_turns_by_90_degrees_are_rotations_and_a_scale_of_2_spreads_the_image():
    x = torch.rand(2, 1, 6, 6)
    one, other = pooling._turned(x, 90)
    both = torch.rot90(x, 1, (2, 3)), torch.rot90(x, -1, (2, 3))
    assert torch.allclose(one, both[0], atol=1e-4) or torch.allclose(one, both[1], atol=1e-4)
    assert_close(one.flip(2, 3), other, atol=1e-4, rtol=0)
    large, small = pooling._scaled(x, 100)
    assert_close(
        large, interpolate(x[..., 1:5, 1:5], scale_factor=2, mode="bilinear")[..., 1:7, 1:7]
    )
    assert (small[..., [0, -1], :] == 0).all()


def test_nothing_is_lost_and_nothing_moves_without_a_change():
    found = pooling.tolerance("max", epochs=1, subset=100, images=50)
    for name, (_, steps, _) in pooling.CHANGES.items():
        assert len(found[name]) == len(found[f"{name}_features"]) == len(steps)
        assert found[name][0] == pytest.approx(found["accuracy"])
        assert found[f"{name}_features"][0] == pytest.approx(0, abs=1e-4)
        assert found[f"{name}_moved"] > 0.01
        at = steps.index(pooling.JUDGED[name])
        assert found[f"{name}_lost"] == found["accuracy"] - found[name][at]


def test_images_are_made_normal_as_the_data_module_does_it():
    x = Digits().read(train=True)[0][:3]
    assert_close(pooling._normal(x / 16, Digits()), Digits().normalize(x))


@pytest.mark.parametrize("shrink", ["max", "average"])
def test_enlarging_by_repeating_and_by_interpolation_is_torchs(shrink):
    for method in ("nearest", "bilinear"):
        found = upsampling.restored(method, shrink, images=20)
        small = found["halved"][:, None]
        assert_close(found["enlarged"][:, None], interpolate(small, scale_factor=2, mode=method))
        pool = {"max": max_pool2d, "average": avg_pool2d}[shrink]
        assert_close(small, pool(found["original"][:, None], 2))


def test_the_error_of_means_that_are_repeated_is_the_variance_within_the_squares():
    found = upsampling.restored("nearest", "average", images=597)
    x = Digits().load_test()[0] / 16  # all test digits, so the draw plays no part
    squares = x.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    within = squares.var(-1, correction=0).mean()
    assert_close(found["error"], within / x.var(correction=0))


def test_unpooling_puts_the_maxima_where_they_were_and_zeros_elsewhere():
    found = upsampling.restored("unpooling", images=20)
    x, made = found["original"], found["enlarged"]
    assert ((made == 0) | (made == x)).all()
    assert_close(max_pool2d(made[:, None], 2)[:, 0], found["halved"])
    with pytest.raises(ValueError, match="unpooling needs shrink='max', got 'average'"):
        upsampling.restored("unpooling", "average")


def test_the_transposed_convolution_learns_and_trains_as_torchs():
    first, last = (upsampling.restored("transposed", epochs=n)["error"] for n in (1, 5))
    assert last < first
    twin = upsampling.restored("transposed", epochs=5, library="torch")["error"]
    assert_close(twin, last, rtol=1e-3, atol=0)
