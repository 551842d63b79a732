"""Training logs on disk, whoever wrote them: TensorBoard, Lightning, Keras, Ultralytics, others."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from . import tables, tensorboard
from .align import Judged, align
from .layers import internals
from .log import Log, LogError, Series
from .pairs import Pair, find

__all__ = ["Judged", "Log", "LogError", "Pair", "Series", "align", "find", "internals", "read"]

TABLES = ("metrics.csv", "results.csv", "training.log", "history.csv", "history.json")


def read(path: str | Path) -> list[Log | LogError]:
    """Read a file, or every run in a folder; of what cannot be read, why.

    Args:
        path: an event file, a table (CSV or JSON), or a folder with such files at or below it.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _folder(path)
        if not path.exists():
            raise LogError(path, "does not exist")
        if not path.is_file():
            raise LogError(path, "is neither a file nor a folder")
        return tensorboard.read(path) if tensorboard.is_event_file(path) else [tables.read(path)]
    except LogError as error:
        return [error]
    except OSError as error:
        return [_unreadable(path, error)]


def _unreadable(path: Path, error: OSError) -> LogError:
    return LogError(error.filename or path, f"cannot be read: {error.strerror or error}")


def _folder(path: Path) -> list[Log | LogError]:
    """All runs below a folder; a table beside event files of the same run is not a second one."""
    boards: list[Log | LogError] = []
    if tensorboard.event_folders(path):
        try:
            boards += tensorboard.read(path)
        except LogError as error:
            boards.append(error)
        if len(boards) > 1:  # add_hparams writes its results to a folder of their own
            boards = [log for log in boards if not (isinstance(log, Log) and _is_summary(log))]
    paired = {log.path.resolve() for log in boards if isinstance(log, Log) and _has_pair(log)}
    files = [file for file in _tables(path) if file.parent.resolve() not in paired]
    found = [_table(file, path) for file in files]
    beside = {log.path.parent.resolve() for log in found if isinstance(log, Log) and _has_pair(log)}
    logs = [log for log in boards if log.path.resolve() not in beside] + found
    if not logs:
        raise LogError(path, "holds no log: no TensorBoard files and no tables of numbers")
    return sorted(logs, key=lambda log: str(log.path))


def _table(file: Path, root: Path) -> Log | LogError:
    try:
        log = tables.read(file)
    except LogError as error:
        return error
    except OSError as error:
        return _unreadable(file, error)
    at = file.relative_to(root)
    home = str(at.parent) if at.parent != Path() else root.resolve().name
    return replace(log, name=home if file.name in TABLES else str(at))


def _tables(path: Path) -> Iterator[Path]:
    """Tables with a name that says what they are, or else all of a folder."""
    named = sorted(file for name in TABLES for file in path.rglob(name) if file.is_file())
    if named or tensorboard.event_folders(path):
        yield from named
        return
    yield from (path / n for n in tables.candidates(p.name for p in path.iterdir() if p.is_file()))


def _is_summary(log: Log) -> bool:
    return all(len(series) < 2 for series in log.series.values()) and not _has_pair(log)


def _has_pair(log: Log) -> bool:
    try:
        return bool(find(log))
    except LogError:
        return False
