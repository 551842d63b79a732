"""Random changes of whole batches of images, as transforms of torchvision v2.

torchvision's own random transforms draw once per call, so a batch would move as one block. These
draw once per image, and still work on the batch as one tensor, on the device where it lies.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import v2


class RandomShift(v2.Transform):
    """Move every image by up to ``pixels`` up or down and left or right; zeros move in.

    Shape: ``(N, C, H, W)`` to ``(N, C, H, W)``, any dtype.
    Raises: ValueError if ``pixels`` is below 1.
    """

    def __init__(self, pixels: int):
        super().__init__()
        if pixels < 1:
            raise ValueError(f"pixels must be at least 1, got {pixels}")
        self.pixels = pixels

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the upper left corner of every image in its padded version."""
        (x,) = flat_inputs
        corners = torch.randint(2 * self.pixels + 1, (2, len(x)), device=x.device)
        return {"down": corners[0], "right": corners[1]}

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:
        """Cut every image out of its padded version."""
        h, w = inpt.shape[2:]
        windows = F.pad(inpt, [self.pixels] * 4).unfold(2, h, 1).unfold(3, w, 1)
        image = torch.arange(len(inpt), device=inpt.device)
        return windows[image, :, params["down"], params["right"]]


class RandomFlip(v2.Transform):
    """Mirror every image left to right with probability one half.

    Shape: ``(N, C, H, W)`` to ``(N, C, H, W)``, any dtype.
    """

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Toss a coin for every image."""
        (x,) = flat_inputs
        return {"flip": torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5}

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:
        """Choose between each image and its mirror image."""
        return torch.where(params["flip"], inpt.flip(-1), inpt)
