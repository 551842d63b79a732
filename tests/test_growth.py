"""What is drawn and said of cost against work: sizes, ways, slopes."""

import math

import pytest
import torch

from dlbook_torch import nn
from dlbook_torch.bench import growth
from dlbook_torch.nn.algorithm import WAYS, chosen
from dlbook_torch.parity.checks import tensors

WORKS = [1, 2, 4, 8, 16, 32]


@pytest.mark.parametrize("power", [0, 0.5, 1, 2])
def test_slope_is_the_power_of_the_work_that_a_cost_follows(power):
    assert growth.slope(WORKS, [3 * w**power for w in WORKS]) == pytest.approx(power)


def test_slope_is_that_of_the_largest_sizes_that_have_a_cost():
    call = [5.0, 5.0, *WORKS[2:]]  # below, a call costs more than its work
    assert growth.slope(WORKS, call) == pytest.approx(1)
    assert growth.slope([*WORKS, 64], [*call, math.nan]) == pytest.approx(1)
    assert math.isnan(growth.slope(WORKS, [math.nan] * 4 + [1, 2]))


def test_work_is_counted_in_pixels_and_cells():
    assert growth.Point("side", 8).work == 64
    assert growth.Point("kernel", 3).work == 9
    assert growth.Point("images", 8).work == growth.Point("Adam", 8).work == 8


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_every_way_that_is_made_for_a_convolution_is_drawn_and_gives_its_numbers(kernel):
    calls = growth.Point("kernel", kernel).calls()
    assert list(calls)[:2] == ["torch", "unfold"]
    assert ("winograd" in calls) == (kernel == 3)
    wanted = calls["torch"]()
    for name, call in calls.items():
        assert name == "torch" or name in WAYS["convolution"]
        for ours, theirs in zip(tensors(call()), tensors(wanted), strict=True):
            scale = theirs.abs().max()
            torch.testing.assert_close(ours / scale, theirs / scale, rtol=0, atol=1e-4)
    assert chosen("convolution") == "auto"


def test_a_way_is_gone_in_the_forward_that_is_measured(monkeypatch):
    calls, seen = growth.Point("images", 1).calls(), []
    forward = nn.Conv2d.forward
    monkeypatch.setattr(
        nn.Conv2d, "forward", lambda s, x: seen.append(s.algorithm(x)) or forward(s, x)
    )
    for name in calls:
        calls[name]()
    assert seen == list(calls)[1:]


@pytest.mark.parametrize("rule", growth.RULES)
def test_the_first_step_of_a_rule_makes_its_memory_anew(rule):
    for call in growth.Point(rule, 64).calls(first=True).values():
        call()
        call()


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(growth, "GROWING", {"images": (1, 2, 3), "kernel": (1, 3)})
    monkeypatch.setattr(growth, "BASE", dict(images=1, channels=2, side=8, kernel=3))
    monkeypatch.setattr(growth, "PARAMETERS", (64, 128, 256))
    monkeypatch.setattr(growth, "apart", map)  # in this process


def test_everything_is_measured_at_every_size_drawn_and_told(small, tmp_path):
    threads = torch.get_num_threads()
    try:
        found = [figures for point in growth.measure(rounds=1) for figures in point]
    finally:
        torch.set_num_threads(threads)
    growth.draw(found).savefig(tmp_path / "growth.png")
    table = growth.table(found, rounds=1)
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    what, by = (list(table.columns[i].cells) for i in (0, 3))
    told = set(zip(what, by, strict=True))
    assert {("images", "unfold"), ("images", "winograd"), ("kernel", "ones")} <= told
    assert {(rule, name) for rule in growth.RULES for name in ("torch", "ours")} <= told
    slopes = dict(zip(zip(what, by, strict=True), table.columns[5].cells, strict=True))
    assert slopes["images", "unfold"]
    assert not slopes["kernel", "unfold"]  # of two sizes, any line is one


def test_a_figure_has_a_panel_of_time_and_one_of_memory_for_all_that_grows():
    found = [
        dict(grows=grows, size=n, work=n, name=name, ms=n, mb=n if n > 1 else math.nan)
        for grows in ("images", "channels", "Adam")
        for name in ("torch", "unfold")
        for n in (1, 2, 4)
    ]
    figure = growth.draw(found)
    panels = [axes for axes in figure.axes if axes.axison]
    labels = [axes.get_xlabel() for axes in panels]
    assert labels == 2 * ["images", "input channels"] + 2 * ["parameters (Adam)"]
    assert all(axes.get_xscale() == axes.get_yscale() == "log" for axes in panels)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["torch", "unfold", "slope 1"]
    unmeasured = growth.draw([f | {"mb": math.nan} for f in found])  # where nobody counts it
    assert len([axes for axes in unmeasured.axes if axes.axison]) == 3
    figure.draw_without_rendering()
    unmeasured.draw_without_rendering()
