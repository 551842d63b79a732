"""What the book's update rules share: memory under its letters, the way to torch's rules and back.

rule = Momentum(params)
twin = rule.to_torch()              # torch's SGD, goes on along the same path
rule = Momentum.from_torch(twin)    # and the book's again
"""

from typing import Any, Self

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from ..optim.optimizer import Group, Optimizer

DECAYS = ("decay_rate", "beta1", "beta2")  # how much a moving average keeps
OPTIONS = ("params", "weight_decay", "maximize", "foreach")  # of a group, in any rule


class Rule(Optimizer):
    """A rule of the book: a few hyper-parameters, and a memory that is 0 to begin with.

    It is a ``torch.optim.Optimizer`` like any other. What the book's rules do not have, a parameter
    group may still bring: ``weight_decay``, ``maximize``, ``foreach``, as in
    :class:`dlbook_torch.optim.Optimizer`.

    Raises: ValueError for a hyper-parameter outside its range.
    Source: notes 6.2.5.
    """

    TWIN: type[torch.optim.Optimizer]
    SETTINGS: dict[str, str] = {}  # hyper-parameters, and what torch calls them
    FIXED: dict[str, Any] = {}  # hyper-parameters that only torch has, as the book would set them
    MEMORY: dict[str, str] = {}  # what is remembered of a parameter, and what torch calls it

    def __init__(self, params: ParamsT, **settings: Any):
        for name in DECAYS:
            if name in settings and not 0 <= settings[name] < 1:
                raise ValueError(f"{name} must be in [0, 1), got {settings[name]}")
        super().__init__(params, maximize=False, **settings)

    def memory(self, w: Tensor, group: Group) -> dict[str, Tensor]:
        count = self.scalar(0.0, w, group)
        return {name: count if name == "step" else torch.zeros_like(w) for name in self.MEMORY}

    def unit(self, group: Group) -> Any:
        """What torch's memory is to be multiplied by to be the book's."""
        return 1

    def to_torch(self) -> torch.optim.Optimizer:
        """Torch's rule over the same parameters, with a copy of the memory.

        At a constant rate it goes on along the path that this rule would have taken. Its
        ``state_dict`` is the one for a checkpoint, or for the rule in :mod:`dlbook_torch.optim`.

        Raises: ValueError if the velocity has no counterpart, at a learning rate of 0.
        """
        groups = [self._there(group) for group in self.param_groups]
        twin = self.TWIN(groups, **self._there(self.defaults))
        for group in self.param_groups:
            for p in group["params"]:
                if state := self.state.get(p):
                    unit = self.unit(group)
                    if unit == 0:
                        raise ValueError(f"the velocity means nothing to torch at lr={group['lr']}")
                    twin.state[p] = {self.MEMORY[name]: t / unit for name, t in state.items()}
        return twin

    @classmethod
    def from_torch(cls, optimizer: torch.optim.Optimizer) -> Self:
        """The other way: from torch's rule, or the one of its name in :mod:`dlbook_torch.optim`.

        Raises: ValueError for another rule, or a setting that the book does not have.
        """
        cls._check(optimizer)
        foreign = optimizer.defaults.keys() - OPTIONS
        groups = [
            {k: v for k, v in group.items() if k not in foreign} | cls._back(group)
            for group in optimizer.param_groups
        ]
        rule = cls(groups, **cls._back(optimizer.defaults))
        for group in rule.param_groups:
            unit = rule.unit(group)
            for p in group["params"]:
                theirs = optimizer.state.get(p, {})
                memory = {k: theirs.get(name) for k, name in cls.MEMORY.items()}
                if None not in memory.values():
                    rule.state[p] = {k: t * unit for k, t in memory.items()}
        return rule

    @classmethod
    def _check(cls, optimizer: torch.optim.Optimizer) -> None:
        """Raises: ValueError for another rule, or a setting that the book does not have."""
        twin, kind = cls.TWIN.__name__, type(optimizer).__name__
        if kind != twin:
            raise ValueError(f"{cls.__name__} goes on from {twin}, got {kind}")
        for group in optimizer.param_groups:
            for name, value in cls.FIXED.items():
                if group.get(name, value) != value:
                    raise ValueError(f"the book's {cls.__name__} has no {name}={group[name]}")

    @classmethod
    def _there(cls, group: Group) -> Group:
        """Hyper-parameters as torch calls them."""
        return {cls.SETTINGS.get(name, name): value for name, value in group.items()} | cls.FIXED

    @classmethod
    def _back(cls, group: Group) -> Group:
        """Hyper-parameters as the book calls them, and none that it does not have."""
        return {name: group[theirs] for name, theirs in cls.SETTINGS.items()}
