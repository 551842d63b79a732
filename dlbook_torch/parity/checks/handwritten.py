"""Layers made of elementary operations: what they ask of torch, forward and backward."""

from inspect import isbuiltin
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ..cases import Case
from .base import ask, differentiable, enterable, run, tensors
from .compare import Way, play

# What a handwritten layer or rule may be made of, forward and backward. Nothing else: no kernel
# that computes a layer or a step, whether its own twin's or another's.
_ELEMENTARY = {
    "arithmetic": "add add_ addcmul addcmul_ addcdiv_ sub sub_ rsub mul mul_ div div_ neg neg_ abs "
    "abs_ sign "
    "remainder lerp lerp_ reciprocal reciprocal_ nextafter",
    "rounding": "floor floor_divide",
    "powers, roots, logarithms": "exp exp_ exp2_ expm1 log log_ log1p log1p_ erf erf_ pow_ "
    "sqrt sqrt_ rsqrt rsqrt_",
    "comparison and choice": "eq ne ne_ lt lt_ le gt ge bitwise_not bitwise_and bitwise_or isnan "
    "clamp clamp_ clamp_min_ clamp_max_ maximum maximum_ minimum where copysign",
    "reduction": "all sum mean amax linalg_vector_norm",
    "matrix products": "mv mm bmm baddbmm",
    "indexing": "index_select index_add gather scatter scatter_add scatter_add_ masked_fill",
    "views": "view _unsafe_view as_strided expand permute transpose unsqueeze squeeze squeeze_ "
    "slice select split split_with_sizes unbind flip detach alias",
    "copies and constants": "clone copy_ fill_ _to_copy cat empty empty_like ones_like zeros_like "
    "arange scalar_tensor lift_fresh full_like zeros zero_ new_empty new_empty_strided new_full "
    "new_ones new_zeros _local_scalar_dense",
    "random draws": "bernoulli_ random_",
    "profiling marks": "_record_function_enter_new _record_function_exit",
}
ELEMENTARY = {name for names in _ELEMENTARY.values() for name in names.split()}


class Recorder(TorchDispatchMode):
    """Collect the names of the aten operations that run inside the ``with`` block."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        # An operation over a list of tensors is as elementary as over one.
        self.names.add(func.overloadpacket.__name__.removeprefix("_foreach_"))
        return func(*args, **(kwargs or {}))


# Torch's own functions of whole layers. Some of them, such as F.linear, are made of elementary
# operations and would pass unseen below: they are recognised where they are called.
BORROWED = {
    function
    for name in dir(torch.nn.functional)
    for function in (getattr(torch.nn.functional, name), getattr(torch, name, None))
    if isbuiltin(function) or getattr(function, "__module__", "") == torch.nn.functional.__name__
}


class Borrowings(TorchFunctionMode):
    """Collect the functions of ``torch.nn.functional`` called inside the ``with`` block."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in BORROWED:
            self.names.add(f"torch's {func.__name__}")
        return func(*args, **(kwargs or {}))


def operations(layer: torch.nn.Module, inputs: tuple[Any, ...]) -> set[str]:
    """What a layer asks of torch, forward and backward."""
    given = enterable(layer, inputs)
    entries = [t for t in (*tensors(inputs), *layer.parameters()) if t.requires_grad]
    with Recorder() as recorder, Borrowings() as borrowings:
        exits = differentiable(run(layer, given))
        if exits:
            dys = [torch.ones_like(y) for y in exits]
            torch.autograd.grad(exits, entries, dys, allow_unused=True)
    return recorder.names | borrowings.names


def handwritten(case: Case, training: bool = True, dtype: torch.dtype = torch.float64) -> None:
    """Forward and backward are made of elementary operations only."""
    ours, ref = (m.train(training) for m in case.twins(dtype))
    inputs = case.inputs(dtype)
    ask(play, ref, inputs, Way())
    foreign = operations(ours, inputs) - ELEMENTARY
    assert not foreign, f"{case.name} calls {', '.join(sorted(foreign))}"
