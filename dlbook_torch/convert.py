"""Swap the layers of a model for their twins: torch's for handwritten ones, or back.

from dlbook_torch import convert

convert(model)                   # what torch.nn made is now dlbook_torch.nn's
convert(model, to="builtin")     # and torch's again
"""

import sys
import warnings
from types import ModuleType
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import torch
from torch.nn import Linear, Module, MultiheadAttention, Sequential
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.nn.utils import parametrize

from . import nn
from .nn.conv import margins

To = Literal["handwritten", "builtin"]
M = TypeVar("M", bound=Module)
Kind = type[Module]

HANDWRITTEN = (f"{nn.__name__}.", f"{__package__}.book.")
BUILTIN = ("torch.nn.modules.",)
IDLE = {Module.forward, Sequential.forward}  # of containers, which compute nothing themselves
# What a subclass may define and still compute what the layer it derives from computes.
HARMLESS = {"__init__", "__annotate__", "__annotate_func__", "__constants__"}
HARMLESS |= {"reset_parameters", "extra_repr"}

# What our layer reads, and torch's layer of the same name does not keep.
DEFAULTS: dict[str, dict[str, Any]] = {"AvgPool1d": dict(divisor_override=None)}


class Left(NamedTuple):
    """A layer without a twin: where it stands, what it is, why it stays."""

    name: str
    kind: Kind
    reason: str

    def __str__(self) -> str:
        return f"{self.name or 'the model itself'} ({self.kind.__name__}): {self.reason}"


class _Swap(NamedTuple):
    layer: Module
    base: Kind  # the layer's class, or the one that it derives from, that has a twin
    twin: Kind


def twins(to: To) -> dict[Kind, Kind]:
    """What every class turns into: both libraries have it, under one name.

    Raises: ValueError for another ``to``.
    """
    if to not in get_args(To):
        raise ValueError(f"to must be one of {', '.join(map(repr, get_args(To)))}, got {to!r}")
    names = [name for name in nn.__all__ if isinstance(getattr(torch.nn, name, None), type)]
    pairs = [(getattr(torch.nn, name), getattr(nn, name)) for name in names]
    pairs = [(ref, ours) for ref, ours in pairs if ref is not ours]  # containers are torch's
    return dict(pairs) if to == "handwritten" else {ours: ref for ref, ours in pairs}


def convert(model: M, to: To = "handwritten", strict: bool = False) -> M:
    """Turn every layer of ``model`` into its twin, handwritten or torch's.

    A layer stays the object that it is and changes its class. So parameters and buffers are the
    very same, an optimizer goes on with them, and hooks, training flag, ``requires_grad``, device,
    layers that stand in two places and weights that are tied are as they were; the state keys
    too, so that either model loads what the other has saved.

    A subclass of a layer is converted if it only builds differently, and gets its own class back
    on the way back; so is a layer with parametrizations. What is left is told in a warning:
    layers without a twin, subclasses with a ``forward`` of their own, leaves of other libraries.
    The parts of a layer that is left, such as torch's ``TransformerEncoderLayer``, are converted.
    What a model's own ``forward`` calls directly (``F.relu``, ``torch.flatten``, stochastic depth)
    is no layer and stays torch's.

    Args:
        model: any model, or a single layer.
        to: ``handwritten`` or ``builtin``.
        strict: raise instead of leaving a layer, before anything is changed.

    Returns: the model itself.
    Raises: ValueError for another ``to``; RuntimeError for layers left, if ``strict``.
    """
    swaps, left = _plan(model, to)
    if left and strict:
        raise RuntimeError(f"no twin for {_summary(left)}")
    for swap in swaps:
        _perform(swap)
    for swap in swaps:
        _complete(swap.layer)
    if left:
        warnings.warn(f"left as they are: {_summary(left)}", stacklevel=2)
    return model


def leftovers(model: Module, to: To = "handwritten") -> list[Left]:
    """The layers that :func:`convert` leaves as they are, before or after it was called.

    Raises: ValueError for another ``to``.
    """
    return _plan(model, to)[1]


def _plan(model: Module, to: To) -> tuple[list[_Swap], list[Left]]:
    """Which layers change, and which do not though they should."""
    table = twins(to)
    swaps, left = [], []
    for name, layer in model.named_modules():
        kind = parametrize.type_before_parametrizations(layer)
        base = next((c for c in kind.__mro__ if c in table), None)
        if reason := _obstacle(layer, kind, base, to):
            left.append(Left(name, kind, reason))
        elif base is not None:
            swaps.append(_Swap(layer, base, table[base]))
    return swaps, left


def _obstacle(layer: Module, kind: Kind, base: Kind | None, to: To) -> str | None:
    """Why a layer cannot change; None if it can, or need not."""
    if base is not None:
        if names := _own(kind, base):
            return f"a {base.__name__} with its own {', '.join(sorted(names))}"
        if names := {name for name in vars(layer) if callable(getattr(kind, name, None))}:
            return f"{', '.join(sorted(names))} was replaced on the object itself"
        return None
    handwritten = any(c.__module__.startswith(HANDWRITTEN) for c in kind.__mro__)
    if handwritten == (to == "handwritten") or getattr(kind, "forward", None) in IDLE:
        return None
    if kind.__module__.startswith(HANDWRITTEN):
        return f"torch.nn has no {kind.__name__}"
    if kind.__module__.startswith(BUILTIN):
        return f"{nn.__name__} has no {kind.__name__}"
    return None if any(layer.children()) else f"{kind.__module__} is not torch.nn"


def _own(kind: Kind, base: Kind) -> set[str]:
    """What a subclass and its other ancestors add to a layer or change in it."""
    between = kind.__mro__[: kind.__mro__.index(base)]
    return {
        name
        for c in between
        for name, value in vars(c).items()
        if name not in HARMLESS and (callable(value) or not name.startswith("__"))
    }


def _perform(swap: _Swap) -> None:
    """Change the class, and that of a subclass so that it can be changed back."""
    layer, base, twin = swap
    kind = parametrize.type_before_parametrizations(layer)
    target = vars(layer).pop("_former_class", twin)
    if kind is not base:
        layer._former_class = kind  # type: ignore[assignment]
    if parametrize.is_parametrized(layer):  # its class holds the computed weights as properties
        target = type(type(layer).__name__, (target,), dict(vars(type(layer))))
    layer.__class__ = target


def _complete(layer: Module) -> None:
    """Add what the class that a layer came from did without."""
    for name, value in DEFAULTS.get(type(layer).__name__, {}).items():
        if not hasattr(layer, name):
            setattr(layer, name, value)
    if isinstance(layer, _ConvNd) and not hasattr(layer, "_reversed_padding_repeated_twice"):
        around = margins(layer.padding, layer.kernel_size, layer.stride, layer.dilation)
        layer._reversed_padding_repeated_twice = [n for pair in around[::-1] for n in pair]
        layer.transposed = isinstance(layer, _ConvTransposeNd)
    if isinstance(layer, MultiheadAttention) and type(layer.out_proj) is Linear:
        layer.out_proj.__class__ = NonDynamicallyQuantizableLinear


def _summary(left: list[Left]) -> str:
    """One mention per kind of layer: how many there are, where the first stands, why it is left."""
    alike: dict[tuple[Kind, str], list[Left]] = {}
    for layer in left:
        alike.setdefault((layer.kind, layer.reason), []).append(layer)
    return "; ".join(
        str(first) + (f" (and {len(others)} more)" if others else "")
        for first, *others in alike.values()
    )


class _Room(ModuleType):
    """A module that answers a call: whoever imports it, and how, ``convert`` is one object."""

    __call__ = staticmethod(convert)


sys.modules[__name__].__class__ = _Room
