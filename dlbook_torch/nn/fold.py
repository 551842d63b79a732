"""Images to columns and back: im2col and col2im (notes 7.1).

Letters: N images, C channels, G groups, K cells of a kernel, L window positions.
"""

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

from torch import Tensor
from torch.nn import Module

from ._fast import Function, scratch
from ._precision import wide_type
from .geometry import Image, Size, Window, tuple_of


def im2col(x: Tensor, window: Window) -> Tensor:
    r"""Lay every window of the image out as one column: (N, C, *image) to (N, CK, L).

    One axis after the other, so that long runs of numbers are copied, and few of them:

    .. math:: t_{cj,\,hw} = x_{c,\,h,\,sw + j}, \qquad y_{cij,\,hw} = t_{cj,\,sh + i,\,w}
    """
    t, positions = Windows(x, window).of(x), prod(window.positions(x.shape[2:]))
    columns = t.new_empty(x.shape[0], x.shape[1] * prod(window.kernel), positions)
    columns.view(t.shape).copy_(t)
    return columns


class Windows:
    """What :func:`im2col` copies, of any batch of one shape: (N, C, *kernel, *positions).

    Or with the images after the kernel. The memory on the way, and what lies where in it, is laid
    out once; an answer is a view of it, until the next one. What is left to copy is the step along
    the first axis.
    """

    def __init__(self, like: Tensor, window: Window, side_by_side: bool = False):
        self.window, self.side_by_side, image = window, side_by_side, like.shape[2:]
        self.positions = window.positions(image)
        self.inside: Tensor | None = None  # of the margins, where there are any
        if any(map(any, window.padding)):
            sizes = (*like.shape[:2], *window.padded(image))
            padded = scratch(like, sizes, use="padded").zero_()
            self.inside = padded[window.inside(image)]
            self.copies, self.view = self._from(padded)

    def of(self, x: Tensor) -> Tensor:
        """The windows of these images."""
        if self.inside is None:
            self.copies, self.view = self._from(x)
        else:
            self.inside.copy_(x)
        for to, source in self.copies:
            to.copy_(source)
        return self.view

    def _from(self, t: Tensor) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """The copies to make, of images with their margins, and where the windows are then."""
        t, cells = (t.transpose(0, 1), 1) if self.side_by_side else (t, 2)  # behind the channels
        copies, rank = [], len(self.positions)
        for axis in reversed(range(rank)):
            kernel, stride, dilation = self.window.along(axis)
            t = slide(t, axis - rank, cells, kernel, self.positions[axis], stride, dilation)
            if kernel > 1 and axis:
                copies.append((scratch(t, use=f"axis {axis}"), t))
                t = copies[-1][0]
        return copies, t


def col2im(columns: Tensor, image: Image, window: Window, side_by_side: bool = False) -> Tensor:
    """The adjoint of :func:`im2col`: add every column back into the window it came from.

    One axis after the other here too, the first one first.
    """
    cells = 1 if side_by_side else 2  # the axis behind the channels
    t = columns.unflatten(-1, window.positions(image)).unflatten(cells - 1, (-1, *window.kernel))
    t = t.to(wide_type(columns.dtype))
    for axis, size in enumerate(window.padded(image)):
        kernel, stride, dilation = window.along(axis)
        if (kernel, stride) == (1, 1):
            t = t.squeeze(cells)
        else:
            t = overlap(t, axis - len(image), cells, size, stride, dilation)
    t = t.transpose(0, 1) if side_by_side else t
    return t[window.inside(image)].to(columns.dtype)


def slide(
    t: Tensor, axis: int, cells: int, kernel: int, positions: int, stride: int, dilation: int = 1
) -> Tensor:
    """A view of what a window sees along one axis, counted from the end; its cells are a new one.

    ``view[..., i, ..., p, ...] = t[..., stride * p + dilation * i, ...]``
    """
    sizes, strides = list(t.shape), list(t.stride())
    step = strides[axis]
    sizes[axis], strides[axis] = positions, step * stride
    sizes.insert(cells, kernel)
    strides.insert(cells, step * dilation)
    return t.as_strided(sizes, strides)


def overlap(t: Tensor, axis: int, cells: int, size: int, stride: int, dilation: int = 1) -> Tensor:
    """The adjoint of :func:`slide`, for an axis of this size: what meets in a pixel is added up.

    Neighbouring cells as many as the stride do not overlap, and are added together.
    """
    kernel, positions = t.shape[cells], t.shape[axis]
    together = stride if dilation == 1 else 1
    shape = [*t.shape[:cells], *t.shape[cells + 1 :]]
    shape[axis] = size + stride - 1
    whole = t.new_zeros(shape)
    for i in range(0, kernel, together):
        n = min(together, kernel - i)
        steps = whole.narrow(axis, i * dilation, positions * stride)
        steps = steps.unflatten(axis, (positions, stride)).narrow(axis, 0, n)
        steps.add_(t.narrow(cells, i, n).movedim(cells, axis))
    return whole.narrow(axis, 0, size)


def rows_of(t: Tensor, groups: int, side_by_side: bool) -> Tensor:
    """The channels of each group as rows of a matrix: (N, C, *positions) to (N, G, C/G, L).

    A view; or with all images ``side_by_side`` in one matrix, (1, G, C/G, NL).
    """
    t = t.flatten(2)
    if side_by_side:
        t = t.transpose(0, 1).flatten(1).unsqueeze(0)
    return t.unflatten(1, (groups, -1))


def images_of(t: Tensor, n: int, positions: Image) -> Tensor:
    """The other way, from either: to (N, C, *positions)."""
    t = t.flatten(1, 2)
    if len(t) == n:
        return t.unflatten(2, positions)
    return t[0].unflatten(1, (n, *positions)).transpose(0, 1)


def channels_last(t: Tensor) -> bool:
    """Whether the channels of a pixel lie side by side: then they do in torch's output too."""
    strides = (t.stride(1), t.stride(-1))
    return t.dim() > 3 and strides == (1, t.shape[1]) and t.movedim(1, -1).is_contiguous()


def join(
    piece: Callable[..., Tensor], parts: Iterable, like: Tensor, last: bool, shape: Image = ()
) -> Tensor:
    """Write all pieces behind each other. ``torch.cat`` would hold them beside the result.

    The result is no view, so that the next layer may work in place. Its shape behind the images is
    that of the pieces, unless another is given.
    """
    whole: Any = None
    start = 0
    for part in parts:
        y = piece(*part)
        if whole is None:
            sizes = (like.shape[0], *(shape or y.shape[1:]))
            whole = y.new_empty_strided(sizes, strides_of(sizes, last), dtype=like.dtype)
            rows = whole if whole.shape[1:] == y.shape[1:] else whole.view(-1, *y.shape[1:])
        rows[start : start + y.shape[0]] = y
        start += y.shape[0]
        del y  # before the next one is made
    return whole


def total(piece: Callable[..., Tensor], parts: Iterable) -> Tensor:
    """The sum of all pieces, each added to the first one before the next is made.

    A loop, since torch's compiler stumbles over a generator in ``reduce``.
    """
    whole: Any = None
    for part in parts:
        y = piece(*part)
        whole = y if whole is None else whole.add_(y)
    return whole


def strides_of(shape: Image, last: bool) -> list[int]:
    """Of a dense tensor, its channels behind the rest or not."""
    order = [0, *range(2, len(shape)), 1] if last else range(len(shape))
    strides, step = [1] * len(shape), 1
    for axis in reversed(order):
        strides[axis], step = step, step * shape[axis]
    return strides


class _Unfold(Function):
    """Linear, so its backward is its adjoint."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, window):
        return im2col(x, window)

    @staticmethod
    def setup_context(ctx, inputs, columns):
        x, ctx.window = inputs
        ctx.image = x.shape[2:]

    @staticmethod
    def backward(ctx, dcolumns):
        return _Fold.apply(dcolumns, ctx.image, ctx.window), None


class _Fold(Function):
    """The adjoint of :class:`_Unfold`, and the other way round."""

    generate_vmap_rule = True

    @staticmethod
    def forward(columns, image, window):
        return col2im(columns, image, window).clone()  # no view: the result may be written over

    @staticmethod
    def setup_context(ctx, inputs, x):
        ctx.window = inputs[2]

    @staticmethod
    def backward(ctx, dx):
        return _Unfold.apply(dx, ctx.window), None, None


def _pair(size: Size, name: str) -> tuple[int, ...]:
    """One number per axis. Unlike the convolutions, torch's unfold wants no tuple of one."""
    if not isinstance(size, int) and len(size) != 2:
        raise RuntimeError(f"expected {name} to be an integer or two of them, got {size}")
    return tuple_of(size, 2, name)


def _window(kernel_size: Size, dilation: Size, padding: Size, stride: Size) -> Window:
    kernel, gaps = _pair(kernel_size, "kernel_size"), _pair(dilation, "dilation")
    pads, steps = _pair(padding, "padding"), _pair(stride, "stride")
    if any(n < 1 for n in (*kernel, *gaps, *steps)):
        raise RuntimeError(
            f"kernel_size, dilation and stride must be positive, got {kernel}, {gaps} and {steps}"
        )
    if any(p < 0 for p in pads):
        raise RuntimeError(f"padding must not be negative, got {pads}")
    return Window(kernel, steps, tuple((p, p) for p in pads), gaps)


def _batch(x: Tensor, rank: int, kind: str) -> Tensor:
    """The input with an axis of images in front, which alone may be empty."""
    if x.dim() not in (rank - 1, rank) or 0 in x.shape[1 - rank :]:
        raise RuntimeError(
            f"expected {kind} of {rank - 1} or (batched) {rank} axes, none of them empty but the "
            f"batch, got {tuple(x.shape)}"
        )
    return x if x.dim() == rank else x.unsqueeze(0)


def unfold(
    input: Tensor, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Tensor:
    """See :class:`Unfold`."""
    window = _window(kernel_size, dilation, padding, stride)
    if input.dim() < 3:
        raise IndexError(f"expected images of 3 or (batched) 4 axes, got {tuple(input.shape)}")
    columns = _Unfold.apply(_batch(input, 4, "images"), window)
    return columns if input.dim() == 4 else columns.squeeze(0)


def fold(
    input: Tensor,
    output_size: Size,
    kernel_size: Size,
    dilation: Size = 1,
    padding: Size = 0,
    stride: Size = 1,
) -> Tensor:
    """See :class:`Fold`."""
    window = _window(kernel_size, dilation, padding, stride)
    image, columns = _pair(output_size, "output_size"), _batch(input, 3, "columns")
    cells, positions = prod(window.kernel), window.positions(image)
    if columns.shape[1] % cells:
        raise RuntimeError(
            f"expected columns of C times {cells} numbers for kernel_size={window.kernel}, "
            f"got {columns.shape[1]}"
        )
    if columns.shape[2] != prod(positions):
        raise RuntimeError(
            f"expected {prod(positions)} columns for output_size={image}, {positions[0]} by "
            f"{positions[1]} windows, got {columns.shape[2]}"
        )
    x = _Fold.apply(columns, image, window)
    return x if input.dim() == 3 else x.squeeze(0)


class Unfold(Module):
    r"""Lay every window of an image out as one column: im2col.

    .. math:: y_{cij,\,l} = x_{c,\, sh + i,\, sw + j}, \qquad
        \mathrm{d}x = \mathrm{col}^\top(\mathrm{d}y)

    with l counting the windows (h, w) row by row. Its derivative is :class:`Fold`.

    Args:
        kernel_size: pixels of the window, one number or one per axis.
        dilation: pixels from one cell of the window to the next.
        padding: pixels of zero added on each side.
        stride: pixels from one window to the next.

    Shape: ``(N, C, H, W)`` or ``(C, H, W)`` to ``(N, CK, L)`` or ``(CK, L)``, L windows of K cells.
    Raises: RuntimeError for an input of more axes or without a pixel, for a window that does not
        fit, and for sizes below 1 or a padding below 0; IndexError for an input of fewer axes.
    Source: notes 7.1.
    """

    def __init__(self, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1):
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, input: Tensor) -> Tensor:
        return unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        names = ("kernel_size", "dilation", "padding", "stride")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class Fold(Module):
    r"""Add columns back into the windows of an image that they come from: col2im.

    .. math:: y_{c,p} = \sum_{sh + i,\, sw + j = p} x_{cij,\,l}, \qquad
        \mathrm{d}x = \mathrm{col}(\mathrm{d}y)

    The adjoint of :class:`Unfold`, not its inverse: a pixel that m windows see comes back m-fold.

    Args:
        output_size: (H, W) of the image, or one number for a square.
        kernel_size: pixels of the window, one number or one per axis.
        dilation: pixels from one cell of the window to the next.
        padding: pixels on each side that are dropped.
        stride: pixels from one window to the next.

    Shape: ``(N, CK, L)`` or ``(CK, L)`` to ``(N, C, H, W)`` or ``(C, H, W)``.
    Raises: RuntimeError for an input of another rank, whose columns are not a multiple of K long or
        not as many as windows fit, and for sizes below 1 or a padding below 0.
    Source: notes 7.1.
    """

    def __init__(
        self,
        output_size: Size,
        kernel_size: Size,
        dilation: Size = 1,
        padding: Size = 0,
        stride: Size = 1,
    ):
        super().__init__()
        self.output_size, self.kernel_size, self.dilation = output_size, kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, input: Tensor) -> Tensor:
        return fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        names = ("output_size", "kernel_size", "dilation", "padding", "stride")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)
