"""A row of the table of what the notes say: the sentence, the verdict, and a check of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["right", "rounded", "wrong", "conditional"]
Check = Callable[[], None]


@dataclass(frozen=True)
class Note:
    """What one place of the notes (or of the book's code) says, and what is true."""

    section: str
    says: str
    verdict: Verdict
    truth: str
    check: Check

    def __str__(self) -> str:
        return f"{self.section}-{self.check.__name__}"


NOTES: list[Note] = []


def note(section: str, says: str, verdict: Verdict, truth: str) -> Callable[[Check], Check]:
    """Enter a check into the table; it runs as ``pytest tests/test_notes.py -k <section>``."""

    def enter(check: Check) -> Check:
        NOTES.append(Note(section, says, verdict, truth, check))
        return check

    return enter
