"""The integer arithmetic of sliding windows (notes 7.1, 7.2)."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

from torch.nn import Module, Sequential

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


def margins(
    padding: int | tuple[int, ...] | str,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    """Pixels to add before and after each axis; ``"same"`` puts the odd one after.

    Raises: ValueError for another string, or for ``"same"`` with a stride.
    """
    if padding == "valid":
        padding = 0
    if padding == "same":
        if any(s != 1 for s in stride):
            raise ValueError(f"padding='same' is not supported with a stride, got {stride}")
        totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    if isinstance(padding, str):
        raise ValueError(f"padding must be 'same', 'valid' or integers, got {padding!r}")
    sizes = tuple_of(padding, len(kernel), "padding")
    if any(p < 0 for p in sizes):
        raise RuntimeError(f"negative padding is not supported, got {padding}")
    return tuple((p, p) for p in sizes)


class Window(NamedTuple):
    """A kernel that slides over an image: per axis its size, stride, margins and dilation."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]  # before and after; below 0: pixels that no window sees
    dilation: tuple[int, ...]
    ceil_mode: bool = False

    def extent(self, axis: int) -> int:
        """Pixels from the first to the last cell of the kernel."""
        return self.dilation[axis] * (self.kernel[axis] - 1) + 1

    def along(self, axis: int) -> tuple[int, int, int]:
        """Size, stride and dilation along one axis."""
        return self.kernel[axis], self.stride[axis], self.dilation[axis]

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
        margins = zip(image, self.padding, strict=True)
        sizes = (before + size + max(after, 0) for size, (before, after) in margins)
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


# Layers by the name of their class, ours or torch's, and what each pixel of their output sees.
_RANKS = (1, 2, 3)
_WINDOWS = {f"{kind}{rank}d": rank for kind in ("Conv", "MaxPool", "AvgPool") for rank in _RANKS}
_SAME_PIXEL_NAMES = """
    Identity Sigmoid LogSigmoid Tanh ReLU ReLU6 LeakyReLU PReLU RReLU ELU CELU SELU GELU SiLU Mish
    Softplus Softsign Softshrink Hardshrink Tanhshrink Threshold Hardtanh Hardsigmoid Hardswish Step
    Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout
    BatchNorm1d BatchNorm2d BatchNorm3d Softmax2d
"""
_SAME_PIXEL = set(_SAME_PIXEL_NAMES.split())
_WHOLE_IMAGE = {f"Adaptive{kind}Pool{rank}d" for kind in ("Avg", "Max") for rank in _RANKS}
_WHOLE_IMAGE |= {"Flatten"}
_BEHIND = _SAME_PIXEL | {"Flatten", "Linear", "Softmax", "LogSoftmax", "Softmin"}


class ReceptiveField(NamedTuple):
    """The output at position h sees the pixels ``start + h * jump`` to ``... + size - 1``.

    Per axis, in pixels of the input. ``start`` is below 0 where the first window hangs over the
    edge.
    """

    size: tuple[int, ...]
    jump: tuple[int, ...]
    start: tuple[int, ...]


def receptive_field(model: Module) -> ReceptiveField:
    r"""What one number of the last feature map of a stack of layers sees of the input.

    .. math:: r \leftarrow r + j\,(b - 1)\,\text{dilation}, \qquad
        s \leftarrow s - j\,d, \qquad j \leftarrow j\,c

    for each layer with a kernel of b, a stride of c and a padding of d, from size r = 1, jump j = 1
    and start s = 0. BatchNorm counts as in evaluation; in training it sees all images. A head that
    sees the whole image, from the first ``Flatten`` or adaptive pooling on, is left out.

    Args:
        model: a ``Sequential``, nested ones too, or a module whose only child is one; its layers
            are ours or torch's.

    Raises: ValueError for a layer that it cannot judge, named with its place, for one that slides a
        window behind the head, and for a model without any window.
    Source: notes 7.2. The book's SimpleConvNet sees 6 pixels, its DeepConvNet 36 with a jump of 8.
    """
    field, head = None, ""
    for place, layer in _layers(model):
        kinds = [kind.__name__ for kind in type(layer).__mro__]
        rank = next((_WINDOWS[kind] for kind in kinds if kind in _WINDOWS), None)
        if rank is not None and not head:
            field = _through(layer, rank, field, place)
        elif not _WHOLE_IMAGE.isdisjoint(kinds):
            head = head or place
        elif (_BEHIND if head else _SAME_PIXEL).isdisjoint(kinds):
            where = f"behind {head}, which sees the whole image" if head else "in a stack of layers"
            raise ValueError(f"cannot judge {kinds[0]} ({place}) {where}")
    if field is None:
        raise ValueError(f"found neither convolution nor pooling in {type(model).__name__}")
    return field


def _is_stack(module: Module) -> bool:
    """Whether its children are called one after the other."""
    children = list(module.children())
    return isinstance(module, Sequential) or (len(children) == 1 and _is_stack(children[0]))


def _layers(module: Module, place: str = "model") -> Iterator[tuple[str, Module]]:
    """The layers in the order of their calls, each with its place in the model."""
    if not _is_stack(module):
        yield place, module
        return
    for name, child in module.named_children():
        yield from _layers(child, f"{place}.{name}")


def _through(layer: Any, rank: int, field: ReceptiveField | None, place: str) -> ReceptiveField:
    """The field of one more layer with a window."""
    size, jump, start = field or ((1,) * rank, (1,) * rank, (0,) * rank)
    if len(size) != rank:
        raise ValueError(f"cannot judge {layer} ({place}) behind layers of {len(size)} axes")
    kernel, stride = tuple_of(layer.kernel_size, rank), tuple_of(layer.stride, rank)
    dilation = tuple_of(getattr(layer, "dilation", 1), rank)
    before = [low for low, _ in margins(layer.padding, kernel, stride, dilation)]
    return ReceptiveField(
        tuple(r + j * (k - 1) * d for r, j, k, d in zip(size, jump, kernel, dilation, strict=True)),
        tuple(j * s for j, s in zip(jump, stride, strict=True)),
        tuple(s - j * p for s, j, p in zip(start, jump, before, strict=True)),
    )
