"""AdamW (notes 6.2.4, 6.5)."""

from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .adam import Adam


class AdamW(Adam):
    r"""Adam whose weight decay does not pass through the averages.

    .. math:: w \leftarrow w - \eta \lambda w, \qquad \text{then Adam's step with } \lambda = 0

    An L2 penalty in Adam is divided by :math:`\sqrt{\hat v}` like the rest of the gradient, so
    that weights with large gradients decay less. Here all decay alike.

    Args:
        params: parameters, or groups of them.
        lr: :math:`\eta`.
        betas: see :class:`Adam`, as ``eps`` and ``amsgrad``.
        eps: see above.
        weight_decay: :math:`\lambda`.
        amsgrad: see above.
        maximize: climb instead.
        foreach: whole groups at once, see :class:`Optimizer`.
        capturable: keep the step counter a tensor beside the parameter.
        differentiable: record the step itself.
        fused: as ``foreach``.

    Raises: as :class:`Adam`.
    Source: notes 6.5, Loshchilov and Hutter 2019 (arXiv 1711.05101). With SGD the two are the same
        up to the factor :math:`\eta`; with Adam they are not.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # of an AdamW from before the argument existed
            group["decoupled_weight_decay"] = True
