"""The rooms of the package: who may import whom, and what a plain import may bring along."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dlbook_torch"
# A room imports only rooms of the lines above its own.
LEVELS = """
nn | optim | autograd
book | convert | pages
models | parity | diagnostics
data | diagnostics.monitor
training
experiment | search | bench
"""
LEVEL = {
    room: level
    for level, line in enumerate(LEVELS.strip().splitlines())
    for room in line.split(" | ")
}
FACADE = {"nn", "optim", "convert"}  # what ``import dlbook_torch`` itself may bring
FILES = sorted(PACKAGE.rglob("*.py"))


def room(module: str) -> str:
    """``dlbook_torch.nn.conv`` lies in ``nn``; the package itself is the room ``""``."""
    parts = module.removesuffix(".__init__").split(".")[1:]
    inner = ".".join(parts[:2])
    return inner if inner in LEVEL else ".".join(parts[:1])


def name_of(path: Path) -> str:
    """Such as ``dlbook_torch.nn.conv``, or ``dlbook_torch.nn.__init__``."""
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def imports(source: str, package: str) -> set[str]:
    """Full names of everything that a module of ``package`` imports, at its top or inside."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def forbidden(source: str, module: str) -> set[str]:
    """Rooms that a module imports and must not."""
    here, names = room(module), imports(source, module.rpartition(".")[0])
    rooms = {room(name) for name in names if name.startswith("dlbook_torch.")}
    rooms -= {here, ""}
    if here == "":
        return rooms - FACADE
    return {other for other in rooms if LEVEL.get(other, len(LEVEL)) >= LEVEL[here]}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_arrows(path):
    module = name_of(path)
    wrong = forbidden(path.read_text(encoding="utf-8"), module)
    assert not wrong, f"{module} must not import {wrong}"


@pytest.mark.parametrize(
    "module, source, wrong",
    [
        ("dlbook_torch.nn.conv", "from ..optim import Adam", {"optim"}),
        ("dlbook_torch.nn.conv", "from .. import models", {"models"}),
        ("dlbook_torch.nn.conv", "from .linear import Linear\nimport torch", set()),
        ("dlbook_torch.nn.conv", "from ..attic import x", {"attic"}),
        ("dlbook_torch.nn.__init__", "from .conv import Conv2d", set()),
        ("dlbook_torch.optim.adam", "import dlbook_torch.nn.conv", {"nn"}),
        ("dlbook_torch.convert", "from . import nn\nfrom .models import MLP", {"models"}),
        ("dlbook_torch.parity.zoo", "from .. import convert", set()),
        ("dlbook_torch.book.conv", "from ..nn.functional import fold", set()),
        ("dlbook_torch.book.rules", "from ..optim.optimizer import Optimizer", set()),
        ("dlbook_torch.book.network", "from ..autograd import numerical_gradient", set()),
        ("dlbook_torch.book.twins", "from .. import convert", {"convert"}),
        ("dlbook_torch.book.network", "from ..models import MLP", {"models"}),
        ("dlbook_torch.convert", "from .book import Affine", {"book"}),
        ("dlbook_torch.nn.fold", "from ..book import im2col", {"book"}),
        ("dlbook_torch.autograd", "from . import book, nn", {"book", "nn"}),
        ("dlbook_torch.models", "from .book import DeepConvNet", set()),
        ("dlbook_torch.models", "from . import nn\nfrom .nn.geometry import output_size", set()),
        ("dlbook_torch.models", "def f():\n    from dlbook_torch.data import Digits", {"data"}),
        ("dlbook_torch.data.images", "from ..training.cli import main", {"training"}),
        ("dlbook_torch.training.run", "from .. import nn\nfrom ..models import MLP", set()),
        ("dlbook_torch.training.run", "from ..diagnostics import diagnose", set()),
        ("dlbook_torch.training.run", "from dlbook_torch.bench import cli", {"bench"}),
        ("dlbook_torch.parity.cases", "from ..diagnostics.verdict import x", {"diagnostics"}),
        ("dlbook_torch.diagnostics.verdict", "from . import monitor", {"diagnostics.monitor"}),
        ("dlbook_torch.diagnostics.monitor", "from .verdict import diagnose", set()),
        ("dlbook_torch.__init__", "from . import nn, models", {"models"}),
    ],
)
def test_arrows_are_checked_in_every_way_of_importing(module, source, wrong):
    assert forbidden(source, module) == wrong


def test_every_room_has_its_place():
    assert {room(name_of(path)) for path in FILES} <= {"", *LEVEL}


def loaded_by(statement: str) -> set[str]:
    """Names of the modules that a fresh interpreter has loaded after ``statement``."""
    code = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "statement, heavy",
    [
        ("from dlbook_torch import convert", {"lightning", "torchvision", "matplotlib", "scipy"}),
        ("from dlbook_torch import book", {"lightning", "torchvision", "matplotlib", "scipy"}),
        ("import dlbook_torch.models", {"lightning", "torchvision", "matplotlib", "scipy"}),
        ("import dlbook_torch.diagnostics", {"torch", "scipy.stats", "lightning", "matplotlib"}),
        ("import dlbook_torch.training.cli", {"lightning", "torchvision", "matplotlib"}),
    ],
)
def test_import_is_light(statement, heavy):
    loaded = loaded_by(statement)
    assert "dlbook_torch" in loaded
    assert not loaded & heavy
