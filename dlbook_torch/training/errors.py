"""Mistakes of the command line and the configuration as one readable sentence.

jsonargparse reports a wrong value with the whole way it went through its types; :func:`explain`
keeps the option, the value and the reason, and adds the name that was probably meant.
"""

import difflib
import inspect
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

EXAMPLE = "--config configs/ch07/digits_convnet.yaml"
UNKNOWN = re.compile(
    r"Option '([\w.]+)' is not accepted|does not accept option '([\w.]+)'"
    r"|unrecognized arguments: --([\w.-]+)"
)
CLASS = re.compile(r"given class_path '([\w.]+)'|Got value: Namespace\(class_path='([\w.]+)'")
EXPECTED = re.compile(r"Expected an? (<class '[\w.]+'>|typing\.Literal\[.*?\])")
VALUE = re.compile(r"(?:Given|Got) value: (.*?)(?:\. Got value.*)?$", re.MULTILINE)
BOOKKEEPING = re.compile(
    r"\s*(Does not validate|Subtypes:|Errors:|Given value|- Expected a <class 'NoneType'>"
    r"|Exception raised from|frame #\d)"
)


class UsageError(Exception):
    """Something the user gave cannot be used; the text is the whole message."""


class RunFailed(Exception):
    """A run that ended early, for a reason that the text gives whole."""


class Loader(yaml.SafeLoader):
    """YAML that refuses a list inside itself, and the same key twice: PyYAML takes the second."""

    def construct_document(self, node: yaml.Node) -> Any:
        """Return the document, each part of it whole before what it stands in."""
        self.deep_construct = True
        return super().construct_document(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping.

        Raises: ConstructorError for a key that stands in it twice.
        """
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"{key.value} stands there twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def parsed(text: str, loader: type[Loader] = Loader) -> Any:
    """Return what YAML says.

    Raises: UsageError in one line, without the name of the file.
    """
    try:
        return yaml.load(text, loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UsageError(f"{line}{error.problem}") from error
    except yaml.YAMLError as error:
        raise UsageError(str(error).partition("\n")[0]) from error
    except RecursionError:
        raise UsageError("it is nested too deeply") from None
    except ValueError as error:  # a date without a 13th month, a number with too many digits
        raise UsageError(str(error)) from error


@contextmanager
def told() -> Iterator[None]:
    """End a command by what was wrong: one sentence and exit code 2, or 130 after Ctrl-C."""
    try:
        yield
    except UsageError as error:
        reason = str(error)
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    except KeyboardInterrupt:
        sys.exit(130)
    else:
        return
    print(f"error: {reason}", file=sys.stderr)
    sys.exit(2)


def explain(message: str, options: Iterable[str] = ()) -> str:
    """Return jsonargparse's ``message`` as a sentence; ``options`` are the known option names."""
    place = ".".join(re.findall(r'Parser key "([^"]+)"', message))
    if match := UNKNOWN.search(message):
        return _unknown_option(place, next(filter(None, match.groups())), message, options)
    if match := re.search(r"module '([\w.]+)' has no attribute '(\w+)'", message):
        return f"{place}: {match[1]} has no {match[2]!r}{_near(match[2], _names(match[1]))}"
    if match := re.search(
        r"Expected '([\w.]+)' to be a subclass of <class '(?:\w+\.)*(\w+)", message
    ):
        return f"{place}: {match[1]} is not a subclass of {match[2]}"
    if match := re.search(r"No module named '[\w.]+'", message):
        return f"{place}: {match[0][0].lower()}{match[0][1:]}"
    if match := re.search(r"Import path ?([\w.]*) does not correspond to a (\w+ of \w+)", message):
        value = VALUE.search(message)
        return f"{place}: {match[1] or (value and value[1])} is not a {match[2]}"
    if types := _expected(message):
        value = VALUE.search(message)
        return (
            f"{place}: expected {types}, got {value[1]!r}"
            if value
            else f"{place}: expected {types}"
        )
    if match := re.search(r"Expected a dot import path string: (\S+)", message):
        return f"{place}: no class {match[1]!r}; give its full path, like dlbook_torch.optim.Adam"
    if match := re.search(r"arguments are required: (.*)", message):
        missing = match[1].replace("fit.", "")
        if place:
            return f"{place}: nothing given for {missing}"
        return f"nothing given for {missing}; name a configuration, for example {EXAMPLE}"
    if match := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
        return f"unknown command {match[1]!r}; choose from {match[2]}"
    if match := re.search(r"Not a valid subclass of (\w+)", message):
        return f"{place}: that is no {match[1]}; give the class_path of one"
    return _without_bookkeeping(message)


def _unknown_option(place: str, name: str, message: str, options: Iterable[str]) -> str:
    classes = [a or b for a, b in CLASS.findall(message)]
    if name == "class_path":
        return f"{place}: arguments of a class stand below its init_args"
    if not classes:
        return f"{name}: no such option{_near(name, options)}"
    module, _, cls = classes[-1].rpartition(".")
    known = inspect.signature(getattr(sys.modules[module], cls)).parameters
    first = name.partition(".")[0]
    takes = f"; it takes {', '.join(known)}"
    return f"{place}.{first}: no such option of {classes[-1]}{_near(first, known) or takes}"


def _near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f", did you mean {close[0]!r}?" if close else ""


def _names(module: str) -> list[str]:
    return [name for name in dir(sys.modules.get(module)) if not name.startswith("_")]


def _expected(message: str) -> str:
    kinds = [
        re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", kind) for kind in EXPECTED.findall(message)
    ]
    kinds = [re.sub(r"typing\.Literal\[(.*)\]", r"one of \1", kind) for kind in kinds]
    return " or ".join(dict.fromkeys(kind for kind in kinds if kind != "NoneType"))


def _without_bookkeeping(message: str) -> str:
    lines = [line for line in message.splitlines() if line.strip() and not BOOKKEEPING.match(line)]
    return "\n".join(lines).strip().removeprefix("- ") or message


def check_config_files(args: Sequence[str]) -> None:
    """Look at the files named by ``--config`` before anything slow is imported.

    Raises: UsageError naming the file, and the line where it is no YAML.
    """
    for flag, value in zip(args, [*args[1:], ""], strict=True):
        name, _, inline = flag.partition("=")
        if name in ("-c", "--config") and not (inline or value).lstrip().startswith("{"):
            _check_config_file(Path(inline or value))


def _check_config_file(path: Path) -> None:
    try:
        content = parsed(path.read_text(encoding="utf-8"))
    except UsageError as error:
        raise UsageError(f"--config {path}, {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise UsageError(f"--config {path}: {reason}") from error
    if not isinstance(content, dict):
        raise UsageError(f"--config {path}: expected sections like trainer, model and data")
    if not isinstance(trainer := content.get("trainer", {}), dict):
        raise UsageError(f"--config {path}: trainer: expected its options, got {trainer!r}")
