"""What the runs of an experiment have measured: tables, the verdict, files."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from .judge import Outcome, Verdict, interval, judge, verdict
from .measure import load
from .plan import Experiment
from .runner import jobs_of

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Results:
    """An experiment and its records, ``{arm: {seed: record}}``; failed runs are not among them."""

    experiment: Experiment
    records: Mapping[str, Mapping[int, Record]]
    failed: tuple[str, ...] = ()

    @cached_property
    def tables(self) -> dict[str, dict[str, dict[int, float]]]:
        """``{metric: {arm: {seed: value}}}``."""
        return {
            name: {
                arm: {seed: metric.read(record["numbers"]) for seed, record in runs.items()}
                for arm, runs in self.records.items()
            }
            for name, metric in self.experiment.metrics.items()
        }

    @cached_property
    def outcomes(self) -> list[Outcome]:
        """Every comparison, measured."""
        exact = self.experiment.exact
        return [judge(c, self.tables[c.metric], exact) for c in self.experiment.compare]

    @property
    def verdict(self) -> Verdict:
        """What the outcomes say of the claim."""
        return verdict(self.outcomes)

    @property
    def seconds(self) -> float:
        """The time of all runs together."""
        return sum(r["wall_seconds"] for runs in self.records.values() for r in runs.values())

    @property
    def complete(self) -> bool:
        """Whether no run is missing."""
        done = sum(map(len, self.records.values()))
        return done == len(self.experiment.arms) * len(self.experiment.seeds)

    def numbers(self, arm: str, seed: int | None = None) -> Mapping[str, Any]:
        """What a run measured, by default that of the first seed."""
        runs = self.records[arm]
        return runs[min(runs) if seed is None else seed]["numbers"]


def collect(experiment: Experiment, out: Path) -> Results:
    """Read what has been measured of an experiment, in the order of its arms and seeds."""
    records: dict[str, dict[int, Record]] = {arm: {} for arm in experiment.arms}
    failed = []
    for job in jobs_of([experiment], out):
        record = load(job.file)
        if job.done and record:
            records[job.run.arm][job.run.seed] = record
        elif record and record["error"]:
            failed.append(f"{job.run.arm}, seed {job.run.seed}: {record['error']}")
    return Results(experiment, records, tuple(failed))


def summary(results: Results) -> dict[str, Any]:
    """Everything but the curves, plain."""
    experiment = results.experiment
    return {
        "name": experiment.name,
        "sections": experiment.sections,
        "claim": experiment.claim,
        "library": experiment.library,
        "size": experiment.size,
        "seeds": len(experiment.seeds),
        "verdict": results.verdict,
        "outcomes": [
            {
                "comparison": str(o.comparison),
                "holds": o.holds,
                "mean": _finite(o.mean),
                "low": _finite(o.low),
                "high": _finite(o.high),
                "effect": _finite(o.effect),
                "pairs": o.pairs,
            }
            for o in results.outcomes
        ],
        "arms": {
            name: {
                arm: dict(zip(("mean", "low", "high"), map(_finite, bounds), strict=True))
                for arm, values in table.items()
                if (bounds := interval(list(values.values()), experiment.exact))
            }
            for name, table in results.tables.items()
        },
        "failed": results.failed,
        "seconds": results.seconds,
        "commands": [str(job) for job in experiment.runs()],
    }


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def write_tables(results: Results, folder: Path) -> None:
    """Write ``runs.csv``, a line per run, and ``summary.json``."""
    metrics = list(results.tables)
    with (folder / "runs.csv").open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["arm", "seed", *metrics, "seconds", "command"])
        for arm, runs in results.records.items():
            for seed, record in runs.items():
                values = [results.tables[metric][arm][seed] for metric in metrics]
                command = " ".join(record["command"])
                lines.writerow([arm, seed, *values, record["wall_seconds"], command])
    text = json.dumps(summary(results), indent=1, allow_nan=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
