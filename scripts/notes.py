"""Write the table of what the notes say, and what is true, into docs/notes.md.

python scripts/notes.py
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import get_args

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "notes.md"

sys.path.insert(0, str(ROOT))  # the rows are tests, which are not installed
from tests.notes import NOTES, Note  # noqa: E402
from tests.notes.base import Verdict  # noqa: E402

TITLES = {
    2: "the perceptron",
    3: "neural networks",
    4: "learning",
    5: "backpropagation",
    6: "training",
    7: "convolution",
}
MEANINGS: dict[Verdict, str] = {
    "right": "as they say",
    "rounded": "right but for rounding, or for digits cut off",
    "wrong": "it is not so; what is true stands beside it",
    "conditional": "it holds in some cases and not in others; the check shows one of each",
}
HEAD = "| section | the notes say | verdict | what is true | check |\n|---|---|---|---|---|"
INTRODUCTION = """# What the notes say, and what is true

{n} sentences of the notes: numbers, formulas and claims. A test checks each of them, against
torch, a formula, a truth table or a small experiment. The sentences are in our words, the numbers
as they are printed; `book` marks what is in the book and its code only.

| verdict | rows | meaning |
|---|---|---|
{counts}

    pytest tests/test_notes.py                         # all of them, under a minute
    pytest tests/test_notes.py -k nand_is_titled_not   # one, by the name in the last column
    pytest tests/test_notes.py -k 3.2.1                # a section

This page is written by `python scripts/notes.py` from the rows in `tests/notes`.
"""


def escaped(text: str) -> str:
    """Text as a cell of a table: signs of Markdown are put so that they are shown.

    In code only the pipe is a sign.
    """
    parts = re.split(r"(`[^`]*`)", text)
    parts[::2] = [
        re.sub(r"([*~\[\]]|\b_|_\b)", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]
    ]
    return "".join(parts).replace("|", r"\|")


def chapter(note: Note) -> int:
    """The chapter of a section: 6 for ``6.2.1`` and for ``book ch06``."""
    found = re.search(r"\d+", note.section)
    if not found:
        raise ValueError(f"expected a section with a number, got {note.section!r}")
    return int(found[0])


def row(note: Note) -> str:
    """One sentence."""
    name, file = note.check.__name__, note.check.__module__.replace(".", "/")
    cells = [note.section, escaped(note.says), note.verdict, escaped(note.truth)]
    return f"| {' | '.join(cells)} | [`{name}`](../{file}.py) |"


def table(notes: Iterable[Note] = NOTES) -> str:
    """The whole page as Markdown."""
    notes = sorted(notes, key=chapter)
    rows = Counter(note.verdict for note in notes)
    counts = [
        f"| {verdict} | {rows[verdict]} | {MEANINGS[verdict]} |" for verdict in get_args(Verdict)
    ]
    parts = [INTRODUCTION.format(n=len(notes), counts="\n".join(counts))]
    for number, some in groupby(notes, chapter):
        parts.append(f"## Chapter {number}: {TITLES[number]}\n\n{HEAD}")
        parts[-1] += "".join(f"\n{row(note)}" for note in some) + "\n"
    return "\n".join(parts)


def main(args: Sequence[str] | None = None, page: Path = PAGE) -> None:
    """Renew the page, or with ``--check`` only say whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if the page is stale")
    check = parser.parse_args(args).check
    old = page.read_text(encoding="utf-8") if page.is_file() else ""
    new = table()
    if check and new != old:
        parser.exit(1, f"{page.name} is stale: run python scripts/notes.py\n")
    if new != old:
        page.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
