"""The planter of mistakes: it tells a killed mutant from a living one, and its list never rots."""

import ast
import shlex
from dataclasses import replace

import pytest

from dlbook_torch.parity.mutants import MUTANTS
from scripts import mutants

STEP = next(m for m in MUTANTS if m.name == "step: fires at the threshold")
HARMLESS = replace(STEP, name="a remark", new=f"{STEP.old}  # not at zero itself")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    for name in mutants.ONE_THREAD:
        monkeypatch.setenv(name, "1")


def run(capsys, *args, **kwargs):
    with pytest.raises(SystemExit) as info:
        mutants.main(list(args), **kwargs)
    return info.value.code, capsys.readouterr()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_can_be_planted(mutant):
    code = mutant.planted(mutants.ROOT)
    assert ast.dump(ast.parse(code)) != ast.dump(
        ast.parse((mutants.ROOT / mutant.file).read_text(encoding="utf-8"))
    )
    assert (mutants.ROOT / shlex.split(mutant.tests)[0]).is_file()


def test_no_mutant_stands_twice():
    assert len({m.name for m in MUTANTS}) == len({(m.file, m.old, m.new) for m in MUTANTS})
    assert len({m.name for m in MUTANTS}) == len(MUTANTS)


def test_mutants_are_killed_in_a_copy_of_the_project(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    file = mutants.ROOT / STEP.file
    before = file.read_text(encoding="utf-8")
    code, shown = run(capsys, "--only", "perceptron.py")
    assert code == 0
    assert shown.out.count("test_perceptron.py::test_") == 4
    assert "4 of 4 mutants killed" in shown.out
    assert file.read_text(encoding="utf-8") == before


def test_survivor_turns_the_score_red(capsys):
    code, shown = run(capsys, mutants=[HARMLESS])
    assert code == 1
    assert f"a remark: survived pytest {STEP.tests}" in shown.out
    assert "0 of 1 mutants killed" in shown.out


@pytest.mark.parametrize(
    "change, sentence",
    [
        (dict(old="no such text"), "stale: its text stands 0 times in dlbook_torch/nn/perceptron"),
        (dict(old="return"), "times in dlbook_torch/nn/perceptron.py, not once"),
        (dict(new="return ("), "is no Python"),
        (dict(tests="tests/test_perceptron.py -k Gamba"), "no test ran"),
    ],
    ids=["gone", "ambiguous", "syntax", "untested"],
)
def test_mutant_that_cannot_be_planted_is_an_error(capsys, change, sentence):
    code, shown = run(capsys, mutants=[replace(STEP, **change)])
    assert code == 1
    assert sentence in shown.out
    assert "0 of 1 mutants killed" in shown.out


@pytest.mark.parametrize(
    "body, verdict",
    [
        ("pass", ""),
        ("assert False", "test_it.py::test_it"),
        ("while True: pass", "hangs: over 2 s"),
        ("__import__('os')._exit(7)", "crashes: exit code 7"),
    ],
)
def test_verdict_on_what_a_mistake_can_do(tmp_path, monkeypatch, body, verdict):
    monkeypatch.setattr(mutants, "PATIENCE", 2.0 if "while" in body else 60.0)
    (tmp_path / "test_it.py").write_text(f"def test_it():\n    {body}\n")
    assert mutants.failure(tmp_path, "test_it.py") == verdict


def test_mutant_of_red_tests_is_not_planted(tmp_path):
    (tmp_path / "code.py").write_text("x = 1\n")
    (tmp_path / "test_it.py").write_text("def test_it():\n    assert False\n")
    mutant = replace(STEP, file="code.py", old="1", new="2", tests="test_it.py")
    verdict = mutants.verdict(mutant, tmp_path, {})
    assert verdict.trouble.endswith("test_it.py::test_it fails without it")
    assert not verdict.killer


def test_list_names_every_mutant_and_plants_none(capsys):
    mutants.main(["--list", "--only", "BatchNorm.py"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("dlbook_torch/nn/batchnorm.py: batch_norm: biased running variance")
    assert len(lines) == len([m for m in MUTANTS if m.file.endswith("batchnorm.py")])


def test_unknown_name_is_refused_in_one_sentence(capsys):
    code, shown = run(capsys, "--only", "perpetuum mobile")
    assert code == 2
    assert "no mutant has 'perpetuum mobile'" in shown.err
