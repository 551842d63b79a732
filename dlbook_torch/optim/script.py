"""A formula written down: what it does to tensors, apart from the numbers it does it with."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from .tensors import Tensors

Line: TypeAlias = tuple[Any, ...]  # an operation, the place of its result, those of its operands


class Script:
    """The lines that a formula has become, and what else stands in them.

    The formula runs once, on a :class:`Symbol` in place of every tensor. What it does with numbers
    (a bias correction, the choice of a branch) is done then, in double precision as ever. Of what
    it does with tensors a line is left, and the lines may run on any tensors of the same kind: on
    parameters load by load, or compiled. Steps with the same lines differ in their numbers alone.

    Args:
        formula: takes a parameter, its gradient and its memory as a rule's ``update`` does.
        memory: what of the memory is as large as the parameter; only its names are used.
        counters: the rest of it, given to the formula as it is.
    """

    def __init__(
        self,
        formula: Callable[[Any, Any, Any], None],
        memory: Mapping[str, Tensors],
        counters: Mapping[str, Tensors],
    ):
        self.lines: list[Line] = []
        self.numbers: dict[int, float] = {}
        self.functions: dict[int, Callable[..., Any]] = {}
        self.places = 0
        w, g = self.symbol(), self.symbol()
        state: dict[str, Any] = {**counters, **{name: self.symbol() for name in memory}}
        formula(w, g, state)
        self.adds = set(state) - set(memory) - set(counters)  # to the memory
        self.done = self._done(entries=2 + len(memory))

    def symbol(self) -> "Symbol":
        """A new one, for an entry or a result."""
        return Symbol(self, self._place())

    def write(self, operation: str, *given: Any) -> "Symbol":
        """Add a line; what writes to its first operand has it as its result."""
        operands = [self._operand(value) for value in given]
        result = given[0] if operation.endswith("_") and operation[0] != "_" else self.symbol()
        self.lines.append((operation, result.place, *operands))
        return result

    def _done(self, entries: int) -> list[list[int]]:
        """Of every line what it makes or uses for the last time, so that its memory is free."""
        made = {line[1] for line in self.lines if line[1] >= entries}
        last = {place: i for i, line in enumerate(self.lines) for place in line[1:]}
        return [[p for p in made if last[p] == i] for i in range(len(self.lines))]

    def _place(self) -> int:
        self.places += 1
        return self.places - 1

    def _operand(self, value: Any) -> int:
        if isinstance(value, Symbol):
            return value.place
        place = self._place()
        if callable(value):
            self.functions[place] = value
        else:
            self.numbers[place] = float(value)
        return place


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


def run(script: Script, entries: Sequence[Tensors], numbers: Mapping[int, Any]) -> None:
    """Do what is written: to parameters, their gradients and their memory."""
    known = {**script.functions, **numbers, **dict(enumerate(entries))}
    for (operation, result, *operands), done in zip(script.lines, script.done, strict=True):
        known[result] = getattr(Tensors, operation)(*[known[place] for place in operands])
        for place in done:
            del known[place]
