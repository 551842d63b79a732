"""What is tried on a device: one function a row, which returns what it has seen."""

from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from copy import deepcopy
from functools import partial
from importlib import import_module
from io import BytesIO, StringIO
from math import inf, isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml
from torch.testing import assert_close

from .. import convert, nn, optim
from ..models import MLP, ConvNet
from ..parity import ledger
from ..parity.cases import RULES
from ..parity.checks import TorchRefuses, ask, trajectory
from ..parity.promises import fullest, in_groups, with_option
from .kills import differences

ROOT = Path(__file__).parents[2]
CONVNET, DROPOUT = "configs/ch07/digits_convnet.yaml", "configs/ch06/digits_dropout.yaml"
BUILT_IN = [
    "--model.net.library=torch",
    "--model.library=torch",
    "--model.optimizer=torch.optim.Adam",
]
NO_FLOAT64 = "MPS has no float64"


class NotSupported(Exception):
    """The device, or a library below ours, does not do what is asked; the text says which."""


class Skipped(Exception):
    """Something else than the device is missing; the text says what."""


# the ledger


def parity(device: str, dtype: str, names: Sequence[str | None] = (None,)) -> str:
    """The lines of the ledger, or those of some layers and rules.

    Raises: AssertionError with the first failure.
    """
    if (device, dtype) == ("mps", "float64"):
        raise NotSupported(NO_FLOAT64)
    lines = [line for name in names for line in ledger.audit(dtype, device, name)]
    failures = [failure for line in lines for failure in line.failures]
    assert not failures, f"{ledger.total(lines)}; the first: {failures[0]}"
    return f"{ledger.total(lines)}; {ledger.worst(lines)}"


# trainings


def missing_data(config: str) -> str | None:
    """The data set of a configuration, if its files are not on this machine."""
    from ..data.files import RawFiles, data_root  # takes seconds

    module, _, name = yaml.safe_load((ROOT / config).read_text())["data"]["class_path"].rpartition(
        "."
    )
    files: RawFiles | None = getattr(getattr(import_module(module), name), "files", None)
    if files is None:
        return None
    try:
        files.locate(data_root())
    except FileNotFoundError:
        return files.name
    return None


def train(config: str, device: str, folder: Path | str, *args: str) -> Any:
    """A training by the command line's own code, with all its monitors and files, in silence.

    Raises: Skipped if its data are not here; AssertionError if it has run elsewhere, or its loss
        is no number.
    """
    if name := missing_data(config):
        raise Skipped(f"the files of {name} are not on this machine")
    from ..training.run import run  # takes seconds

    where = [f"--trainer.accelerator={device}", f"--trainer.default_root_dir={folder}"]
    given = ["fit", f"--config={ROOT / config}", *where, "--trainer.enable_progress_bar=false"]
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        done = run([*given, *args])
    here = done.trainer.strategy.root_device.type
    assert here == device, f"it has run on {here}"
    bad = [name for name, score in done.scores.items() if not isfinite(score)]
    assert not bad, f"{', '.join(bad)} is no finite number"
    return done


def short(batches: int) -> list[str]:
    """Options of a training of one epoch of so many batches."""
    limits = [f"--trainer.limit_{split}_batches={batches}" for split in ("train", "val", "test")]
    return ["--trainer.max_epochs=1", *limits]


def training(device: str, config: str, batches: int, *args: str) -> str:
    """A few batches of a training."""
    with TemporaryDirectory() as folder:
        done = train(config, device, folder, *short(batches), *args)
    return f"{done.trainer.global_step} steps, training loss {done.scores['train/loss']:.4f}"


def precision(device: str, name: str, batches: int) -> str:
    """A few batches in one of Lightning's precisions."""
    if (device, name) == ("cpu", "16-mixed"):
        raise NotSupported("Lightning takes bf16-mixed instead on a CPU")
    if (device, name) == ("mps", "64-true"):
        raise NotSupported(NO_FLOAT64)
    return training(device, CONVNET, batches, f"--trainer.precision={name}")


def against_torch(device: str, batches: int) -> str:
    """Our layers, loss and rule, and torch's, come to the same losses.

    Raises: AssertionError if they do not.
    """
    with TemporaryDirectory() as folder, ledger.full_precision():
        scores = [
            train(CONVNET, device, Path(folder, str(i)), *short(batches), *library).scores
            for i, library in enumerate(([], BUILT_IN))
        ]
    losses = [[found[f"{split}/loss"] for split in ("train", "val", "test")] for found in scores]
    assert_close(*losses, rtol=1e-3, atol=0)
    return "test loss {:.6f}, torch's {:.6f}".format(*(loss[-1] for loss in losses))


def resumed(device: str) -> str:
    """Three epochs with dropout, and one and then two more: the same checkpoint to the last bit.

    Raises: AssertionError with what differs.
    """
    with TemporaryDirectory() as folder:
        once, twice = Path(folder, "once"), Path(folder, "twice")
        same = ["--trainer.deterministic=true", "--trainer.max_epochs=3"]
        try:
            train(DROPOUT, device, once, *same)
            train(DROPOUT, device, twice, *same, "--trainer.max_epochs=1")
            train(DROPOUT, device, twice, *same, f"--ckpt_path={last(twice)}")
        finally:
            torch.use_deterministic_algorithms(False)
        states = [torch.load(last(x), "cpu", weights_only=True) for x in (once, twice)]
    found = differences(*states)
    assert not found, f"{len(found)} values differ: {', '.join(found[:3])}"
    return "equal to the last bit: weights, rule, curves, monitors, random states"


def last(folder: Path) -> Path:
    """The last checkpoint of the only run in a folder."""
    (path,) = folder.glob("runs/**/last.ckpt")
    return path


# a step by hand


def images(device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of noise with labels, the same on every device."""
    draw = torch.Generator().manual_seed(0)
    x, t = torch.randn(32, 1, 8, 8, generator=draw), torch.randint(10, (32,), generator=draw)
    return x.to(device), t.to(device)


def network(device: str, small: bool = False) -> torch.nn.Module:
    """Our convolutional network with BatchNorm, or our perceptron; the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = (
            MLP(64, 10, [30])
            if small
            else ConvNet((1, 8, 8), 10, [8, 16], [3, 3], 32, batch_norm=True)
        )
    return net.to(device)


def mixed(device: str, dtype: torch.dtype, steps: int) -> str:
    """Ours and torch's network under autocast, with a scaler in float16, fall to one loss.

    Raises: TorchRefuses if torch's own cannot; AssertionError if ours does not.
    """
    x, t = images(device)

    def losses(net: torch.nn.Module, library: Any, loss: torch.nn.Module) -> list[float]:
        rule = library.Adam(net.parameters(), lr=0.01)
        scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16)
        found = []
        for _ in range(steps):
            rule.zero_grad()
            with torch.autocast(device, dtype):
                y = net(x)
                out = loss(y, t)
            assert y.dtype == dtype, f"the network answers in {y.dtype}"
            scaler.scale(out).backward()
            scaler.step(rule)
            scaler.update()
            found.append(out.item())
        return found

    ours = network(device)
    ref = ask(convert, deepcopy(ours), to="builtin")
    theirs = ask(losses, ref, torch.optim, torch.nn.CrossEntropyLoss())
    mine = losses(ours, optim, nn.CrossEntropyLoss())
    assert abs(mine[-1] - theirs[-1]) <= 0.05 * theirs[0], f"loss {mine[-1]}, torch's {theirs[-1]}"
    return f"loss {mine[0]:.3f} to {mine[-1]:.3f}, torch's to {theirs[-1]:.3f}"


def overflow(device: str) -> str:
    """A float16 gradient that overflows: the scaler leaves the step out and halves its scale.

    Raises: TorchRefuses if torch's own cannot; AssertionError if the weights have moved.
    """
    x, t = images(device)

    def step(net: torch.nn.Module, library: Any, loss: torch.nn.Module) -> tuple[bool, float]:
        before = deepcopy(list(net.parameters()))
        scaler = torch.amp.GradScaler(device, init_scale=2.0**40)
        rule = library.Adam(net.parameters(), lr=0.01)
        with torch.autocast(device, torch.float16):
            out = loss(net(x), t)
        scaler.scale(out).backward()
        scaler.step(rule)
        scaler.update()
        stayed = all(map(torch.equal, before, net.parameters()))
        return stayed, scaler.get_scale() / 2.0**40

    ours = network(device)
    ref = ask(step, convert(deepcopy(ours), to="builtin"), torch.optim, torch.nn.CrossEntropyLoss())
    mine = step(ours, optim, nn.CrossEntropyLoss())
    assert mine == ref == (True, 0.5), f"weights stayed, scale times: {mine}, torch's {ref}"
    return "the weights stay, the scale is halved"


def compiled(device: str, small: bool) -> str:
    """Network, loss and rule compiled by inductor in one graph each take the plain steps.

    Raises: TorchRefuses if torch's own network does not compile here; AssertionError if ours has
        other losses than without.
    """
    x, t = images(device)

    def losses(
        net: torch.nn.Module, library: Any, loss: torch.nn.Module, wrap: Callable[..., Any]
    ) -> list[torch.Tensor]:
        rule = library.Adam(net.parameters(), lr=0.01)
        forward, step = wrap(lambda: loss(net(x), t)), wrap(rule.step)
        found = []
        for _ in range(3):
            rule.zero_grad()
            out = forward()
            out.backward()
            step()
            found.append(out.detach())
        return found

    torch._dynamo.reset()
    ours, plain = network(device, small), network(device, small)
    ref = convert(deepcopy(ours), to="builtin")
    whole = partial(torch.compile, fullgraph=True)
    ask(losses, ref, torch.optim, torch.nn.CrossEntropyLoss(), torch.compile)
    with ledger.full_precision():
        mine = losses(ours, optim, nn.CrossEntropyLoss(), whole)
        want = losses(plain, optim, nn.CrossEntropyLoss(), lambda f: f)
    assert_close(mine, want, rtol=1e-4, atol=0)
    return f"loss {mine[0]:.4f} to {mine[-1]:.4f}, as without"


# rules, random numbers, transfers


def forms(device: str, option: str) -> str:
    """Every rule that has this option in torch takes torch's path with it, in float32.

    Raises: TorchRefuses if torch takes it for no rule here; AssertionError for another path.
    """
    rows = (in_groups if option == "foreach" else with_option(option))(fullest(RULES))
    given, kept, refusals = {option: True}, [], {}
    with ledger.full_precision():
        for rule in rows:
            try:
                trajectory(rule, torch.float32, device, ours=given, theirs=given, units=inf)
                kept.append(rule.name)
            except TorchRefuses as refusal:
                refusals[rule.name] = refusal
    if not kept:
        first = next(iter(refusals.values()), "no rule has it")
        raise TorchRefuses(f"torch refuses it for all {len(rows)}: {first}")
    left = f"; torch refuses it for {', '.join(refusals)}" if refusals else ""
    return f"{len(kept)} rules{left}"


def randomness(device: str) -> str:
    """A seed fixes the dropout, and a random state that is put back repeats it.

    Raises: AssertionError if not.
    """
    backend: Any = torch if device == "cpu" else getattr(torch, device)
    x, drop = torch.ones(10_000, device=device), nn.Dropout(0.5)
    torch.manual_seed(0)
    first, state = drop(x), backend.get_rng_state()
    second = drop(x)
    backend.set_rng_state(state)
    again = drop(x)
    torch.manual_seed(0)
    assert torch.equal(drop(x), first), "the same seed gives another mask"
    assert torch.equal(second, again), "the same random state gives another mask"
    assert not torch.equal(first, second), "every mask is the same"
    share = (first == 0).float().mean().item()
    assert abs(share - 0.5) < 0.03, f"a rate of 0.5 drops {share:.1%}"
    return f"masks repeat; a rate of 0.5 drops {share:.1%}"


def carried_over(device: str) -> str:
    """What is saved on the device loads on the CPU, to the bit, and trains on alike there.

    Raises: AssertionError if not.
    """

    def step(net: torch.nn.Module, rule: Any) -> float:
        x, t = images(next(net.parameters()).device.type)
        rule.zero_grad()
        loss = nn.CrossEntropyLoss()(net(x), t)
        loss.backward()
        rule.step()
        return loss.item()

    nets = (network(device), network("cpu"))
    there, here = ((net, optim.Adam(net.parameters(), lr=0.01)) for net in nets)
    with ledger.full_precision():
        step(*there)
        torch.save([part.state_dict() for part in there], file := BytesIO())
        file.seek(0)
        weights, memory = torch.load(file, "cpu", weights_only=True)
        here[0].load_state_dict(weights)
        here[1].load_state_dict(memory)
        for name, w in there[0].state_dict().items():
            assert torch.equal(here[0].state_dict()[name], w.cpu()), (
                f"{name} has changed on its way"
            )
        losses = [[step(*pair) for _ in range(3)] for pair in (there, here)]
    assert_close(*losses, rtol=1e-3, atol=0)
    return "the third loss after it is {:.6f}, on the CPU {:.6f}".format(*(x[-1] for x in losses))
