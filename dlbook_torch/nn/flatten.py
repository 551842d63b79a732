"""From an image to a row of features (notes 7)."""

from math import prod

from torch import Tensor
from torch.nn import Module


class Flatten(Module):
    r"""Merge the axes from ``start_dim`` to ``end_dim`` into one.

    Shape: ``(N, *)`` to ``(N, prod(*))`` by default; a view where the memory allows one.
    Raises: IndexError for an axis that the input does not have.
    Source: notes 7: what stands between the last pooling and the first affine layer.
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        shape = input.shape or (1,)  # a number flattens to a vector of one
        start, end = (self._axis(dim, len(shape)) for dim in (self.start_dim, self.end_dim))
        if start > end:
            raise RuntimeError(f"start_dim={self.start_dim} comes after end_dim={self.end_dim}")
        return input.reshape(*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :])

    @staticmethod
    def _axis(dim: int, rank: int) -> int:
        if not -rank <= dim < rank:
            raise IndexError(f"dim must be in [{-rank}, {rank - 1}], got {dim}")
        return dim % rank

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
