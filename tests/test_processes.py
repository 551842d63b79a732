"""Several processes against one with the same batches, and the end when one of them dies."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
import torch
import yaml
from torch.testing import assert_close

from dlbook_torch import nn
from dlbook_torch.training import processes
from dlbook_torch.training.errors import RunFailed
from dlbook_torch.training.run import run

from .test_cli import last, write_config

ROOT = Path(__file__).parents[1]
NORM = ["--model.net.batch_norm=true", "--model.net.hidden=[20,20]"]
KINDS = {  # every run is trained by one process, by two, and on two machines
    "mlp": [],
    "ours": [*NORM, "--trainer.sync_batchnorm=true"],
    "torchs": [*NORM, "--trainer.sync_batchnorm=true", "--model.net.library=torch"],
}
FIT = [
    "fit",
    "--config=configs/ch00/tiny.yaml",
    "--trainer.accelerator=cpu",
    "--trainer.precision=64-true",
    "--model.net.dropout=0",
    "--trainer.max_epochs=2",
    "--model.optimizer=dlbook_torch.optim.SGD",  # Adam would make steps of rounding errors
    "--model.optimizer.lr=0.1",
    "--model.optimizer.momentum=0.9",
]
DDP = [*FIT, "--trainer.strategy=ddp", "--trainer.devices=2"]
DDP += ["--trainer.enable_progress_bar=true"]  # which the first process alone has
DRIVER = """\
import yaml
from dlbook_torch.training.cli import main

for args in yaml.safe_load(open("runs.yaml")):
    main(args)
"""

FILES = """\
import os
import pathlib
import pytest
from tests.idx import use_mnist

for name in ("MNIST", "FashionMNIST"):  # each process has its own
    folder = pathlib.Path("data", os.environ.get("LOCAL_RANK", "0"))
    use_mnist(pytest.MonkeyPatch(), folder.absolute(), name)
"""


class SignalAt(L.Callback):
    """Send one process a signal in the middle of a step; SIGKILL is what too much memory brings."""

    def __init__(self, step: int, rank: int, number: int):
        self.step, self.rank, self.number = step, rank, number

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        if (trainer.global_step, trainer.global_rank) == (self.step, self.rank):
            os.kill(os.getpid(), self.number)


def signal_at(step, rank, number):
    arguments = dict(step=step, rank=rank, number=int(number))
    spec = [{"class_path": f"{__name__}.SignalAt", "init_args": arguments}]
    return "--trainer.callbacks=" + yaml.safe_dump(spec, default_flow_style=True, width=1000)


def start(folder, runs, files="", **environment):
    """A process of its own that does these runs one after the other."""
    if not Path(folder, "configs").exists():
        write_config(folder)
    Path(folder, "driver.py").write_text(files + DRIVER)
    Path(folder, "runs.yaml").write_text(yaml.safe_dump(runs))
    paths = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return subprocess.Popen(
        [sys.executable, "driver.py"],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process):
    try:
        out, err = process.communicate(timeout=500)
    finally:
        process.kill()
    return SimpleNamespace(code=process.returncode, out=out, err=err)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """What one process makes of it, with batches of 20."""
    folder = tmp_path_factory.mktemp("one")
    write_config(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = {
            name: run([*FIT, f"--run={name}", "--data.batch_size=20", *more])
            for name, more in KINDS.items()
        }
    return SimpleNamespace(folder=folder / "runs" / "ch00" / "tiny", done=done)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes of one machine make of it, with batches of 10; at last, one is stopped."""
    folder = tmp_path_factory.mktemp("two")
    runs = [[*DDP, f"--run={name}", *more] for name, more in KINDS.items()]
    runs += [
        [*DDP, "--run=apart", *NORM],
        [*DDP, "--run=stops", *KINDS["ours"], signal_at(4, 0, signal.SIGTERM)],
    ]
    process = start(folder, runs)
    return SimpleNamespace(
        **vars(ended(process)), pid=process.pid, folder=folder / "runs" / "ch00" / "tiny"
    )


@pytest.fixture(scope="module")
def later(two):
    """The run that was stopped goes on; in another one a process dies."""
    goes_on = "--ckpt_path=runs/ch00/tiny/stops/checkpoints/last.ckpt"
    runs = [
        [*DDP, *KINDS["ours"], goes_on],
        [*DDP, "--run=dies", signal_at(3, 1, signal.SIGKILL)],
    ]
    return ended(start(two.folder.parents[2], runs))


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """What two machines make of it, here two folders; then the second one is switched off."""
    folders = [tmp_path_factory.mktemp(f"node{rank}") for rank in range(2)]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    ddp = [*FIT, "--trainer.strategy=ddp", "--trainer.devices=1", "--trainer.num_nodes=2"]
    runs = [
        [*ddp, "--run=ours", *KINDS["ours"]],
        [*ddp, "--run=dies", signal_at(3, 1, signal.SIGKILL)],
    ]
    both = [
        start(folder, runs, MASTER_ADDR="127.0.0.1", MASTER_PORT=port, NODE_RANK=str(rank))
        for rank, folder in enumerate(folders)
    ]
    first, second = map(ended, both)
    return SimpleNamespace(first=first, second=second, folders=folders)


LOOSE = tuple(
    f"values.{name}" for name in ("activation_std", "mean_drift", "variance_drift", "gradient_zero")
)


def same_end(a, b):
    """Weights and moments of the update rule of two runs."""
    for part in ("state_dict", "optimizer_states"):
        assert_close(last(a)[part], last(b)[part], rtol=1e-10, atol=1e-14)


def same_run(a, b):
    """And curves and monitors."""
    same_end(a, b)
    a, b = last(a), last(b)
    for name, state in a["callbacks"].items():
        others = b["callbacks"][name]["rows"] if "rows" in state else []
        for row, other in zip(state.get("rows", []), others, strict=True):
            for key, value in flat(row).items():
                # the mean of what each process's batch has; zeros may be roundings
                loose = key.startswith(LOOSE)
                tolerance = dict(rel=0.1, abs=0.1) if loose else dict(rel=1e-5)
                assert flat(other)[key] == pytest.approx(value, nan_ok=True, **tolerance), (
                    name,
                    key,
                )
    assert sum("rows" in state for state in a["callbacks"].values()) == 3


def flat(row, prefix=""):
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``."""
    found = {}
    for key, value in row.items():
        inner = isinstance(value, dict)
        found |= flat(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return found


@pytest.mark.parametrize("name", KINDS)
def test_two_processes_train_what_one_does_with_twice_the_batch(one, two, name):
    same_run(one.folder / name, two.folder / name)


def test_two_machines_train_what_one_process_does(one, nodes):
    same_run(one.folder / "ours", nodes.folders[0] / "runs" / "ch00" / "tiny" / "ours")


def test_batchnorm_that_does_not_share_trains_something_else_and_is_told(one, two):
    weights = [
        last(f)["state_dict"]["net.layers.1.weight"]
        for f in (one.folder / "ours", two.folder / "apart")
    ]
    assert (weights[0] - weights[1]).abs().max() > 1e-3
    warnings = [line for line in two.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert "2 BatchNorm layers (net.layers.2, ...)" in warnings[0]
    assert "sync_batchnorm" in warnings[0]


def test_the_first_process_alone_speaks_and_writes(one, two):
    for name in KINDS:
        alone, shared = (
            {
                re.sub(r"tfevents.*", "tfevents", str(path.relative_to(where / name)))
                for path in (where / name).rglob("*")
            }
            for where in (one.folder, two.folder)
        )
        assert alone == shared
        events = [path.name for path in (two.folder / name).rglob("*tfevents*")]
        assert events
        assert {int(event.split(".")[-2]) for event in events} == {two.pid}
    assert sorted(path.name for path in two.folder.iterdir()) == sorted([*KINDS, "apart", "stops"])
    assert {path.name for path in two.folder.parents[2].iterdir()} == {
        "configs",
        "runs",
        "driver.py",
        "runs.yaml",
    }
    assert two.out.count("best epoch") == len(KINDS) + 1
    for name, done in one.done.items():  # tested by both
        loss, times = f"{done.scores['test/loss']:.4g}", {"mlp": 1, "ours": 2, "torchs": 2}
        assert len(re.findall(rf"│ test .*{re.escape(loss)} ", two.out)) == times[name]


def test_the_second_machine_writes_nothing(nodes):
    names = {path.name for path in nodes.folders[1].rglob("*")}
    assert names == {"configs", "ch00", "tiny.yaml", "driver.py", "runs.yaml"}
    assert "best epoch" not in nodes.second.out


def test_a_signal_to_one_process_stops_all_and_a_resume_is_exact(one, two, later):
    assert two.code == 143
    assert "stopped; to go on: --ckpt_path runs/ch00/tiny/stops/" in two.out
    assert "stopping after this step" in two.err
    assert later.out.count("best epoch") == 1
    same_end(one.folder / "ours", two.folder / "stops")


def test_a_process_that_is_killed_ends_the_run_in_a_sentence(two, later):
    assert later.code == 1
    assert later.err == "error: process 1 of 2 was killed by SIGKILL, and the run with it\n"
    assert last(two.folder / "dies")["global_step"] == 4  # whose gradients it had still given


def test_a_machine_that_dies_ends_the_run_on_the_others(nodes):
    assert nodes.second.code == -signal.SIGKILL
    assert nodes.first.code == 1
    (error,) = nodes.first.err.splitlines()
    assert error.startswith("error: another process has died, or cannot be reached: ")


@pytest.mark.slow
def test_every_configuration_trains_in_two_processes(tmp_path, monkeypatch):
    small = ["--trainer.max_epochs=1", "--trainer.accelerator=cpu", "--trainer.strategy=ddp"]
    small += ["--trainer.devices=2", "--trainer.sync_batchnorm=true"]
    small += [f"--trainer.limit_{split}_batches=2" for split in ("train", "val", "test")]
    configs = sorted((ROOT / "configs").glob("ch*/*.yaml"))
    runs = [
        ["fit", f"--config={config}", "--run=two", *small]
        + (["--data.val_size=20"] if "MNIST" in config.read_text() else [])
        for config in configs
    ]
    done = ended(start(tmp_path, runs, files=FILES))
    assert (done.code, done.err) == (0, "")
    assert done.out.count("best epoch 1 of 1") == len(configs)
    for config in configs:
        folder = tmp_path / "runs" / config.parent.name / config.stem / "two"
        assert last(folder)["global_step"] >= 1


@pytest.fixture
def at_once(monkeypatch):
    """No waiting; what would end this process is noted."""
    ends = []
    monkeypatch.setattr(processes, "POLL", 0.01)
    monkeypatch.setattr(processes, "GRACE", 0.1)
    monkeypatch.setattr(processes, "CHILDREN", [])
    monkeypatch.setattr(processes.os, "_exit", ends.append)
    return ends


def sleeper():
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])


def test_a_run_that_hangs_is_ended_when_a_child_dies(at_once, capsys):
    with sleeper() as first, sleeper() as second, processes.together():
        processes.subprocess_script._launch_process_observer([first, second])
        second.terminate()
        first.wait(60)  # it would sleep: whoever is left is ended too
        deadline = time.monotonic() + 60
        while not at_once and time.monotonic() < deadline:
            time.sleep(0.01)
    assert at_once == [1]
    error = "error: process 2 of 3 was killed by SIGTERM, and the run with it\n"
    assert capsys.readouterr().err == error


def test_children_that_end_well_are_no_death(at_once):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait(60)
    processes.CHILDREN.append(child)
    asked = subprocess.Popen([sys.executable, "-c", "raise SystemExit(143)"])  # by SIGTERM
    asked.wait(60)
    processes.CHILDREN.append(asked)
    assert processes._dead() == ""
    bad = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    bad.wait(60)
    processes.CHILDREN.append(bad)
    assert processes._dead() == "process 3 of 4 ended with exit code 3, and the run with it"


def test_an_orphan_ends(at_once, monkeypatch, capsys):
    monkeypatch.setenv(processes.MAIN, str(os.getppid()))
    with processes.together():
        monkeypatch.setattr(processes.os, "getppid", lambda: 1)
        deadline = time.monotonic() + 60
        while not at_once and time.monotonic() < deadline:
            time.sleep(0.01)
    assert at_once == [1]
    assert capsys.readouterr().err == "error: the main process has died\n"


def test_an_error_of_its_own_is_left_as_it_is(at_once, monkeypatch):
    with pytest.raises(RuntimeError, match="shapes"), processes.together():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    sentence = r"cannot be reached: Connection closed by peer$"
    with pytest.raises(RuntimeError, match="closed by peer"), processes.together():
        raise RuntimeError("Connection closed by peer\nand more")  # nobody was there yet
    monkeypatch.setattr(processes.Together, "met", True)
    with pytest.raises(RunFailed, match=sentence), processes.together():
        raise RuntimeError("Connection closed by peer\nand more")


def test_plugin_knows_both_libraries_and_puts_back_what_it_found():
    class Own(nn.BatchNorm1d):
        pass

    net = L.LightningModule()
    net.layers = nn.Sequential(nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2), Own(2), nn.ReLU())
    kinds = [type(layer) for layer in net.layers]
    plugin = processes.SyncBatchNorm()
    for device, theirs in (("cpu", nn.SyncBatchNorm), ("cuda", torch.nn.SyncBatchNorm)):
        strategy = SimpleNamespace(root_device=torch.device(device))
        net._trainer = SimpleNamespace(strategy=strategy)
        before = dict(net.layers[0].__dict__)
        assert plugin.apply(net) is net
        assert [type(layer) for layer in net.layers] == [nn.SyncBatchNorm, theirs, Own, nn.ReLU]
        assert plugin.revert(net) is net
        assert [type(layer) for layer in net.layers] == kinds
        assert net.layers[0].__dict__.keys() == before.keys()


def test_one_process_may_be_told_to_share(tmp_path, monkeypatch):
    write_config(tmp_path)
    monkeypatch.chdir(tmp_path)
    done = run([*FIT, *KINDS["ours"], "--trainer.logger=false", "--trainer.max_epochs=1"])
    assert {type(layer) for layer in done.model.modules()} >= {nn.BatchNorm1d}
