"""dlbook-diagnose on files: what it prints, writes and returns."""

import json
import subprocess
import sys
from html.parser import HTMLParser
from math import exp, nan
from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from dlbook_torch.diagnostics import CATALOGUE
from dlbook_torch.diagnostics.chart import Axes, nice, wants_log
from dlbook_torch.diagnostics.cli import main, write
from dlbook_torch.diagnostics.show import sparkline

ROOT = Path(__file__).parents[1]
N = 40
FALLING = [2 * exp(-e / 14) + 0.05 for e in range(N)]
TURNING = [1.9 * exp(-e / 8) + 0.15 + 0.02 * max(e - 14, 0) for e in range(N)]
BEST = TURNING.index(min(TURNING))
RESTING = [2 * exp(-e / 4) + 0.1 for e in range(N)]


def csv(path, **columns):
    columns = {"epoch": range(len(next(iter(columns.values()))))} | columns
    rows = [columns, *zip(*columns.values(), strict=True)]
    path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return path


@pytest.fixture
def bad(tmp_path):
    return csv(tmp_path / "bad.csv", train_loss=FALLING, val_loss=TURNING)


@pytest.fixture
def good(tmp_path):
    return csv(tmp_path / "good.csv", train_loss=RESTING, val_loss=[x + 0.02 for x in RESTING])


def objects(capsys, *args):
    """The exit code and the runs that --json prints."""
    code = main([*map(str, args), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["runs"]
    return code, printed["runs"]


# exit codes


def test_nothing_to_change_is_0(good, capsys):
    assert main([str(good)]) == 0
    assert "converged" in capsys.readouterr().out


def test_a_finding_is_1_and_is_shown_with_evidence_and_remedies(bad, capsys):
    assert main([str(bad)]) == 1
    shown = capsys.readouterr().out
    for part in (
        "overfitting",
        f"since epoch {BEST + 1}",
        "running mean",
        "What to try",
        "dropout",
    ):
        assert part in shown
    assert "--model.net" not in shown  # the options of our own training are no help elsewhere


def test_a_notice_is_no_finding(tmp_path, capsys):
    flat = [1.2 * exp(-e / 3) + 0.8 for e in range(N)]
    falling = [1.2 * exp(-e / 30) + 0.8 for e in range(N)]
    code, (run,) = objects(capsys, csv(tmp_path / "x.csv", train_loss=falling, val_loss=flat))
    assert [f["severity"] for f in run["findings"]] == ["notice"]
    assert code == 0
    one = csv(tmp_path / "one.csv", train_loss=[1.0], val_loss=[1.0])
    code, (run,) = objects(capsys, one)
    assert code == 0
    assert run["headline"]["id"] == "too_short"


@pytest.mark.parametrize(
    "text", ["", "epoch,loss\n0,1\n", "\0\0", '{"a": 1}', "[]", "{}", "[1, 2]"]
)
def test_what_cannot_be_read_is_2_and_one_sentence(tmp_path, capsys, text):
    path = tmp_path / "x"
    path.write_text(text)
    assert main([str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith(str(path))


def test_one_unreadable_log_among_others_is_2_and_the_others_are_judged(bad, tmp_path, capsys):
    code, runs = objects(capsys, bad, tmp_path / "nothing")
    assert code == 2
    assert runs[0]["headline"]["id"] == "overfitting"
    assert runs[1] == {
        "path": str(tmp_path / "nothing"),
        "error": f"{tmp_path / 'nothing'} does not exist.",
    }


# --json


def test_json_is_what_the_help_says(bad, capsys):
    code, (run,) = objects(capsys, bad)
    assert code == 1
    assert run["path"] == str(bad)
    assert run["epochs"] == N
    assert run["best_epoch"] == BEST
    assert run["trends"] == {"train": "falling", "val": "rising"}
    assert run["loss"] == {"train": "train_loss", "val": "val_loss", "train_is_measured": False}
    assert run["headline"] == run["findings"][0]
    assert run["headline"].keys() >= {"id", "severity", "confidence", "numbers", "remedies"}
    assert {f["id"] for f in run["findings"]} <= set(CATALOGUE)


def test_losses_that_are_no_numbers_are_valid_json(tmp_path, capsys):
    lost = [*FALLING[:9], *[nan] * 9]
    code, (run,) = objects(capsys, csv(tmp_path / "x.csv", loss=lost, val_loss=lost))
    assert (code, run["headline"]["id"], run["headline"]["since"]) == (1, "diverging", 9)


def test_parts_of_a_loss_are_judged_one_by_one(tmp_path, capsys):
    columns = {"train/box_loss": RESTING, "val/box_loss": RESTING}
    columns |= {"train/cls_loss": FALLING, "val/cls_loss": TURNING, "lr/pg0": [0.1] * N}
    _, (run,) = objects(capsys, csv(tmp_path / "results.csv", **columns))
    verdicts = {part["component"]: part["headline"]["id"] for part in run["components"]}
    assert verdicts == {"box_loss": "converged", "cls_loss": "overfitting"}
    assert run["headline"]["id"] == "overfitting"
    assert {f["component"] for f in run["findings"]} == {"box_loss", "cls_loss"}


def test_what_the_user_knows_changes_the_verdict(tmp_path, capsys):
    guess = [2.31] * N
    path = csv(tmp_path / "x.csv", train_loss=guess, val_loss=guess)
    (without,) = objects(capsys, path)[1]
    (run,) = objects(capsys, path, "--classes", "10")[1]
    assert run["headline"]["id"] == "not_learning"
    assert run["headline"]["confidence"] > without["headline"]["confidence"]
    (run,) = objects(capsys, path, "--measured")[1]
    assert run["loss"]["train_is_measured"]


def test_runs_of_a_folder_are_compared(tmp_path, capsys):
    for name, curve in (("a", TURNING), ("b", RESTING)):
        for stage, values in (("train", FALLING), ("val", curve)):
            with SummaryWriter(str(tmp_path / name / stage)) as writer:
                for e, value in enumerate(values):
                    writer.add_scalar("loss", value, e)
    assert main([str(tmp_path)]) == 1
    shown = capsys.readouterr().out.partition("Runs compared")[2].split()
    assert shown.index("a") < shown.index("overfitting") < shown.index("b")


# files


class Tags(HTMLParser):
    """Which elements a page has, and whether they are closed in order."""

    VOID = {"meta", "br", "hr", "line", "rect", "circle", "path"}

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID | {"td", "tr", "th"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID | {"td", "tr", "th"}:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(bad, good, tmp_path):
    page = tmp_path / "page.html"
    assert main([str(bad), str(good), str(tmp_path / "no"), "--html", str(page)]) == 2
    text = page.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.seen.count("svg") == 2
    assert set(tags.links) == {"#run0", "#run1"}
    assert "@import" not in text
    assert "url(" not in text
    assert "does not exist" in text
    assert "prefers-color-scheme: dark" in text


def test_a_finding_is_marked_at_its_epoch(bad, tmp_path):
    page = tmp_path / "page.html"
    main([str(bad), "--html", str(page)])
    x = Axes(N, 0, 1, False, 860, 330).x(BEST)
    assert f'<line class="mark error" x1="{x:.1f}"' in page.read_text(encoding="utf-8")


def test_names_from_a_log_are_text_on_the_page(tmp_path):
    path = tmp_path / "<b>$x_.csv"
    csv(path, **{"train/<i>_loss": FALLING, "val/<i>_loss": TURNING})
    page, picture = tmp_path / "page.html", tmp_path / "page.png"
    assert main([str(path), "--html", str(page), "--plot", str(picture)]) == 1
    text = page.read_text(encoding="utf-8")
    assert "<b>$x" not in text
    assert "<i>_loss" not in text
    assert "&lt;i&gt;_loss" in text


@pytest.mark.parametrize(
    "ending, start", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_the_picture_is_of_the_kind_its_name_says(bad, tmp_path, ending, start):
    picture = tmp_path / f"x.{ending}"
    main([str(bad), "--plot", str(picture)])
    assert picture.read_bytes().startswith(start)


def test_odd_curves_can_be_drawn(tmp_path):
    odd = {
        "one": [1.0],
        "same": [0.5] * 9,
        "zero": [0.0] * 9,
        "huge": [1.0, 1e308, -1e308, float("inf"), *[2.0] * 6],
        "nothing": [nan] * 9,
        "gaps": [1.0, "", 0.9, "", 0.8, "", 0.7, "", 0.6],
    }
    for name, loss in odd.items():
        path = csv(tmp_path / f"{name}.csv", loss=loss, val_loss=loss)
        page, picture = tmp_path / "x.html", tmp_path / "x.png"
        assert main([str(path), "--html", str(page), "--plot", str(picture)]) < 2
        assert 'nan"' not in page.read_text(encoding="utf-8")


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "x.html"
    target.write_text("before")

    def full(self, content):
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write(target, b"after")
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_is_replaced_at_once(tmp_path):
    target, old = tmp_path / "a", tmp_path / "old"
    target.write_text("before")
    old.hardlink_to(target)
    write(target, b"after")
    assert target.read_text() == "after"
    assert old.read_text() == "before"  # nobody has seen half a file


def test_a_link_keeps_pointing_where_it_did(tmp_path):
    target, link = tmp_path / "a", tmp_path / "b"
    target.write_text("before")
    link.symlink_to(target)
    write(link, b"after")
    assert link.is_symlink()
    assert target.read_text() == "after"


def test_a_place_that_cannot_be_written_is_2(bad, tmp_path, capsys):
    assert main([str(bad), "--html", str(tmp_path)]) == 2
    assert main([str(bad), "--html", str(tmp_path / "no" / "x.html")]) == 2
    assert "cannot be written: No such file or directory." in capsys.readouterr().err


def test_a_log_is_not_overwritten(bad, capsys):
    before = bad.read_bytes()
    with pytest.raises(SystemExit) as stop:
        main([str(bad), "--html", str(bad)])
    assert stop.value.code == 2
    assert "is a log that is to be read" in capsys.readouterr().err
    assert bad.read_bytes() == before


@pytest.mark.parametrize(
    "args, sentence",
    [
        (["--classes", "1"], "must be a whole number from 2, got 1"),
        (["--baseline", "x"], "must be a number above 0, got x"),
        (["--target-accuracy", "85"], "must be above 0 and at most 1, got 85"),
        (["--plot", "x.txt"], "x.txt must end in .png, .pdf or .svg"),
    ],
)
def test_options_out_of_range_are_refused(bad, capsys, args, sentence):
    with pytest.raises(SystemExit):
        main([str(bad), *args])
    assert sentence in capsys.readouterr().err


# the command itself


SCRIPT = str(ROOT / "scripts" / "diagnose.py")
HEAVY = {"torch", "scipy.stats", "matplotlib", "lightning", "tensorboard"}


@pytest.mark.parametrize(
    "start",
    [
        "import dlbook_torch.diagnostics.cli as command; command.main()",
        f"import runpy; runpy.run_path({SCRIPT!r}, run_name='__main__')",
    ],
    ids=["dlbook-diagnose", "scripts/diagnose.py"],
)
def test_help_is_light_and_says_what_counts(start):
    code = (
        "import atexit, sys; sys.argv = ['x', '--help']; "
        "atexit.register(lambda: print(*sys.modules)); " + start
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said, modules = done.stdout.strip().rsplit("\n", 1)
    assert "1 a warning or an error was found" in " ".join(said.split())
    assert "dlbook_torch" in modules.split()
    assert not HEAVY & set(modules.split())


def test_the_function_diagnose_is_not_hidden_by_its_module():
    code = (
        "import dlbook_torch.diagnostics.case, dlbook_torch.diagnostics as room; "
        "from dlbook_torch.diagnostics import diagnose; "
        "print(diagnose([1.0], [1.0]).id, room.diagnose is diagnose)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["too_short", "True"]


@pytest.mark.parametrize("size", [1.7e308, -1.7e308, 1e200])
@pytest.mark.parametrize("shape", ["flat", "falling", "alternating"])
def test_numbers_near_the_largest_there_is_are_a_verdict_without_a_warning(
    tmp_path, capsys, size, shape
):
    factor = {"flat": lambda e: 1, "falling": lambda e: 0.8**e, "alternating": lambda e: (-1) ** e}
    values = [size * factor[shape](e) for e in range(30)]
    file = csv(tmp_path / "huge.csv", loss=values, val_loss=[0.9 * v for v in values])
    out = [f"--html={tmp_path / 'x.html'}", f"--plot={tmp_path / 'x.png'}"]
    assert main([str(file), *out]) == 1
    said = capsys.readouterr().out
    assert "diverging" in said
    assert "a value beyond 1e+100 is taken for infinite" in said


def test_script_is_a_command_whose_reader_may_leave(bad):
    script = ROOT / "scripts" / "diagnose.py"
    done = subprocess.run(
        f"'{sys.executable}' '{script}' '{bad}' '{bad}' | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout.startswith(str(bad.parent)[:20])
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr


# small pieces


def test_sparkline_has_a_cross_where_there_is_no_number():
    assert sparkline([0, 3, 7, nan]) == "▁▄█×"
    assert len(sparkline(range(1000))) == 36


def test_ticks_are_round():
    assert [nice(x) for x in (0.3, 1, 1.2, 4, 70)] == [0.5, 1, 2, 5, 100]
    assert Axes(5, 0.0, 2.1, False, 860, 330).ticks() == [0, 1, 2]


def test_a_steep_fall_gets_a_logarithmic_axis_and_a_small_training_loss_does_not():
    assert wants_log([[100, 10, 1, 0.1, 0.1]])
    assert not wants_log([[1.6, 0.1, 0.01, 0.001], [1.4, 0.6, 0.7, 0.8]])
    assert not wants_log([[100, -1, 1]])
