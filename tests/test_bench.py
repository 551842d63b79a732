"""The measurements compare like with like."""

import gc
import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dlbook_torch.bench import cli, data, layers, memory, monitor, optim, peak, timing
from dlbook_torch.optim import compiled
from dlbook_torch.parity.checks import by_lines, tensors
from tests import idx
from tests.idx import use_mnist


def images(batches):
    """Every image with its label, bit for bit, in an order of their own."""
    return sorted(
        (int(label), image.numpy().tobytes())
        for x, t in batches
        for image, label in zip(x, t, strict=True)
    )


def test_both_loaders_give_the_same_images(tmp_path, monkeypatch):
    use_mnist(monkeypatch, tmp_path, train=300)
    names = ["TensorBatches", "torchvision, DataLoader, no worker"]
    ours, theirs = (list(data.contestants()[name]()) for name in names)
    assert [len(x) for x, _ in ours] == [len(x) for x, _ in theirs] == [128, 128, 44]
    assert images(ours) == images(theirs)


def test_throughput_is_the_median(monkeypatch):
    clock = itertools.accumulate([0, 1, 0, 2, 0, 4])  # rounds of 1, 2 and 4 s
    monkeypatch.setattr(data, "perf_counter", lambda: next(clock))
    epochs = {"one": lambda: [(torch.zeros(n), torch.zeros(n)) for n in (6, 2)]}
    assert data.throughput(epochs, rounds=3) == {"one": 4.0}


def test_every_form_of_a_rule_takes_the_same_step(monkeypatch):
    made = []

    def parameters():
        torch.manual_seed(0)
        made.append([torch.randn(shape).requires_grad_() for shape in ((3, 2), (4,))])
        for p in made[-1]:
            p.grad = torch.randn_like(p)
        return made[-1]

    monkeypatch.setattr(optim, "parameters", parameters)
    monkeypatch.setattr(compiled, "compiled", by_lines)
    start = parameters()
    for name in optim.RULES:
        made.clear()
        for form in optim.forms(name, compiled=True):
            optim.step(name, form)()
        assert len(made) in (5, 6), name  # not every rule of torch's has a fused form
        assert not torch.equal(made[0][0], start[0]), name
        for others in made[1:]:
            torch.testing.assert_close(others, made[0])


def test_parameters_are_those_of_resnet18():
    params = optim.parameters()
    assert (len(params), sum(p.numel() for p in params)) == (62, 11_689_512)


def test_rules_are_measured_in_every_form_against_torchs_default(monkeypatch):
    class Clock:
        """In place of a process: a step of ours takes half as long as one of torch's."""

        def __init__(self, name, form):
            self.seconds = 0.5 if form == "ours" else 1.0

        def __call__(self, times=1):
            return times * self.seconds

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(optim, "Apart", Clock)
    found = list(optim.measure(["SGD", "ASGD"], rounds=3))
    assert [f["form"] for f in found if f["rule"] == "SGD"] == optim.forms("SGD")
    of = {(f["rule"], f["form"]): f for f in found}
    assert of["ASGD", "ours"] == dict(
        rule="ASGD", form="ours", ratio=0.5, low=0.5, high=0.5, ms=500
    )
    assert of["SGD", "torch fused"]["ratio"] == 1
    shown = optim.table(found, 3)
    assert [str(column.header) for column in shown.columns][:2] == ["rule", "torch, ms"]
    ours = next(c for c in shown.columns if c.header == "ours")
    assert list(ours.cells) == ["0.50 (0.50 to 0.50), 500.0"] * 2


def test_step_is_timed_in_a_process_of_its_own():
    with optim.Apart("SGD", "torch") as apart:
        assert apart(2) > 0
        assert apart.process.is_alive()
    assert apart.process.exitcode == 0


def test_cost_of_the_monitors_is_the_median_ratio_in_the_same_round():
    steps = [(0.001, 0.001, 0.0011), (0.002, 0.002, 0.0022), (0.004, 0.003, 0.008)]
    rounds = [{f: (s, 0.01) for f, s in zip(monitor.FORMS, row, strict=True)} for row in steps]
    found = monitor.costs(rounds)
    assert found[monitor.BASE] == pytest.approx((2, 1, 10))
    assert found[monitor.BOTH] == pytest.approx((2.2, 1.1, 10))


def test_the_monitors_watch_every_third_epoch_alone(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    epochs = []

    class Spy(monitor.NetworkMonitor):
        def on_train_batch_start(self, trainer, *args):
            super().on_train_batch_start(trainer, *args)
            epochs.append(trainer.current_epoch)

    monkeypatch.setattr(monitor, "NetworkMonitor", Spy)
    (times,) = monitor.watch(monitor.digits, rounds=1)
    assert set(times) == set(monitor.FORMS)
    assert len(set(epochs)) == 2
    assert all(step > 0 and rest > 0 for step, rest in times.values())


def test_growth_is_from_a_tenth_of_the_steps_to_the_end():
    start = [(100, 900.0), (900, 950.0)]
    early = [(1000, 100.0), (1200, 300.0), (1500, 101.0)]
    late = [(1600, 700.0), (9400, 700.0), (9500, 105.0), (9700, 106.0), (10_000, 300.0)]
    assert memory.growth([*start, *early, *late], 10_000) == (101, 106, pytest.approx(500 / 101))


@pytest.mark.skipif(not memory.STATM.exists(), reason="the system does not tell a process's memory")
def test_what_is_allocated_is_seen():
    spy = memory.Resident(every=2)
    spy.on_train_batch_end(SimpleNamespace(global_step=2))
    block = torch.ones(20_000_000)
    for step in (3, 4):
        spy.on_train_batch_end(SimpleNamespace(global_step=step))
    (first, before), (second, after) = spy.samples
    assert (first, second) == (2, 4)
    assert after - before == pytest.approx(block.nbytes / 1e6, rel=0.2)


@pytest.mark.skipif(not memory.STATM.exists(), reason="the system does not tell a process's memory")
def test_a_training_with_all_monitors_keeps_no_tensor_of_a_past_epoch(monkeypatch, tmp_path):
    counts, events = [], []

    def count(self, trainer, module):
        gc.collect()
        counts.append(sum(type(x) is torch.Tensor for x in gc.get_objects()))
        events.append(memory.event_bytes(Path(trainer.default_root_dir)))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory.Resident, "on_train_epoch_end", count)
    config = str(Path(__file__).parents[1] / memory.CONFIG)
    samples, size = memory.watch(120, config)
    assert [step for step, _ in samples] == list(range(1, 121))
    assert len(counts) == 6
    assert max(counts[2:]) == min(counts[2:])
    assert 0 < events[2] < events[-1] <= size
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "args, sentence",
    [
        (["rules", "Adamm"], "no rule Adamm"),
        (["rules", "--rounds", "0"], "from 1, got 0"),
        (["layers", "Conv4d"], "no layer Conv4d"),
        (["layers", "--dtype", "int8"], "invalid choice: 'int8'"),
        (["data", "--json", "/nowhere/a.json"], "--json /nowhere/a.json: there can be no such"),
        (["data", "--markdown", idx.__file__], "idx.py: there is no <!-- bench-data -->"),
        (["memory", "--steps", "19"], "from 20, got 19"),
    ],
)
def test_bad_arguments_end_with_one_sentence(args, sentence, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(args)
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err


def test_times_are_ratios_to_the_first_in_the_same_round():
    """The first takes 2, 4, 10 s, the second 1, 4, 30: half, as long, and three times as long."""
    lasts = {len: iter([1, 2, 4, 10]), max: iter([0.5, 1, 4, 30])}  # the first decides how often
    calls = {len: lambda: None, max: lambda: None}
    kinds = {call: kind for kind, call in calls.items()}

    def clock(call, times):
        assert times == 1
        return next(lasts[kinds[call]])

    found = timing.interleaved({"torch": calls[len], "ours": calls[max]}, 3, 0.4, clock)
    assert found["torch"] == timing.Timing(1, 1, 1, 4000)
    assert found["ours"] == timing.Timing(1, 0.5, 3, 4000)


def test_a_short_call_is_timed_many_times_a_round():
    seen = []

    def clock(call, times):
        seen.append(times)
        return 0.001 * times

    (found,) = timing.interleaved({"torch": list}, 2, 0.02, clock).values()
    assert seen == [1, 20, 20]
    assert found.ms == pytest.approx(1)


def test_both_layers_of_a_row_do_the_same():
    rows = [row for row in layers.SIZES if row.case.name in ("MSELoss", "Tanh", "Linear")]
    for row in rows:
        calls = row.calls(torch.float64, "cpu")
        ours, theirs = (calls[name]() for name in (layers.OURS, layers.THEIRS))
        assert len(tensors(ours)) > 0
        torch.testing.assert_close(ours, theirs)


def test_every_layer_that_a_shape_is_enough_for_has_a_row():
    names = {row.case.name for row in layers.rows()}
    assert {"Conv2d", "Conv3d", "MaxPool2d", "ELU", "L1Loss", "Upsample"} <= names
    assert not {"MultiheadAttention", "MaxUnpool2d"} & names


def test_the_first_layer_of_a_network_needs_no_gradient_of_its_input():
    (row,) = (row for row in layers.SIZES if row.first and row.case.shape[1] == 1)
    weight, bias = row.calls(torch.float32, "cpu")[layers.OURS]()
    assert (weight.shape, bias.shape) == ((30, 1, 5, 5), (30,))


def test_mean_of_twice_as_slow_and_twice_as_fast_is_one():
    assert layers.geometric_mean([2.0, 0.5]) == pytest.approx(1)


@pytest.mark.skipif(not memory.STATM.exists(), reason="the system does not tell a process's memory")
def test_peak_is_what_a_call_needs_at_its_highest_point():
    """40 MB, freed, then 20 MB, kept: the first is the highest point."""
    (mb,) = peak.apart(peak.peak, [needs_forty_megabytes])
    assert mb == pytest.approx(40, rel=0.05)


def needs_forty_megabytes():
    torch.ones(10_000_000)
    return torch.ones(5_000_000)


def test_a_table_becomes_a_page_between_its_markers(tmp_path, capsys):
    page, figures = tmp_path / "page.md", tmp_path / "figures.json"
    page.write_text("before\n<!-- bench-layers -->\nold\n<!-- /bench-layers -->\nafter\n")
    cli.main(["layers", "Identity", "--rounds", "2", "--markdown", str(page), f"--json={figures}"])
    assert "Identity()" in capsys.readouterr().out
    lines = page.read_text().splitlines()
    head, rule, row = (line for line in lines if line.startswith("|"))
    assert (lines[0], lines[-1]) == ("before", "after")
    assert head.startswith("| layer | ours / torch |")
    assert rule.startswith("| --- | ---: |")
    assert row.startswith("| Identity() on 209715 x 5 |")
    assert "old" not in lines
    (found,) = json.loads(figures.read_text())["layers"]
    assert found["eager_low"] <= found["eager"] <= found["eager_high"]
    assert 0 <= found["mb"] < 1  # it hands its input on
