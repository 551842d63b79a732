"""From an image to a row of features, and back (notes 7)."""

from collections.abc import Sequence
from math import prod

from torch import Tensor
from torch.nn import Module


def _axis(dim: int, rank: int) -> int:
    """Count an axis from the front.

    Raises: IndexError for an axis that the input does not have.
    """
    if not -rank <= dim < rank:
        raise IndexError(f"dim must be in [{-rank}, {rank - 1}], got {dim}")
    return dim % rank


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
        start, end = (_axis(dim, len(shape)) for dim in (self.start_dim, self.end_dim))
        if start > end:
            raise RuntimeError(f"start_dim={self.start_dim} comes after end_dim={self.end_dim}")
        return input.reshape(*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :])

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    r"""Split the axis ``dim`` into several: what :class:`Flatten` merged.

    Args:
        dim: the axis.
        unflattened_size: what it is split into; one of the sizes may be -1, to be inferred.

    Shape: ``(*, S, *)`` to ``(*, *unflattened_size, *)``, of product S; a view.
    Raises: TypeError for sizes that are no integers (named axes, which torch used to take, are
        among them); IndexError for an axis that the input does not have; RuntimeError for sizes
        that do not multiply up to S.
    Source: notes 7.
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]):
        super().__init__()
        if not isinstance(unflattened_size, (tuple, list)):
            raise TypeError(f"unflattened_size must be a tuple of ints, got {unflattened_size!r}")
        for size in unflattened_size:
            if not isinstance(size, int):
                raise TypeError(f"unflattened_size must be a tuple of ints, got {size!r} in it")
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        shape, axis = input.shape, _axis(self.dim, input.dim())
        return input.view(*shape[:axis], *self._sizes(shape[axis]), *shape[axis + 1 :])

    def _sizes(self, length: int) -> list[int]:
        """The sizes, with the one that was left open."""
        sizes = list(self.unflattened_size)
        known = prod([size for size in sizes if size != -1])
        if sizes.count(-1) == 1 and known > 0:
            sizes[sizes.index(-1)] = length // known
        if min(sizes, default=-1) < 0 or prod(sizes) != length:
            raise RuntimeError(f"cannot split {length} elements into {self.unflattened_size}")
        return sizes

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
