"""The numbers behind the pictures of notes 2: regions of gates, and where a perceptron fires."""

import numpy as np
import pytest

from dlbook_torch.experiment.studies import perceptron

X2, X1 = np.meshgrid(np.linspace(-0.5, 1.5, 40), np.linspace(-0.5, 1.5, 40), indexing="ij")
REGIONS = {  # the lines of notes 2.2, drawn without any perceptron
    "AND": X1 + X2 > 1.4,
    "NAND": X1 + X2 < 1.4,
    "OR": X1 + X2 > 0.4,
    "XOR": (X1 + X2 < 1.4) & (X1 + X2 > 0.4),
}


@pytest.mark.parametrize("gate", REGIONS)
def test_2_2_a_gate_fires_on_its_side_of_the_line(gate):
    found = perceptron.truth(gate, points=40)
    assert np.array_equal(found["region"].numpy(), REGIONS[gate])
    assert found["wrong"] == 0


def test_2_2_a_wrong_gate_is_counted(monkeypatch):
    monkeypatch.setitem(perceptron.GATES, "AND", perceptron.GATES["OR"])
    assert perceptron.truth("AND")["wrong"] == 2


@pytest.mark.parametrize("b", [-20.0, -0.1, 0.0, 5.0])
def test_2_2_a_perceptron_fires_above_minus_its_bias(b):
    found = perceptron.bias(b)
    assert found["threshold"] == pytest.approx(-b, abs=1e-12)
    assert found["fires"] == [total > -b for total in found["sums"]]


def test_2_3_the_learned_line_parts_the_corners_and_no_line_parts_xor():
    for seed in range(5):
        found = perceptron.learning("NAND", seed=seed)
        (w,), (b,) = [found["w"].tolist()], found["b"].tolist()
        answers = [w[0] * x1 + w[1] * x2 + b > 0 for x1 in (0, 1) for x2 in (0, 1)]
        assert answers == [True, True, True, False]
    assert perceptron.learning("XOR")["left"] > 0
