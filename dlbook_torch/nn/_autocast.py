"""Mixed precision: what torch does to the operands of its own matrix products."""

import torch
from torch import Tensor


def cast(*operands: Tensor | None) -> tuple[Tensor | None, ...]:
    """The operands in the type that ``torch.autocast`` asks for, unchanged outside of it.

    torch casts before its kernels, by their names. A handwritten function is not on that list, and
    a cast in its forward alone would meet the uncast operand again in its backward.
    """
    device = next(t.device.type for t in operands if t is not None)
    if not torch.is_autocast_enabled(device):
        return operands
    dtype = torch.get_autocast_dtype(device)
    return tuple(t if t is None or t.dtype == torch.float64 else t.to(dtype) for t in operands)
