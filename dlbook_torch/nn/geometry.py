"""The integer arithmetic of sliding windows (notes 7.1, 7.2)."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

Size = int | tuple[int, ...]
Image = Sequence[int]
Index = tuple[Any, ...]  # an ellipsis, then one slice per axis


def tuple_of(size: int | Sequence[int], rank: int, name: str = "size") -> tuple[int, ...]:
    """``3`` means ``(3, 3)`` in two dimensions, as everywhere in torch.

    Raises: RuntimeError for a tuple that has neither one entry nor one per axis.
    """
    sizes = (size,) if isinstance(size, int) else tuple(size)
    if len(sizes) == 1:
        sizes *= rank
    if len(sizes) != rank:
        raise RuntimeError(f"expected {name} to be a single integer or {rank} of them, got {size}")
    return sizes


def output_size(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    r"""Positions of a window along one axis.

    .. math:: \left\lfloor \frac{a + 2d - (b - 1)\,\text{dilation} - 1}{c} \right\rfloor + 1

    for an image of a, a kernel of b, a stride of c and a padding of d. With ``ceil_mode`` the last
    window may hang over the far edge, as long as it starts inside.

    Source: notes 7.1, whose formula has no floor: (28 - 5) / 2 + 1 is 12.5 there and 12 here.
    """
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    return _positions(room, stride, size + padding if ceil_mode else None)


def _positions(room: int, stride: int, ceil_edge: int | None) -> int:
    """Steps that fit in ``room``; with ``ceil_edge``, one more if it starts before that edge."""
    if ceil_edge is None or room % stride == 0:
        return room // stride + 1
    n = room // stride + 2
    return n if (n - 1) * stride < ceil_edge else n - 1


class Window(NamedTuple):
    """A kernel that slides over an image: per axis its size, stride, margins and dilation."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]  # before and after
    dilation: tuple[int, ...]
    ceil_mode: bool = False

    def extent(self, axis: int) -> int:
        """Pixels from the first to the last cell of the kernel."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def positions(self, image: Image) -> tuple[int, ...]:
        """How often the window fits along each axis.

        Raises: RuntimeError if it does not fit at all.
        """
        counts = []
        for axis, (size, (before, after)) in enumerate(zip(image, self.padding, strict=True)):
            room = size + before + after - self.extent(axis)
            edge = size + before if self.ceil_mode else None
            counts.append(_positions(room, self.stride[axis], edge))
            if counts[-1] < 1:
                raise RuntimeError(
                    f"kernel size {self.kernel} with dilation {self.dilation} is larger than the "
                    f"padded input: {tuple(image)} with padding {self.padding}"
                )
        return tuple(counts)

    def padded(self, image: Image) -> tuple[int, ...]:
        """Size of the image with its margins, and with what a hanging last window needs."""
        reach = zip(self.positions(image), self.stride, strict=True)
        needs = [(n - 1) * s + self.extent(axis) for axis, (n, s) in enumerate(reach)]
        sizes = (size + sum(margin) for size, margin in zip(image, self.padding, strict=True))
        return tuple(map(max, sizes, needs))

    def inside(self, image: Image) -> Index:
        """Where the image itself lies in the padded one."""
        margins = (before for before, _ in self.padding)
        return (..., *(slice(b, b + size) for b, size in zip(margins, image, strict=True)))

    def taps(self, image: Image) -> Iterator[Index]:
        """For each cell of the kernel in turn, the pixels of the padded image that it meets."""
        axes = list(zip(self.positions(image), self.stride, self.dilation, strict=True))
        for cell in product(*map(range, self.kernel)):
            slices = (
                slice(i * d, i * d + (n - 1) * s + 1, s)
                for i, (n, s, d) in zip(cell, axes, strict=True)
            )
            yield (..., *slices)
