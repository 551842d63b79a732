"""The benchmark of the diagnostics: seeded runs from a file, scores beside those of others."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import get_args

from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ..pages import marks, renewed
from . import scoring
from .cache import Run, complete
from .faults import FAMILIES, SYMPTOMS, configs, verified
from .machine import machine
from .outcome import outcome
from .scoring import MODES, Binary, Share, Verdict
from .settings import CLOTHES, SplitName

PART = "diagnostics-bench"


@dataclass(frozen=True)
class Sheet:
    """A table, for the terminal and for Markdown."""

    title: str
    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""

    def rich(self) -> Table:
        made = Table(title=self.title, caption=self.note, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for i, head in enumerate(self.heads):
            made.add_column(head, justify="left" if i == 0 else "right")
        for row in self.rows:
            made.add_row(*row)
        return made

    def markdown(self) -> str:
        lines = [self.heads, ["---", *["---:"] * (len(self.heads) - 1)], *self.rows]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return "\n\n".join(filter(None, [f"### {self.title}", self.note, table]))


def percent(share: Share, interval: bool = False) -> str:
    """Such as ``3/49 = 6.1 % (2.1 to 16.5)``."""
    if not share.n:
        return ""
    text = f"{share.k}/{share.n} = {share.value:.1%}"
    low, high = share.wilson
    return text + f" ({100 * low:.1f} to {100 * high:.1f})" if interval else text


def number(value: float, form: str = ".2f") -> str:
    """A number, nothing for NaN."""
    return "" if isnan(value) else format(value, form)


def verdicts(runs: Sequence[Run], mode: str) -> list[Verdict]:
    """What one mode of the diagnosis says of all runs."""
    return [Verdict.of(run["label"], MODES[mode](run, None)) for run in runs]


def sheets(all_runs: Sequence[Run]) -> list[Sheet]:
    """Every table, from the runs of a split."""
    runs = [run for run in all_runs if verified(run)]
    said = {mode: verdicts(runs, mode) for mode in MODES}
    full = said["curves and layers"]
    return [
        totals(said),
        targets(full, runs, all_runs),
        families(all_runs, full, said["curves only"]),
        symptoms(full, said["curves only"]),
        confusion(full),
        delays(runs),
        overfit(runs, said),
        tools(runs, said),
    ]


def totals(said: dict[str, list[Verdict]]) -> Sheet:
    """False alarms, detection and headlines, by what the diagnosis is given."""
    rows = [
        (
            mode,
            percent(scoring.false_alarms(v), True),
            percent(scoring.detected(v), True),
            percent(scoring.named(v), True),
            percent(scoring.named(v, faulty=True)),
        )
        for mode, v in said.items()
    ]
    heads = ("what the diagnosis is given", "healthy with an alarm", "faults with an alarm")
    return Sheet(
        "The whole",
        (*heads, "headline right", "of the faults alone"),
        rows,
        "An alarm is a finding of severity warning or error; in brackets Wilson's 95 % interval.",
    )


def targets(full: list[Verdict], runs: Sequence[Run], all_runs: Sequence[Run]) -> Sheet:
    """What was aimed at, and what was reached."""
    online = scoring.online(runs)
    found = scoring.delays(runs).values()
    soon = Share(sum(d.soon for d in found), sum(d.runs for d in found))
    weak = {
        label: Share(sum(bool(v.alarms) for v in full if v.label == label), n)
        for label in ("double_softmax", "val_shift", "underfit_capacity")
        if (n := sum(v.label == label for v in full))
    }
    disputed = [r for r in all_runs if r["label"] == "healthy" and outcome(r) == "disputed"]
    unsure = scoring.false_alarms(verdicts(disputed, "curves and layers"))
    rows = [
        ("healthy runs with an alarm", "at most 3 %", percent(scoring.false_alarms(full), True)),
        ("healthy settings of disputed outcome with an alarm", "", percent(unsure)),
        ("faults detected", "at least 95 %", percent(scoring.detected(full), True)),
        ("headline right", "at least 90 %", percent(scoring.named(full), True)),
        *((f"{label} detected", "at least 80 %", percent(s)) for label, s in weak.items()),
        ("symptoms of layers found within 3 epochs", "", percent(soon, True)),
        ("alarm to stop keeps the best epoch", "at least 97 %", percent(online.kept, True)),
        ("alarm to stop in healthy runs", "", percent(online.healthy)),
        ("alarm to stop in overfitted runs", "", percent(online.overfit)),
        ("epochs from the best to the alarm, median", "", number(online.delay, ".0f")),
    ]
    note = (
        "With curves and layers. The best epoch is kept if the least validation loss before the "
        "alarm to stop is within 1 % of that of the whole run."
    )
    return Sheet("Against the targets", ("", "target", "measured"), rows, note)


def families(all_runs: Sequence[Run], full: list[Verdict], bare: list[Verdict]) -> Sheet:
    """What was said of every family."""
    planned = Counter(run["label"] for run in all_runs)
    kept = Counter(v.label for v in full)
    heads = scoring.headlines(full)
    rows = []
    for label in ["healthy", *FAMILIES]:
        if not planned[label]:
            continue
        mine = [[v for v in said if v.label == label] for said in (full, bare)]
        counts = [f"{sum(v.named for v in said)}" for said in mine]
        said = ", ".join(f"{name} {n}" for name, n in heads[label].most_common(4))
        alarms = str(sum(bool(v.alarms) for v in mine[0]))
        rows.append((label, str(planned[label]), str(kept[label]), alarms, *counts, said))
    columns = ("planned", "verified", "alarm", "headline right", "by curves only", "headlines")
    note = (
        "Verified: the outcome on the test set fits the label. Headlines with curves and layers; "
        "in brackets those without any alarm."
    )
    return Sheet("Family by family", ("planted", *columns), rows, note)


def symptoms(full: list[Verdict], bare: list[Verdict]) -> Sheet:
    """Precision and recall of every symptom."""
    tables = [scoring.per_symptom(said) for said in (full, bare)]
    rows = []
    for name, ids in SYMPTOMS.items():
        f, b = (table[name] for table in tables)
        scores = [number(x) for x in (f.precision, f.recall, f.f1, b.precision, b.recall, b.f1)]
        rows.append((", ".join(ids), str(f.tp + f.fn), *scores))
    heads = ("symptom", "runs", "precision", "recall", "F1")
    note = (
        "Runs of families in which a symptom may be found besides count neither way. The last "
        "three columns are by curves only."
    )
    return Sheet("Symptom by symptom", (*heads, "(precision", "recall", "F1)"), rows, note)


def confusion(full: list[Verdict]) -> Sheet:
    """What was planted, and what the headline says."""
    table = scoring.confusion(full)
    f1 = scoring.group_f1(table)
    rows = [
        (name, *(str(row[said] or "") for said in scoring.GROUPS), number(f1[name].f1))
        for name, row in table.items()
    ]
    known = [x.f1 for x in f1.values() if not isnan(x.f1)]
    note = (
        f"Rows are planted, columns said. Macro-F1 {sum(known) / len(known):.3f}." if known else ""
    )
    return Sheet("Headlines in five words", ("planted", *scoring.GROUPS, "F1"), rows, note)


def delays(runs: Sequence[Run]) -> Sheet:
    """How many epochs a symptom of layers needs to be found."""
    rows = [
        (name, str(d.runs), str(d.found), str(d.soon), number(d.median, ".0f"))
        for name, d in scoring.delays(runs).items()
        if d.runs
    ]
    note = (
        "Epochs from the onset of the fault to the first alarm that names it, with curves and "
        f"layers so far; looked for in {scoring.WATCHED} epochs."
    )
    heads = ("symptom", "runs", "found", "within 3 epochs", "median")
    return Sheet("How soon", heads, rows, note)


def overfit(runs: Sequence[Run], said: dict[str, list[Verdict]]) -> Sheet:
    """Ours and other rules for one question."""

    def row(name: str, found: Binary, well: Share) -> tuple[str, ...]:
        others = Share(found.fp, found.fp + found.tn)
        hits = Share(found.tp, found.tp + found.fn)
        return name, percent(hits), percent(well), percent(others), number(found.macro_f1, ".3f")

    rows = [row(f"ours, {mode}", *scoring.overfit_ours(v)) for mode, v in said.items()]
    rows += [row(name, *pair) for name, pair in scoring.overfit_rivals(runs).items()]
    heads = ("rule", "overfitted found", "healthy alarmed", "all others alarmed", "macro-F1")
    note = "Overfitting or not, at the end of the run; on the same curves, measured in eval mode."
    return Sheet("Overfitting, beside the rules of others", heads, rows, note)


def tools(runs: Sequence[Run], said: dict[str, list[Verdict]]) -> Sheet:
    """Ours and other tools: is anything wrong?"""
    rows = [
        (f"ours, {mode}", percent(scoring.false_alarms(v), True), percent(scoring.detected(v)))
        for mode, v in said.items()
    ]
    rows += [
        (name, percent(well, True), percent(ill))
        for name, (well, ill) in scoring.tools(runs).items()
    ]
    heads = ("tool", "healthy with an alarm", "faults with an alarm")
    note = "Rules and thresholds as published, see `dlbook_torch/bench/rivals.py`."
    return Sheet("Any fault, beside the tools of others", heads, rows, note)


def outcomes(runs: Sequence[Run]) -> str:
    """How many runs were kept, as a sentence or two."""
    kept = [run for run in runs if verified(run)]
    text = f"{len(runs)} runs, {len(kept)} of them verified by their outcome."
    count = Counter(outcome(run) for run in runs if run["label"] == "healthy")
    if not count:
        return text
    ended = ", ".join(f"{n} {name}" for name, n in count.most_common())
    return f"{text} Of {count.total()} healthy settings ended: {ended}."


def page(runs: Sequence[Run], tables: Iterable[Sheet], command: str) -> str:
    """The tables for a page, with the command and the machine."""
    head = f"`{command}` on {machine()}.\n\n{outcomes(runs)}"
    return "\n\n".join(["", head, *(sheet.markdown() for sheet in tables), ""])


def parsed(args: Sequence[str] | None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="diagnostics_bench",
        description="Train seeded runs, healthy and faulty, and score what the diagnosis says.",
    )
    parser.add_argument(
        "--split",
        choices=get_args(SplitName),
        default="development",
        help="thresholds are chosen on development and validation, and reported on held-out; "
        "default: development",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/diagnostics_bench"),
        help="folder of the recorded runs, which are trained once; default: %(default)s",
    )
    parser.add_argument("--jobs", type=_count, default=1, help="processes; default: 1")
    parser.add_argument("--healthy", type=_count, default=120, help="healthy runs; default: 120")
    parser.add_argument("--each", type=_count, default=8, help="runs of every family; default: 8")
    parser.add_argument(
        "--only", nargs="+", choices=["healthy", *FAMILIES], metavar="FAMILY", help="families"
    )
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help=f"write into FILE, after {marks(PART)[0]}"
    )
    given = parser.parse_args(args)
    if given.markdown:
        try:
            renewed(given.markdown.read_text(encoding="utf-8"), PART, "")
        except (OSError, ValueError) as error:
            parser.error(f"--markdown {given.markdown}: {error}")
    return parser, given


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text}")
    return int(text)


def main(args: Sequence[str] | None = None) -> None:
    """Train what the file lacks, and print the scores; ``args`` defaults to the command line."""
    parser, given = parsed(args)
    plan = configs(given.split, given.healthy, given.each)
    if given.only:
        plan = {name: entry for name, entry in plan.items() if entry[0] in given.only}
    console = Console()
    if any(c.data in CLOTHES for _, c in plan.values()):
        from .tasks import missing  # torchvision takes seconds

        if reason := missing():
            console.print(reason)
            plan = {name: entry for name, entry in plan.items() if entry[1].data not in CLOTHES}

    def watch(runs: Iterable[Run], total: int) -> Iterable[Run]:
        return track(runs, f"Training {total} runs", total, console=console, transient=True)

    try:
        runs = complete(given.out / f"{given.split}.jsonl.gz", plan, given.jobs, watch)
    except OSError as error:
        parser.error(f"argument --out: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")
    tables = sheets(runs)
    if not console.is_terminal:
        console.width = max(console.width, 150)
    console.print(outcomes(runs))
    for sheet in tables:
        console.print(sheet.rich())
    if given.markdown:
        text = given.markdown.read_text(encoding="utf-8")
        command = f"python scripts/diagnostics_bench.py --split {given.split}"
        new = renewed(text, PART, page(runs, tables, command))
        given.markdown.write_text(new, encoding="utf-8")
