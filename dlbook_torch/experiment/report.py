"""What an experiment leaves behind: tables, the picture, a TensorBoard page, Markdown and HTML."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from math import isfinite
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..pages import renewed
from ..training.errors import UsageError
from .figures import figure
from .judge import Outcome, interval
from .results import Results, write_tables
from .runner import slug

PICTURE = "figure.png"
HEAD = ("notes", "claim", "verdict", "with torch's layers", "effect", "seeds")
STYLE = Path(__file__).with_name("page.css")


def write(results: Results, folder: Path) -> Path:
    """Write everything about one experiment into its folder and return the picture's path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tables(results, folder)
    picture = figure(results)
    picture.savefig(folder / PICTURE, dpi=110)
    (folder / "section.md").write_text(section(results, PICTURE), encoding="utf-8")
    board(results, folder / "board", picture)
    return folder / PICTURE


def table(
    all_results: Sequence[Results],
    twins: Mapping[str, Results] | None = None,
    link: Mapping[str, str] | None = None,
) -> str:
    """The claims as a Markdown table: section, claim, verdict, effect, seeds.

    Args:
        all_results: a row each.
        twins: what came out with torch's layers and rules, by name, where that was run.
        link: where the name of an experiment leads.
    """
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    for results in sorted(all_results, key=_place):
        experiment = results.experiment
        name, claim = experiment.name, experiment.claim.replace("|", "\\|")
        if link:
            claim = f"[{claim}]({link[name]})"
        seeds = "exact" if experiment.exact else str(len(experiment.seeds))
        twin = twins[name].verdict if twins and name in twins else ""
        sections = ", ".join(experiment.sections)
        cells = [sections, claim, results.verdict, twin, effect(results), seeds]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _place(results: Results) -> tuple[list[list[int]], str]:
    sections = [[int(n) for n in tag.split(".")] for tag in results.experiment.sections]
    return sections, results.experiment.name


def deciding(results: Results) -> Outcome:
    """The comparison that the verdict rests on: the first against the claim, else the nearest.

    Of comparisons that all hold, that is the one with the smallest effect.
    """
    against = [o for o in results.outcomes if o.holds != "yes"]
    return against[0] if against else min(results.outcomes, key=lambda o: abs(o.effect))


def effect(results: Results) -> str:
    """The deciding difference in words."""
    outcome = deciding(results)
    more = len(results.outcomes) - 1
    return f"{difference(outcome)}{f' (and {more} more)' if more else ''}"


def difference(outcome: Outcome) -> str:
    """Such as ``accuracy, BN against none: +0.0123 (0.0100 to 0.0146)``."""
    c = outcome.comparison
    ends = ""
    if isfinite(outcome.low) and outcome.low != outcome.high:
        ends = f" ({outcome.low:.3g} to {outcome.high:.3g})"
    when = f"{c.when}: " if c.when else ""
    return f"{when}{c.metric}, {c.arm.text} against {c.other.text}: {outcome.mean:+.3g}{ends}"


def section(results: Results, picture: str, level: int = 2) -> str:
    """One experiment as Markdown."""
    experiment = results.experiment
    twin = ", torch's layers and rules" if experiment.library == "torch" else ""
    lines = [
        f"{'#' * level} {', '.join(experiment.sections)} {experiment.name}{twin}",
        "",
        f"{experiment.claim}. **{results.verdict.capitalize()}.**",
        "",
        f"![{experiment.name}]({picture})",
        "",
        *_comparisons(results.outcomes),
        "",
        *_arms(results),
        "",
    ]
    if results.failed:
        lines += [f"{len(results.failed)} runs failed: {'; '.join(results.failed)}", ""]
    command = str(next(experiment.runs()))
    lines += [
        f"{results.seconds:.0f} s in all. The first of the runs by hand:",
        "",
        f"    {command}",
        "",
    ]
    return "\n".join(lines)


def _comparisons(outcomes: Sequence[Outcome]) -> list[str]:
    lines = ["| compared | holds | difference | d | seeds |", "|---|---|---|---|---|"]
    for o in outcomes:
        size = f"{o.effect:.2f}" if isfinite(o.effect) else "∞"
        lines.append(
            f"| {o.comparison} | {o.holds} | {difference(o).rpartition(': ')[2]} "
            f"| {size} | {o.pairs} |"
        )
    return lines


def _arms(results: Results) -> list[str]:
    names = list(results.tables)
    lines = [f"| arm | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for arm in results.experiment.arms:
        cells = []
        for name in names:
            mean, low, high = interval(
                list(results.tables[name][arm].values()), results.experiment.exact
            )
            half = f" ± {(high - low) / 2:.2g}" if isfinite(low) and low != high else ""
            cells.append(f"{mean:.4g}{half}")
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return lines


def board(results: Results, folder: Path, picture: Figure) -> None:
    """Write a TensorBoard page: a run per arm with the mean of every curve over its seeds."""
    from torch.utils.tensorboard import SummaryWriter

    for arm, runs in results.records.items():
        lists: dict[str, list[list[float]]] = {}
        for record in runs.values():
            for name, value in record["numbers"].items():
                if (
                    isinstance(value, list)
                    and value
                    and all(isinstance(v, int | float) for v in value)
                ):
                    lists.setdefault(name, []).append(value)
        with SummaryWriter(str(folder / slug(arm))) as writer:
            for name, found in lists.items():
                length = min(map(len, found))
                for step, value in enumerate(np.mean([curve[:length] for curve in found], axis=0)):
                    writer.add_scalar(name, value, step + 1)
    with SummaryWriter(str(folder)) as writer:
        writer.add_text(
            "verdict",
            section(results, PICTURE).replace(f"![{results.experiment.name}]({PICTURE})", ""),
        )
        writer.add_figure("figure", picture, close=False)


def page(
    all_results: Sequence[Results],
    twins: Mapping[str, Results],
    pictures: Mapping[str, Sequence[Path]],
) -> str:
    """Everything as one HTML file that needs no other.

    Args:
        all_results: in whatever order.
        twins: with torch's layers and rules, by name.
        pictures: of every experiment by name, ours first, then torch's.
    """
    from markdown import markdown

    ordered = sorted(all_results, key=_place)
    links = {r.experiment.name: f"#{r.experiment.name}" for r in ordered}
    body = [
        f"<h1>{len(ordered)} claims of the notes, measured</h1>",
        _html(table(ordered, twins, links)),
    ]
    for results in ordered:
        name = results.experiment.name
        images = "".join(
            f'<img alt="{escape(name)}" src="{_inline(path)}">' for path in pictures[name]
        )
        text = markdown(section(results, "PICTURE"), extensions=["tables"])
        start, _, rest = text.partition("<img")
        body.append(
            f'<section id="{escape(name)}">{start}{images}{rest.partition(">")[2]}</section>'
        )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Claims, measured</title><style>{STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def _html(text: str) -> str:
    from markdown import markdown

    html = markdown(text, extensions=["tables"])
    for word in ("supported", "refuted", "depends", "undecided"):
        html = html.replace(f"<td>{word}</td>", f'<td class="{word}">{word}</td>')
    return html


def _inline(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def renew(path: Path, content: str) -> None:
    """Put the table between the marks of a Markdown file.

    Raises: UsageError if the file has no marks.
    """
    try:
        page = renewed(path.read_text(encoding="utf-8"), "claims", content)
    except ValueError as error:
        raise UsageError(f"--markdown {path}: {error}") from None
    path.write_text(page, encoding="utf-8")
