"""Training logs on disk, whoever wrote them: TensorBoard, Lightning, Keras, Ultralytics, others."""

from collections.abc import Iterator
from pathlib import Path

from . import tables, tensorboard
from .align import Judged, align
from .log import Log, LogError, Series
from .pairs import Pair, find

__all__ = ["Judged", "Log", "LogError", "Pair", "Series", "align", "find", "read"]

TABLES = ("metrics.csv", "results.csv", "training.log", "history.csv", "history.json")


def read(path: str | Path) -> list[Log]:
    """Read a file, or every run in a folder.

    Raises: LogError if there is nothing that can be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _folder(path)
        if not path.exists():
            raise LogError(f"{path} does not exist")
        if not path.is_file():
            raise LogError(f"{path} is neither a file nor a folder")
        return tensorboard.read(path) if tensorboard.is_event_file(path) else [tables.read(path)]
    except OSError as error:
        raise LogError(f"{error.filename or path} cannot be read: {error.strerror}") from error


def _folder(path: Path) -> list[Log]:
    """All runs below a folder; a table beside event files of the same run is not a second one."""
    logs = tensorboard.read(path) if tensorboard.event_folders(path) else []
    paired = {log.path.resolve() for log in logs if _has_pair(log)}
    found = [tables.read(file) for file in _tables(path) if file.parent.resolve() not in paired]
    if found:
        beside = {log.path.parent.resolve() for log in found}
        logs = [log for log in logs if log.path.resolve() not in beside]
    if not logs and not found:
        raise LogError(f"{path} holds no log: no TensorBoard files and no tables of numbers")
    return sorted([*logs, *found], key=lambda log: str(log.path))


def _tables(path: Path) -> Iterator[Path]:
    named = sorted(file for name in TABLES for file in path.rglob(name) if file.is_file())
    if named or tensorboard.event_folders(path):
        yield from named
        return
    yield from (path / name for name in tables.candidates(p.name for p in path.iterdir()))


def _has_pair(log: Log) -> bool:
    try:
        return bool(find(log))
    except LogError:
        return False
