"""What torch makes of a layer: compiled, exported, differentiated and mapped as a function."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils._pytree import tree_flatten, tree_unflatten

from ..cases import Case
from .base import Errors, ask, each_tensor, enterable, run, tensors
from .compare import Way, compare


def _compiled(layer: torch.nn.Module) -> Callable[..., Any]:
    torch._dynamo.reset()
    return torch.compile(layer, fullgraph=True, backend="aot_eager")


def _exported(layer: torch.nn.Module, inputs: tuple[Any, ...]) -> Callable[..., Any]:
    return torch.export.export(layer, inputs, strict=False).module()


def compiles(case: Case, training: bool = True) -> Errors:
    """One graph, forward and backward, without a break, and the numbers of torch's own layer."""
    try:
        return compare(case, training, way=Way(wrap=_compiled))
    except AssertionError:
        raise
    except Exception:  # torch's layer is compiled only to see whether it would be any better
        ref = case.twins()[1].train(training)
        ask(run, _compiled(ref), enterable(ref, case.inputs()))
        raise


def exports(case: Case, training: bool = True) -> None:
    """The exported program gives the numbers of torch's own layer."""
    ours, ref = (m.train(training) for m in case.twins())
    inputs = each_tensor(torch.Tensor.detach, case.inputs())
    copies = [each_tensor(torch.clone, inputs) for _ in range(4)]
    try:
        made = run(_exported(ours, copies[0]), copies[1])
    except Exception:
        ask(_exported, ref, inputs)
        raise
    assert_close(tensors(made), tensors(run(ref, copies[2])), equal_nan=True)


def _gradients(layer: torch.nn.Module, inputs: tuple[Any, ...]) -> Callable[..., Any]:
    """The gradients of all squared outputs: a function of parameters and of the input tensors."""
    leaves, structure = tree_flatten(inputs)
    places = [i for i, t in enumerate(leaves) if isinstance(t, Tensor)]
    floats = [k for k, i in enumerate(places, start=1) if leaves[i].requires_grad]

    def square(params: dict[str, Tensor], *given: Tensor) -> Tensor:
        filled = dict(enumerate(leaves)) | dict(zip(places, given, strict=True))
        buffers = {name: t.clone() for name, t in layer.named_buffers()}
        arguments = enterable(layer, tree_unflatten(list(filled.values()), structure))
        result = torch.func.functional_call(layer, (params, buffers), arguments)
        squares = [(y * y).sum() for y in tensors(result) if y.is_floating_point()]
        return torch.stack(squares).sum()

    return torch.func.grad(square, argnums=(0, *floats))


def _by_torch_func(case: Case, training: bool, batched: bool) -> None:
    def gradients(layer: torch.nn.Module) -> Any:
        function, axes = _gradients(layer.train(training), draws[0]), (None, *(0 for _ in given))
        if batched:
            function = torch.vmap(function, in_dims=axes, randomness="same")
        return run(function, (dict(layer.named_parameters()), *given))

    draws = [case.inputs() for _ in range(2 if batched else 1)]
    given = [t.detach() for t in tensors(draws[0])]
    if batched:
        pairs = zip(*map(tensors, draws), strict=True)
        given = [torch.stack([t.detach() for t in pair]) for pair in pairs]
    ours, ref = case.twins()
    wanted = ask(gradients, ref)
    assert_close(gradients(ours), wanted, equal_nan=True)


def functional_call(case: Case, training: bool = True) -> None:
    """A layer as a function of its parameters, differentiated by ``torch.func.grad``."""
    _by_torch_func(case, training, batched=False)


def vmap(case: Case, training: bool = True) -> None:
    """The gradients of several inputs (and targets) at once, one for each: per sample."""
    _by_torch_func(case, training, batched=True)
