"""A step as one kernel: the formula is written down apart from its numbers, and compiled."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from .tensors import Tensors

Line: TypeAlias = tuple[Any, ...]
Formula: TypeAlias = Callable[..., None]
LIMIT = 8  # kernels for a group; whoever would need more has a new one at every step


class Script:
    """What a formula does to tensors, line by line, and the numbers it does it with.

    At every step the formula runs once, on :class:`Symbol` in place of the tensors. What it does
    with numbers (a bias correction, the choice of a branch) is done, in double precision as ever.
    Of what it does with tensors a line is left. Steps with the same lines differ in their numbers
    alone: they share a kernel.
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.numbers: list[float] = []
        self.symbols = 0

    def symbol(self) -> "Symbol":
        """A new one, for an entry or a result."""
        self.symbols += 1
        return Symbol(self, self.symbols - 1)

    def write(self, operation: str, *given: Any) -> "Symbol":
        """Add a line; what writes to its first operand has it as its result."""
        result = given[0] if operation.endswith("_") and operation[0] != "_" else self.symbol()
        self.lines.append((operation, result.place, *map(self._operand, given)))
        return result

    def _operand(self, value: Any) -> tuple[str, Any]:
        if isinstance(value, Symbol):
            return "tensors", value.place
        if callable(value):
            return "function", value
        self.numbers.append(float(value))
        return "number", len(self.numbers) - 1


class Symbol:
    """Stands in a formula for :class:`Tensors`: every operation of theirs becomes a line."""

    is_sparse = False

    def __init__(self, script: Script, place: int):
        self.script, self.place = script, place


def _writer(operation: str) -> Callable[..., Symbol]:
    return lambda self, *given: self.script.write(operation, self, *given)


for _name, _what in vars(Tensors).items():
    if callable(_what) and _name not in vars(Symbol):
        setattr(Symbol, _name, _writer(_name))


def run(lines: Sequence[Line], entries: Sequence[Tensors], numbers: Sequence[Any]) -> None:
    """Do what is written: to parameters, their gradients and their memory."""
    known = dict(enumerate(entries))
    reading: dict[str, Callable[[Any], Any]] = {
        "tensors": known.__getitem__,
        "number": numbers.__getitem__,
        "function": lambda function: function,
    }
    for operation, result, *operands in lines:
        method = getattr(Tensors, operation)
        known[result] = method(*(reading[kind](value) for kind, value in operands))


class Kernels:
    """The steps of a rule that have been compiled, by their lines and the tensors they move."""

    def __init__(self) -> None:
        self.made: dict[Line, Callable[..., Any]] = {}

    def move(
        self,
        formula: Formula,
        w: Tensors,
        g: Tensors,
        memory: Mapping[str, Tensors],
        counters: dict[str, Tensors],
        group: dict[str, Any],
        most: int,
    ) -> None:
        """One step; ``formula`` takes tensors, memory and group. There will be ``most`` kernels."""
        first, script, entries = w.tensors[0], Script(), [w, g, *memory.values()]
        w_, g_, *rest = (script.symbol() for _ in entries)
        formula(w_, g_, counters | dict(zip(memory, rest, strict=True)), group)
        tensors = [t for entry in entries for t in entry.tensors]
        places = [t.shape for t in w.tensors], [t.stride() for t in tensors]
        key = (*script.lines, first.dtype, first.device, *places[0], *places[1])
        kernel = self.made.get(key)
        if kernel is None and len(self.made) >= most:
            warnings.warn(
                f"this step is none of the {most} that are compiled, so it runs uncompiled: are "
                "there gradients for other parameters at every step?",
                stacklevel=2,
            )
            run(script.lines, entries, script.numbers)
            return
        dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
        numbers = torch.tensor(script.numbers, dtype=dtype, device=first.device)
        if kernel is None:
            kernel = self.made[key] = _compiled(script.lines, len(w.tensors), numbers, tensors)
        kernel(numbers, *tensors)


def check_compiler() -> None:
    """Raises: RuntimeError if there is no C++ compiler."""
    from torch._inductor.cpp_builder import get_cpp_compiler  # takes a second
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise RuntimeError(
            "a compiled step needs a C++ compiler, such as g++, and none was found; the variable "
            "CXX may name one"
        ) from None


def _compiled(
    lines: Sequence[Line], count: int, numbers: Tensor, tensors: Sequence[Tensor]
) -> Callable[..., Any]:
    """The kernel for ``count`` parameters, one after the other, each through all lines."""
    from torch._inductor import compile as compiled
    from torch.fx.experimental.proxy_tensor import make_fx

    def whole(numbers: Tensor, *tensors: Tensor) -> tuple[()]:
        each = [Tensors([number]) for number in numbers.unbind()]
        for i in range(count):
            run(lines, [Tensors([t]) for t in tensors[i::count]], each)
        return ()

    graph = make_fx(whole, tracing_mode="fake")(numbers, *tensors)
    kernel: Callable[..., Any] = compiled(graph, [numbers, *tensors])
    return kernel
