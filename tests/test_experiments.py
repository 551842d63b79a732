"""Every experiment in configs/experiments runs at its tiny size, is judged and drawn."""

import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from dlbook_torch.experiment.figures import figure
from dlbook_torch.experiment.plan import read
from dlbook_torch.experiment.results import collect
from dlbook_torch.experiment.runner import run_all

from .idx import use_mnist

ROOT = Path(__file__).parents[1]
EXPERIMENTS = sorted(path.stem for path in ROOT.glob("configs/experiments/*.yaml"))


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """The project's folder, with small files in the place of MNIST."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DLBOOK_DATA", str(tmp_path))
    use_mnist(monkeypatch, tmp_path, "MNIST", train=600)


def path(name):
    return Path("configs/experiments") / f"{name}.yaml"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_runs_is_judged_and_drawn(name, tmp_path):
    experiment = read(path(name), "tiny")
    assert run_all([experiment], tmp_path) == []
    results = collect(experiment, tmp_path)
    assert results.complete
    assert all(outcome.pairs == len(experiment.seeds) for outcome in results.outcomes)
    made = figure(results)
    assert isinstance(made, Figure)
    drawn = [axes for axes in made.axes if axes.has_data()]
    assert drawn
    assert experiment.claim.split()[0] in made.get_suptitle()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_says_what_it_is(name):
    first, *rest = path(name).read_text(encoding="utf-8").splitlines()
    assert re.match(r"# notes \d(\.\d)*(, \d(\.\d)*)*: \S", first)
    experiment = read(path(name))
    assert not experiment.claim.endswith(".")
    assert len(experiment.claim) < 160
    full = read(path(name), "full")
    assert experiment.exact or len(experiment.seeds) >= 3
    assert any(line.startswith("tiny:") for line in rest) or experiment.exact
    assert len(full.seeds) >= len(experiment.seeds)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_twin_of_a_training_is_the_same_but_for_the_library(name):
    ours, torchs = read(path(name)), read(path(name), library="torch")
    if not ours.has_twin:
        pytest.skip("a study that builds no layers and no rules")
    for mine, theirs in zip(ours.runs(), torchs.runs(), strict=True):
        assert (mine.arm, mine.seed) == (theirs.arm, theirs.seed)
        assert "torch" in " ".join(theirs.command)
        left = [word for word in theirs.command if word.startswith("dlbook_torch.optim")]
        assert left == []
