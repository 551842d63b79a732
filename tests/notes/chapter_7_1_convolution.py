"""Chapter 7.1: convolution, padding, stride, and the size of what comes out."""

from itertools import groupby

import pytest
import torch
from scipy.signal import convolve2d, correlate2d
from torch.testing import assert_close

from dlbook_torch import models, nn
from dlbook_torch.nn.functional import conv2d, unfold
from dlbook_torch.nn.geometry import output_size

from .base import note


def images(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def size(a, b, c=1, d=0):
    """Side of what a layer (torch's) makes of an image of side a."""
    layer = torch.nn.Conv2d(1, 1, b, stride=c, padding=d)
    return layer(torch.zeros(1, 1, a, a)).shape[-1]


@note(
    "7.1",
    says="Convolution filters: it extracts features.",
    verdict="right",
    truth="A filter answers where the image looks like it: (-1, 1) is 0 on every even area and 1 "
    "at the edge.",
)
def a_filter_answers_where_its_feature_is():
    image = torch.zeros(1, 1, 5, 6)
    image[..., 3:] = 1
    answer = conv2d(image, torch.tensor([[[[-1.0, 1.0]]]]))
    expected = torch.zeros(1, 1, 5, 5)
    expected[..., 2] = 1
    assert_close(answer, expected)


@note(
    "7.1",
    says="The layer is called convolution.",
    verdict="conditional",
    truth="It computes a cross-correlation: the filter is not flipped. The two are the same for a "
    "filter that looks the same upside down.",
)
def the_layer_is_a_cross_correlation():
    image, kernel = images(6, 6), images(3, 3, seed=1)

    def layer(kernel):
        return conv2d(image[None, None], kernel[None, None])[0, 0]

    def scipys(f, kernel):
        return torch.from_numpy(f(image.numpy(), kernel.numpy(), mode="valid"))

    assert_close(layer(kernel), scipys(correlate2d, kernel))
    assert not torch.allclose(layer(kernel), scipys(convolve2d, kernel))
    symmetric = kernel + kernel.flip(0, 1)
    assert_close(layer(symmetric), scipys(convolve2d, symmetric))


@note(
    "7.1",
    says="Padding fills fixed data, such as 0, in around the input.",
    verdict="right",
    truth="A layer with padding=1 is the layer without on an image with a frame of zeros.",
)
def padding_is_a_frame_of_zeros():
    image, kernel = images(1, 1, 4, 4), images(1, 1, 3, 3, seed=1)
    framed = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    framed[..., 1:-1, 1:-1] = image
    assert_close(conv2d(image, kernel, padding=1), conv2d(framed, kernel))


@note(
    "7.1",
    says="(4, 4) with a (3, 3) filter becomes (2, 2), two less.",
    verdict="right",
    truth="A filter of b takes b - 1 away.",
)
def four_by_four_becomes_two_by_two():
    for library in (nn, torch.nn):
        assert library.Conv2d(1, 1, 3)(torch.zeros(1, 1, 4, 4)).shape == (1, 1, 2, 2)
    assert [9 - size(9, b) for b in (1, 2, 3, 5)] == [0, 1, 2, 4]


@note(
    "7.1",
    says="Repeated convolutions shrink the image, until a size of 1 at last forbids another.",
    verdict="conditional",
    truth="From an odd side such as 27. An even one, 28, ends at 2, where 3 x 3 does not fit "
    "either.",
)
def repeated_convolutions_end_at_1_or_2():
    def last(side, layer):
        x = torch.zeros(1, 1, side, side)
        while x.shape[-1] >= 3:
            x = layer(x)
        with pytest.raises(RuntimeError, match="size"):
            layer(x)
        return x.shape[-1]

    for library in (nn, torch.nn):
        assert [last(side, library.Conv2d(1, 1, 3)) for side in (27, 28)] == [1, 2]


@note(
    "7.1",
    says="With a padding of 1, (4, 4) stays (4, 4).",
    verdict="right",
    truth="For the 3 x 3 filter of the example, which would take 2 away; padding='same' finds it "
    "by itself.",
)
def padding_1_keeps_four_by_four():
    for padding in (1, "same"):
        assert nn.Conv2d(1, 1, 3, padding=padding)(torch.zeros(1, 1, 4, 4)).shape == (1, 1, 4, 4)


@note(
    "7.1",
    says="Padding makes height and width of the output those of the input.",
    verdict="conditional",
    truth="With d = (b - 1) / 2, an odd filter and a stride of 1: 1 for 3, 2 for 5. With an even "
    "filter no d does it (2 x 2: 3 or 5 from 4), with a stride of 2 the size halves.",
)
def padding_keeps_the_size_of_odd_filters_only():
    assert [size(4, b, d=(b - 1) // 2) for b in (1, 3, 5)] == [4, 4, 4]
    assert [size(4, 2, d=d) for d in (0, 1)] == [3, 5]
    assert size(4, 3, c=2, d=1) == 2


@note(
    "7.1",
    says="The aim of padding: every cell of the input can be the centre of a window.",
    verdict="conditional",
    truth="With an odd filter and a stride of 1 each is, exactly once. A stride of 2 leaves three "
    "quarters of them out, and an even filter has no cell at its centre.",
)
def every_cell_is_a_centre_for_odd_filters_and_a_stride_of_1():
    cells = torch.arange(1.0, 17).view(1, 1, 4, 4)

    def centres(b, stride):
        columns = unfold(cells, b, padding=(b - 1) // 2, stride=stride)[0]
        return sorted(columns[b * b // 2].tolist())

    for b in (3, 5):
        assert centres(b, stride=1) == list(range(1, 17))
    assert centres(3, stride=2) == [1, 3, 9, 11]
    rows = torch.arange(4.0).expand(1, 1, 4, 4)
    assert nn.AvgPool2d(3, stride=1)(rows).unique().tolist() == [1, 2]
    assert nn.AvgPool2d(2, stride=1)(rows).unique().tolist() == [0.5, 1.5, 2.5]


@note(
    "7.1",
    says="Padding serves above all to adjust the size of the output.",
    verdict="conditional",
    truth="Each pixel of it adds two to the size. But it also lets pixels of the border count "
    "more: with 3 x 3, a corner is in one window without padding and in four with it.",
)
def padding_also_lets_the_border_count_more():
    assert [size(4, 3, d=d) for d in (0, 1, 2)] == [2, 4, 6]

    def windows_of_the_corner(padding):
        image = torch.zeros(1, 1, 4, 4)
        image[..., 0, 0] = 1
        return conv2d(image, torch.ones(1, 1, 3, 3), padding=padding).sum().item()

    assert [windows_of_the_corner(padding) for padding in (0, 1)] == [1, 4]


@note(
    "7.1",
    says="The stride is the distance between the places where the filter is applied.",
    verdict="right",
    truth="A stride of c keeps every c-th answer of the layer with a stride of 1.",
)
def a_stride_of_c_keeps_every_cth_answer():
    image, kernel = images(2, 3, 9, 9), images(4, 3, 3, 3, seed=1)
    everywhere = conv2d(image, kernel)
    for c in (1, 2, 3):
        assert_close(conv2d(image, kernel, stride=c), everywhere[..., ::c, ::c])


@note(
    "7.1",
    says="Without padding the output has the size (a - b) / c + 1.",
    verdict="conditional",
    truth="Where the stride fits. Else the quotient is rounded down: a = 28, b = 5, c = 2 gives "
    "12.5 there and 12 in torch. And a dilated filter counts with its whole extent.",
)
def the_size_without_padding_needs_the_floor():
    def printed(a, b, c):
        return (a - b) / c + 1

    assert printed(28, 5, 1) == size(28, 5) == output_size(28, 5) == 24
    assert printed(28, 5, 2) == 12.5
    assert size(28, 5, 2) == output_size(28, 5, 2) == 12
    dilated = torch.nn.Conv2d(1, 1, 3, dilation=2)(torch.zeros(1, 1, 28, 28)).shape[-1]
    assert dilated == output_size(28, 3, dilation=2) == printed(28, 5, 1) != printed(28, 3, 1)


@note(
    "7.1",
    says="With padding it has the size (a + 2d - b) / c + 1.",
    verdict="conditional",
    truth="Rounded down as well: a = 28, b = 3, c = 2, d = 1 gives 14.5 there and 14 in torch. "
    "The floor of it is right for every a, b, c, d.",
)
def the_size_with_padding_needs_the_floor():
    def printed(a, b, c, d):
        return (a + 2 * d - b) / c + 1

    assert printed(7, 3, 2, 1) == size(7, 3, 2, 1) == 4
    assert printed(28, 3, 2, 1) == 14.5
    assert size(28, 3, 2, 1) == 14
    for a in (5, 6, 9):
        for b in (1, 2, 3):
            for c in (1, 2, 3):
                for d in (0, 1):
                    assert size(a, b, c, d) == output_size(a, b, c, d) == int(printed(a, b, c, d))


@note(
    "7.1",
    says="There is one formula for d = 0 and another for d other than 0.",
    verdict="right",
    truth="The first is the second with d = 0; one is enough.",
)
def one_formula_is_enough():
    for a, b, c in ((4, 3, 1), (28, 5, 1), (7, 3, 2)):
        assert (a - b) / c + 1 == (a + 2 * 0 - b) / c + 1 == size(a, b, c)


@note(
    "7.1",
    says="(book) conv_output_size gives the side of the output.",
    verdict="conditional",
    truth="As a float, without a floor: 24.0 for the book's net, but 12.5 for a stride of 2, "
    "which is no size. The layer itself rounds down with int().",
)
def the_books_output_size_is_a_float():
    def book(a, b, c=1, d=0):
        return (a + 2 * d - b) / c + 1

    assert isinstance(book(28, 5), float)
    assert book(28, 5) == 24
    assert torch.zeros(int(book(28, 5, c=2))).shape == (size(28, 5, c=2),)
    with pytest.raises(TypeError):
        torch.zeros(book(28, 5, c=2))


def sides(net, side=28):
    """Sides of the image behind every layer in front of Flatten."""
    x, found = torch.zeros(1, 1, side, side), []
    for layer in net.layers:
        if isinstance(layer, nn.Flatten):
            return found
        x = layer(x)
        found.append(x.shape[-1])
    return found


@note(
    "7.1",
    says="(book) SimpleConvNet: 28 x 28, 30 filters of 5 x 5, pooling, then 30 * (24 / 2)^2 = "
    "4320 inputs of the affine layer with 100 units, then 10.",
    verdict="right",
    truth="Sides of 28, 24, 12; 433890 parameters, 99.6 % of them in the first affine layer.",
)
def the_books_simple_net_has_4320_features():
    net = models.SimpleConvNet()
    assert sides(net)[:2] == [24, 12]
    affine = [layer for layer in net.layers if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in affine] == [(4320, 100), (100, 10)]
    counts = [p.numel() for p in net.parameters()]
    assert sum(counts) == 433890
    assert_close((4320 * 100 + 100) / sum(counts), 0.996, rtol=0, atol=1e-3)


@note(
    "7.1",
    says="(book) DeepConvNet: 16, 16, 32, 32, 64, 64 filters of 3 x 3, sides of 28, 14, 16, 8, 4, "
    "then 64 * 4 * 4 inputs of the affine layer with 50 units.",
    verdict="right",
    truth="The fourth convolution pads by 2, so that 14 becomes 16 and pooling always meets an "
    "even side.",
)
def the_books_deep_net_goes_from_28_to_4():
    net = models.DeepConvNet()
    convolutions = [layer for layer in net.layers if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [16, 16, 32, 32, 64, 64]
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}
    assert [side for side, _ in groupby([28, *sides(net)])] == [28, 14, 16, 8, 4]
    first = next(layer for layer in net.layers if isinstance(layer, nn.Linear))
    assert (first.in_features, first.out_features) == (64 * 4 * 4, 50)
