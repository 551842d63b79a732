"""Chapter 7.2: pooling, receptive fields, and making images smaller and larger."""

import torch
from torch.testing import assert_close

from dlbook_torch import models, nn
from dlbook_torch.nn.functional import max_pool2d
from dlbook_torch.nn.geometry import output_size, receptive_field

from .base import note
from .chapter_7_1_convolution import images


@note(
    "7.2",
    says="A pooling layer is put between adjacent convolutions.",
    verdict="conditional",
    truth="Behind each in the book's SimpleConvNet; DeepConvNet pools behind every second one "
    "only.",
)
def the_deep_net_pools_behind_every_second_convolution():
    def order(net):
        kinds = (type(layer).__name__[:4] for layer in net.layers)
        return [kind for kind in kinds if kind in ("Conv", "MaxP")]

    assert order(models.SimpleConvNet()) == ["Conv", "MaxP"]
    assert order(models.DeepConvNet()) == ["Conv", "Conv", "MaxP"] * 3


@note(
    "7.2",
    says="Pooling shrinks the matrices of parameters and so leaves fewer in the last layers.",
    verdict="conditional",
    truth="It has none and changes none of a convolution's. What shrinks is the image, and with "
    "it an affine layer behind it: in SimpleConvNet from 1728000 weights to 432000.",
)
def pooling_shrinks_only_an_affine_layer_behind_it():
    def weights(pooling):
        front = nn.Sequential(nn.Conv2d(1, 30, 5), *([nn.MaxPool2d(2)] if pooling else []))
        features = front(torch.zeros(1, 1, 28, 28)).flatten(1).shape[1]
        behind = nn.Linear(features, 100), nn.Conv2d(30, 30, 3)
        return [layer.weight.numel() for layer in behind]

    assert weights(pooling=False) == [1728000, 8100]
    assert weights(pooling=True) == [432000, 8100]


@note(
    "7.2",
    says="Pooling makes computation faster, and takes less memory.",
    verdict="right",
    truth="2 x 2 pooling leaves a quarter of the values, and so a quarter of the multiplications "
    "of a convolution of the same size behind it.",
)
def pooling_leaves_a_quarter_of_the_work():
    x, conv = images(1, 3, 16, 16), nn.Conv2d(3, 5, 3, padding=1).double()
    pooled = nn.MaxPool2d(2)(x)
    assert 4 * pooled.numel() == x.numel()

    def multiplications(x):
        return conv(x).numel() * conv.weight[0].numel()

    assert 4 * multiplications(pooled) == multiplications(x)


@note(
    "7.2",
    says="Pooling prevents overfitting.",
    verdict="conditional",
    truth="A linear layer on 8 x 8 pixels learns 20 random images with random targets by heart; "
    "pooled to 2 x 2 it cannot. But 4 images it still can.",
)
def pooling_limits_what_can_be_learned_by_heart():
    def error(n, pooling):
        features = nn.MaxPool2d(pooling)(images(n, 1, 8, 8)).flatten(1)
        t = images(n, 1, seed=1)
        return (features @ torch.linalg.pinv(features) @ t - t).square().mean().item()

    assert error(20, pooling=1) < 1e-20
    assert error(20, pooling=4) > 0.1
    assert error(4, pooling=4) < 1e-20


@note(
    "7.2",
    says="Pooling works on each channel separately and keeps their number.",
    verdict="right",
    truth="Every channel pooled alone gives the same.",
)
def channels_do_not_meet_in_pooling():
    x = images(2, 3, 6, 6)
    for layer in (nn.MaxPool2d(2), nn.AvgPool2d(2)):
        alone = [layer(channel) for channel in x.split(1, dim=1)]
        assert_close(layer(x), torch.cat(alone, 1), rtol=0, atol=0)


@note(
    "7.2",
    says="Pooling has no parameters.",
    verdict="right",
    truth="Nothing to learn and nothing to store; a convolution of the same window has weights.",
)
def pooling_has_nothing_to_learn():
    for layer in (nn.MaxPool2d(2), nn.AvgPool2d(2)):
        assert list(layer.parameters()) == [] == list(layer.state_dict())
    assert len(list(nn.Conv2d(3, 3, 2).parameters())) == 2


@note(
    "7.2",
    says="There are max pooling and average pooling, by the size of the window.",
    verdict="right",
    truth="The largest or the mean of each window: 4 and 2.5 for 1, 2, 3, 4.",
)
def max_and_mean_of_every_window():
    x = images(2, 3, 6, 6)
    windows = x.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    for mine, torchs, expected in (
        (nn.MaxPool2d(2), torch.nn.MaxPool2d(2), windows.amax(4)),
        (nn.AvgPool2d(2), torch.nn.AvgPool2d(2), windows.mean(4)),
    ):
        assert_close(mine(x), expected)
        assert_close(torchs(x), expected)
    window = torch.arange(1.0, 5).view(1, 1, 2, 2)
    assert (nn.MaxPool2d(2)(window).item(), nn.AvgPool2d(2)(window).item()) == (4, 2.5)


@note(
    "7.2",
    says="(book) Of several largest values in a window, the first gets the gradient.",
    verdict="right",
    truth="torch and ours do the same. (amax would share it out.)",
)
def the_first_of_equal_values_gets_the_gradient():
    def gradient(pool):
        x = torch.ones(1, 1, 2, 2, requires_grad=True)
        pool(x).sum().backward()
        return x.grad.flatten().tolist()

    assert gradient(nn.MaxPool2d(2)) == gradient(torch.nn.MaxPool2d(2)) == [1, 0, 0, 0]
    assert gradient(lambda x: x.amax((2, 3))) == [0.25] * 4


@note(
    "7.2",
    says="(book) The pooling layer has padding; its output has int(1 + (H - pool_h) / stride) "
    "rows.",
    verdict="wrong",
    truth="The formula forgets the padding: 4 x 4 with a window of 2, a stride of 2 and a padding "
    "of 1 gives 2 rows instead of 3.",
)
def the_books_pooling_forgets_its_padding():
    def book(h, pool_h, stride):
        return int(1 + (h - pool_h) / stride)

    x = images(1, 1, 4, 4)
    for library in (nn, torch.nn):
        assert library.MaxPool2d(2, stride=2, padding=1)(x).shape[-1] == 3
        assert library.MaxPool2d(2, stride=2)(x).shape[-1] == 2
    assert book(4, 2, 2) == output_size(4, 2, 2) == 2
    assert output_size(4, 2, 2, padding=1) == 3


@note(
    "7.2",
    says="Pooling removes redundant information.",
    verdict="conditional",
    truth="On an image of even 2 x 2 blocks nothing is lost: repeating the pixels gives it back. "
    "In general information is lost: images that differ in three of four pixels become equal.",
)
def pooling_loses_more_than_redundancy():
    larger, pool = nn.Upsample(scale_factor=2), nn.MaxPool2d(2)
    blocks = larger(images(1, 1, 3, 3))
    assert_close(larger(pool(blocks)), blocks)
    x = images(1, 1, 6, 6)
    is_largest = larger(pool(x)) == x
    other = torch.where(is_largest, x, x - 1)
    assert is_largest.double().mean() == 0.25
    assert_close(pool(other), pool(x))


@note(
    "7.2",
    says="Pooling enlarges the receptive field.",
    verdict="right",
    truth="Two 3 x 3 convolutions see 5 pixels, with 2 x 2 pooling in between 8, and each pixel "
    "is then 2 of the input apart.",
)
def pooling_between_two_convolutions_lets_them_see_eight_pixels():
    without = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3))
    pooled = nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2), nn.Conv2d(1, 1, 3))
    assert (seen(without, 32), seen(pooled, 32)) == (5, 8)
    field = receptive_field(pooled)
    assert (field.size, field.jump) == ((8, 8), (2, 2))


def seen(net, side):
    """Width of the region whose pixels change the middle pixel of the last feature map.

    All weights are 1 and all pooling is a mean, so that nothing is hidden by chance.
    """
    layers = []
    for layer in net:
        if isinstance(layer, nn.MaxPool2d):
            layers.append(nn.AvgPool2d(layer.kernel_size))
        elif isinstance(layer, nn.Conv2d):
            layers.append(layer)
            torch.nn.init.ones_(layer.weight)
    x = torch.zeros(1, 1, side, side, requires_grad=True)
    y = nn.Sequential(*layers)(x)[0].sum(0)
    y[y.shape[0] // 2, y.shape[1] // 2].backward()
    rows = (x.grad[0, 0] != 0).any(1)
    return rows.sum().item()


@note(
    "7.2",
    says="The receptive field is the region of the input that one pixel of a feature map depends "
    "on.",
    verdict="right",
    truth="The book's SimpleConvNet sees 6 x 6 pixels, its DeepConvNet 36 x 36 in steps of 8: as "
    "computed from the layers, and as the region with a gradient.",
)
def the_books_nets_see_6_and_36_pixels():
    simple, deep = models.SimpleConvNet(), models.DeepConvNet(channels=(1, 1, 1))
    assert receptive_field(simple.layers)[:2] == ((6, 6), (2, 2))
    assert receptive_field(deep.layers)[:2] == ((36, 36), (8, 8))
    assert (seen(simple.layers, 28), seen(deep.layers, 96)) == (6, 36)


def marked(*cells):
    image = torch.zeros(1, 1, 8, 8)
    for row, column in cells:
        image[0, 0, row, column] = 1
    return image


@note(
    "7.2",
    says="Pooling makes the net invariant to translation.",
    verdict="conditional",
    truth="To small shifts that stay within a window: a dot moved from (2, 2) to (3, 3) changes "
    "nothing, and one moved by a whole window to (4, 4) moves the answer.",
)
def pooling_tolerates_shifts_within_a_window():
    pool = nn.MaxPool2d(2)
    assert torch.equal(pool(marked((3, 3))), pool(marked((2, 2))))
    assert not torch.equal(pool(marked((4, 4))), pool(marked((2, 2))))
    assert not torch.equal(pool(marked((4, 4))), pool(marked((3, 3))))


@note(
    "7.2",
    says="Pooling makes the net invariant to rotation.",
    verdict="wrong",
    truth="A turned image gives a turned answer, which is another one. Only pooling over the "
    "whole image forgets the place, and so the turn.",
)
def pooling_turns_with_the_image():
    x, pool = images(1, 1, 8, 8), nn.MaxPool2d(2)
    turned = x.rot90(dims=(2, 3))
    assert torch.equal(pool(turned), pool(x).rot90(dims=(2, 3)))
    assert not torch.equal(pool(turned), pool(x))
    whole = nn.AdaptiveMaxPool2d(1)
    assert torch.equal(whole(turned), whole(x))


@note(
    "7.2",
    says="Pooling makes the net invariant to scale.",
    verdict="wrong",
    truth="An image of twice the size gives an answer of twice the size. Only pooling over the "
    "whole image gives the same.",
)
def pooling_grows_with_the_image():
    x, pool, larger = images(1, 1, 8, 8), nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
    assert torch.equal(pool(larger(x)), x)
    assert pool(larger(x)).shape != pool(x).shape
    cut = larger(x)[..., 4:12, 4:12]
    assert not torch.equal(pool(cut), pool(x))
    whole = nn.AdaptiveMaxPool2d(1)
    assert torch.equal(whole(larger(x)), whole(x))


@note(
    "7.2",
    says="Upsampling enlarges an image: transposed convolution, unpooling, bilinear interpolation.",
    verdict="right",
    truth="All three bring 4 x 4 to 8 x 8, as their twins in torch do.",
)
def three_ways_bring_4_to_8():
    x, small = images(1, 2, 8, 8), images(1, 2, 4, 4, seed=1)

    def enlarged(library):
        torch.manual_seed(0)
        pooled, indices = library.MaxPool2d(2, return_indices=True)(x)
        return [
            library.ConvTranspose2d(2, 2, 2, stride=2).double()(small).detach(),
            library.MaxUnpool2d(2)(pooled, indices),
            library.Upsample(scale_factor=2, mode="bilinear")(small),
        ]

    ours = enlarged(nn)
    assert {tuple(y.shape[-2:]) for y in ours} == {(8, 8)}
    assert_close(ours, enlarged(torch.nn))


@note(
    "7.2",
    says="Transposed convolution is also called deconvolution.",
    verdict="conditional",
    truth="It undoes the shapes and not the convolution. It is the transposed matrix, <conv x, y> "
    "= <x, conv_t y>; to give x back the matrix would have to be orthogonal.",
)
def transposed_convolution_is_the_adjoint_and_no_inverse():
    conv = nn.Conv2d(1, 3, 3, stride=2, bias=False).double()
    back = nn.ConvTranspose2d(3, 1, 3, stride=2, bias=False).double()
    back.weight = conv.weight
    x, y = images(1, 1, 7, 7), images(1, 3, 3, 3, seed=1)
    assert_close((conv(x) * y).sum(), (x * back(y)).sum())
    assert back(conv(x)).shape == x.shape
    assert not torch.allclose(back(conv(x)), x, atol=0.1)

    blocks = nn.Conv2d(1, 4, 2, stride=2, bias=False).double()
    undo = nn.ConvTranspose2d(4, 1, 2, stride=2, bias=False).double()
    nn.init.orthogonal_(blocks.weight)
    undo.weight = blocks.weight
    image = images(1, 1, 6, 6)
    assert_close(undo(blocks(image)), image)


@note(
    "7.2",
    says="Unpooling brings a pooled image back to its size.",
    verdict="conditional",
    truth="To its size, and the largest values to their places; all else is 0. Pooled again it is "
    "the same, but the image is not given back.",
)
def unpooling_gives_back_the_largest_values_only():
    x = images(1, 1, 6, 6).abs()
    pooled, indices = max_pool2d(x, 2, return_indices=True)
    back = nn.MaxUnpool2d(2)(pooled, indices)
    assert_close(nn.MaxPool2d(2)(back), pooled)
    assert (back != 0).sum() == 9
    assert_close(back[back != 0], x[back != 0])
    assert not torch.equal(back, x)


@note(
    "7.2",
    says="Bilinear interpolation brings an image to a higher resolution.",
    verdict="conditional",
    truth="To more pixels, without new detail: a slope comes out exact, stripes finer than the "
    "old pixels do not come out.",
)
def bilinear_interpolation_is_exact_on_slopes_only():
    finer = nn.Upsample(size=(9, 9), mode="bilinear", align_corners=True)

    def scene(f, n):
        u = torch.linspace(0, 1, n, dtype=torch.float64)
        return f(u[:, None], u[None, :]).expand(n, n)[None, None]

    def slope(u, v):
        return 2 * u - 3 * v

    def stripes(u, v):
        return (8 * torch.pi * u).cos() + 0 * v

    assert_close(finer(scene(slope, 5)), scene(slope, 9))
    assert scene(stripes, 9).std() > 0.9
    assert_close(finer(scene(stripes, 5)), torch.ones(1, 1, 9, 9).double())


@note(
    "7.2",
    says="The pooling or convolution layers of a CNN are downsampling.",
    verdict="conditional",
    truth="With a stride above 1. A 3 x 3 convolution with padding and a stride of 1, the usual "
    "one, keeps the size; so does 3 x 3 pooling with a stride of 1 and padding.",
)
def only_a_stride_makes_a_layer_downsampling():
    x = images(1, 1, 8, 8).float()

    def side(layer):
        return layer(x).shape[-1]

    assert [side(nn.Conv2d(1, 1, 3, stride=c, padding=1)) for c in (1, 2)] == [8, 4]
    assert [side(nn.MaxPool2d(3, stride=c, padding=1)) for c in (1, 2)] == [8, 4]


@note(
    "7.2",
    says="A convolution shrinks the image to extract features, pooling to lower their dimension.",
    verdict="conditional",
    truth="Without a stride a convolution loses only its border, 2 of 8 for 3 x 3. With one it "
    "shrinks as pooling does: average pooling is a convolution. And only a convolution changes "
    "the channels.",
)
def average_pooling_is_a_convolution_with_a_stride():
    x = images(2, 3, 8, 8)
    assert nn.Conv2d(3, 7, 3).double()(x).shape == (2, 7, 6, 6)
    strided = nn.Conv2d(3, 3, 2, stride=2, bias=False).double()
    with torch.no_grad():
        strided.weight.copy_(torch.eye(3)[:, :, None, None].expand(3, 3, 2, 2) / 4)
    assert_close(strided(x), nn.AvgPool2d(2)(x))


@note(
    "7.2",
    says="Downsampling makes an image smaller, to fit a display or as a thumbnail.",
    verdict="conditional",
    truth="That is its use for pictures, where it should average: dropping every other pixel "
    "turns a checkerboard black. A CNN does it for its receptive field and its cost, and max "
    "pooling drops.",
)
def a_thumbnail_needs_a_mean():
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * torch.ones(1, 1, 8, 8)
    assert_close(nn.AvgPool2d(2)(board), torch.full((1, 1, 4, 4), 0.5))
    assert board[..., ::2, ::2].unique().tolist() == [0]
    assert nn.MaxPool2d(2)(board).unique().tolist() == [1]


@note(
    "7.2",
    says="Pooling reduces the dimension and compresses features.",
    verdict="right",
    truth="By the square of its stride: 8 x 8 becomes 4 x 4 with 2 and 2 x 2 with 4, for every "
    "channel.",
)
def pooling_divides_by_the_square_of_its_stride():
    x = images(1, 3, 8, 8)
    for stride in (1, 2, 4):
        assert nn.MaxPool2d(stride)(x).numel() * stride**2 == x.numel()
