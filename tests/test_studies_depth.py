"""The numbers behind the pictures of notes 3.3 and 3.5: regions, widths, a trained network."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from dlbook_torch.data import Plane
from dlbook_torch.experiment.measure import train
from dlbook_torch.experiment.plan import QUIET, training
from dlbook_torch.experiment.studies import depth, inference

ROOT = Path(__file__).parents[1]
DIGITS = str(ROOT / "configs/ch03/digits_mlp_sigmoid.yaml")


def changes(region):
    """How often the class changes along every row and column."""
    return [int((lines[:, 1:] != lines[:, :-1]).sum(1).max()) for lines in (region, region.T)]


def test_3_5_without_hidden_layers_the_border_is_one_line():
    found = depth.regions("checkerboard", [], epochs=3, samples=100, points=30)
    assert max(changes(found["region"])) <= 1
    assert found["parameters"] == 2 * 2 + 2


def test_3_5_hidden_layers_bend_the_border():
    found = depth.regions("blob", [20], epochs=20, samples=200, points=30)
    assert min(changes(found["region"])) >= 2
    assert found["fitted"] > 0.9


def test_3_5_the_picture_is_not_turned():
    found = depth.regions("spiral", [30, 30], epochs=50, points=30)
    x = torch.linspace(-1, 1, 30)
    right = Plane(task="spiral").label(torch.stack(torch.meshgrid(x, x, indexing="xy"), -1))
    assert (found["region"] == right).double().mean() > 0.8
    assert (right == found["region"].T).double().mean() < 0.7


def test_3_5_the_two_networks_have_as_many_parameters():
    one, two = (depth.regions("blob", h, epochs=0)["parameters"] for h in ([70], [16, 16]))
    assert (one, two) == (2 * 70 + 70 + 70 * 2 + 2, 48 + 16 * 16 + 16 + 34)


@pytest.mark.parametrize(
    "options, hidden",
    [
        ({"width": 5}, [5]),
        ({"width": 5, "layers": 3}, [5, 5, 5]),
        ({"width": 5, "layers": 3, "first": 9}, [9, 5, 5]),
    ],
)
def test_3_5_widths_and_depths_are_as_asked(options, hidden):
    found = depth.fit(**options, epochs=1, samples=50)
    sizes = [64, *hidden, 10]
    assert found["parameters"] == sum((n + 1) * m for n, m in pairwise(sizes))
    assert found["gap"] == pytest.approx(found["train"][-1] - found["val"][-1])


def test_3_5_training_is_that_of_torch():
    ours, theirs = (
        depth.fit(8, 2, epochs=8, samples=60, library=library) for library in ("dlbook", "torch")
    )
    assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-4)
    assert ours["train_loss"][-1] < ours["train_loss"][0]


def test_3_3_batches_answer_as_single_images_do():
    options = {"trainer.max_epochs": 2, "data.subset": 200}
    found = inference.batches(DIGITS, [100, 7], options, seed=1)
    chosen = {**QUIET, **options, "seed_everything": 1, "data.seed": 1}
    done = train(list(training(DIGITS, chosen)))
    assert found["accuracy"] == pytest.approx(done.scores["test/accuracy"], abs=1e-6)
    assert found["different"] == 0
    assert found["distance"] < 1e-5
    assert len(found["milliseconds"]) == 3


def test_3_3_a_network_that_minds_its_neighbours_is_found_out(monkeypatch):
    class Jealous(torch.nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :10] - x.flatten(1)[:, :10].mean(0)

    done = train(list(training(DIGITS, {**QUIET, "trainer.max_epochs": 1, "data.subset": 50})))
    done.model.net = Jealous()
    monkeypatch.setattr(inference, "train", lambda args: done)
    assert inference.batches(DIGITS, [100])["different"] > 0
