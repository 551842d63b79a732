"""Data that are made, not found."""

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from .module import TensorDataModule, Tensors, in_range

Task = Literal["linear", "blob", "spiral", "checkerboard"]
SIDES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # above 0 is class 1
    "linear": lambda x, y: x + y,
    "blob": lambda x, y: 2 / math.pi - x**2 - y**2,
    "spiral": lambda x, y: torch.sin(torch.atan2(y, x) + 2 * math.pi * torch.hypot(x, y)),
    "checkerboard": lambda x, y: torch.sin(2 * math.pi * x) * torch.sin(2 * math.pi * y),
}


class Sine(TensorDataModule):
    r"""Regression of a noisy sine: one number in, one number out.

    .. math:: t = \sin(\pi x) + \text{noise} \cdot \varepsilon, \qquad
              x \sim U(-1, 1), \quad \varepsilon \sim N(0, 1)

    The points are the same for every ``seed``; no model can get below a mean squared error of
    :math:`\text{noise}^2` on new points, and only an overfitted one does on its own.

    Args:
        batch_size: points per batch.
        train_size: training points.
        val_size: validation points, and as many test points.
        noise: standard deviation of the noise.
        seed: of the order of the training points.

    Shape: batches ``(N, 1)`` and targets ``(N, 1)``.
    Raises: ValueError for a size below 1 or a negative noise.
    Source: notes 3.4, 3.5, 4.2.
    """

    shape = (1,)

    def __init__(
        self,
        batch_size: int = 32,
        train_size: int = 200,
        val_size: int = 200,
        noise: float = 0.1,
        seed: int = 0,
    ):
        super().__init__(batch_size, seed)
        self.train_size = in_range("train_size", train_size, 1, 10**6)
        self.val_size = in_range("val_size", val_size, 1, 10**6)
        self.noise = in_range("noise", noise, 0.0, math.inf)
        self.save_hyperparameters(logger=False)

    def points(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """Draw n points."""
        generator = torch.Generator().manual_seed(seed)
        x, epsilon = torch.rand(n, 1, generator=generator), torch.randn(n, 1, generator=generator)
        x = 2 * x - 1
        return x, (torch.pi * x).sin() + self.noise * epsilon

    def load_training(self) -> tuple[Tensors, Tensors]:
        return self.points(self.train_size, 1), self.points(self.val_size, 2)

    def load_test(self) -> Tensors:
        return self.points(self.val_size, 3)


class Plane(TensorDataModule):
    r"""Two classes in the square from -1 to 1, half of it each, without overlap.

    * ``"linear"``: the two sides of a diagonal.
    * ``"blob"``: a disc and what is around it.
    * ``"spiral"``: two arms that wind once around the centre.
    * ``"checkerboard"``: four by four fields.

    The points are drawn evenly, the same for every ``seed``.

    Args:
        batch_size: points per batch.
        task: what parts the classes.
        train_size: training points.
        val_size: validation points, and as many test points.
        seed: of the order of the training points.

    Shape: batches ``(N, 2)`` and class labels ``(N)`` int64.
    Raises: ValueError for a size below 1 or an unknown task.
    Source: notes 2.3, 3.5.
    """

    shape = (2,)
    classes = ("0", "1")

    def __init__(
        self,
        batch_size: int = 50,
        task: Task = "spiral",
        train_size: int = 500,
        val_size: int = 500,
        seed: int = 0,
    ):
        super().__init__(batch_size, seed)
        if task not in get_args(Task):
            raise ValueError(f"task must be one of {get_args(Task)}, got {task!r}")
        self.task = task
        self.train_size = in_range("train_size", train_size, 1, 10**6)
        self.val_size = in_range("val_size", val_size, 1, 10**6)
        self.save_hyperparameters(logger=False)

    def label(self, x: Tensor) -> Tensor:
        """The class of every point."""
        return (SIDES[self.task](*x.unbind(-1)) > 0).long()

    def points(self, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """Draw n points."""
        x = 2 * torch.rand(n, 2, generator=torch.Generator().manual_seed(seed)) - 1
        return x, self.label(x)

    def load_training(self) -> tuple[Tensors, Tensors]:
        return self.points(self.train_size, 1), self.points(self.val_size, 2)

    def load_test(self) -> Tensors:
        return self.points(self.val_size, 3)
