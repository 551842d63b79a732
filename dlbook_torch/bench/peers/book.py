"""The book's convolutional network in NumPy alone, as its readers train it (notes 7)."""

from pathlib import Path
from typing import Any

import numpy as np

from .clock import Clock
from .files import images_and_labels

Array = Any  # of NumPy
SIZE, FILTERS, HIDDEN, CLASSES, BATCH = 5, 30, 100, 10, 100


def im2col(x: Array, size: int, stride: int) -> Array:
    """Lay every window out as one row: (N, C, H, W) to (N OH OW, C size size), by slices."""
    n, c, h, w = x.shape
    rows, columns = (h - size) // stride + 1, (w - size) // stride + 1
    windows = np.empty((n, c, size, size, rows, columns), x.dtype)
    for i in range(size):
        for j in range(size):
            windows[:, :, i, j] = x[
                :, :, i : i + stride * rows : stride, j : j + stride * columns : stride
            ]
    return windows.transpose(0, 4, 5, 1, 2, 3).reshape(n * rows * columns, -1)


def col2im(d: Array, shape: tuple[int, ...], size: int, stride: int) -> Array:
    """The adjoint: add every window back to where it came from."""
    n, c, h, w = shape
    rows, columns = (h - size) // stride + 1, (w - size) // stride + 1
    windows = d.reshape(n, rows, columns, c, size, size).transpose(0, 3, 4, 5, 1, 2)
    x = np.zeros(shape, d.dtype)
    for i in range(size):
        for j in range(size):
            x[:, :, i : i + stride * rows : stride, j : j + stride * columns : stride] += windows[
                :, :, i, j
            ]
    return x


class Net:
    """Convolution, ReLU, 2 x 2 pooling, affine, ReLU, affine, softmax with cross-entropy.

    Every layer is a formula and its derivative, the first one's input included, as the book has it.

    Args:
        dtype: of all numbers; the book's are float64.
        seed: of the first weights, normal with 0.01.
    """

    def __init__(self, dtype: str, seed: int = 0):
        rng, units = np.random.default_rng(seed), FILTERS * 12 * 12
        shapes = [(FILTERS, 1, SIZE, SIZE), (units, HIDDEN), (HIDDEN, CLASSES)]
        weights = [(0.01 * rng.standard_normal(shape)).astype(dtype) for shape in shapes]
        biases = [np.zeros(n, dtype) for n in (FILTERS, HIDDEN, CLASSES)]
        self.params: list[Array] = [*weights, *biases]

    def forward(self, x: Array) -> tuple[Array, dict[str, Array]]:
        """Return the probabilities of a batch, and what the way back needs."""
        w1, w2, w3, b1, b2, b3 = self.params
        n, side = len(x), x.shape[2] - SIZE + 1
        columns = im2col(x, SIZE, 1)
        a = (columns @ w1.reshape(FILTERS, -1).T + b1).reshape(n, side, side, FILTERS)
        a = a.transpose(0, 3, 1, 2)
        off = a <= 0
        windows = im2col(np.where(off, 0, a), 2, 2).reshape(-1, 4)
        first = windows.argmax(1)
        pooled = windows.max(1).reshape(n, side // 2, side // 2, FILTERS).transpose(0, 3, 1, 2)
        flat = pooled.reshape(n, -1)
        h = flat @ w2 + b2
        dark = h <= 0
        z = np.where(dark, 0, h)
        y = z @ w3 + b3
        y = np.exp(y - y.max(1, keepdims=True))
        kept = dict(columns=columns, off=off, first=first, flat=flat, dark=dark, z=z)
        return y / y.sum(1, keepdims=True), kept

    def loss(self, x: Array, t: Array) -> float:
        """Return the mean cross-entropy of a batch."""
        return -float(np.log(self.forward(x)[0][np.arange(len(x)), t] + 1e-7).mean())

    def gradients(self, x: Array, t: Array) -> list[Array]:
        """Return the gradients of a batch in the order of ``params``."""
        w1, w2, w3, *_ = self.params
        d, kept = self.forward(x)
        d[np.arange(len(x)), t] -= 1
        d /= len(x)
        dw3, db3 = kept["z"].T @ d, d.sum(0)
        d = np.where(kept["dark"], 0, d @ w3.T)
        dw2, db2 = kept["flat"].T @ d, d.sum(0)
        off = kept["off"]
        halved = (len(x), FILTERS, off.shape[2] // 2, off.shape[3] // 2)
        d = (d @ w2.T).reshape(halved).transpose(0, 2, 3, 1)
        spread = np.zeros((d.size, 4), d.dtype)
        spread[np.arange(d.size), kept["first"]] = d.ravel()
        d = col2im(spread.reshape(-1, FILTERS * 4), off.shape, 2, 2)
        d = np.where(off, 0, d).transpose(0, 2, 3, 1).reshape(-1, FILTERS)
        dw1, db1 = (kept["columns"].T @ d).T.reshape(w1.shape), d.sum(0)
        col2im(d @ w1.reshape(FILTERS, -1), x.shape, SIZE, 1)
        return [dw1, dw2, dw3, db1, db2, db3]


class Adam:
    """The book's Adam: epsilon before the correction of the second average."""

    def __init__(
        self, params: list[Array], lr: float = 0.001, beta1: float = 0.9, beta2: float = 0.999
    ):
        self.params, self.lr, self.beta1, self.beta2, self.t = params, lr, beta1, beta2, 0
        self.m = [np.zeros_like(p) for p in params]
        self.v = [np.zeros_like(p) for p in params]

    def step(self, grads: list[Array]) -> None:
        """Move all parameters."""
        self.t += 1
        rate = self.lr * float(np.sqrt(1 - self.beta2**self.t)) / (1 - self.beta1**self.t)
        for p, g, m, v in zip(self.params, grads, self.m, self.v, strict=True):
            m += (1 - self.beta1) * (g - m)
            v += (1 - self.beta2) * (g**2 - v)
            p -= rate * m / (np.sqrt(v) + 1e-7)


def train(clock: Clock, steps: int, root: Path, dtype: str, looks: bool = False) -> None:
    """Train on random batches of 100, as the book's examples do.

    Args:
        clock: runs while it trains.
        steps: how many.
        root: folder of the data.
        dtype: of all numbers.
        looks: compute the loss once more after every step, as the book's trainer does to show it.
    """
    images, labels = images_and_labels(root)
    x = (images.numpy()[:, None] / 255).astype(dtype)
    t = labels.numpy()
    net, rng = Net(dtype), np.random.default_rng(0)
    adam = Adam(net.params)

    def step() -> None:
        batch = rng.choice(len(x), BATCH)
        adam.step(net.gradients(x[batch], t[batch]))
        if looks:
            net.loss(x[batch], t[batch])

    clock.repeat(step, steps)
