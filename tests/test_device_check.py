"""The check of a device reports what happens, and ours needs nothing that a device may lack."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dlbook_torch import optim
from dlbook_torch.bench import device, device_checks
from dlbook_torch.bench.device import ABSENT, FAILED, OK, SKIPPED, Check, NotSupported, Row, Skipped
from dlbook_torch.diagnostics.stats import Record, Seen
from dlbook_torch.pages import marks
from dlbook_torch.parity import checks
from dlbook_torch.parity.cases import CASES, RULES
from dlbook_torch.parity.checks.base import differentiable, enterable, run


def raises(error):
    raise error


OUTCOMES = [
    (lambda: "3 seen", OK, "3 seen"),
    (lambda: raises(NotSupported("MPS has no float64")), ABSENT, "MPS has no float64"),
    (lambda: raises(checks.TorchRefuses("no kernel")), ABSENT, "no kernel"),
    (lambda: raises(Skipped("no files")), SKIPPED, "no files"),
    (lambda: raises(AssertionError("3 is not 4\nat all")), FAILED, "3 is not 4"),
    (lambda: raises(KeyError), FAILED, "KeyError"),
]


@pytest.mark.parametrize("run, outcome, note", OUTCOMES)
def test_whatever_a_check_does_becomes_a_row(run, outcome, note):
    row = device.tried(Check("it", run))
    assert (row.what, row.outcome, row.note) == ("it", outcome, note)
    assert row.seconds >= 0


@pytest.mark.parametrize("run, outcome, note", OUTCOMES)
def test_only_a_failure_ends_with_1(run, outcome, note, monkeypatch, capsys):
    monkeypatch.setattr(device, "plan", lambda *args: [Check("[it]", run)])
    with pytest.raises(SystemExit) as end:
        device.main(["--device", "cpu"])
    assert end.value.code == (1 if outcome == FAILED else 0)
    shown = capsys.readouterr().out
    assert "[it]" in shown
    assert f"1 {outcome}" in shown


def test_markdown_renews_the_table_of_its_device_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "plan", lambda *args: [Check("a|b", lambda: "3 seen")])
    file = tmp_path / "x.md"
    both = "\n".join(m for d in ("cpu", "cuda") for m in marks(f"device {d}"))
    file.write_text(f"above\n{both}\nbelow\n")
    with pytest.raises(SystemExit):
        device.main(["--device", "cpu", "--markdown", str(file)])
    text = file.read_text()
    assert r"| a\|b | ok | 0.0 | 3 seen |" in text
    assert text.startswith("above\n<!-- device cpu -->\n| what |")
    assert text.endswith("<!-- device cuda -->\n<!-- /device cuda -->\nbelow\n")


@pytest.mark.parametrize(
    "args, sentence",
    [
        (["--device", "tpu"], "invalid choice: 'tpu'"),
        (
            ["--device", "cpu", "--markdown", "nowhere.md"],
            "nowhere.md: there is no <!-- device cpu -->",
        ),
    ],
)
def test_bad_arguments_end_with_one_sentence(args, sentence, capsys):
    with pytest.raises(SystemExit) as end:
        device.main(args)
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]


def test_a_device_that_is_not_there_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(device.torch, "empty", lambda *args, **options: raises(RuntimeError("no")))
    with pytest.raises(SystemExit) as end:
        device.main(["--device", "cuda"])
    assert end.value.code == 2
    assert "--device cuda: no" in capsys.readouterr().err


def test_a_training_without_its_data_is_skipped(monkeypatch, tmp_path):
    monkeypatch.setenv("DLBOOK_DATA", str(tmp_path))
    by_name = {check.what: check for check in device.plan("cpu")}
    row = device.tried(by_name["training, ch07/mnist_convnet"])
    assert (row.outcome, row.note) == (SKIPPED, "the files of MNIST are not on this machine")


def test_every_configuration_is_in_the_plan():
    plans = [[check.what for check in device.plan("cpu", quick)] for quick in (True, False)]
    configs = {
        f"training, {p.parent.name}/{p.stem}" for p in device_checks.ROOT.glob("configs/ch*/*.yaml")
    }
    assert all(configs < set(plan) for plan in plans)
    assert set(plans[0]) < set(plans[1])


def test_what_mps_has_not_is_said_and_not_tried():
    by_name = {check.what: check for check in device.plan("mps")}
    for what in ("parity ledger, float64", "training, precision 64-true"):
        assert device.tried(by_name[what]) == Row(
            what, ABSENT, device_checks.NO_FLOAT64, pytest.approx(0, abs=1)
        )


CHEAP = [
    "scaler, overflow",
    "update rules, foreach",
    "random numbers",
    "saved there, loaded on the CPU",
]


@pytest.mark.parametrize(
    "what",
    [
        *CHEAP,
        "training, against torch's layers",
        "autocast, bfloat16",
        "autocast, float16 and a scaler",
    ],
)
def test_the_cheap_rows_hold_on_a_cpu(what):
    row = next(
        device.tried(check) for check in device.plan("cpu", quick=True) if check.what == what
    )
    assert row.outcome == OK, row.note


def still(self, closure=None):
    """A rule that does not move."""


def test_an_unfit_rule_fails_its_rows(monkeypatch):
    monkeypatch.setattr(optim.Adam, "step", still)
    rows = [
        device.tried(check) for check in device.plan("cpu", quick=True) if "foreach" in check.what
    ]
    assert [row.outcome for row in rows] == [FAILED]


def test_dropout_that_ignores_the_seed_fails(monkeypatch):
    masks = iter(range(9))
    monkeypatch.setattr(device_checks.nn.Dropout, "forward", lambda self, x: x * next(masks))
    row = device.tried(Check("", lambda: device_checks.randomness("cpu")))
    assert (row.outcome, row.note) == (FAILED, "the same seed gives another mask")


class NoFloat64(TorchDispatchMode):
    """A device that refuses float64, as MPS does."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if any(
            isinstance(t, torch.Tensor) and t.dtype == torch.float64 for t in tree_leaves(result)
        ):
            raise TypeError(f"{func} makes a float64 tensor")
        return result


def test_the_refusal_of_float64_is_noticed():
    with NoFloat64(), pytest.raises(TypeError, match="float64"):
        torch.ones(2).double()


ASKS = {"Upsample", "UpsamplingNearest2d", "UpsamplingBilinear2d"}  # float64, except on MPS


@pytest.mark.parametrize("name", sorted({case.name for case in CASES} - ASKS))
def test_no_layer_needs_float64_for_float32(name):
    for case in (case for case in CASES if case.name == name):
        ours, _ = case.twins(torch.float32)
        inputs = case.inputs(torch.float32)
        with NoFloat64():
            results = differentiable(run(ours, enterable(ours, inputs)))
            for y in results:
                y.sum().backward(retain_graph=True)


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("rule", [r for r in RULES if not r.tensors()], ids=str)
def test_no_rule_needs_float64_for_float32(rule, foreach):
    params, moved = rule.build(optim, torch.float32, foreach=foreach)
    for p in params:
        p.grad = torch.ones_like(p)
    with NoFloat64():
        moved.step()
        moved.step()


def test_the_monitor_fetches_without_float64():
    seen = Seen(values={"gradient_norm": [torch.tensor(0.1), torch.tensor(2.0**-130)]})
    half = Seen(values={"gradient_norm": [torch.tensor(0.5, dtype=torch.bfloat16)]})
    with NoFloat64():
        Record({"a": seen, "b": half}).fetch()
    assert seen.values["gradient_norm"] == [torch.tensor(0.1).item(), 2.0**-130]
    assert half.values["gradient_norm"] == [0.5]


def test_the_monitor_keeps_the_digits_of_float64():
    seen = Seen(values={"gradient_norm": [torch.tensor(0.1, dtype=torch.float64), torch.tensor(1)]})
    Record({"a": seen}).fetch()
    assert seen.values["gradient_norm"] == [0.1, 1.0]
