"""The curves of runs with what was found in them, as a picture."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .case import HUGE, Case, Part
from .chart import wants_log
from .show import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TONES = {"error": "#c22f2f", "warning": "#b87700", "notice": "#1c7a90", "info": "#2c7d46"}
DPI, MOST_PIXELS = 150, 60000  # matplotlib draws no more than 65536 pixels
TRAIN, VAL = "#2563c9", "#d9660a"


def plot(cases: Sequence[Case], kind: str = "png") -> bytes:
    """Return the picture of all runs, one below the other, as a file's content."""
    made = figure(cases)
    file = io.BytesIO()
    made.savefig(file, format=kind, dpi=min(DPI, MOST_PIXELS / made.get_figheight()))
    return file.getvalue()


def figure(cases: Sequence[Case]) -> "Figure":
    """Draw every pair of curves with the beginnings of its findings."""
    from matplotlib.figure import Figure

    panels = [(case, part) for case in cases for part in case.parts]
    columns = 1 if len(panels) <= 3 else 2 if len(panels) <= 12 else 4
    rows = -(-len(panels) // columns)
    made = Figure(figsize=(max(9, 6.5 * columns), 4.0 * rows), layout="constrained")
    grid = made.subplots(rows, columns, squeeze=False).flat
    for axes, (case, part) in zip(grid, panels, strict=False):
        _draw(axes, case, part)
    for axes in list(grid)[len(panels) :]:
        axes.axis("off")
    return made


def _draw(axes: Any, case: Case, part: Part) -> None:
    curves, headline = part.judged.curves, part.report.headline
    epochs = [curves.epoch(i) + 1 for i in range(len(curves.val))]
    for name, values, color in (("training", curves.train, TRAIN), ("validation", curves.val, VAL)):
        y = np.asarray(values, float)
        known = abs(y) < HUGE
        style = "-" if known.sum() > 1 else "o"
        axes.plot(np.array(epochs)[known], y[known], style, color=color, label=name)
    if part.best is not None and abs(curves.val[part.best]) < HUGE:
        best = curves.val[part.best]
        label = f"best epoch {epochs[part.best]}: {number(best)}"
        axes.plot(epochs[part.best], best, "o", mfc="white", mec=VAL, mew=2, label=label)
    for finding in part.report.findings:
        if finding.since is not None:
            tone = TONES[finding.severity]
            axes.axvline(finding.since + 1, color=tone, ls="--", lw=1.2, label=_since(finding.id))
    if headline.since is not None and headline.severity in ("error", "warning"):
        axes.axvspan(
            headline.since + 1, epochs[-1], color=TONES[headline.severity], alpha=0.07, lw=0
        )
    if wants_log([curves.train, curves.val]):
        axes.set_yscale("log")
    title = f"{case.log.name}: {headline.id.replace('_', ' ')}".replace("$", r"\$")
    axes.set(xlabel="epoch", ylabel=part.label.replace("$", r"\$"))
    axes.set_title(title, loc="left", fontsize=11, color=TONES[headline.severity])
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)


def _since(name: str) -> str:
    return f"{name.replace('_', ' ')} begins"
