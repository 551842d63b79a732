"""What a run says at its end: a small table, the verdict, and how to look at the curves."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ..diagnostics import Report
from .history import History
from .logger import board_url

ROWS = {"train": "train", "val": "validation", "test": "test"}


def score_table(scores: Mapping[str, float]) -> Table:
    """Return a table, rows = split, columns = metric, of ``{"val/loss": ..., ...}``."""
    table = Table("")
    metrics = metric_names(scores)
    for metric in metrics:
        table.add_column(metric, justify="right")
    for split, label in ROWS.items():
        cells = [_cell(metric, scores.get(f"{split}/{metric}")) for metric in metrics]
        if any(cells):
            table.add_row(label, *cells)
    return table


def metric_names(scores: Mapping[str, float]) -> list[str]:
    """Return the metrics of the splits, loss first."""
    parts = (name.partition("/") for name in scores)
    return sorted({metric for split, _, metric in parts if split in ROWS}, reverse=True)


def _cell(metric: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2%}" if metric == "accuracy" else f"{value:.4g}"


def closing_scores(history: History, test: Mapping[str, float]) -> dict[str, float]:
    """Return the scores of the best epoch, or the last if nothing was validated, and the test's."""
    best = history.best()
    row = history.rows[-1 if best is None else best]
    return {name: value for name, value in row.items() if name.partition("/")[0] in ROWS} | dict(
        test
    )


def summary_metrics(history: History, scores: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics of the HParams page.

    ``final/*`` is where the last epoch ended (train, val, gap), ``best/*`` the closing table.
    """
    last = history.rows[-1]
    ends = [n for n in last if n.partition("/")[0] in (*ROWS, "gap")]
    final = {f"final/{name.replace('/', '_')}": last[name] for name in ends}
    return final | {f"best/{name.replace('/', '_')}": value for name, value in scores.items()}


def print_scores(scores: Mapping[str, float]) -> None:
    """Print the table."""
    Console(highlight=False).print(score_table(scores))


def print_report(
    history: History, scores: Mapping[str, float], verdict: Report | None, device: str
) -> None:
    """Print the table and the verdict of a finished run."""
    best, epochs = history.best(), len(history.rows)
    which = "last epoch" if best is None else f"best epoch {best + 1}"
    print(f"\n{which} of {epochs}, {history.seconds:.1f} s on {device}")
    print_scores(scores)
    if verdict:
        print(f"verdict: {verdict.headline.sentence} {verdict.headline.evidence}")


def print_way_on(folder: Path, scores: Mapping[str, float]) -> None:
    """Print the command and the address that show the curves."""
    metrics = metric_names(scores)
    print(f"\ntensorboard --logdir {shlex.quote(str(folder))}")
    print(board_url([*metrics, *(f"gap/{metric}" for metric in metrics)]))
