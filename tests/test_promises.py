"""Every promise can be broken: one mistake in a layer or a rule turns the check of that name red.

The mistakes are planted in subclasses, which take the places of the right ones for one test.
"""

import warnings

import pytest
import torch
from torch.autograd import Function

from dlbook_torch import nn, optim
from dlbook_torch.parity import checks, promises
from dlbook_torch.parity.cases import CASES, REFUSED, RULES, Refused


class Doubled(Function):
    """The identity, whose gradient is twice too large."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, y):
        pass

    @staticmethod
    def backward(ctx, dy):
        return 2 * dy


class Forgetful(Doubled):
    """x times x, whose second derivative is lost."""

    @staticmethod
    def forward(x):
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, y):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, dy):
        return dy * 2 * ctx.saved_tensors[0].detach()


class Greedy(Doubled):
    """The identity, whose backward works in the gradient that it is given."""

    @staticmethod
    def backward(ctx, dy):
        return dy.mul_(1)


class Gradient(nn.ReLU):
    def forward(self, x):
        return Doubled.apply(super().forward(x))


class SecondGradient(nn.ReLU):
    def forward(self, x):
        return super().forward(x) + Forgetful.apply(x) - (x * x)


class WritesGradient(nn.ReLU):
    def forward(self, x):
        return Greedy.apply(super().forward(x))


class WritesInput(nn.ReLU):
    def forward(self, x):
        return super().forward(x.detach().add_(0)) + 0 * x


class WritesInputUnseen(nn.ReLU):
    def forward(self, x):
        y = super().forward(x)
        x.data.mul_(2)
        return y


class Sloppy(nn.Linear):
    def forward(self, x):
        return super().forward(x) + 64 - 64


class OnlyInTraining(nn.Dropout):
    def forward(self, x):
        return super().forward(x) if self.training else x * (1 - self.p)


class DeafToAutocast(nn.Linear):
    def forward(self, x):
        with torch.autocast("cpu", enabled=False):
            return super().forward(x)


class BelievesInRows(nn.ReLU):
    def forward(self, x):
        return super().forward(x.as_strided(x.shape, torch.empty(x.shape).stride()))


class ChannelsFirst(nn.ReLU):
    def forward(self, x):
        return super().forward(x).contiguous()


class View(Doubled):
    """The identity, as a view made inside: autograd lets nobody write into it."""

    @staticmethod
    def forward(x):
        return x.clone()[:]

    @staticmethod
    def backward(ctx, dy):
        return dy.clone()


class HandsOutAView(nn.Linear):
    def forward(self, x):
        return View.apply(super().forward(x))


class Borrows(nn.Linear):
    def forward(self, x):
        return torch.nn.functional.linear(x, self.weight, self.bias)


class BorrowsKernel(nn.Sigmoid):
    def forward(self, x):
        return torch.special.expit(x)


class BorrowsInHalf(nn.Sigmoid):
    def forward(self, x):
        return x.sigmoid() if x.dtype == torch.bfloat16 else super().forward(x)


class CannotBePickled(nn.Linear):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.hook = lambda x: x


class OtherKeys(nn.Linear):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.register_buffer("count", torch.zeros(()))


class DrawsOnceMore(nn.Linear):
    def reset_parameters(self):
        super().reset_parameters()
        torch.rand(1)


class LooksAtValues(nn.ReLU):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else super().forward(x) * 1


class DeafToType(nn.Linear):
    def __init__(self, in_features, out_features, bias=True, device=None, dtype=None):
        super().__init__(in_features, out_features, bias, device)


class OtherDefault(nn.Linear):
    def __init__(self, in_features, out_features, bias=False, device=None, dtype=None):
        super().__init__(in_features, out_features, bias, device, dtype)


class KeepsItsFirstWeight(nn.Linear):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.first = [self.weight]

    def forward(self, x):
        return nn.functional.linear(x, self.first[0], self.bias)


class Shy(nn.ReLU):
    def forward(self, x):
        raise ValueError("not today")


BROKEN = [
    ("float64-train", Gradient),
    ("float64-train", WritesGradient),
    ("float64-train", WritesInput),
    ("float64-train", WritesInputUnseen),
    ("float64-train", Shy),
    ("float64-eval", OnlyInTraining),
    ("float32-train", Gradient),
    ("float32-eval", OnlyInTraining),
    ("bfloat16-train", Sloppy),
    ("bfloat16-eval", OnlyInTraining),
    ("float16-train", Sloppy),
    ("float16-eval", OnlyInTraining),
    ("autocast-train", DeafToAutocast),
    ("autocast-eval", OnlyInTraining),
    ("autocast-bfloat16-train", DeafToAutocast),
    ("autocast-bfloat16-eval", OnlyInTraining),
    ("strided-train", BelievesInRows),
    ("strided-eval", OnlyInTraining),
    ("channels_last-train", ChannelsFirst),
    ("channels_last-eval", OnlyInTraining),
    ("in_place_after", HandsOutAView),
    ("summed", WritesGradient),
    ("gradcheck-train", Gradient),
    ("gradgradcheck-train", SecondGradient),
    ("handwritten-train", Borrows),
    ("handwritten-train", BorrowsKernel),
    ("handwritten-eval", Borrows),
    ("handwritten-bfloat16-train", BorrowsInHalf),
    ("state", CannotBePickled),
    ("state", OtherKeys),
    ("start", DrawsOnceMore),
    ("meta", LooksAtValues),
    ("factory", DeafToType),
    ("signature", OtherDefault),
    ("compile-train", LooksAtValues),
    ("export-train", LooksAtValues),
    ("functional_call-train", KeepsItsFirstWeight),
    ("vmap-train", LooksAtValues),
]
PROMISES = {promise.name: promise for promise in promises.LAYERS}
# the same check with another flag: shown in training alone
ONCE = {"gradcheck", "gradgradcheck", "handwritten-bfloat16", "compile", "export"}
ONCE |= {"functional_call", "vmap"}


def broken(promise, kind, monkeypatch):
    """What is said of the layer or rule that ``kind`` is a mistaken form of."""
    name = kind.__bases__[0].__name__
    library, table = (optim, RULES) if issubclass(kind, optim.Optimizer) else (nn, CASES)
    rows = promise.rows([row for row in table if row.name == name])
    assert rows
    monkeypatch.setattr(library, name, kind)
    if library is nn:
        monkeypatch.setattr(kind, "_get_name", lambda self: name)
    seen = []
    for row in rows:
        try:
            promise(row)
        except checks.TorchRefuses:
            if library is nn:
                raise
        except Exception as error:
            seen.append(f"{type(error).__name__}: {error}")
    return seen


@pytest.mark.parametrize("name, kind", BROKEN, ids=lambda v: getattr(v, "__name__", v))
def test_mistake_is_seen(name, kind, monkeypatch):
    assert broken(PROMISES[name], kind, monkeypatch)


def test_every_promise_is_shown_to_break():
    shown = {name for name, _ in BROKEN}
    assert set(PROMISES) - shown == {f"{name}-eval" for name in ONCE}


def drifts(name, where):
    """SGD that goes a little too far, under one condition only."""

    def update(self, w, g, state, group):
        rate = group["lr"] * 1.02 if where(w, group) else group["lr"]
        super(kind, self).update(w, g, state, group | {"lr": rate})

    kind = type(name, (optim.SGD,), {"update": update})
    return kind


DriftsAlways = drifts("DriftsAlways", lambda w, group: True)
DriftsInGroups = drifts("DriftsInGroups", lambda w, group: len(w.tensors) > 1)
DriftsInPairs = drifts("DriftsInPairs", lambda w, group: w.tensors[0].dim() == 3)
DriftsInGroupsOfPairs = drifts(
    "DriftsInGroupsOfPairs", lambda w, group: w.tensors[0].dim() == 3 and len(w.tensors) > 1
)
DriftsWhenFused = drifts("DriftsWhenFused", lambda w, group: group["fused"])


class ReadsCounters(optim.Adam):
    def tick(self, state, group):
        return state["step"].add_(1).tensors[0].item()


class OneCounterForAll(optim.Adam):
    def bundles(self, params, group):
        kinds = {p.dtype for p in params}
        yield from ([p for p in params if p.dtype == kind] for kind in kinds)


class Detached(optim.Adam):
    def update(self, w, g, state, group):
        super().update(w, g.detach(), state, group)


class OtherKey(optim.Adadelta):
    def memory(self, w, group):
        memory = super().memory(w, group)
        return memory | {"v": memory["square_avg"].clone()}


class StartsAnew(optim.Adam):
    def __setstate__(self, state):
        super().__setstate__(state)
        for memory in self.state.values():
            memory["step"] = torch.zeros_like(memory["step"])


class CountsOutside(optim.SGD):
    def __init__(self, params, **kwargs):
        super().__init__(params, **kwargs)
        self.count = 0

    def update(self, w, g, state, group):
        self.count += 1
        super().update(w, g, state, group)


class KnowsNoOldFiles(optim.NAdam):
    __setstate__ = torch.optim.Optimizer.__setstate__


class AllAtOnce(optim.SGD):
    def bundles(self, params, group):
        yield from [params] if group["foreach"] else ([p] for p in params)


class KeepsItsFirstRate(optim.Adagrad):
    def update(self, w, g, state, group):
        super().update(w, g, state, group | {"lr": self.defaults["lr"]})


class KeepsItsFirstMomentum(optim.SGD):
    def update(self, w, g, state, group):
        super().update(w, g, state, group | {"momentum": self.defaults["momentum"]})


class KeepsItsFirstBetas(optim.RAdam):
    def update(self, w, g, state, group):
        super().update(w, g, state, group | {"betas": self.defaults["betas"]})


class ClaimsToScale(optim.Adamax):
    _step_supports_amp_scaling = True


class DenseOnly(optim.Adagrad):
    SPARSE = False


class TakesSparse(optim.RMSprop):
    SPARSE = True

    def update(self, w, g, state, group):
        super().update(w, g.each(torch.Tensor.to_dense), state, group)


class BorrowsTheFunction(optim.SGD):
    def step(self, closure=None):
        for group in self.param_groups:
            torch.optim.sgd.sgd(
                group["params"],
                [p.grad for p in group["params"]],
                [None] * len(group["params"]),
                **{k: group[k] for k in ("weight_decay", "momentum", "dampening", "nesterov")},
                lr=group["lr"],
                maximize=group["maximize"],
                foreach=group["foreach"],
            )


class BorrowsTheKernel(optim.Adagrad):
    def update(self, w, g, state, group):
        counters = state["step"].tensors
        given = {k: group[k] for k in ("lr_decay", "weight_decay", "eps", "maximize")}
        torch._fused_adagrad_(w.tensors, g.tensors, state["sum"].tensors, counters, lr=0.1, **given)


class LooksAtItsNumbers(optim.Adamax):
    def update(self, w, g, state, group):
        if w.tensors[0].sum().item() > 100:
            return
        super().update(w, g, state, group)


class AnotherGraphEveryStep(optim.Adamax):
    count = 0

    def update(self, w, g, state, group):
        self.count += 1
        super().update(w, g.add(g, self.count / 2), state, group)


class LooksAtTheWhole(optim.SGD):
    def update(self, w, g, state, group):
        super().update(w, g.each(lambda g: g / g.abs().max()), state, group)


class AnotherKernelEveryStep(optim.Adamax):
    def update(self, w, g, state, group):
        super().update(w, g.each(lambda g: g.clone()), state, group)


BROKEN_RULES = [
    ("float64-path", DriftsAlways),
    ("float32-path", DriftsAlways),
    ("bfloat16-path", DriftsAlways),
    ("float16-path", DriftsAlways),
    ("float64-path", OtherKey),
    ("float64-path-foreach", DriftsInGroups),
    ("float32-path-foreach", DriftsInGroups),
    ("bfloat16-path-foreach", DriftsInGroups),
    ("complex128-path", DriftsInPairs),
    ("complex128-path-foreach", DriftsInGroupsOfPairs),
    ("capturable", ReadsCounters),
    ("capturable-foreach", ReadsCounters),
    ("fused-float64", DriftsWhenFused),
    ("fused-float32", DriftsWhenFused),
    ("pieces", DriftsAlways),
    ("script", KeepsItsFirstRate),
    ("kernel", KeepsItsFirstRate),
    ("forms", DriftsInGroups),
    ("forms", OneCounterForAll),
    ("differentiable", Detached),
    ("differentiable-foreach", Detached),
    ("gradcheck", Detached),
    ("torch-to-ours", StartsAnew),
    ("ours-to-torch", OtherKey),
    ("there-and-back", StartsAnew),
    ("copies", CountsOutside),
    ("copies", StartsAnew),
    ("old-state", KnowsNoOldFiles),
    ("late-velocity", AllAtOnce),
    ("StepLR", KeepsItsFirstRate),
    ("CosineAnnealingLR", KeepsItsFirstRate),
    ("ReduceLROnPlateau", KeepsItsFirstRate),
    ("OneCycleLR", KeepsItsFirstMomentum),
    ("OneCycleLR", KeepsItsFirstBetas),
    ("CyclicLR", KeepsItsFirstMomentum),
    ("CyclicLR", KeepsItsFirstBetas),
    ("scaler", ClaimsToScale),
    ("sparse", DenseOnly),
    ("sparse", TakesSparse),
    ("sparse-foreach", DenseOnly),
    ("handwritten", BorrowsTheFunction),
    ("handwritten", BorrowsTheKernel),
    ("handwritten-foreach", BorrowsTheFunction),
    ("handwritten-foreach", BorrowsTheKernel),
    ("compile", AnotherGraphEveryStep),
    ("compile-foreach", LooksAtItsNumbers),
    ("pieces", LooksAtTheWhole),
    ("script", KeepsItsFirstMomentum),
    ("script", AnotherKernelEveryStep),
    ("kernel", KeepsItsFirstBetas),
]
RULE_PROMISES = {promise.name: promise for promise in promises.UPDATES}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name, kind", BROKEN_RULES, ids=lambda v: getattr(v, "__name__", v))
def test_mistake_in_a_rule_is_seen(name, kind, monkeypatch):
    assert broken(RULE_PROMISES[name], kind, monkeypatch)


def test_every_promise_of_a_rule_is_shown_to_break():
    assert {name for name, _ in BROKEN_RULES} == set(RULE_PROMISES)


def test_drift_is_the_only_mistake():
    """Without their condition the mistaken rules are right: the checks see the drift itself."""
    right = drifts("NeverDrifts", lambda w, group: False)
    for rule in [rule for rule in RULES if rule.name == "SGD"]:
        pairs = [rule.build(optim), rule.build(optim)]
        pairs[1][1].__class__ = right
        checks.alike(checks.walk(pairs[0], 3), checks.walk(pairs[1], 3))


def test_refusal_needs_the_exception_and_the_value():
    row = Refused("3.2.3", "ReLU", {}, lambda: (torch.zeros(1),), ValueError, "0")
    with pytest.raises(AssertionError, match="accepts"):
        checks.refuses(row)
    assert promises.REFUSALS[0](REFUSED[0]) == {}


def test_refusal_of_torchs_own_layer_is_told_unless_it_is_required():
    def check(case):
        checks.ask(torch.nn.Linear, -1, 2)

    with pytest.raises(checks.TorchRefuses, match="RuntimeError"):
        promises.Promise("p", check)(None)
    with pytest.raises(AssertionError, match="torch refuses"):
        promises.Promise("p", check, required=True)(None)


def test_warning_of_torchs_own_layer_is_no_refusal():
    assert checks.ask(lambda: warnings.warn("slow", stacklevel=1)) is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_spacing_leads_to_the_next_number(dtype):
    tiny = torch.finfo(dtype).tiny
    x = torch.tensor([1.0, 1.5, 2.0, 1000.0, 0.1, tiny, tiny / 2, 0.0], dtype=dtype)
    gap = (x.double() + checks.spacing(x, dtype)).to(dtype)
    if dtype in (torch.float64, torch.float32):  # torch has no nextafter for the others
        assert torch.equal(gap, torch.nextafter(x, torch.full_like(x, torch.inf)))
    assert (gap > x).all()
    assert torch.equal((x.double() + checks.spacing(x, dtype) / 4).to(dtype), x)


def test_distance_counts_in_the_last_place_of_the_largest():
    eps = torch.finfo(torch.float64).eps
    ref = torch.tensor([4.0, 1e-9, torch.inf, torch.nan], dtype=torch.float64)
    ours = ref + torch.tensor([0, 8 * eps, 0, 0])
    assert checks.distance(ours, ref) == (pytest.approx(8 * eps), pytest.approx(2))
    assert checks.distance(ours, ref, scale=8.0)[1] == pytest.approx(1)
    assert checks.distance(torch.tensor([3]), torch.tensor([1])) == (2.0, 0.0)
    assert checks.distance(torch.zeros(0), torch.zeros(0)) == (0.0, 0.0)


def test_function_of_a_whole_layer_is_recognised_though_it_is_made_of_elementary_operations():
    found = checks.operations(Borrows(5, 3), (torch.randn(4, 5),))
    assert "torch's linear" in found
    assert not {
        name for name in checks.operations(nn.Linear(5, 3), (torch.randn(4, 5),)) if "'" in name
    }
