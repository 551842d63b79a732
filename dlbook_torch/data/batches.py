"""Batches cut from tensors that are in memory as a whole."""

from collections.abc import Iterator

import torch
from torch import Tensor, distributed


class TensorBatches:
    """Cut batches out of whole tensors by index, in an order that depends on seed and epoch alone.

    Every epoch visits every sample once. The global random state is neither read nor changed.
    Lightning names the epoch through ``sampler.set_epoch`` and keeps :meth:`state_dict` in its
    checkpoints, so a run that stopped in the middle of an epoch goes on with the very next sample.

    With several processes each takes every ``num_replicas``-th sample, from number ``rank`` on.
    A shuffled order is continued from its start until all of them have equally many, because
    training waits for the slowest; an unshuffled one, for evaluation, never repeats a sample.

    Args:
        tensors: equally long tensors (N, ...); a batch is a tuple with one slice of each.
        batch_size: samples per batch and process.
        shuffle: a new order every epoch instead of 0, 1, 2, ...
        seed: selects the series of orders.
        drop_last: leave out a last batch that is smaller than the others.
        num_replicas: number of processes, by default that of ``torch.distributed`` or 1.
        rank: number of this process, by default that of ``torch.distributed`` or 0.

    Raises: ValueError for no tensors, empty ones, unequal lengths or a batch size below 1, and
        where a process would have nothing to evaluate.
    """

    batch_sampler = None  # where Lightning looks first

    def __init__(
        self,
        *tensors: Tensor,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        num_replicas: int | None = None,
        rank: int | None = None,
    ):
        lengths = [len(tensor) for tensor in tensors]
        if not lengths or min(lengths) == 0 or min(lengths) < max(lengths):
            raise ValueError(f"expected tensors of one length above 0, got lengths {lengths}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.tensors, self.samples, self.batch_size = tensors, lengths[0], batch_size
        self.shuffle, self.seed, self.drop_last = shuffle, seed, drop_last
        self.num_replicas, self.rank = num_replicas, rank
        self.sampler = self
        self.epoch = self._position = self._start = 0

    def set_epoch(self, epoch: int) -> None:
        """Select the order of this epoch; a position restored from another epoch is void."""
        if epoch != self.epoch:
            self._start = self._position = 0
        self.epoch = epoch

    def order(self) -> Tensor:
        """Indices of the samples that this process visits in the present epoch."""
        n = self.samples
        replicas, rank = self._replicas_and_rank()
        if not self.shuffle:
            if n < replicas:
                raise ValueError(f"{n} samples are too few to evaluate in {replicas} processes")
            return torch.arange(n)[rank::replicas]
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(n, generator=generator)
        return order[torch.arange(rank, n + -n % replicas, replicas) % n]

    def _replicas_and_rank(self) -> tuple[int, int]:
        parallel = distributed.is_available() and distributed.is_initialized()
        replicas, rank = self.num_replicas, self.rank
        if replicas is None:
            replicas = distributed.get_world_size() if parallel else 1
        if rank is None:
            rank = distributed.get_rank() if parallel else 0
        return replicas, rank

    def __len__(self) -> int:
        replicas, rank = self._replicas_and_rank()
        end = self.samples + (-self.samples % replicas if self.shuffle else 0)
        share = len(range(rank, end, replicas))
        return share // self.batch_size if self.drop_last else -(-share // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        order = self.order().to(self.tensors[0].device)
        start, self._start = self._start, 0
        stop = min(len(order), len(self) * self.batch_size)
        for i in range(start, stop, self.batch_size):
            self._position = i + self.batch_size
            batch = order[i : self._position]
            # five times as fast as tensor[batch]
            yield tuple(tensor.index_select(0, batch) for tensor in self.tensors)

    def state_dict(self) -> dict[str, int]:
        """The epoch and the number of its samples that have been handed out."""
        return {"epoch": self.epoch, "position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Let the next pass go on where the one that was saved stopped."""
        self.epoch = state["epoch"]
        self._start = self._position = state["position"]
