"""How the next trial is drawn: at random from a range that narrows from round to round."""

import random
from collections.abc import Sequence
from math import ceil, exp, log
from typing import Any

from optuna import Study
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
Range = tuple[Any, ...]  # (low, high), or the choices that are left


class SeededSampler(BaseSampler):
    """Draw every parameter by itself, from the seed, the trial's number and its name alone.

    So no two trials draw the same, whichever process runs them and however often it was stopped;
    Optuna's own samplers start their random numbers again in every process.

    Args:
        seed: another seed, another study.
    """

    def __init__(self, seed: int = 0):
        self.seed = seed

    def rng(self, trial: FrozenTrial, name: str) -> random.Random:
        """Return the random numbers of one parameter of one trial."""
        return random.Random(f"{self.seed} {trial.number} {name}")

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}


class NarrowingSampler(SeededSampler):
    r"""Sample at random, and after every round halve the range around the best trial so far.

    With every parameter laid on :math:`u \in [0, 1]`, in proportion to its logarithm where its
    range is logarithmic, round r draws uniformly from

    .. math:: [a_r, a_r + w_r], \qquad w_r = keep^r, \qquad
              a_r = \min(\max(u_{best} - w_r / 2,\ 0),\ 1 - w_r)

    where the best is taken over all finished trials, so a later find can move the range back.
    Of k choices, the :math:`\lceil keep^r k \rceil` with the best trials are left; one that no
    trial has had yet counts as good.

    Round r begins when ``r * trials`` trials are finished: what is drawn depends only on what the
    study holds, so processes that share it agree, and so does one that was stopped and goes on.

    Args:
        trials: in a round.
        keep: how much of its width a range keeps; 1 is plain random search.
        seed: another seed, another study.

    Raises: ValueError for no trials in a round or a ``keep`` outside (0, 1].
    Source: notes 6.6.
    """

    def __init__(self, trials: int, keep: float = 0.5, seed: int = 0):
        super().__init__(seed)
        if trials < 1:
            raise ValueError(f"a round needs at least 1 trial, got {trials}")
        if not 0 < keep <= 1:
            raise ValueError(f"keep must be above 0 and at most 1, got {keep}")
        self.trials, self.keep = trials, keep

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        done, rng = finished(study), self.rng(trial, param_name)
        narrowed = self.range(study, param_name, param_distribution, len(done) // self.trials, done)
        if isinstance(param_distribution, CategoricalDistribution):
            return rng.choice(narrowed)
        low, high = (to_unit(param_distribution, end) for end in narrowed)
        return from_unit(param_distribution, rng.uniform(low, high))

    def range(
        self,
        study: Study,
        name: str,
        distribution: BaseDistribution,
        r: int,
        done: Sequence[FrozenTrial] | None = None,
    ) -> Range:
        """Return the range of a parameter in round r: (low, high), or the choices left.

        Args:
            study: whose trials decide.
            name: of the parameter.
            distribution: its whole range.
            r: the round, from 0.
            done: the finished trials, if they are known.
        """
        done = (finished(study) if done is None else done)[: r * self.trials]
        ranked = [t for t in best_first(study, done) if name in t.params]
        if isinstance(distribution, CategoricalDistribution):
            return left_over(distribution.choices, [t.params[name] for t in ranked], self.keep**r)
        best = to_unit(distribution, ranked[0].params[name]) if ranked else 0.5
        width = self.keep**r if ranked else 1.0
        low = min(max(best - width / 2, 0.0), 1 - width)
        return tuple(edge(distribution, u) for u in (low, low + width))


class SeededTPE(SeededSampler):
    """Optuna's tree-structured Parzen estimator, its random numbers those of the trial."""

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        tpe = TPESampler(seed=self.rng(trial, param_name).getrandbits(32))
        return tpe.sample_independent(study, trial, param_name, param_distribution)


def finished(study: Study) -> list[FrozenTrial]:
    """Return the trials that count, in the order in which they ended."""
    trials = study.get_trials(deepcopy=False, states=FINISHED)
    return sorted(trials, key=lambda t: (t.datetime_complete, t.number))


def best_first(study: Study, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the complete ones of ``trials`` from the best to the worst."""
    sign = 1 if study.direction == StudyDirection.MINIMIZE else -1
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    return sorted(complete, key=lambda t: sign * (t.value or 0.0))


def left_over(choices: Sequence[Any], ranked: Sequence[Any], share: float) -> tuple[Any, ...]:
    """Return the best ``share`` of ``choices``; ``ranked`` are those of the trials, best first."""
    order = sorted(choices, key=lambda c: ranked.index(c) if c in ranked else -1)
    kept = order[: ceil(share * len(choices))]
    return tuple(choice for choice in choices if choice in kept)


def _line(d: BaseDistribution) -> tuple[float, float]:
    """Both ends on the line where the range is even; an integer owns half a unit on both sides."""
    if not isinstance(d, FloatDistribution | IntDistribution):
        raise TypeError(f"{d} has no low and high end")
    half = 0.5 if isinstance(d, IntDistribution) else 0.0
    low, high = d.low - half, d.high + half
    return (log(low), log(high)) if d.log else (low, high)


def to_unit(distribution: Any, value: float) -> float:
    """Return where in the range a value lies: 0 the low end, 1 the high end."""
    low, high = _line(distribution)
    return ((log(value) if distribution.log else value) - low) / (high - low)


def edge(distribution: Any, u: float) -> float:
    """Return the point at ``u``; of an integer range, one that may lie between two integers."""
    low, high = _line(distribution)
    x = low + u * (high - low)
    return exp(x) if distribution.log else x


def from_unit(distribution: Any, u: float) -> float:
    """Return the value at ``u``."""
    x = edge(distribution, u)
    if isinstance(distribution, IntDistribution):
        x = round(x)
    return min(max(x, distribution.low), distribution.high)
