"""The pair of curves with the verdict drawn in."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..report import Report
from ..run import Curves

COLORS = {"info": "tab:green", "notice": "tab:blue", "warning": "tab:orange", "error": "tab:red"}
WIDE = 20.0  # a logarithmic axis hides where a curve turns; it has to be worth it


def verdict_figure(curves: Curves, report: Report) -> Figure:
    """Draw both losses over the epochs, the best epoch, and where the verdict's finding began."""
    figure = Figure(figsize=(5, 3.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    x = 1 + np.array([curves.epoch(e) for e in range(len(curves.train))])
    train, val = np.asarray(curves.train, float), np.asarray(curves.val, float)
    label = "training" if curves.measured else "training (running mean)"
    for y, name in ((train, label), (val, "validation")):
        if np.isfinite(y).any():
            axes.plot(x, y, label=name, marker="." if len(y) < 40 else None)
    if np.isfinite(val).any():
        best = report.best_epoch + 1
        axes.axvline(best, color="gray", linestyle=":", label=f"best epoch {best}")
        axes.plot(best, val[list(x).index(best)] if best in x else np.nan, "o", color="gray")
    head = report.headline
    color = COLORS[head.severity]
    if head.since is not None and head.severity in ("warning", "error"):
        since = head.since + 1
        axes.axvspan(since, max(x[-1], since), color=color, alpha=0.12)
        axes.axvline(since, color=color, linestyle="--", label=f"since epoch {since}")
    axes.set(xlabel="epoch", ylabel="loss")
    known = val[np.isfinite(val) & (val > 0)]
    if len(known) == len(val) and known.max() > WIDE * known.min():
        axes.set_yscale("log")
    axes.set_title(f"{head.id} ({head.severity}, {head.confidence:.0%} sure)", color=color)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def pixels(figure: Figure) -> np.ndarray:
    """Return the picture as (height, width, 3) bytes, without pyplot and its global state."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
