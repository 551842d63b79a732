"""Pages of a real TensorBoard, as a user sees them."""

import math
import shutil

import numpy as np
import pytest
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from scripts import screenshot

needs_browser = pytest.mark.skipif(
    not any(map(shutil.which, screenshot.BROWSERS)),
    reason="Chromium is not installed (Debian: apt-get install chromium fonts-dejavu-core)",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The event files of a run that overfits, in the shape that training writes them."""
    folder = tmp_path_factory.mktemp("runs")
    for stage, rise in (("train", 0.0), ("val", 0.02)):
        with SummaryWriter(folder / stage) as writer:
            for epoch in range(1, 31):
                writer.add_scalar("loss", math.exp(-epoch / 6) + rise * epoch, epoch)
                writer.add_scalar("accuracy", 1 - math.exp(-epoch / 6) - rise, epoch)
    with SummaryWriter(folder) as writer:
        writer.add_custom_scalars({"Learning curves": {"loss": ["Multiline", ["^loss$"]]}})
    return folder


def hues(path, box):
    """Number of coloured pixels in a part of a picture, by hue (12 of them)."""
    with Image.open(path) as image:
        assert image.size == (1500, 1000)
        hue, saturation, value = np.moveaxis(np.asarray(image.crop(box).convert("HSV")), 2, 0)
    return np.histogram(hue[(saturation > 60) & (value > 60)], bins=12, range=(0, 256))[0]


@needs_browser
def test_both_curves_are_drawn_on_one_chart(run, tmp_path):
    pictures = screenshot.save_pictures(run, tmp_path, ["timeseries", "custom_scalars"])
    assert [path.name for path in pictures] == ["timeseries.png", "custom_scalars.png"]
    for path, box in zip(pictures, [(375, 210, 690, 450), (430, 150, 720, 340)], strict=True):
        pixels = hues(path, box)
        assert (pixels > 60).sum() == 2, f"{path.name}: {pixels}"


@needs_browser
def test_page_without_data_is_given_up(run, tmp_path, monkeypatch):
    monkeypatch.setattr(screenshot, "PATIENCE", 2.0)
    with pytest.raises(TimeoutError, match="data for the page images was not ready after 2 s"):
        screenshot.save_pictures(run, tmp_path, ["images"])


def test_missing_run_and_missing_browser_are_named(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as info:
        screenshot.main([str(tmp_path / "nowhere")])
    assert info.value.code == 1
    assert str(tmp_path / "nowhere") in capsys.readouterr().err
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"none of chromium, .* is installed"):
        screenshot.save_pictures(tmp_path, tmp_path / "out")
