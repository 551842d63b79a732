"""The numbers behind the pictures of notes 7.1, against formulas, torch and a network untrained."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from dlbook_torch.experiment.plan import read
from dlbook_torch.experiment.studies import convolution
from dlbook_torch.models import MLP, ConvNet

EXPERIMENTS = Path("configs/experiments")


@pytest.mark.parametrize("divisible", [True, False])
def test_sides_are_those_of_torchs_convolution(divisible):
    found = convolution.sizes(divisible)
    for a, b, c, d, side in found["cases"]:
        x, w = torch.zeros(1, 1, a, a), torch.zeros(1, 1, b, b)
        assert side == torch.nn.functional.conv2d(x, w, stride=c, padding=d).shape[-1]
    assert found["wrong_rounded_down"] == 0
    assert found["wrong"] == (0 if divisible else len(found["cases"]))
    assert found == convolution.sizes(divisible, library="torch")


def test_the_formula_without_rounding_is_off_by_less_than_a_pixel():
    assert convolution.sizes(True)["largest"] == 0
    assert convolution.sizes(False)["largest"] == 0.75  # a remainder of 3, a stride of 4


def test_the_notes_own_example_shrinks_from_4_to_2_and_padding_keeps_it_at_4():
    assert convolution.repeated(3, 0, size=4, layers=2)["side"] == [2, 0]
    assert convolution.repeated(3, 1, size=4, layers=3)["side"] == [4, 4, 4]


def test_a_repeated_convolution_takes_b_minus_1_minus_2d_pixels_a_layer():
    for kernel, padding in ((3, 0), (3, 1), (5, 2), (4, 1), (4, 2), (5, 1)):
        found = convolution.repeated(kernel, padding, layers=5)
        expected = [28 - n * (kernel - 1 - 2 * padding) for n in range(1, 6)]
        assert found["side"] == expected
        assert found["lost"] == 28 - expected[-1]


@pytest.mark.parametrize(
    "kernel, padding, stride, share",
    [(3, 1, 1, 1), (5, 2, 1, 1), (3, 0, 1, 26**2 / 28**2), (3, 1, 2, 1 / 4), (4, 1, 1, 0)],
)
def test_share_of_pixels_in_the_middle_of_a_window(kernel, padding, stride, share):
    found = convolution.repeated(kernel, padding, stride, layers=1)
    assert float(found["centred"]) == pytest.approx(share)


@pytest.mark.parametrize("filter", ["horizontal", "vertical"])
@pytest.mark.parametrize("edge", ["horizontal", "vertical", "slanted"])
def test_answers_to_an_edge_are_differences_of_sums_over_three_pixels(filter, edge):
    found = convolution.edges(filter, edge)
    for image, response in (("image", "response"), ("digit", "digit_response")):
        x = np.array(found[image].tolist())
        x = x if filter == "horizontal" else x.T
        far = x[2:] - x[:-2]
        expected = far[:, :-2] + far[:, 1:-1] + far[:, 2:]
        expected = expected if filter == "horizontal" else expected.T
        assert_close(found[response].double(), torch.from_numpy(expected), atol=1e-5, rtol=0)
    assert found["answer"] == {True: 3, False: 0}[filter == edge] or edge == "slanted"


def test_roughness_of_noise_is_2_of_a_flat_filter_0_and_of_a_chessboard_4():
    noise = torch.randn(20000, 5, 5, generator=torch.Generator().manual_seed(0))
    assert convolution.roughness(noise) == pytest.approx(2, abs=0.02)
    assert convolution.roughness(torch.full((3, 5, 5), 0.7)) == 0
    chess = torch.tensor([[(-1.0) ** (i + j) for j in range(5)] for i in range(5)])
    assert convolution.roughness(chess[None]) == pytest.approx(4)
    stripes = chess.diagonal().abs()[:, None] * chess[0]  # rough from left to right only
    for one_way in (stripes, stripes.T):
        assert convolution.roughness(one_way[None]) == pytest.approx(2)


def test_filters_before_training_are_the_first_weights_and_after_it_they_are_not():
    before, again = (convolution.filters(epochs=0, subset=50, seed=3) for _ in range(2))
    after = convolution.filters(epochs=1, subset=50, seed=3)
    assert torch.equal(before["filters"], again["filters"])
    assert float(before["filters"].std()) == pytest.approx(0.01, rel=0.1)
    assert not torch.equal(before["filters"], after["filters"])
    assert_close(convolution.filters(epochs=1, subset=50, seed=3, library="torch"), after)


@pytest.mark.parametrize("way", convolution.WAYS)
def test_every_way_to_convolve_agrees_with_torch_and_shows_its_memory(way):
    x, w = torch.randn(2, 8, 9, 9).double(), torch.randn(8, 8, 3, 3).double()
    assert_close(convolution.WAYS[way](x, w), torch.nn.functional.conv2d(x, w))
    found = convolution.ways(way, sides=(9,))
    assert found["error"] < 1e-12
    y, columns = 2 * 8 * 7 * 7 * 8, 2 * (8 * 9) * (7 * 7) * 8  # bytes: N C H W, N CK L
    assert found["megabytes"] == [{"columns": columns, "dlbook": columns}.get(way, y) / 2**20]


def test_a_wrong_way_to_convolve_is_seen(monkeypatch):
    monkeypatch.setitem(convolution.WAYS, "torch", lambda x, w: convolution._by_columns(x, w.mT))
    assert convolution.ways("torch", sides=(6,))["error"] > 1


def test_both_networks_of_the_comparison_have_equally_many_weights():
    arms = read(EXPERIMENTS / "conv_against_dense.yaml").arms
    chosen = arms["affine, 1000 images"]["model.net"]
    affine = MLP(**chosen["init_args"])
    convolution_net = ConvNet((1, 8, 8), 10, [16, 32], [3, 3], 64, batch_norm=True)
    counts = [sum(p.numel() for p in net.parameters()) for net in (affine, convolution_net)]
    assert counts == pytest.approx([13754] * 2, rel=0.01)
