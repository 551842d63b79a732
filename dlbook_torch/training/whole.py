"""Checkpoint files are whole: written under another name, forced to the disk, then renamed."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

UNFINISHED = ".unfinished"


class WholeFiles(TorchCheckpointIO):
    """Save a checkpoint so that its name never stands for half of one.

    Lightning writes into the system's temporary folder and moves the file; from another disk that
    is a copy, and a kill in the middle leaves half of it under the final name. Here the file is
    written beside its place, forced to the disk and renamed, which replaces the older one in a
    single step, whatever happens in between.

    Raises: OSError with the file's name if it cannot be written; the older one is still there.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        if "://" in str(path):  # an object store, whose files are whole by nature
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        new = target.with_name(target.name + UNFINISHED)
        try:
            with new.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(target)
            _keep_name(target.parent)
        except (OSError, RuntimeError) as error:  # torch's zip writer has errors of its own
            with suppress(OSError):
                new.unlink(missing_ok=True)
            # the writer's own error stands in front of the disk's, which says what is wrong
            first = error.__context__ if isinstance(error.__context__, OSError) else error
            if not isinstance(first, OSError) or first.filename:
                raise
            raise OSError(first.errno, str(first.args[-1]), str(target)) from error


def _keep_name(folder: Path) -> None:
    """Force a folder's list of names to the disk, where the system can."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def damage(path: Path) -> str | None:
    """Say what is wrong with a checkpoint file, None if every byte is as it was written.

    A checkpoint is a zip archive with a CRC-32 for every tensor, which torch writes and never
    reads; it finds every flipped bit and every missing end.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except Exception as error:  # zipfile has another one for nearly every byte
        return str(error) or type(error).__name__
    return f"the checksum of {bad} is wrong" if bad else None


def newest_whole(folder: Path) -> Path | None:
    """The checkpoint below ``folder`` that was written last and is whole."""
    return next(_whole(folder), None)


def _whole(folder: Path) -> Iterator[Path]:
    found = sorted(folder.rglob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return (path for path in found if damage(path) is None)
