"""Resizing by interpolation (notes 7.2)."""

from collections.abc import Callable, Sequence
from functools import reduce
from math import ceil

import torch
from torch import Tensor
from torch.nn import Module

from .average_pooling import SpreadPooling
from .geometry import Window

Factor = float | tuple[float, ...]
Size = int | tuple[int, ...]
# An image is resized along one axis after the other. A tap says which pixel every new pixel looks
# at, and what that pixel counts; a new pixel is the sum over its taps.
Tap = tuple[Tensor, Tensor | None]

RANKS = {  # axes of the input that a mode is made for
    "nearest": (3, 4, 5),
    "nearest-exact": (3, 4, 5),
    "area": (3, 4, 5),
    "linear": (3,),
    "bilinear": (4,),
    "trilinear": (5,),
    "bicubic": (4,),
}


class _Axis:
    """One axis: n pixels become m, new pixel i lies at ``scale * i`` among the old ones.

    torch rounds the scale to the type of the image, multiplies and subtracts with one rounding, and
    takes the pixel below in float32. Where that falls on a whole number, the last bit decides.
    """

    def __init__(self, n: int, m: int, factor: float | None, align_corners: bool, x: Tensor):
        self.n, self.m, self.align_corners = n, m, align_corners
        self.dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
        if align_corners:
            self.scale = (n - 1) / (m - 1) if m > 1 else 0.0
        else:
            self.scale = 1 / factor if factor else n / m
        wide = torch.float32 if x.device.type == "mps" else torch.float64
        self.i = torch.arange(m, dtype=wide, device=x.device)
        self.exact = x.new_full((), self.scale, dtype=self.dtype).to(wide)

    def corners(self) -> Tensor:
        """Positions if the first pixels coincide."""
        return (self.i * self.exact).to(self.dtype)

    def centers(self) -> Tensor:
        """Positions if pixels are areas, with their values in the middle."""
        return ((self.i + 0.5) * self.exact - 0.5).to(self.dtype)

    def positions(self) -> Tensor:
        """Positions as ``align_corners`` wants them."""
        return self.corners() if self.align_corners else self.centers()

    def below(self, position: Tensor) -> Tensor:
        """Index of the pixel at or below."""
        return position.float().floor().long().clamp(max=self.n - 1)


def _copy(axis: _Axis) -> list[Tap]:
    return [(axis.i.long(), None)]


def _nearest(axis: _Axis) -> list[Tap]:
    return [(axis.below(axis.corners()), None)]


def _nearest_exact(axis: _Axis) -> list[Tap]:
    return [(axis.below(axis.centers().clamp(min=0) + 0.5), None)]


def _linear(axis: _Axis) -> list[Tap]:
    """Two neighbours, the nearer counting more."""
    if axis.m == axis.n:
        return _copy(axis)
    p = axis.positions().clamp(min=0)
    left = axis.below(p)
    t = (p - left).clamp(0, 1)
    return [(left, 1 - t), ((left + 1).clamp(max=axis.n - 1), t)]


def _cubic(axis: _Axis) -> list[Tap]:
    """Four neighbours; those outside are the pixel at the edge."""
    p = axis.positions()
    left = axis.below(p)
    t = (p - left).clamp(0, 1)
    return [((left + k).clamp(0, axis.n - 1), _keys((t - k).abs(), a=-0.75)) for k in (-1, 0, 1, 2)]


def _area(axis: _Axis) -> list[Tap]:
    """The mean of all pixels that the new one touches."""
    i, n, m = axis.i.long(), axis.n, axis.m
    start, end = i * n // m, ((i + 1) * n + m - 1) // m
    share = 1 / (end - start).to(axis.dtype)
    taps = [start + k for k in range(-(-n // m) + 1)]
    return [(j.minimum(end - 1), share * (j < end)) for j in taps]


def _triangle(d: Tensor) -> Tensor:
    """What a pixel counts at a distance d: linear interpolation."""
    return (1 - d).clamp(min=0)


def _keys(d: Tensor, a: float) -> Tensor:
    """What a pixel counts at a distance d: Keys' cubic convolution, negative beyond 1."""
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    return torch.where(d <= 1, near, torch.where(d < 2, far, 0))


def _antialiased(kernel: Callable[[Tensor], Tensor], reach: int) -> Callable[[_Axis], list[Tap]]:
    """Stretch the kernel, when shrinking the image, until no pixel is jumped over."""

    def taps(axis: _Axis) -> list[Tap]:
        if axis.m == axis.n:
            return _copy(axis)
        stretch = max(axis.scale, 1.0)
        center = ((axis.i + 0.5) * axis.exact).to(axis.dtype)
        start = (center - reach * stretch + 0.5).long().clamp(min=0)
        end = (center + reach * stretch + 0.5).long().clamp(max=axis.n)
        pixels = [start + k for k in range(2 * ceil(reach * stretch) + 1)]
        weights = [kernel((j - center + 0.5).abs() / stretch) * (j < end) for j in pixels]
        total = reduce(torch.add, weights)
        return [(j.minimum(end - 1), w / total) for j, w in zip(pixels, weights, strict=True)]

    return taps


TAPS = {
    "nearest": _nearest,
    "nearest-exact": _nearest_exact,
    "area": _area,
    "linear": _linear,
    "bilinear": _linear,
    "trilinear": _linear,
    "bicubic": _cubic,
}
ANTIALIASED = {
    "bilinear": _antialiased(_triangle, reach=1),
    "bicubic": _antialiased(lambda d: _keys(d, a=-0.5), reach=2),
}


def _sizes(
    x: Tensor, size: Size | None, scale_factor: Factor | None, recompute_scale_factor: bool | None
) -> tuple[Sequence[int], Sequence[float | None]]:
    """The pixels to make along every axis, and the factor, where one has to be kept to."""
    image, rank = x.shape[2:], max(x.dim() - 2, 0)
    given = size if scale_factor is None else scale_factor
    if given is None or (size is not None and scale_factor is not None):
        raise ValueError(
            f"expected either size or scale_factor, got size={size}, scale_factor={scale_factor}"
        )
    each = tuple(given) if isinstance(given, tuple | list) else (given,) * rank
    if len(each) != rank:
        raise ValueError(f"expected one number per axis of {tuple(image)}, got {given}")
    if size is not None:
        if recompute_scale_factor:
            raise ValueError(f"recompute_scale_factor has no meaning with an explicit size={size}")
        if any(isinstance(m, float) for m in each):
            raise TypeError(f"expected size to be an int or a tuple of ints, got {size}")
        return [torch.sym_int(m) for m in each], (None,) * rank
    sizes = [torch.sym_int(n * factor) for n, factor in zip(image, each, strict=True)]
    return sizes, (None,) * rank if recompute_scale_factor else each


def _times(
    image: Sequence[int], sizes: Sequence[int], factors: Sequence[float | None]
) -> tuple[int, ...]:
    """How often every pixel is copied along each axis, if alike and torch's rounding cannot matter.

    So it is for powers of two. Then the copies are the adjoint of the sum over a box.
    """
    if torch.compiler.is_exporting():  # for images of any size
        return ()
    times = tuple(m // n for m, n in zip(sizes, image, strict=True))
    even = all(
        m == k * n and k & (k - 1) == 0 and factor in (None, k)
        for m, n, k, factor in zip(sizes, image, times, factors, strict=True)
    )
    return times if even else ()


def interpolate(
    input: Tensor,
    size: Size | None = None,
    scale_factor: Factor | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    r"""See :class:`Upsample`.

    Besides its modes there is ``area``, the mean of all pixels that a new one touches; and with
    ``antialias`` the kernel of ``bilinear`` and ``bicubic`` grows as the image shrinks. Bytes are
    rounded once, at the end; torch rounds them along every axis, in fixed point.
    """
    x = input
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise ValueError(f"align_corners={align_corners} is no option of the mode {mode}")
    sizes, factors = _sizes(x, size, scale_factor, recompute_scale_factor)
    if antialias and mode not in ANTIALIASED:
        raise ValueError(f"antialias is no option of the mode {mode}, only of bilinear and bicubic")
    if x.dim() not in RANKS.get(mode, ()):
        raise NotImplementedError(
            f"no mode {mode} for an input of {x.dim()} axes; there are "
            + ", ".join(name for name, ranks in RANKS.items() if x.dim() in ranks)
        )
    if 0 in x.shape[1:] or any(m < 1 for m in sizes):
        raise RuntimeError(
            f"input and output sizes should be greater than 0, got {tuple(x.shape)} to {sizes}"
        )
    if not x.is_floating_point() and x.dtype != torch.uint8:
        raise NotImplementedError(f"expected floating-point numbers or bytes, got {x.dtype}")
    taps = ANTIALIASED[mode] if antialias else TAPS[mode]
    if mode == "nearest" and (times := _times(x.shape[2:], sizes, factors)):
        boxes = Window(times, times, ((0, 0),) * len(times), (1,) * len(times))
        return SpreadPooling.apply(x, sizes, boxes)
    copies = mode.startswith("nearest") or x.dtype in (torch.float64, torch.float32)
    y = x if copies else x.float()  # sums of narrow numbers are made wide, as in torch
    axes = enumerate(zip(x.shape[2:], sizes, factors, strict=True), start=2)
    for dim, (n, m, factor) in reversed(list(axes)):
        y = _resize(y, dim, taps(_Axis(n, m, factor, bool(align_corners), x)))
        if x.dtype == torch.uint8 and not copies:
            y = y.round().clamp(0, 255)  # after each axis, the last one first: so does torch
    return y.to(x.dtype).contiguous(memory_format=_layout(x))


def _resize(x: Tensor, dim: int, taps: list[Tap]) -> Tensor:
    """Sum the taps along one axis."""
    behind = [1] * (x.dim() - dim - 1)
    parts = (
        x.index_select(dim, index) * (1 if weight is None else weight.view(-1, *behind))
        for index, weight in taps
    )
    return reduce(torch.add, parts)


def _layout(x: Tensor) -> torch.memory_format:
    """The order of the axes in memory that the input has."""
    if x.dim() > 3 and x.stride(1) == 1 and x.stride(-1) == x.shape[1]:
        return torch.channels_last if x.dim() == 4 else torch.channels_last_3d
    return torch.contiguous_format


class Upsample(Module):
    r"""Resize an image of any rank: between two old pixels, draw a line.

    .. math:: y_i = (1 - t)\, x_{\lfloor p \rfloor} + t\, x_{\lfloor p \rfloor + 1}, \qquad
        t = p - \lfloor p \rfloor, \quad p = \frac{i + \frac12}{s} - \frac12

    along one axis after the other. s is ``scale_factor``, or new by old size. Position p is where
    the middle of the new pixel falls among the middles of the old ones; below 0 it is 0.

    * ``nearest``: :math:`x_{\lfloor i / s \rfloor}`; its gradient is the sum of all copies.
    * ``nearest-exact``: :math:`x_{\lfloor p + 1/2 \rfloor}`, as image libraries do.
    * ``linear``, ``bilinear``, ``trilinear``: the line above, for one, two and three axes.
    * ``bicubic``: four neighbours, weighted by Keys' cubic with a = -0.75, for two axes.

    Args:
        size: pixels per axis, one number or one per axis.
        scale_factor: new by old size, which is rounded down; likewise.
        mode: one of the above.
        align_corners: let the outermost pixels coincide: :math:`p = i (n - 1) / (m - 1)` for n old
            and m new pixels.
        recompute_scale_factor: take s from the sizes, rounded as they are.

    Shape: ``(N, C, L)``, ``(N, C, H, W)`` or ``(N, C, D, H, W)`` to the same rank.
    Raises: ValueError for both of ``size`` and ``scale_factor`` or neither, and for options that
        the mode has not; TypeError for a size that is no integer; NotImplementedError for a mode
        that does not fit the rank; RuntimeError if nothing is left of the image.
    Source: notes 7.2, which name bilinear interpolation beside transposed convolution and
        unpooling; Keys 1981 for the cubic.
    """

    def __init__(
        self,
        size: Size | None = None,
        scale_factor: Factor | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ):
        super().__init__()
        self.name, self.size = type(self).__name__, size
        self.scale_factor: Factor | None = None
        if isinstance(scale_factor, tuple):
            self.scale_factor = tuple(map(float, scale_factor))
        elif scale_factor:
            self.scale_factor = float(scale_factor)
        self.mode, self.align_corners = mode, align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        return interpolate(
            input,
            self.size,
            self.scale_factor,
            self.mode,
            self.align_corners,
            self.recompute_scale_factor,
        )

    def extra_repr(self) -> str:
        given = "size" if self.scale_factor is None else "scale_factor"
        return f"{given}={getattr(self, given)!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """:class:`Upsample` with ``mode="nearest"``, for two axes.

    Shape: ``(N, C, H, W)`` to the same rank.
    Source: notes 7.2.
    """

    def __init__(self, size: Size | None = None, scale_factor: Factor | None = None):
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """:class:`Upsample` with ``mode="bilinear"`` and ``align_corners=True``.

    Shape: ``(N, C, H, W)`` to the same rank.
    Source: notes 7.2.
    """

    def __init__(self, size: Size | None = None, scale_factor: Factor | None = None):
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)
