"""Where runs live: ``runs/<config>/<time>/`` with ``config.yaml`` and ``checkpoints/`` in it."""

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import UsageError

RUNS = "runs"
LONGEST = 100  # characters of a run's name
CHECKPOINTS = "checkpoints"
CONFIG = "config.yaml"  # written when the training starts, in whatever process


@dataclass
class RunFolder:
    """The folder of a run; a run that made one and never trained takes it away again."""

    path: Path | None = None
    new: bool = False
    trained: bool = False
    stepped: bool = False

    def open(self, path: Path, new: bool) -> None:
        """Use ``path``, which this run has just made (``new``) or continues."""
        self.path, self.new = path, new

    def close(self) -> None:
        """Leave no folder behind without a training in it."""
        if self.path and self.new and not (self.path / CONFIG).exists():
            shutil.rmtree(self.path, ignore_errors=True)
            with suppress(OSError):  # of a configuration that has no other runs
                for folder in self.path.parents:
                    folder.rmdir()
                    if folder.name == RUNS:
                        break


def run_name(config: str | Path | None) -> str:
    """Return the config's path below ``configs/`` without its ending: ``ch07/digits_convnet``.

    The saved ``runs/<name>/<time>/config.yaml`` of a run has the name of that run.
    """
    if config is None:
        return "default"
    path = Path(config)
    parts = path.with_suffix("").parts
    if path.name == CONFIG and "runs" in parts[:-3]:
        return "/".join(parts[_last(parts, "runs") + 1 : -2])
    if "configs" in parts[:-1]:
        return "/".join(parts[_last(parts, "configs") + 1 :])
    return path.stem


def _last(parts: tuple[str, ...], name: str) -> int:
    return len(parts) - 1 - parts[::-1].index(name)


def new_folder(runs: Path, version: str | None = None) -> Path:
    """Make and return a folder that nothing else has: ``runs/<version>``, or the time.

    Raises: UsageError if a version was asked for and exists, or is no name of a folder.
    """
    if version is not None:
        if version in ("", "..") or Path(version).name != version or len(version) > LONGEST:
            raise UsageError(f"--run {version}: expected a name for a folder in {runs}")
        try:
            (runs / version).mkdir(parents=True)
        except FileExistsError:
            raise UsageError(f"--run {version}: {runs / version} already exists") from None
        return runs / version
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    for n in range(1000):
        folder = runs / (f"{stamp}_{n}" if n else stamp)
        try:
            folder.mkdir(parents=True)  # exclusive: two runs started in one second get two folders
        except FileExistsError:
            continue
        return folder
    raise UsageError(f"no free folder for {stamp} in {runs}")


def newest(runs: Path, which: str) -> Path:
    """Return ``checkpoints/<which>.ckpt`` of the run in ``runs`` that saved one most recently.

    Raises: UsageError if there is none.
    """
    found = list(runs.glob(f"*/{CHECKPOINTS}/{which}.ckpt"))
    if not found:
        raise UsageError(f"--ckpt_path {which}: no earlier run has a {which}.ckpt below {runs}/")
    return max(found, key=lambda path: path.stat().st_mtime_ns)


def find_checkpoint(ckpt_path: str, runs: Path) -> Path:
    """Turn ``last``, ``best`` or a path into the file.

    Raises: UsageError if there is no such file.
    """
    if ckpt_path in ("last", "best"):
        return newest(runs, ckpt_path)
    path = Path(ckpt_path)
    if not path.is_file():
        raise UsageError(f"--ckpt_path {ckpt_path}: no such file; or say last, or best")
    return path


def home_of(checkpoint: Path) -> Path | None:
    """Return the folder of the run that ``last.ckpt`` continues, None for any other file.

    Going on from ``best.ckpt`` would overwrite what came after it, so that starts a new run.
    """
    folder = checkpoint.parent.parent
    is_last = checkpoint.name == "last.ckpt" and checkpoint.parent.name == CHECKPOINTS
    return folder if is_last and (folder / CONFIG).is_file() else None
