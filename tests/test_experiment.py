"""Experiments: what a file may say, what the runs give, and what the verdict is made from."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from math import inf, isnan, nan
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.figure import Figure
from scipy import stats

from dlbook_torch.experiment import cli, gallery
from dlbook_torch.experiment.compare import comparisons
from dlbook_torch.experiment.figures import figure
from dlbook_torch.experiment.judge import Outcome, decide, interval, judge, verdict
from dlbook_torch.experiment.measure import load, measure, plain
from dlbook_torch.experiment.metrics import metric
from dlbook_torch.experiment.plan import find, read, study
from dlbook_torch.experiment.report import page, section, table
from dlbook_torch.experiment.results import collect
from dlbook_torch.experiment.runner import jobs_of, run_all
from dlbook_torch.training.errors import UsageError

ROOT = Path(__file__).parents[1]

STUDIES = """
import os, time
from pathlib import Path
import numpy as np

def draw(mean=0.0, scale=1.0, seed=0):
    value = mean + scale * np.random.default_rng(seed).normal()
    return {"value": value, "curve": [value, value + 1, value + 3], "grid": np.eye(2)}

def exact(x=1.0):
    return {"value": x}

def fails(seed=0):
    raise ValueError("out of luck")

def dies(die=False, seed=0):
    if die:
        os._exit(1)
    return {"value": 1.0}

def slow(log, seed=0):
    with Path(log).open("a") as file:
        file.write(f"{seed}\\n")
    time.sleep(0.2)
    return {"value": float(seed)}
"""
EXPERIMENT = """
# notes 6.3: "what they say".
claim: b is larger than a
study: studies_of_mine.draw
arms:
  a: {mean: 0.0}
  b: {mean: 1.0}
seeds: 4
metrics: {value: value}
compare: {arm: b, greater than: a, by: 0.5}
""".lstrip()


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty current directory with a module of studies that can be imported."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "studies_of_mine.py").write_text(STUDIES)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.delitem(sys.modules, "studies_of_mine", raising=False)
    return tmp_path


def write(folder, text=EXPERIMENT, name="mine", **changes):
    """An experiment's file with some keys changed, and without those set to None."""
    head, _, body = text.partition("\n")
    content = {k: v for k, v in {**yaml.safe_load(body), **changes}.items() if v is not None}
    path = folder / f"{name}.yaml"
    path.write_text(f"{head}\n{yaml.safe_dump(content, sort_keys=False)}")
    return path


class TestFile:
    def test_runs_are_command_lines_seed_by_seed(self, workplace):
        experiment = read(write(workplace, seeds=2))
        assert [str(run) for run in experiment.runs()] == [
            "python scripts/experiment.py measure studies_of_mine.draw mean=0.0 seed=0",
            "python scripts/experiment.py measure studies_of_mine.draw mean=1.0 seed=0",
            "python scripts/experiment.py measure studies_of_mine.draw mean=0.0 seed=1",
            "python scripts/experiment.py measure studies_of_mine.draw mean=1.0 seed=1",
        ]

    def test_a_training_is_the_command_line_of_the_training_script(self, monkeypatch):
        monkeypatch.chdir(ROOT)
        command = next(read(Path("configs/experiments/init_relu.yaml"), "tiny").runs()).command
        assert command[:4] == (
            "scripts/train.py", "fit", "--config", "configs/ch06/digits_batchnorm.yaml",
        )  # fmt: skip
        given = dict(zip(command[4::2], command[5::2], strict=True))
        assert given["--model.net.init"] == "he"
        assert given["--seed_everything"] == given["--data.seed"] == "0"
        assert given["--trainer.max_epochs"] == "1"  # of the tiny size

    def test_the_twin_runs_on_torch(self, monkeypatch):
        monkeypatch.chdir(ROOT)
        twin = read(Path("configs/experiments/init_relu.yaml"), library="torch")
        command = next(twin.runs()).command
        given = dict(zip(command[4::2], command[5::2], strict=True))
        assert given["--model.net.library"] == given["--model.library"] == "torch"
        assert given["--model.optimizer"] == "torch.optim.SGD"
        assert twin.folder == "init_relu-torch"

    def test_sizes_replace_parts(self, workplace):
        path = write(
            workplace, tiny={"seeds": 1, "with": {"scale": 2.0}}, **{"with": {"mean": 3.0}}
        )
        tiny = read(path, "tiny")
        assert tiny.seeds == (0,)
        assert tiny.options == {"mean": 3.0, "scale": 2.0}
        assert read(path).options == {"mean": 3.0}
        assert read(path, seeds=7).seeds == tuple(range(7))
        assert read(path, extra={"mean": 9.0}).arms["b"] == {"mean": 9.0}

    def test_a_grid_is_every_combination(self, workplace):
        grid = {"mean": [0, 1], "scale": [1, 2]}
        path = write(
            workplace, arms=None, grid=grid, compare={"arm": "mean of mean=1*", "greater than": 0}
        )
        experiment = read(path)
        assert list(experiment.arms) == [
            "mean=0, scale=1", "mean=0, scale=2", "mean=1, scale=1", "mean=1, scale=2",
        ]  # fmt: skip
        assert experiment.compare[0].arm.arms == ("mean=1, scale=1", "mean=1, scale=2")

    def test_a_study_without_seed_is_exact_and_run_once(self, workplace):
        experiment = read(
            write(workplace, study="studies_of_mine.exact", arms={"a": {"x": 1}, "b": {"x": 2}})
        )
        assert experiment.exact
        assert [run.seed for run in experiment.runs()] == [0, 0]
        assert "seed" not in str(next(experiment.runs()))

    @pytest.mark.parametrize(
        "changes, message",
        [
            (dict(claim=None), "claim is missing"),
            (dict(metrics=None), "metrics is missing"),
            (dict(seeds=0), "seeds must be a whole number from 1 on, got 0"),
            (dict(seeds="five"), "seeds must be a whole number from 1 on, got 'five'"),
            (dict(sedes=3), "sedes: no such key; did you mean 'seeds'"),
            (dict(tiny={"claim": "x"}), None),
            (dict(study=None), "give either base, a configuration to train, or study, a function"),
            (dict(base="configs/x.yaml"), "give either base"),
            (dict(study=None, base="configs/x.yaml"), "base: no such file: configs/x.yaml"),
            (dict(study="studies_of_mine.drew"), "no function 'studies_of_mine.drew'"),
            (dict(study="nowhere.at_all"), "no function 'nowhere.at_all'"),
            (dict(arms=None), "give either arms or grid"),
            (dict(grid={"mean": [1]}), "give either arms or grid"),
            (dict(arms=None, grid={"mean": 1}), "grid.mean must be a list of values, got 1"),
            (dict(arms=["a"]), "arms must be a mapping, got ['a']"),
            (dict(arms={"a": {"meen": 1}, "b": {}}), "a.meen: no such key; did you mean 'mean'"),
            (dict(metrics={"value": "median curve"}), "'median curve' is neither a name"),
            (
                dict(metrics={"value": "epochs until curve > high"}),
                "must end in a number, got 'high'",
            ),
            (dict(compare={"arm": "c", "greater than": "a"}), "no arm is called 'c'"),
            (dict(compare={"arm": "mean of c*", "greater than": "a"}), "called like 'c*'"),
            (dict(compare={"arm": "a"}), "expected metric, arm, one of"),
            (dict(compare={"arm": "a", "greater than": "b", "less than": "b"}), "one of"),
            (
                dict(compare={"arm": "a", "less than": "b", "by": -1}),
                "by must be a number from 0 on",
            ),
            (dict(compare={"arm": "a", "less than": "b", "metric": "v"}), "metric must be one of"),
            (dict(compare="b > a"), "compare must be a list of comparisons, got 'b > a'"),
        ],
    )
    def test_what_is_wrong_is_one_sentence(self, workplace, changes, message):
        path = write(workplace, **changes)
        with pytest.raises(UsageError) as error:
            read(path, "tiny")
        assert str(error.value).startswith(f"{path}: ")
        assert (message or "tiny.claim: no such key") in str(error.value)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        "text, message",
        [
            ("claim: x\n", "the first line must read like '# notes 6.3: what they say'"),
            ("# notes 6.3: x\n- 1\n", "holds no experiment"),
            ("# notes 6.3: x\n", "holds no experiment"),
            ("# notes 6.3: x\na: [1\n", "expected ',' or ']'"),
        ],
    )
    def test_what_is_no_experiment_is_refused(self, tmp_path, text, message):
        path = tmp_path / "x.yaml"
        path.write_text(text)
        with pytest.raises(UsageError) as error:
            read(path)
        assert message in str(error.value)

    def test_a_missing_file_is_refused(self, tmp_path):
        with pytest.raises(UsageError, match="No such file"):
            read(tmp_path / "none.yaml")

    def test_two_arms_with_one_file_are_refused(self, workplace):
        path = write(workplace, arms={"a b": {}, "a_b": {}}, compare={"arm": "a b", "less than": 1})
        with pytest.raises(UsageError, match="'a b' and 'a_b' would have the same file"):
            jobs_of([read(path)], workplace)

    def test_experiments_are_found_by_name(self, workplace):
        write(workplace)
        assert find(["mine"], workplace) == [workplace / "mine.yaml"]
        assert find([], workplace) == [workplace / "mine.yaml"]
        with pytest.raises(UsageError, match="no experiment is called 'mind', did you mean mine"):
            find(["mind"], workplace)


class TestMetric:
    NUMBERS = {"loss": [3.0, None, 1.0, 2.0], "accuracy": 0.5, "worst": None}

    @pytest.mark.parametrize(
        "text, value",
        [
            ("accuracy", 0.5),
            ("first loss", 3.0),
            ("last loss", 2.0),
            ("max loss", 3.0),
            ("min loss", 1.0),
            ("epochs until loss < 1.5", 3),
            ("epochs until loss < 0.5", 5),
            ("epochs until loss > 2.5", 1),
        ],
    )
    def test_value(self, text, value):
        assert metric(text).read(self.NUMBERS) == value

    def test_what_is_not_finite_is_nan(self):
        assert isnan(metric("worst").read(self.NUMBERS))
        assert isnan(metric("mean loss").read(self.NUMBERS))

    @pytest.mark.parametrize(
        "text, message",
        [
            ("acuracy", "did you mean 'accuracy'"),
            ("loss", "is a curve; say which of its points"),
            ("last accuracy", "'accuracy' is one number"),
        ],
    )
    def test_a_name_that_the_run_has_not_is_a_sentence(self, text, message):
        with pytest.raises(UsageError, match=message):
            metric(text).read(self.NUMBERS)


def compared(direction="greater than", by=0.0, when=""):
    (made,) = comparisons(
        {"metric": "m", "arm": "a", direction: "b", "by": by, "when": when}, ["a", "b"], ["m"]
    )
    return made


class TestVerdict:
    def test_interval_is_that_of_scipys_paired_t_test(self):
        rng = np.random.default_rng(0)
        a, b = rng.normal(0.3, size=9), rng.normal(size=9)
        found = judge(compared(), {"a": dict(enumerate(a)), "b": dict(enumerate(b))})
        expected = stats.ttest_rel(a, b).confidence_interval(0.95)
        np.testing.assert_allclose((found.low, found.high), expected, rtol=1e-12)
        np.testing.assert_allclose(found.effect, (a - b).mean() / (a - b).std(ddof=1))

    def test_ninety_five_of_a_hundred_intervals_hold_the_truth(self):
        rng = np.random.default_rng(1)
        inside = 0
        for _ in range(1000):
            _, low, high = interval(list(rng.normal(size=5)))
            inside += low <= 0 <= high
        assert 930 <= inside <= 970  # 950, three standard deviations of the binomial are 21

    def test_only_seeds_that_both_have_are_pairs(self):
        found = judge(compared(), {"a": {0: 1.0, 1: 2.0, 3: 9.0}, "b": {0: 0.0, 1: 1.0, 2: 5.0}})
        assert (found.pairs, found.mean) == (2, 1.0)

    def test_one_seed_alone_decides_nothing_unless_it_is_exact(self):
        tables = {"a": {0: 2.0}, "b": {0: 1.0}}
        assert judge(compared(), tables).holds == "open"
        assert judge(compared(), tables, exact=True).holds == "yes"

    def test_what_is_not_finite_decides_nothing(self):
        for bad in (nan, inf):
            tables = {"a": {0: bad, 1: 2.0}, "b": {0: 1.0, 1: 1.0}}
            assert judge(compared(), tables).holds == "open"

    @pytest.mark.parametrize(
        "direction, mean, low, high, by, holds",
        [
            ("greater than", 2, 1, 3, 0, "yes"),
            ("greater than", 2, 1, 3, 2, "yes"),
            ("greater than", 2, 1, 3, 2.5, "open"),  # there, perhaps too small to matter
            ("greater than", 2, 1, 3, 3.5, "no"),  # there, and too small to matter
            ("greater than", 1, -1, 3, 0, "open"),
            ("greater than", -2, -3, -1, 0, "no"),
            ("greater than", 0, 0, 0, 0, "no"),
            ("less than", -2, -3, -1, 1, "yes"),
            ("less than", 2, 1, 3, 1, "no"),
            ("less than", -1, -3, 1, 0, "open"),
            ("equal to", 0.1, -0.2, 0.4, 0.5, "yes"),
            ("equal to", 0.1, -0.2, 0.7, 0.5, "open"),
            ("equal to", 0.9, 0.6, 1.2, 0.5, "no"),
            ("equal to", 0, 0, 0, 0, "yes"),
        ],
    )
    def test_decision(self, direction, mean, low, high, by, holds):
        assert decide(direction, mean, low, high, by) == holds

    @pytest.mark.parametrize(
        "said, word",
        [
            ({"": ["yes", "yes"]}, "supported"),
            ({"": ["yes", "no"]}, "refuted"),
            ({"": ["yes", "open"]}, "undecided"),
            ({"": ["no", "open"]}, "refuted"),
            ({"deep": ["yes"], "shallow": ["no"]}, "depends"),
            ({"deep": ["yes"], "shallow": ["yes"]}, "supported"),
            ({"deep": ["yes"], "shallow": ["open"]}, "undecided"),
            ({"deep": ["no"], "shallow": ["no", "yes"]}, "refuted"),
            ({"deep": ["yes"], "shallow": ["no"], "wide": ["open"]}, "depends"),
        ],
    )
    def test_verdict(self, said, word):
        outcomes = [
            Outcome(compared(when=when), holds, 0, 0, 0, 0, 1)
            for when, all_held in said.items()
            for holds in all_held
        ]
        assert verdict(outcomes) == word

    def test_arms_taken_together(self):
        tables = {"lr=1": {0: 1.0}, "lr=2": {0: 5.0}, "b": {0: 2.0}}
        for text, value in [
            ("mean of lr=*", 3),
            ("max of lr=*", 5),
            ("min of *", 1),
            ("spread of lr=*", 4),
        ]:
            (one,) = comparisons({"arm": text, "greater than": 0}, list(tables), ["m"])
            assert judge(one, tables, exact=True).mean == value


@pytest.mark.parametrize("order", [(1.0, nan, 3.0), (nan, 1.0, 3.0), (3.0, 1.0, nan)])
def test_a_run_that_diverged_is_never_the_best_in_whatever_order(order):
    arms = {f"lr={i}": {0: value} for i, value in enumerate(order)}
    for text, value in [("max", 3), ("min", 1), ("spread", nan), ("mean", nan)]:
        (one,) = comparisons({"arm": f"{text} of lr=*", "greater than": 0}, list(arms), ["m"])
        found = judge(one, {**arms}, exact=True).mean
        assert found == value or (isnan(found) and isnan(value))


class TestRun:
    def test_all_runs_are_done_and_judged(self, workplace):
        experiment = read(write(workplace))
        assert run_all([experiment], workplace / "out") == []
        results = collect(experiment, workplace / "out")
        assert results.complete
        draws = [np.random.default_rng(seed).normal() for seed in range(4)]
        assert results.tables["value"]["a"] == dict(enumerate(draws))
        assert results.verdict == "supported"
        assert results.outcomes[0].mean == pytest.approx(1)  # pairs share their noise
        assert results.numbers("b")["grid"] == [[1, 0], [0, 1]]

    def test_a_failure_is_kept_and_the_rest_goes_on(self, workplace):
        bad = read(
            write(
                workplace,
                name="bad",
                study="studies_of_mine.fails",
                arms={"a": {}, "b": {}},
                seeds=1,
            )
        )
        good = read(write(workplace))
        failures = run_all([bad, good], workplace / "out")
        assert failures == [f"bad, {arm}, seed 0: ValueError: out of luck" for arm in "ab"]
        assert collect(good, workplace / "out").complete
        results = collect(bad, workplace / "out")
        assert not results.complete
        assert results.failed == (
            "a, seed 0: ValueError: out of luck",
            "b, seed 0: ValueError: out of luck",
        )

    def test_a_process_that_dies_takes_nothing_along(self, workplace):
        arms = {"a": {}, "b": {"die": True}, "c": {}}
        compare = {"arm": "a", "equal to": "c"}
        path = write(workplace, study="studies_of_mine.dies", arms=arms, compare=compare, seeds=2)
        experiment = read(path)
        failures = run_all([experiment], workplace / "out", jobs=2)
        assert failures == [f"mine, b, seed {seed}: the process died" for seed in (0, 1)]
        results = collect(experiment, workplace / "out")
        assert [len(results.records[arm]) for arm in "abc"] == [2, 0, 2]

    def test_resume_keeps_what_is_done_by_the_same_command(self, workplace):
        log = workplace / "log"
        arms = {"a": {"log": str(log)}}
        changes = dict(
            study="studies_of_mine.slow", arms=arms, compare={"arm": "a", "greater than": 0}
        )
        run_all([read(write(workplace, seeds=2, **changes))], workplace / "out")
        run_all([read(write(workplace, seeds=3, **changes))], workplace / "out", resume=True)
        assert log.read_text().split() == ["0", "1", "2"]
        run_all([read(write(workplace, seeds=3, **changes))], workplace / "out")
        assert log.read_text().split() == ["0", "1", "2", "0", "1", "2"]

    def test_a_changed_arm_is_measured_again(self, workplace):
        run_all([read(write(workplace))], workplace / "out")
        changed = read(write(workplace, arms={"a": {"mean": 0.0}, "b": {"mean": 2.0}}))
        assert len(collect(changed, workplace / "out").records["b"]) == 0
        run_all([changed], workplace / "out", resume=True)
        assert collect(changed, workplace / "out").outcomes[0].mean == pytest.approx(2)

    def test_a_damaged_result_is_measured_again(self, workplace):
        experiment = read(write(workplace))
        run_all([experiment], workplace / "out")
        file = jobs_of([experiment], workplace / "out")[0].file
        file.write_text(file.read_text()[:40])
        assert load(file) is None
        run_all([experiment], workplace / "out", resume=True)
        assert collect(experiment, workplace / "out").complete

    def test_a_killed_runner_goes_on_where_it_was(self, workplace):
        log = workplace / "log"
        compare = {"arm": "a", "greater than": 0}
        arms = {"a": {"log": str(log)}}
        path = write(workplace, study="studies_of_mine.slow", arms=arms, compare=compare, seeds=12)
        command = [sys.executable, str(ROOT / "scripts/experiment.py"), str(path), "--jobs", "1"]
        path_of_modules = os.pathsep.join([str(ROOT), str(workplace / "modules")])
        environment = {**os.environ, "PYTHONPATH": path_of_modules}
        first = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        while not log.exists() or len(log.read_text().split()) < 4:
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        first.wait()
        begun = log.read_text().split()
        done = subprocess.run(
            [*command, "--resume"], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        again = log.read_text().split()[len(begun) :]
        assert again in (
            [str(n) for n in range(len(begun) - 1, 12)],
            [str(n) for n in range(len(begun), 12)],
        )
        assert "mine: supported" in done.stdout

    def test_a_training_gives_its_curves_and_scores(self, monkeypatch):
        monkeypatch.chdir(ROOT)
        experiment = read(Path("configs/experiments/init_relu.yaml"), "tiny")
        numbers = measure(next(experiment.runs()).command)
        assert len(numbers["train/loss"]) == len(numbers["val/accuracy"]) == 1
        assert 0 <= numbers["test/accuracy"] <= 1
        assert numbers["seconds"] > 0

    def test_records_are_plain(self):
        made = plain(
            {"a": np.float32(0.5), "b": [nan, (1, np.int64(2))], "c": np.ones((1, 2)), "d": True}
        )
        assert made == {"a": 0.5, "b": [None, [1, 2]], "c": [[1.0, 1.0]], "d": 1}
        json.dumps(made, allow_nan=False)


class TestCommandLine:
    def run(self, capsys, *args):
        with pytest.raises(SystemExit) as end:
            cli.main([*map(str, args)])
        return end.value.code, capsys.readouterr()

    def test_an_experiment_is_run_judged_and_written_down(self, workplace, capsys):
        code, said = self.run(capsys, write(workplace), "--jobs", 1, "--out", "out")
        assert code == 0
        assert "mine: supported. b is larger than a" in said.out
        folder = workplace / "out" / "mine"
        rows = list(csv.DictReader((folder / "runs.csv").read_text().splitlines()))
        assert [(row["arm"], row["seed"]) for row in rows] == [
            (a, str(s)) for a in "ab" for s in range(4)
        ]
        assert float(rows[0]["value"]) == np.random.default_rng(0).normal()
        found = json.loads((folder / "summary.json").read_text())
        assert found["verdict"] == "supported"
        assert len(found["commands"]) == 8
        assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")

    def test_the_board_lays_the_means_of_the_arms_over_each_other(self, workplace, capsys):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        self.run(capsys, write(workplace), "--jobs", 1, "--out", "out")
        events = EventAccumulator(str(workplace / "out" / "mine" / "board" / "b"))
        events.Reload()
        mean = 1 + np.mean([np.random.default_rng(seed).normal() for seed in range(4)])
        found = [(event.step, event.value) for event in events.Scalars("curve")]
        assert [step for step, _ in found] == [1, 2, 3]
        np.testing.assert_allclose([v for _, v in found], mean + np.array([0, 1, 3]), rtol=1e-6)

    def test_dry_run_prints_commands_and_runs_nothing(self, workplace, capsys):
        code, said = self.run(capsys, write(workplace), "--dry-run", "--seeds", 1)
        assert code == 0
        assert said.out.splitlines() == [
            str(run) for run in read(workplace / "mine.yaml", seeds=1).runs()
        ]
        assert not (workplace / "runs").exists()

    def test_a_run_by_hand_measures_the_same(self, workplace, capsys):
        experiment = read(write(workplace))
        run_all([experiment], workplace / "out")
        *_, last = experiment.runs()
        code, said = self.run(capsys, *last.command[1:])
        assert code == 0
        expected = dict(collect(experiment, workplace / "out").numbers("b", 3))
        expected.pop("seconds")
        assert json.loads(said.out) == expected

    @pytest.mark.parametrize(
        "args, message",
        [
            (["nothing_like_it"], "no experiment is called 'nothing_like_it'"),
            (["mine.yaml", "--jobs", "0"], "--jobs must be at least 1, got 0"),
            (["mine.yaml", "--seeds", "0"], "seeds must be a whole number from 1 on, got 0"),
            (["mine.yaml", "--set", "mean"], "expected name=value, got 'mean'"),
            (["mine.yaml", "--library", "torch"], "studies_of_mine.draw has no twin in torch"),
            (["measure"], "measure what?"),
            (
                ["measure", "studies_of_mine.draw", "meen=1"],
                "meen: no such key; did you mean 'mean'",
            ),
            (["measure", "studies_of_mine.drow"], "no function 'studies_of_mine.drow'"),
            (["report", "mine.yaml"], "has been run whole"),
        ],
    )
    def test_wrong_input_is_one_sentence_and_exit_2(self, workplace, capsys, args, message):
        write(workplace)
        code, said = self.run(capsys, *args)
        assert code == 2
        assert said.err.startswith("error: ")
        assert said.err.count("\n") == 1
        assert message in said.err

    def test_a_failed_run_is_exit_1(self, workplace, capsys):
        path = write(workplace, study="studies_of_mine.fails", arms={"a": {}, "b": {}}, seeds=1)
        code, said = self.run(capsys, path, "--jobs", 1)
        assert code == 1
        assert "out of luck" in said.err

    def test_report_has_a_row_and_a_section_for_every_claim(self, workplace, capsys):
        folder = workplace / "configs/experiments"
        folder.mkdir(parents=True)
        write(folder)
        other = {"arm": "a", "greater than": "b", "by": 0.5}
        write(folder, name="other", claim="a is larger than b", compare=other)
        self.run(capsys, "all", "--jobs", 1)
        readme = workplace / "README.md"
        readme.write_text("a\n<!-- claims -->\nold\n<!-- /claims -->\nb\n")
        code, said = self.run(capsys, "report", "--markdown", "README.md")
        assert code == 0
        assert "2 claims: 1 refuted, 1 supported" in said.out
        lines = (workplace / "runs/experiments/claims.md").read_text().splitlines()
        assert [line.split(" | ")[2] for line in lines[2:]] == ["supported", "refuted"]
        text = "\n".join(["a", "<!-- claims -->", *lines, "<!-- /claims -->", "b", ""])
        assert readme.read_text() == text
        html = (workplace / "runs/experiments/claims.html").read_text()
        assert html.count('src="data:image/png;base64,') == 2
        assert "http" not in html.replace("http-equiv", "")
        assert (workplace / "runs/experiments/contact.png").stat().st_size > 1000

    def test_list_shows_what_came_out(self, workplace, capsys):
        path = write(workplace)
        assert "0/8" in self.run(capsys, "list", path)[1].out
        self.run(capsys, path, "--jobs", 1)
        said = self.run(capsys, "list", path)[1].out
        assert "8/8" in said
        assert "supported" in said


class TestPicture:
    def drawn(self, workplace, **changes):
        experiment = read(write(workplace, **changes))
        run_all([experiment], workplace / "out")
        results = collect(experiment, workplace / "out")
        made = figure(results)
        assert isinstance(made, Figure)
        return results, made

    def test_curves_are_the_means_over_seeds(self, workplace):
        results, made = self.drawn(workplace, figure={"curves": "curve"})
        lines = {line.get_label(): line.get_ydata() for line in made.axes[0].lines}
        mean = np.mean([results.numbers("b", seed)["curve"] for seed in range(4)], axis=0)
        np.testing.assert_allclose(lines["b"], mean)

    def test_bars_show_means_intervals_and_runs(self, workplace):
        results, made = self.drawn(workplace)
        axes = made.axes[0]
        values = list(results.tables["value"]["a"].values())
        assert axes.patches[0].get_width() == pytest.approx(np.mean(values))
        dots, ends = axes.lines[:2]
        assert list(dots.get_xdata()) == values
        assert list(ends.get_xdata()) == pytest.approx(interval(values)[1:])

    def test_a_sweep_has_the_option_along(self, workplace):
        grid = {"mean": [0, 1, 2], "scale": [1, 2]}
        results, made = self.drawn(
            workplace,
            arms=None,
            grid=grid,
            compare={"arm": "mean=1, scale=1", "greater than": 0},
            figure={"sweep": "value", "x": "mean", "lines": "scale"},
        )
        lines = {line.get_label(): line for line in made.axes[0].lines}
        assert list(lines["scale = 2"].get_xdata()) == [0, 1, 2]
        means = [
            np.mean(list(results.tables["value"][f"mean={m}, scale=2"].values())) for m in range(3)
        ]
        assert list(lines["scale = 2"].get_ydata()) == pytest.approx(means)

    @pytest.mark.parametrize(
        "wish, message",
        [
            ({"curves": "kurve"}, "the runs have no curve 'kurve'"),
            ({"curves": "value"}, "the runs have no curve 'value'"),
            ({"bars": "x"}, "no metric is called 'x'"),
            ({"sweep": "value"}, "a sweep needs x"),
            ({"sweep": "value", "x": "scale"}, "the arm 'a' does not set scale"),
            ({"pie": "value"}, "expected one of"),
            ({"draw": "studies_of_mine.picture"}, "no function 'studies_of_mine.picture'"),
        ],
    )
    def test_a_figure_that_cannot_be_drawn_is_a_sentence(self, workplace, wish, message):
        with pytest.raises(UsageError, match=message):
            self.drawn(workplace, figure=wish)

    def test_gallery_draws_the_sections_asked_for(self, workplace, capsys):
        folder = workplace / "configs/experiments"
        folder.mkdir(parents=True)
        write(folder)
        write(folder, EXPERIMENT.replace("6.3", "7.1"), name="other")
        with pytest.raises(SystemExit) as end:
            gallery.main(["6", "--jobs", "1"])
        assert end.value.code == 0
        drawn = sorted(path.name for path in (workplace / "runs/figures").iterdir())
        assert drawn == ["contact.png", "mine.png"]
        with pytest.raises(SystemExit) as end:
            gallery.main(["5.1"])
        assert end.value.code == 2
        assert "no experiment belongs to notes 5.1" in capsys.readouterr().err


def test_table_names_section_claim_verdict_effect_and_seeds(workplace):
    experiment = read(write(workplace))
    run_all([experiment], workplace / "out")
    results = collect(experiment, workplace / "out")
    row = table([results]).splitlines()[2]
    assert row == "| 6.3 | b is larger than a | supported |  | value, b against a: +1 | 4 |"
    assert "| value of b greater than a (at least 0.5) | yes |" in section(results, "figure.png")
    assert page([results], {}, {"mine": []}).startswith("<!doctype html>")


def test_a_study_may_live_in_any_module(workplace):
    assert study("studies_of_mine.exact")(2) == {"value": 2}
    assert study("perceptron.learning").__module__ == "dlbook_torch.experiment.studies.perceptron"
