"""One self-contained HTML page: the curves, what was found in them, and what to try."""

from collections.abc import Mapping, Sequence
from html import escape
from math import isfinite
from pathlib import Path

from .case import Case, Failure, Part, advice
from .chart import Line, loss_chart, small_chart
from .report import Finding
from .show import HEADS, number, row

STYLE = Path(__file__).with_name("page.css")
ICONS = {"error": "✕", "warning": "!", "notice": "i", "info": "✓"}


def page(cases: Sequence[Case | Failure], attributed: bool = False) -> str:
    """Return the page.

    Args:
        cases: the runs.
        attributed: show remedies that the notes contradict elsewhere, too.
    """
    good = [case for case in cases if isinstance(case, Case)]
    bad = [case for case in cases if isinstance(case, Failure)]
    body = [f"<header><h1>{_title(good)}</h1>{_counts(good, bad)}</header>"]
    if len(good) > 1:
        body.append(_comparison(good))
    body += [f'<p class="failure">{escape(case.error)}</p>' for case in bad]
    body += [_run(case, i, attributed) for i, case in enumerate(good)]
    body.append(f"<footer>{FOOTER}</footer>")
    style = STYLE.read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Diagnosis: {_title(good)}</title><style>{style}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )


FOOTER = (
    "An <b class=error>error</b> or a <b class=warning>warning</b> calls for a change; a "
    "<b class=notice>notice</b> is worth a look. Epochs are counted from 1. The shaded part of a "
    "chart is what came after the verdict began; numbers mark where each finding did. "
    "Made by <code>dlbook-diagnose</code>."
)


def _title(good: Sequence[Case]) -> str:
    if len(good) == 1:
        return escape(good[0].log.name)
    return f"{len(good)} training runs" if good else "Nothing could be read"


def _counts(good: Sequence[Case], bad: Sequence[Failure]) -> str:
    if len(good) + len(bad) < 2:
        return ""
    named = (("error", "with errors"), ("warning", "with warnings"), ("notice", "with notices"))
    parts = [
        f'<b class="{severity}">{n}</b> {text}'
        for severity, text in (*named, ("info", "without a finding"))
        if (n := sum(case.severity == severity for case in good))
    ]
    parts += [f"<b>{len(bad)}</b> unreadable"] if bad else []
    return f'<p class="counts">{", ".join(parts)}</p>'


def _comparison(cases: Sequence[Case]) -> str:
    heads = "".join(f"<th>{head}</th>" for head in ("run", "verdict", *HEADS))
    lines = []
    for i, case in enumerate(cases):
        name, verdict, *cells = map(escape, row(case))
        lines.append(
            f'<tr><td><a href="#run{i}">{name}</a></td>'
            f"<td>{_pill(case.headline, verdict)}</td>"
            + "".join(f"<td class=n>{cell}</td>" for cell in cells)
        )
    return f"<div class=wide><table><thead><tr>{heads}</tr></thead>{''.join(lines)}</table></div>"


def _run(case: Case, i: int, attributed: bool) -> str:
    several = len(case.parts) > 1
    worst = case.headline
    body = [
        f'<article id="run{i}">',
        f'<p class="path">{escape(str(case.log.path))}<span>{escape(case.log.format)}</span></p>',
        _verdict(worst, case.worst.label if several else ""),
    ]
    body += [_part(part, several) for part in case.parts]
    findings = [f for part in (case.worst, *case.parts) for f in part.report.findings]
    body.append(_advice(findings, case.log.ours, attributed))
    if case.notes:
        notes = "".join(f"<li>{escape(note)}</li>" for note in case.notes)
        body.append(f'<section class="notes"><h3>About the data</h3><ul>{notes}</ul></section>')
    return "".join([*body, "</article>"])


def _verdict(finding: Finding, label: str) -> str:
    since = "" if finding.since is None else f" · since epoch {finding.since + 1}"
    of = f" · {escape(label)}" if label else ""
    return (
        f'<div class="verdict {finding.severity}"><span class="icon">{ICONS[finding.severity]}'
        f"</span><div><h2>{escape(_words(finding.id))}</h2><p>{escape(finding.sentence)}</p>"
        f'<p class="soft">{finding.severity}{since} · {finding.confidence:.0%} sure{of}</p>'
        "</div></div>"
    )


def _part(part: Part, named: bool) -> str:
    findings = part.report.findings
    title = "loss" if named else part.label
    head = f"<h3>{escape(part.label)}</h3>" if named else ""
    cards = "".join(_finding(f, i, named or i > 1) for i, f in enumerate(findings, 1))
    return (
        f'<section class="part">{head}<figure>{loss_chart(part, findings, title)}'
        f"<figcaption>{_caption(part)}</figcaption></figure>{_small(part)}{_facts(part)}"
        f'<div class="findings">{cards}</div></section>'
    )


def _caption(part: Part) -> str:
    pair, curves = part.judged.pair, part.judged.curves
    how = (
        "measured in eval mode, like the validation loss"
        if curves.measured
        else "the running mean of each epoch, so half an epoch older than the validation loss"
    )
    return f"<code>{escape(pair.train)}</code> ({how}) and <code>{escape(pair.val)}</code>"


def _small(part: Part) -> str:
    curves = part.judged.curves
    accuracies: list[Line] = [
        (name, kind, values)
        for name, kind, values in (
            ("training", "train", curves.train_accuracy),
            ("validation", "val", curves.val_accuracy),
        )
        if values is not None
    ]
    charts = [small_chart(part, "accuracy", accuracies)] if accuracies else []
    if curves.lr is not None and len({v for v in curves.lr if isfinite(v)}) > 1:
        charts.append(small_chart(part, "learning rate", [("rate", "rate", curves.lr)]))
    return f'<div class="small">{"".join(charts)}</div>' if charts else ""


def _facts(part: Part) -> str:
    curves, report, best = part.judged.curves, part.report, part.best
    facts = {"epochs": str(len(curves.val))}
    if best is not None:
        facts["best epoch"] = str(curves.epoch(best) + 1)
        facts["best validation"] = number(curves.val[best])
    for name, curve, trend in (
        ("last validation", curves.val, report.val),
        ("last training", curves.train, report.train),
    ):
        facts[name] = number(curve[-1]) + (f" <i>{trend}</i>" if isfinite(curve[-1]) else "")
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    return f'<dl class="facts">{cells}</dl>'


def _finding(finding: Finding, i: int, sentence: bool) -> str:
    since = "" if finding.since is None else f"since epoch {finding.since + 1}"
    said = f"<p>{escape(finding.sentence)}</p>" if sentence else ""  # else it stands above
    return (
        f'<section class="finding {finding.severity}"><h4><span class="count">{i}</span>'
        f"{escape(_words(finding.id))} {_pill(finding, finding.severity)}"
        f'<span class="soft since">{since}</span></h4>'
        f"{said}<p class=soft>{escape(finding.evidence)}</p>"
        f"{_confidence(finding)}{_numbers(finding.numbers)}</section>"
    )


def _confidence(finding: Finding) -> str:
    share = f"{finding.confidence:.0%}"
    bar = f'<span class="bar"><i style="width:{share}"></i></span>'
    return f'<div class="sure">{bar}{share} sure</div>'


def _numbers(numbers: Mapping[str, float]) -> str:
    if not numbers:
        return ""
    rows = "".join(
        f"<tr><td>{escape(_words(name))}</td><td class=n>{number(value)}</td></tr>"
        for name, value in numbers.items()
    )
    return f"<details><summary>numbers</summary><table>{rows}</table></details>"


def _pill(finding: Finding, text: str) -> str:
    return f'<span class="pill {finding.severity}">{escape(text)}</span>'


def _advice(findings: Sequence[Finding], keys: bool, attributed: bool) -> str:
    remedies = advice(findings, attributed)
    if not remedies:
        return ""
    items = []
    for remedy in remedies:
        condition = (
            f" <span class=soft>{escape(remedy.condition)}</span>" if remedy.condition else ""
        )
        key = f" <code>{escape(remedy.key)}</code>" if remedy.key and keys else ""
        source = f" <cite>{escape(remedy.source)}</cite>" if remedy.source else ""
        action = escape(remedy.action[:1].upper() + remedy.action[1:])
        items.append(f"<li>{action}{condition}{key}{source}</li>")
    return (
        '<section class="advice"><h3>What to try, the likeliest first</h3>'
        f"<ol>{''.join(items)}</ol></section>"
    )


def _words(name: str) -> str:
    """An id as a title."""
    words = name.replace("_", " ").replace("relu", "ReLU").replace("lr ", "learning rate ")
    return words[:1].upper() + words[1:]
