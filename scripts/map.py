"""Write the map from the notes to code, tests, configurations and experiments into the README.

python scripts/map.py
"""

import argparse
import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from dlbook_torch.pages import renewed
from dlbook_torch.parity.cases import CASES, RULES

ROOT = Path(__file__).parents[1]
HEAD = "| notes | concept | code | test | config | experiment |\n|---|---|---|---|---|---|"
FOLDERS = ("ch*", "experiments")  # of configs/: what a training takes, what an experiment does
TAG = re.compile(r"notes ((?:\d+(?:\.\d+)*(?:, )?)+)")
# tests of a room that run over a table of cases, whose ids they can be selected by
TABLES = {
    "nn": ("test_nn.py", {case.name for case in CASES}),
    "optim": ("test_optim.py", {rule.name for rule in RULES}),
}


def sections(text: str) -> list[str]:
    """The numbers after the first ``notes``: ``["6.4", "6.5"]``."""
    tag = TAG.search(" ".join(text.split()))
    return tag[1].strip(", ").split(", ") if tag else []


def concepts(root: Path) -> Iterator[tuple[list[str], str, Path]]:
    """Sections, name and file of all public classes and functions with ``Source: notes ...``.

    Studies are left out: they stand in the column of their experiments.
    """
    for path in sorted((root / "dlbook_torch").rglob("*.py")):
        if path.parent.name == "studies":
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name[0] != "_":
                _, _, source = (ast.get_docstring(node) or "").partition("Source: ")
                if found := sections(source):
                    yield found, node.name, path


def tests(root: Path, room: str, name: str) -> Iterator[tuple[Path, str]]:
    """Where a concept is tested: its rows in a table of cases, else the files that name it."""
    folder = root / "tests"
    table, names = TABLES.get(room, ("", set()))
    if name in names:
        yield folder / table, f"{table} -k {name}"
        return
    uses = re.compile(rf"dlbook_torch(\.| import .*\b){room}\b")
    for file in sorted(folder.glob("test_*.py")):
        text = file.read_text(encoding="utf-8")
        if uses.search(text) and re.search(rf"\b{name}\b", text):
            yield file, file.name


def configs(root: Path, wanted: list[str], folder: str) -> Iterator[tuple[Path, str]]:
    """The files whose first line names a section, or the chapter that it is in."""
    for file in sorted((root / "configs").glob(f"{folder}/*.yaml")):
        tags = sections(file.read_text(encoding="utf-8").partition("\n")[0])
        if any(f"{section}.".startswith(f"{tag}.") for section in wanted for tag in tags):
            yield file, file.stem


def table(root: Path = ROOT) -> str:
    """The map as Markdown, in the order of the notes."""

    def order(concept: tuple[list[str], str, Path]) -> tuple[list[int], str]:
        return [int(number) for number in concept[0][0].split(".")], concept[1]

    def links(targets: Iterator[tuple[Path, str]]) -> str:
        return "<br>".join(f"[{text}]({p.relative_to(root).as_posix()})" for p, text in targets)

    lines = [HEAD]
    for found, name, path in sorted(concepts(root), key=order):
        place = path.relative_to(root / "dlbook_torch")
        room = place.with_suffix("").parts[0]
        shown = f"book.{name}" if room == "book" else name  # there torch's names mean other things
        cells = [", ".join(found), f"`{shown}`", links(iter([(path, place.as_posix())]))]
        cells += [links(tests(root, room, name))]
        cells += [links(configs(root, found, folder)) for folder in FOLDERS]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(args: Sequence[str] | None = None, root: Path = ROOT) -> None:
    """Renew the README, or with ``--check`` only say whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if the map is stale")
    check = parser.parse_args(args).check
    path = root / "README.md"
    old = path.read_text(encoding="utf-8")
    new = renewed(old, "map", table(root))
    if check and new != old:
        parser.exit(1, "the map in README.md is stale: run python scripts/map.py\n")
    if new != old:
        path.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
