"""Several processes, one run: what they share, and what becomes of it when one of them dies."""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from subprocess import Popen

import lightning as L
import torch
from lightning.pytorch.plugins.layer_sync import TorchSyncBatchNorm
from lightning.pytorch.strategies.launchers import subprocess_script
from lightning.pytorch.utilities import rank_zero_only
from torch import distributed
from torch.multiprocessing import ProcessExitedException

from .. import nn
from .errors import RunFailed
from .interrupt import GracefulStop

POLL, GRACE = 0.5, 5.0  # seconds: between two looks; for a run to end by itself
MAIN = "DLBOOK_MAIN_PROCESS"  # whose children follow it
CHILDREN: list[Popen] = []  # what Lightning starts, once in the life of this process
BROKEN = re.compile(
    r"gloo|NCCL|Connection (closed|reset|refused)|Broken pipe|Socket", re.IGNORECASE
)
OURS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
THEIRS = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)
SHARED = (nn.SyncBatchNorm, torch.nn.SyncBatchNorm)


class SyncBatchNorm(TorchSyncBatchNorm):
    """Let the BatchNorm layers of all processes see one batch, handwritten layers and torch's.

    Lightning's own plugin leaves handwritten layers alone without a word. During the training
    every layer changes its class: ours to :class:`dlbook_torch.nn.SyncBatchNorm`, torch's to
    torch's on a GPU and to ours on the CPU, where torch's refuses to work. Subclasses stay as they
    are, for a ``forward`` of their own would be lost. ``--trainer.sync_batchnorm true`` uses it; in
    Python it is one of the Trainer's ``plugins``.
    """

    def __init__(self) -> None:
        self._former: list[tuple[torch.nn.Module, type[torch.nn.Module]]] = []

    def apply(self, model: torch.nn.Module) -> torch.nn.Module:
        """Change the classes; the layers stay the objects that they are."""
        gpu = model.trainer.strategy.root_device.type == "cuda"  # type: ignore[union-attr]
        for layer in model.modules():
            if (kind := type(layer)) in OURS + THEIRS:
                self._former.append((layer, kind))
                layer.process_group = None  # type: ignore[assignment]
                layer.__class__ = SHARED[gpu and kind in THEIRS]
        return model

    def revert(self, model: torch.nn.Module) -> torch.nn.Module:
        """Change them back."""
        while self._former:
            layer, kind = self._former.pop()
            del layer.process_group
            layer.__class__ = kind
        return model


class Together(L.Callback):
    """Warn of BatchNorm layers that do not share, and let nobody wait for a process that failed."""

    met = False  # whether the processes of this run have found each other

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        Together.met = trainer.world_size > 1

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        names = [
            name
            for name, layer in pl_module.named_modules()
            if isinstance(layer, OURS + THEIRS) and layer.training
        ]
        if names and trainer.world_size > 1 and trainer.is_global_zero:
            print(
                f"warning: {len(names)} BatchNorm layers ({names[0]}, ...) see the batch of"
                " their own process only; --trainer.sync_batchnorm true lets them share it",
                file=sys.stderr,
            )

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        # last.ckpt is saved next, and all would meet there: the others may be elsewhere, or dead
        if trainer.world_size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


@contextmanager
def together() -> Iterator[None]:
    """End this process when another process of its run has died, instead of waiting for it.

    The process that a user starts looks after the ones that Lightning starts, and they after it,
    on whatever device; on another machine, or under ``torchrun``, a death is seen where the
    processes meet next.

    Raises: RunFailed naming the process, in the place of what it caused here.
    """

    def watch(started: Sequence[Popen]) -> None:
        CHILDREN.extend(started)
        _in_background(_dead)

    parent, main, observer = (
        os.getppid(),
        os.environ.get(MAIN),
        subprocess_script._launch_process_observer,
    )
    if node := int(os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", 0))):
        # Lightning looks at other variables
        rank_zero_only.rank = rank_zero_only.rank or node  # type: ignore[attr-defined]
    if main == str(parent):
        _in_background(lambda: "" if os.getppid() == parent else "the main process has died")
    os.environ[MAIN] = str(os.getpid())
    subprocess_script._launch_process_observer = watch  # type: ignore[assignment]
    try:
        yield
    except ProcessExitedException as error:  # of strategies that fork or spawn
        raise RunFailed(f"process {error.error_index} has died: {error}") from error
    except RuntimeError as error:
        if Together.met and BROKEN.search(str(error)):
            raise RunFailed((_wait(_dead) if CHILDREN else "") or _silent(error)) from error
        raise
    finally:
        Together.met = False
        subprocess_script._launch_process_observer = observer
        os.environ.pop(MAIN) if main is None else os.environ.update({MAIN: main})


def _dead() -> str:
    """Say which child ended badly: one that was killed before one that gave up because of it."""
    stopped = {0, None, *(128 + number for number in GracefulStop.SIGNALS)}
    ended = [(child.poll(), rank) for rank, child in enumerate(CHILDREN, 1)]
    code, rank = min(((c, r) for c, r in ended if c not in stopped), default=(0, 0))
    if not code:
        return ""
    how = (
        f"was killed by {signal.Signals(-code).name}"
        if code < 0
        else f"ended with exit code {code}"
    )
    return f"process {rank} of {len(CHILDREN) + 1} {how}, and the run with it"


def _silent(error: RuntimeError) -> str:
    return f"another process has died, or cannot be reached: {str(error).splitlines()[0]}"


def _wait(look: Callable[[], str]) -> str:
    """What ``look`` finds within a little while: a connection breaks before its process is gone."""
    end = time.monotonic() + GRACE
    while not (found := look()) and time.monotonic() < end:
        time.sleep(POLL / 10)
    return found


def _in_background(look: Callable[[], str]) -> None:
    """Once ``look`` finds a death, give this process GRACE seconds to end; then end it and all."""

    def watch() -> None:
        while not (found := look()):
            time.sleep(POLL)
        time.sleep(GRACE)
        print(f"error: {found}", file=sys.stderr, flush=True)
        for child in CHILDREN:
            child.kill()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
