"""Every number, formula and claim of the notes: right, rounded, wrong or conditional."""

import re
from collections import Counter
from typing import get_args

import pytest

from scripts import notes as page

from .notes import NOTES
from .notes.base import Verdict

# the headings of the notes; two parts of 6.2 and the end of 6.5 have none with a number
SECTIONS = re.findall(
    r"\S+",
    """
    2.1 2.2 2.3
    3.1 3.2 3.2.1 3.2.2 3.2.3 3.3 3.4 3.5
    4.1 4.2 4.3
    5
    6.1 6.2.1 6.2.2 6.2.3 6.2.4 6.2.5 6.3 6.4 6.5 6.6
    7.1 7.2
    """,
)


@pytest.mark.parametrize("note", NOTES, ids=str)
def test_notes(note):
    note.check()


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_has_a_row(section):
    assert section in {note.section for note in NOTES}


def test_every_row_can_be_named():
    names = Counter(note.check.__name__ for note in NOTES)
    assert [name for name, rows in names.items() if rows > 1] == []


def test_every_row_is_of_the_notes_or_of_the_book():
    chapters = {f"book ch0{n}" for n in range(2, 8)}
    assert {note.section for note in NOTES} <= {*SECTIONS, *chapters}
    assert {note.verdict for note in NOTES} == set(get_args(Verdict))


def test_the_page_is_fresh():
    page.main(["--check"])


def test_the_page_counts_its_own_rows():
    text = page.PAGE.read_text(encoding="utf-8")
    told = {verdict: int(n) for verdict, n in re.findall(r"^\| (\w+) \| (\d+) \|", text, re.M)}
    rows = re.findall(r"^\| (?:[\d.]+|book ch\d+) \| .* \| (\w+) \| .* \| \[`\w+`\]", text, re.M)
    assert told == Counter(rows)
    assert sum(told.values()) == len(NOTES)
    assert re.search(rf"\b{len(NOTES)} sentences\b", text)


def test_a_stale_page_is_reported_and_not_touched(tmp_path):
    stale = tmp_path / "notes.md"
    stale.write_text("old")
    with pytest.raises(SystemExit) as info:
        page.main(["--check"], stale)
    assert (info.value.code, stale.read_text()) == (1, "old")
    page.main([], stale)
    page.main(["--check"], stale)


@pytest.mark.parametrize(
    "text, cell",
    [
        ("2 * 3 < 7", r"2 \* 3 &lt; 7"),
        ("|x| or `a | b * c < d`", r"\|x\| or `a \| b * c < d`"),
        ("_m and x_i, ~3 [4]", r"\_m and x_i, \~3 \[4\]"),
    ],
)
def test_signs_that_markdown_would_take_for_its_own(text, cell):
    assert page.escaped(text) == cell
