"""What both monitors share: they judge together, and speak with one voice."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import lightning as L
import numpy as np

from ..catalogue import SEVERITIES
from ..diagnose import diagnose
from ..report import Finding, Report, Severity
from ..run import Curves, Internals
from .board import Board

ALARMS = ("error", "warning")  # severities worth a line on the terminal
AT_THE_END = {"too_slow"}  # what a run shows only when it is over


def at_least(low: int, name: str, value: int) -> int:
    """Return ``value``.

    Raises: ValueError if it is below ``low``.
    """
    if value < low:
        raise ValueError(f"{name} must be at least {low}, got {value}")
    return value


def numbered(rows: Sequence[Mapping[str, Any]]) -> list[int] | None:
    """Return the epochs of rows, None if an epoch has several: then the rows are counted."""
    epochs = [row["epoch"] for row in rows]
    return epochs if all(a < b for a, b in pairwise(epochs)) else None


class Voice:
    """Judge a run, and say what is new: on the terminal in a line, in TensorBoard as a page.

    Args:
        verbose: print a line when something is found, or gets worse.
    """

    leads = False  # judges for the others as well

    def __init__(self, verbose: bool = True):
        self.verbose = verbose
        self.report: Report | None = None
        self.said: dict[str, str] = {}
        self._shown: list[tuple[str, Severity]] | None = None
        self._text = ""

    def judge(
        self,
        trainer: L.Trainer,
        epoch: int,
        curves: Curves,
        internals: Internals | None,
        over: bool = False,
    ) -> Report:
        """Diagnose, print what is new, and write to TensorBoard what has changed."""
        with np.errstate(all="ignore"):  # a loss may be of any size
            self.report = report = diagnose(curves, internals)
        for finding in report.findings:
            if over or finding.id not in AT_THE_END:
                self._say(trainer, finding, epoch)
        now = [(finding.id, finding.severity) for finding in report.findings]
        board, new = Board(trainer, epoch=epoch), now != self._shown
        if board and (over or new) and (text := report.markdown()) != self._text:
            board.text(text)
            self._text = text
        if board and (over or (new and report.severity in ALARMS)):
            board.picture(report, curves)
        self._shown = now
        return report

    def _say(self, trainer: L.Trainer, finding: Finding, epoch: int) -> None:
        """Print a finding that is new, or worse than it was ever said to be."""
        order: list[str] = list(SEVERITIES)
        before = self.said.get(finding.id)
        worse = before is None or order.index(finding.severity) < order.index(before)
        if finding.severity not in ALARMS or not worse:
            return
        self.said[finding.id] = finding.severity
        text = " ".join(filter(None, [finding.sentence, finding.evidence]))
        self.tell(trainer, epoch, f"{finding.severity}: {finding.id}: {text}")

    def tell(self, trainer: L.Trainer, epoch: int, text: str) -> None:
        """Print one line, from one process."""
        if self.verbose and trainer.is_global_zero:
            trainer.print(f"epoch {epoch + 1}: {text}")

    def _led(self, trainer: L.Trainer) -> bool:
        """Another monitor judges."""
        others = [x for x in trainer.callbacks if isinstance(x, Voice) and x is not self]  # type: ignore[attr-defined]
        return any(other.leads for other in others)
