"""A pair of curves as SVG: both losses, where each finding began, the best epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import ceil, floor, isfinite, log10

import numpy as np

from .case import HUGE, Part
from .report import Finding

RIGHT, TOP, BOTTOM, LEFT = 92, 46, 40, 58
LOG_FROM = 12.0  # curves whose largest value is this multiple of a usual one get a log axis
MOST_POINTS = 1600  # of a line
TIPS = 400  # epochs up to which each one shows its numbers under the mouse
Line = tuple[str, str, Sequence[float]]  # name, class, values


@dataclass(frozen=True)
class Axes:
    """From numbers to places on the picture.

    Args:
        n: how many epochs.
        low: smallest value shown.
        high: largest value shown.
        log: the y axis is logarithmic.
        width: of the picture.
        height: of the picture.
    """

    n: int
    low: float
    high: float
    log: bool
    width: int
    height: int

    def x(self, index: float) -> float:
        """Place of an epoch."""
        room = self.width - LEFT - RIGHT
        return LEFT + (room * index / (self.n - 1) if self.n > 1 else room / 2)

    def y(self, value: float) -> float:
        """Place of a value; what is too large stays at the edge."""
        low, high = self.low, self.high
        value = min(max(value, low), high)
        if self.log:
            low, high, value = log10(low), log10(high), log10(value)
        room = self.height - TOP - BOTTOM
        return TOP + room * (1 - (value - low) / (high - low))

    def ticks(self) -> list[float]:
        """Round values to label."""
        if self.log:
            return _log_ticks(self.low, self.high)
        step = nice((self.high - self.low) / 4)
        first = ceil(self.low / step)
        return [i * step for i in range(first, floor(self.high / step + 1e-9) + 1)]


def axes(lines: Sequence[Line], width: int, height: int) -> Axes:
    """Choose a scale on which the lines can be seen."""
    every = np.concatenate([np.asarray(values, float) for *_, values in lines])
    known = every[abs(every) < HUGE]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    log = wants_log([values for *_, values in lines])
    if log:
        low, high = low / 1.15, high * 1.15
    else:
        pad = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
        low, high = low - pad if low < 0 or low > pad else 0.0, high + pad
    return Axes(max(len(values) for *_, values in lines), low, high, log, width, height)


def wants_log(curves: Sequence[Sequence[float]]) -> bool:
    """On a linear axis, most of one curve would lie on the ground."""
    known = [c[abs(c) < HUGE] for c in (np.asarray(curve, float) for curve in curves)]
    known = [c for c in known if len(c)]
    if not known or min(c.min() for c in known) <= 0:
        return False
    return max(c.max() for c in known) > LOG_FROM * max(float(np.median(c)) for c in known)


def nice(step: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10 ** floor(log10(step))
    return next(f * power for f in (1, 2, 5, 10) if f * power >= step * 0.999)


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(floor(log10(low)), ceil(log10(high)) + 1)
    factors = (1,) if len(decades) > 4 else (1, 2, 5) if len(decades) < 4 else (1, 3)
    every = [f * 10.0**d for d in decades for f in factors]
    return [t for t in every if low <= t <= high][:: max(1, len(decades) // 6)]


def loss_chart(
    part: Part, findings: Sequence[Finding], title: str, width: int = 860, height: int = 330
) -> str:
    """Draw both losses with the numbered marks of the findings.

    Args:
        part: the curves.
        findings: numbered from 1; those with a beginning are marked there.
        title: what is drawn.
        width: of the drawing.
        height: of the drawing.
    """
    curves = part.judged.curves
    lines: list[Line] = [
        ("training", "train", curves.train),
        ("validation", "val", curves.val),
    ]
    a = axes(lines, width, height)
    marks = [*_shade(a, part, findings), *_frame(a, part), *_marks(a, part, findings)]
    return _svg(a, [*marks, *_lines(a, lines), *_best(a, part), *_tips(a, part, lines)], title)


def small_chart(
    part: Part, title: str, lines: Sequence[Line], width: int = 425, height: int = 210
) -> str:
    """Draw other curves of the run, such as its accuracies."""
    a = axes(lines, width, height)
    return _svg(a, [*_frame(a, part), *_lines(a, lines), *_tips(a, part, lines)], title)


def _svg(a: Axes, body: Sequence[str], title: str) -> str:
    scale = ", logarithmic" if a.log else ""
    return (
        f'<svg viewBox="0 0 {a.width} {a.height}" role="img" aria-label="{escape(title)}">'
        f'<text class="title" x="{LEFT}" y="16">{escape(title)}<tspan class="soft">{scale}</tspan>'
        f"</text>{''.join(body)}</svg>"
    )


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{escape(text)}</text>'


def _frame(a: Axes, part: Part) -> Iterator[str]:
    right, bottom = a.width - RIGHT, a.height - BOTTOM
    for value in a.ticks():
        y = a.y(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(LEFT - 8, y + 4, f"{value:.4g}", "tick", "end")
    yield f'<line class="axis" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>'
    every = max(1, round(nice(max(a.n - 1, 1) / (8 if a.width > 600 else 4))))
    for i in range(a.n):
        epoch = part.judged.curves.epoch(i) + 1
        if epoch % every == 0 or (i == 0 and every > 1) or a.n == 1:
            yield _text(a.x(i), bottom + 17, str(epoch), "tick", "middle")
    yield _text((LEFT + right) / 2, a.height - 6, "epoch", "tick soft", "middle")


def _lines(a: Axes, lines: Sequence[Line]) -> Iterator[str]:
    ends = []
    for name, kind, values in lines:
        pieces = list(map(_thinned, _pieces(values)))
        path = "".join(
            "M" + "L".join(f"{a.x(i):.1f} {a.y(v):.1f}" for i, v in piece) for piece in pieces
        )
        yield f'<path class="line {kind}" d="{path}"/>'
        dots = [piece[0] for piece in pieces if len(piece) == 1]
        for i, v in dots:
            yield f'<circle class="dot {kind}" cx="{a.x(i):.1f}" cy="{a.y(v):.1f}" r="3"/>'
        lost = [i for i, v in enumerate(values) if not isfinite(v)]
        if lost and pieces and lost[-1] == len(values) - 1:  # it ends without a number
            i, v = pieces[-1][-1]
            x, y = (a.x(i) + a.x(i + 1)) / 2, a.y(v)
            yield _text(x, y + 5, "×", f"lost {kind}", "middle")
            yield _text(a.x(i + 1) + 7, TOP + 16, "no number", "tick")
        elif pieces:
            ends.append((a.y(pieces[-1][-1][1]), name, kind))
    ends.sort()
    y = -1e9
    for place, name, kind in ends:
        y = max(place + 4, y + 15)  # names that would overlap move down
        yield _text(a.width - RIGHT + 9, y, name, f"name {kind}")


def _pieces(values: Sequence[float]) -> Iterator[list[tuple[int, float]]]:
    """Runs of numbers: a line has a gap where an epoch was lost, and none between measurements."""
    known = [(i, v) for i, v in enumerate(values) if isfinite(v)]
    usual = max((b[0] - a[0] for a, b in pairwise(known)), default=1)
    usual = usual if len(known) * usual >= len(values) - usual else 1
    piece: list[tuple[int, float]] = []
    for point in known:
        if piece and point[0] - piece[-1][0] > usual:
            yield piece
            piece = []
        piece.append(point)
    if piece:
        yield piece


def _thinned(piece: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Of a very long piece the lowest and the highest point of every stretch."""
    if len(piece) <= MOST_POINTS:
        return piece
    kept: list[tuple[int, float]] = []
    size = ceil(2 * len(piece) / MOST_POINTS)
    for start in range(0, len(piece), size):
        part = piece[start : start + size]
        ends = {min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])}
        kept += sorted(ends | ({piece[0]} if not start else set()) | ({piece[-1]} & set(part)))
    return kept


def _index(part: Part, epoch: int) -> int | None:
    """Entry of an epoch's number."""
    curves = part.judged.curves
    numbers = [curves.epoch(i) for i in range(len(curves.val))]
    return numbers.index(epoch) if epoch in numbers else None


def _shade(a: Axes, part: Part, findings: Sequence[Finding]) -> Iterator[str]:
    first = findings[0]
    if first.since is None or first.severity not in ("error", "warning"):
        return
    if (i := _index(part, first.since)) is not None:
        x = a.x(i)
        yield (
            f'<rect class="shade {first.severity}" x="{x:.1f}" y="{TOP}" '
            f'width="{a.width - RIGHT - x:.1f}" height="{a.height - TOP - BOTTOM}"/>'
        )


def _marks(a: Axes, part: Part, findings: Sequence[Finding]) -> Iterator[str]:
    taken: dict[int, int] = {}
    for number, finding in enumerate(findings, 1):
        if finding.since is None or (i := _index(part, finding.since)) is None:
            continue
        x, side = a.x(i), taken.get(i, 0)
        if not side:
            yield (
                f'<line class="mark {finding.severity}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" '
                f'y2="{a.height - BOTTOM}"/>'
            )
        taken[i] = side + 1
        x += 20 * side
        yield (
            f'<g class="badge {finding.severity}"><title>{escape(finding.id)}</title>'
            f'<circle cx="{x:.1f}" cy="{TOP - 6}" r="9"/>'
            f'<text x="{x:.1f}" y="{TOP - 2}" text-anchor="middle">{number}</text></g>'
        )


def _best(a: Axes, part: Part) -> Iterator[str]:
    if part.best is None or a.n < 2:
        return
    value = part.judged.curves.val[part.best]
    x, y = a.x(part.best), a.y(value)
    yield f'<circle class="best" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    late = x > a.width - RIGHT - 150
    above = y > a.height - BOTTOM - 40
    text = f"best epoch {part.judged.curves.epoch(part.best) + 1}: {value:.4g}"
    x, y = x + (-9 if late else 9), y + (-10 if above else 19)
    yield _text(x, y, text, "note", "end" if late else "start")


def _tips(a: Axes, part: Part, lines: Sequence[Line]) -> Iterator[str]:
    """Areas that show an epoch's numbers under the mouse."""
    if a.n > TIPS:
        return
    wide = a.x(1) - a.x(0) if a.n > 1 else 20
    for i in range(a.n):
        known = [f"{name} {values[i]:.4g}" for name, _, values in lines]
        epoch = part.judged.curves.epoch(i) + 1
        yield (
            f'<rect class="tip" x="{a.x(i) - wide / 2:.1f}" y="{TOP}" width="{wide:.1f}" '
            f'height="{a.height - TOP - BOTTOM}"><title>epoch {epoch}\n'
            f"{escape(chr(10).join(known))}</title></rect>"
        )
