"""What makes handwritten formulas fast on a CPU: buffers written over, pieces that stay in a cache.

All of it is for float32 and narrower types, in plain eager mode. Where autograd records (gradients
of gradients), a compiler traces or ``torch.func`` maps, and in float64, the plain formula runs.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from math import e, log2, prod
from typing import Any

import torch
from torch import Tensor, autograd

PIECE = 2**18  # numbers in a piece: a few temporaries of a megabyte
KEPT = 2**22  # numbers of memory that a thread keeps at most

_BITS = {4: torch.int32, 2: torch.int16}


class Function(autograd.Function):
    """A formula and what its derivative needs, in two parts, as ``torch.func`` wants them.

    Where no transform of ``torch.func`` looks on, a twin runs both parts as one: torch takes 8 us
    to bring two together, four times what it takes to apply one. A compiler traces the two parts.
    """

    _at_once: type[autograd.Function]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "forward" in vars(cls):

            def forward(ctx, *args):
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
                return result

            def backward(ctx, *gradients):
                return cls.backward(ctx, *gradients)

            both = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
            cls._at_once = type(cls.__name__, (autograd.Function,), both)

    @classmethod
    def apply(cls, *args: Any) -> Any:
        if torch._C._are_functorch_transforms_active():
            return super().apply(*args)
        return cls._at_once.apply(*args)  # here too if a compiler comes in at this very call


def _wrapped(x: Tensor) -> bool:
    """Whether x stands for many tensors, or for one that ``torch.func`` looks at."""
    c = torch._C._functorch
    return c.is_functorch_wrapped_tensor(x) or c.is_legacy_batchedtensor(x)


def _narrow(x: Tensor) -> bool:
    return x.is_cpu and x.itemsize < 8


def eager(*tensors: Tensor | None) -> bool:
    """Whether these are plain numbers on the CPU, no wider than float32, and nobody is tracing."""
    if torch.compiler.is_compiling():
        return False
    for x in tensors:  # noqa: SIM110 (a generator takes twice as long)
        if x is not None and (not _narrow(x) or _wrapped(x)):
            return False
    return True


def compiled(*tensors: Tensor) -> bool:
    """Whether a compiler traces these for the CPU, no wider than float32, for itself alone.

    Neither an exporter (torch 2.11 says of every compiled graph that it is an exported one) nor
    ``torch.func`` looks on.
    """
    seen = torch.compiler.is_exporting() or torch._C._are_functorch_transforms_active()
    return torch.compiler.is_compiling() and not seen and all(map(_narrow, tensors))


def direct(*tensors: Tensor | None) -> bool:
    """Whether one may write into buffers: as :func:`eager`, and autograd is not recording."""
    return not torch.is_grad_enabled() and eager(*tensors)


def maskless(*tensors: Tensor) -> bool:
    """Whether to do without masks of truth values: where :func:`direct`, or compiled for the CPU.

    A compiled kernel takes tens of times as long to store such a mask as to compute with it.
    """
    if torch.compiler.is_compiling():
        return all(map(_narrow, tensors))
    return direct(*tensors)


def pieces(*tables: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Tensors of one length, cut alike along their first axis, ``PIECE`` numbers at a time."""
    if tables[0].numel() <= PIECE:
        return iter([tables])
    length = max(1, PIECE * len(tables[0]) // tables[0].numel())
    return zip(*(t.split(length) for t in tables), strict=True)


def in_rows(dim: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """:func:`pieces` of tensors of one shape, cut between the rows that lie along the last axis.

    Whole tensors, if it is another axis or they are not alike and without gaps in memory.
    """
    x = tensors[0]
    if dim == -1 and x.dim() > 1 and all(t.is_contiguous() for t in tensors):
        return pieces(*(t.flatten(0, -2) for t in tensors))
    return iter([tensors])


_kept = threading.local()


def scratch(like: Tensor, shape: Sequence[int] = (), use: str = "") -> Tensor:
    """A float32 buffer of a tensor's shape or another, until this thread asks for the same use.

    Its memory is kept: to hand fresh pages out can cost the system more than the arithmetic. Larger
    ones than ``KEPT`` are not.
    """
    sizes = tuple(shape or like.shape)
    if like.dtype != torch.float32 or not direct(like) or (n := prod(sizes)) > KEPT:
        return like.new_empty(sizes)
    memory = vars(_kept).get(use)
    if memory is None or len(memory) < n:
        memory = vars(_kept)[use] = torch.empty(max(PIECE, n))
    return memory[:n].view(sizes)


def in_pieces(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """An elementwise ``function`` of the tensors; of many numbers, piece by piece.

    So its temporaries are never larger than a piece, and have not left the cache when the next step
    reads them.
    """
    x = tensors[0]
    if x.numel() <= PIECE or not direct(*tensors):
        return function(*tensors)
    y = torch.empty_like(x)
    if any(t.stride() != y.stride() for t in tensors):
        return function(*tensors)
    flat = [t.as_strided((t.numel(),), (1,)) for t in (*tensors, y)]
    for *parts, out in pieces(*flat):
        out.copy_(function(*parts))
    return y


def exp(x: Tensor, k: float = 1.0, out: Tensor | None = None) -> Tensor:
    r"""The exponential of kx, in a new tensor or in ``out``; in float32 as :math:`2^{kx\log_2 e}`.

    The power of 2 takes a quarter of the time. Rounding its exponent adds a relative error of at
    most :math:`|kx| \cdot 8 \cdot 10^{-8}`: a unit in the last place, for kx up to 1.
    """
    if x.dtype == torch.float32 and eager(x):
        return torch.mul(x, k * log2(e), out=out).exp2_()
    return torch.exp(x if k == 1 else x * k, out=out)


def bits(x: Tensor) -> Tensor:
    """The same memory read as integers: of the same sign, and 0 for 0 (but not for -0)."""
    return x.view(_BITS[x.itemsize])


def chosen_where(keep: Tensor, d: Tensor) -> Tensor:
    """The numbers of d where ``keep`` is 1, and 0 where it is 0, were d infinite; keep is lost.

    An integer times the bits of a number: no mask of truth values, which are slow to store and to
    load.
    """
    return keep.mul_(bits(d)).view(d.dtype)


def between(t: Tensor, low: float, high: float, d: Tensor) -> Tensor:
    """The d where low < t < high, or t is nan, and 0 elsewhere; all in float32.

    That is where to cut t off just inside the bounds changes no bit of it.
    """
    first, last = torch.nextafter(
        torch.tensor([low, high], dtype=t.dtype), torch.tensor([torch.inf, -torch.inf])
    ).tolist()
    if first > last:
        return torch.zeros_like(d)
    cut = bits(t.clamp(first, last))
    return chosen_where(torch.eq(cut, bits(t), out=cut), d)
