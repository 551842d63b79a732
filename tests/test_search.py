"""The search of notes 6.6: what is drawn, how the ranges narrow, what a trial is."""

import datetime
import math
from collections import Counter
from pathlib import Path

import numpy as np
import optuna
import pytest
import yaml
from matplotlib.collections import PathCollection
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial
from scipy import stats
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from dlbook_torch.data import Digits
from dlbook_torch.search import NarrowingSampler, cli
from dlbook_torch.search import study as rooms
from dlbook_torch.search.compare import (
    Interval,
    best_so_far,
    compare,
    differences,
    sentence,
    write,
)
from dlbook_torch.search.figure import comparison_figure, ranges_figure, score_ranks
from dlbook_torch.search.plan import place, read_plan
from dlbook_torch.search.sampler import SeededTPE, best_first, finished
from dlbook_torch.search.study import Watch, give_up, open_study, search
from dlbook_torch.search.trial import rehearse, train
from dlbook_torch.training.errors import UsageError
from dlbook_torch.training.run import run

ROOT = Path(__file__).parents[1]
RATE = FloatDistribution(1e-6, 1e-2, log=True)
CONFIGS = sorted(ROOT.glob("configs/search/*.yaml"))
SMALL = """\
base: {base}
epochs: 1
rounds: 2
trials: 2
score: {{metric: val/loss, direction: min}}
space:
  model.optimizer.lr: {{log: [1e-3, 1]}}
  model.net.hidden: {{choice: [[5], [8]]}}
"""
BASE = ROOT / "configs/ch03/digits_mlp_sigmoid.yaml"


@pytest.fixture(autouse=True)
def quiet_optuna():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture
def small(tmp_path):
    """A function from changes of a small search to its file."""

    def write_file(**changes):
        given = yaml.safe_load(SMALL.format(base=BASE)) | changes
        file = tmp_path / "small.yaml"
        file.write_text(yaml.safe_dump({k: v for k, v in given.items() if v is not None}))
        return file

    return write_file


def study_of(values, states=None, name="x", distribution=RATE, direction="minimize"):
    """A study whose trials ended in this order with these (parameter, score)."""
    study = optuna.create_study(direction=direction)
    for i, (x, score) in enumerate(values):
        state = states[i] if states else TrialState.COMPLETE
        trial = create_trial(
            state=state,
            params={name: x},
            distributions={name: distribution},
            value=score if state == TrialState.COMPLETE else None,
        )
        trial.datetime_complete = datetime.datetime(2026, 1, 1, 0, i)
        study.add_trial(trial)
    return study


def draws(sampler, study, distribution, numbers, name="x"):
    trials = [create_trial(value=0.0) for _ in numbers]
    for trial, number in zip(trials, numbers, strict=True):
        trial.number = number
    return [sampler.sample_independent(study, t, name, distribution) for t in trials]


# what is drawn ------------------------------------------------------------------------------------


def test_the_first_round_is_even_in_the_exponent_6_6():
    drawn = draws(NarrowingSampler(8), optuna.create_study(), RATE, range(1000))
    assert all(1e-6 <= x <= 1e-2 for x in drawn)
    assert stats.kstest(np.log10(drawn), stats.uniform(-6, 4).cdf).pvalue > 0.01


def test_every_integer_and_every_choice_is_as_likely_as_the_others():
    for distribution, values in (
        (IntDistribution(3, 7), [3, 4, 5, 6, 7]),
        (CategoricalDistribution(["a", "b", "c"]), ["a", "b", "c"]),
    ):
        sampler = NarrowingSampler(8)
        drawn = Counter(draws(sampler, optuna.create_study(), distribution, range(5000)))
        assert set(drawn) == set(values)
        assert stats.chisquare(list(drawn.values())).pvalue > 0.01


def test_a_draw_depends_on_seed_number_and_name_alone():
    study, sampler = optuna.create_study(), NarrowingSampler(8)
    first = draws(sampler, study, RATE, [0, 1, 2])
    assert draws(NarrowingSampler(8), study, RATE, [2, 1, 0]) == first[::-1]
    others = draws(NarrowingSampler(8, seed=1), study, RATE, [0, 1, 2])
    others += draws(sampler, study, RATE, [3, 4, 5]) + draws(sampler, study, RATE, [0, 1, 2], "y")
    assert len({*first, *others}) == 12


@pytest.mark.parametrize(
    "best, low, high",
    [
        (1e-4, 1e-5, 1e-3),  # in the middle: two of the four decades around it
        (1e-5, 1e-6, 1e-4),
        (3e-6, 1e-6, 1e-4),  # near the end: the range stays inside, and as wide
        (9.4e-3, 1e-4, 1e-2),  # the book's best rate
    ],
)
def test_a_round_halves_the_exponents_around_the_best_6_6(best, low, high):
    study = study_of([(1e-2 if best < 1e-3 else 1e-6, 1.0), (best, 0.5)])
    narrowed = NarrowingSampler(2, keep=0.5).range(study, "x", RATE, 1)
    assert narrowed == pytest.approx((low, high))
    drawn = draws(NarrowingSampler(2, keep=0.5), study, RATE, range(200))
    assert low * 0.999 <= min(drawn) < 1.2 * low
    assert high / 1.2 < max(drawn) <= high * 1.001


def test_the_width_shrinks_by_keep_in_every_round_and_stays_inside():
    rng = np.random.default_rng(0)
    study = study_of([(10 ** rng.uniform(-6, -2), rng.normal()) for _ in range(20)])
    for r in range(5):
        low, high = NarrowingSampler(4, keep=0.7).range(study, "x", RATE, r)
        assert math.log10(high / low) == pytest.approx(4 * 0.7**r)
        assert 0.999e-6 <= low < high <= 1.001e-2


def test_a_better_find_moves_the_range_back():
    study = study_of([(1e-5, 1.0), (1e-5, 1.0), (1e-3, 0.5), (1e-5, 1.0)])
    sampler = NarrowingSampler(2)
    assert sampler.range(study, "x", RATE, 1) == pytest.approx((1e-6, 1e-4))
    assert sampler.range(study, "x", RATE, 2) == pytest.approx((10**-3.5, 10**-2.5))


def test_a_study_that_maximises_narrows_around_the_highest():
    study = study_of([(1e-5, 0.1), (1e-3, 0.9)], direction="maximize")
    assert NarrowingSampler(2).range(study, "x", RATE, 1) == pytest.approx((1e-4, 1e-2))


def test_pruned_trials_fill_a_round_and_failed_ones_do_not():
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.PRUNED]
    study = study_of([(1e-4, 1.0), (1e-6, 0), (1e-6, 0), (1e-6, 0)], states)
    sampler = NarrowingSampler(3)
    assert [t.number for t in finished(study)] == [0, 1, 3]
    drawn = draws(sampler, study, RATE, range(100))  # round 1, around the only one with a score
    assert min(drawn) >= 0.999e-5
    assert max(drawn) <= 1.001e-3
    assert [t.number for t in best_first(study, finished(study))] == [0]


def test_without_any_score_the_range_stays_whole():
    study = study_of([(1e-4, 0)], [TrialState.PRUNED])
    assert NarrowingSampler(1).range(study, "x", RATE, 1) == pytest.approx((1e-6, 1e-2))


def test_integers_narrow_to_one():
    whole = IntDistribution(1, 64)
    study = study_of([(40, 0.0)], distribution=whole)
    sampler = NarrowingSampler(1, keep=1 / 64)
    assert sampler.range(study, "x", whole, 1) == pytest.approx((39.5, 40.5))
    assert set(draws(sampler, study, whole, range(50))) == {40}


def test_half_the_choices_are_left_and_an_untried_one_counts_as_good():
    letters = CategoricalDistribution(["a", "b", "c", "d"])
    study = study_of([("a", 3.0), ("b", 1.0), ("d", 2.0)], distribution=letters)
    sampler = NarrowingSampler(3)
    assert sampler.range(study, "x", letters, 1) == ("b", "c")
    assert sampler.range(study, "x", letters, 2) == ("c",)
    assert set(draws(sampler, study, letters, range(50))) == {"b", "c"}


@pytest.mark.parametrize("wrong", [dict(trials=0), dict(trials=1, keep=0), dict(trials=1, keep=2)])
def test_the_sampler_refuses_what_makes_no_sense(wrong):
    with pytest.raises(ValueError, match=r"got [02]"):
        NarrowingSampler(**wrong)


def bowl(trial):
    x, y = trial.suggest_float("x", 1e-6, 1, log=True), trial.suggest_float("y", 0, 1)
    return (math.log10(x) + 2.6) ** 2 / 36 + (y - 0.7) ** 2


def test_narrowing_and_tpe_beat_random_on_a_smooth_optimum():
    """As Optuna's own loop runs them: each is a sampler like any other."""

    def found(make):
        ends = []
        for seed in range(15):
            study = optuna.create_study(sampler=make(seed))
            study.optimize(bowl, n_trials=40)
            ends.append(study.best_value)
        return np.array(ends)

    narrowed, once = (found(lambda s, k=k: NarrowingSampler(10, k, s)) for k in (0.5, 1.0))
    assert stats.ttest_rel(once, narrowed).statistic > 2
    assert narrowed.mean() < once.mean() / 3
    assert found(SeededTPE).mean() < once.mean() / 1.5


# the plan -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(space={}), "space: expected at least one parameter"),
        (dict(space={"a": {"log": [1, 0.1]}}), "a: log needs a low end below the high one"),
        (dict(space={"a": {"log": [0, 0.1]}}), r"a: log needs a range above 0, got \[0, 0.1\]"),
        (dict(space={"a": {"log": [-1, 0.1]}}), r"a: log needs a range above 0, got \[-1, 0.1\]"),
        (dict(space={"a": {"uniform": [1, 1]}}), "a: uniform needs a low end below"),
        (dict(space={"a": {"uniform": [0, float("inf")]}}), "a: uniform needs two numbers"),
        (dict(space={"a": {"uniform": [0]}}), "a: uniform needs two numbers, got "),
        (dict(space={"a": {"integer": [0, 1.5]}}), "a: integer needs whole numbers"),
        (dict(space={"a": {"choice": ["x"]}}), "a: choice needs a list of two or more"),
        (dict(space={"a": {"choice": [[1], [1]]}}), "a: choice has the same value twice"),
        (dict(space={"a": {"normal": [0, 1]}}), "a: expected one of log, uniform, integer, choice"),
        (dict(space={"a": 3}), "a: expected one of log, uniform, integer, choice, got 3"),
        (dict(space={"trainer.max_epochs": {"integer": [1, 5]}}), "the search sets it itself"),
        (dict(space={"model.net.hidden.0": {"integer": [1, 5]}}), "hidden of the base is "),
        (dict(space={"model.optimizer.lrr": {"log": [0.1, 1]}}), "did you mean 'lr'"),
        (dict(space={"model.optimiser.lr": {"log": [0.1, 1]}}), "did you mean 'optimizer'"),
        (dict(space={"speed": {"log": [0.1, 1]}}), "speed: no such option"),
        (dict(space={"model.net.dropout": {"uniform": [0, 2]}}), "between 0 and 1, but got 2.0"),
        (dict(space={"data.batch_size": {"integer": [0, 9]}}), "batch_size must be at least 1"),
        (dict(epoch=3), "epoch: no such key of a search; it takes base, epochs"),
        (dict(rounds=None), "nothing given for rounds"),
        (dict(trials=0), "trials: expected a whole number from 1, got 0"),
        (dict(epochs=1.5), "epochs: expected a whole number from 1, got 1.5"),
        (dict(keep=0), "keep: expected a number above 0 and at most 1, got 0"),
        (dict(prune=1), "prune: expected true or false, got 1"),
        (dict(score="val/loss"), "score: expected a metric and a direction, got 'val/loss'"),
        (dict(score={"metric": "test/loss", "direction": "min"}), "metric of the validation data"),
        (dict(score={"metric": "val/f1", "direction": "max"}), "measures val/accuracy, val/loss"),
        (dict(score={"metric": "val/loss", "direction": "up"}), "the direction min or max"),
        (dict(base="nowhere.yaml"), "base: no file 'nowhere.yaml'"),
    ],
)
def test_a_bad_search_gets_one_sentence_before_anything_runs(
    small, tmp_path, monkeypatch, capsys, changes, message
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        cli.main(["--config", str(small(**changes))])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(error)
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


@pytest.mark.parametrize(
    "args, message",
    [
        (["--trials", "0"], "expected a whole number from 1, got '0'"),
        (["--sampler", "grid"], "invalid choice: 'grid'"),
        (["--patience", "-1"], "expected a number of seconds above 0"),
        (["--storage", "nosuch://x"], "error: --storage nosuch://x: Can't load plugin"),
        (["--storage", "sqlite:////no/such/x.db"], "unable to open database file"),
        (["compare", "--studies", "1"], "an interval needs at least 2"),
    ],
)
def test_a_bad_command_line_ends_with_2(small, tmp_path, monkeypatch, capsys, args, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rooms, "ATTEMPTS", 1)
    with pytest.raises(SystemExit) as end:
        cli.main([*args, "--config", str(small())])
    assert end.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_search_can_be_run_at_all_its_ends_6_6(config):
    first, command = config.read_text().splitlines()[:2]
    assert first.startswith("# notes 6.6")
    assert command == f"#   python scripts/search.py --config {config.relative_to(ROOT)}"
    rehearse(read_plan(config))


def test_the_shipped_ranges_have_the_notes_in_them_6_6():
    space = read_plan(ROOT / "configs/search/digits_mlp.yaml").space
    for name, low, high in (("lr", 1e-6, 1e-2), ("weight_decay", 1e-8, 1e-4)):
        found = space[f"model.optimizer.{name}"]
        assert found.log
        assert found.low == low
        assert found.high > high


def test_values_are_set_where_the_command_line_would_set_them(small):
    plan = read_plan(small())
    params = {"model.optimizer.lr": 0.5, "model.net.hidden": "[8]", "model.label_smoothing": 0.1}
    settings = plan.configured(params, short=True)
    model = settings["model"]["init_args"]
    assert model["optimizer"]["init_args"] == {"lr": 0.5, "momentum": 0.9}
    assert model["net"]["init_args"]["hidden"] == [8]
    assert model["label_smoothing"] == 0.1
    assert settings["trainer"]["max_epochs"] == 1
    assert plan.configured({})["trainer"]["max_epochs"] == 40  # the base is left as it was
    place(settings, "model.optimizer", "torch.optim.RMSprop")
    assert model["optimizer"]["class_path"] == "torch.optim.RMSprop"
    assert model["optimizer"]["init_args"] == {"lr": 0.5, "momentum": 0.9}


# a trial ------------------------------------------------------------------------------------------


def test_a_trial_scores_what_the_command_line_s_run_does(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    score = train(
        read_plan(small(epochs=2)), {"model.optimizer.lr": 0.3, "model.net.hidden": "[8]"}
    )
    options = ["--trainer.max_epochs=2", "--model.optimizer.lr=0.3", "--model.net.hidden=[8]"]
    done = run(["fit", f"--config={BASE}", *options, "--trainer.enable_progress_bar=false"])
    assert score == done.history.rows[-1]["val/loss"]


def test_the_test_set_is_never_read(small, tmp_path, monkeypatch):
    def load_test(self):
        raise AssertionError("the test set was read")

    monkeypatch.setattr(Digits, "load_test", load_test)
    cli.main(["--config", str(small()), "--out", str(tmp_path / "out")])


def test_a_run_that_diverges_is_pruned_and_the_others_go_on(small):
    space = {"model.optimizer.lr": {"choice": [1e36, 0.1]}}
    plan = read_plan(small(space=space, base=str(ROOT / "configs/ch04/sine_regression.yaml")))
    plan.base["model"]["init_args"]["optimizer"]["class_path"] = "dlbook_torch.optim.SGD"
    study = open_study(plan, sampler="random")
    search(plan, study)
    rates = {t.state: {t.params["model.optimizer.lr"]} for t in study.trials}
    assert rates == {TrialState.PRUNED: {1e36}, TrialState.COMPLETE: {0.1}}
    assert len(study.trials) == 4


def test_a_trial_worse_than_the_median_is_pruned_if_asked_for(small, monkeypatch):
    def fake(plan, params, home, stop, hear):
        for epoch in range(5):
            hear(epoch, params["model.optimizer.lr"])
        return params["model.optimizer.lr"]

    monkeypatch.setattr(rooms, "train", fake)
    pruned = []
    for prune in (False, True):
        plan = read_plan(small(prune=prune), rounds=4, trials=5)
        study = open_study(plan, sampler="random")
        search(plan, study)
        assert len(study.trials) == 20
        pruned.append(sum(t.state == TrialState.PRUNED for t in study.trials))
    assert pruned[0] == 0
    assert 4 < pruned[1] < 15


def test_a_trial_that_breaks_is_recorded_and_the_others_go_on(small, monkeypatch, tmp_path, capsys):
    def fake(plan, params, home, stop, hear):
        if params["model.net.hidden"] == "[8]":
            raise MemoryError("too wide")
        return 1.0

    monkeypatch.setattr(rooms, "train", fake)
    plan = read_plan(small(), trials=5)
    study = open_study(plan, sampler="random")
    search(plan, study)
    failed = [t for t in study.trials if t.state == TrialState.FAIL]
    assert len(study.trials) == 10
    assert 0 < len(failed) < 10
    assert {t.user_attrs["error"] for t in failed} == {"MemoryError: too wide"}
    cli.conclude(plan, study, tmp_path)
    assert f"{len(failed)} trials failed" in capsys.readouterr().out
    best = best_so_far(plan, study)  # a failed one took its place in a comparison, too
    assert len(best) == 10
    assert best[-1] == 1.0


def test_a_search_without_any_score_ends_with_1(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rooms, "train", lambda *args: 1 / 0)
    with pytest.raises(SystemExit) as end:
        cli.main(["--config", str(small()), "--out", str(tmp_path)])
    assert end.value.code == 1
    streams = capsys.readouterr()
    assert "4 trials failed, number 0 by ZeroDivisionError: division by zero" in streams.out
    assert "no trial has a score" in streams.err


# what a search leaves behind ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished search by the command line: its plan, its study, its folder."""
    folder = tmp_path_factory.mktemp("done")
    file = folder / "small.yaml"
    file.write_text(SMALL.format(base=BASE))
    out = folder / "out"
    cli.main(["--config", str(file), "--out", str(out), "--trials", "3"])
    plan = read_plan(file, trials=3)
    return plan, open_study(plan, rooms.open_storage(f"sqlite:///{out / 'study.db'}")), out


def test_every_trial_is_a_row_of_the_hparams_page(done):
    _, study, out = done
    assert len(study.trials) == 6
    for trial in study.trials:
        events = EventAccumulator(str(out / "trials" / f"{trial.number:04d}")).Reload()
        summary = events.SummaryMetadata("_hparams_/session_start_info")
        row = HParamsPluginData.FromString(summary.plugin_data.content).session_start_info.hparams
        assert row["model.optimizer.lr"].number_value == trial.params["model.optimizer.lr"]
        assert row["model.net.hidden"].string_value == trial.params["model.net.hidden"]
        (score,) = events.Scalars("score")
        assert score.value == pytest.approx(trial.value)
        curves = EventAccumulator(str(out / "trials" / f"{trial.number:04d}" / "val")).Reload()
        assert curves.Scalars("loss")[-1].value == pytest.approx(trial.value)


def test_the_best_configuration_is_one_that_the_training_takes(done, monkeypatch, tmp_path):
    _, study, out = done
    monkeypatch.chdir(tmp_path)
    file = out / "small_best.yaml"
    first, command = file.read_text().splitlines()[:2]
    assert first.startswith(f"# notes 6.6: the best of a search, number {study.best_trial.number}:")
    assert command == f"#   python scripts/train.py fit --config {file}"
    short = ["--trainer.max_epochs=1", "--trainer.enable_progress_bar=false"]
    again = run(["fit", f"--config={file}", *short])
    assert again.history.rows[-1]["val/loss"] == pytest.approx(study.best_value, abs=1e-12)
    assert "test/loss" in again.scores
    assert yaml.safe_load(file.read_text())["trainer"] == {"max_epochs": 40}


def test_what_was_found_is_printed(done, capsys):
    plan, study, out = done
    cli.conclude(plan, study, out)
    printed = capsys.readouterr().out
    assert f"best: number {study.best_trial.number}, val/loss {study.best_value:.4f}" in printed
    weights = cli.importance(study)
    assert sum(weights.values()) == pytest.approx(1)
    assert f"{weights['model.optimizer.lr']:.0%}" in printed


def test_the_same_command_on_a_finished_study_trains_nothing(done, monkeypatch, tmp_path):
    plan, study, _ = done
    monkeypatch.setattr(rooms, "train", lambda *args: 1 / 0)
    search(plan, study)
    assert len(study.trials) == 6


def test_a_study_may_get_more_rounds_but_not_other_ranges(done, small):
    plan, _, out = done
    storage = rooms.open_storage(f"sqlite:///{out / 'study.db'}")
    assert open_study(read_plan(small(), trials=3, rounds=9), storage).user_attrs["seed"] == 0
    other = read_plan(small(space={"model.optimizer.lr": {"log": [1e-3, 2]}}), trials=3)
    with pytest.raises(UsageError, match="the study small was begun with another plan"):
        open_study(other, storage)
    with pytest.raises(UsageError, match=r"another sampler .narrowing instead of tpe"):
        open_study(plan, storage, "tpe")
    with pytest.raises(UsageError, match=r"another seed .0 instead of 1"):
        open_study(plan, storage, seed=1)


def test_the_trials_of_another_study_are_not_overwritten(small, tmp_path, capsys):
    (tmp_path / "trials" / "0000").mkdir(parents=True)
    with pytest.raises(SystemExit) as end:
        cli.main(["--config", str(small()), "--out", str(tmp_path)])
    assert end.value.code == 2
    assert "has the trials of another study; give another --out" in capsys.readouterr().err


def test_the_picture_shows_every_range_and_every_trial(done):
    plan, study, out = done
    assert (out / "ranges.png").stat().st_size > 5000
    rate, hidden = ranges_figure(plan, study).axes
    assert (rate.get_title(), hidden.get_title()) == tuple(plan.space)
    points = [c for c in rate.collections if isinstance(c, PathCollection)]
    drawn = [tuple(point.get_offsets()[0]) for point in points]
    assert drawn == [
        (i, t.params["model.optimizer.lr"]) for i, t in enumerate(finished(study), start=1)
    ]
    spans = [c.get_paths()[0].get_extents() for c in rate.collections if c not in points]
    for r, box in enumerate(spans):
        known = study.sampler.range(
            study, "model.optimizer.lr", plan.space["model.optimizer.lr"], r
        )
        assert (box.y0, box.y1) == pytest.approx(known)
        assert (box.x0, box.x1) == (3 * r + 0.5, 3 * r + 3.5)
    assert len(spans) == 2


def test_colours_rank_the_scores():
    states = [TrialState.COMPLETE] * 3 + [TrialState.PRUNED]
    study = study_of([(1e-3, 3.0), (1e-3, 1.0), (1e-3, 2.0), (1e-3, 0)], states)
    ranks = score_ranks(study, finished(study))
    assert ranks[:3] == pytest.approx([1 / 3, 1, 2 / 3])
    assert math.isnan(ranks[3])


# lost trials --------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "journal"])
def two(request, tmp_path):
    """The same study as two processes see it."""
    if request.param == "sqlite":
        storages = [rooms.open_storage(f"sqlite:///{tmp_path / 'x.db'}") for _ in range(2)]
    else:
        storages = [JournalStorage(JournalFileBackend(str(tmp_path / "x.log"))) for _ in range(2)]
    return [
        optuna.create_study(study_name="x", storage=storage, load_if_exists=True)
        for storage in storages
    ]


def test_a_silent_trial_is_given_up_and_its_parameters_run_again_once(two, monkeypatch):
    mine, theirs = two
    lost = theirs.ask({"x": RATE})
    clock = [0.0]
    monkeypatch.setattr(rooms.time, "monotonic", lambda: clock[0])
    watch = Watch(patience=10)
    for beat, at, silent in [(1, 0, 0), (1, 9, 0), (2, 11, 0), (2, 20, 0), (2, 22, 1)]:
        clock[0] = at
        lost.set_user_attr("beat", beat)
        assert len(watch.silent(mine.get_trials())) == silent, at
    (trial,) = watch.silent(mine.get_trials())
    give_up(mine, trial)
    give_up(theirs, trial)  # another process has noticed too
    assert [t.state for t in mine.trials] == [TrialState.FAIL, TrialState.WAITING]
    again = mine.ask({"x": RATE})
    assert again.params == lost.params
    assert again.user_attrs == {"instead_of": 0}


def test_a_process_that_was_given_up_by_mistake_changes_nothing(two, small, monkeypatch):
    mine, theirs = two
    plan = read_plan(small(rounds=1, trials=1, space={"model.optimizer.lr": {"log": [0.1, 1]}}))
    scores = iter([5.0, 3.0])

    def slow(*args):
        if len(mine.trials) == 1:
            give_up(theirs, theirs.trials[0])  # asleep for too long
        return next(scores)

    monkeypatch.setattr(rooms, "train", slow)
    search(plan, mine)
    first, second = mine.trials
    assert (first.state, first.value) == (TrialState.FAIL, None)
    assert (second.state, second.value) == (TrialState.COMPLETE, 3.0)
    assert first.params == second.params


def test_who_comes_too_late_for_the_last_place_gives_it_back(two, small, monkeypatch):
    mine, theirs = two
    plan = read_plan(small(rounds=1, trials=2, space={"model.optimizer.lr": {"log": [0.1, 1]}}))
    monkeypatch.setattr(rooms, "train", lambda *args: 1.0)
    theirs.ask(plan.space)
    rooms._one(plan, mine, None, None, 9.0)
    rooms._one(plan, mine, None, None, 9.0)  # both had seen a free place
    states = [t.state for t in theirs.trials]
    assert states == [TrialState.RUNNING, TrialState.COMPLETE, TrialState.FAIL]
    assert [rooms.counts(t) for t in theirs.trials] == [True, True, False]


# comparing ----------------------------------------------------------------------------------------


def test_the_interval_is_scipy_s():
    values = np.random.default_rng(0).normal(size=12)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = Interval.of(values)
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))


def test_the_comparison_is_paired_and_names_the_winner(small):
    plan = read_plan(small())
    rng = np.random.default_rng(0)
    base = rng.normal(size=(10, 1))
    curves = {"random": base + 1.0, "narrowing": base + rng.normal(size=(10, 1)) * 0.1}
    ((a, b, by, wins),) = differences(plan, curves)
    known = stats.ttest_rel(curves["narrowing"][:, -1], curves["random"][:, -1])
    assert (a, b, wins) == ("random", "narrowing", 0)
    low, high = known.confidence_interval(0.95)
    assert (by.mean - by.half, by.mean + by.half) == pytest.approx((low, high))
    assert sentence(a, b, by) == "narrowing wins"
    assert sentence(a, b, Interval(0.1, 0.2)) == "no winner: the interval has 0 in it"
    assert sentence(a, b, Interval(0.3, 0.2)) == "random wins"


def test_the_best_so_far_skips_what_has_no_score(small):
    states = [TrialState.PRUNED] + [TrialState.COMPLETE] * 3
    study = study_of([(1e-3, 0), (1e-3, 3.0), (1e-3, 5.0), (1e-3, 1.0)], states)
    assert best_so_far(read_plan(small()), study).tolist()[1:] == [3, 3, 1]
    assert math.isnan(best_so_far(read_plan(small()), study)[0])


def test_a_comparison_gives_every_sampler_the_same_seeds_and_cost(small, monkeypatch, tmp_path):
    seen = []

    def fake(plan, params, home, stop, hear):
        seen.append((plan.base["seed_everything"], params["model.optimizer.lr"]))
        return abs(math.log10(params["model.optimizer.lr"]) + 1)

    monkeypatch.setattr(rooms, "train", fake)
    plan = read_plan(small(), trials=4, rounds=3)
    curves = compare(plan, studies=3)
    assert {name: rows.shape for name, rows in curves.items()} == {
        "narrowing": (3, 12),
        "random": (3, 12),
        "tpe": (3, 12),
    }
    assert Counter(seed for seed, _ in seen) == {0: 36, 1: 36, 2: 36}
    np.testing.assert_array_equal(curves["narrowing"][:, :4], curves["random"][:, :4])
    assert (np.diff(curves["tpe"]) <= 0).all()
    (tmp_path / "search.md").write_text(
        "kept\n\n<!-- search-compare -->\nold\n<!-- /search-compare -->\nend\n"
    )
    page, picture = write(plan, curves, tmp_path)
    text = page.read_text()
    assert text.startswith("kept\n")
    assert text.endswith("end\n")
    assert "old" not in text
    for name, rows in curves.items():
        assert f"| {name} | {rows[:, -1].mean():.4f} (" in text
    assert picture.stat().st_size > 5000
    write(plan, curves, tmp_path)
    assert page.read_text() == text


def test_the_comparison_s_picture_has_the_medians_after_the_first_round():
    rows = np.array([[9.0, 3.0, 1.0], [9.0, 5.0, 2.0], [9.0, 4.0, 4.0]])
    (axes,) = comparison_figure({"random": rows, "tpe": rows / 2}, "val/loss", 2).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["random"].get_xdata().tolist() == [2, 3]
    assert lines["random"].get_ydata().tolist() == [4, 2]
    assert lines["tpe"].get_ydata().tolist() == [2, 1]
    box = axes.collections[0].get_paths()[0].get_extents()
    assert (box.y0, box.y1) == (1.5, 4.5)
