"""Interpolation beyond the case table: every source pixel, narrow types, layouts, tracers."""

import inspect

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch.nn import Upsample
from dlbook_torch.nn.functional import interpolate

F = torch.nn.functional
MODES = [
    dict(mode="nearest"),
    dict(mode="nearest-exact"),
    dict(mode="bilinear"),
    dict(mode="bilinear", align_corners=True),
    dict(mode="bicubic"),
    dict(mode="area"),
    dict(mode="bilinear", antialias=True),
    dict(mode="bicubic", antialias=True),
]
SIZES = [dict(size=(7, 3)), dict(scale_factor=(1.7, 0.6)), dict(scale_factor=2)]
modes = pytest.mark.parametrize("mode", MODES, ids=lambda kw: "-".join(map(str, kw.values())))


def test_arguments_are_torchs():
    ours, theirs = (inspect.signature(f).parameters.values() for f in (interpolate, F.interpolate))
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_every_new_pixel_copies_the_pixel_that_torch_copies(mode, dtype):
    for n in [*range(1, 12), 39]:
        x = torch.arange(n, dtype=dtype).view(1, 1, n)
        for k in [*range(1, 30), 55, 58]:
            sizes = [dict(size=k)] + [dict(scale_factor=k / 10)] * (n * k >= 10)
            for size in sizes:  # where i / s is whole but for rounding, the last bit decides
                assert torch.equal(
                    interpolate(x, **size, mode=mode), F.interpolate(x, **size, mode=mode)
                )


@pytest.mark.parametrize("size", SIZES, ids=str)
@modes
def test_values_and_gradients_are_torchs(mode, size):
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, y_ref = interpolate(a, **size, **mode), F.interpolate(b, **size, **mode)
    assert_close(y, y_ref)
    y.square().sum().backward()
    y_ref.square().sum().backward()
    assert_close(a.grad, b.grad)


@modes
def test_layout_in_memory_is_torchs(mode):
    x = torch.randn(2, 3, 5, 4)
    for image in (x, x.to(memory_format=torch.channels_last), x.transpose(2, 3), x[:, :1]):
        before = image.clone()
        y, y_ref = (
            interpolate(image, scale_factor=2, **mode),
            F.interpolate(image, scale_factor=2, **mode),
        )
        assert y.stride() == y_ref.stride()
        assert_close(y, y_ref)
        assert torch.equal(image, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("mode", MODES[:6], ids=str)
def test_narrow_types_are_rounded_once(mode, dtype):
    x = torch.randn(2, 3, 5, 4).to(dtype)
    y = interpolate(x, scale_factor=1.7, **mode)
    assert y.dtype == F.interpolate(x, scale_factor=1.7, **mode).dtype == dtype
    # in float32 the source pixels are those of the narrow type, which has not the bits to find them
    assert_close(y, interpolate(x.float(), scale_factor=1.7, **mode).to(dtype), rtol=0, atol=0)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(7, 9), (3, 5), (9, 3)], ids=str)
def test_bytes_are_at_most_two_from_torchs(mode, antialias, size):
    x = torch.randint(256, (2, 3, 5, 6), dtype=torch.uint8)
    y, ref = (f(x, size, mode=mode, antialias=antialias) for f in (interpolate, F.interpolate))
    assert y.dtype == torch.uint8
    assert_close(y, ref, rtol=0, atol=2)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_bytes_are_copied_as_torch_copies_them(mode):
    x = torch.randint(256, (2, 3, 5, 6), dtype=torch.uint8)
    y, ref = (f(x, scale_factor=1.7, mode=mode) for f in (interpolate, F.interpolate))
    assert_close(y, ref, rtol=0, atol=0)


def test_bytes_are_rounded_and_not_cut_off():
    x = torch.randint(256, (2, 3, 5, 4), dtype=torch.uint8)
    y, exact = (interpolate(t, (5, 9), mode="bilinear") for t in (x, x.double()))
    assert (y - exact).abs().max() <= 0.51


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_integers_are_refused(mode):
    for f in (F.interpolate, interpolate):
        with pytest.raises(NotImplementedError):
            f(torch.zeros(1, 1, 2, 2, dtype=torch.long), size=3, mode=mode)


@pytest.mark.parametrize("kwargs", [dict(mode="nearest"), dict(mode="linear")], ids=str)
def test_antialias_is_refused_by_the_modes_that_have_none(kwargs):
    for f in (F.interpolate, interpolate):
        with pytest.raises(ValueError, match=r"(?i)anti-?alias"):
            f(torch.zeros(1, 1, 2), size=3, antialias=True, **kwargs)


@pytest.mark.parametrize("mode", MODES[1::2], ids=str)
def test_traced_batched_and_without_memory(mode):
    def double(x):
        return interpolate(x, scale_factor=1.7, **mode)

    x = torch.randn(1, 2, 5, 4, dtype=torch.float64)
    torch._dynamo.reset()
    expected = F.interpolate(x, scale_factor=1.7, **mode)
    assert_close(torch.compile(double, fullgraph=True, backend="aot_eager")(x), expected)
    assert_close(torch.vmap(double)(torch.stack([-x, x]))[1], expected)
    slope = torch.func.grad(lambda x: (double(x) * expected).sum())(x)
    assert_close((slope * x).sum(), expected.square().sum())  # linear: <dx, x> = <dy, y>
    assert double(x.to("meta")).shape == expected.shape


def test_layer_is_exported():
    x = torch.randn(1, 2, 5, 4)
    layer = Upsample(scale_factor=1.7, mode="bilinear")
    assert_close(torch.export.export(layer, (x,)).module()(x), layer(x))
