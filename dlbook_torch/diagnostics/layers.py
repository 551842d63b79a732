"""What a layer is, in ours, torch's or any other library, and which activation follows it."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RELU = {"relu", "relu6"}  # exactly 0 on one side: their units can die
ENDS = {"sigmoid": (0.01, 0.99), "tanh": (-0.99, 0.99)}  # beyond them a unit is saturated
OTHERS = "leakyrelu elu gelu silu softplus selu celu prelu mish hardtanh hardsigmoid hardswish"
ACTIVATIONS = {*RELU, *ENDS, *OTHERS.split()}
NORMS = ("norm",)  # in the name of a class: its scale is no weight of a layer
SEEN_AS: dict[str, list[Any]] = {
    "relu": [F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_],
    "relu6": [F.relu6],
    "sigmoid": [F.sigmoid, torch.sigmoid, torch.sigmoid_, Tensor.sigmoid, Tensor.sigmoid_],
    "tanh": [F.tanh, torch.tanh, torch.tanh_, Tensor.tanh, Tensor.tanh_],
    "leakyrelu": [F.leaky_relu],
    "elu": [F.elu],
    "gelu": [F.gelu],
    "silu": [F.silu],
    "softplus": [F.softplus],
}
FUNCTIONS = {function: name for name, functions in SEEN_AS.items() for function in functions}


def activation_of(module: nn.Module) -> str:
    """Name of the activation that a module is, such as ``"relu"``; "" if it is none."""
    names = (cls.__name__.lower() for cls in type(module).__mro__)
    return next((name for name in names if name in ACTIVATIONS), "")


def weight_of(module: nn.Module) -> Tensor | None:
    """The first parameter of a module's own with two axes or more; None if it is no layer."""
    kinds = [cls.__name__.lower() for cls in type(module).__mro__]
    if any(word in kind for word in NORMS for kind in kinds):
        return None
    own = list(module.parameters(recurse=False))
    for parametrized in getattr(module, "parametrizations", {}).values():
        own += parametrized.parameters(recurse=False)
    return next((p for p in own if nn.parameter.is_lazy(p) or p.dim() > 1), None)


def layers_of(network: nn.Module) -> dict[str, nn.Module]:
    """Every layer by its name, in the order in which they were made."""
    found = {}
    for name, module in network.named_modules():
        if ".parametrizations" not in f".{name}" and weight_of(module) is not None:
            found[name.replace("_orig_mod.", "")] = module
    return found


def visible(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules whose hooks are called: not what is compiled or scripted."""
    modules = list(network.named_modules())
    inside = tuple(name and f"{name}." for name, m in modules if _compiled_in_place(m))
    for name, module in modules:
        compiled = type(module).__name__ == "OptimizedModule" or "_orig_mod" in name
        compiled |= f"{name}.".startswith(inside)
        if not (compiled or isinstance(module, torch.jit.ScriptModule)):
            yield name, module


def is_compiled(network: nn.Module) -> bool:
    """Something in it is compiled, and a mode around it would compile it anew."""
    return any(
        type(m).__name__ == "OptimizedModule" or _compiled_in_place(m) for m in network.modules()
    )


def _compiled_in_place(module: nn.Module) -> bool:
    """By ``module.compile()``."""
    return getattr(module, "_compiled_call_impl", None) is not None


def all_but_units(module: nn.Module, y: Tensor) -> list[int]:
    """The axes of an output that are not its units or channels."""
    kernel = getattr(module, "kernel_size", None)
    unit = y.dim() - 1
    if kernel is not None and y.dim() > 2:  # a convolution; unbatched images have one axis less
        unit = 0 if isinstance(kernel, tuple) and y.dim() == len(kernel) + 1 else 1
    return [axis for axis in range(y.dim()) if axis != unit]


def is_transposed(module: nn.Module) -> bool:
    """The weight's second axis are the units."""
    return bool(getattr(module, "transposed", False))
