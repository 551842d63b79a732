"""Stands in for ``dlbook_torch.autograd.numerical_gradients`` until that is there."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


@torch.no_grad()
def numerical_gradients(
    loss: Callable[[], Tensor], parameters: Mapping[str, Tensor], h: float = 1e-4
) -> dict[str, Tensor]:
    """Central differences of the loss by every element of every parameter, moved in place."""
    gradients = {name: torch.empty_like(w) for name, w in parameters.items()}
    for name, w in parameters.items():
        for element, slope in zip(w.view(-1), gradients[name].view(-1), strict=True):
            before = element.clone()
            slope.copy_(loss_at(loss, element, before + h) - loss_at(loss, element, before - h))
            element.copy_(before)
        gradients[name] /= 2 * h
    return gradients


def loss_at(loss: Callable[[], Tensor], element: Tensor, value: Tensor) -> Tensor:
    """The loss where one element of a parameter has another value."""
    element.copy_(value)
    return loss()
