"""Real processes on one study: killed, stopped, started side by side; nothing is lost or double."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from dlbook_torch.search.study import open_storage

ROOT = Path(__file__).parents[1]
CONFIG = """\
base: configs/ch03/digits_mlp_sigmoid.yaml
epochs: 4
rounds: 2
trials: 10
score: {metric: val/loss, direction: min}
space:
  model.optimizer.lr: {log: [1e-3, 1]}
  data.batch_size: {integer: [40, 80]}
"""
PATIENCE = 2


class Place:
    """A study in a folder, and the processes that work on it."""

    def __init__(self, folder, storage):
        self.folder, self.storage = folder, storage
        self.config = folder / "small.yaml"
        self.config.write_text(CONFIG)
        self.processes = []
        self.study = None

    def start(self, *options):
        """The command line of the search in a process group of its own, as a terminal has it."""
        command = [sys.executable, str(ROOT / "scripts/search.py"), f"--config={self.config}"]
        command += [f"--out={self.folder / 'out'}", f"--storage={self.storage}"]
        process = subprocess.Popen(
            [*command, f"--patience={PATIENCE}", *options],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def trials(self):
        try:
            self.study = self.study or optuna.load_study(
                study_name="small", storage=open_storage(self.storage)
            )
        except KeyError:  # not begun
            return []
        return self.study.get_trials(deepcopy=False)

    def of(self, process):
        """The trials that a process has run or runs."""
        mine = f":{process.pid}"
        return [t for t in self.trials() if t.user_attrs.get("worker", "").endswith(mine)]

    def wait_for(self, what):
        for _ in range(1200):
            if what():
                return
            for process in self.processes:
                assert process.poll() in (None, 0), process.stdout.read()
            time.sleep(0.05)
        pytest.fail("nothing has happened in a minute")


@pytest.fixture
def place(request, tmp_path):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made = Place(tmp_path, request.param.format(tmp_path / "study"))
    yield made
    for process in made.processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def running(trials):
    return [t for t in trials if t.state == TrialState.RUNNING]


def assert_complete(place, total, lost):
    """Every drawn trial has exactly one score; those of ``lost`` got theirs under a new number."""
    trials = place.trials()
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    assert len(complete) == total
    assert {t.state for t in trials} <= {TrialState.COMPLETE, TrialState.FAIL}
    drawn = Counter(tuple(sorted(t.params.items())) for t in complete)
    assert set(drawn.values()) == {1}
    for number in lost:
        again = [t for t in complete if t.user_attrs.get("instead_of") == number]
        assert [t.params for t in again] == [trials[number].params]
    assert not [t for t in trials if "error" in t.user_attrs]


@pytest.mark.parametrize("place", ["sqlite:///{}.db"], indirect=True, ids=["sqlite"])
def test_two_processes_share_a_study_and_one_is_killed_in_the_middle(place):
    first, second = place.start(), place.start()
    place.wait_for(lambda: place.of(first) and place.of(second))

    begun = {t.number for t in place.of(first)}
    place.wait_for(lambda: {t.number for t in running(place.of(first))} - begun)
    first.kill()
    (lost,) = running(place.of(first))
    output, _ = second.communicate(timeout=300)
    assert second.returncode == 0, output
    assert "1 run again after they were lost or stopped" in output
    assert place.trials()[lost.number].state == TrialState.FAIL
    assert_complete(place, 20, [lost.number])
    assert (place.folder / "out/small_best.yaml").exists()


@pytest.mark.parametrize("place", ["{}.log"], indirect=True, ids=["journal"])
def test_ctrl_c_stops_all_jobs_and_the_same_command_goes_on(place):
    command = place.start("--jobs=2")
    place.wait_for(lambda: len(place.trials()) > 3 and len(running(place.trials())) == 2)
    before = place.trials()
    os.killpg(command.pid, signal.SIGINT)  # as a terminal does
    output, _ = command.communicate(timeout=200)
    assert command.returncode == 130, output
    assert "the same command goes on" in output
    assert "Traceback" not in output
    stopped = place.trials()
    assert not running(stopped)
    lost = [t.number for t in stopped if t.state == TrialState.FAIL]
    assert len([t for t in stopped if t.state == TrialState.WAITING]) == len(lost)

    again = place.start()
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    assert_complete(place, 20, lost)
    kept = {t.number: t.value for t in before if t.state == TrialState.COMPLETE}
    assert kept.items() <= {t.number: t.value for t in place.trials()}.items()
    assert len({t.user_attrs["worker"] for t in place.trials() if "worker" in t.user_attrs}) == 3
