"""A step as one kernel."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from .script import Script, run
from .tensors import Tensors

LIMIT = 8  # kernels for a group; whoever would need more has a new one at every step


class Kernels:
    """The steps of a rule that have been compiled, by their lines and the tensors they move."""

    def __init__(self) -> None:
        self.made: dict[Any, Callable[..., Any]] = {}

    def run(self, script: Script, entries: Sequence[Tensors], most: int) -> None:
        """As the function of this name does it, with one of at most so many kernels."""
        first, count = entries[0].tensors[0], len(entries[0].tensors)
        tensors = [t for entry in entries for t in entry.tensors]
        shapes, strides = [t.shape for t in tensors[:count]], [t.stride() for t in tensors]
        written = (*script.lines, *script.functions.items())
        key = (*written, first.dtype, first.device, *shapes, *strides)
        kernel = self.made.get(key)
        if kernel is None and len(self.made) >= most:
            warnings.warn(
                f"this step is none of the {most} that were compiled, so it runs uncompiled: do "
                "other parameters get gradients at every step?",
                stacklevel=2,
            )
            run(script, entries, script.numbers)
            return
        dtype = torch.float64 if first.dtype == torch.float64 else torch.float32
        numbers = torch.tensor([*script.numbers.values()], dtype=dtype, device=first.device)
        if kernel is None:
            kernel = self.made[key] = compiled(script, count, numbers, tensors)
        kernel(numbers, *tensors)


def compiled(
    script: Script, count: int, numbers: Tensor, tensors: Sequence[Tensor]
) -> Callable[..., Any]:
    """The kernel for ``count`` parameters, one after the other, each through all lines."""
    from torch._inductor import compile as inductor  # takes a second
    from torch.fx.experimental.proxy_tensor import make_fx

    def whole(numbers: Tensor, *tensors: Tensor) -> tuple[()]:
        single = [Tensors([number]) for number in numbers.unbind()]
        for i in range(count):
            one = [Tensors([t]) for t in tensors[i::count]]
            run(script, one, dict(zip(script.numbers, single, strict=True)))
        return ()

    graph = make_fx(whole, tracing_mode="fake")(numbers, *tensors)
    kernel: Callable[..., Any] = inductor(graph, [numbers, *tensors])
    return kernel


def check_compiler() -> None:
    """Raises: RuntimeError if there is no C++ compiler."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise RuntimeError(
            "a compiled step needs a C++ compiler, such as g++, and none was found; the variable "
            "CXX may name one"
        ) from None
