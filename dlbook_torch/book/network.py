"""What every network of the book shares: predict, loss, accuracy, gradient (notes 4, 5)."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, ModuleDict, Parameter

from ..autograd import numerical_gradients
from .layer import Layer
from .loss import SoftmaxWithLoss


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Every layer in evaluation, and afterwards as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


class Network(Layer):
    r"""Layers one after the other, and softmax with cross-entropy at the end of training.

    .. math:: L = \text{SoftmaxWithLoss}(f_n(\dots f_1(x)), t) + \frac{\lambda}{2} \sum_W \|W\|^2

    Law: ``gradient`` is what autograd finds for torch's ``CrossEntropyLoss`` on :meth:`predict`
    plus the penalty, and the penalty's step is that of ``SGD(weight_decay=lambda)`` on a group of
    the weights alone: neither the biases nor BatchNorm's parameters decay.

    The book's ``train_flg`` is ``train`` and ``eval`` here, for all methods but :meth:`accuracy`,
    which always evaluates.

    Args:
        layers: by name.
        weight_decay_lambda: :math:`\lambda`.

    Source: notes 4, 5; 6.5 for the penalty, which they give without a formula.
    """

    def __init__(self, layers: Mapping[str, Layer], weight_decay_lambda: float = 0.0):
        super().__init__()
        self.layers = ModuleDict(layers)
        self.last_layer = SoftmaxWithLoss()
        self.weight_decay_lambda = weight_decay_lambda

    @property
    def params(self) -> dict[str, Parameter]:
        """All parameters under the book's names: W1, b1, gamma1, beta1, W2, and so on.

        Every letter is counted for itself, from 1.
        """
        count: Counter[str] = Counter()
        named = {}
        for full, p in self.named_parameters():
            letter = full.rpartition(".")[2]
            count[letter] += 1
            named[f"{letter}{count[letter]}"] = p
        return named

    @property
    def weights(self) -> list[Parameter]:
        """What decays: the W of every layer."""
        return [p for name, p in self.params.items() if name.startswith("W")]

    def load_params(self, params: Mapping[str, Any]) -> None:
        """Take over numbers under the book's names, such as the arrays of its checkpoints.

        Raises: ValueError unless names and shapes are this network's.
        """
        own = self.params
        if own.keys() != params.keys():
            raise ValueError(f"expected {', '.join(own)}, got {', '.join(params)}")
        given = {name: torch.as_tensor(value) for name, value in params.items()}
        for name, p in own.items():
            if given[name].shape != p.shape:
                raise ValueError(
                    f"{name} has shape {tuple(p.shape)}, got {tuple(given[name].shape)}"
                )
        with torch.no_grad():
            for name, p in own.items():
                p.copy_(given[name])

    def forward(self, x: Tensor) -> Tensor:
        self.keep()
        for layer in self.layers.values():
            x = layer(x)
        return x

    def backward(self, dout: Tensor) -> Tensor:
        self.kept()
        layers: list[Any] = list(self.layers.values())
        for layer in reversed(layers):
            dout = layer.backward(dout)
        return dout

    def predict(self, x: Tensor) -> Tensor:
        """Scores of the classes: what softmax is given."""
        return self(x)

    def loss(self, x: Tensor, t: Tensor) -> Tensor:
        """Cross-entropy of the labels ``t``, plus the penalty."""
        return self.last_layer(self.predict(x), t) + self.penalty()

    def penalty(self) -> Tensor | float:
        """Half lambda times the squared length of all weights."""
        if self.weight_decay_lambda == 0:
            return 0.0
        squares = torch.stack([(W**2).sum() for W in self.weights])
        return 0.5 * self.weight_decay_lambda * squares.sum()

    def accuracy(self, x: Tensor, t: Tensor) -> float:
        """Share of samples whose largest score is that of their class."""
        with torch.no_grad(), evaluating(self):
            y = self.predict(x).argmax(1)
        truth = t if t.dim() == 1 else t.argmax(1)
        return (y == truth).double().mean().item()

    @torch.no_grad()
    def gradient(self, x: Tensor, t: Tensor) -> dict[str, Tensor]:
        """The gradients of all parameters by hand, from the last layer to the first.

        They are written into ``.grad`` as well. A frozen parameter has none.
        """
        self.loss(x, t)
        self.backward(self.last_layer.backward())
        for W in self.weights:
            if W.grad is not None and W.requires_grad:
                W.grad += self.weight_decay_lambda * W
        learned = {name: p for name, p in self.params.items() if p.requires_grad}
        return {name: p.grad for name, p in learned.items() if p.grad is not None}

    @torch.no_grad()
    def numerical_gradient(self, x: Tensor, t: Tensor, h: float = 1e-4) -> dict[str, Tensor]:
        """The same by central differences: two losses per number, so for small networks only.

        The network itself does not change. Every loss draws the same masks, those that the next
        call draws too: the book's numerical gradient of a network with dropout compares losses of
        different masks, and is noise.
        """
        net = deepcopy(self)

        def loss() -> Tensor:
            with torch.random.fork_rng([x.device] if x.is_cuda else []):
                return net.loss(x, t)

        return numerical_gradients(loss, net.params, h)
