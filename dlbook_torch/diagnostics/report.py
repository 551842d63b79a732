"""What was found: findings with their evidence and remedies, as text and as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal

from .curves import Trend
from .remedies import Remedy

Severity = Literal["info", "notice", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing that a run shows.

    Args:
        id: its short name, one of ``catalogue.CATALOGUE``.
        severity: how much it matters.
        confidence: how sure it is, from 0 to 1.
        sentence: what it is.
        evidence: the numbers behind it, as a sentence; its texts count epochs from 1.
        numbers: the same numbers by name.
        since: epoch in which it began, None if that means nothing.
        remedies: what to try, the likeliest first.
    """

    id: str
    severity: Severity
    confidence: float
    sentence: str
    evidence: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    since: int | None = None
    remedies: tuple[Remedy, ...] = ()

    def markdown(self, advice: bool = True) -> str:
        """The finding as a section of text, with or without its remedies."""
        title = f"### {self.id} ({self.severity}, confidence {self.confidence:.0%})"
        cures = "\n".join(f"* {remedy}" for remedy in self.remedies if advice)
        return "\n\n".join(filter(None, [title, self.sentence, self.evidence, cures]))

    def as_dict(self) -> dict[str, Any]:
        """The finding as plain data for JSON, which knows no NaN."""
        return {
            "id": self.id,
            "severity": self.severity,
            "confidence": round(self.confidence, 3),
            "sentence": self.sentence,
            "evidence": self.evidence,
            "numbers": {k: v if isfinite(v) else None for k, v in self.numbers.items()},
            "since": self.since,
            "remedies": [remedy.as_dict() for remedy in self.remedies],
        }


@dataclass(frozen=True)
class Report:
    """What a run shows, the most important thing first.

    Args:
        headline: the verdict in one finding.
        findings: everything found, the headline first, in order of importance.
        best_epoch: number of the epoch with the lowest validation loss.
        train: trend of the training loss at the end of the run.
        val: trend of the validation loss at the end of the run.
    """

    headline: Finding
    findings: tuple[Finding, ...]
    best_epoch: int
    train: Trend
    val: Trend

    @property
    def id(self) -> str:
        """Short name of the verdict."""
        return self.headline.id

    @property
    def severity(self) -> Severity:
        """How much the verdict matters."""
        return self.headline.severity

    @property
    def sentence(self) -> str:
        """The verdict."""
        return self.headline.sentence

    @property
    def healthy(self) -> bool:
        """Nothing was found that calls for a change."""
        return all(finding.severity in ("info", "notice") for finding in self.findings)

    def markdown(self) -> str:
        """The report as a page of text for TensorBoard, with the remedies of its headline."""
        trends = f"| loss | trend |\n|---|---|\n| training | {self.train} |\n"
        trends += f"| validation | {self.val} |"
        first, *others = self.findings
        return "\n\n".join(
            [first.markdown(), trends, *(other.markdown(advice=False) for other in others)]
        )

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data for JSON."""
        return {
            "headline": self.headline.as_dict(),
            "findings": [finding.as_dict() for finding in self.findings],
            "best_epoch": self.best_epoch,
            "trends": {"train": self.train, "val": self.val},
        }
