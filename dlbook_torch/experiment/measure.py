"""One run, in this process: a command line in, the numbers that it measured out."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from ..training.errors import UsageError, parsed
from .plan import study

if TYPE_CHECKING:
    from ..training.run import TrainingCLI

Numbers = dict[str, Any]  # a number, or nested lists of numbers, by name


def measure(command: Sequence[str]) -> Numbers:
    """Run what ``python *command`` runs, and return what it measured.

    Of a training: every curve as a list over epochs (``val/loss``), the closing scores
    (``test/accuracy``) and ``seconds``. Of a study: what it returns, and ``seconds``.
    """
    if command[0] == "scripts/train.py":
        return _train(command[1:])
    since = time.perf_counter()
    numbers = call(command[2], arguments(command[3:]))
    return {**numbers, "seconds": time.perf_counter() - since}


def _train(args: Sequence[str]) -> Numbers:
    done = train(args)
    rows = done.history.rows
    names = dict.fromkeys(name for row in rows for name in row)
    curves = {name: [plain(row.get(name)) for row in rows] for name in names}
    tests = {k: plain(v) for k, v in done.scores.items() if k.startswith("test/")}
    return {**curves, **tests, "seconds": done.history.seconds}


def train(args: Sequence[str]) -> "TrainingCLI":
    """Run ``train.py *args`` without a word, and leave no files behind."""
    from ..training.run import run  # takes seconds

    with TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        return run([*args, "--trainer.default_root_dir", folder])


def call(name: str, given: Mapping[str, Any]) -> Numbers:
    """Call a study, and make what it returns plain."""
    return {key: plain(value) for key, value in study(name)(**given).items()}


def arguments(words: Sequence[str]) -> dict[str, Any]:
    """``["gate=XOR", "seed=0"]`` as a mapping; the values are YAML.

    Raises: UsageError for a word without an equals sign, or with broken YAML behind it.
    """
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"expected name=value, got {word!r}")
        try:
            found[key] = _value(value)
        except UsageError as error:
            raise UsageError(f"{word}: {error}") from error
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)  # YAML takes the 1e-07 of JSON for a word
    except ValueError:
        return parsed(text)


def plain(value: Any) -> Any:
    """Numbers, tensors and arrays as JSON has them; what is not finite becomes None."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and not isfinite(value):
        return None
    return value


def save(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(record), encoding="utf-8")
    new.replace(path)


def load(path: Path) -> dict[str, Any] | None:
    """Read a record; None if there is none, or one that is damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None
