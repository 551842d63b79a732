"""The curves of runs with what was found in them, as a picture."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .case import HUGE, Case
from .chart import wants_log
from .report import Finding, Report
from .run import Curves
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
        draw(axes, part.judged.curves, part.report, case.log.name, part.label)
    for axes in list(grid)[len(panels) :]:
        axes.axis("off")
    return made


def picture(curves: Curves, report: Report) -> np.ndarray:
    """Draw one pair of curves small, as (height, width, 3) bytes."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(6, 3.8), dpi=120, layout="constrained")
    draw(made.subplots(), curves, report)
    return pixels(made)


def pixels(figure: "Figure") -> np.ndarray:
    """Return a figure as (height, width, 3) bytes, without pyplot and its global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def draw(axes: Any, curves: Curves, report: Report, name: str = "", label: str = "loss") -> None:
    """Draw a pair of curves, the best epoch, and where the findings began.

    Args:
        axes: of matplotlib.
        curves: the curves.
        report: what was found in them.
        name: of the run.
        label: what the curves measure.
    """
    headline = report.headline
    epochs = [curves.epoch(i) + 1 for i in range(len(curves.val))]
    training = "training" if curves.measured else "training (running mean)"
    for text, values, color in (
        (training, curves.train, TRAIN),
        ("validation", curves.val, VAL),
    ):
        y = np.asarray(values, float)
        known = abs(y) < HUGE
        style = "-" if known.sum() > 1 else "o"
        axes.plot(np.array(epochs)[known], y[known], style, color=color, label=text)
    _mark_best(axes, epochs, curves.val, report.best_epoch + 1)
    for finding in report.findings:
        if finding.since is not None:
            tone = TONES[finding.severity]
            axes.axvline(finding.since + 1, color=tone, ls="--", lw=1.2, label=_since(finding))
    if headline.since is not None and headline.severity in ("error", "warning"):
        axes.axvspan(
            headline.since + 1, epochs[-1], color=TONES[headline.severity], alpha=0.07, lw=0
        )
    if wants_log([curves.train, curves.val]):
        axes.set_yscale("log")
    verdict = f"{headline.id.replace('_', ' ')} ({headline.confidence:.0%} sure)"
    title = f"{name}: {verdict}" if name else verdict
    axes.set(xlabel="epoch", ylabel=_plain(label))
    axes.set_title(_plain(title), loc="left", fontsize=11, color=TONES[headline.severity])
    axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)  # there is no epoch 0
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)


def _mark_best(axes: Any, epochs: list[int], val: Sequence[float], best: int) -> None:
    at = epochs.index(best) if best in epochs else None
    if at is not None and abs(val[at]) < HUGE:
        label = f"best epoch {best}: {number(val[at])}"
        axes.plot(best, val[at], "o", mfc="white", mec=VAL, mew=2, label=label)


def _since(finding: Finding) -> str:
    return f"{finding.id.replace('_', ' ')} since epoch {(finding.since or 0) + 1}"


def _plain(text: str) -> str:
    """Text that matplotlib does not take for mathematics."""
    return text.replace("$", r"\$")
