"""The ledger prints what the checks see, and its exit code tells."""

import json

import pytest
import torch

from dlbook_torch.nn import activation
from dlbook_torch.parity import ledger
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
    (line,) = json.loads(files[0].read_text())
    assert line["name"] == "Softmax"
    assert line["cases"] == sum(case.name == "Softmax" for case in CASES)
    assert not line["failures"]
    assert files[1].read_text().splitlines()[2].endswith("| equal |")


def test_wrong_layer_turns_the_ledger_red(capsys, monkeypatch):
    """A sigmoid whose derivative forgets a factor: every derivative check has to see it."""
    monkeypatch.setattr(activation._Sigmoid, "backward", lambda ctx, dy: dy * ctx.saved_tensors[0])
    code, shown = run(capsys, "--only", "Sigmoid")
    assert code == 1
    assert "input 0.grad" in shown.out
    assert "first_derivative train" in shown.out


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
