"""What numbers a layer computes in: 16-bit ones, mixed precision, and which types it refuses."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

HALF = (torch.bfloat16, torch.float16)


def wide_type(dtype: torch.dtype) -> torch.dtype:
    """The type to compute in: in 16 bits, every term of a sum would be rounded."""
    return torch.float32 if dtype in HALF else dtype


def wide(x: Tensor) -> Tensor:
    """The numbers in the type to compute in, as torch's kernels do: float32 for 16 bits.

    Raises: NotImplementedError for numbers that are not real and floating, as torch's kernels do.
    """
    if not x.is_floating_point():
        raise NotImplementedError(f"only floating point numbers are supported, got {x.dtype}")
    return x.to(wide_type(x.dtype))


def answer(y: Tensor, x: Tensor) -> Tensor:
    """What a forward computed from x, rounded to x's type.

    A copy while compiling, where it is free: torch 2.11 compiles a forward to zero gradients if its
    last step returns the tensor it was given (in place, or converting to the type it has).
    """
    return y.to(x.dtype, copy=torch.compiler.is_compiling())


def full(x: Tensor) -> Tensor:
    """What sums exponentials is float32 under autocast on a GPU, result and all; not on the CPU."""
    return wide(x) if x.is_cuda and torch.is_autocast_enabled("cuda") else x


def _device_of_autocast(operands: tuple[Tensor | None, ...]) -> str | None:
    """Where the operands live, if autocast is on there."""
    device = next(t.device.type for t in operands if t is not None)
    return device if device != "meta" and torch.is_autocast_enabled(device) else None


def cast(*operands: Tensor | None) -> tuple[Tensor | None, ...]:
    """The operands in the type that ``torch.autocast`` asks for, unchanged outside of it.

    torch casts before its kernels, by their names. A handwritten function is not on that list, and
    a cast in its forward alone would meet the uncast operand again in its backward.
    """
    device = _device_of_autocast(operands)
    if device is None:
        return operands
    dtype = torch.get_autocast_dtype(device)
    return tuple(t if t is None or t.dtype == torch.float64 else t.to(dtype) for t in operands)


def cast_once(*operands: Tensor | None) -> tuple[tuple[Any, ...], AbstractContextManager]:
    """The operands as :func:`cast` gives them, and a context in which no product is cast again."""
    device = _device_of_autocast(operands)
    if device is None:
        return operands, nullcontext()
    return cast(*operands), torch.autocast(device, enabled=False)


def widen(*operands: Tensor | None) -> tuple[Any, ...]:
    """The operands in float32 where ``torch.autocast`` is on, which runs its losses in it."""
    if _device_of_autocast(operands) is None:
        return operands
    return tuple(t.float() if t is not None and t.dtype in HALF else t for t in operands)


def check_types(x: Tensor, *parameters: Tensor | None) -> None:
    """A normalization takes parameters of its input's type, or float32 ones beside 16 bits.

    Raises: NotImplementedError for an input of integers; RuntimeError for another mixture.
    """
    if not x.is_floating_point():
        raise NotImplementedError(f"normalization is not defined for {x.dtype}")
    kinds = {t.dtype for t in parameters if t is not None}
    if not (kinds <= {x.dtype} or (x.dtype in HALF and kinds == {torch.float32})):
        raise RuntimeError(f"parameters of {', '.join(map(str, kinds))} beside {x.dtype} input")
