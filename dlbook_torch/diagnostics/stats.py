"""Statistics of a network's layers while it trains: outputs, gradients, updates, weights.

A layer is a module that owns a weight with at least two axes, together with the first activation
that follows it. :class:`Watch` hooks the layers of any network for as long as a forward pass takes
and adds up what it sees; :class:`Seen` holds the result as plain values, which processes can
exchange and join.

Activations are recognised by the name of their class or of a base class, in ours, torch's or any
other library, and as functions of torch (``F.relu``, ``torch.tanh``, ``x.sigmoid()``). Not seen
are functions that are not torch's (those of ``dlbook_torch.nn.functional``), a ReLU written as
``clamp`` or ``maximum``, what happens inside a fused module (LSTM, MultiheadAttention), and
everything that ``torch.compile`` has compiled or TorchScript has scripted; of those the gradients,
updates and weights remain.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isnan, nan
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

RELU = {"relu", "relu6"}  # exactly 0 on one side: their units can die
ENDS = {"sigmoid": (0.01, 0.99), "tanh": (-0.99, 0.99)}  # beyond them a unit is saturated
OTHERS = "leakyrelu elu gelu silu softplus selu celu prelu mish hardtanh hardsigmoid hardswish"
ACTIVATIONS = {*RELU, *ENDS, *OTHERS.split()}
NORMS = ("norm",)  # in the name of a class: its scale is no weight of a layer
SEEN_AS: dict[str, list[Any]] = {
    "relu": [F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_],
    "relu6": [F.relu6],
    "sigmoid": [F.sigmoid, torch.sigmoid, torch.sigmoid_, Tensor.sigmoid, Tensor.sigmoid_],
    "tanh": [F.tanh, torch.tanh, torch.tanh_, Tensor.tanh, Tensor.tanh_],
    "leakyrelu": [F.leaky_relu],
    "elu": [F.elu],
    "gelu": [F.gelu],
    "silu": [F.silu],
    "softplus": [F.softplus],
}
FUNCTIONS = {function: name for name, functions in SEEN_AS.items() for function in functions}
PICTURED = 4096  # values of a layer that a histogram is drawn from
LARGE = 2**17  # numbers of a weight; of a larger one evenly spread units stand for all


def activation_of(module: nn.Module) -> str:
    """Name of the activation that a module is, such as ``"relu"``; "" if it is none."""
    names = (cls.__name__.lower() for cls in type(module).__mro__)
    return next((name for name in names if name in ACTIVATIONS), "")


def weight_of(module: nn.Module) -> Tensor | None:
    """The first parameter of a module's own with two axes or more; None if it is no layer."""
    kinds = [cls.__name__.lower() for cls in type(module).__mro__]
    if any(word in kind for word in NORMS for kind in kinds):
        return None
    own = list(module.parameters(recurse=False))
    for parametrized in getattr(module, "parametrizations", {}).values():
        own += parametrized.parameters(recurse=False)
    return next((p for p in own if nn.parameter.is_lazy(p) or p.dim() > 1), None)


def layers_of(network: nn.Module) -> dict[str, nn.Module]:
    """Every layer by its name, in the order in which they were made."""
    found = {}
    for name, module in network.named_modules():
        if ".parametrizations" not in f".{name}" and weight_of(module) is not None:
            found[name.replace("_orig_mod.", "")] = module
    return found


def similarity(weight: Tensor) -> Tensor:
    r"""Mean cosine between the weights of two units; NaN for a single unit.

    .. math:: \frac{|\sum_i u_i|^2 - \sum_i |u_i|^2}{n (n - 1)}, \qquad u_i = w_i / |w_i|

    Shape: ``(units, *)`` to a number.
    Source: notes 6.3: units that start alike stay alike.
    """
    u = nn.functional.normalize(weight.detach().flatten(1).float(), dim=1)
    n = len(u)
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


@dataclass
class Seen:
    """What was seen of one layer (or BatchNorm) so far.

    Args:
        activation: name of the activation that follows, "" without one.
        values: every measurement by the name of its statistic.
        fired: for each unit (channel) of a ReLU, whether it was ever above 0.
        stuck: for each unit of a sigmoid or tanh, whether it always sat at one of its ends.
    """

    activation: str = ""
    values: dict[str, list[Any]] = field(default_factory=dict)
    fired: Tensor | None = None
    stuck: Tensor | None = None

    def add(self, **values: Any) -> None:
        """Add a measurement of each statistic."""
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)

    def join(self, other: "Seen") -> None:
        """Add what was seen elsewhere."""
        self.activation = self.activation or other.activation
        for name, values in other.values.items():
            self.values.setdefault(name, []).extend(values)
        self.fired = _joined(self.fired, other.fired, torch.logical_or)
        self.stuck = _joined(self.stuck, other.stuck, torch.logical_and)

    @property
    def decided(self) -> bool:
        """No unit is dead or stuck so far: more samples will not change that."""
        fired, stuck = self.fired, self.stuck
        return (fired is None or bool(fired.all())) and not (stuck is not None and stuck.any())


def _joined(a: Tensor | None, b: Tensor | None, how: Callable[..., Tensor]) -> Tensor | None:
    if a is None or b is None or a.shape != b.shape:
        return a if b is None else b
    return how(a, b)


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

    def units(self) -> "Record":
        """Return what is known of single units alone."""
        kept = {n: Seen(s.activation, {}, s.fired, s.stuck) for n, s in self.layers.items()}
        return Record(kept, self.samples)

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
    known = [value for value in values if not isnan(value)] or [nan]
    return sum(known) / len(known) if len(known) == len(values) else nan


def _share(units: Tensor) -> float:
    return units.float().mean().item()


class Watch:
    """Look at the layers of a network, one forward and backward pass at a time.

    ``start`` and ``stop`` enclose a forward pass; ``gradients``, ``before_update`` and
    ``after_update`` belong to the step that follows it; ``take`` returns what was seen since the
    last ``take``. Nothing stays hooked in between, and nothing waits for a GPU before ``take``.
    Activations that are functions are looked for in the first pass, and later if there were any.

    Args:
        network: any module; its layers may change between two passes.
    """

    def __init__(self, network: nn.Module):
        self.network = network
        self.seen: dict[str, Seen] = {}
        self.samples = 0
        self.outputs: dict[str, Tensor] = {}
        self._layers: dict[str, nn.Module] | None = None
        self._plan: list[tuple[nn.Module, Callable[..., None]]] | None = None
        self._quick: dict[nn.Module, tuple[str, list[int]]] | None = None
        self._handles: list[Any] = []
        self._mode: _Functions | None = None
        self._called: dict[str, None] = {}
        self._before: dict[str, Tensor] = {}
        self._full = self._keep = self._counted = False
        self._open: tuple[str, nn.Module, Tensor] | None = None
        self._functions: bool | None = None  # activations are functions; None: not known yet
        self._answered: tuple[str, nn.Module] | None = None  # whose activation was seen last
        self._last = ""

    @property
    def layers(self) -> dict[str, nn.Module]:
        """The layers by name, looked up anew after every ``take``."""
        if self._layers is None:
            self._layers = layers_of(self.network)
        return self._layers

    # the forward pass

    def start(self, full: bool = True, keep: bool = False) -> bool:
        """Hook the layers; return whether there is anything to see.

        Args:
            full: measure everything; False only counts units, which is cheaper.
            keep: keep some outputs of each layer in ``outputs``.
        """
        self.stop()
        self._full, self._keep, self._counted = full, keep, False
        if not full and self._quick is not None and not self._functions:
            self._quick = {m: x for m, x in self._quick.items() if not self._decided(x[0])}
            self._handles = [
                module.register_forward_hook(self._quick_hook(*layer))
                for module, layer in self._quick.items()
            ]
            return bool(self._handles)
        if not full and self.seen and all(map(self._decided, self.seen)):
            return False
        if self._plan is None:
            self._plan = list(self._hooks())
        self._quick = {}
        self._handles = [module.register_forward_hook(hook) for module, hook in self._plan]
        if self._functions is not False and not _compiled(self.network):
            self._mode = _Functions(self)
            self._mode.__enter__()
        return True

    def _decided(self, name: str) -> bool:
        """More samples will say nothing new about a layer's units; a GPU is not asked."""
        seen = self.seen[name]
        waits = any(x is not None and x.device.type != "cpu" for x in (seen.fired, seen.stuck))
        return not waits and seen.decided

    def _hooks(self) -> Iterator[tuple[nn.Module, Callable[..., None]]]:
        """Every module of interest and its hook."""
        names = {id(module): name for name, module in self.layers.items()}
        for name, module in _visible(self.network):
            if id(module) in names:
                yield module, self._layer_hook(names[id(module)])
            elif activation := activation_of(module):
                yield module, self._activation_hook(activation)
            elif getattr(module, "running_mean", None) is not None:
                yield module, self._norm_hook(name)

    def stop(self) -> None:
        """Take the hooks away; may be called at any time."""
        if not self._handles and self._mode is None:
            return
        if self._mode is not None:
            self._mode.__exit__(None, None, None)
            if self._counted:
                self._functions = self._mode.calls > 0
            self._mode = None
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._close_layer()

    def _layer_hook(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            self._close_layer()
            y = _tensor(output)
            if y is None:
                return
            self._called.setdefault(name)
            if not self._counted:
                x = _tensor(args) if args else None
                self.samples += len(y if x is None else x)
                self._counted = True
            self._last, self._open = name, (name, module, y)
            self.seen.setdefault(name, Seen())

        return hook

    def _norm_hook(self, name: str) -> Callable[..., None]:
        def hook(module: Any, args: tuple[Any, ...], output: Any) -> None:
            x = _tensor(args)
            if self._open and isinstance(output, Tensor):
                self._open = (*self._open[:2], output)
            if self._full and module.training and x is not None and x.dim() > 1:
                drift = batchnorm_drift(x, module.running_mean, module.running_var)
                seen = self.seen.setdefault(name, Seen())
                seen.add(mean_drift=drift[0], variance_drift=drift[1])

        return hook

    def _quick_hook(self, name: str, axes: list[int]) -> Callable[..., None]:
        """For a ReLU that follows one layer only: note which units fire."""

        def hook(module: nn.Module, args: tuple[Any, ...], y: Tensor) -> None:
            if not self._counted:
                self.samples += len(y)
                self._counted = True
            seen = self.seen[name]
            seen.fired = _joined(seen.fired, _peak(y.detach(), axes) > 0, torch.logical_or)

        return hook

    def _activation_hook(self, activation: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if self._mode is None or not self._mode.was_module(output):
                self.activation(activation, output)
            self._remember(module, activation, output)

        return hook

    def _remember(self, module: nn.Module, activation: str, output: Any) -> None:
        """Learn which ReLU follows which layer; where that is not all there is, unlearn it."""
        if self._quick is None or self._answered is None or activation in OTHERS.split():
            return
        y = _tensor(output)
        if activation in ENDS or y is None or y.dim() < 2 or module in self._quick:
            self._quick = None
            return
        name, layer = self._answered
        self._quick[module] = name, _all_but_units(layer, y)

    @torch.no_grad()
    def activation(self, activation: str, output: Any) -> None:
        """Take the output of an activation as that of the layer before it."""
        y, self._answered = _tensor(output), None
        if self._open is None or y is None:
            return
        (name, module, _), self._open = self._open, None
        self._answered = name, module
        seen = self.seen[name]
        seen.activation = activation
        axes = _all_but_units(module, y)
        if activation in RELU:
            fired = _peak(y, axes) > 0
            seen.fired = _joined(seen.fired, fired, torch.logical_or)
            if self._full:
                seen.add(zero=_zeros(y))
        elif activation in ENDS:
            low, high = ENDS[activation]
            at_end = y.clone().lt_(low).add_(y.clone().gt_(high))
            always = _peak(1 - at_end, axes) == 0
            seen.stuck = _joined(seen.stuck, always, torch.logical_and)
            if self._full:
                seen.add(saturated=at_end.float().mean())
        self._measure(seen, name, y)

    def _close_layer(self) -> None:
        """No activation has followed the last layer."""
        if self._open is not None:
            (name, _, y), self._open = self._open, None
            self._measure(self.seen[name], name, y)

    @torch.no_grad()
    def _measure(self, seen: Seen, name: str, y: Tensor) -> None:
        if self._full and y.numel() > 1:
            seen.add(activation_std=y.float().std())
        if self._keep:
            self.outputs[name] = sample(y)

    # the step

    def gradients(self, scale: float = 1.0, among: Iterable[Tensor] | None = None) -> bool:
        """Measure the gradients as they are now, after backward; return whether there were any.

        Args:
            scale: what they are multiplied by, such as a GradScaler's scale.
            among: only those of these parameters; default: all that ask for a gradient.
        """
        found = self._weights(among)
        given = {name: w.grad.detach() for name, w in found.items() if w.grad is not None}
        given = {name: g for name, g in given.items() if not g.is_sparse}
        if given:
            grads = list(map(_some, given.values()))
            euclid, total = torch._foreach_norm(grads, 2), torch._foreach_norm(grads, 1)
            for name, g, norm, size in zip(given, grads, euclid, total, strict=True):
                spread = (given[name].numel() / g.numel()) ** 0.5
                self._seen(name).add(
                    gradient_norm=norm * (spread / scale),
                    gradient_mean=size / (g.numel() * scale),
                    gradient_zero=_zeros(g),
                )
        for name in found.keys() - given.keys():
            if name in self._called and found[name].grad is None:
                self._seen(name).add(gradient_norm=0.0, gradient_mean=0.0, gradient_zero=1.0)
        return bool(given)

    def finite_gradients(self) -> bool:
        """All gradients of layers are finite numbers; waits for a GPU."""
        grads = [w.grad for w in self._weights().values() if w.grad is not None]
        norms = torch._foreach_norm([g for g in grads if not g.is_sparse])
        return all(torch.isfinite(torch.stack(norms)).tolist()) if norms else True

    def before_update(self, among: Iterable[Tensor] | None = None) -> None:
        """Remember the weights."""
        for name, w in self._weights(among).items():
            if name not in self._before:
                self._before[name] = _some(w).clone()

    def after_update(self) -> None:
        """Measure ``|dW| / |W|`` since ``before_update``; 1 for weights that were all 0."""
        found = self._weights()
        old = {name: w for name, w in self._before.items() if name in found}
        self._before = {}
        if not old:
            return
        changes = torch._foreach_sub([_some(found[name]) for name in old], list(old.values()))
        moved, size = torch._foreach_norm(changes), torch._foreach_norm(list(old.values()))
        for name, d, w in zip(old, moved, size, strict=True):
            if name in self._called or name in self.seen:
                self._seen(name).add(update_ratio=torch.where(w > 0, d / w, (d > 0).to(d.dtype)))

    def forget_step(self) -> None:
        """Leave out the step that is being measured."""
        self._before = {}

    def _weights(self, among: Iterable[Tensor] | None = None) -> dict[str, Tensor]:
        """Weights that ask for a gradient."""
        wanted = None if among is None else set(map(id, among))
        found = {name: weight_of(module) for name, module in self.layers.items()}
        return {
            name: w
            for name, w in found.items()
            if w is not None
            and w.requires_grad
            and not nn.parameter.is_lazy(w)
            and w.numel()
            and (wanted is None or id(w) in wanted)
        }

    def _seen(self, name: str) -> Seen:
        return self.seen.setdefault(name, Seen())

    # the result

    @torch.no_grad()
    def take(self) -> Record:
        """Measure the weights, return everything seen since the last call, and start anew."""
        for name, module in self.layers.items():
            w = weight_of(module)
            if name in self.seen and w is not None and w.numel():
                units = w.transpose(0, 1) if _transposed(module) else w
                self.seen[name].add(weight_max=w.abs().max(), similarity=similarity(units))
        for name, seen in self.seen.items():
            if name == self._last:  # sure answers are no fault of the last layer
                seen.stuck = None
                seen.values.pop("saturated", None)
        order = [*self._called, *(name for name in self.seen if name not in self._called)]
        record = Record({n: self.seen[n] for n in order if n in self.seen}, self.samples)
        _to_cpu(record.layers)
        self.seen, self.samples = {}, 0
        self._layers = self._plan = self._quick = None
        return record


class _Functions(TorchFunctionMode):
    """Show the outputs of activations that are functions."""

    def __init__(self, watch: Watch):
        super().__init__()
        self.watch, self.last, self.calls = watch, None, 0

    def was_module(self, output: Any) -> bool:
        """A module's hook has shown the same output: torch's modules call functions."""
        self.calls -= output is self.last
        return output is self.last

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        y = func(*args, **(kwargs or {}))
        if activation := FUNCTIONS.get(func):
            self.last, self.calls = y, self.calls + 1
            self.watch.activation(activation, y)
        return y


def sample(x: Tensor) -> Tensor:
    """Some of a tensor's values, evenly spread; never more than ``PICTURED``."""
    flat = x.detach().flatten()
    return flat[:: -(-len(flat) // PICTURED) or 1].float().clone()


def _visible(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules whose hooks are called: not what is compiled or scripted."""
    for name, module in network.named_modules():
        compiled = type(module).__name__ == "OptimizedModule" or "_orig_mod" in name
        if not (compiled or isinstance(module, torch.jit.ScriptModule)):
            yield name, module


def _compiled(network: nn.Module) -> bool:
    """Something in it is compiled, and a mode around it would compile it anew."""
    return any(
        type(m).__name__ == "OptimizedModule" or getattr(m, "_compiled_call_impl", None)
        for m in network.modules()
    )


def _some(weight: Tensor) -> Tensor:
    """A weight, or evenly spread units of a large one."""
    return weight.detach()[:: -(-weight.numel() // LARGE)]


def _zeros(x: Tensor) -> Tensor:
    """Share of exact zeros; comparing into truth values takes far longer on a CPU."""
    return x.clone().eq_(0).float().mean()


def _peak(y: Tensor, axes: list[int]) -> Tensor:
    """Largest output of each unit; over the samples first, which is far quicker on a CPU."""
    if not axes:
        return y
    first, *others = axes
    peak = y.amax(first)
    return peak.amax([axis - (axis > first) for axis in others]) if others else peak


def _tensor(output: Any) -> Tensor | None:
    """The first tensor of real numbers in an output; None without one."""
    if isinstance(output, tuple | list):
        return next((y for y in map(_tensor, output) if y is not None), None)
    if not isinstance(output, Tensor) or output.layout != torch.strided or not output.dim():
        return None
    usable = output.is_floating_point() and output.numel()
    return output.detach() if usable else None


def _all_but_units(module: nn.Module, y: Tensor) -> list[int]:
    """The axes of an output that are not its units or channels."""
    kernel = getattr(module, "kernel_size", None)
    unit = y.dim() - 1
    if kernel is not None and y.dim() > 2:  # a convolution; unbatched images have one axis less
        unit = 0 if isinstance(kernel, tuple) and y.dim() == len(kernel) + 1 else 1
    return [axis for axis in range(y.dim()) if axis != unit]


def _transposed(module: nn.Module) -> bool:
    """The weight's second axis are the units."""
    return bool(getattr(module, "transposed", False))


def _to_cpu(layers: Mapping[str, Seen]) -> None:
    """Fetch every measurement, in one transfer for each device."""
    places = [
        (values, i, value)
        for seen in layers.values()
        for values in seen.values.values()
        for i, value in enumerate(values)
        if isinstance(value, Tensor)
    ]
    for device in {value.device for *_, value in places}:
        here = [place for place in places if place[2].device == device]
        numbers = torch.stack([value.detach().double() for *_, value in here]).tolist()
        for (values, i, _), number in zip(here, numbers, strict=True):
            values[i] = number
    for seen in layers.values():
        seen.fired = None if seen.fired is None else seen.fired.cpu()
        seen.stuck = None if seen.stuck is None else seen.stuck.cpu()
