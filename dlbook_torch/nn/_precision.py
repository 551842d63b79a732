"""16-bit numbers as torch's kernels treat them: computed on in float32, then rounded once."""

import torch
from torch import Tensor


def wide(x: Tensor) -> Tensor:
    """The numbers in the type to compute in: float32 for the 16-bit ones, else their own.

    Raises: NotImplementedError for numbers that are not real and floating, as torch's kernels do.
    """
    if not x.is_floating_point():
        raise NotImplementedError(f"only floating point numbers are supported, got {x.dtype}")
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def answer(y: Tensor, x: Tensor) -> Tensor:
    """What a forward computed from x, rounded to x's type.

    A copy while compiling, where it is free: torch 2.11 compiles a forward to zero gradients if its
    last step returns the tensor it was given (in place, or converting to the type it has).
    """
    return y.to(x.dtype, copy=torch.compiler.is_compiling())


def full(x: Tensor) -> Tensor:
    """What sums exponentials is float32 under autocast on a GPU, result and all; not on the CPU."""
    return wide(x) if x.is_cuda and torch.is_autocast_enabled("cuda") else x
