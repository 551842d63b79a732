"""What stands around an image (notes 7.1)."""

from typing import Literal

import torch
from torch import Tensor

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


def extend(x: Tensor, padding: tuple[tuple[int, int], ...], mode: PaddingMode) -> Tensor:
    """Surround every image with copies of its own pixels: mirrored, repeated or wrapped around."""
    for axis, (before, after) in enumerate(padding, x.dim() - len(padding)):
        n = x.shape[axis]
        if mode != "replicate" and max(before, after) > n - (mode == "reflect"):
            raise RuntimeError(f"{mode} padding of {(before, after)} is too wide for {n} pixels")
        index = torch.arange(-before, n + after, device=x.device)
        if mode == "replicate":
            index = index.clamp(0, n - 1)
        elif mode == "circular":
            index = index % n
        else:
            index = (n - 1) - ((n - 1) - index.abs()).abs()
        x = x.index_select(axis, index)
    return x
