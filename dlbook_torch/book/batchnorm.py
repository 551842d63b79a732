"""The book's batch normalization (notes 6.4)."""

import torch
from torch import Tensor

from .layer import Layer, parameter


class BatchNorm(Layer):
    r"""Give every number of a sample zero mean and unit variance over the batch.

    .. math:: \hat x = \frac{x - \mu_B}{\sqrt{\sigma_B^2 + \varepsilon}}, \quad
        y = \gamma \hat x + \beta, \qquad
        \mathrm{d}x = \frac{\gamma}{\sqrt{\sigma_B^2 + \varepsilon}}
        (\mathrm{d}y - \overline{\mathrm{d}y} - \hat x\, \overline{\mathrm{d}y\, \hat x})

    and for evaluation, from 0,

    .. math:: \mu \leftarrow \alpha \mu + (1 - \alpha) \mu_B, \quad
        \sigma^2 \leftarrow \alpha \sigma^2 + (1 - \alpha) \sigma_B^2

    Law: torch's ``BatchNorm1d(eps=1e-6, momentum=1 - 0.9)`` on the flattened sample. So an image is
    normalised pixel by pixel, and not, as by ``BatchNorm2d``, channel by channel. The running mean
    is torch's. The running variance is not: torch averages the unbiased variance, and starts from
    1. After k batches of n samples,

    .. math:: \sigma^2_\text{torch} = \frac{n}{n - 1}\, \sigma^2_\text{book} + \alpha^k

    A batch of one, which torch refuses, has :math:`\hat x = 0`: its output is beta alone.

    Args:
        gamma: scale, one per number of a sample.
        beta: shift, likewise.
        momentum: :math:`\alpha`, the weight of the *old* average; torch's weighs the new batch.
        running_mean: to go on from, instead of from 0.
        running_var: likewise.
        eps: :math:`\varepsilon`; the book writes it ``10e-7``, and torch's is 1e-5.

    Shape: ``(N, *)`` to the same, D numbers per sample.
    Raises: RuntimeError for another count of numbers per sample.
    Source: notes 6.4, whose formula ends at x hat, and which say nothing of evaluation. In the book
        it is BatchNormalization.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        gamma: Tensor,
        beta: Tensor,
        momentum: float = 0.9,
        running_mean: Tensor | None = None,
        running_var: Tensor | None = None,
        eps: float = 1e-6,
    ):
        super().__init__()
        self.gamma, self.beta = parameter(gamma), parameter(beta)
        self.momentum, self.eps = momentum, eps
        for name, first in (("running_mean", running_mean), ("running_var", running_var)):
            zero = torch.zeros_like(gamma.detach())
            self.register_buffer(name, zero if first is None else first.clone())

    def forward(self, x: Tensor) -> Tensor:
        n = len(self.gamma)
        if x.dim() < 2 or x.shape[1:].numel() != n:
            raise RuntimeError(f"expected a batch of {n} numbers per sample, got {tuple(x.shape)}")
        sample, mean, var = x.flatten(1), self.running_mean, self.running_var
        if self.training:
            mean = sample.mean(0)
            var = ((sample - mean) ** 2).mean(0)
            self._remember(mean, var)
        std = (var + self.eps).sqrt()
        xn = (sample - mean) / std
        self.keep(xn, std, self.training)
        return (self.gamma * xn + self.beta).reshape(x.shape)

    @torch.no_grad()
    def _remember(self, mean: Tensor, var: Tensor) -> None:
        for running, new in ((self.running_mean, mean), (self.running_var, var)):
            running.copy_(self.momentum * running + (1 - self.momentum) * new)

    @torch.no_grad()
    def backward(self, dout: Tensor) -> Tensor:
        xn, std, batch = self.kept()
        dy = dout.flatten(1)
        self.write(gamma=(dy * xn).sum(0), beta=dy.sum(0))
        dx = dy
        if batch:  # x moves its batch's mean and variance too
            dx = dy - dy.mean(0) - xn * (dy * xn).mean(0)
        return (self.gamma / std * dx).reshape(dout.shape)

    def extra_repr(self) -> str:
        return f"{len(self.gamma)}, momentum={self.momentum}, eps={self.eps}"
