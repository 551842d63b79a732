"""The ledger prints what the checks see, and its exit code tells."""

import json

import pytest
import torch

from dlbook_torch.nn import activation
from dlbook_torch.parity import checks, ledger, promises
from dlbook_torch.parity.cases import CASES


def run(capsys, *args):
    with pytest.raises(SystemExit) as info:
        ledger.main(list(args))
    return info.value.code, capsys.readouterr()


def test_ledger_of_one_layer(capsys, tmp_path):
    files = tmp_path / "ledger.json", tmp_path / "ledger.md"
    code, shown = run(
        capsys, "--only", "Softmax", "--json", str(files[0]), "--markdown", str(files[1])
    )
    assert code == 0
    assert "0 failed" in shown.out
    assert "worst ulp: float64" in shown.out
    (line,) = json.loads(files[0].read_text())
    assert line["name"] == "Softmax"
    assert line["cases"] == sum(case.name == "Softmax" for case in CASES)
    assert line["columns"] == dict.fromkeys(ledger.COLUMNS, "ok")
    assert set(line["errors"]) == set(ledger.DTYPES)
    assert not line["failures"]
    assert files[1].read_text().splitlines()[2].endswith("| equal |")
    assert "worst ulp" in files[1].read_text()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_other_types_are_asked_for_numbers_only(capsys, tmp_path, dtype):
    code, _ = run(capsys, "--only", "ReLU", "--dtype", dtype, "--json", str(tmp_path / "a"))
    (line,) = json.loads((tmp_path / "a").read_text())
    assert code == 0
    assert list(line["errors"]) == [dtype]
    assert set(line["errors"][dtype]) == {"output", "output ulp", "gradient", "gradient ulp"}
    assert not line["columns"]


def test_markdown_goes_between_the_markers_and_nowhere_else(capsys, tmp_path):
    readme = tmp_path / "README.md"
    text = f"before\n{ledger.START}\nold\n{ledger.END}\nafter\n"
    readme.write_text(text)
    call = ("--only", "ReLU", "--dtype", "float32", "--markdown", str(readme))
    assert run(capsys, *call)[0] == 0
    written = readme.read_text()
    assert written.startswith(f"before\n{ledger.START}\n| notes | ours |")
    assert written.endswith(f"\n{ledger.END}\nafter\n")
    assert "old" not in written
    assert run(capsys, *call)[0] == 0
    assert readme.read_text() == written
    for incomplete in (text.replace(ledger.END, ""), text.replace(ledger.START, ""), "my notes\n"):
        readme.write_text(incomplete)
        code, shown = run(capsys, *call)
        assert code == 2
        assert str(readme) in shown.err
        assert readme.read_text() == incomplete


def test_what_torch_refuses_is_told_and_is_no_failure(capsys, tmp_path):
    run(capsys, "--only", "ReLU", "--json", str(tmp_path / "a"))
    (line,) = json.loads((tmp_path / "a").read_text())
    assert [story for story in line["refused"] if "factory: TypeError" in story]
    assert not [story for story in line["failures"] if "factory" in story]


def test_tensor_cores_round_only_outside_of_the_ledger():
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32
    cudnn.allow_tf32 = True
    try:
        with ledger.full_precision():
            assert not cudnn.allow_tf32
        assert cudnn.allow_tf32
    finally:
        cudnn.allow_tf32 = before


def test_lines_tell_what_was_kept_broken_and_refused():
    def refuse(row):
        raise checks.TorchRefuses("never")

    def fail(row):
        raise AssertionError("wrong\nand long")

    line = ledger.Line("1", "Layer")
    for check in (refuse, lambda row: None):
        line.keep(promises.Promise("p", check, column="compile"), "row")
        assert line.columns["compile"] == ("refused" if check is refuse else "ok")
    for check in (fail, lambda row: {"output": 2.0, "output ulp": 1.0}):
        line.keep(promises.Promise("q", check, column="state", dtype="float64"), "row")
        assert line.columns["state"] == "FAILED"
    assert line.failures == ["row: q: wrong"]
    assert line.refused == ["row: p: never"]
    assert ledger.total([line]) == "4 checks, 1 failed, 1 that torch's own layer refuses"
    assert ledger.worst([line]) == "worst ulp: float64 1 (Layer)"


def test_wrong_layer_turns_the_ledger_red(capsys, monkeypatch):
    """A sigmoid whose derivative forgets a factor: every derivative check has to see it."""
    monkeypatch.setattr(activation._Sigmoid, "backward", lambda ctx, dy: dy * ctx.saved_tensors[0])
    code, shown = run(capsys, "--only", "Sigmoid")
    assert code == 1
    assert "input 0.grad" in shown.out
    assert "gradcheck-train" in shown.out


def test_layer_that_borrows_the_kernel_turns_the_ledger_red(capsys, monkeypatch):
    monkeypatch.setattr(activation._Sigmoid, "forward", lambda x: torch.sigmoid(x))
    code, shown = run(capsys, "--only", "Sigmoid")
    assert code == 1
    assert "Sigmoid calls sigmoid" in shown.out


@pytest.mark.parametrize("args", [("--device", "abacus"), ("--only", "Conv9d")])
def test_senseless_command_is_refused_in_one_sentence(capsys, args):
    code, shown = run(capsys, *args)
    assert code == 2
    assert args[1] in shown.err
    assert "Traceback" not in shown.err
