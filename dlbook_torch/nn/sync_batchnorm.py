"""Batch normalization over the batches of several processes (notes 6.4)."""

from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd import Function
from torch.nn import Module

from ._precision import wide_type
from .batchnorm import _axes, _BatchNormNd, _check, _dense, _evaluate, _spread, batch_norm


class _AllReduce(Function):
    """The sum of what all processes hold, given to each of them.

    What one process holds is in the sum of every other, so that its gradient is the sum of all
    their gradients: the same operation again, and so on to derivatives of every order.
    """

    @staticmethod
    def forward(x, group):
        total = x.clone()
        distributed.all_reduce(total, group=group)
        return total

    @staticmethod
    def setup_context(ctx, inputs, total):
        ctx.group = inputs[1]

    @staticmethod
    def backward(ctx, dtotal):
        return _AllReduce.apply(dtotal.contiguous(), ctx.group), None


def _sync_batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    group: Any = None,
) -> Tensor:
    """See :class:`SyncBatchNorm`. In training, to be called by every process of the group."""
    _check(input, False, eps, running_mean, running_var, weight, bias)
    width = wide_type(input.dtype)
    x, axes, count = _dense(input).to(width), _axes(input), input.numel() // input.shape[1]
    total = _AllReduce.apply(torch.cat([x.sum(axes), x.new_full((1,), count)]), group)
    m = total[-1].detach()
    if count < 2 and m < 2:  # looked at where it may be so: the look waits for a GPU
        if m == 0:
            return batch_norm(input, None, None, weight, bias, True, 0.0, eps)
        raise ValueError("expected more than 1 value per channel when training, got 1 in all")
    mean = total[:-1] / m
    centered = x - _spread(mean, x)
    moments = torch.cat([centered.sum(axes), (centered * centered).sum(axes)])
    rest, square = (_AllReduce.apply(moments, group) / m).chunk(2)
    mean, var = mean + rest, (square - rest * rest).clamp(min=0)  # rest: see _BatchNorm
    with torch.no_grad():
        if running_mean is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        if running_var is not None:
            running_var.lerp_((var * (m / (m - 1))).to(running_var.dtype), momentum)
    weight, bias = (t if t is None else t.to(width) for t in (weight, bias))
    return _evaluate(x, mean, var, weight, bias, eps).to(input.dtype)


class SyncBatchNorm(_BatchNormNd):
    r""":class:`BatchNorm2d` by the statistics of the batches of all processes together.

    .. math::
        m = \sum_r m_r, \quad \mu = \frac{1}{m} \sum_r \sum_i x_{r,i}, \quad
        \sigma^2 = \frac{1}{m} \sum_r \sum_i (x_{r,i} - \mu)^2

    Every process of the group has to take part in every step of a training, be its batch smaller
    than the others' or empty. Then outputs, gradients and running statistics are those of a single
    process with the whole batch. In evaluation, and where ``torch.distributed`` has not been
    started, it does what BatchNorm does, without a message. torch's own layer refuses the CPU;
    this one works wherever the processes can add tensors up, with gloo on the CPU.

    Args:
        num_features: C, channels.
        eps: added to the variance.
        momentum: weight of the newest batch in the running averages; None: all batches alike.
        affine: learn gamma (``weight``, from 1) and beta (``bias``, from 0).
        track_running_stats: keep running averages; without them evaluation uses the batch too.
        process_group: of ``torch.distributed``; None: all processes.
        device: where parameters and buffers live.
        dtype: their type.
        bias: learn beta.

    Shape: ``(N, C, *)`` to the same; statistics over N and everything behind C.
    Raises: ValueError for an input of fewer than 2 axes, without channels, or with one value per
        channel in training; RuntimeError for another number of channels.
    Source: notes 6.4, which know one process.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ):
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )
        self.process_group = process_group

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")
        if input.shape[1] == 0:
            raise ValueError(f"expected at least one channel, got input size {tuple(input.shape)}")

    def _function(self) -> Callable[..., Tensor]:
        parallel = distributed.is_available() and distributed.is_initialized()
        if not (self.training and parallel and distributed.get_world_size(self.process_group) > 1):
            return batch_norm
        return partial(_sync_batch_norm, group=self.process_group)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any | None = None) -> Module:
        """Return ``module`` with synchronised layers in the places of its BatchNorm layers.

        They share the old layers' parameters and buffers. A ``module`` that is itself such a layer
        is returned as a new one; torch's layers are replaced as well.

        Args:
            module: any model.
            process_group: of the new layers.
        """
        layer = module
        if isinstance(module, _BatchNormNd | torch.nn.modules.batchnorm._BatchNorm):
            memory, bias = (module.affine, module.track_running_stats), module.bias is not None
            layer = cls(
                module.num_features, module.eps, module.momentum, *memory, process_group, bias=bias
            ).train(module.training)
            own = (module.named_parameters(recurse=False), module.named_buffers(recurse=False))
            for name, t in chain(*own):
                setattr(layer, name, t)
        for name, child in module.named_children():
            layer.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return layer
