"""Dropout: the same seed, the same mask as torch's, whole channels where channels are meant."""

import warnings

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import nn
from dlbook_torch.nn import functional as ours

ref = torch.nn.functional
NAMES = ["dropout", "dropout1d", "dropout2d", "dropout3d"]


def drawn(f, name, x, **kwargs):
    """What comes out at a fixed seed, the next draw after it, and how often it warned."""
    torch.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            y = getattr(f, name)(x, **kwargs)
        except RuntimeError:
            y = torch.tensor(torch.nan)  # refused
    return y, torch.rand(3), len(caught)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("inplace", [True, False], ids=["inplace", "copy"])
@pytest.mark.parametrize(
    "shape",
    [(), (4,), (3, 4), (2, 3, 4), (2, 3, 4, 2), (2, 3, 4, 2, 2), (2, 1, 3, 2, 1, 2), (0, 3, 4)],
    ids=str,
)
def test_mask_next_draw_and_warnings_are_torchs(name, p, training, inplace, shape):
    x = torch.randn(shape)
    for layout in (x, x.mT if x.dim() > 1 else x):
        a, b = layout.clone(), layout.clone()
        kwargs = dict(p=p, training=training, inplace=inplace)
        results = drawn(ours, name, a, **kwargs), drawn(ref, name, b, **kwargs)
        assert_close(*results, rtol=0, atol=0, equal_nan=True)
        if not results[0][0].isnan().any():  # torch changes the shape of what it refuses
            assert_close(a, b, rtol=0, atol=0)
        assert results[0][0].stride() == results[1][0].stride()


@pytest.mark.parametrize("name", ["Dropout1d", "Dropout2d", "Dropout3d"])
def test_channels_are_dropped_whole(name):
    x = torch.ones(50, 3, *(2,) * int(name[-2]))
    y = getattr(nn, name)(0.5)(x).flatten(2)
    assert torch.equal(y, y[..., :1].expand_as(y))
    assert set(y.unique().tolist()) == {0.0, 2.0}
    per_sample = y[:, :, 0].sum(1)
    assert per_sample.unique().numel() > 1  # every sample draws for itself


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "f16"])
def test_narrow_types_draw_torchs_mask(dtype):
    x = torch.randn(4, 3, 5, dtype=dtype)
    for name in ("dropout", "dropout1d"):
        assert_close(drawn(ours, name, x, p=0.3), drawn(ref, name, x, p=0.3), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["Dropout", "Dropout1d"])
def test_vmap_draws_for_all_or_for_each(name):
    x = torch.ones(4, 2, 50, 3)
    ours_, ref_ = getattr(nn, name)(), getattr(torch.nn, name)()
    with pytest.raises(RuntimeError, match="randomness"):
        torch.vmap(ours_)(x)
    for randomness in ("same", "different"):
        for layer in (ours_, ref_):
            y = torch.vmap(layer, randomness=randomness)(x)
            assert torch.equal(y[0], y[1]) is (randomness == "same"), layer
