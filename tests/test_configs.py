"""Every configuration runs, says which notes it belongs to, and knows its own commands."""

import re
from pathlib import Path

import pytest
import yaml

from dlbook_torch.training.run import run

from .idx import use_mnist

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("configs/ch*/*.yaml"))


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty current directory with small files in the place of MNIST and Fashion-MNIST."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DLBOOK_DATA", str(tmp_path))
    use_mnist(monkeypatch, tmp_path, "MNIST")
    use_mnist(monkeypatch, tmp_path, "FashionMNIST")


def arguments(config):
    small = ["--data.val_size=20"] if re.search("MNIST", (ROOT / config).read_text()) else []
    return ["fit", f"--config={ROOT / config}", *small]


def comments(config):
    lines = (ROOT / config).read_text().splitlines()
    return [line for line in lines if line.startswith("#")]


def test_every_chapter_has_one():
    assert {config.split("/")[1] for config in CONFIGS} >= {"ch03", "ch04", "ch06", "ch07"}


@pytest.mark.parametrize("config", CONFIGS)
def test_config_runs(config):
    done = run([*arguments(config), "--trainer.fast_dev_run=true"])
    assert {"train/loss", "val/loss", "test/loss"} <= done.scores.keys()
    assert done.trainer.global_step == 1


@pytest.mark.parametrize("config", CONFIGS)
def test_config_says_what_it_is(config):
    first, command, *_ = comments(config)
    assert re.match(r"# notes \d(\.\d)*(, \d(\.\d)*)*: \S", first)
    assert command == f"#   python scripts/train.py fit --config {config}"


VARIANTS = [
    (config, re.match(r"#   (--\S+(?: --\S+| [^-\s]\S*| \d\S*)*)", line)[1])
    for config in CONFIGS
    for line in comments(config)
    if line.startswith("#   --")
]


def lookup(settings, option):
    """What ``--model.net.hidden`` stands for in a complete configuration."""
    for key in option.removeprefix("--").split("."):
        settings = settings.get("init_args", settings)[key]
    return settings


@pytest.mark.parametrize("config, variant", VARIANTS)
def test_the_changes_that_a_config_proposes_have_their_effect(config, variant, capsys):
    given = variant.split()
    with pytest.raises(SystemExit) as end:
        run([*arguments(config), *given, "--print_config"])
    assert end.value.code in (0, None)
    settings = yaml.safe_load(capsys.readouterr().out)
    before = yaml.safe_load((ROOT / config).read_text())
    for option, value in zip(given[::2], given[1::2], strict=True):
        found = lookup(settings, option)
        if option == "--model.optimizer":  # another class with the same arguments
            assert found["class_path"].startswith("torch.optim")
            assert lookup(before, option)["init_args"].items() <= found["init_args"].items()
        else:
            assert found == yaml.safe_load(value)
