"""The book's update rules (notes 6.2), each with the law that connects it with torch's rule.

Its SGD is torch's, :class:`dlbook_torch.optim.SGD`, at a default rate of 0.01.
"""

from typing import Any, Self

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from ..optim.optimizer import Group, State
from ..optim.tensors import Tensors
from .rule import Rule


class Momentum(Rule):
    r"""Let the slope accelerate a velocity, which has the learning rate inside.

    .. math::
        v &\leftarrow \mu v - \eta g \\
        w &\leftarrow w + v

    Args:
        params: parameters, or groups of them.
        lr: :math:`\eta`.
        momentum: :math:`\mu`.

    Torch multiplies the rate of the moment to the whole velocity, the book keeps every gradient at
    the rate of its own step:

    .. math::
        v_t = -\sum_{s \le t} \eta_s\, \mu^{t-s} g_s, \qquad
        v_t^{\text{torch}} = -\eta_t \sum_{s \le t} \mu^{t-s} g_s

    So at a constant rate this is ``torch.optim.SGD(momentum=momentum)``, with v as -lr times its
    momentum buffer. Under a schedule it is not, unless v is multiplied by new rate / old rate
    whenever the rate changes.

    Raises: ValueError for a negative lr or momentum.
    Source: notes 6.2.2. Two steps with g = 1, at rates 0.1 and 0.01: the book's w is at -0.2,
        torch's at -0.119.
    """

    TWIN = torch.optim.SGD
    SETTINGS = {"lr": "lr", "momentum": "momentum"}
    FIXED: dict[str, Any] = {"dampening": 0, "nesterov": False}
    MEMORY = {"v": "momentum_buffer"}

    def __init__(self, params: ParamsT, lr: float | Tensor = 0.01, momentum: float = 0.9):
        super().__init__(params, lr=lr, momentum=momentum)

    def unit(self, group: Group) -> Any:
        return -group["lr"]

    def update(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        lr, mu, v = group["lr"], group["momentum"], state["v"]

        v.mul_(mu).add_(g, -lr)
        w.add_(v)


class Nesterov(Momentum):
    r"""Momentum whose gradient is taken where the velocity is about to lead.

    .. math::
        v &\leftarrow \mu v - \eta g \\
        w &\leftarrow w + \mu v - \eta g

    Args:
        params: parameters, or groups of them.
        lr: :math:`\eta`.
        momentum: :math:`\mu`.

    With the velocity from before the step, w moves by :math:`\mu^2 v - (1 + \mu) \eta g`. At a
    constant rate this is ``torch.optim.SGD(nesterov=True)``. What a schedule does to Momentum it
    does here too, :math:`\mu` times as much.

    Raises: ValueError for a negative lr or momentum.
    Source: notes 6.2.5. Editions of the book's code before 2021 put the velocity from after the
        step into the formula with :math:`\mu^2`, which is another rule.
    """

    FIXED = {"dampening": 0, "nesterov": True}

    def update(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        lr, mu, v = group["lr"], group["momentum"], state["v"]

        v.mul_(mu).add_(g, -lr)
        w.add_(v, mu).add_(g, -lr)


class AdaGrad(Rule):
    r"""Let every element's rate fall as its own gradients add up.

    .. math::
        h &\leftarrow h + g^2 \\
        w &\leftarrow w - \eta\, g / (\sqrt h + \varepsilon)

    Args:
        params: parameters, or groups of them.
        lr: :math:`\eta`.
        eps: :math:`\varepsilon`, keeps the division finite.

    This is ``torch.optim.Adagrad(eps=1e-7)``, to the last bit.

    Raises: ValueError for a negative lr or eps.
    Source: notes 6.2.3. Their formula has no epsilon, their code 1e-7, torch 1e-10.
    """

    TWIN = torch.optim.Adagrad
    SETTINGS = {"lr": "lr", "eps": "eps"}
    FIXED = {"lr_decay": 0}
    MEMORY = {"h": "sum", "step": "step"}

    def __init__(self, params: ParamsT, lr: float | Tensor = 0.01, eps: float = 1e-7):
        super().__init__(params, lr=lr, eps=eps)

    def update(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        self.tick(state, group)  # for torch, which counts here too
        h = state["h"].addcmul_(g, g)
        w.addcdiv_(g, h.sqrt().add_(group["eps"]), -group["lr"])


class RMSprop(Rule):
    r"""AdaGrad that forgets: h is a moving average.

    .. math::
        h &\leftarrow \rho h + (1 - \rho) g^2 \\
        w &\leftarrow w - \eta\, g / (\sqrt h + \varepsilon)

    Args:
        params: parameters, or groups of them.
        lr: :math:`\eta`.
        decay_rate: :math:`\rho`, how much the average keeps.
        eps: :math:`\varepsilon`, keeps the division finite.

    This is ``torch.optim.RMSprop(alpha=decay_rate, eps=1e-7)``, to the last bit.

    Raises: ValueError for a negative lr or eps, or a decay rate outside [0, 1).
    Source: notes 6.2.5. Their epsilon is 1e-7, torch's 1e-8.
    """

    TWIN = torch.optim.RMSprop
    SETTINGS = {"lr": "lr", "decay_rate": "alpha", "eps": "eps"}
    FIXED = {"momentum": 0, "centered": False}
    MEMORY = {"h": "square_avg", "step": "step"}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.01,
        decay_rate: float = 0.99,
        eps: float = 1e-7,
    ):
        super().__init__(params, lr=lr, decay_rate=decay_rate, eps=eps)

    def update(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        self.tick(state, group)  # for torch, which counts here too
        lr, rho, h = group["lr"], group["decay_rate"], state["h"]

        h.mul_(rho).addcmul_(g, g, 1 - rho)
        w.addcdiv_(g, h.sqrt().add_(group["eps"]), -lr)


class Adam(Rule):
    r"""Momentum for the direction, AdaGrad for the scale, with "epsilon-hat".

    .. math::
        m &\leftarrow \beta_1 m + (1 - \beta_1) g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        w &\leftarrow w - \eta_t\, m / (\sqrt v + \hat\varepsilon), \qquad
            \eta_t = \eta\, \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t}

    Args:
        params: parameters, or groups of them.
        lr: :math:`\eta`.
        beta1: :math:`\beta_1`, how much the average of the gradients keeps.
        beta2: :math:`\beta_2`, how much the average of their squares keeps.
        eps: :math:`\hat\varepsilon`, keeps the division finite.

    Both corrections are in the rate, so that epsilon is added to the root of a v that is not
    corrected. Torch adds it after the correction: the two are the same rule if at every step

    .. math:: \varepsilon_t = \hat\varepsilon / \sqrt{1 - \beta_2^t},

    which for 1e-7 falls from 3.16e-6 at the first step to 1e-7. It shows where gradients are about
    as small: the first step at g = 1e-6 and a rate of 0.001 is 2.40e-4 long, torch's 9.90e-4.

    Raises: ValueError for a negative lr or eps, or a beta outside [0, 1).
    Source: notes 6.2.4, Kingma and Ba 2015 (arXiv 1412.6980), end of section 2. Keras
        has this form.
    """

    TWIN = torch.optim.Adam
    SETTINGS = {"lr": "lr", "eps": "eps"}
    FIXED = {"amsgrad": False, "decoupled_weight_decay": False}
    MEMORY = {"m": "exp_avg", "v": "exp_avg_sq", "step": "step"}

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-7,
    ):
        super().__init__(params, lr=lr, beta1=beta1, beta2=beta2, eps=eps)

    def update(self, w: Tensors, g: Tensors, state: State, group: Group) -> None:
        lr, beta1, beta2 = group["lr"], group["beta1"], group["beta2"]
        m, v, t = state["m"], state["v"], self.tick(state, group)
        lr_t = lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t)

        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, 1 - beta2)
        w.addcdiv_(m, v.sqrt().add_(group["eps"]), -lr_t)

    def to_torch(self) -> torch.optim.Optimizer:
        """Torch's Adam, whose eps a hook turns after every step so that it stays on the path.

        The eps of a group is always that of its next step. A ``state_dict`` carries it, but not the
        hook: whoever loads it goes on with an eps that stays.

        Raises: ValueError, here or at a later step, if parameters of one group have made different
            numbers of steps, for which one eps does not fit.
        """
        twin = super().to_torch()
        hats = [group["eps"] for group in self.param_groups]

        def turn(twin: torch.optim.Optimizer, *_: Any) -> None:
            for group, eps in zip(twin.param_groups, hats, strict=False):  # groups may be added
                group["eps"] = eps / _correction(twin, group, group["betas"][1])

        turn(twin)
        twin.register_step_post_hook(turn)
        return twin

    @classmethod
    def from_torch(cls, optimizer: torch.optim.Optimizer) -> Self:
        """The other way. Eps is chosen so that the next step is torch's.

        The steps after it are torch's too if torch's eps moved as it does behind :meth:`to_torch`,
        otherwise but for the share that a constant eps has in the root.

        Raises: ValueError as for :meth:`to_torch`, for another rule, or a setting that the book
            does not have.
        """
        rule = super().from_torch(optimizer)
        for group in rule.param_groups:
            group["eps"] *= _correction(rule, group, group["beta2"])
        return rule

    @classmethod
    def _there(cls, group: Group) -> Group:
        there = super()._there(group)
        return there | {"betas": (there.pop("beta1"), there.pop("beta2"))}

    @classmethod
    def _back(cls, group: Group) -> Group:
        beta1, beta2 = group["betas"]
        return super()._back(group) | {"beta1": beta1, "beta2": beta2}


def _correction(optimizer: torch.optim.Optimizer, group: Group, beta2: float) -> float:
    r""":math:`\sqrt{1 - \beta_2^t}` of the next step of a group."""
    states = (optimizer.state.get(p) for p in group["params"])
    steps = {int(state["step"]) for state in states if state}
    if len(steps) > 1:
        raise ValueError(f"one eps does not fit parameters after {sorted(steps)} steps")
    return (1 - beta2 ** (max(steps, default=0) + 1)) ** 0.5
