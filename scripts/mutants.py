"""Plant known mistakes in the code, one at a time, and see whether the tests notice each of them.

python scripts/mutants.py --only batch_norm
"""

import argparse
import multiprocessing
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from dlbook_torch.parity.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[1]
COPIED = ("dlbook_torch", "tests", "scripts", "pyproject.toml")  # what the tests need of ROOT
PATIENCE = 120.0  # seconds for one selection of tests; one that takes longer hangs
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class _Watcher:
    """A plugin of pytest that remembers the first test to fail."""

    first = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and not self.first:
            self.first = report.nodeid


def _tests(there: Connection, folder: str, selection: str) -> None:
    """In a process of its own: run tests in a copy; send the exit code and what failed first."""
    import pytest  # in the warm process it is loaded already, as torch is

    for module in [name for name in sys.modules if name.partition(".")[0] in COPIED]:
        del sys.modules[module]  # this script's own; the copy's are to be tested
    os.chdir(folder)
    os.environ["PYTHONPATH"] = folder
    sys.path.insert(0, folder)
    sys.dont_write_bytecode = True  # two mistakes within a second could share their bytecode
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    watcher = _Watcher()
    code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", *shlex.split(selection)], [watcher])
    source = getattr(sys.modules.get("dlbook_torch"), "__file__", None) or folder
    there.send((int(code), watcher.first, Path(source).is_relative_to(folder)))


def _context() -> Any:
    """How processes start: forked from one that has loaded torch, where the system can fork."""
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch._dynamo", "torch.testing", "pytest", "matplotlib"])
    return context


def failure(folder: Path, selection: str) -> str:
    """The first test of a selection that fails in ``folder``, or "" if all pass.

    Raises: RuntimeError if pytest does not come to run them.
    """
    context = _context()
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_tests, args=(there, str(folder), selection))
    process.start()
    there.close()
    try:
        if not here.poll(PATIENCE):
            return f"hangs: over {PATIENCE:g} s"
        code, first, own = here.recv()
        process.join(PATIENCE)
    except EOFError:
        process.join()
        return f"crashes: exit code {process.exitcode}"
    finally:
        process.kill()
        process.join()
    if not own:
        raise RuntimeError(f"the tests imported another dlbook_torch than the one in {folder}")
    if code not in (0, 1):
        raise RuntimeError(f"pytest {selection} ended with exit code {code}, no test ran")
    return first


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: the test that killed it, or a sentence about the trouble."""

    mutant: Mutant
    killer: str = ""
    trouble: str = ""
    seconds: float = 0.0


def verdict(mutant: Mutant, folder: Path, sound: dict[str, str]) -> Verdict:
    """Plant a mutant in the copy, test, and pull it out again.

    ``sound`` remembers for every selection of tests which one fails without any mutant: none may.
    """
    path, start = folder / mutant.file, perf_counter()
    try:
        planted = mutant.planted(folder)
        compile(planted, mutant.file, "exec")
        if mutant.tests not in sound:
            sound[mutant.tests] = failure(folder, mutant.tests)
        if red := sound[mutant.tests]:
            return Verdict(mutant, trouble=f"{mutant.name}: {red} fails without it")
        right, start = path.read_text(encoding="utf-8"), perf_counter()
        path.write_text(planted, encoding="utf-8")
        try:
            killer = failure(folder, mutant.tests)
        finally:
            path.write_text(right, encoding="utf-8")
    except SyntaxError as error:
        return Verdict(mutant, trouble=f"{mutant.name} is no Python: {error}")
    except (ValueError, RuntimeError) as error:
        return Verdict(mutant, trouble=str(error))
    trouble = "" if killer else f"{mutant.name}: survived pytest {mutant.tests}"
    return Verdict(mutant, killer, trouble, perf_counter() - start)


def verdicts(mutants: Sequence[Mutant]) -> Iterator[Verdict]:
    """Try one mutant after the other, in a copy of the project that is thrown away."""
    sound: dict[str, str] = {}
    with TemporaryDirectory() as name:
        folder = Path(name).resolve()
        for part in COPIED:
            copy: Any = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, folder / part)
        for mutant in mutants:
            yield verdict(mutant, folder, sound)


def table(found: Sequence[Verdict]) -> Table:
    """One line per mutant."""
    made = Table("mutant", "file", "killed by")
    made.add_column("s", justify="right")
    for v in found:
        file, killer = v.mutant.file.removeprefix("dlbook_torch/"), v.killer.removeprefix("tests/")
        row = (v.mutant.name, file, killer or "nothing", f"{v.seconds:.1f}")
        made.add_row(*(Text(cell, overflow="fold") for cell in row), style="red" * bool(v.trouble))
    return made


def main(args: Sequence[str] | None = None, mutants: Sequence[Mutant] = MUTANTS) -> None:
    """Print who killed whom and the score; exit 1 if a mutant survived or could not be planted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="NAME", help="mutants with this in their name or file")
    parser.add_argument("--list", action="store_true", help="print the mutants and plant none")
    options = parser.parse_args(args)
    wanted = (options.only or "").lower()
    chosen = [m for m in mutants if wanted in f"{m.name} {m.file}".lower()]
    if not chosen:
        parser.error(f"no mutant has {options.only!r} in its name or file")
    if options.list:
        print(*(f"{m.file}: {m.name} (pytest {m.tests})" for m in chosen), sep="\n")
        return
    start = perf_counter()
    found = list(track(verdicts(chosen), "Planting", total=len(chosen), transient=True))
    Console().print(table(found))
    troubles = [v.trouble for v in found if v.trouble]
    for trouble in troubles:
        print(trouble)
    killed = len(found) - len(troubles)
    print(f"{killed} of {len(found)} mutants killed in {perf_counter() - start:.0f} s")
    sys.exit(1 if troubles else 0)


if __name__ == "__main__":
    main()
