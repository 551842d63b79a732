"""The ways that a convolution can go, and which of them it goes (notes 7.1)."""

from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor
from torch.nn import Parameter

from . import conv_ones, conv_unfold, conv_winograd
from ._fast import compiled
from .algorithm import chosen
from .fold import channels_last, strides_of
from .geometry import Image, Window

WAYS: dict[str, ModuleType] = {
    "unfold": conv_unfold,
    "ones": conv_ones,
    "winograd": conv_winograd,
}


def way_of(
    x: Tensor, weight: Tensor, image: Image, window: Window, groups: int, choice: str = ""
) -> str:
    """The name of the way that a convolution of such operands takes.

    Short cuts are for float32 on a CPU; what a compiler or an exporter looks into goes the plain
    way, and so do the types and tensors that are not numbers in memory. Without a ``choice`` it is
    what ``nn.algorithms`` says at the moment.
    """
    name = choice or chosen("convolution")
    plain = torch.compiler.is_compiling() or type(x) not in (Tensor, Parameter) or 0 in x.shape
    if plain or x.dtype != torch.float32 or x.device.type != "cpu":
        return "unfold"
    if name != "auto":
        return name if name == "unfold" or WAYS[name].suits(weight, window, groups) else "unfold"
    for name in ("winograd", "ones"):
        way = WAYS[name]
        if way.suits(weight, window, groups) and way.pays(weight, window, image, len(x)):
            return name
    return "unfold"


# What a compiler makes of columns and products on a CPU takes two to three times as long as the
# eager ways do. So there it calls those, as two operators that say what shape their answers have.
# Lists of whole numbers are all that an operator can be told, beside tensors.


def opaque(x: Tensor) -> bool:
    """Whether a compiler is not to look into a convolution: float32 on a CPU, left to choose."""
    plain = chosen("convolution") == "unfold" or 0 in x.shape
    return compiled(x) and x.dtype == torch.float32 and not plain


def _window(weight: Tensor, how: Sequence[int]) -> tuple[Window, int]:
    """Window and groups, from a flat list: stride, margins, dilation, groups."""
    rank, kernel = weight.dim() - 2, tuple(weight.shape[2:])
    stride, margins, dilation = how[:rank], how[rank : 3 * rank], how[3 * rank : -1]
    around = tuple(zip(margins[::2], margins[1::2], strict=True))
    return Window(kernel, tuple(stride), around, tuple(dilation)), how[-1]


@torch.library.custom_op("dlbook_torch::convolve", mutates_args=())
def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, how: Sequence[int], choice: str
) -> Tensor:
    """A convolution the way of this choice; ``how`` is what :func:`_window` takes apart."""
    window, groups = _window(weight, how)
    way = way_of(x, weight, x.shape[2:], window, groups, choice)
    with torch.no_grad():
        return WAYS[way].convolve(x, weight, bias, window, groups)


@convolve.register_fake
def _(x, weight, bias, how, choice):
    window, _ = _window(weight, how)
    return _like(x, weight, (x.shape[0], weight.shape[0], *window.positions(x.shape[2:])))


@torch.library.custom_op("dlbook_torch::convolve_gradients", mutates_args=())
def gradients(
    x: Tensor,
    weight: Tensor,
    dy: Tensor,
    how: Sequence[int],
    choice: str,
    needed: Sequence[bool],
) -> list[Tensor]:
    """What the input, the filters and the bias of :func:`convolve` get: those that are needed."""
    window, groups = _window(weight, how)
    way = way_of(x, weight, x.shape[2:], window, groups, choice)
    with torch.no_grad():
        dx, *rest = WAYS[way].gradients(x, weight, dy, window, groups, needed)
    found = [dx, *[t if t is None else t.contiguous() for t in rest]]
    return [t for t, want in zip(found, needed, strict=True) if want]


@gradients.register_fake
def _(x, weight, dy, how, choice, needed):
    answers = _like(dy, weight, x.shape), weight.new_empty(weight.shape), dy.new_empty(dy.shape[1])
    return [t for t, want in zip(answers, needed, strict=True) if want]


def _like(x: Tensor, weight: Tensor, shape: Image) -> Tensor:
    """An answer that lies in memory as the ways lay theirs."""
    return x.new_empty_strided(shape, strides_of(shape, channels_last(x) or channels_last(weight)))


def _keep(ctx, inputs, output):
    x, weight, _, *ctx.how = inputs
    ctx.save_for_backward(x, weight)


def _backward(ctx, dy):
    needed = ctx.needs_input_grad[:3]
    found = iter(gradients(*ctx.saved_tensors, dy, *ctx.how, needed))
    return *[next(found) if want else None for want in needed], None, None


convolve.register_autograd(_backward, setup_context=_keep)
