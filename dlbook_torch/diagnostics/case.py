"""A run as it was read from disk and what was found in it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .catalogue import RANK, SEVERITIES
from .diagnose import diagnose
from .readers import Judged, Log, LogError, align, find, internals, read
from .remedies import Remedy
from .report import Finding, Report, Severity

HUGE = 1e100  # a larger number is drawn like infinity: not at all
FINDINGS = ("error", "warning")  # severities that call for a change: exit code 1


@dataclass(frozen=True)
class Part:
    """One pair of curves of a run with its report; most runs have one."""

    judged: Judged
    report: Report

    @property
    def label(self) -> str:
        """What the pair measures, such as "loss"."""
        return self.judged.pair.label

    @property
    def best(self) -> int | None:
        """Index of the lowest validation loss."""
        val = np.asarray(self.judged.curves.val, float)
        finite = np.where(np.isfinite(val), val, np.inf)
        return int(finite.argmin()) if np.isfinite(finite).any() else None


@dataclass(frozen=True)
class Case:
    """A run and its reports: one, or one per component of the loss."""

    log: Log
    parts: tuple[Part, ...]

    @property
    def worst(self) -> Part:
        """The part whose headline is the run's."""
        return min(self.parts, key=lambda part: _order(part.report.headline))

    @property
    def headline(self) -> Finding:
        """The verdict on the run."""
        return self.worst.report.headline

    @property
    def severity(self) -> Severity:
        """How much the verdict matters."""
        return self.headline.severity

    @property
    def healthy(self) -> bool:
        """Nothing in it calls for a change."""
        return not any(f.severity in FINDINGS for part in self.parts for f in part.report.findings)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the numbers."""
        return tuple(dict.fromkeys(note for part in self.parts for note in part.judged.notes))

    def as_dict(self) -> dict[str, Any]:
        """The run as plain data: of the worst part, and of each part where there are several."""
        log = self.log
        whole: dict[str, Any] = {"path": str(log.path), "run": log.name, "format": log.format}
        whole |= _part_as_dict(self.worst) | {"notes": list(self.notes)}
        if len(self.parts) > 1:
            parts = [{"component": part.label} | _part_as_dict(part) for part in self.parts]
            found = [
                {"component": part["component"]} | finding
                for part in parts
                for finding in part["findings"]
            ]
            found.sort(key=lambda f: (SEVERITIES.index(f["severity"]), RANK[f["id"]]))
            whole |= {"findings": found, "components": parts}
        return whole


@dataclass(frozen=True)
class Failure:
    """A path, or a run below it, that cannot be read."""

    path: Path
    error: str

    def as_dict(self) -> dict[str, str]:
        """The failure as plain data."""
        return {"path": str(self.path), "error": self.error}


def examine(
    path: str | Path,
    *,
    train: str | None = None,
    val: str | None = None,
    target_accuracy: float | None = None,
    **known: Any,
) -> Iterator[Case | Failure]:
    """Read and judge every run at or below a path.

    Args:
        path: file or folder.
        train: tag of the training loss, where the names leave it open.
        val: tag of the validation loss.
        target_accuracy: see ``diagnose``.
        known: what the user knows of the run: the options of ``readers.align``.
    """
    for log in read(path):
        if isinstance(log, LogError):
            yield Failure(log.path, f"{log}.")
            continue
        try:
            pairs = [align(log, pair, **known) for pair in find(log, train, val)]
        except LogError as error:
            yield Failure(log.path, f"{error}.")
            continue
        with np.errstate(all="ignore"):  # a log may hold numbers of any size
            reports = [
                diagnose(judged.curves, internals(log), target_accuracy=target_accuracy)
                for judged in pairs
            ]
        yield Case(log, tuple(map(Part, pairs, reports)))


def advice(findings: Iterable[Finding], attributed: bool = False) -> list[Remedy]:
    """Return the remedies of all findings, each once, those of the first finding first."""
    every = {r.id: r for finding in findings for r in finding.remedies}
    return [r for r in every.values() if attributed or not r.attributed]


def _order(finding: Finding) -> tuple[int, int]:
    return SEVERITIES.index(finding.severity), RANK[finding.id]


def _part_as_dict(part: Part) -> dict[str, Any]:
    pair, curves = part.judged.pair, part.judged.curves
    tags = {"train": pair.train, "val": pair.val, "train_is_measured": curves.measured}
    return part.report.as_dict() | {"epochs": len(curves.train), "loss": tags}
