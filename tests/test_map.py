"""The map in the README is made from the code, and up to date."""

import re
import shutil

import pytest

from dlbook_torch import nn, optim
from scripts import map as notes_map

ROOT = notes_map.ROOT


def test_map_in_the_readme_is_fresh():
    notes_map.main(["--check"])


def test_every_link_leads_to_a_file():
    links = re.findall(r"\]\((.+?)\)", notes_map.table())
    assert len(links) > 50
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_every_layer_and_rule_is_on_the_map_and_has_a_test():
    rows = [line.split(" | ") for line in notes_map.table().splitlines()[2:]]
    tested = {row[1].strip("`") for row in rows if "tests/test_" in row[3]}
    own = {
        name
        for library in (nn, optim)
        for name in library.__all__
        if getattr(getattr(library, name), "__module__", "").startswith("dlbook_torch")
    }
    assert own <= tested


WAVE = '''
def wave():
    """W.

    Source: notes 3.2,
    6.10, where ``_hidden`` is.
    """

def _hidden():
    """Source: notes 3.2."""

def other():
    """No source, only notes 3.2."""
'''


@pytest.fixture
def copy(tmp_path):
    """A project of two concepts."""
    for folder, name, text in [
        ("dlbook_torch", "wave.py", WAVE),
        ("dlbook_torch", "later.py", 'class Later:\n    """L.\n\n    Source: notes 6.2.\n    """'),
        ("configs/ch03", "a.yaml", "# notes 6.10: a run\n# notes 3.2"),
        ("configs/ch03", "b.yaml", "# notes 3.20: another"),
        ("configs/ch06", "c.yaml", "# notes 4.2, 6: a chapter"),
        ("configs/experiments", "d.yaml", "# notes 6.2, 6.10: a claim"),
        ("dlbook_torch/experiment/studies", "wave.py", WAVE),
        ("tests", "test_sea.py", "from dlbook_torch import wave"),
        ("tests", "test_air.py", "microwave"),
        (".", "README.md", "# Title\n\n<!-- map -->\nold\n<!-- /map -->\nend\n"),
    ]:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / name).write_text(text)
    return tmp_path


def test_map_of_a_small_project(copy):
    notes_map.main([], copy)
    assert (copy / "README.md").read_text().splitlines()[4:] == [
        "|---|---|---|---|---|---|",
        "| 3.2, 6.10 | `wave` | [wave.py](dlbook_torch/wave.py) "
        "| [test_sea.py](tests/test_sea.py) "
        "| [a](configs/ch03/a.yaml)<br>[c](configs/ch06/c.yaml) "
        "| [d](configs/experiments/d.yaml) |",
        "| 6.2 | `Later` | [later.py](dlbook_torch/later.py) |  | [c](configs/ch06/c.yaml) "
        "| [d](configs/experiments/d.yaml) |",
        "<!-- /map -->",
        "end",
    ]


def test_stale_map_is_reported_and_not_touched(copy):
    before = (copy / "README.md").read_text()
    with pytest.raises(SystemExit) as info:
        notes_map.main(["--check"], copy)
    assert info.value.code == 1
    assert (copy / "README.md").read_text() == before
    notes_map.main([], copy)
    notes_map.main(["--check"], copy)
    shutil.copy(ROOT / "LICENSE", copy / "README.md")
    with pytest.raises(ValueError, match="there is no <!-- map -->"):
        notes_map.main([], copy)
