"""Watch the layers of a network while it trains: outputs, gradients, updates, weights.

A layer is a module that owns a weight with at least two axes, together with the first activation
that follows it. :class:`Watch` hooks the layers of any network for as long as a forward pass takes
and adds up what it sees in a :class:`~dlbook_torch.diagnostics.stats.Record`.

Activations are recognised by the name of their class or of a base class, in ours, torch's or any
other library, and as functions of torch (``F.relu``, ``torch.tanh``, ``x.sigmoid()``). Not seen
are functions that are not torch's (those of ``dlbook_torch.nn.functional``), a ReLU written as
``clamp`` or ``maximum``, what happens inside a fused module (LSTM, MultiheadAttention), and
everything that ``torch.compile`` has compiled or TorchScript has scripted; of those the gradients,
updates and weights remain.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .layers import (
    ENDS,
    FUNCTIONS,
    OTHERS,
    RELU,
    activation_of,
    all_but_units,
    is_compiled,
    is_transposed,
    layers_of,
    visible,
    weight_of,
)
from .stats import Record, Seen, batchnorm_drift, peak, sample, similarity, some, zeros


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
        if self._functions is not False and not is_compiled(self.network):
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
        for name, module in visible(self.network):
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
            self.seen[name].count(fired=peak(y.detach(), axes) > 0)

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
        self._quick[module] = name, all_but_units(layer, y)

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
        axes = all_but_units(module, y)
        if activation in RELU:
            seen.count(fired=peak(y, axes) > 0)
            if self._full:
                seen.add(zero=zeros(y))
        elif activation in ENDS:
            low, high = ENDS[activation]
            at_end = y.clone().lt_(low).add_(y.clone().gt_(high))
            seen.count(stuck=peak(1 - at_end, axes) == 0)
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
            grads = list(map(some, given.values()))
            euclid, total = torch._foreach_norm(grads, 2), torch._foreach_norm(grads, 1)
            for name, g, norm, size in zip(given, grads, euclid, total, strict=True):
                spread = (given[name].numel() / g.numel()) ** 0.5
                self._seen(name).add(
                    gradient_norm=norm * (spread / scale),
                    gradient_mean=size / (g.numel() * scale),
                    gradient_zero=zeros(g),
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
                self._before[name] = some(w).clone()

    def after_update(self) -> None:
        """Measure ``|dW| / |W|`` since ``before_update``; 1 for weights that were all 0."""
        found = self._weights()
        old = {name: w for name, w in self._before.items() if name in found}
        self._before = {}
        if not old:
            return
        changes = torch._foreach_sub([some(found[name]) for name in old], list(old.values()))
        moved, size = torch._foreach_norm(changes), torch._foreach_norm(list(old.values()))
        for name, d, w in zip(old, moved, size, strict=True):
            if name in self._called or name in self.seen:
                self._seen(name).add(update_ratio=torch.where(w > 0, d / w, (d > 0).to(d.dtype)))

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
                units = w.transpose(0, 1) if is_transposed(module) else w
                self.seen[name].width = len(units)
                self.seen[name].add(weight_max=w.abs().max(), similarity=similarity(units))
        for name, seen in self.seen.items():
            if name == self._last:  # sure answers are no fault of the last layer
                seen.stuck = None
                seen.values.pop("saturated", None)
        order = [*self._called, *(name for name in self.seen if name not in self._called)]
        record = Record({n: self.seen[n] for n in order if n in self.seen}, self.samples)
        self.seen, self.samples = {}, 0
        self._layers = self._plan = self._quick = None
        return record.fetch()

    def state(self) -> dict[str, Any]:
        """What was seen since the last ``take``, for a checkpoint."""
        seen = Record(self.seen, self.samples).state()
        return {"seen": seen, "called": list(self._called), "last": self._last}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        record = Record.of(state["seen"])
        self.seen, self.samples = record.layers, record.samples
        self._called, self._last = dict.fromkeys(state["called"]), state["last"]


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


def _tensor(output: Any) -> Tensor | None:
    """The first tensor of real numbers in an output; None without one."""
    if isinstance(output, tuple | list):
        return next((y for y in map(_tensor, output) if y is not None), None)
    if not isinstance(output, Tensor) or output.layout != torch.strided or not output.dim():
        return None
    usable = output.is_floating_point() and output.numel()
    return output.detach() if usable else None
