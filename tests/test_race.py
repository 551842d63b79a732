"""The race of the update rules down the valley of notes 6.2."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.testing import assert_close

from dlbook_torch import optim
from dlbook_torch.experiment.race import Run, entries, main, race, valley
from dlbook_torch.experiment.race_figure import race_figure

ROOT = Path(__file__).parents[1]
F64 = torch.float64

# Where the book's rules end after 30 updates, and how exactly these numbers are known. The book's
# Adam adds an epsilon of 1e-7 before v is corrected, torch one of 1e-8 after: hence its 1e-5.
GOLDEN = {
    "SGD": ((-0.350393, 0.084782), 6e-7),
    "Momentum": ((0.896414, 0.088086), 6e-7),
    "Adagrad": ((-0.120162, 2.5e-17), 6e-7),
    "Adam": ((0.136007, 0.318245), 1e-5),
}


@pytest.fixture(scope="module")
def runs():
    return {run.name: run for run in race()}


@pytest.mark.parametrize("name", GOLDEN)
def test_rules_end_where_the_book_s_do_6_2(runs, name):
    (x, y), near = GOLDEN[name]
    for path in runs[name].paths.values():
        assert path.shape == (31, 2)
        assert path[0].tolist() == [-7, 2]
        assert_close(path[-1], torch.tensor([x, y], dtype=F64), rtol=0, atol=near)


def test_adagrad_has_all_but_lost_y_6_2_3(runs):
    assert runs["Adagrad"].end[1].item() == pytest.approx(2.5e-17, rel=0.02)


def test_book_s_adam_ends_a_little_elsewhere_for_its_epsilon_6_2_4(runs):
    w, m, v = torch.tensor([-7.0, 2.0], dtype=F64), torch.zeros(2), torch.zeros(2)
    for t in range(1, 31):
        g = torch.stack([w[0] / 10, 2 * w[1]])
        m, v = m + 0.1 * (g - m), v + 0.001 * (g * g - v)
        w = w - 0.3 * (1 - 0.999**t) ** 0.5 / (1 - 0.9**t) * m / (v.sqrt() + 1e-7)
    assert_close(w, torch.tensor(GOLDEN["Adam"][0], dtype=F64), rtol=0, atol=6e-7)
    assert 5e-6 < (runs["Adam"].end - w).norm() < 1e-5


def test_sgd_follows_its_closed_form_6_2_1(runs):
    t = torch.arange(31, dtype=F64)
    known = torch.stack([-7 * (1 - 0.95 / 10) ** t, 2 * (1 - 2 * 0.95) ** t], dim=1)
    for path in runs["SGD"].paths.values():
        assert_close(path, known)


def test_everyone_gets_nearer_and_ours_runs_with_torch_s(runs):
    for run in runs.values():
        assert valley(run.end) < 0.3, run.name  # from 6.45
        if "ours" in run.paths:
            assert run.difference < 1e-13, run.name


def test_every_rule_of_ours_is_in_the_race(runs):
    rules = set(optim.__all__) - {"Optimizer", "lr_scheduler"}
    assert {entries()[name].rule for name in runs} >= rules
    for rule in rules:
        assert any("ours" in run.paths for run in runs.values() if entries()[run.name].rule == rule)
    assert {"Adagrad", "Adadelta", "AdamW", "NAdam", "RAdam", "Adamax", "ASGD", "Rprop"} <= {*runs}


def test_new_rule_appears_by_itself(monkeypatch):
    class Crawl(torch.optim.Optimizer):
        def __init__(self, params, lr=0.125):
            super().__init__(params, dict(lr=lr))

        @torch.no_grad()
        def step(self, closure=None):
            for w in self.param_groups[0]["params"]:
                w -= self.defaults["lr"] * w.grad.sign()

    monkeypatch.setattr(optim, "Crawl", Crawl, raising=False)
    monkeypatch.setattr(optim, "__all__", [*optim.__all__, "Crawl"])
    *_, last = race(steps=2)
    assert (last.name, last.lr, list(last.paths)) == ("Crawl", 0.125, ["ours"])
    assert last.end.tolist() == [-6.75, 1.75]
    assert last.difference is None


def test_rule_that_ours_gets_is_compared(monkeypatch):
    monkeypatch.delattr(optim, "Adagrad", raising=False)
    (run,) = race(only=["Adagrad"], steps=2)
    assert list(run.paths) == ["torch"]
    monkeypatch.setattr(optim, "Adagrad", torch.optim.Adagrad, raising=False)
    (run,) = race(only=["Adagrad"], steps=2)
    assert list(run.paths) == ["ours", "torch"]
    assert run.difference == 0


def test_difference_is_the_largest_distance_on_the_way():
    path = torch.randn(5, 2, dtype=F64)
    bent = path.clone()
    bent[2] += torch.tensor([0.3, -0.4])
    assert Run("A", 1, {"ours": bent, "torch": path}).difference == pytest.approx(0.5)
    for odd in (torch.inf, torch.nan):
        path[4] = odd
        assert Run("A", 1, {"ours": path.clone(), "torch": path}).difference == 0
        assert Run("A", 1, {"ours": bent, "torch": path}).difference == torch.inf


def test_rates_start_and_steps_can_be_chosen():
    (run,) = race({"SGD": 0.5}, ["SGD"], ["torch"], (3.0, -1.0), 4)
    assert run.lr == 0.5
    assert_close(
        run.paths["torch"][1:], torch.tensor([[3 * 0.95**t, 0] for t in range(1, 5)]).double()
    )


def events(folder):
    found = EventAccumulator(str(folder))
    found.Reload()
    return found


def hues(picture):
    """Number of coloured pixels by hue: 12 of them, orange is 0 or 1, and blue 6."""
    hue, saturation, value = np.moveaxis(np.asarray(picture.convert("HSV")), 2, 0)
    return np.histogram(hue[(saturation > 90) & (value > 90)], bins=12, range=(0, 256))[0]


def test_race_leaves_a_table_a_picture_and_curves(tmp_path, capsys):
    main(["--only", "sgd", "Adam", "--lr", "ADAM=0.1", "--steps", "7", "--out", str(tmp_path)])
    shown = capsys.readouterr().out
    (folder,) = tmp_path.iterdir()
    (known, adam) = race({"Adam": 0.1}, ["SGD", "Adam"], steps=7)
    assert shown.splitlines()[-2:] == [str(folder / "race.png"), f"tensorboard --logdir {folder}"]
    (line,) = [line for line in shown.splitlines() if line.split()[:1] == ["Adam"]]
    x, y = adam.end.tolist()
    assert line.split()[1:6] == ["0.1", "both", f"{x:.6f}", f"{y:.6f}", f"{valley(adam.end):.3g}"]
    with Image.open(folder / "race.png") as picture:
        assert picture.width > picture.height > 300
        found = hues(picture)
    assert found[:2].sum() > 300
    assert found[6] > 300

    for library in ("ours", "torch"):
        found = events(folder / library / "SGD")
        path = known.paths[library]
        for tag, values in (("f", valley(path)), ("x", path[:, 0]), ("y", path[:, 1])):
            points = found.Scalars(tag)
            assert [point.step for point in points] == list(range(8))
            assert [point.value for point in points] == pytest.approx(values.tolist(), rel=1e-6)
        assert (folder / library / "Adam").is_dir()
    (image,) = events(folder).Images("race")
    assert (image.step, image.width > 300) == (7, True)


def test_second_race_gets_a_folder_of_its_own(tmp_path):
    for _ in range(2):
        main(["--only", "SGD", "--steps", "1", "--library", "torch", "--out", str(tmp_path)])
    folders = list(tmp_path.iterdir())
    assert len(folders) == 2
    for folder in folders:
        assert [path.name for path in (folder / "torch").iterdir()] == ["SGD"]
        assert not (folder / "ours").exists()


def test_picture_draws_ours_over_torch_s_on_equal_axes(runs):
    some = [runs["SGD"], runs["Adam"], runs["Adagrad"]]
    figure = race_figure(some, (-7.0, 2.0), 30)
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == [
        "SGD, lr 0.95",
        "Adam, lr 0.3",
        "Adagrad, lr 1.5",
    ]
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in panels}) == 1
    lines = [line for line in panels[0].lines if len(line.get_xdata()) == 31]
    for line, library in zip(lines, ("torch", "ours"), strict=True):
        assert_close(torch.tensor(line.get_xydata()), runs["SGD"].paths[library])
    assert lines[0].get_linewidth() > 2 * lines[1].get_linewidth()


def test_rule_that_runs_away_does_not_spoil_the_picture(tmp_path, capsys):
    main(["--only", "SGD", "Adam", "--lr", "SGD=1000", "--steps", "120", "--out", str(tmp_path)])
    assert "nan" in capsys.readouterr().out
    (run, adam) = race({"SGD": 1000.0}, ["SGD", "Adam"], steps=120)
    (low, high) = race_figure([run, adam], (-7.0, 2.0), 120).axes[0].get_xlim()
    assert -16 < low < -7
    assert 0 < high < 16


@pytest.mark.parametrize("start", [(0.0, 0.0), (0.0, 1.0), (1e-3, -1e4)])
def test_race_starts_anywhere(start):
    main_runs = race(only=["SGD", "Adam"], start=start, steps=3)
    race_figure(main_runs, start, 3).canvas.draw()


@pytest.mark.parametrize(
    "args, sentence",
    [
        (("--lr", "Adamm=0.1"), "--lr: no rule is called 'Adamm'; did you mean Adam?"),
        (("--lr", "0.1"), "--lr: say it like Adam=0.1, not '0.1'"),
        (("--lr", "Adam=fast"), "--lr: a rate must be a positive number, got 'fast'"),
        (("--lr", "Adam=-1"), "--lr: a rate must be a positive number, got '-1'"),
        (("--lr", "Adam=nan"), "got 'nan'"),
        (("--only", "momentun"), "--only: no rule is called 'momentun'; did you mean Momentum?"),
        (("--steps", "0"), "--steps: steps must be a whole number from 1 on, got '0'"),
        (("--steps", "many"), "got 'many'"),
        (("--start", "1", "east"), "--start: a coordinate must be a finite number, got 'east'"),
        (("--start", "1", "inf"), "got 'inf'"),
        (("--start", "1"), "--start: expected 2 arguments"),
    ],
)
def test_bad_arguments_end_with_a_sentence(args, sentence, tmp_path, capsys):
    with pytest.raises(SystemExit) as info:
        main([*args, "--out", str(tmp_path / "race")])
    assert info.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(sentence)
    assert not (tmp_path / "race").exists()


def test_other_refusals(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    for args, sentence in (
        (("--only", "Crash"), "no rule is called 'Crash'; there are SGD, Momentum"),
        (("--library", "jax"), "invalid choice: 'jax'"),
        (
            ("--only", "SGD", "--out", str(tmp_path / "file")),
            f"cannot write to {tmp_path / 'file'}",
        ),
    ):
        with pytest.raises(SystemExit) as info:
            main(list(args))
        assert info.value.code == 2
        assert sentence in capsys.readouterr().err.splitlines()[-1]
    monkeypatch.delattr(optim, "Rprop", raising=False)
    with pytest.raises(SystemExit) as info:
        main(["--only", "Rprop", "--library", "ours", "--out", str(tmp_path)])
    assert info.value.code == 2
    assert "argument --only: ours has none of them yet" in capsys.readouterr().err


def test_optimizer_race_is_a_command(tmp_path):
    script = ROOT / "scripts" / "optimizer_race.py"
    command = [sys.executable, script, "--only", "SGD", "--start", "-3", "1.5", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "from (-3, 1.5), 30 updates" in done.stdout
    assert Path(done.stdout.splitlines()[-2]).stat().st_size > 5000
