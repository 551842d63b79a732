"""What both monitors share: they judge together, and speak with one voice."""

from typing import Any

import lightning as L

from ..catalogue import SEVERITIES
from ..diagnose import diagnose
from ..report import Finding, Report
from ..run import Curves, Internals
from .board import Board

ALARMS = ("error", "warning")  # severities worth a line on the terminal
AT_THE_END = {"too_slow"}  # what a run shows only when it is over


class Voice:
    """Judge a run, and say what is new: on the terminal in a line, in TensorBoard as a page.

    Args:
        verbose: print a line when something is found, or gets worse.
    """

    def __init__(self, verbose: bool = True):
        self.verbose = verbose
        self.report: Report | None = None
        self.said: dict[str, str] = {}
        self._shown: tuple[Any, ...] | None = None

    def judge(
        self, trainer: L.Trainer, curves: Curves, internals: Internals | None, over: bool = False
    ) -> Report:
        """Diagnose, print what is new, and write to TensorBoard what has changed."""
        self.report = report = diagnose(curves, internals)
        for finding in report.findings:
            if over or finding.id not in AT_THE_END:
                self._say(trainer, finding)
        now = (report.best_epoch, *((x.id, x.severity) for x in report.findings))
        known = (self._shown or (0,))[1:]
        if self._shown is None or known != now[1:] or (over and now != self._shown):
            self._shown = now
            if trainer.is_global_zero:
                Board(trainer).verdict(report, curves)
        return report

    def _say(self, trainer: L.Trainer, finding: Finding) -> None:
        """Print a finding that is new, or worse than it was ever said to be."""
        before = self.said.get(finding.id)
        worse = before is None or SEVERITIES.index(finding.severity) < SEVERITIES.index(before)  # type: ignore[arg-type]
        if finding.severity not in ALARMS or not worse:
            return
        self.said[finding.id] = finding.severity
        if self.verbose and trainer.is_global_zero:
            text = " ".join(filter(None, [finding.sentence, finding.evidence]))
            epoch = trainer.current_epoch + 1
            print(f"epoch {epoch}: {finding.severity}: {finding.id}: {text}", flush=True)
