"""The numbers behind the pictures of notes 3.4: when softmax overflows, and what it keeps."""

import numpy as np
import pytest
import torch

from dlbook_torch.experiment.measure import arguments
from dlbook_torch.experiment.studies import output


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_3_4_the_formula_fails_where_exp_leaves_the_numbers(dtype):
    limit = np.log(np.finfo(dtype).max)  # 88.7 and 709.8
    found = output.overflow(False, dtype)
    assert found["fails"] == min(size for size in output.SIZES if size > limit)
    assert output.overflow(True, dtype)["fails"] > max(output.SIZES)


def test_3_4_the_share_of_numbers_is_that_of_scores_below_the_limit():
    scores = np.linspace(-1, 1, 10) * 1000
    share = output.overflow(False, "float64")["finite"][output.SIZES.index(1000)]
    assert share == pytest.approx(np.mean(scores < 709.78))


def test_3_4_the_errors_are_those_of_torch():
    x = torch.linspace(-1, 1, 10, dtype=torch.float64) * 20
    error = (torch.softmax(x.float(), 0).double() - torch.softmax(x, 0)).abs().max()
    found = output.overflow(True, "float32", library="torch")["error"][output.SIZES.index(20)]
    assert found == pytest.approx(float(error), abs=1e-12)


def test_3_4_the_notes_scores_have_the_notes_probabilities():
    found = output.constant(0.0, "float64")
    expected = [0.01821127, 0.24519181, 0.73659691]
    assert found["probabilities"].tolist() == pytest.approx(expected, abs=1e-8)
    assert output.constant(1e9, "float64")["change"] < 1e-6
    lost = (np.float32([0.3, 2.9, 4.0]) + np.float32(1e9)).astype(float)  # all three are the same
    assert len(set(lost)) == 1
    third = output.constant(1e9, "float32")["probabilities"].tolist()
    assert third == pytest.approx([1 / 3] * 3)


def test_3_4_classes_change_only_where_rounding_makes_ties():
    fine, coarse = (output.classes(size, "float32", samples=2000) for size in (1.0, 1e-7))
    assert fine["changed"] == fine["tied"] == 0
    assert 0 < coarse["changed"] < coarse["tied"]
    assert fine["overtaken"] == coarse["overtaken"] == 0


def test_numbers_of_a_command_line_stay_numbers():
    given = arguments(["size=1e-07", "gate=XOR", "hidden=[16, 16]", 'dtype="float32"'])
    assert given == {"size": 1e-7, "gate": "XOR", "hidden": [16, 16], "dtype": "float32"}
