"""Every number, formula and claim of the notes: right, rounded, wrong or conditional."""

import pytest

from .notes.base import NOTES


@pytest.mark.parametrize("note", NOTES, ids=str)
def test_notes(note):
    note.check()
