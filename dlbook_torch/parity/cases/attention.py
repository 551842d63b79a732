"""Rows of attention (notes 4.3)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .base import Case, Make, Refused

L, S, N, E, H = 3, 4, 2, 6, 2
SIZES = dict(embed_dim=E, num_heads=H)


def sequences(
    shapes: tuple[tuple[int, ...], ...] = ((L, N, E), (S, N, E), (S, N, E)), *options: Any
) -> Make:
    """Query, key and value (one for all, if there is one shape), then what a call adds to them."""

    def make(dtype: torch.dtype, device: str) -> tuple[Any, ...]:
        made = [
            torch.randn(shape, dtype=dtype, device=device, requires_grad=True) for shape in shapes
        ]
        given = [o(dtype).to(device) if callable(o) else o for o in options]
        return (*(made if len(made) == 3 else made * 3), *given)

    return make


def forbid(*shape: int) -> Callable[[torch.dtype], Tensor]:
    """A boolean mask that leaves every query a key to look at."""
    index = torch.arange(torch.Size(shape).numel()).view(shape)
    return lambda dtype: index % 3 == 1


def penalty(*shape: int) -> Callable[[torch.dtype], Tensor]:
    """A mask of numbers to be added to the scores, one of them minus infinity."""

    def make(dtype: torch.dtype) -> Tensor:
        mask = torch.linspace(-1, 1, torch.Size(shape).numel(), dtype=dtype)
        return mask.index_fill(0, torch.tensor(1), -torch.inf).view(shape)

    return make


def causal(dtype: torch.dtype) -> Tensor:
    """No query looks at what comes after it."""
    return torch.ones(L, L, dtype=torch.bool).triu(1)


def attend(label: str, make: Make, **kwargs: Any) -> Case:
    """Attention of two heads."""
    return Case("4.3", "MultiheadAttention", (L, N, E), SIZES | kwargs, make=make, label=label)


ONE = ((L, N, E),)
CROSS = ((L, N, E), (S, N, E), (S, N, E))
BATCH_FIRST = ((N, L, E), (N, S, E), (N, S, E))
UNBATCHED = ((L, E), (S, E), (S, E))
# key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal
FAST = (None, False)

CASES: list[Case] = [
    attend("self", sequences(ONE)),
    attend("self-fast", sequences(ONE, *FAST)),
    attend("cross", sequences(CROSS)),
    attend("cross-fast", sequences(CROSS, *FAST)),
    attend("per-head", sequences(CROSS, None, True, None, False)),
    attend("unbatched", sequences(UNBATCHED, forbid(S), True, forbid(H, L, S))),
    attend("unbatched-fast", sequences(UNBATCHED, forbid(S), False, forbid(H, L, S))),
    attend("empty", sequences(((L, 0, E),))),
    attend("batch-first", sequences(BATCH_FIRST), batch_first=True),
    attend("batch-first-self-fast", sequences(((N, L, E),), *FAST), batch_first=True),
    attend("padding", sequences(CROSS, forbid(N, S))),
    attend("padding-fast", sequences(CROSS, penalty(N, S), False)),
    attend("mask", sequences(CROSS, None, True, forbid(L, S))),
    attend("mask-fast", sequences(CROSS, None, False, forbid(L, S))),
    attend("added", sequences(CROSS, None, True, penalty(L, S))),
    attend("added-fast", sequences(CROSS, None, False, penalty(L, S))),
    attend("both", sequences(CROSS, forbid(N, S), True, forbid(N * H, L, S))),
    attend("both-fast", sequences(CROSS, penalty(N, S), False, penalty(N * H, L, S))),
    attend("causal", sequences(ONE, None, True, causal, True, True)),
    attend("causal-fast", sequences(ONE, None, False, causal, True, True)),
    attend("causal-padding", sequences(ONE, penalty(N, L), False, penalty(L, L), True, True)),
    attend("no-bias", sequences(CROSS), bias=False),
    attend("other-sizes", sequences(((L, N, E), (S, N, 3), (S, N, 5))), kdim=3, vdim=5),
    attend("other-sizes", sequences(((L, N, E), (S, N, 3), (S, N, E)), *FAST), kdim=3, bias=False),
    attend("learned-key", sequences(CROSS, forbid(N, S), True, forbid(L, S)), add_bias_kv=True),
    attend("zero-key", sequences(CROSS, forbid(N, S), True, forbid(L, S)), add_zero_attn=True),
    attend(
        "both-keys",
        sequences(CROSS, forbid(N, S), False, forbid(N * H, L, S)),
        add_bias_kv=True,
        add_zero_attn=True,
    ),
    attend("dropped", sequences(CROSS), dropout=0.5),
    attend("dropped-fast", sequences(CROSS, None, False, forbid(L, S)), dropout=0.5),
]


def refused(
    error: type[Exception],
    value: str,
    shapes: tuple[tuple[int, ...], ...] = CROSS,
    *options: Any,
    **kwargs: Any,
) -> Refused:
    """A call that torch refuses."""
    make, sizes = sequences(shapes, *options), SIZES | kwargs
    call = partial(make, torch.float32, "cpu")
    return Refused("4.3", "MultiheadAttention", sizes, call, error, value)


def integers(*shape: int) -> Callable[[torch.dtype], Tensor]:
    """A mask of a type that is none."""
    return lambda dtype: torch.zeros(shape, dtype=torch.int32)


REFUSED: list[Refused] = [
    Refused("4.3", "MultiheadAttention", SIZES | dict(embed_dim=0), None, ValueError, "0 and 2"),
    Refused("4.3", "MultiheadAttention", SIZES | dict(num_heads=-1), None, ValueError, "6 and -1"),
    Refused("4.3", "MultiheadAttention", SIZES | dict(num_heads=4), None, AssertionError, "4"),
    refused(AssertionError, "1D", ((E,), (S, N, E), (S, N, E))),
    refused(AssertionError, "(4, 6)", ((L, N, E), (S, E), (S, E))),
    refused(AssertionError, "got 4", ((L, N, 4), (S, N, E), (S, N, E))),
    refused(AssertionError, "(5, 2, 6)", ((L, N, E), (S, N, E), (5, N, E))),
    refused(AssertionError, "(5, 2, 6)", ((L, N, E), (S, N, 3), (5, N, E)), kdim=3),
    refused(RuntimeError, "(4, 2, 5)", ((L, N, E), (S, N, 5), (S, N, 5))),
    refused(AssertionError, "(4,)", CROSS, forbid(S)),
    refused(AssertionError, "(2, 5)", CROSS, forbid(N, 5)),
    refused(AssertionError, "torch.int32", CROSS, integers(N, S)),
    refused(AssertionError, "(3,)", CROSS, None, True, forbid(L)),
    refused(RuntimeError, "(4, 4)", CROSS, None, True, forbid(S, S)),
    refused(RuntimeError, "(3, 3, 4)", CROSS, None, True, forbid(3, L, S)),
    refused(AssertionError, "(4, 3, 4)", UNBATCHED, None, True, forbid(4, L, S)),
    refused(AssertionError, "int32", CROSS, None, True, integers(L, S)),
    refused(RuntimeError, "None", CROSS, None, True, None, True, True),
    refused(ValueError, "1.5", dropout=1.5),
]
