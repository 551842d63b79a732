"""Measures of a network's layers, and records of them that processes can exchange and join."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from math import nan
from typing import Any

import torch
from torch import Tensor, nn

PICTURED = 4096  # values of a layer that a histogram is drawn from
LARGE = 2**17  # numbers of a weight; of a larger one evenly spread units stand for all


def similarity(weight: Tensor) -> Tensor:
    r"""Mean cosine between the weights of two units; NaN for a single unit, or a single weight.

    .. math:: \frac{|\sum_i u_i|^2 - \sum_i |u_i|^2}{n (n - 1)}, \qquad u_i = w_i / |w_i|

    Shape: ``(units, *)`` to a number.
    Source: notes 6.3: units that start alike stay alike.
    """
    u = nn.functional.normalize(weight.detach().flatten(1).float(), dim=1)
    n = len(u)
    if u.shape[1] < 2:  # of one weight only the sign is left
        return u.new_tensor(nan)
    return (u.sum(0).square().sum() - u.square().sum()) / (n * (n - 1) or nan)


def batchnorm_drift(x: Tensor, mean: Tensor, var: Tensor) -> tuple[Tensor, Tensor]:
    r"""How far running statistics are from those of a batch, averaged over the channels.

    .. math:: \frac{|\mu_{run} - \mu|}{\sigma}, \qquad
              \left|\ln \frac{\sigma^2_{run}}{\sigma^2}\right|

    Shape: ``(N, C, *)``, ``(C)``, ``(C)`` to two numbers.
    Source: notes 6.4: prediction uses the running ones.
    """
    x = x.detach().float().transpose(0, 1).flatten(1)
    m = x.mean(1)
    v = (x - m[:, None]).square_().mean(1).clamp_(min=1e-12)
    return ((mean - m).abs() / v.sqrt()).mean(), (var.clamp(min=1e-12) / v).log().abs().mean()


def zeros(x: Tensor) -> Tensor:
    """Share of exact zeros; comparing into truth values takes far longer on a CPU."""
    return x.clone().eq_(0).float().mean()


def peak(y: Tensor, axes: list[int]) -> Tensor:
    """Largest output of each unit; over the samples first, which is far quicker on a CPU."""
    if not axes:
        return y
    first, *others = axes
    y = y.amax(first)
    return y.amax([axis - (axis > first) for axis in others]) if others else y


def sample(x: Tensor) -> Tensor:
    """Some of a tensor's values, evenly spread; never more than ``PICTURED``."""
    flat = x.detach().flatten()
    return flat[:: -(-len(flat) // PICTURED) or 1].float().clone()


def some(weight: Tensor) -> Tensor:
    """A weight, or evenly spread units of a large one."""
    return weight.detach()[:: -(-weight.numel() // LARGE)]


@dataclass
class Seen:
    """What was seen of one layer (or BatchNorm) so far.

    Args:
        activation: name of the activation that follows, "" without one.
        values: every measurement by the name of its statistic.
        fired: for each unit (channel) of a ReLU, whether it was ever above 0.
        stuck: for each unit of a sigmoid or tanh, whether it always sat at one of its ends.
        width: how many units it has.
    """

    activation: str = ""
    values: dict[str, list[Any]] = field(default_factory=dict)
    fired: Tensor | None = None
    stuck: Tensor | None = None
    width: int | None = None

    def add(self, **values: Any) -> None:
        """Add a measurement of each statistic."""
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)

    def join(self, other: "Seen") -> None:
        """Add what was seen elsewhere."""
        self.activation = self.activation or other.activation
        for name, values in other.values.items():
            self.values.setdefault(name, []).extend(values)
        self.width = self.width or other.width
        self.count(other.fired, other.stuck)

    def count(self, fired: Tensor | None = None, stuck: Tensor | None = None) -> None:
        """Add which units fired elsewhere, and which were stuck all along."""
        self.fired = _joined(self.fired, fired, torch.logical_or)
        self.stuck = _joined(self.stuck, stuck, torch.logical_and)

    @property
    def decided(self) -> bool:
        """No unit is dead or stuck so far: more samples will not change that."""
        fired, stuck = self.fired, self.stuck
        return (fired is None or bool(fired.all())) and not (stuck is not None and stuck.any())


def _joined(a: Tensor | None, b: Tensor | None, how: Callable[..., Tensor]) -> Tensor | None:
    if a is None or b is None or a.shape != b.shape:
        return a if b is None else b
    return how(a.to(b.device), b)  # a may come from a checkpoint


@dataclass
class Record:
    """What was seen of all layers, as plain values and tensors on the CPU.

    Args:
        layers: what was seen of each, in forward order.
        samples: how many samples passed by.
    """

    layers: dict[str, Seen] = field(default_factory=dict)
    samples: int = 0

    def join(self, other: "Record") -> "Record":
        """Add another one, seen by another process or before; return self."""
        for name, seen in other.layers.items():
            self.layers.setdefault(name, Seen()).join(seen)
        self.samples += other.samples
        return self

    @property
    def decided(self) -> bool:
        """More samples would say nothing new about single units."""
        return all(seen.decided for seen in self.layers.values())

    def fetch(self) -> "Record":
        """Bring every measurement to the CPU, in one transfer for each device; return self."""
        places = [
            (values, i, value)
            for seen in self.layers.values()
            for values in seen.values.values()
            for i, value in enumerate(values)
            if isinstance(value, Tensor)
        ]
        for device in {value.device for *_, value in places}:
            here = [place for place in places if place[2].device == device]
            wide = reduce(torch.promote_types, (value.dtype for *_, value in here), torch.float32)
            numbers = torch.stack([value.detach().to(wide) for *_, value in here]).tolist()
            for (values, i, _), number in zip(here, numbers, strict=True):
                values[i] = number
        for seen in self.layers.values():
            seen.fired = None if seen.fired is None else seen.fired.cpu()
            seen.stuck = None if seen.stuck is None else seen.stuck.cpu()
        return self

    def units(self) -> "Record":
        """Return what is known of single units alone."""
        kept = {
            n: Seen(s.activation, {}, s.fired, s.stuck, s.width) for n, s in self.layers.items()
        }
        return Record(kept, self.samples)

    def state(self) -> dict[str, Any]:
        """Everything as plain values and tensors, for a checkpoint."""
        layers = {name: vars(seen) for name, seen in self.fetch().layers.items()}
        return {"layers": layers, "samples": self.samples}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "Record":
        """The record that ``state`` was made from."""
        return cls({n: Seen(**seen) for n, seen in state["layers"].items()}, state["samples"])

    def statistics(self, units: bool = True) -> dict[str, dict[str, float]]:
        """Return ``{statistic: {layer: value}}``: means, and shares of units if ``units``."""
        table: dict[str, dict[str, float]] = {}
        for name, seen in self.layers.items():
            for statistic, values in seen.values.items():
                table.setdefault(statistic, {})[name] = _mean(values)
            if units and seen.fired is not None:
                table.setdefault("dead", {})[name] = 1 - _share(seen.fired)
            if units and seen.stuck is not None:
                table.setdefault("saturated_units", {})[name] = _share(seen.stuck)
        return table


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else nan


def _share(units: Tensor) -> float:
    return units.float().mean().item()
