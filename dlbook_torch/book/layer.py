"""What every layer of the book shares: two halves, both written out (notes 5)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter


def parameter(t: Tensor) -> Parameter:
    """A tensor that learns; one that does already stays the object that it is."""
    return t if isinstance(t, Parameter) else Parameter(t)


class Layer(Module):
    r"""A layer that knows its own derivative: ``forward``, then ``backward``.

    .. math:: y = f(x), \qquad
        \mathrm{d}x = \Bigl(\frac{\partial y}{\partial x}\Bigr)^{\!\top} \mathrm{d}y

    ``backward`` takes the gradient of the last forward's output and gives back that of its input.
    The gradients of the parameters are written into their ``.grad``, where any optimizer finds
    them. They are written, not added as torch does, so nothing has to be zeroed; a frozen parameter
    gets none. autograd works through ``forward`` too.

    The book tells its layers with ``train_flg`` whether they learn; here ``train`` and ``eval`` do,
    as everywhere in torch, and ``backward`` differentiates whichever forward was run.

    Raises: RuntimeError if ``backward`` comes before any ``forward``.
    Source: notes 5; the book's layers. Its Relu writes over the gradient that it is given; no layer
        here does.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: tuple[Any, ...] | None = None

    def keep(self, *values: Any) -> None:
        """Remember what backward needs, apart from autograd's graph."""
        self._kept = tuple(v.detach() if isinstance(v, Tensor) else v for v in values)

    def kept(self) -> tuple[Any, ...]:
        """What the last forward has kept."""
        if self._kept is None:
            raise RuntimeError(f"{type(self).__name__}.backward was called before its forward")
        return self._kept

    def write(self, **grads: Tensor) -> None:
        """Hand each parameter, by its name, its gradient."""
        for name, grad in grads.items():
            p = getattr(self, name)
            if p.requires_grad:
                p.grad = grad

    def backward(self, dout: Tensor) -> Tensor:
        """The gradient of the input, from that of the output."""
        raise NotImplementedError(f"{type(self).__name__} has no backward")


class Scale(Layer):
    r"""Multiply by a constant.

    .. math:: y = c\,x, \qquad \mathrm{d}x = c\,\mathrm{d}y

    Not in the book: what stands between its Dropout and torch's, see :class:`Dropout`.

    Shape: ``(*)`` to ``(*)``.
    """

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        self.keep()
        return self.factor * x

    @torch.no_grad()
    def backward(self, dout: Tensor) -> Tensor:
        self.kept()
        return self.factor * dout

    def extra_repr(self) -> str:
        return f"factor={self.factor}"
