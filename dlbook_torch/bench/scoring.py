"""How good are verdicts: false alarms, detection, headlines, symptoms, delays.

An *alarm* is a finding of severity warning or error. Healthy runs should have none; faulty runs
some (*detected*), with one of the family's ids as headline (*named*). Runs whose outcome does not
fit their label are left out beforehand, see :func:`dlbook_torch.bench.outcome.outcome`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan, sqrt
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from ..diagnostics import Curves, Internals, Report, diagnose
from ..diagnostics.online import alarm as overfit_alarm
from .faults import FAMILIES, GROUP_OF, SYMPTOM_OF, SYMPTOMS
from .rivals import OVERFIT, TOOLS, Rule, series

Run = Mapping[str, Any]
WATCHED = 12  # epochs within which a delay is looked for


@dataclass(frozen=True)
class Verdict:
    """What was said of a run.

    Args:
        label: the planted fault, or ``healthy``.
        headline: id of the verdict.
        alarms: ids of all findings that are warnings or errors.
    """

    label: str
    headline: str
    alarms: frozenset[str]

    @classmethod
    def of(cls, label: str, report: Report) -> "Verdict":
        alarms = (x.id for x in report.findings if x.severity in ("warning", "error"))
        return cls(label, report.id, frozenset(alarms))

    @property
    def group(self) -> str:
        """The headline in one of five words; without an alarm it is "healthy"."""
        return GROUP_OF.get(self.headline, "healthy") if self.alarms else "healthy"

    @property
    def named(self) -> bool:
        """The headline is right, and an alarm if there is a fault."""
        if self.label == "healthy":
            return not self.alarms
        return bool(self.alarms) and self.headline in FAMILIES[self.label].headline

    @property
    def symptoms(self) -> set[str]:
        return {SYMPTOM_OF[name] for name in self.alarms if name in SYMPTOM_OF}


# --- a recorded run as input of the diagnosis


def curves(run: Run, source: str = "measured", epochs: int | None = None) -> Curves:
    """The curves of a run, or of its first epochs.

    Args:
        run: as recorded.
        source: ``measured``: training loss and accuracy in eval mode; ``running``: means over the
            epoch; ``losses``: running means without accuracies, rate, classes and variance.
        epochs: how many.
    """

    def cut(key: str) -> list[float]:
        return [nan if x is None else x for x in run[key][:epochs]]

    if source == "losses":
        return Curves(cut("train_loss"), cut("val_loss"), measured=False)
    end = "_eval" if source == "measured" else ""
    classes = run["classes"]
    return Curves(
        cut(f"train_loss{end}"),
        cut("val_loss"),
        cut(f"train_acc{end}") if classes else None,
        cut("val_acc") if classes else None,
        cut("lr"),
        source == "measured",
        classes,
        run["baseline"],
    )


def internals(run: Run, epochs: int | None = None) -> Internals:
    """The layers of a run; ReLU and saturating ones have their own columns in the file."""
    names = run["layers"]

    def cut(key: str, pick: Callable[[Any], Any] = lambda x: x) -> list[list[float]]:
        rows = [[nan if x is None else pick(x) for x in row] for row in run[key][:epochs]]
        rows = [[nan if x is None else x for x in row] for row in rows]
        return [row + [nan] * (len(names) - len(row)) for row in rows]

    return Internals(
        names,
        gradient_norm=cut("grad_norm"),
        gradient_mean=cut("grad_meanabs"),
        gradient_zero=cut("grad_zero"),
        update_ratio=cut("upd_ratio"),
        dead=cut("dead"),
        zero=cut("zero_frac"),
        saturated=cut("sat", lambda x: x[0]),
        saturated_units=cut("sat", lambda x: x[1]),
        activation_std=cut("act_std"),
        weight_max=cut("weight_max"),
        similarity=cut("similarity"),
        mean_drift=cut("mean_drift"),
        variance_drift=cut("variance_drift"),
        activations=run["activations"],
    )


MODES: dict[str, Callable[[Run, int | None], Report]] = {
    "curves and layers": lambda run, n: diagnose(curves(run, "measured", n), internals(run, n)),
    "curves and layers, running means": lambda run, n: diagnose(
        curves(run, "running", n), internals(run, n)
    ),
    "curves only": lambda run, n: diagnose(curves(run, "measured", n)),
    "curves only, running means": lambda run, n: diagnose(curves(run, "running", n)),
    "two losses only": lambda run, n: diagnose(curves(run, "losses", n)),
}


# --- counting


class Share(NamedTuple):
    """k of n."""

    k: int
    n: int

    @property
    def value(self) -> float:
        return self.k / self.n if self.n else nan

    @property
    def wilson(self) -> tuple[float, float]:
        r"""95 % interval of the probability behind k of n.

        .. math:: \frac{p + z^2 / 2n \pm z \sqrt{p (1 - p) / n + z^2 / 4 n^2}}{1 + z^2 / n}
        """
        if not self.n:
            return 0.0, 1.0
        z, p, n = 1.959964, self.value, self.n
        middle, half = p + z**2 / (2 * n), z * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        low, high = ((middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
        return max(low, 0.0), min(high, 1.0)


class F1(NamedTuple):
    """Right and wrong finds of one thing."""

    tp: int
    fp: int
    fn: int

    @property
    def precision(self) -> float:
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else nan

    @property
    def recall(self) -> float:
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else nan

    @property
    def f1(self) -> float:
        return 2 * self.tp / (2 * self.tp + self.fp + self.fn) if self.tp + self.fn else nan


def false_alarms(verdicts: Iterable[Verdict]) -> Share:
    """Healthy runs with an alarm."""
    well = [v for v in verdicts if v.label == "healthy"]
    return Share(sum(bool(v.alarms) for v in well), len(well))


def detected(verdicts: Iterable[Verdict]) -> Share:
    """Faulty runs with an alarm."""
    ill = [v for v in verdicts if v.label != "healthy"]
    return Share(sum(bool(v.alarms) for v in ill), len(ill))


def named(verdicts: Iterable[Verdict], faulty: bool = False) -> Share:
    """Runs with the right headline, of all or of the faulty ones."""
    chosen = [v for v in verdicts if not faulty or v.label != "healthy"]
    return Share(sum(v.named for v in chosen), len(chosen))


def per_symptom(verdicts: Sequence[Verdict]) -> dict[str, F1]:
    """For each symptom: found where it has to be, and where it must not be.

    Runs of families in which a symptom may be found besides count neither way.
    """
    result = {}
    for symptom in SYMPTOMS:
        count: Counter[str] = Counter()
        for v in verdicts:
            found = symptom in v.symptoms
            family = FAMILIES.get(v.label)
            if family and family.has == symptom:
                count["tp" if found else "fn"] += 1
            elif found and not (family and symptom in family.may):
                count["fp"] += 1
        result[symptom] = F1(count["tp"], count["fp"], count["fn"])
    return result


GROUPS = ("healthy", "overfit", "stuck", "diverged", "data")


def group(label: str) -> str:
    """The coarse verdict that a label asks for."""
    return "healthy" if label == "healthy" else FAMILIES[label].group


def confusion(verdicts: Iterable[Verdict]) -> dict[str, Counter[str]]:
    """Coarse verdicts of the headlines by what was planted."""
    table: dict[str, Counter[str]] = {name: Counter() for name in GROUPS}
    for v in verdicts:
        table[group(v.label)][v.group] += 1
    return table


def group_f1(table: Mapping[str, Counter[str]]) -> dict[str, F1]:
    """F1 of every coarse verdict."""
    return {
        name: F1(
            table[name][name],
            sum(row[name] for other, row in table.items() if other != name),
            sum(n for said, n in table[name].items() if said != name),
        )
        for name in table
    }


def headlines(verdicts: Iterable[Verdict]) -> dict[str, Counter[str]]:
    """Headlines of every family, those without an alarm in brackets."""
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for v in verdicts:
        table[v.label][v.headline if v.alarms else f"({v.headline})"] += 1
    return table


# --- overfitting, against the rules of others


def is_overfit(label: str) -> bool | None:
    """Whether a run of this label overfits; None where it may."""
    if label == "healthy":
        return False
    family = FAMILIES[label]
    if family.has == "overfitting":
        return True
    return None if "overfitting" in family.may else False


class Binary(NamedTuple):
    """A yes-or-no verdict: runs that are so and were called so, and the other three."""

    tp: int
    fn: int
    fp: int
    tn: int

    @property
    def macro_f1(self) -> float:
        """Mean of the F1 of yes and of no."""
        return (F1(self.tp, self.fp, self.fn).f1 + F1(self.tn, self.fn, self.fp).f1) / 2


def binary(pairs: Iterable[tuple[bool | None, bool]]) -> Binary:
    """Count pairs of truth and verdict; what may be either is left out."""
    count = Counter(pair for pair in pairs if pair[0] is not None)
    return Binary(
        *(count[pair] for pair in ((True, True), (True, False), (False, True), (False, False)))
    )


def overfit_rivals(runs: Sequence[Run]) -> dict[str, tuple[Binary, Share]]:
    """Each rule's verdict on overfitting, and its alarms on healthy runs."""
    return {name: _judge(rule, runs) for name, rule in OVERFIT.items()}


def _judge(rule: Rule, runs: Sequence[Run]) -> tuple[Binary, Share]:
    said = [(run["label"], rule(run) is not None) for run in runs]
    well = [alarm for label, alarm in said if label == "healthy"]
    return binary((is_overfit(label), alarm) for label, alarm in said), Share(sum(well), len(well))


def overfit_ours(verdicts: Sequence[Verdict]) -> tuple[Binary, Share]:
    """The same of ours."""
    said = [(v.label, "overfitting" in v.symptoms) for v in verdicts]
    well = [alarm for label, alarm in said if label == "healthy"]
    return binary((is_overfit(label), alarm) for label, alarm in said), Share(sum(well), len(well))


def tools(runs: Sequence[Run]) -> dict[str, tuple[Share, Share]]:
    """Each tool's alarms on healthy and on faulty runs."""
    well = [run for run in runs if run["label"] == "healthy"]
    ill = [run for run in runs if run["label"] != "healthy"]

    def alarms(rule: Rule, chosen: Sequence[Run]) -> Share:
        return Share(sum(rule(run) is not None for run in chosen), len(chosen))

    return {name: (alarms(rule, well), alarms(rule, ill)) for name, rule in TOOLS.items()}


# --- in time?

INTERNAL = ("dead_relu", "saturated", "vanishing", "lr_too_low", "frozen_layer", "symmetric")


def onset(run: Run) -> int:
    """Epoch from which on the fault is there: as planted, or when half of a layer has died."""
    if run["label"] == "dead_relu_lr":
        dead = [max((x or 0 for x in row), default=0) for row in run["dead"]]
        return next((e for e, share in enumerate(dead) if share >= 0.5), 0)
    return int(run["config"].get("onset", 0))


def delay(run: Run, mode: str = "curves and layers") -> int | None:
    """Epochs after the onset in which the family's symptom is first found; None if not in 12."""
    family, start = FAMILIES[run["label"]], onset(run)
    ids = SYMPTOMS[family.has]
    for late in range(min(WATCHED, len(run["val_loss"]) - start)):
        report = MODES[mode](run, start + late + 1)
        if any(x.id in ids and x.severity in ("warning", "error") for x in report.findings):
            return late
    return None


class Delays(NamedTuple):
    """Delays of one symptom: how many runs, found within 3 epochs, at all, and the median."""

    runs: int
    soon: int
    found: int
    median: float


def delays(runs: Iterable[Run]) -> dict[str, Delays]:
    """Of the symptoms that layers show."""
    times: dict[str, list[int | None]] = {name: [] for name in INTERNAL}
    for run in runs:
        family = FAMILIES.get(run["label"])
        if family and family.has in times:
            times[family.has].append(delay(run))
    return {name: _delays(values) for name, values in times.items()}


def _delays(values: Sequence[int | None]) -> Delays:
    known = [x for x in values if x is not None]
    return Delays(
        len(values), sum(x <= 3 for x in known), len(known), median(known) if known else nan
    )


class Online(NamedTuple):
    """The overfit alarm during the run."""

    kept: Share  # runs whose best validation loss, to 1 %, came before the alarm
    healthy: Share
    overfit: Share
    delay: float  # median epochs from the best epoch to the alarm


def online(runs: Sequence[Run], alarm: Callable[[Any], int | None] = overfit_alarm) -> Online:
    """Stop at the alarm: is the best checkpoint kept?"""
    kept, late = [], []
    fired: dict[str, list[bool]] = {"healthy": [], "overfit": []}
    for run in runs:
        val = series(run, "val_loss")
        if np.isnan(val).all():
            continue
        at = alarm(val)
        before = val if at is None else val[: at + 1]
        least, had = np.nanmin(val), np.nanmin(before) if not np.isnan(before).all() else np.inf
        kept.append(bool(had <= least + 0.01 * abs(least)))
        if (name := group(run["label"])) in fired:
            fired[name].append(at is not None)
            if name == "overfit" and at is not None:
                late.append(at - int(np.nanargmin(val[: at + 1])))
    well, ill = (Share(sum(x), len(x)) for x in (fired["healthy"], fired["overfit"]))
    return Online(Share(sum(kept), len(kept)), well, ill, median(late) if late else nan)
