"""Cases in the terminal."""

from collections.abc import Iterator, Sequence
from math import isfinite

import numpy as np
from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from .case import HUGE, Case, Failure, Part, advice
from .remedies import Remedy
from .report import Finding

COLORS = {"error": "red", "warning": "yellow", "notice": "cyan", "info": "green"}
BARS = "▁▂▃▄▅▆▇█"
HEADS = ("epochs", "best", "val best", "val last", "train last")
WIDTH = 36  # of a curve in characters


def show(cases: Sequence[Case | Failure], console: Console, attributed: bool = False) -> None:
    """Print every case, and a table of all of them if there are several."""
    for case in cases:
        if isinstance(case, Case):
            console.print(_case(case, attributed))
    good = [case for case in cases if isinstance(case, Case)]
    if len(good) > 1:
        console.print(comparison(good))


def comparison(cases: Sequence[Case]) -> Table:
    """One line per run, to see which one did best."""
    table = Table(box=box.SIMPLE_HEAD, title="Runs compared", title_justify="left")
    table.add_column("run", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for head in HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    for case in cases:
        name, verdict, *cells = row(case)
        table.add_row(Text(name), Text(verdict, COLORS[case.severity]), *cells)
    return table


def row(case: Case) -> list[str]:
    """A run as a line of the table: name, verdict, epochs, best epoch, three losses."""
    part = case.worst
    curves, best = part.judged.curves, part.best
    label = f" {part.label}" if len(case.parts) > 1 else ""
    return [
        case.log.name + label,
        case.headline.id,
        str(len(curves.val)),
        "" if best is None else str(curves.epoch(best) + 1),
        "" if best is None else number(curves.val[best]),
        number(curves.val[-1]),
        number(curves.train[-1]),
    ]


def number(value: float) -> str:
    """Four digits."""
    return f"{value:.4g}"


def _case(case: Case, attributed: bool) -> Group:
    """A run: its verdict, its curves, what else was found, what to try."""
    n = len(case.worst.judged.curves.val)
    about = f"{case.log.format}, {n} epoch{'s' if n != 1 else ''}"
    blocks: list[RenderableType] = [
        Rule(Text(str(case.log.path), "bold"), align="left", style=COLORS[case.severity]),
        Text(about, "dim"),
    ]
    blocks += [Text(f"note: {note}", "dim") for note in case.notes]
    for part in case.parts:
        blocks += ["", *_part(part, len(case.parts) > 1)]
    findings = [f for part in (case.worst, *case.parts) for f in part.report.findings]
    if remedies := advice(findings, attributed):
        blocks += ["", Text("What to try, the likeliest first", "bold")]
        blocks.append(_advice(remedies, case.log.ours))
    return Group(*blocks, "")


def _advice(remedies: Sequence[Remedy], keys: bool) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(justify="right", width=3)
    for i, remedy in enumerate(remedies, 1):
        text = Text(remedy.action)
        text.append(f" ({remedy.condition})" if remedy.condition else "", "dim")
        text.append(f" {remedy.key}" if remedy.key and keys else "", "cyan")
        text.append(f" [{remedy.source}]" if remedy.source else "", "dim")
        table.add_row(f"{i}.", text)
    return table


def _part(part: Part, named: bool) -> Iterator[RenderableType]:
    pair, curves = part.judged.pair, part.judged.curves
    if named:
        yield Text(part.label, "bold underline")
    first, *others = part.report.findings
    yield from _finding(first)
    yield ""
    yield Padding(_curves(part), (0, 0, 0, 2), expand=False)
    kind = "measured like validation" if curves.measured else "running mean of each epoch"
    yield Text(f"  {pair.train} ({kind}) and {pair.val}", "dim")
    for finding in others:
        yield ""
        yield from _finding(finding)


def _finding(finding: Finding) -> Iterator[RenderableType]:
    color = COLORS[finding.severity]
    title = Text.assemble(("● ", color), (finding.id, f"bold {color}"), f"  {finding.severity}")
    title.append(f", {finding.confidence:.0%} sure", "dim")
    title.append("" if finding.since is None else f", since epoch {finding.since + 1}", "dim")
    yield title
    yield Padding(Text(finding.sentence), (0, 0, 0, 2), expand=False)
    if finding.evidence:
        yield Padding(Text(finding.evidence, "dim"), (0, 0, 0, 2), expand=False)


def _curves(part: Part) -> Table:
    curves, report = part.judged.curves, part.report
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    for name, curve, trend, color in (
        ("training", curves.train, report.train, "blue"),
        ("validation", curves.val, report.val, "yellow"),
    ):
        ends = f"{number(curve[0])} → {number(curve[-1])}"
        table.add_row(name, Text(sparkline(curve), color, no_wrap=True), ends, Text(trend, "dim"))
    return table


def sparkline(curve: Sequence[float], width: int = WIDTH) -> str:
    """A curve in one line of text; × where there is no number."""
    values = np.asarray(curve, float)
    values = np.where(abs(values) < HUGE, values, np.nan)
    groups = np.array_split(values, min(width, len(values)))
    means = [float(np.mean(g[np.isfinite(g)])) if np.isfinite(g).any() else np.nan for g in groups]
    known = [m for m in means if isfinite(m)]
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((m - low) * scale)] if isfinite(m) else "×" for m in means)
