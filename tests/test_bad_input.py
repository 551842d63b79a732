"""Whatever is given: the promised exit code, one sentence with the value, nothing left behind.

``BAD`` is the table: what lies there, what is typed, what is said. ``CALLS`` is the same for
Python, where torch's own layer or rule sets the kind of exception.
"""

import argparse
import contextlib
import gzip
import hashlib
import importlib
import io
import os
import random
import shlex
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch.utils.tensorboard import SummaryWriter
from torchvision import datasets

from dlbook_torch import data, nn, optim
from dlbook_torch.bench import kills
from dlbook_torch.search import study as studies
from dlbook_torch.training.whole import damage
from tests.idx import idx_bytes, use_mnist
from tests.test_experiment import EXPERIMENT, STUDIES
from tests.test_search import SMALL
from tests.test_survive import TINY

ROOT = Path(__file__).parents[1]
MAINS = {
    "train": "training.cli",
    "diagnose": "diagnostics.cli",
    "search": "search.cli",
    "experiment": "experiment.cli",
    "figures": "experiment.gallery",
    "parity": "parity.ledger",
    "bench": "bench.cli",
    "race": "experiment.race",
    "backprop": "autograd.cli",
    "diagnostics_bench": "bench.diagnostics",
    "kills": "bench.kills",
}
FIT, RUN = "train fit --config configs/run.yaml", "configs/run.yaml"
TEST = FIT.replace("fit", "test", 1)
Content = str | bytes | Callable[[Path], Any]


@dataclass(frozen=True)
class Bad:
    """One bad input.

    Args:
        typed: the command line, its first word one of MAINS.
        says: a part of the sentence.
        files: what lies in the working folder besides ``configs/run.yaml``.
        code: exit code.
        leaves: the folder below which a result may appear all the same.
        lines: most lines of the message.
    """

    typed: str
    says: str
    files: Mapping[str, Content] = field(default_factory=dict)
    code: int = 2
    leaves: str = ""
    lines: int = 4

    def __str__(self) -> str:
        return f"{self.typed} {' '.join(self.files)}".replace(FIT, "fit").replace(TEST, "test")


def put(folder: Path, files: Mapping[str, Content]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)


def seen(folder: Path, but: str = "") -> dict[str, Any]:
    """Every name below a folder with what is in it, but for what lies below one of them."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else path.is_dir()
        for path in folder.rglob("*")
        if not but or path.relative_to(folder).parts[0] != but
    }


def outcome(typed: str | list[str]) -> int:
    """Run a command line in this process and return its exit code."""
    name, *args = shlex.split(typed) if isinstance(typed, str) else typed
    main = importlib.import_module(f"dlbook_torch.{MAINS[name]}").main
    try:
        return main(args) or 0
    except SystemExit as end:
        return int(end.code or 0)


@contextlib.contextmanager
def patience(seconds: int):
    """What takes longer hangs."""

    def late(*_):
        raise AssertionError(f"hangs: over {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current directory with one configuration, and a module of studies."""
    kills.workplace(tmp_path / "here", TINY)
    put(tmp_path, {"modules/studies_of_mine.py": STUDIES})
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.delitem(sys.modules, "studies_of_mine", raising=False)
    monkeypatch.setattr(studies, "ATTEMPTS", 1)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


# the table: training ------------------------------------------------------------------------------

OPTIONS = {  # after fit --config configs/run.yaml
    "--trainer.accelerator=warp": "accelerator='warp'",
    "--trainer.accelerator=tpu": "torch_xla",
    "--trainer.devices=0": "Trainer(devices='0')",
    "--trainer.devices=-3": "an int > 0",
    "--trainer.precision=8": "'bf16', got '8'",
    "--trainer.gradient_clip_val=-1": "trainer.gradient_clip_val must be at least 0, got -1",
    "--trainer.accumulate_grad_batches=0": "accumulate_grad_batches must be at least 1, got 0",
    "--trainer.check_val_every_n_epoch=0": "check_val_every_n_epoch must be at least 1, got 0",
    "--trainer.log_every_n_steps=-1": "log_every_n_steps must be at least 0, got -1",
    "--trainer.num_sanity_val_steps=-5": "num_sanity_val_steps must be at least -1, got -5",
    "--trainer.limit_train_batches=2.5": "invalid value 2.5 for limit_train_batches",
    "--trainer.overfit_batches=-1": "invalid value -1 for overfit_batches",
    "--trainer.val_check_interval=5.5": "invalid value 5.5",
    "--trainer.max_epochs=nan": "trainer.max_epochs: expected int, got 'nan'",
    "--trainer.max_epochs=1.5": "trainer.max_epochs: expected int, got '1.5'",
    "--trainer.max_epochs=true": "trainer.max_epochs: expected int, got 'True'",
    "--trainer.max_steps=-7": "You passed in -7",
    "--trainer.gradient_clip_algorithm=size": "`gradient_clip_algorithm` size is invalid",
    "--trainer.strategy=warp": "strategy='warp'",
    "--trainer.default_root_dir=configs/run.yaml": "Not a directory: 'configs/run.yaml/runs",
    "--trainer.default_root_dir=/dev/null/x": "Not a directory: '/dev/null/x/runs",
    "--trainer.logger=maybe": "trainer.logger: expected Iterable or bool, got 'maybe'",
    "--trainer.callbacks='[{class_path: nowhere.X}]'": "trainer.callbacks: no module named 'nowhe",
    "--trainer.profiler=unknown": "it can only be one of ['simple'",
    "--trainer.max_time=yesterday": "`Timer(duration='yesterday')`",
    "--seed_everything=-1": "-1 is not in bounds",
    "--seed_everything=x": "seed_everything: expected bool or int, got 'x'",
    "--run=../outside": "--run ../outside: expected a name for a folder in runs/run",
    "--run=a/b": "--run a/b: expected a name",
    "--run=.": "--run .: expected a name",
    "--run=..": "--run ..: expected a name",
    "--run=/tmp/x": "--run /tmp/x: expected a name",
    f"--run={'x' * 300}": "expected a name",
    "--ckpt_path=configs": "--ckpt_path configs: no such file",
    "--ckpt_path=configs/run.yaml": "configs/run.yaml: not a readable checkpoint (File is not",
    "--ckpt_path=": "found no path for the best weights: ''",
    "--data.subset=0": "subset must be between 1 and 1150, got 0",
    "--data.subset=1000000": "subset must be between 1 and 1150, got 1000000",
    "--data.val_size=-1": "val_size must be between 1 and 1199, got -1",
    "--data.label_noise=2": "label_noise must be between 0.0 and 1.0, got 2.0",
    "--data.augment=spin": "expected one of 'shift', 'flip', 'shift+flip', got 'spin'",
    "--data.batch_size=1.5": "data.batch_size: expected int, got '1.5'",
    "--data=dlbook_torch.data.CIFAR11": "has no 'CIFAR11', did you mean 'CIFAR10'?",
    "--data.batch_size": "expected one argument",
    "--model.net.hidden='[0]'": "width must be at least 1, got 0",
    "--model.net.hidden='[3'": "model.net.hidden: expected list, got '[3'",
    "--model.net.dropout=1.5": "between 0 and 1, but got 1.5",
    "--model.net.activation=tanhh": "'sigmoid', 'tanh', 'relu', got 'tanhh'",
    "--model.net.init=-1": "init must not be negative as a standard deviation, got -1.0",
    "--model.net.in_features=63": "expected 63 features along the last axis, got (10, 64)",
    "--model.net.out_features=5": "is out of bounds for 5 classes",
    "--model.net=dlbook_torch.models.hidden_units": "hidden_units is not a subclass of Module",
    "--model=dlbook_torch.models.MLP": "MLP is not a subclass of LightningModule",
    "--model.net.library=numpy": "expected one of 'dlbook', 'torch', got 'numpy'",
    "--model.optimizer.lr=nan": "model.optimizer.lr: expected float, got 'nan'",
    "--model.optimizer.momentum=-1": "momentum must be in [0, inf), got -1.0",
    "--model.optimizer=torch.nn.ReLU": "torch.nn.ReLU is not a subclass of Optimizer",
    "--model.optimizer.betas=3": "betas: no such option of dlbook_torch.optim.SGD",
    "--model.lr_scheduler=torch.optim.lr_scheduler.StepLR": "nothing given for step_size",
    "--finite_loss=maybe": "finite_loss: no class 'maybe'",
    "extra": "unrecognized arguments: extra",
    "--config=": "Is a directory",
    "--config '{a: 1'": "expected ',' or '}'",
    "--config no.yaml": "--config no.yaml: No such file or directory",
}  # fmt: skip
NET = "model: {init_args: {net: {class_path: dlbook_torch.models.MLP, init_args: {in_features: 64, "
NET += "out_features: 10, hidden: [5], %s}}}}\n"
CONFIGS: dict[str, tuple[Content, str]] = {  # a second --config x.yaml
    "empty": ("", "--config x.yaml: expected sections like trainer, model and data"),
    "a zero byte": ("a: \0\n", "x.yaml, unacceptable character #x0000"),
    "latin": (b"a: \xe4\n", "--config x.yaml: not a text file"),
    "all bytes": (bytes(range(256)), "--config x.yaml: not a text file"),
    "twice": ("trainer: {max_epochs: 1, max_epochs: 2}\n", "column 26: max_epochs stands there tw"),
    "section twice": ("trainer: {}\ndata: {}\ntrainer: {}\n", "line 3, column 1: trainer stands t"),
    "deep list": ("a: " + "[" * 5000, "x.yaml, it is nested too deeply"),
    "deep mapping": ("a: " + "{a: " * 3000, "x.yaml, it is nested too deeply"),
    "in itself": ("trainer: &x {callbacks: *x}\n", "line 1, column 10: found unconstructable"),
    "date": ("trainer: {max_epochs: 2026-01-01}\n", "max_epochs: expected int, got '2026-01-01'"),
    "no date": ("trainer: {max_epochs: 2026-13-01}\n", "month must be in 1..12"),
    "many digits": (f"trainer: {{max_epochs: {'9' * 5000}}}\n", "Exceeds the limit (4300 digits)"),
    "yes": ("trainer: {max_epochs: yes}\n", "trainer.max_epochs: expected int, got 'True'"),
    "no trainer": ("trainer: null\n", "x.yaml: trainer: expected its options, got None"),
    "a list": ("trainer: [1]\n", "x.yaml: trainer: expected its options, got [1]"),
    "a word": ("trainer: hello\n", "x.yaml: trainer: expected its options, got 'hello'"),
    "no model": ("model: null\n", "nothing given for model"),
    "data is 3": ("data: 3\n", "data: that is no LightningDataModule"),
    "class is 3": ("model: {class_path: 3}\n", '"model"'),
    "a tab": ("trainer:\n\tmax_epochs: 3\n", "line 2, column 1: found character '\\t'"),
    "no anchor": ("a: *x\n", "line 1, column 4: found undefined alias 'x'"),
    "documents": ("a: 1\n---\nb: 2\n", "line 2, column 1: but found another document"),
    "key is 1": ("1: 2\n", "Key must be a string, got: 1"),
    "key is a list": ("[1]: 2\n", "found unhashable key"),
    "a tag": ("a: !foo 3\n", "could not determine a constructor for the tag '!foo'"),
    "lr": ("model: {init_args: {optimizer: {class_path: dlbook_torch.optim.SGD, init_args: {lr: "
           ".nan}}}}\n", "lr must be in [0, inf), got nan"),
    "dropout": (NET % "dropout: .nan", "between 0 and 1, but got nan"),
    "init": (NET % "init: .nan", "nan"),
    "noise": ("data: {init_args: {label_noise: .nan}}\n", "between 0.0 and 1.0, got nan"),
    "wide": (NET.replace("[5]", "[99999999999]") % "dropout: 0", "you tried to allocate"),
    "wider": (NET.replace("[5]", f"[{10**20}]") % "dropout: 0", "Overflow when unpacking long"),
    "other": ("config: other.yaml\n", "File does not exist"),
    "loop": (lambda path: path.symlink_to(path), "x.yaml: Too many levels of symbolic links"),
}  # fmt: skip


def checkpoint(content: Any) -> Callable[[Path], None]:
    return lambda path: torch.save(content, path)


def weights(**change: Any) -> dict[str, torch.Tensor]:
    sizes = {1: (20, 64), 3: (20, 20), 5: (10, 20)}
    made = {f"net.layers.{i}.weight": torch.zeros(size) for i, size in sizes.items()}
    return made | {f"net.layers.{i}.bias": torch.zeros(size[0]) for i, size in sizes.items()}


NO_STATE = "x.ckpt: not a Lightning checkpoint, it has no state_dict of tensors"
LOOPS = {"fit_loop": {"epoch_progress": {"current": {"processed": 1}}}}
REST = dict(epoch=1, global_step=5, optimizer_states=[], lr_schedulers=[], loops=LOOPS)
REST["pytorch-lightning_version"] = "2.6.0"
CHECKPOINTS: dict[str, tuple[Content, str]] = {
    "list": (checkpoint([1, 2]), NO_STATE),
    "tensor": (checkpoint(torch.zeros(3)), NO_STATE),
    "number": (checkpoint({"state_dict": 3}), NO_STATE),
    "numbers": (checkpoint({"state_dict": {"w": 1}}), NO_STATE),
    "keys": (checkpoint({"state_dict": {1: torch.zeros(2)}}), NO_STATE),
    "weights": (checkpoint({"state_dict": weights()}), "x.ckpt: no training to go on with, it has"),
    "loops": (checkpoint({**REST, "state_dict": weights(), "loops": 3}), "it has no loops"),
    "rule": (checkpoint({**REST, "state_dict": weights()}), "number of optimizers 0 -> 1"),
    "version": (
        checkpoint({**REST, "state_dict": weights(), "pytorch-lightning_version": 3}),
        "Invalid version: 3",
    ),
    "empty": (b"", "x.ckpt: not a readable checkpoint (File is not a zip file)"),
    "text": ("hello\n", "x.ckpt: not a readable checkpoint (File is not a zip file)"),
    "folder": (Path.mkdir, "--ckpt_path x.ckpt: no such file"),
    "pipe": (os.mkfifo, "--ckpt_path x.ckpt: no such file"),
    "link": (lambda path: path.symlink_to(path), "--ckpt_path x.ckpt: no such file"),
}
OTHER_NET = {"netz-ä-网.ckpt": checkpoint({**REST, "state_dict": {"w": torch.zeros(2)}})}

BAD = [
    *(Bad(f"{FIT} {option}", says) for option, says in OPTIONS.items()),
    *(Bad(f"{FIT} --config x.yaml", says, {"x.yaml": text}) for text, says in CONFIGS.values()),
    *(Bad(f"{FIT} --ckpt_path=x.ckpt", s, {"x.ckpt": c}) for c, s in CHECKPOINTS.values()),
    Bad(f"{TEST} --ckpt_path=x.ckpt", NO_STATE, {"x.ckpt": checkpoint({"state_dict": 3})}),
    Bad(f"{TEST} --ckpt_path=last", "--ckpt_path last: no earlier run has a last.ckpt"),
    Bad(
        f"{FIT} --ckpt_path=netz-ä-网.ckpt",
        "netz-ä-网.ckpt was saved from another network",
        OTHER_NET,
        lines=14,
    ),
    Bad("train fit", "nothing given for data, model"),
    Bad(
        "train fit --config 'a b.yaml'",
        "max_epoch: no such option",
        {"a b.yaml": "trainer: {max_epoch: 1}"},
    ),
    Bad("train fti", "unknown command 'fti'"),
]

# logs ---------------------------------------------------------------------------------------------

HEAD = "epoch,train_loss,val_loss\n"
LOG = HEAD + "".join(f"{e},{2 - e / 10},{2 - e / 11}\n" for e in range(12))


def events(change: Callable[[bytes], bytes] = bytes) -> Callable[[Path], None]:
    """TensorBoard's file of a short run, changed."""

    def make(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            with SummaryWriter(folder) as writer:
                for e in range(12):
                    writer.add_scalar("train/loss", 2 - e / 10, e)
                    writer.add_scalar("val/loss", 2 - e / 11, e)
            (file,) = Path(folder).iterdir()
            path.write_bytes(change(file.read_bytes()))

    return make


LOGS: dict[str, tuple[Content, str]] = {
    "x.csv": ("", "x.csv is empty"),
    "bom.csv": (b"\xef\xbb\xbf", "bom.csv is empty"),
    "zero.csv": (bytes(100), "zero.csv is no text: it holds zero bytes"),
    "utf32.csv": (LOG.encode("utf-32"), "utf32.csv is no text"),
    "random.csv": (random.Random(1).randbytes(500), "random.csv is no text: byte"),
    "inf.csv": (HEAD + "inf,1,1\n1,1,1\n", "has 'inf' as epoch in row 1"),
    "quote.csv": (HEAD + '0,"1,1\n1,1,1\n', "has 2 cells instead of 3 in line 2"),
    "cell.csv": (HEAD + "0,1," + "9" * 200_000 + "\n", "field larger than field limit"),
    "words.csv": (HEAD + "0,one,two\n", "has no column of numbers"),
    "twice.csv": (HEAD + "0,1,1\n0,1,2\n", "has epoch 0 twice, with val_loss 1 and 2"),
    "two_runs.csv": (HEAD + "0,1,1\n1,1,1\n2,1,1\n0,1,1\n1,1,1\n", "holds several runs"),
    "digits.json": ('[{"train_loss": 1, "val_loss": ' + "9" * 5000 + "}]", "a number is too long"),
    "bool.json": ('[{"train_loss": true, "val_loss": false}]', "has no column of numbers"),
    "nested.json": ('[{"train_loss": [1], "val_loss": {}}]', "has no column of numbers"),
    "mixed.json": ('[1, {"a": 2}]', "neither a list of rows nor lists by name"),
    "epoch.json": ('[{"epoch": [1], "loss": 1, "val_loss": 1}]', "has '[1]' as epoch in row 1"),
    "lengths.json": ('{"loss": [1, 2], "val_loss": [1]}', "loss has 2, val_loss has 1"),
    "deep.json": ("[" * 100_000, "it is nested too deeply"),
    "pipe": (os.mkfifo, "pipe is neither a file nor a folder"),
    "tfevents.cut": (events(lambda raw: raw[:60]), "without a single scalar: tfevents.cut breaks"),
    "tfevents.flip": (events(lambda raw: b"\1" + raw[1:]), "tfevents.flip is damaged at byte 0"),
    "tfevents.long": (struct.pack("<Q", 2**63) + b"x" * 50, "tfevents.long is damaged at byte 0"),
    "tfevents.empty": (b"", "without a single scalar"),
    "empty/.keep": ("", "empty holds no log"),
    "loop/a": (lambda path: path.symlink_to(path.parent), "loop holds no log"),
    "pipes/metrics.csv": (os.mkfifo, "pipes holds no log"),
    "gone/metrics.csv": (lambda path: path.symlink_to("nowhere"), "gone holds no log"),
    "board/tfevents.x": (Path.mkdir, "board holds no log"),
    "a b/<i>.csv": ("", "a b/<i>.csv is empty"),
}  # fmt: skip
BAD += [
    *(
        Bad(f"diagnose {shlex.quote(says.partition(' holds no log')[0])}", says, {name: content})
        if says.endswith("holds no log")
        else Bad(f"diagnose {shlex.quote(name)}", says, {name: content})
        for name, (content, says) in LOGS.items()
    ),
    Bad("diagnose", "arguments are required: PATH"),
    Bad("diagnose nowhere", "nowhere does not exist"),
    Bad("diagnose /dev/zero", "/dev/zero is neither a file nor a folder"),
    *(
        Bad(f"diagnose log.csv {option}", says, {"log.csv": LOG})
        for option, says in {
            "--train nothing": "log.csv has no tag nothing; its tags are train_loss, val_loss",
            "--classes 1.5": "must be a whole number from 2, got 1.5",
            "--classes nan": "must be a whole number from 2, got nan",
            "--baseline nan": "must be a number above 0, got nan",
            "--target-accuracy 0": "must be above 0 and at most 1, got 0",
            "--html .": "cannot be written: Is a directory",
            "--html no/x.html": "cannot be written: No such file or directory",
            "--plot no/x.png": "cannot be written: No such file or directory",
            "--plot x.gif": "x.gif must end in .png, .pdf or .svg",
            "--html log.csv": "log.csv is a log that is to be read",
        }.items()
    ),
    Bad("diagnose nan.csv", "", {"nan.csv": HEAD + "0,nan,nan\n1,nan,nan\n"}, code=1),
    Bad("diagnose contra.csv", "", {"contra.csv": HEAD + "0,inf,-inf\n1,inf,inf\n"}, code=1),
]

# experiments, searches, scripts -------------------------------------------------------------------


def experiment(**changes: Any) -> str:
    head, _, body = EXPERIMENT.partition("\n")
    content = {**yaml.safe_load(body), **changes}
    return f"{head}\n{yaml.safe_dump({k: v for k, v in content.items() if v is not None})}"


def search(**changes: Any) -> str:
    base = ROOT / "configs/ch03/digits_mlp_sigmoid.yaml"
    return yaml.safe_dump(yaml.safe_load(SMALL.format(base=base)) | changes)


X, S = {"x.yaml": EXPERIMENT}, {"s.yaml": search()}
ONE = "--jobs 1 --seeds 2"
IN_ITSELF: list[Any] = []
IN_ITSELF.append(IN_ITSELF)
BAD += [
    *(
        Bad(f"experiment x.yaml {ONE}", says, {"x.yaml": experiment(**changes)})
        for says, changes in {
            "x.yaml: with must be a mapping, got 3": {"with": 3},
            "x.yaml: with must be a mapping, got [1]": {"with": [1]},
            "x.yaml: arms.a must be a mapping, got 3": dict(arms={"a": 3, "b": {}}),
            "x.yaml: compare: no arm is called 'b'; there are []": dict(arms={}),
            "x.yaml: compare: there is nothing to compare": dict(
                compare=dict(arm=[], **{"less than": "a"})
            ),
            "by must be a number from 0 on, got nan": dict(
                compare={"arm": "a", "less than": "b", "by": float("nan")}
            ),
            "by must be a number from 0 on, got inf": dict(
                compare={"arm": "a", "less than": "b", "by": float("inf")}
            ),
            "expected an arm or a finite number, got nan": dict(
                compare={"arm": "a", "less than": float("nan")}
            ),
            "x.yaml: figure must be a mapping, got 3": dict(figure=3),
            "x.yaml: base: no such file: 3": dict(study=None, base=3),
            "x.yaml: no function 3": dict(study=3),
            "x.yaml: a.1: no such key": dict(arms={"a": {1: 2}, "b": {}}),
            "would have the same file": dict(
                arms={"a b": {}, "a,b": {}}, compare={"arm": "a b", "less than": "a,b"}
            ),
        }.items()
    ),
    Bad(
        "experiment x.yaml --jobs 1",
        "seeds must be a whole number from 1 on, got True",
        {"x.yaml": experiment(seeds=True)},
    ),
    Bad(
        "experiment x.yaml",
        "x.yaml: it is nested too deeply",
        {"x.yaml": "# notes 6.3: x\n" + "[" * 3000},
    ),
    Bad(
        "experiment x.yaml",
        "line 3, column 1: claim stands there twice",
        {"x.yaml": "# notes 6.3: x\nclaim: a\nclaim: b\n"},
    ),
    Bad("experiment x.yaml", "codec can't decode byte 0xff", {"x.yaml": b"\xff\xfe"}),
    Bad(f"experiment x.yaml {ONE} --set a=[", "a=[: line 1, column 2", X),
    Bad(f"experiment x.yaml {ONE} --set mean", "expected name=value, got 'mean'", X),
    Bad(f"experiment x.yaml {ONE} --out x.yaml", "error: x.yaml/x/runs/a: Not a directory", X),
    Bad("experiment x.yaml --seeds -1", "seeds must be a whole number from 1 on, got -1", X),
    Bad(
        f"experiment x.yaml {ONE}",
        "'nothing': the run measured no 'nothing'",
        {"x.yaml": experiment(metrics={"value": "nothing"})},
        leaves="runs",
    ),
    Bad(
        f"experiment x.yaml {ONE}",
        "failed: x, a, seed 0: TypeError",
        {"x.yaml": experiment(arms={"a": {"mean": "x"}, "b": {"mean": "x"}})},
        code=1,
        leaves="runs",
        lines=99,
    ),
    Bad("experiment all", "there are no experiments in configs/experiments"),
    Bad("experiment nothing", "no experiment is called 'nothing'"),
    Bad(
        "experiment measure perceptron.learning",
        "missing 1 required positional argument: 'gate'",
        code=1,
    ),
    Bad("experiment measure perceptron.learning gate=XX", "error: KeyError: 'XX'", code=1),
    Bad("experiment measure perceptron.learning gate=[", "gate=[: line 1"),
    Bad("experiment measure studies_of_mine.fails", "error: ValueError: out of luck", code=1),
    Bad("experiment measure os.nothing", "no function 'os.nothing'"),
    Bad("figures 9.9", "no experiment belongs to notes 9.9"),
    Bad("figures --jobs 0", "--jobs: must be at least 1, got 0"),
    Bad(
        "figures 6 --jobs 1 --runs configs/run.yaml",
        "error: configs/run.yaml/x/runs/a: Not a directory",
        {"configs/experiments/x.yaml": EXPERIMENT},
    ),
    Bad(
        "figures 6 --jobs 1 --out configs/run.yaml",
        "error: configs/run.yaml: File exists",
        {"configs/experiments/x.yaml": EXPERIMENT},
        leaves="runs",
    ),
    *(
        Bad("search --config s.yaml", says, {"s.yaml": search(**changes), "b.yaml": "- 1\n"})
        for says, changes in {
            "space: a: choice: Object of type date": dict(
                space={"a": {"choice": yaml.safe_load("[2026-01-01, 2026-01-02]")}}
            ),
            "found unconstructable recursive node": dict(space={"a": {"choice": [IN_ITSELF, 1]}}),
            "the direction min or max, got ['min']": dict(
                score={"metric": "val/loss", "direction": ["min"]}
            ),
            "keep: expected a number above 0 and at most 1, got True": dict(keep=True),
            "keep: expected a number above 0 and at most 1, got nan": dict(keep=float("nan")),
            "a: uniform needs two numbers, got ['x', 'y']": dict(
                space={"a": {"uniform": ["x", "y"]}}
            ),
            "space: expected at least one parameter": dict(space=[1]),
            "epochs: expected a whole number from 1, got True": dict(epochs=True),
            "base: no file 3": dict(base=3),
            "b.yaml: expected sections": dict(base="b.yaml"),
            "model: no class 'a'": dict(space={"model": {"choice": ["a", "b"]}}),
            "lr must be in [0, inf), got -1.0": dict(
                space={"model.optimizer.lr": {"uniform": [-1, 1]}}
            ),
        }.items()
    ),
    Bad("search", "arguments are required: --config"),
    Bad("search --config no.yaml", "--config no.yaml: No such file"),
    Bad("search --config b", "--config b: not a text file", {"b": b"\xff\xfe"}),
    Bad("search --config b", "rounds stands there twice", {"b": search() + "rounds: 3\n"}),
    Bad("search --config s.yaml --storage configs", "--storage configs: ", S),
    Bad(
        "search --config s.yaml --storage j",
        "--storage j: there is no journal",
        S | {"j": b"\0garbage\xff\n"},
    ),
    Bad(
        "search --config s.yaml --storage sqlite:///b.db",
        "file is not a database",
        S | {"b.db": b"no database" * 99},
    ),
    Bad(
        "search --config s.yaml",
        "expected 60 features",
        {"s.yaml": search(space={"model.net.in_features": {"choice": [60, 64]}})},
    ),
    Bad("search --config s.yaml --out s.yaml", "error: s.yaml: File exists", S),
    Bad("search --config s.yaml --jobs 0", "expected a whole number from 1, got '0'", S),
    Bad(
        "search --config s.yaml --patience nan",
        "expected a number of seconds above 0, got 'nan'",
        S,
    ),
    Bad(
        "search --config s.yaml --out o",
        "o/trials has the trials of another study",
        S | {"o/trials/0000/x": ""},
        leaves="o",
    ),
    *(
        Bad(typed, says)
        for typed, says in {
            "parity --only Nothing": "invalid choice: 'Nothing'",
            "parity --device warp": "--device warp with float64",
            "parity --dtype int8": "invalid choice: 'int8'",
            "parity --only Linear --json no/x.json": "--json no/x.json: there can be no such file",
            "parity --only Linear --json configs": "--json configs: there can be no such file",
            "parity --only Linear --markdown configs": "--markdown configs: there can be no such",
            "parity --only Linear --markdown configs/run.yaml": "configs/run.yaml has no <!--",
            "parity --zoo Nothing": "torchvision has no Nothing",
            "bench xyz": "invalid choice: 'xyz'",
            "bench data --rounds 0": "must be a whole number from 1, got 0",
            "bench data --data-dir nowhere": "MNIST (",
            "bench rules Nothing": "no rule Nothing",
            "race --lr Adam": "say it like Adam=0.1, not 'Adam'",
            "race --lr Adam=-1": "a rate must be a positive number, got '-1'",
            "race --lr Adma=1": "no rule is called 'Adma'; did you mean Adam",
            "race --steps 0": "steps must be a whole number from 1 on, got '0'",
            "race --start x 1": "a coordinate must be a finite number, got 'x'",
            "race --library numpy": "invalid choice: 'numpy'",
            "race --only SGD --out configs/run.yaml": "cannot write to configs/run.yaml: ",
            "backprop --eta 0": "a rate must be a positive number, got '0'",
            "backprop --eta nan": "a rate must be a positive number, got 'nan'",
            "backprop --steps 1.5": "steps must be a whole number from 1 on, got '1.5'",
            "diagnostics_bench --jobs 0": "must be a whole number from 1, got 0",
            "diagnostics_bench --only nothing": "invalid choice: 'nothing'",
            "diagnostics_bench --markdown no.md": "--markdown no.md: ",
            "kills --kills 0": "must be at least 1, got 0",
            "kills --seed x": "invalid int value: 'x'",
        }.items()
    ),
]


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_bad_input_has_its_exit_code_and_one_sentence_and_leaves_nothing(
    bad, here, capsys, monkeypatch
):
    for name in ("MNIST", "FashionMNIST"):
        monkeypatch.setattr(getattr(data, name).source, "mirrors", [])  # no network
    put(here, bad.files)
    before = seen(here, bad.leaves)
    with patience(30):
        assert outcome(bad.typed) == bad.code
    out, err = capsys.readouterr()
    said = err[max(err.rfind("\nerror: "), err.rfind(": error: "), -1) + 1 :]
    assert "Traceback" not in out + err
    assert bad.says in " ".join(said.split())
    assert len(said.splitlines()) <= bad.lines
    assert seen(here, bad.leaves) == before


def test_the_table_is_large_and_no_row_stands_twice():
    assert len(BAD) >= 120
    rows = [f"{bad.typed} {bad.says} {bad.files}" for bad in BAD]
    assert len(set(rows)) == len(rows)


# damage at random ---------------------------------------------------------------------------------


def damaged(raw: bytes, dice: random.Random) -> bytes:
    """A few bytes changed, taken out, put in or doubled, or the end cut off."""
    made = bytearray(raw)
    for _ in range(dice.choice((1, 1, 2, 5))):
        i, j = sorted(dice.randrange(len(made) + 1) for _ in range(2))
        j = min(j, i + dice.choice((1, 4, 30)))
        kind = dice.randrange(5)
        if kind == 0:
            made[i:j] = bytes(dice.randrange(256) for _ in range(j - i))
        elif kind == 1:
            made[i:j] = b""
        elif kind == 2:
            made[i:i] = dice.choice((b"\n", b"\0", b"[", b": ", b"-", b"nan", b"1e999", b"\xff"))
        elif kind == 3:
            made[i:i] = made[i:j]
        else:
            del made[dice.randrange(len(made) + 1) :]
        made = made or bytearray(b" ")
    return bytes(made)


def one_sentence_or_none(capsys, code: int, allowed: tuple[int, ...]) -> None:
    out, err = capsys.readouterr()
    assert code in allowed, err
    assert "Traceback" not in out + err
    if code == 2:
        assert 1 <= len(err.splitlines()) <= 14, err


def test_200_damaged_configurations_are_runs_or_one_sentence(here, capsys):
    raw, dice, codes = Path(RUN).read_bytes(), random.Random(0), []
    for _ in range(200):
        Path("x.yaml").write_bytes(damaged(raw, dice))
        before = seen(here)
        with patience(20):
            codes.append(outcome("train fit --config x.yaml --trainer.fast_dev_run=true"))
        one_sentence_or_none(capsys, codes[-1], (0, 2))
        assert seen(here) == before
    assert 100 < codes.count(2) < 200


LISTS = '{"epoch": [0, 1, 2, 3], "loss": [4, 3, 2, 1], "val_loss": [4, 3.5, 3, NaN]}'


@pytest.mark.parametrize(
    "name, content",
    {"metrics.csv": LOG, "history.json": LISTS, "events.out.tfevents.1": events()}.items(),
)
def test_200_damaged_logs_are_a_verdict_or_one_sentence(here, capsys, name, content):
    put(here, {f"logs/{name}": content})
    raw, dice, codes = (here / "logs" / name).read_bytes(), random.Random(0), []
    for _ in range(200):
        (here / "logs" / name).write_bytes(damaged(raw, dice))
        before = seen(here)
        with patience(20):
            codes.append(outcome("diagnose logs"))
        one_sentence_or_none(capsys, codes[-1], (0, 1, 2))
        assert seen(here) == before
    assert 10 < codes.count(2) < 200


def test_60_damaged_experiments_and_searches_are_one_sentence_or_can_be_read(here, capsys):
    dice = random.Random(0)
    for name, raw, typed in (
        ("x.yaml", EXPERIMENT, "experiment x.yaml --dry-run"),
        ("s.yaml", search(score=3), "search --config s.yaml"),  # never gets to run
    ):
        for _ in range(60):
            Path(name).write_bytes(damaged(raw.encode(), dice))
            before = seen(here)
            with patience(20):
                one_sentence_or_none(capsys, outcome(typed), (0, 2))
            assert seen(here) == before


# data ---------------------------------------------------------------------------------------------

RAW = "MNIST/raw/train-images-idx3-ubyte"
DATA = "train fit --config data.yaml --trainer.max_epochs=1 --trainer.logger=false"


def change(how: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(how(path.read_bytes()))


def replaced(by: Callable[[Path], Any]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.unlink()
        by(path)

    return make


@pytest.mark.parametrize(
    "how, says",
    {
        "cut": (change(lambda raw: raw[:-7]), "is damaged"),
        "one more byte": (change(lambda raw: raw + b"\0"), "is damaged"),
        "two other bytes": (change(lambda raw: raw[:99] + b"?!" + raw[101:]), "is damaged"),
        "magic": (change(lambda raw: b"\1" + raw[1:]), "is damaged"),
        "empty": (change(lambda raw: b""), "is damaged"),
        "no images": (change(lambda raw: idx_bytes(np.zeros((0, 28, 28), "u1"))), "is damaged"),
        "html": (change(lambda raw: b"<html>404</html>"), "is damaged"),
        "gzip": (change(gzip.compress), "is damaged"),
        "half a gzip": (
            lambda path: path.with_name(path.name + ".gz").write_bytes(
                gzip.compress(path.read_bytes())[:-9]
            ) and path.unlink(),
            "the md5 of its content should be",
        ),
        "missing": (Path.unlink, "is not in"),
        "a folder": (replaced(Path.mkdir), "is not in"),
        "a pipe": (replaced(os.mkfifo), "is not in"),
        "a loop": (replaced(lambda path: path.symlink_to(path)), "is not in"),
    }.values(),
    ids=str,
)  # fmt: skip
def test_a_damaged_data_set_is_refused_before_a_step(here, capsys, monkeypatch, how, says):
    use_mnist(monkeypatch, here / "mnist")
    monkeypatch.setattr(data.MNIST.source, "mirrors", [])
    net = {"in_features": 784, "out_features": 10, "hidden": [5]}
    config = yaml.safe_load(Path(RUN).read_text())
    config["model"]["init_args"]["net"]["init_args"] = net
    config["data"] = {"class_path": "dlbook_torch.data.MNIST", "init_args": {"batch_size": 10}}
    Path("data.yaml").write_text(yaml.safe_dump(config))
    how(here / "mnist" / RAW)
    before = seen(here)
    assert outcome(DATA) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert "train-images-idx3-ubyte" in said
    assert says in said
    assert seen(here) == before


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.mark.parametrize(
    "published", [False, True], ids=["unknown archive", "archive to be trusted"]
)
def test_an_archive_is_not_unpacked_outside_its_folder(tmp_path, monkeypatch, published):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name in (f"{tmp_path}/evil", "../../../evil", "cifar-10-batches-py/../../../evil"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    (tmp_path / "site").mkdir()
    file = tmp_path / "site" / datasets.CIFAR10.filename
    file.write_bytes(made.getvalue())
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "site"))
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/{file.name}"
    monkeypatch.setattr(datasets.CIFAR10, "url", url)
    if published:  # what only its maker could do
        monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(made.getvalue()).hexdigest())
    target = tmp_path / "a" / "b" / "c" / "data"
    target.mkdir(parents=True)
    before = seen(tmp_path)
    cifar10 = data.CIFAR10(data_dir=str(target))
    with pytest.raises(FileNotFoundError, match="could not be downloaded") as error:
        cifar10.prepare_data()
    server.shutdown()
    server.server_close()
    assert ("corrupted" in str(error.value)) != published
    assert seen(tmp_path) == before


# shapes and types: torch's own layer says which exception -----------------------------------------


def x(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype)


LONG, HALF, DOUBLE = torch.int64, torch.float16, torch.float64
CALLS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "Linear: features": (lambda lib: lib.Linear(3, 2)(x(4, 5)), "(4, 5)"),
    "Linear: scalar": (lambda lib: lib.Linear(3, 2)(x()), "()"),
    "Linear: int": (lambda lib: lib.Linear(3, 2)(x(4, 3, dtype=LONG)), ""),
    "Linear: double": (lambda lib: lib.Linear(3, 2)(x(4, 3, dtype=DOUBLE)), ""),
    "Linear: negative": (lambda lib: lib.Linear(-3, 2), "-3"),
    "Linear: float": (lambda lib: lib.Linear(3.5, 2), ""),
    "Conv2d: double": (lambda lib: lib.Conv2d(1, 1, 3)(x(1, 1, 5, 5, dtype=DOUBLE)), ""),
    "Conv2d: int": (lambda lib: lib.Conv2d(1, 1, 3)(x(1, 1, 5, 5, dtype=LONG)), ""),
    "Conv2d: five axes": (lambda lib: lib.Conv2d(1, 1, 3)(x(1, 1, 1, 5, 5)), "(1, 1, 1, 5, 5)"),
    "Conv2d: kernel 0": (lambda lib: lib.Conv2d(1, 1, 0)(x(1, 1, 5, 5)), ""),
    "Conv2d: channels 0": (lambda lib: lib.Conv2d(0, 1, 3)(x(1, 1, 5, 5)), ""),
    "BatchNorm1d: one sample": (lambda lib: lib.BatchNorm1d(3)(x(1, 3)), "(1, 3)"),
    "BatchNorm1d: channels": (lambda lib: lib.BatchNorm1d(3)(x(4, 5)), "3"),
    "BatchNorm1d: axes": (lambda lib: lib.BatchNorm1d(3)(x(4, 3, 2, 2)), "4"),
    "BatchNorm2d: axes": (lambda lib: lib.BatchNorm2d(3)(x(4, 3)), "2"),
    "MaxPool2d: axes": (lambda lib: lib.MaxPool2d(2)(x(4)), "(4,)"),
    "Dropout: 2": (lambda lib: lib.Dropout(2.0), "2.0"),
    "Softmax: dim": (lambda lib: lib.Softmax(dim=5)(x(2, 3)), "5"),
    "CrossEntropyLoss: class": (
        lambda lib: lib.CrossEntropyLoss()(x(2, 3), torch.tensor([0, 7])), "7"),
    "CrossEntropyLoss: batch": (
        lambda lib: lib.CrossEntropyLoss()(x(2, 3), torch.tensor([0, 1, 2])), "2"),
    "CrossEntropyLoss: int32": (
        lambda lib: lib.CrossEntropyLoss()(x(2, 3), x(2, dtype=torch.int32)), ""),
    "CrossEntropyLoss: smoothing": (lambda lib: lib.CrossEntropyLoss(label_smoothing=2.0)(
        x(2, 3), torch.tensor([0, 1])), "2.0"),
    "MSELoss: shapes": (lambda lib: lib.MSELoss()(x(2, 3), x(4, 5)), ""),
    "MSELoss: reduction": (lambda lib: lib.MSELoss(reduction="avg")(x(2), x(2)), "avg"),
    "NLLLoss: float": (lambda lib: lib.NLLLoss()(x(2, 3), x(2)), ""),
    "BCELoss: outside": (lambda lib: lib.BCELoss()(x(2) + 3, x(2)), "3"),
    "Flatten: dims": (lambda lib: lib.Flatten(3, 4)(x(2, 3)), "3"),
    "MultiheadAttention: heads": (lambda lib: lib.MultiheadAttention(5, 2), "5"),
    "Upsample: mode": (lambda lib: lib.Upsample(scale_factor=2, mode="cubic")(x(1, 1, 2)), "cubic"),
}  # fmt: skip
W = [torch.nn.Parameter(torch.zeros(2))]
RULE_CALLS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "SGD: rate": (lambda lib: lib.SGD(W, lr=-1.0), "-1.0"),
    "SGD: momentum": (lambda lib: lib.SGD(W, lr=0.1, momentum=-1.0), "-1.0"),
    "SGD: nesterov": (lambda lib: lib.SGD(W, lr=0.1, nesterov=True), "momentum"),
    "SGD: nothing": (lambda lib: lib.SGD([], lr=0.1), "empty"),
    "SGD: a tensor": (lambda lib: lib.SGD(W[0], lr=0.1), ""),
    "SGD: numbers": (lambda lib: lib.SGD([1, 2], lr=0.1), "int"),
    "Adam: beta": (lambda lib: lib.Adam(W, betas=(1.0, 0.9)), "1.0"),
    "Adam: eps": (lambda lib: lib.Adam(W, eps=-1.0), "-1.0"),
    "AdamW: decay": (lambda lib: lib.AdamW(W, weight_decay=-1.0), "-1.0"),
    "RMSprop: alpha": (lambda lib: lib.RMSprop(W, alpha=-1.0), "-1.0"),
    "Adagrad: decay": (lambda lib: lib.Adagrad(W, lr_decay=-1.0), "-1.0"),
    "Adadelta: rho": (lambda lib: lib.Adadelta(W, rho=2.0), "2.0"),
    "Rprop: etas": (lambda lib: lib.Rprop(W, etas=(2.0, 0.5)), "2.0"),
}


@pytest.mark.parametrize(
    "call, value, ours, theirs",
    [
        pytest.param(*row, ours, theirs, id=name)
        for rows, ours, theirs in ((CALLS, nn, torch.nn), (RULE_CALLS, optim, torch.optim))
        for name, row in rows.items()
    ],
)
@pytest.mark.filterwarnings(
    "ignore:Initializing zero-element", "ignore:Using a target size", "ignore:.*they broadcast"
)
def test_a_call_that_torch_refuses_is_refused_as_torch_does(call, value, ours, theirs):
    with pytest.raises(Exception) as expected:  # noqa: PT011
        call(theirs)
    with pytest.raises(expected.type) as found:
        call(ours)
    assert found.type is expected.type
    assert value in str(found.value)
    assert len(str(found.value).splitlines()) <= 4


# places and moments -------------------------------------------------------------------------------


def test_a_path_with_spaces_can_be_copied_from_what_is_printed(here, capsys):
    put(here, {"my configs/a run.yaml": Path(RUN).read_bytes()})
    config = "my configs/a run.yaml"
    assert outcome(["train", "fit", "--config", config, "--trainer.logger=true"]) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("tensorboard")]
    program, option, folder = shlex.split(line)
    assert (program, option) == ("tensorboard", "--logdir")
    assert (Path(folder) / "config.yaml").is_file()
    assert outcome(["diagnose", folder]) in (0, 1)


def test_a_path_that_is_no_utf_8_is_a_path(here, capsys):
    name = os.fsdecode(b"a\xff\xfe")
    try:
        Path(name).mkdir()
    except OSError as error:
        pytest.skip(f"this file system has no such names: {error}")
    root = f"--trainer.default_root_dir={name}"
    assert outcome(["train", "fit", "--config", RUN, root]) == 0
    assert "Traceback" not in capsys.readouterr().err
    put(here, {f"{name}/logs/metrics.csv": LOG})
    for option in ([], ["--json"], ["--html", f"{name}/x.html"], ["--plot", f"{name}/x.png"]):
        assert outcome(["diagnose", f"{name}/logs", *option]) in (0, 1)
    assert outcome(["diagnose", f"{name}/nothing"]) == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_one_sentence(here, capsys):
    here.chmod(0o500)
    try:
        assert outcome(FIT) == 2
    finally:
        here.chmod(0o700)
    assert "Permission denied" in capsys.readouterr().err


def test_two_runs_started_in_the_same_second_have_a_folder_each(here):
    processes = [kills.start(here) for _ in range(2)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    last = sorted(here.glob("runs/*/*/checkpoints/last.ckpt"))
    assert len(last) == 2
    assert [damage(path) for path in last] == [None, None]


def test_a_log_that_grows_is_judged_at_every_moment(here, capsys):
    stop, codes = threading.Event(), set()

    def grow() -> None:
        with SummaryWriter("logs") as writer, open("logs/metrics.csv", "w") as table:
            table.write(HEAD)
            for e in range(2000):
                if stop.wait(0.002):
                    return
                writer.add_scalar("train/loss", 1 / (e + 1), e)
                writer.add_scalar("val/loss", 1 / (e + 1), e)
                writer.flush()
                for character in f"{e},{1 / (e + 1)},{1 / (e + 1)}\n":
                    table.write(character)
                    table.flush()

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        while not Path("logs/metrics.csv").exists():
            stop.wait(0.01)
        for _ in range(40):
            for place in ("logs", "logs/metrics.csv"):
                codes.add(outcome(f"diagnose {place}"))
                out, err = capsys.readouterr()
                assert "Traceback" not in out + err
    finally:
        stop.set()
        thread.join()
    assert codes <= {0, 1, 2}
    assert codes & {0, 1}


def test_runs_of_different_lengths_are_compared(here, capsys):
    put(here, {"logs/a/metrics.csv": LOG, "logs/b/metrics.csv": LOG[: len(LOG) // 2]})
    assert outcome("diagnose logs") in (0, 1)
    assert "Runs compared" in capsys.readouterr().out


@contextlib.contextmanager
def tiny_disk(folder: Path):
    """A disk of 1 MB, where one can be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no mount here: {error}")
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("room", [0, 20_000, 100_000, 300_000])
@pytest.mark.parametrize("what", ["curves", "checkpoints"])
def test_a_full_disk_is_one_sentence(here, capfd, what, room):
    options = {
        "curves": "--trainer.logger=true --trainer.enable_checkpointing=false",
        "checkpoints": "--model.net.hidden=[500]",
    }
    with tiny_disk(here / "disk"):
        (here / "disk" / "filler").write_bytes(bytes((1 << 20) - room))
        code = outcome(f"{FIT} --trainer.default_root_dir=disk {options[what]}")
        err = capfd.readouterr().err
        assert "Traceback" not in err
        assert code in (0, 1, 2)
        assert code or room > 20_000
        if code:
            assert "No space left on device" in err
            assert len(err.splitlines()) <= 4
        assert not list(Path("disk").rglob("*.unfinished"))
        assert not [path for path in Path("disk").rglob("*.ckpt") if damage(path)]


def test_tensorboard_is_printed_as_it_listens_to_this_machine_alone():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own
        from tensorboard.plugins.core.core_plugin import CorePluginLoader

    parser = argparse.ArgumentParser()
    CorePluginLoader().define_flags(parser)
    given = parser.parse_args(["--logdir", "x"])
    assert given.host is None  # "default: localhost"
    assert not given.bind_all
    host = next(action for action in parser._actions if action.dest == "host")
    assert "default: localhost" in " ".join(host.help.split())
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    sources = [*ROOT.glob("dlbook_torch/**/*.py"), *ROOT.glob("scripts/*.py"), *pages]
    printed = [
        line
        for path in sources
        for line in path.read_text(encoding="utf-8").splitlines()
        if "tensorboard --logdir" in line
    ]
    assert len(printed) >= 5
    assert not [line for line in printed if "--bind_all" in line or "--host" in line]
