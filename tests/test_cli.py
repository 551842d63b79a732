"""The command line from one end to the other: real runs, real signals, real folders."""

import io
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlparse

import lightning as L
import pytest
import torch
import yaml

from dlbook_torch.training import Classifier, cli, folders
from dlbook_torch.training.errors import UsageError
from dlbook_torch.training.run import run

ROOT = Path(__file__).parents[1]
TINY = {  # half a second: 5 steps an epoch
    "trainer": {"max_epochs": 3, "enable_progress_bar": False, "limit_test_batches": 2},
    "model": {
        "class_path": "dlbook_torch.training.Classifier",
        "init_args": {
            "net": {
                "class_path": "dlbook_torch.models.MLP",
                "init_args": dict(in_features=64, out_features=10, hidden=[20], dropout=0.2),
            },
            "optimizer": {"class_path": "dlbook_torch.optim.Adam", "init_args": {"lr": 0.01}},
        },
    },
    "data": {
        "class_path": "dlbook_torch.data.Digits",
        "init_args": dict(batch_size=10, subset=50, val_size=50),
    },
}
FIT = ["fit", "--config=configs/ch00/tiny.yaml"]
RUNS = Path("runs", "ch00", "tiny")


class SignalAt(L.Callback):
    """Send this process a signal in the middle of a training step."""

    def __init__(self, step: int, number: int):
        self.step, self.number = step, number

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


class FailAt(L.Callback):
    """A bug in the middle of a training."""

    def __init__(self, step: int):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            raise ValueError("a bug")


def callback(name, **arguments):
    spec = [{"class_path": f"tests.test_cli.{name}", "init_args": arguments}]
    return "--trainer.callbacks=" + yaml.safe_dump(spec, default_flow_style=True, width=1000)


def write_config(folder, **changes):
    path = folder / "configs" / "ch00" / "tiny.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(TINY | changes))


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty current directory with one configuration."""
    write_config(tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One complete run, and all it printed."""
    folder, out = tmp_path_factory.mktemp("finished"), io.StringIO()
    write_config(folder)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        patch.chdir(folder)
        run = cli_run([*FIT, "--run=whole", "--trainer.enable_progress_bar=true"])
        return SimpleNamespace(cli=run, folder=folder / RUNS / "whole", out=out.getvalue())


def cli_run(args):
    torch.manual_seed(0)
    return run(args)


def last(folder):
    return torch.load(Path(folder, "checkpoints", "last.ckpt"), weights_only=True)


def started():
    return sorted(path.name for path in RUNS.glob("*")) if RUNS.exists() else []


def test_a_run_prints_table_verdict_and_the_way_to_its_curves(finished):
    table = [line.split("│")[1].strip() for line in finished.out.splitlines() if "│" in line]
    assert table == ["train", "validation", "test"]
    assert "best epoch 3 of 3" in finished.out
    assert "verdict: Too short to say" in finished.out
    *_, command, address = finished.out.splitlines()
    assert command == f"tensorboard --logdir {RUNS / 'whole'}"
    query = parse_qs(urlparse(address).query)
    assert query["smoothing"] == ["0"]
    assert '"tag":"loss"' in query["pinnedCards"][0]


def test_a_run_keeps_to_its_folder(finished):
    assert sorted(p.name for p in (finished.folder / "checkpoints").iterdir()) == [
        "best.ckpt",
        "last.ckpt",
    ]
    config = yaml.safe_load((finished.folder / "config.yaml").read_text())
    assert config["model"]["init_args"]["net"]["init_args"]["activation"] == "relu"  # resolved
    assert config["ckpt_path"] is None
    top = {path.name for path in finished.folder.parents[2].parent.iterdir()}
    assert top == {"configs", "runs"}


def test_the_saved_config_repeats_the_run(finished):
    again = cli_run(["fit", f"--config={finished.folder / 'config.yaml'}"])
    assert again.folder.path.parent == RUNS
    first = last(finished.folder)["state_dict"]
    torch.testing.assert_close(last(again.folder.path)["state_dict"], first, rtol=0, atol=0)


def test_a_checkpoint_rebuilds_the_network(finished):
    module = Classifier.load_from_checkpoint(finished.folder / "checkpoints" / "best.ckpt")
    assert not {
        name for name, value in module.hparams.items() if isinstance(value, torch.nn.Module)
    }
    x = torch.randn(3, 1, 8, 8)
    torch.testing.assert_close(module.eval()(x), finished.cli.model.eval()(x), rtol=0, atol=0)


def test_the_test_score_is_that_of_the_best_checkpoint(finished, monkeypatch):
    monkeypatch.chdir(finished.folder.parents[3])
    again = cli_run(["test", *FIT[1:], "--ckpt_path=best"])
    assert again.scores["test/accuracy"] == finished.cli.scores["test/accuracy"]


def test_validate_measures_both_loaders(finished, monkeypatch, capsys):
    monkeypatch.chdir(finished.folder.parents[3])
    again = cli_run(["validate", *FIT[1:], "--ckpt_path=last"])
    for name in ("train/loss", "val/loss", "val/accuracy"):
        assert again.scores[name] == pytest.approx(finished.cli.history.rows[-1][name])
    assert "validation" in capsys.readouterr().out


def test_predict_prints_one_class_per_line(finished, monkeypatch, capsys):
    monkeypatch.chdir(finished.folder.parents[3])
    cli_run(["predict", *FIT[1:], "--ckpt_path=best", "--trainer.limit_predict_batches=2"])
    lines = capsys.readouterr().out.split()
    assert len(lines) == 20
    assert set(lines) <= set("0123456789")


@pytest.mark.parametrize("where, code", [("INT", 130), ("TERM", 143)])
@pytest.mark.parametrize("step", [6, 9], ids=["mid-epoch", "last-step"])
def test_a_signal_saves_this_very_step_and_a_resume_is_exact(finished, step, where, code):
    number = int(getattr(signal, f"SIG{where}"))
    quick = ["--trainer.logger=false", "--trainer.limit_test_batches=1"]
    with pytest.raises(SystemExit) as end:
        cli_run([*FIT, *quick, callback("SignalAt", step=step, number=number)])
    assert end.value.code == code
    (name,) = started()
    assert last(RUNS / name)["global_step"] == step + 1

    torch.manual_seed(1)  # the resumed process has another history
    resumed = run([*FIT, *quick, "--ckpt_path=last"])
    assert started() == [name]
    whole = last(finished.folder)
    for part in ("state_dict", "optimizer_states"):
        torch.testing.assert_close(last(RUNS / name)[part], whole[part], rtol=0, atol=0)
    assert resumed.history.rows == finished.cli.history.rows


def test_resume_adds_epochs_and_curves_to_the_same_folder(capsys):
    cli_run([*FIT, "--trainer.max_epochs=1"])
    resumed = cli_run([*FIT, "--trainer.max_epochs=2", "--ckpt_path=last"])
    assert len(started()) == 1
    assert last(RUNS / started()[0])["global_step"] == 10
    assert len(resumed.history.rows) == 2
    assert "best epoch 2 of 2" in capsys.readouterr().out
    assert (RUNS / started()[0] / "config.0.yaml").exists()  # the settings of the first epoch


def test_resume_from_best_starts_a_new_run(finished, monkeypatch):
    best = finished.folder / "checkpoints" / "best.ckpt"
    branch = cli_run([*FIT, "--trainer.max_epochs=4", f"--ckpt_path={best}", "--run=branch"])
    assert started() == ["branch"]
    assert last(branch.folder.path)["global_step"] == 20
    assert (branch.folder.path / "checkpoints" / "best.ckpt").is_file()


def test_the_command_line_wins_over_the_checkpoint(capsys):
    quick = ["--trainer.logger=false", "--trainer.limit_test_batches=1"]
    cli_run([*FIT, *quick, "--trainer.max_epochs=1"])
    cli_run(
        [*FIT, *quick, "--trainer.max_epochs=2", "--ckpt_path=last", "--model.optimizer.lr=0.5"]
    )
    assert "the configuration wins over the checkpoint: lr 0.01 -> 0.5" in capsys.readouterr().out
    state = last(RUNS / started()[0])
    assert state["optimizer_states"][0]["param_groups"][0]["lr"] == 0.5
    assert state["hyper_parameters"]["optimizer"]["init_args"]["lr"] == 0.5
    weight = state["state_dict"]["net.layers.1.weight"]
    assert weight.abs().max() > 0.5  # Adam's steps are about as large as lr


STEP_LR = "--model.lr_scheduler=torch.optim.lr_scheduler.StepLR"
REFUSALS = {
    "network": (
        ["--model.net.hidden=[7]"],
        ["net.layers.1.weight: checkpoint (20, 64), network (7"],
    ),
    "optimizer": (
        ["--model.optimizer=dlbook_torch.optim.SGD"],
        ["optimizer dlbook_torch.optim.Adam -> dlbook_torch.optim.sgd.SGD"],
    ),
    "scheduler": ([STEP_LR, "--model.lr_scheduler.step_size=1"], ["of schedulers 0 -> 1"]),
    "epochs": (["--trainer.max_epochs=1"], ["max_epochs=1"]),
}


@pytest.mark.parametrize("change, words", REFUSALS.values(), ids=REFUSALS)
def test_what_the_checkpoint_cannot_go_on_with_is_refused(finished, change, words):
    folder = finished.folder
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(UsageError) as error:
        cli_run([*FIT, f"--ckpt_path={folder / 'checkpoints' / 'last.ckpt'}", *change])
    for word in words:
        assert word in str(error.value)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert started() == []


def test_another_schedule_is_refused_and_the_same_goes_on():
    quick = ["--trainer.logger=false", "--trainer.limit_test_batches=1"]
    step = [*FIT, *quick, STEP_LR, "--model.lr_scheduler.step_size=1"]
    cli_run([*step, "--trainer.max_epochs=1"])
    with pytest.raises(UsageError, match=r"gamma 0.1 -> 0.5"):
        cli_run([*step, "--ckpt_path=last", "--model.lr_scheduler.gamma=0.5"])
    resumed = cli_run([*step, "--ckpt_path=last", "--trainer.max_epochs=2"])
    assert resumed.history.curves("lr") == [pytest.approx([0.01, 0.001])]


def test_a_damaged_checkpoint_is_refused(finished):
    whole = (finished.folder / "checkpoints" / "last.ckpt").read_bytes()
    Path("half.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=r"--ckpt_path half.ckpt: not a readable checkpoint"):
        cli_run([*FIT, "--ckpt_path=half.ckpt"])
    assert started() == []


WRONG = {  # what is given, what the sentence says
    "unknown-trainer-option": ("--trainer.max_epoch=3", "no such option, did you mean 'trainer."),
    "unknown-net-option": ("--model.net.hiden=[3]", "model.net.hiden: no such option"),
    "unknown-class": ("--model.net=dlbook_torch.models.MPL", "has no 'MPL', did you mean 'MLP'?"),
    "unknown-short-class": ("--model.optimizer=Adamm", "model.optimizer: no class 'Adamm'"),
    "wrong-type": ("--trainer.max_epochs=three", "trainer.max_epochs: expected int, got 'three'"),
    "wrong-nested-type": ("--model.optimizer.lr=fast", "model.optimizer.lr: expected float"),
    "wrong-choice": ("--model.lr_interval=stepp", "expected one of 'epoch', 'step', got 'stepp'"),
    "not-a-data-module": ("--data=torch.nn.Linear", "torch.nn.Linear is not a subclass of Light"),
    "epochs": ("--trainer.max_epochs=-5", "max_epochs` must be a non-negative integer or -1."),
    "batch-size": ("--data.batch_size=0", "batch_size must be at least 1, got 0"),
    "rate": ("--model.optimizer.lr=-0.1", "lr must be in [0, inf), got -0.1"),
    "smoothing": ("--model.label_smoothing=2", "label_smoothing must be between 0 and 1, got 2.0"),
    "no-last": ("--ckpt_path=last", "no earlier run has a last.ckpt below runs/ch00/tiny/"),
    "no-file": ("--ckpt_path=x.ckpt", "--ckpt_path x.ckpt: no such file"),
    "no-data": ("--data={class_path: dlbook_torch.data.MNIST, init_args: {data_dir: ., download: "
    "false}}", "MNIST"),
}  # fmt: skip


@pytest.mark.parametrize("argument, sentence", WRONG.values(), ids=WRONG)
def test_bad_input_is_one_sentence_and_leaves_nothing(argument, sentence, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([*FIT, argument])
    captured = capsys.readouterr()
    assert end.value.code == 2
    assert captured.err.startswith("error: ")
    assert sentence in captured.err
    assert "Traceback" not in captured.err
    assert len(captured.err.splitlines()) <= 4
    assert not Path("runs").exists() or started() == []


@pytest.mark.parametrize(
    "text, sentence",
    {
        "a: [1\nb: 2\n": "--config broken.yaml, line 2, column 2: ",
        "- a\n- b\n": "broken.yaml: expected sections",
        "trainer: {max_epoch: 3}\n": "trainer.max_epoch: no such option",
        "trainr: {max_epochs: 3}\n": "trainr.max_epochs: no such option, did you mean 'trainer.max",
    }.items(),
)
def test_a_broken_configuration_is_named(text, sentence, capsys):
    Path("broken.yaml").write_text(text)
    with pytest.raises(SystemExit) as end:
        cli.main([*FIT, "--config=broken.yaml"])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert sentence in error


def test_no_configuration_no_command(capsys):
    for args, sentence in {
        ("fit",): "nothing given for data, model",
        ("fit", "--config", "nope.yaml"): "--config nope.yaml: No such file",
        ("fti", *FIT[1:]): "unknown command 'fti'",
    }.items():
        with pytest.raises(SystemExit):
            cli.main(list(args))
        assert sentence in capsys.readouterr().err


def test_a_bug_in_training_is_not_hidden():
    with pytest.raises(ValueError, match="a bug"):
        run([*FIT, "--trainer.logger=false", callback("FailAt", step=7)])
    assert last(RUNS / started()[0])["global_step"] == 7


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("DLBOOK_DEBUG", "1")
    with pytest.raises(UsageError):
        cli.main([*FIT, "--data.batch_size=0"])


@pytest.mark.parametrize("flag", ["--trainer.fast_dev_run=true", "--trainer.max_epochs=0"])
def test_runs_without_training_leave_nothing(flag):
    cli_run([*FIT, flag])
    assert started() == []


def test_without_logger_the_checkpoints_are_kept():
    done = cli_run([*FIT, "--trainer.logger=false", "--trainer.max_epochs=1"])
    names = {path.name for path in done.folder.path.rglob("*")}
    assert names == {"config.yaml", "checkpoints", "best.ckpt", "last.ckpt"}


def test_without_validation_there_is_a_test_but_no_verdict():
    done = cli_run([*FIT, "--trainer.limit_val_batches=0", "--trainer.max_epochs=1"])
    assert done.verdict is None
    assert "test/loss" in done.scores
    assert not (done.folder.path / "checkpoints" / "best.ckpt").exists()


def test_a_run_on_torch_is_its_twin():
    same = ["--trainer.precision=64-true", "--model.net.dropout=0", "--trainer.logger=false"]
    twin = [
        "--model.net.library=torch",
        "--model.library=torch",
        "--model.optimizer=torch.optim.Adam",
    ]
    ours, theirs = cli_run([*FIT, *same]), cli_run([*FIT, *same, *twin])
    assert type(theirs.model.net.layers[1]) is torch.nn.Linear
    assert type(theirs.trainer.optimizers[0]) is torch.optim.Adam
    assert ours.history.curves("train/loss", "val/loss") == [
        pytest.approx(curve, rel=1e-12) for curve in theirs.history.curves("train/loss", "val/loss")
    ]


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_precision(precision):
    done = cli_run(
        [
            *FIT,
            "--trainer.max_epochs=1",
            "--trainer.logger=false",
            f"--trainer.precision={precision}",
        ]
    )
    dtype = {"bf16-true": torch.bfloat16, "64-true": torch.float64}.get(precision, torch.float32)
    assert next(done.model.parameters()).dtype == dtype
    assert 1.5 < done.scores["val/loss"] < 2.5  # near log 10


def test_two_runs_in_one_second_get_two_folders(monkeypatch):
    monkeypatch.setattr(folders.time, "strftime", lambda _: "now")
    made = [folders.new_folder(RUNS) for _ in range(3)]
    assert [path.name for path in made] == ["now", "now_1", "now_2"]
    with pytest.raises(UsageError, match="already exists"):
        folders.new_folder(RUNS, "now")


@pytest.mark.parametrize(
    "config, name",
    {
        "configs/ch07/digits.yaml": "ch07/digits",
        "/a/configs/b/configs/c.yaml": "c",
        "runs/ch07/digits/2026/config.yaml": "ch07/digits",
        "mine.yaml": "mine",
        None: "default",
    }.items(),
)
def test_run_name(config, name):
    assert folders.run_name(config) == name


def python(*args, **kwargs):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "80"}
    return subprocess.Popen(
        [sys.executable, *map(str, args)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


def test_signals_from_outside_and_a_quiet_run():
    script = ROOT / "scripts" / "train.py"
    long = [script, *FIT, "--trainer.max_epochs=100000"]
    interrupted, terminated = (python(*long, f"--run={name}") for name in ("INT", "TERM"))
    quiet = python(script, *FIT, "--run=quiet", "--trainer.enable_progress_bar=true")
    deadline = time.monotonic() + 120
    for process, name in ((interrupted, "INT"), (terminated, "TERM")):
        while not (RUNS / name / "checkpoints" / "best.ckpt").exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(getattr(signal, f"SIG{name}"))
    for process, name, code in ((interrupted, "INT", 130), (terminated, "TERM", 143)):
        out, err = process.communicate(timeout=60)
        assert process.returncode == code
        assert "--ckpt_path" in out
        assert "Traceback" not in err
        assert last(RUNS / name)["global_step"] > 5

    out, err = quiet.communicate(timeout=60)
    assert quiet.returncode == 0
    assert err == ""
    for word in ("Tip", "litlogger", "GPU", "TPU", "Seed set", "Trainer.fit", "arning"):
        assert word not in out
    assert "epoch 3/3" in out


def test_a_reader_that_has_seen_enough_is_no_error(finished):
    best = finished.folder / "checkpoints" / "best.ckpt"
    script = ROOT / "scripts" / "train.py"
    with python(script, "predict", *FIT[1:], f"--ckpt_path={best}") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_help_is_instant():
    code = "import sys; from dlbook_torch.training.cli import main; main(['fit', '--help']);"
    process = python("-c", f"{code} sys.exit(len({{'torch', 'lightning'}} & sys.modules.keys()))")
    out, _ = process.communicate()
    assert "--ckpt_path" in out
    assert process.returncode == 0


def test_the_options_in_the_help_exist(capsys):
    lines = [line.strip() for line in cli.HELP.splitlines() if line.startswith("  --")]
    examples = [line for line in lines if line.startswith(("--trainer.", "--model.", "--data."))]
    words = [word for line in examples for word in line.split("   ")[0:1]]
    arguments = " ".join(words).replace("cuda", "cpu").split()
    with pytest.raises(SystemExit) as end:
        run([*FIT, *arguments, "--print_config"])
    assert end.value.code in (0, None)


def test_a_checkpoint_io_of_the_user_takes_the_place_of_ours():
    given = "lightning.pytorch.plugins.io.TorchCheckpointIO"
    done = cli_run([*FIT, "--trainer.max_epochs=1", f"--trainer.plugins={given}"])
    assert type(done.trainer.strategy.checkpoint_io).__name__ == "TorchCheckpointIO"
    ours = cli_run([*FIT, "--trainer.max_epochs=1"])
    assert type(ours.trainer.strategy.checkpoint_io).__name__ == "WholeFiles"


@pytest.mark.parametrize("flag", ["fast_dev_run=true", "num_sanity_val_steps=0"])
def test_a_network_that_does_not_fit_is_a_sentence_without_a_validation_before(flag, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([*FIT, "--model.net.in_features=60", f"--trainer.{flag}"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "expected 60 features" in said
    assert "(RuntimeError; DLBOOK_DEBUG=1 shows where)" in said
