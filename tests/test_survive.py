"""What a run survives: kills, half files, flipped bits, code in files, full disks, NaN."""

import os
import pickle
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import lightning as L
import pytest
import torch
import yaml

from dlbook_torch.bench import kills
from dlbook_torch.training import cli
from dlbook_torch.training.errors import RunFailed, UsageError
from dlbook_torch.training.resume import read_checkpoint
from dlbook_torch.training.run import run
from dlbook_torch.training.whole import WholeFiles, damage, newest_whole

ROOT = Path(__file__).parents[1]
TINY = {
    "trainer": {"max_epochs": 3, "enable_progress_bar": False, "logger": False},
    "model": {
        "class_path": "dlbook_torch.training.Classifier",
        "init_args": {
            "net": {
                "class_path": "dlbook_torch.models.MLP",
                "init_args": dict(in_features=64, out_features=10, hidden=[20, 20]),
            },
            "optimizer": {"class_path": "dlbook_torch.optim.SGD", "init_args": {"lr": 0.1}},
        },
    },
    "data": {
        "class_path": "dlbook_torch.data.Digits",
        "init_args": dict(batch_size=10, subset=50, val_size=50),
    },
}
FIT = ["fit", "--config=configs/run.yaml"]


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty current directory with one configuration."""
    kills.workplace(tmp_path / "here", TINY)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def checkpoint(tmp_path):
    """A file as Lightning writes it, and its content."""
    generator = torch.Generator().manual_seed(0)
    weights = {"w": torch.randn(40, 30, generator=generator), "b": torch.zeros(7)}
    content = {"state_dict": weights, "epoch": 3, "callbacks": {"History": {"rows": [1.5, 2.5]}}}
    WholeFiles().save_checkpoint(content, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt", content


@pytest.mark.slow
def test_twenty_kills_leave_no_trace():
    hit, failures = kills.kills(20, seed=1)
    assert failures == []
    assert sum(hit.values()) == 20
    assert hit["with a checkpoint"] >= 5


def test_a_killed_run_ends_with_the_same_bits(tmp_path):
    reference, _ = kills.whole(tmp_path)
    folder = kills.workplace(tmp_path / "killed")
    process = kills.start(folder)
    while not kills.way_on(folder):
        assert process.is_alive()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert kills.last(folder)["global_step"] < reference["global_step"]
    process = kills.start(folder, "--ckpt_path=last")
    process.join()
    assert process.exitcode == 0
    assert kills.differences(reference, kills.last(folder)) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_stopped_in_the_middle_of_an_epoch_ends_with_the_same_bits(tmp_path, number):
    config = {**kills.CONFIG, "data": {**kills.CONFIG["data"]}}
    config["data"]["init_args"] = dict(batch_size=4, subset=400, augment="shift")
    config["trainer"] = {**config["trainer"], "max_epochs": 3}
    reference, _ = kills.whole(tmp_path, config)
    folder = kills.workplace(tmp_path / "stopped", config)
    process = kills.start(folder)
    while not kills.way_on(folder):
        assert process.is_alive()
    time.sleep(0.05)
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == 128 + number
    step = kills.last(folder)["global_step"]
    assert 100 < step < 300
    assert step % 100, "not stopped in the middle of an epoch"
    process = kills.start(folder, "--ckpt_path=last")
    process.join()
    assert process.exitcode == 0
    assert kills.differences(reference, kills.last(folder)) == []


def die_in_the_middle_of_writing(folder, epoch):
    """Train until the checkpoint of an epoch is half written, then be killed."""
    save, written = torch.save, []

    def half(content, file):
        save(content, file)
        written.append(Path(file.name).name)
        if written.count("last.ckpt.unfinished") == epoch:
            file.flush()
            os.truncate(file.fileno(), file.tell() // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = half
    kills.train(folder, [])


def test_a_kill_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path):
    reference, _ = kills.whole(tmp_path)
    folder = kills.workplace(tmp_path / "killed")
    process = kills.get_context("forkserver").Process(
        target=die_in_the_middle_of_writing, args=(str(folder), 3)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert list(folder.glob("runs/**/*.unfinished"))
    assert kills.last(folder)["epoch"] == 1  # of 0, 1, 2
    process = kills.start(folder, "--ckpt_path=last")
    process.join()
    assert process.exitcode == 0
    assert kills.differences(reference, kills.last(folder)) == []
    assert not list(folder.glob("runs/**/*.unfinished"))


def test_what_cannot_be_written_leaves_the_file_before(checkpoint):
    path, content = checkpoint
    before = path.read_bytes()
    code = (
        "import resource, signal, sys, torch\n"
        "from dlbook_torch.training.whole import WholeFiles\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "try: WholeFiles().save_checkpoint({'w': torch.zeros(5000)}, sys.argv[1])\n"
        "except OSError as error: print(error.filename, error.strerror)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.startswith(str(path)), done.stderr
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["last.ckpt"]
    assert kills.differences(read_checkpoint(path), content) == []


def test_every_flipped_bit_is_noticed_or_without_effect(checkpoint, tmp_path):
    path, content = checkpoint
    whole, dice = path.read_bytes(), random.Random(0)
    with zipfile.ZipFile(path) as archive:
        (weights,) = [i for i in archive.infolist() if i.file_size == 4 * 40 * 30]
        start = weights.header_offset + 30 + len(weights.filename)
    noticed = 0
    for _ in range(150):
        place, bit = dice.randrange(len(whole)), dice.randrange(8)
        broken = bytearray(whole)
        broken[place] ^= 1 << bit
        path.write_bytes(broken)
        try:
            found = read_checkpoint(path)
        except UsageError:
            noticed += 1
        else:
            assert kills.differences(found, content) == []
            assert not start + 64 < place < start + weights.file_size
    assert noticed > 75


def test_every_truncated_file_is_noticed(checkpoint):
    path, _ = checkpoint
    whole = path.read_bytes()
    assert damage(path) is None
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UsageError, match=r"--ckpt_path .*last.ckpt: not a readable checkpoint"):
            read_checkpoint(path)


def test_another_whole_checkpoint_is_offered(workplace, capsys):
    done = run([*FIT, "--run=one"])
    folder = done.folder.path / "checkpoints"
    broken = bytearray((folder / "last.ckpt").read_bytes())
    broken[len(broken) // 2] ^= 1
    (folder / "last.ckpt").write_bytes(broken)
    with pytest.raises(SystemExit) as end:
        cli.main([*FIT, "--ckpt_path=last"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "the checksum of" in said
    assert f"the newest whole one is {folder / 'best.ckpt'}" in said
    assert newest_whole(folder) == folder / "best.ckpt"
    run([*FIT, f"--ckpt_path={folder / 'best.ckpt'}", "--trainer.max_epochs=4"])


class Trap:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["zip", "pickle"])
@pytest.mark.parametrize("command", ["fit", "test", "predict", "validate"])
def test_a_checkpoint_that_carries_code_is_refused_and_not_run(workplace, capsys, command, kind):
    trap, path = workplace / "trapped", workplace / "bad.ckpt"
    content = {"state_dict": {}, "loops": Trap(trap)}
    if kind == "zip":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(SystemExit) as end:
        cli.main([command, FIT[1], f"--ckpt_path={path}"])
    assert end.value.code == 2
    assert f"--ckpt_path {path}: not a readable checkpoint" in capsys.readouterr().err
    assert not trap.exists()
    torch.load(path, weights_only=False) if kind == "zip" else pickle.loads(path.read_bytes())
    assert trap.exists()  # the trap works


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch trapped']",
        "!!python/name:os.system",
        "!!python/object/new:pathlib.Path ['x']",
    ],
)
def test_a_configuration_cannot_make_objects(workplace, capsys, value):
    Path("bad.yaml").write_text(f"trainer:\n  max_epochs: {value}\n")
    with pytest.raises(SystemExit) as end:
        cli.main([*FIT, "--config=bad.yaml"])
    assert end.value.code == 2
    assert "bad.yaml" in capsys.readouterr().err
    assert not Path("trapped").exists()


class TestNotFinite:
    def fails(self, *args):
        with pytest.raises(RunFailed) as error:
            run([*FIT, *args])
        return str(error.value)

    def test_the_step_the_rate_the_layer_and_the_checkpoint_are_named(self, workplace, capsys):
        said = self.fails("--model.optimizer.lr=1e30", "--run=one")
        assert said.startswith("the loss is ")
        assert "at step 1, epoch 1, learning rate 1e+30; " in said
        assert "the first output that is not finite is that of net.layers." in said
        assert said.endswith("there is no checkpoint yet")

    def test_the_last_checkpoint_is_kept_and_the_report_is_printed(self, workplace, capsys):
        run([*FIT, "--run=one", "--trainer.max_epochs=1"])
        last = workplace / "runs/run/one/checkpoints/last.ckpt"
        before = last.read_bytes()
        said = self.fails("--ckpt_path=last", "--model.optimizer.lr=1e30")
        assert "at step 6, epoch 2" in said
        assert last.read_bytes() == before
        assert damage(last) is None
        assert "best epoch 1 of 1" in capsys.readouterr().out

    def test_weights_that_are_not_finite_are_named(self, workplace, monkeypatch):
        with pytest.raises(RunFailed) as error:
            run([*FIT, f"--trainer.callbacks={SPOIL}"])
        assert "the weights net.layers.3.weight were not finite before it" in str(error.value)

    def test_exit_code_is_1_and_the_message_one_line(self, workplace, capsys):
        with pytest.raises(SystemExit) as end:
            cli.main([*FIT, "--model.optimizer.lr=1e30"])
        assert end.value.code == 1
        said = capsys.readouterr().err
        assert said.startswith("error: the loss is ")
        assert "Traceback" not in said

    def test_it_can_be_turned_off(self, workplace):
        done = run([*FIT, "--model.optimizer.lr=1e30", "--finite_loss=null"])
        assert len(done.history.rows) == 3

    def test_the_first_layer_is_found_in_forward_order(self, workplace):
        from dlbook_torch.training import Classifier
        from dlbook_torch.training.finite import first_not_finite

        net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        module = Classifier(net)
        module.log = module.log_dict = lambda *args, **options: None
        batch = torch.full((5, 3), 1e38), torch.zeros(5, dtype=torch.long)
        with torch.no_grad():
            net[0].weight.fill_(1.0)
            net[2].weight.fill_(1e10)
        assert first_not_finite(module, batch, 0) == "net.2 (Linear)"
        with torch.no_grad():
            net[0].weight.fill_(1e10)
        assert first_not_finite(module, batch, 0) == "net.0 (Linear)"
        assert first_not_finite(module, (batch[0] * 0, batch[1]), 0) is None
        assert not any(layer._forward_hooks for layer in net)


class Spoil(L.Callback):
    """Make a weight infinite in the middle of a training."""

    def on_train_batch_end(self, trainer, pl_module, *args):
        if trainer.global_step == 3:
            with torch.no_grad():
                pl_module.net.layers[3].weight[0, 0] = float("inf")


SPOIL = yaml.safe_dump([{"class_path": "tests.test_survive.Spoil"}], default_flow_style=True)


def test_a_disk_that_is_full_is_one_sentence(workplace):
    """RLIMIT_FSIZE stands for the disk: a file that grows above it cannot be written."""
    code = (
        "import resource, signal, sys\n"
        "from dlbook_torch.training.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))\n"
        "main(sys.argv[1:])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *FIT], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: cannot write ")
    assert ".ckpt: File too large" in done.stderr
    assert not list(workplace.rglob("*.unfinished"))
    assert not [path for path in workplace.rglob("*.ckpt") if damage(path)]
