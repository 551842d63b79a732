"""What every check uses: the tensors of a call, the call itself, and torch's right to refuse."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from ... import nn

Errors = dict[str, float]


class TorchRefuses(Exception):
    """Torch's own layer does not do what a check asks, so that ours is not asked."""


def ask(what: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What torch's own layer answers, whatever it warns of.

    Raises: TorchRefuses if it raises anything.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            return what(*args, **kwargs)
    except Exception as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise TorchRefuses(f"{type(error).__name__}: {reason}") from error


def tensors(values: Any) -> list[Tensor]:
    """Every tensor in a layer's inputs or in its result, however deep."""
    return [t for t in tree_leaves(values) if isinstance(t, Tensor)]


def each_tensor(function: Callable[[Tensor], Tensor], values: Any) -> Any:
    """The same values with ``function`` of every tensor; one that stands twice stays one."""
    made: dict[int, Tensor] = {}

    def once(t: Tensor) -> Tensor:
        if id(t) not in made:
            made[id(t)] = function(t)
        return made[id(t)]

    return tree_map_only(Tensor, once, values)


def differentiable(result: Any) -> list[Tensor]:
    """What gradients enter by: the results, without the indices beside them."""
    return [t for t in tensors(result) if t.requires_grad]


def output(result: Any) -> Tensor:
    """The first of a layer's results."""
    return tensors(result)[0]


def twin_of(argument: Any) -> Any:
    """A copy of a tensor that gathers a gradient of its own; anything else as it is."""
    if not isinstance(argument, Tensor):
        return argument
    return argument.detach().clone().requires_grad_(argument.requires_grad)


def enterable(layer: torch.nn.Module, inputs: Any) -> Any:
    """The inputs, as copies where the layer writes into them: into a leaf torch lets nobody."""
    inplace = any(getattr(m, "inplace", False) for m in layer.modules())
    return each_tensor(torch.clone, inputs) if inplace else inputs


def run(layer: Callable[..., Any], inputs: tuple[Any, ...], seed: int = 1) -> Any:
    """Call a layer at a fixed point of the random sequence, its dropout drawing torch's masks."""
    torch.manual_seed(seed)
    with nn.algorithms(dropout="bernoulli"):
        return layer(*inputs)
