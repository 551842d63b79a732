"""TensorBoard's event files: every scalar, sub-runs put together again."""

import logging
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..names import STAGES
from .log import Log, LogError, Series, from_zero

MARK = "tfevents"
CONFIG = "config.yaml"  # of a run of ours
SMALL = 4096  # bytes of a record that is checked: any scalar, hardly a picture
SUB_RUNS = {*STAGES, "train_eval", "eval_train"}


def is_event_file(path: Path) -> bool:
    """The name is that of an event file."""
    return MARK in path.name


def event_folders(root: Path) -> list[Path]:
    """All folders at or below ``root`` that hold event files, in order."""
    found = []
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if any(MARK in name for name in files):
            found.append(Path(folder))
    return found


def read(path: Path) -> list[Log | LogError]:
    """Read an event file, or a folder of them with all folders below, one log per run.

    A folder named after a stage (``train``, ``val``) or made by ``add_scalars`` is a part of the
    run above it.

    Raises: LogError if none holds a scalar.
    """
    if path.is_file():
        folders = {path: [path]}
    else:
        folders = {folder: _event_files(folder) for folder in event_folders(path)}
    runs: dict[Path, dict[str, Series]] = {}
    notes: dict[Path, list[str]] = {}
    broken = []
    for folder, files in folders.items():
        try:
            scalars = _scalars(folder)
        except LogError as error:
            broken.append(error)
            continue
        home, part = _home(folder, scalars, path)
        named = {_joined(part, tag): series for tag, series in scalars.items()}
        runs.setdefault(home, {}).update(
            {tag: Series(tag, s.y, s.x, s.epoch, s.time) for tag, s in named.items()}
        )
        notes.setdefault(home, []).extend(filter(None, map(_damage, files)))
    logs = [_log(home, path, series, notes[home]) for home, series in runs.items() if series]
    broken += [_empty(home, notes[home]) for home in runs if notes[home] and not runs[home]]
    if not logs and not broken:
        raise _empty(path, [])
    return [*logs, *broken]


def _empty(path: Path, notes: list[str]) -> LogError:
    why = f": {notes[0]}" if notes else ""
    return LogError(path, f"holds TensorBoard files without a single scalar{why}")


def _event_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_event_file(path))


def _log(home: Path, root: Path, series: dict[str, Series], notes: list[str]) -> Log:
    name = home.resolve().name if home == root else str(home.relative_to(root))
    ours = (home / CONFIG).is_file() and "train/loss" in series
    if ours:  # our logger counts the epochs trained
        series = {tag: Series(tag, s.y, s.x, s.x - 1, s.time) for tag, s in series.items()}
    else:
        series = _with_epochs(series)
    classes = _classes(home / CONFIG) if ours else None
    return Log(home, name, "TensorBoard", series, tuple(notes), classes, ours=ours)


def _scalars(path: Path) -> dict[str, Series]:
    """All scalars of one folder or file."""
    from tensorboard.backend.event_processing import event_accumulator as ea
    from tensorboard.util import tensor_util

    quiet = logging.getLogger("tensorboard")
    level, quiet.level = quiet.level, logging.CRITICAL
    try:
        events = _load(ea.EventAccumulator, path, {"scalars": 0})
        tensors = [tag for tag in events.Tags()["tensors"] if _is_scalar(events, tag)]
        if tensors:  # TensorFlow 2 writes scalars as tensors, of which only some were kept
            events = _load(ea.EventAccumulator, path, {"scalars": 0, "tensors": 0})
        rows: dict[str, list[tuple[float, float, float]]] = {
            tag: [(e.wall_time, e.step, e.value) for e in events.Scalars(tag)]
            for tag in events.Tags()["scalars"]
        }
        for tag in tensors:
            rows[tag] = [
                (e.wall_time, e.step, float(tensor_util.make_ndarray(e.tensor_proto)))
                for e in events.Tensors(tag)
            ]
    except Exception as error:  # the reader below has none of its own
        raise LogError(path, f"cannot be read as TensorBoard's: {_first_line(error)}") from error
    finally:
        quiet.level = level
    return {tag: _series(tag, values) for tag, values in rows.items() if values}


def _load(accumulator: Any, path: Path, sizes: Mapping[str, int]) -> Any:
    events = accumulator(str(path), size_guidance=dict(sizes))
    events.Reload()
    return events


def _is_scalar(events: Any, tag: str) -> bool:
    return events.SummaryMetadata(tag).plugin_data.plugin_name == "scalars"


def _series(tag: str, rows: list[tuple[float, float, float]]) -> Series:
    time, step, value = np.array(rows, float).T
    return Series(tag, value, step, None, time)


def _home(folder: Path, scalars: Mapping[str, Series], root: Path) -> tuple[Path, str]:
    """The run a folder belongs to, and which part of it the folder holds."""
    if folder == root:
        return folder, ""
    name = folder.name
    if name.lower() in SUB_RUNS:
        return folder.parent, name
    if len(scalars) == 1:  # add_scalars(tag, {key: ...}) makes the folder tag_key
        stem = next(iter(scalars)).replace("/", "_") + "_"
        if name.startswith(stem) and len(name) > len(stem):
            return folder.parent, name.removeprefix(stem)
    return folder, ""


def _joined(part: str, tag: str) -> str:
    return f"{part}/{tag}" if part else tag


def _with_epochs(series: dict[str, Series]) -> dict[str, Series]:
    """Use the ``epoch`` that Lightning and others log beside every value."""
    marks = next((series[tag] for tag in ("epoch", "train/epoch") if tag in series), None)
    if marks is None or not np.isfinite(marks.y).all():
        return series
    order = np.argsort(marks.x, kind="stable")
    steps, epochs = marks.x[order], from_zero(marks.y[order])
    placed = {}
    for tag, s in series.items():
        at = np.clip(np.searchsorted(steps, s.x, side="left"), 0, len(steps) - 1)
        placed[tag] = Series(tag, s.y, s.x, epochs[at], s.time)
    return placed


def _classes(config: Path) -> int | None:
    """Number of classes of a classifier of ours, from the configuration beside its log."""
    import yaml

    try:
        model = yaml.safe_load(config.read_text(encoding="utf-8"))["model"]
        if not model["class_path"].endswith(".Classifier"):
            return None
        net = model["init_args"]["net"]["init_args"]
        classes = net.get("classes", net.get("out_features"))
    except (OSError, UnicodeError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return None
    return classes if isinstance(classes, int) and classes > 1 else None


def _damage(path: Path) -> str | None:
    """A sentence about a file that breaks off or is damaged; TensorBoard stops there silently."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    size = path.stat().st_size
    with path.open("rb") as file:
        position = 0
        while position < size:
            head = file.read(12)  # length of the data, its check, the data, its check
            length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else size
            sound = len(head) < 12 or masked_crc32c(head[:8]) == struct.unpack("<I", head[8:])[0]
            if sound and position + length + 16 > size:
                return f"{path.name} breaks off at byte {position}: what follows is lost"
            if sound and length <= SMALL:
                data, check = file.read(length), struct.unpack("<I", file.read(4))[0]
                sound = masked_crc32c(data) == check
            if not sound:
                return f"{path.name} is damaged at byte {position}: what follows is lost"
            position += length + 16
            file.seek(position)
    return None


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
