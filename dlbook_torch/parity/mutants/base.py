"""What a row of the table of mutants is."""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A plausible mistake: in ``file``, ``new`` stands where ``old`` should; ``tests`` notice."""

    name: str
    file: str
    old: str
    new: str
    tests: str  # arguments of pytest, narrow enough for a run to take seconds

    def planted(self, root: Path) -> str:
        """The whole file with the mistake in it.

        Raises: ValueError if the text to replace does not stand there exactly once.
        """
        code = (root / self.file).read_text(encoding="utf-8")
        if (times := code.count(self.old)) != 1:
            raise ValueError(
                f"{self.name} is stale: its text stands {times} times in {self.file}, not once"
            )
        return code.replace(self.old, self.new)


def mutants(file: str, tests: str, *rows: tuple[str, str, str]) -> list[Mutant]:
    """Several mistakes in one file of the package: their names, the old and the new text."""
    tests = re.sub(r"(test_\w+\.py)", r"tests/\1", tests)
    return [Mutant(name, f"dlbook_torch/{file}", old, new, tests) for name, old, new in rows]


def quick(rows: str, files: str = "test_nn.py") -> str:
    """The tests of some rows that are quick, and look at what comes out, not at how it is made."""
    return f"{files} -k '({rows}) and not (compile or export or handwritten)'"
