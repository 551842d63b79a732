"""The checks: each takes a case, compares ours with torch's, and raises AssertionError.

Those that compare numbers return the largest differences that they saw.
"""

from collections.abc import Callable, Iterator
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from .. import nn, optim
from .cases import Case, Rule

Errors = dict[str, float]

# What a handwritten layer or rule may be made of, forward and backward. Nothing else: no kernel
# that computes a layer or a step, whether its own twin's or another's.
_ELEMENTARY = {
    "arithmetic": "add add_ addcmul sub sub_ rsub mul mul_ div div_ neg neg_ abs abs_ sign "
    "remainder lerp_ reciprocal reciprocal_",
    "rounding": "floor floor_divide",
    "powers, roots, logarithms": "exp exp_ expm1 log log_ log1p log1p_ erf erf_ pow_ sqrt_ "
    "rsqrt rsqrt_",
    "comparison and choice": "eq gt ge lt le ne bitwise_and bitwise_or bitwise_not clamp clamp_ "
    "maximum minimum where isnan copysign",
    "reduction": "all sum mean amax",
    "matrix products": "mm bmm baddbmm mv",
    "indexing": "index_select index_add gather scatter scatter_add masked_fill",
    "views": "view _unsafe_view expand permute transpose unsqueeze squeeze squeeze_ slice select "
    "split detach alias",
    "copies and constants": "clone copy_ _to_copy cat empty_like ones_like arange scalar_tensor "
    "zeros new_empty new_empty_strided new_full new_ones new_zeros zero_ zeros_like "
    "_local_scalar_dense",
    "random draws": "bernoulli_",
    "profiling marks": "_record_function_enter_new _record_function_exit",
}
ELEMENTARY = {name for names in _ELEMENTARY.values() for name in names.split()}


def output(y: Any) -> Tensor:
    """What the gradient enters by: a layer's output, without the indices beside it."""
    return y[0] if isinstance(y, tuple) else y


def run(layer: torch.nn.Module, inputs: tuple[Any, ...]) -> Any:
    """Call a layer at a fixed point of the random sequence."""
    torch.manual_seed(1)
    return layer(*inputs)


def largest(ours: Any, ref: Any, what: str) -> float:
    """The largest absolute difference of two tensors, which have to be close."""
    assert_close(ours, ref, equal_nan=True, msg=lambda m: f"{what}: {m}")
    return (ours.double() - ref.double()).abs().max().item() if ours.numel() else 0.0


def twin_of(argument: Any) -> Any:
    """A copy of a tensor that gathers a gradient of its own; anything else as it is."""
    if not isinstance(argument, Tensor):
        return argument
    return argument.detach().clone().requires_grad_(argument.requires_grad)


def compare(
    case: Case,
    training: bool = True,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
) -> Errors:
    """Same input, same gradient: same output, same gradients, same buffers afterwards."""
    ours, ref = (m.train(training) for m in case.twins(dtype, device))
    a = case.inputs(dtype, device)
    copies = {id(t): twin_of(t) for t in a}  # what is one tensor here is one tensor there
    b = tuple(copies[id(t)] for t in a)
    y, y_ref = run(ours, a), run(ref, b)
    errors = {"output": largest(output(y), output(y_ref), "output")}
    if isinstance(y, tuple):
        assert_close(y[1], y_ref[1], equal_nan=True, msg=lambda m: f"second output: {m}")
    dy = torch.randn_like(output(y_ref))
    for result in (y, y_ref):
        output(result).backward(dy)
    tensors = (pair for pair in zip(a, b, strict=True) if isinstance(pair[0], Tensor))
    pairs = [(f"input {i}", s, t) for i, (s, t) in enumerate(tensors)]
    params = zip(ours.named_parameters(), ref.parameters(), strict=True)
    pairs += [(name, p, q) for (name, p), q in params]
    gradients = [largest(s.grad, t.grad, f"{n}.grad") for n, s, t in pairs if t.requires_grad]
    buffers = zip(ours.named_buffers(), ref.buffers(), strict=True)
    return errors | {
        "gradient": max(gradients),
        "buffers": max((largest(s, t, name) for (name, s), t in buffers), default=0.0),
    }


def _as_function(case: Case, training: bool) -> tuple[Callable[..., Tensor], tuple[Any, ...]]:
    """Our layer as a function of its inputs and parameters, without a memory."""
    ours = case.twins()[0].train(training)
    inputs, params = case.inputs(), dict(ours.named_parameters())

    def function(*args: Tensor) -> Tensor:
        state = dict(zip(params, args[len(inputs) :], strict=True))
        state |= {name: buffer.clone() for name, buffer in ours.named_buffers()}
        torch.manual_seed(1)
        return output(torch.func.functional_call(ours, state, args[: len(inputs)]))

    return function, (*inputs, *params.values())


def _empty(args: tuple[Any, ...]) -> bool:
    return any(isinstance(t, Tensor) and not t.numel() for t in args)


def first_derivative(case: Case, training: bool = True) -> None:
    """The backward is the derivative of the forward, by central differences."""
    function, args = _as_function(case, training)
    if not _empty(args):
        assert gradcheck(function, args, fast_mode=True)


def second_derivative(case: Case, training: bool = True) -> None:
    """The derivative of the backward is right too, by central differences."""
    function, args = _as_function(case, training)
    if not _empty(args):
        assert gradgradcheck(function, args, fast_mode=True)


def exchange(case: Case) -> None:
    """Each twin loads what the other saved, strictly, and they print alike."""
    ours, ref = case.twins()
    assert list(ours.state_dict()) == list(ref.state_dict())
    _, other = case.twins()
    ours.load_state_dict(other.state_dict())
    assert_close(ours.state_dict(), other.state_dict(), rtol=0, atol=0)
    if "bias" in signature(torch.nn.BatchNorm2d).parameters or "Norm" not in case.name:
        # torch before 2.14 prints no bias=; attention's last layer has a name of its own in torch
        assert repr(ours) == repr(ref).replace("NonDynamicallyQuantizableLinear", "Linear")


def same_start(case: Case) -> None:
    """The same seed makes the same first parameters, bit by bit, and leaves the same next draw."""

    def build(library: Any) -> tuple[dict[str, Tensor], Tensor]:
        torch.manual_seed(0)
        return case.build(library).state_dict(), torch.rand(3)

    assert_close(build(nn), build(torch.nn), rtol=0, atol=0)


class Recorder(TorchDispatchMode):
    """Collect the names of the aten operations that run inside the ``with`` block."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def operations(layer: torch.nn.Module, inputs: tuple[Any, ...]) -> set[str]:
    """What a layer asks of torch, forward and backward."""
    with Recorder() as recorder:
        y = output(run(layer, inputs))
        y.backward(torch.ones_like(y))
    return recorder.names


def handwritten(case: Case, training: bool = True) -> None:
    """Forward and backward are made of elementary operations only."""
    ours = case.twins()[0].train(training)
    foreign = operations(ours, case.inputs()) - ELEMENTARY
    assert not foreign, f"{case.name} calls {', '.join(sorted(foreign))}"


def same_signature(name: str, ours: Any = nn, ref: Any = torch.nn) -> None:
    """Every argument of torch's, in its place and with its default."""
    mine, theirs = (
        {k: p for k, p in signature(getattr(m, name).__init__).parameters.items() if k != "self"}
        for m in (ours, ref)
    )
    variadic = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    theirs = {k: p for k, p in theirs.items() if p.kind not in variadic}
    mine = {k: p for k, p in mine.items() if p.kind not in variadic}
    for key, p in theirs.items():
        assert key in mine, f"{name} has no argument {key}"
        assert (mine[key].default, mine[key].kind) == (p.default, p.kind), f"{name}({key})"
    positional = [k for k, p in mine.items() if p.kind is not Parameter.KEYWORD_ONLY]
    assert positional == [k for k, p in theirs.items() if p.kind is not Parameter.KEYWORD_ONLY]


def push(steps: int, *pairs: tuple[list[Tensor], torch.optim.Optimizer]) -> Iterator[int]:
    """Step every optimizer with the same random gradients."""
    for step in range(steps):
        gradients = [torch.randn_like(p) for p in pairs[0][0]]
        for params, rule in pairs:
            for p, g in zip(params, gradients, strict=True):
                p.grad = g.clone()
            rule.step()
        yield step


def trajectory(
    rule: Rule, dtype: torch.dtype = torch.float64, device: str = "cpu", steps: int = 25
) -> Errors:
    """The same gradients move the parameters the same way, step after step."""
    ours, ref = rule.build(optim, dtype, device), rule.build(torch.optim, dtype, device)
    errors = [
        largest(p, q, f"step {step}")
        for step in push(steps, ours, ref)
        for p, q in zip(ours[0], ref[0], strict=True)
    ]
    return {"trajectory": max(errors)}


def handover(rule: Rule, there: Any = torch.optim, back: Any = optim) -> None:
    """The state of one twin, loaded by the other in mid-run, carries on along the same path."""
    first, witness = rule.build(there), rule.build(there)
    list(push(5, first, witness))
    second = rule.build(back)
    with torch.no_grad():
        for p, q in zip(second[0], first[0], strict=True):
            p.copy_(q)
    second[1].load_state_dict(first[1].state_dict())
    list(push(5, second, witness))
    assert_close(second[0], witness[0])
    ours, theirs = second[1].state_dict(), witness[1].state_dict()
    assert [set(g) for g in ours["param_groups"]] == [set(g) for g in theirs["param_groups"]]
    assert {i: set(s) for i, s in ours["state"].items()} == {
        i: set(s) for i, s in theirs["state"].items()
    }


def handwritten_rule(rule: Rule) -> None:
    """A step is made of elementary operations only: torch's functional forms are not called."""
    ours = rule.build(optim)
    list(push(1, ours))
    with Recorder() as recorder:
        ours[1].step()
    foreign = recorder.names - ELEMENTARY
    assert not foreign, f"{rule.name} calls {', '.join(sorted(foreign))}"
