"""A study that many processes share: who runs which trial, and what becomes of a lost one."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import OptunaError, UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from ..training.errors import UsageError
from .plan import DIRECTIONS, Plan
from .sampler import NarrowingSampler, SeededTPE
from .trial import Stop, train

ATTEMPTS = 5  # two processes may make the tables of one new database at the same moment
SAMPLERS: dict[str, Callable[[Plan, int], BaseSampler]] = {
    "narrowing": lambda plan, seed: NarrowingSampler(plan.trials, plan.keep, seed),
    "random": lambda plan, seed: NarrowingSampler(plan.trials, 1.0, seed),
    "tpe": lambda plan, seed: SeededTPE(seed),
}


def open_storage(where: str) -> BaseStorage:
    """Return the storage at a URL, or in a journal file, which may lie on a shared disk.

    Raises: UsageError if there is none to be had.
    """
    for attempt in range(ATTEMPTS):
        try:
            if "://" in where:
                return RDBStorage(where)
            _refuse_what_is_no_journal(Path(where))
            Path(where).parent.mkdir(parents=True, exist_ok=True)
            return JournalStorage(JournalFileBackend(where))
        except (SQLAlchemyError, OptunaError, ImportError, OSError) as error:
            reason = str(error).strip().splitlines()[0]
            if attempt == ATTEMPTS - 1 or isinstance(error, ImportError):
                raise UsageError(f"--storage {where}: {reason}") from error
            time.sleep(0.2 * (attempt + 1))
    raise AssertionError


def _refuse_what_is_no_journal(file: Path) -> None:
    """Raise UsageError for a file with other content, to whose end Optuna would write."""
    if file.is_file():
        with file.open("rb") as lines:
            first = lines.readline(100)
        if first and not first.startswith(b'{"op_code"'):
            raise UsageError(f"--storage {file}: there is no journal of Optuna's in it")


def open_study(
    plan: Plan, storage: BaseStorage | None = None, sampler: str = "narrowing", seed: int = 0
) -> optuna.Study:
    """Begin the study of this plan, or go on with it; without a storage, in memory.

    Raises: UsageError if the storage has a study of this name that is another one, or no studies
        but something else.
    """
    try:
        study = optuna.create_study(
            study_name=plan.name,
            storage=storage,
            sampler=SAMPLERS[sampler](plan, seed),
            pruner=optuna.pruners.MedianPruner() if plan.prune else optuna.pruners.NopPruner(),
            direction=DIRECTIONS[plan.direction],
            load_if_exists=True,
        )
    except (ValueError, KeyError) as error:  # of a journal that is none
        raise UsageError(f"--storage holds no studies: {error}") from error
    identity = {"plan": plan.identity, "sampler": sampler, "seed": seed}
    for key, value in identity.items():
        known = study.user_attrs.get(key, value)
        if known != value:
            what = "" if key == "plan" else f" ({known} instead of {value})"
            raise UsageError(
                f"the study {plan.name} was begun with another {key}{what}; give another --out or"
                " --storage"
            )
        study.set_user_attr(key, value)
    return study


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial takes one of the study's places: a lost one leaves its place to another."""
    return trial.state != TrialState.FAIL or "error" in trial.user_attrs


def search(
    plan: Plan,
    study: optuna.Study,
    folder: Path | None = None,
    stop: Stop | None = None,
    tick: Callable[[optuna.Study], None] = lambda study: None,
    patience: float = 60.0,
) -> None:
    """Run trials until the study has all it should have, together with whoever else does.

    A trial shows that it is alive by a number in the storage that changes. One that has not
    changed for as long as ``patience``, by this process's clock, is given up as lost, and its
    parameters are run again under a new number. So are those of a trial that Ctrl-C stopped.

    Args:
        plan: what to do.
        study: opened from that plan.
        folder: gets a folder for each trial.
        stop: whether the user wants to.
        tick: called when something has changed.
        patience: in seconds.
    """
    watch = Watch(patience)
    while not (stop and stop.number):
        trials = study.get_trials(deepcopy=False)
        for lost in watch.silent(trials):
            give_up(study, lost)
        tick(study)
        states = {trial.state for trial in trials}
        if TrialState.WAITING in states or sum(map(counts, trials)) < plan.total:
            _one(plan, study, folder, stop, patience)
        elif TrialState.RUNNING in states:
            time.sleep(min(0.5, patience / 4))
        else:
            return


def _one(
    plan: Plan, study: optuna.Study, folder: Path | None, stop: Stop | None, patience: float
) -> None:
    trial = study.ask(plan.space)
    again = "instead_of" in trial.user_attrs
    if not again and _place(study, trial.number) >= plan.total:
        study.tell(trial, state=TrialState.FAIL)  # another process was faster
        return
    trial.set_user_attr("worker", f"{socket.gethostname()}:{os.getpid()}")
    home = folder / f"{trial.number:04d}" if folder else None
    with suppress(UpdateFinishedTrialError), beating(trial, patience / 4):  # if given up meanwhile
        try:
            ended: dict[str, Any] = _ended(plan, trial, home, stop)
        except (SystemExit, KeyboardInterrupt):  # Lightning makes the one of the other
            give_up(study, study.trials[trial.number])
            if stop and stop.number:
                return
            raise KeyboardInterrupt from None
        study.tell(trial, **ended, skip_if_finished=True)


def _ended(plan: Plan, trial: optuna.Trial, home: Path | None, stop: Stop | None) -> dict[str, Any]:
    def hear(epoch: int, value: float) -> None:
        trial.report(value, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned(f"worse than the median after epoch {epoch + 1}")

    try:
        return {"values": train(plan, trial.params, home, stop, hear)}
    except optuna.TrialPruned as reason:
        trial.set_user_attr("pruned", str(reason))
        return {"state": TrialState.PRUNED}
    except UpdateFinishedTrialError:
        raise
    except Exception as error:  # one trial out of memory is no reason to lose the others
        trial.set_user_attr("error", f"{type(error).__name__}: {error}")
        return {"state": TrialState.FAIL}


def _place(study: optuna.Study, number: int) -> int:
    """How many trials before this one count."""
    return sum(counts(t) for t in study.get_trials(deepcopy=False) if t.number < number)


def give_up(study: optuna.Study, trial: FrozenTrial) -> None:
    """Mark a running trial as failed and queue its parameters, unless another process has."""
    try:
        study.tell(trial.number, state=TrialState.FAIL)
    except (ValueError, UpdateFinishedTrialError):  # has already ended
        return
    if trial.params:
        study.enqueue_trial(trial.params, user_attrs={"instead_of": trial.number})


class Watch:
    """Notices which running trials have fallen silent.

    Args:
        patience: for so many seconds a trial's beat may stay the same.
    """

    def __init__(self, patience: float):
        self.patience = patience
        self._heard: dict[int, tuple[Any, float]] = {}

    def silent(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """Return the running trials whose beat has not changed for too long."""
        now, lost = time.monotonic(), []
        for trial in trials:
            if trial.state == TrialState.RUNNING:
                beat = trial.user_attrs.get("beat")
                if self._heard.get(trial.number, (None, None))[0] != beat:
                    self._heard[trial.number] = beat, now
                _, since = self._heard.setdefault(trial.number, (beat, now))
                if now - since > self.patience:
                    lost.append(trial)
        return lost


@contextmanager
def beating(trial: optuna.Trial, every: float) -> Iterator[None]:
    """Inside, show in the storage every so many seconds that the trial is alive."""
    over = threading.Event()

    def beat() -> None:
        n = 0
        while not over.wait(every):
            n += 1
            with suppress(SQLAlchemyError, OptunaError, OSError):  # a later beat may get through
                trial.set_user_attr("beat", n)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
