"""Max pooling, and what all pooling over sliding windows shares (notes 7.2).

A window is a box, so its largest pixel and its sum are found axis by axis: k + k steps for a kernel
of k x k instead of k * k. Every function here works for any number of axes (``rank``).
"""

from collections.abc import Iterator
from functools import partial
from math import prod

import torch
from torch import Tensor
from torch.nn import Module
from torch.utils._pytree import tree_map

from ._fast import Function
from ._precision import wide_type
from .geometry import Image, Index, Size, Window, tuple_of

INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def checked(
    x: Tensor,
    rank: int,
    first: int,
    integers: tuple[torch.dtype, ...] = (),
    listed: bool | None = None,
) -> Tensor:
    """An input of a rank and a type that torch pools, empty along none of the axes from ``first``.

    Autocast on the CPU sends through float32 what torch's own lists name (``listed``): unless said
    otherwise, what has three axes.
    """
    if x.dim() not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input, "
            f"got input of size {tuple(x.shape)}"
        )
    if 0 in x.shape[first:]:
        raise RuntimeError(f"only the batch may be empty, got input of size {tuple(x.shape)}")
    if not x.is_floating_point() and x.dtype not in integers:
        raise NotImplementedError(f"this pooling is not implemented for {x.dtype}")
    listed = rank == 3 if listed is None else listed
    listed &= x.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    return x.to(wide_type(x.dtype)) if listed else x


def window_of(
    rank: int,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Window:
    """The window of a pooling layer; its stride is its size unless said otherwise."""
    kernel = tuple_of(kernel_size, rank, "kernel_size")
    steps = kernel if stride in (None, (), []) else tuple_of(stride, rank, "stride")
    pads, gaps = tuple_of(padding, rank, "padding"), tuple_of(dilation, rank, "dilation")
    if any(n < 1 for n in (*kernel, *steps, *gaps)):
        raise RuntimeError(
            f"kernel_size, stride and dilation must be positive, got {kernel}, {steps} and {gaps}"
        )
    for k, p in zip(kernel, pads, strict=True):
        if not 0 <= p <= k // 2:
            raise RuntimeError(
                f"pad should be non-negative and at most half of kernel size, but got "
                f"pad={p} and kernel_size={k}"
            )
    return Window(kernel, steps, tuple((p, p) for p in pads), gaps, ceil_mode)


def sweeps(window: Window, image: Image) -> Iterator[list[Index]]:
    """Per axis: for each cell of the kernel along it, the pixels of the padded image it meets."""
    geometry = zip(
        window.kernel, window.stride, window.dilation, window.positions(image), strict=True
    )
    for axis, (k, s, d, n) in enumerate(geometry, 1):
        others = (slice(None),) * (len(image) - axis)
        yield [(..., slice(i * d, i * d + (n - 1) * s + 1, s), *others) for i in range(k)]


def innermost(x: Tensor, rank: int) -> int:
    """The axis of the channels if they lie innermost in memory (channels last), else the last."""
    return -rank - 1 if x.stride(-rank - 1) < x.stride(-1) else -1


def blank(x: Tensor, image: Image) -> Tensor:
    """Images of another size, not yet written; channels stay last in memory if x has them so."""
    shape, inner = [*x.shape[: -len(image)], *image], innermost(x, len(image))
    if inner == -1:
        return x.new_empty(shape)
    shape.append(shape.pop(inner))
    return torch.empty_like(x.new_empty(shape).movedim(-1, inner))  # no view


def full(x: Tensor, image: Image, value: float) -> Tensor:
    """Images of another size, full of one value."""
    return blank(x, image).fill_(value)


def surround(x: Tensor, window: Window, value: float) -> Tensor:
    """The images with their margins."""
    image = x.shape[-len(window.kernel) :]
    if window.padded(image) == tuple(image):
        return x
    padded = full(x, window.padded(image), value)
    padded[window.inside(image)] = x
    return padded


def grid(axes: list[Tensor], image: Image) -> Tensor:
    """Row and column indices, one list per axis, as flat indices into the image."""
    index = torch.zeros((), dtype=torch.long, device=axes[0].device)
    for axis, size in zip(axes, image, strict=True):
        index = index.unsqueeze(-1) * size + axis
    return index


def places(cell: Tensor, window: Window, image: Image) -> Tensor:
    """Flat indices into the image, of cells that are counted within their windows."""
    starts, offsets = [], []
    geometry = zip(
        window.kernel,
        window.positions(image),
        window.stride,
        window.padding,
        window.dilation,
        strict=True,
    )
    for k, n, s, (before, _), d in geometry:
        starts.append(torch.arange(n, device=cell.device) * s - before)
        offsets.append(torch.arange(k, device=cell.device) * d)
    index = grid(offsets, image).flatten().index_select(0, cell.flatten().int()).view(cell.shape)
    index += grid(starts, image)
    return index


PIECE = 2**19  # pixels; all that is made of so many on the way stays in the cache


def pieces(x: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Some images of the batch at a time, with what belongs to them.

    All at once where torch keeps record: for a gradient of the gradient, or in order to compile.
    """
    batch = (x, *others)
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        yield batch
        return
    n = max(1, PIECE // max(1, prod(x.shape[1:])))
    for i in range(0, max(1, len(x)), n):
        yield tuple(t[i : i + n] for t in batch)


def duel(best: Tensor, pixel: Tensor) -> tuple[Tensor, Tensor]:
    """The larger of two, and where it is the second. Of equals the first wins; a nan beats all.

    The masks are 0 and 1 in the type of the pixels, written over both: truth values are slow.
    """
    larger, best = best, torch.maximum(best, pixel)
    larger.lt_(pixel).add_(pixel.ne_(pixel))
    return best, larger.bool().view(torch.uint8)


def _outermost(window: Window, image: Image, device: torch.device) -> Tensor:
    """The first cell of every window that does not lie in the margin before the image."""
    hidden = [
        (-(torch.arange(n, device=device) * s - before)).clamp(min=0).add(d - 1) // d
        for n, s, (before, _), d in zip(
            window.positions(image), window.stride, window.padding, window.dilation, strict=True
        )
    ]
    return grid(hidden, window.kernel)


def _maxima(y: Tensor, window: Window, image: Image) -> tuple[Tensor, Tensor]:
    """The largest pixel of every window in turn, and the number of its cell: the plain formula."""
    first, *others = window.taps(image)
    best, cell = y[first].clone(), torch.zeros((), dtype=torch.int32, device=y.device)
    for i, tap in enumerate(others, 1):
        larger = (y[tap] > best) | (y[tap] != y[tap])
        best, cell = torch.maximum(best, y[tap]), torch.where(larger, i, cell)
    return best, cell


def _maxima_by_axes(y: Tensor, window: Window, image: Image) -> tuple[Tensor, Tensor]:
    """The same, axis by axis: first the largest of every row of a window, then of its rows."""
    cell, step = y.new_zeros((), dtype=_count(window)).expand(y.shape), 1
    for first, *others in reversed(list(sweeps(window, image))):
        best, where = y[first].clone(), cell[first]
        for i, tap in enumerate(others, 1):
            best, larger = duel(best, y[tap].clone())
            number = larger.to(cell.dtype).mul_(i if step == 1 else (cell + i * step)[tap])
            where = number if i == step == 1 else torch.maximum(where, number)
        y, cell, step = best, where, step * (1 + len(others))
    return y, cell


def _count(window: Window) -> torch.dtype:
    """A type that can count the cells."""
    return torch.uint8 if prod(window.kernel) <= 256 else torch.int32


class OfImages(Function):
    """A function of images, each for itself: to ``torch.vmap``, many batches are one large one."""

    @classmethod
    def vmap(cls, info, in_dims, *args):
        batches = [
            x
            if not isinstance(x, Tensor)
            else x.expand(info.batch_size, *x.shape)
            if dim is None
            else x.movedim(dim, 0)
            for x, dim in zip(args, in_dims, strict=True)
        ]
        size = batches[0].shape[:2]
        results = cls.apply(*(x.flatten(0, 1) if isinstance(x, Tensor) else x for x in batches))
        return tree_map(lambda y: y.unflatten(0, size), results), tree_map(lambda _: 0, results)


class MaxPooling(OfImages):
    """The largest pixel of every window, and the cell of the kernel that meets it.

    Cells are counted in reading order: of two, the one that was met later has the larger number.
    """

    @staticmethod
    def forward(x, window):
        image = x.shape[-len(window.kernel) :]
        lowest = -torch.inf if x.is_floating_point() else torch.iinfo(x.dtype).min
        if torch.compiler.is_compiling():
            y, cell = _maxima(surround(x, window, lowest), window, image)
            cell = cell.expand(y.shape).to(_count(window))
        else:
            y = blank(x, window.positions(image))
            cell = torch.empty_like(y, dtype=_count(window))
            for images, *results in pieces(x, y, cell):
                found = _maxima_by_axes(surround(images, window, lowest), window, image)
                for result, part in zip(results, found, strict=True):
                    result.copy_(part)
        if any(before for before, _ in window.padding):
            # In the margin nothing beats the -inf of cell 0: the first pixel inside is meant.
            cell = torch.maximum(cell, _outermost(window, image, x.device).to(cell.dtype))
        return y, cell

    @staticmethod
    def setup_context(ctx, inputs, outputs):
        x, ctx.window = inputs
        ctx.image = x.shape[-len(ctx.window.kernel) :]
        ctx.save_for_backward(outputs[1])
        ctx.mark_non_differentiable(outputs[1])

    @staticmethod
    def backward(ctx, dy, _):
        (cell,), rank = ctx.saved_tensors, len(ctx.image)
        dx = dy.new_zeros(*dy.shape[:-rank], prod(ctx.image))
        for pixels, values, cells in pieces(dx, dy, cell):
            index = places(cells, ctx.window, ctx.image).flatten(-rank)
            pixels.scatter_add_(-1, index, values.flatten(-rank))
        return dx.unflatten(-1, ctx.image), None


def _max_pool_with_indices(
    rank: int,
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """See :class:`MaxPool2d`: its output, and the flat index of every maximum in its image."""
    window = window_of(rank, kernel_size, stride, padding, dilation, ceil_mode)
    x = checked(input, rank, -rank - 1, INTEGERS, listed=False)
    y, cell = MaxPooling.apply(x, window)
    return y, places(cell, window, x.shape[-rank:])


def _max_pool(
    rank: int,
    input: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """See :class:`MaxPool2d`."""
    if return_indices:
        return _max_pool_with_indices(
            rank, input, kernel_size, stride, padding, dilation, ceil_mode
        )
    window = window_of(rank, kernel_size, stride, padding, dilation, ceil_mode)
    integers = INTEGERS if rank > 1 else ()  # along one axis torch pools them only with indices
    return MaxPooling.apply(checked(input, rank, -rank - 1, integers), window)[0]


max_pool1d, max_pool2d, max_pool3d = (partial(_max_pool, rank) for rank in (1, 2, 3))
max_pool1d_with_indices, max_pool2d_with_indices, max_pool3d_with_indices = (
    partial(_max_pool_with_indices, rank) for rank in (1, 2, 3)
)


class _MaxPoolNd(Module):
    """What max pooling of every rank shares: everything but the rank."""

    rank: int

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return _max_pool(
            self.rank,
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class MaxPool1d(_MaxPoolNd):
    """Keep the largest value of every window of every channel: :class:`MaxPool2d` on one axis.

    Shape: ``(N, C, L)`` or ``(C, L)`` to the same rank.
    Raises: as :class:`MaxPool2d`; also NotImplementedError for integers without their indices.
    Source: notes 7.2.
    """

    rank = 1


class MaxPool2d(_MaxPoolNd):
    r"""Keep the largest pixel of every window of every channel.

    .. math:: y_{hw} = \max_{ij} x_{sh + i,\, sw + j}, \qquad
        \mathrm{d}x_p = \sum_{hw:\, \text{argmax} = p} \mathrm{d}y_{hw}

    Of several equal maxima the first in reading order gets the gradient, as in torch. A nan wins
    over every number. Padding counts as minus infinity.

    Args:
        kernel_size: pixels of the window, one number or one per axis.
        stride: pixels from one window to the next; default ``kernel_size``.
        padding: pixels added on each side, at most half of the window.
        dilation: pixels from one cell of the window to the next.
        return_indices: also return the flat index of each maximum, for :class:`MaxUnpool2d`.
        ceil_mode: let the last window hang over the far edge.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)`` to the same rank, H' by
        :func:`~dlbook_torch.nn.geometry.output_size`.
    Raises: RuntimeError for an input of another rank, or empty but for its batch, or for padding
        over half of the window; NotImplementedError for complex numbers and truth values.
    Source: notes 7.2. It tolerates small shifts; the rotation and scale invariance that the notes
        promise, it has not.
    """

    rank = 2


class MaxPool3d(_MaxPoolNd):
    """Keep the largest voxel of every window of every channel: :class:`MaxPool2d` on three axes.

    Shape: ``(N, C, D, H, W)`` or ``(C, D, H, W)`` to the same rank.
    Raises: as :class:`MaxPool2d`.
    Source: notes 7.2.
    """

    rank = 3
