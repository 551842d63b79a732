"""The derivatives against central differences."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from ..cases import Case
from .base import differentiable, enterable, run, tensors


def _as_function(
    case: Case, training: bool
) -> tuple[Callable[..., tuple[Tensor, ...]], tuple[Any, ...]]:
    """Our layer as a function of its inputs and parameters, without a memory."""
    ours = case.twins()[0].train(training)
    inputs, params = case.inputs(), dict(ours.named_parameters())

    def function(*args: Any) -> tuple[Tensor, ...]:
        state = dict(zip(params, args[len(inputs) :], strict=True))
        state |= {name: buffer.clone() for name, buffer in ours.named_buffers()}
        given = enterable(ours, args[: len(inputs)])
        result = run(lambda *given: torch.func.functional_call(ours, state, given), given)
        return tuple(differentiable(result))

    return function, (*inputs, *params.values())


def derivative(case: Case, training: bool = True, check: Callable[..., bool] = gradcheck) -> None:
    """The backward is the derivative of the forward; of nothing there is none."""
    function, args = _as_function(case, training)
    if all(t.numel() for t in tensors(args)) and function(*args):
        assert check(function, args, fast_mode=True)


def second_derivative(case: Case, training: bool = True) -> None:
    """The derivative of the backward is right too."""
    derivative(case, training, gradgradcheck)
