"""Tables in files: CSV of Lightning, Keras, Ultralytics and others, and JSON."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from .log import Array, Log, LogError, Series, from_zero, listed

Rows = list[dict[str, Any]]
EMPTY = {"", "na", "n/a", "none", "null", "-"}  # cells without a measurement; "nan" is a value
EPOCH = {"epoch", "epochs", "ep"}
STEP = {"step", "steps", "global_step", "iteration", "iter", "it", "batch"}
UNNAMED = {"", "unnamed: 0", "index"}
MOST_BYTES = 1 << 28
DELIMITERS = ",;\t|"


def read(path: Path) -> Log:
    """Read one file, whose content tells CSV from JSON.

    Raises: LogError for a file that is neither, or whose rows contradict each other.
    """
    text = _text(path)
    if not text.strip():
        raise LogError(path, "is empty")
    if text.lstrip()[0] in "{[":
        rows, notes, kind = _json_rows(path, text)
    else:
        rows, notes, kind = _csv_rows(path, text)
    return _log(path, rows, notes, kind)


def _text(path: Path) -> str:
    if path.stat().st_size > MOST_BYTES:
        raise LogError(path, f"is larger than {MOST_BYTES >> 20} MiB: that is no table of epochs")
    raw = path.read_bytes()
    utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))  # what PowerShell's > writes
    try:
        text = raw.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise LogError(path, f"is no text: byte {error.start} is no character") from None
    if "\0" in text:
        raise LogError(path, "is no text: it holds zero bytes")
    return text


def _csv_rows(path: Path, text: str) -> tuple[Rows, list[str], str]:
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip())
    delimiter = max(DELIMITERS, key=lines[start].count)
    try:
        table = list(csv.reader(lines[start:], delimiter=delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise LogError(path, f"is no CSV table: {error}") from None
    header = [cell.strip() for cell in table[0]]
    if delimiter not in lines[start] or all(_number(cell) is not None for cell in header):
        raise LogError(path, f"has no header: its first line is {lines[start][:60]!r}")
    if twice := {name for name in header if name and header.count(name) > 1}:
        raise LogError(path, f"has two columns called {listed(sorted(twice))}")
    body = [(i, row) for i, row in enumerate(table[1:], start + 2) if any(map(str.strip, row))]
    rows: Rows = []
    notes = []
    for line, cells in body:
        if len(cells) < len(header) and line == body[-1][0] and rows:
            notes.append(f"line {line}, the last, breaks off and is left out")
            continue
        if len(cells) < len(header) or any(map(str.strip, cells[len(header) :])):
            raise LogError(path, f"has {len(cells)} cells instead of {len(header)} in line {line}")
        cells = [cell.strip() for cell in cells[: len(header)]]
        if cells == header:
            raise LogError(path, f"has its header again in line {line}: it holds several runs")
        if delimiter == ";":
            cells = [cell.replace(",", ".") for cell in cells]
        rows.append(dict(zip(header, cells, strict=True)))
    if not rows:
        raise LogError(path, "has a header and no row below it")
    return rows, notes, _kind(header)


def _kind(header: Sequence[str]) -> str:
    names = set(header)
    if any(n.startswith("train/") for n in names) and any(
        n.startswith(("metrics/", "lr/pg", "x/lr")) for n in names
    ):
        return "Ultralytics results.csv"
    if {"epoch", "step"} <= names:
        return "Lightning metrics.csv"
    if {"epoch", "train_loss", "valid_loss", "time"} <= names:
        return "fastai CSVLogger"
    if "epoch" in names and any(f"val_{n}" in names for n in names):
        return "Keras CSVLogger"
    return "CSV"


def _json_rows(path: Path, text: str) -> tuple[Rows, list[str], str]:
    data, notes = _parsed(path, text)
    kind = "JSON"
    for key in ("log_history", "history"):  # of Hugging Face's trainer, of Keras
        if isinstance(data, dict) and isinstance(data.get(key), list | dict):
            data, kind = data[key], f"JSON, {key}"
    if isinstance(data, list) and data and all(isinstance(row, dict) for row in data):
        return data, notes, kind
    if isinstance(data, dict):
        if data and all(isinstance(value, dict) for value in data.values()):  # pandas' to_json
            data = {key: list(value.values()) for key, value in data.items()}
        columns = {key: value for key, value in data.items() if isinstance(value, list)}
        if columns:
            return _transposed(path, columns), notes, kind
    what = listed(data) if isinstance(data, dict) else type(data).__name__
    raise LogError(
        path, f"is JSON, but neither a list of rows nor lists by name; it holds {what or 'nothing'}"
    )


def _parsed(path: Path, text: str) -> tuple[Any, list[str]]:
    """The value of a JSON file, or the list of its lines."""
    try:
        return json.loads(text), []
    except (ValueError, RecursionError) as error:
        lines = [line for line in text.splitlines() if line.strip()]
        rows = []
        for i, line in enumerate(lines):
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError):
                if rows and i == len(lines) - 1 and all(isinstance(row, dict) for row in rows):
                    return rows, ["the last line breaks off and is left out"]
                raise LogError(path, f"is broken JSON: {_where(error)}") from None
        return rows, []


def _where(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} in line {error.lineno}"
    return (
        "it is nested too deeply" if isinstance(error, RecursionError) else "a number is too long"
    )


def _transposed(path: Path, columns: Mapping[str, list[Any]]) -> Rows:
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        each = listed(f"{name} has {n}" for name, n in lengths.items())
        raise LogError(
            path,
            f"has lists of different length, so which values belong together is unknown: {each}",
        )
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _number(cell: Any) -> float | None:
    """The number in a cell; None if there is none."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return None
    try:
        return float(cell.removesuffix("%") if isinstance(cell, str) else cell)
    except (ValueError, OverflowError):
        return None


def _is_empty(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in EMPTY)


def _log(path: Path, rows: Rows, notes: list[str], kind: str) -> Log:
    names = list(dict.fromkeys(name for row in rows for name in row))
    epoch = next((n for n in names if n.lower() in EPOCH), None)
    step = next((n for n in names if n.lower() in STEP), None)
    x = _axis(path, rows, step) if step else np.arange(len(rows), dtype=float)
    epochs, first = None, 0
    if epoch:
        numbers = _filled(path, epoch, _axis(path, rows, epoch), x, bool(step))
        epochs = from_zero(numbers)
        first = int(numbers.min() - epochs.min())
    elif not step:
        epochs = x  # one row per epoch
    if step:
        x = _filled(path, step, x, np.arange(len(rows), dtype=float), True)
    series, unreadable = {}, {}
    for name in names:
        if name in (epoch, step) or name.lower() in UNNAMED:
            continue
        filled = [i for i, row in enumerate(rows) if not _is_empty(row.get(name))]
        values = [_number(rows[i][name]) for i in filled]
        if bad := [i for i, value in zip(filled, values, strict=True) if value is None]:
            if len(bad) < len(filled):
                cell = str(rows[bad[0]][name])[:40]
                unreadable[name] = f"{name} holds {cell!r} in row {bad[0] + 1}, which is no number"
            continue
        if filled:
            y = np.array([nan if value is None else value for value in values], float)
            index = np.array(filled)
            at = None if epochs is None else epochs[index]
            series[name] = Series(name, y, x[index], at)
    if not series and not unreadable:
        raise LogError(path, f"has no column of numbers; its columns are {listed(names)}")
    home = path.resolve()
    name = home.parent.name if home.stem in ("metrics", "results") else home.name
    val_only = kind.startswith(("fastai", "Ultralytics"))
    return Log(
        path,
        name,
        kind,
        series,
        tuple(notes),
        val_only=val_only,
        steps=bool(step),
        first=first,
        unreadable=unreadable,
    )


def _axis(path: Path, rows: Rows, name: str) -> Array:
    """A column of epochs or steps; NaN for an empty cell."""
    numbers = [nan if _is_empty(row.get(name)) else _number(row[name]) for row in rows]
    for i, number in enumerate(numbers):
        if number is None or (not _is_empty(rows[i].get(name)) and not np.isfinite(number)):
            shown = str(rows[i][name])[:40]
            raise LogError(path, f"has {shown!r} as {name} in row {i + 1}, which is no number")
    return np.array(numbers, float)


def _filled(path: Path, name: str, values: Array, x: Array, may: bool) -> Array:
    """Give a row without a number that of the next row in time that has one."""
    known = np.isfinite(values)
    if known.all():
        return values
    if not may or not known.any():
        raise LogError(path, f"has no {name} in row {int(np.argmin(known)) + 1}")
    order = np.argsort(x[known], kind="stable")
    at = np.searchsorted(x[known][order], x, side="left").clip(0, known.sum() - 1)
    return np.where(known, values, values[known][order][at])


def candidates(names: Iterable[str]) -> list[str]:
    """Of the files in a folder, those that may be such a table."""
    return sorted(n for n in names if n.lower().endswith((".csv", ".tsv", ".json", ".jsonl")))
