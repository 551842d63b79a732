"""Every update rule against its twin: every promise over every row of hyper-parameters."""

import copy
import re
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from dlbook_torch import nn, optim
from dlbook_torch.optim import compiled, tensors
from dlbook_torch.parity import checks
from dlbook_torch.parity.cases import BAD_RULES, RULES, STRANGE
from dlbook_torch.parity.promises import UPDATES, fullest, promised

NAMES = sorted({rule.name for rule in RULES})
LIBRARIES = [torch.optim, optim]
each = pytest.mark.parametrize("rule", RULES, ids=str)
named = pytest.mark.parametrize("name", NAMES)
sparse = pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # of torch's own Adagrad
fullest_of_each = pytest.mark.parametrize("rule", fullest(RULES), ids=str)


@sparse
@pytest.mark.filterwarnings(  # torch 2.11's own compiler loads what it deprecates
    "ignore:.*torch.jit.script_method:DeprecationWarning"
)
@pytest.mark.parametrize(
    "promise, row",
    [
        pytest.param(promise, row, id=f"{row}-{promise}")
        for promise, row in promised(UPDATES, RULES)
    ],
)
def test_rule_keeps_its_promise(promise, row):
    try:
        promise(row)
    except checks.TorchRefuses as refusal:
        pytest.skip(f"{promise}: torch's own rule does not either: {refusal}")


@named
def test_signature_is_torchs(name):
    checks.same_signature(name, optim, torch.optim)


def test_every_public_rule_has_a_row_and_no_row_stands_twice():
    assert {"Optimizer", "lr_scheduler"} | set(NAMES) == set(optim.__all__)
    assert len(RULES) == len({str(rule) for rule in RULES})


@pytest.mark.parametrize("name, kwargs, error, value", BAD_RULES, ids=str)
def test_ours_refuses_what_torch_refuses_and_names_the_value(name, kwargs, error, value):
    params = [torch.zeros(2, requires_grad=True)]
    with pytest.raises(error):
        getattr(torch.optim, name)(params, **kwargs)
    with pytest.raises(error, match=re.escape(value)):
        getattr(optim, name)(params, **kwargs)


@pytest.mark.parametrize("rule", STRANGE, ids=str)
def test_strange_hyper_parameters_that_torch_takes_are_taken(rule):
    try:
        ref = checks.ask(lambda: checks.walk(rule.build(torch.optim), 4))
    except checks.TorchRefuses as refusal:  # older versions took betas=[tensor, tensor] elsewhere
        pytest.skip(str(refusal))
    checks.alike(checks.walk(rule.build(optim), 4), ref, checks.UNITS)


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_tensor_betas_have_one_element(name):
    """Torch means to refuse them with a ValueError, and stumbles over them on the way there."""
    betas = torch.tensor(0.5), torch.tensor([0.1, 0.2])
    with pytest.raises(ValueError, match=re.escape("(2,)")):
        getattr(optim, name)([torch.zeros(2, requires_grad=True)], betas=betas)


def test_not_a_number_passes_torchs_sgd_alone():
    params = [torch.zeros(2, requires_grad=True)]
    for option in ("lr", "momentum", "weight_decay"):
        torch.optim.SGD(params, **{option: torch.nan})
        with pytest.raises(ValueError, match="nan"):
            optim.SGD(params, **{option: torch.nan})


@each
@pytest.mark.parametrize("foreach", [False, True])
def test_gradient_is_read_and_never_written(rule, foreach):
    params, moved = rule.build(optim, foreach=foreach and rule.takes_groups())
    gradients = [torch.randn_like(p) for p in params]
    for p, g in zip(params, gradients, strict=True):
        p.grad = g.clone()
    for _ in range(2):
        moved.step()
    assert_close([p.grad for p in params], gradients, rtol=0, atol=0)
    memory = {id(t) for state in moved.state.values() for t in state.values()}
    assert not memory & {id(p.grad) for p in params}


@each
def test_memory_is_no_view_of_the_gradient(rule):
    """What is written into the gradient after a step changes nothing of the next one."""
    pairs = [rule.build(optim) for _ in range(2)]
    checks.walk(pairs[0], 1)
    checks.walk(pairs[1], 1)
    for p in pairs[0][0]:
        p.grad.zero_()
    checks.alike(checks.walk(pairs[0], 2, 1), checks.walk(pairs[1], 2, 1))


@each
def test_parameter_without_a_gradient_is_left_alone(rule):
    (params, moved), (twins, ref) = (rule.build(library) for library in (optim, torch.optim))
    before = [p.detach().clone() for p in params]
    for p in (params[0], twins[0]):
        p.grad = torch.ones_like(p)
    moved.step()
    ref.step()
    same = [torch.equal(p, q) for p, q in zip(params, before, strict=True)]
    assert same == [False, True, True]
    checks.alike([checks.seen((params, moved))], [checks.seen((twins, ref))], checks.UNITS)


@fullest_of_each
def test_frozen_parameter_stays_and_the_thawed_moves(rule):
    layer = nn.Linear(3, 2).requires_grad_(False)
    moved = rule.over(optim, layer.parameters())
    before = [p.clone() for p in layer.parameters()]
    layer(torch.randn(4, 3)).sum()
    moved.step()
    assert_close(list(layer.parameters()), before, rtol=0, atol=0)
    layer.bias.requires_grad_()
    layer(torch.randn(4, 3)).sum().backward()
    moved.step()
    assert torch.equal(layer.weight, before[0])
    assert not torch.equal(layer.bias, before[1])


def calls(rule, monkeypatch, params, **options):
    """Of how many parameters every call of the formula was, at one more step."""
    moved = rule.over(optim, params, **options)
    for p in params[:2]:
        p.grad = torch.ones_like(p)
    moved.step()
    sizes, update = [], moved.update
    monkeypatch.setattr(
        moved, "update", lambda w, *rest: (sizes.append(len(w.tensors)), update(w, *rest))
    )
    for p in params:
        p.grad = torch.ones_like(p)
    moved.step()
    return sizes


@fullest_of_each
def test_formula_is_called_once_for_all_that_are_alike(rule, monkeypatch):
    def params(*dtypes):
        return [torch.ones(2, dtype=dtype, requires_grad=True) for dtype in dtypes]

    wide, single = torch.float64, torch.float32
    sizes = partial(calls, rule, monkeypatch)
    assert sizes(params(wide, wide)) == [2]
    assert sizes(params(wide, wide), foreach=False) == [1, 1]
    assert sizes(params(wide, wide), foreach=True) == [2]
    assert sizes(params(wide, single), foreach=True) == [1, 1]
    assert sizes(params(wide, wide, wide), foreach=True) == [2, 1]  # the counter of the last lags
    if rule.name in ("SGD", "Adagrad", "Adam", "AdamW"):
        assert sizes(params(wide, wide), fused=True, foreach=False) == [2]


@fullest_of_each
@pytest.mark.parametrize(
    "layout",
    [
        lambda t: t.t(),
        lambda t: t[:, ::2],
        lambda t: t[:0],
        lambda t: t[None, :, :, None].contiguous(memory_format=torch.channels_last),
    ],
    ids=["transposed", "strided", "empty", "channels_last"],
)
def test_any_layout_of_memory_moves_as_torchs(rule, layout):
    def path(library, **options):
        draw = torch.Generator().manual_seed(0)
        w, *gs = (layout(torch.randn(4, 6, generator=draw)) for _ in range(4))
        w = w.detach().requires_grad_()
        moved = rule.over(library, [w], **options)
        for g in gs:
            w.grad = g.contiguous()
            moved.step()
        if library is optim and rule.name != "SGD":  # whose velocity is a copy of the gradient
            laid = {t.stride() for t in moved.state[w].values() if t.dim()}
            assert laid == {torch.zeros_like(w).stride()}
        return [checks.seen(([w], moved))]

    wanted = path(torch.optim)
    for foreach in (False, True):
        checks.alike(path(optim, foreach=foreach), wanted, checks.UNITS)


@fullest_of_each
def test_every_group_has_its_own_options(rule):
    def path(library):
        params = [torch.full((3,), float(i), requires_grad=True) for i in range(4)]
        groups = [
            dict(params=params[:1], lr=0.5),
            dict(params=params[1:2], maximize=True),
            dict(params=params[2:3], foreach=True, lr=0.0),
        ]
        if rule.name != "Rprop":
            groups[0]["weight_decay"] = 0.3
        moved = rule.over(library, groups)
        checks.walk((params[:3], moved), 2)
        moved.add_param_group(dict(params=params[3], lr=0.2))
        return checks.walk((params, moved), 2, 2)

    ours = path(optim)
    try:
        ref = checks.ask(path, torch.optim)
    except checks.TorchRefuses:  # Adagrad of torch 2.11 remembers nothing of a newcomer
        if rule.name == "Adagrad":
            return
        raise
    checks.alike(ours, ref, checks.UNITS)


@named
def test_groups_are_refused_as_torch_refuses_them(name):
    w = torch.zeros(2, requires_grad=True)
    for library in LIBRARIES:
        kind = getattr(library, name)
        with pytest.raises(ValueError, match="empty parameter list"):
            kind([])
        with pytest.raises(TypeError, match="params argument"):
            kind(w)
        with pytest.raises(ValueError, match="non-leaf"):
            kind([w * 2])
        moved = kind([w])
        with pytest.raises(ValueError, match="more than one parameter group"):
            moved.add_param_group(dict(params=[w]))
        with pytest.raises(TypeError, match="Tensors"):
            moved.add_param_group(dict(params=["w"]))
        with pytest.raises(ValueError, match="different number of parameter groups"):
            moved.load_state_dict({"state": {}, "param_groups": []})


@sparse
@named
@pytest.mark.parametrize("foreach", [False, True])
def test_sparse_gradient_with_weight_decay_is_refused(name, foreach):
    if name == "Rprop":
        return
    for library in LIBRARIES:
        w = torch.ones(3, requires_grad=True)
        moved = getattr(library, name)([w], weight_decay=0.1, foreach=foreach)
        w.grad = torch.ones(3).to_sparse()
        named = library is optim and name in ("SGD", "Adagrad")  # the others take none at all
        with pytest.raises(RuntimeError, match="weight_decay=0.1.*sparse" if named else "sparse"):
            moved.step()


def test_fused_refuses_complex_parameters_as_torch_does():
    for library in LIBRARIES:
        for name in ("SGD", "Adagrad", "Adam", "AdamW"):
            w = torch.ones(2, dtype=torch.complex64, requires_grad=True)
            w.grad = torch.ones_like(w)
            with pytest.raises(RuntimeError):
                getattr(library, name)([w], fused=True).step()


@sparse
@pytest.mark.parametrize(
    "name, kwargs",
    [
        ("SGD", {}),
        ("SGD", dict(momentum=0.9)),
        ("SGD", dict(momentum=0.9, nesterov=True)),
        ("SGD", dict(maximize=True)),
        ("Adagrad", {}),
        ("Adagrad", dict(lr_decay=0.1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("foreach", [False, True])
def test_embedding_with_sparse_gradients_learns_as_with_torchs(name, kwargs, foreach):
    def losses(library, **options):
        torch.manual_seed(0)
        words = torch.nn.Embedding(7, 3, sparse=True, dtype=torch.float64)
        moved = getattr(library, name)(words.parameters(), lr=0.1, **kwargs, **options)
        story = []
        for rows in ([[0, 3, 3]], [[6, 0, 1]], [[3, 3, 3]], [[2, 1, 0]]):
            moved.zero_grad()
            loss = ((words(torch.tensor(rows)) - 1) ** 2).sum()
            loss.backward()
            assert words.weight.grad.is_sparse
            moved.step()
            story.append(loss.item())
        return story, words.weight.detach()

    ours, ref = losses(optim, foreach=foreach), losses(torch.optim)
    assert ours[0] == pytest.approx(ref[0])
    assert_close(ours[1], ref[1])


@named
def test_closure_runs_with_gradients_and_its_loss_comes_back(name):
    ends = []
    for library in LIBRARIES:
        w = torch.tensor([3.0], requires_grad=True)
        moved = getattr(library, name)([w], lr=0.1)

        def closure(w=w, moved=moved):
            moved.zero_grad()
            loss = (w**2).sum()
            loss.backward()
            return loss

        with torch.no_grad():
            assert moved.step(closure).item() == 9
        assert w.grad.item() == 6
        ends.append(w.detach())
    assert_close(*ends, rtol=0, atol=0)


@named
def test_zero_grad_and_the_grad_mode_after_a_step(name):
    w = torch.ones(2, requires_grad=True)
    moved = getattr(optim, name)([w])
    w.grad = torch.ones(2)
    moved.step()
    assert torch.is_grad_enabled()
    moved.zero_grad(set_to_none=False)
    assert torch.equal(w.grad, torch.zeros(2))
    moved.zero_grad()
    assert w.grad is None
    assert w.is_leaf
    assert w.requires_grad


@named
def test_hooks_run_where_torchs_run(name):
    def story(library):
        seen = []

        def note(word):
            return lambda *given: seen.append((word, len(given), w.item()))

        w = torch.ones((), requires_grad=True)
        moved = getattr(library, name)([w], lr=0.5)
        moved.register_step_pre_hook(note("before"))
        handle = moved.register_step_post_hook(note("after"))
        moved.register_state_dict_pre_hook(note("saving"))
        moved.register_state_dict_post_hook(note("saved"))
        moved.register_load_state_dict_pre_hook(note("loading"))
        moved.register_load_state_dict_post_hook(note("loaded"))
        for _ in range(2):
            w.grad = torch.ones(())
            moved.step()
            handle.remove()
        moved.load_state_dict(moved.state_dict())
        return seen

    ours = story(optim)
    assert [word for word, *_ in ours] == [
        *("before", "after", "before", "saving", "saved", "loading", "loaded")
    ]
    assert ours == story(torch.optim)


def test_base_class_has_no_rule():
    w = torch.ones(1, requires_grad=True)
    moved = optim.Optimizer([w], maximize=False)
    w.grad = torch.ones(1)
    with pytest.raises(NotImplementedError, match="Optimizer has no update rule"):
        moved.step()


def test_adagrads_sums_can_be_shared_between_processes():
    w = torch.ones(2, requires_grad=True)
    moved = optim.Adagrad([w])
    moved.share_memory()
    assert moved.state[w]["sum"].is_shared()


def test_bfloat16_shrinks_by_the_whole_factor_in_the_group_form():
    """A factor of 0.9 is 0.8984 in bfloat16, and torch's group form on a CPU multiplies by that."""

    def end(library):
        w = torch.linspace(1, 2, 129)[:-1].bfloat16().requires_grad_()
        start = w.detach().double()
        moved = library.AdamW([w], lr=1.0, weight_decay=0.1, foreach=True)
        for _ in range(60):
            w.grad = torch.zeros_like(w)
            moved.step()
        return (w.detach().double() / start).mean().item() / 0.9**60

    assert end(optim) == pytest.approx(1, abs=0.01)
    if end(torch.optim) > 0.95:
        pytest.skip("torch's group form is repaired")
    assert end(torch.optim) == pytest.approx((0.8984375 / 0.9) ** 60, abs=0.02)


def loads_of(moved, params, monkeypatch):
    """How many elements of which parameters went through the formula at once, in a second step."""
    parts = []
    monkeypatch.setattr(
        optim.optimizer, "run", lambda script, entries, _: parts.append(numels(entries))
    )
    for _ in range(2):  # SGD has no velocity before the first
        parts.clear()
        for p in params:
            p.grad = torch.ones_like(p)
        moved.step()
    return parts


LOADS = [[4], [4], [1], [2, 2], [1, 3]]  # of parameters of 2, 9, 2, 1 and 3 elements


@fullest_of_each
def test_lines_of_the_formula_run_load_by_load(rule, monkeypatch):
    makes_nothing = rule.name == "ASGD"
    monkeypatch.setattr(tensors, "LOAD", 2 if makes_nothing else 4)
    params = [torch.ones(n, requires_grad=True) for n in (2, 9, 2, 1, 3)]
    assert loads_of(rule.over(optim, params), params, monkeypatch) == LOADS


def test_a_formula_that_makes_nothing_on_the_way_gets_twice_the_load(monkeypatch):
    monkeypatch.setattr(tensors, "LOAD", 2)
    params = [torch.ones(n, requires_grad=True) for n in (2, 9, 2, 1, 3)]
    moved = optim.SGD(params, lr=0.1, momentum=0.9)
    assert loads_of(moved, params, monkeypatch) == LOADS


def numels(entries):
    """Of what goes through the formula together, the same of the gradient and the memory."""
    (found,) = {tuple(t.numel() for t in entry.tensors) for entry in entries}
    return list(found)


class Normed(optim.Optimizer):
    """A rule that looks at a parameter as a whole: the gradient over its length."""

    calls = ()

    def update(self, w, g, state, group):
        self.calls = [*self.calls, len(w.tensors)]
        state["sum"].add_(g)
        w.add_(g.each(lambda g: g / g.norm()), -1)

    def memory(self, w, group):
        return {"step": self.scalar(0.0, w, group), "sum": torch.zeros_like(w)}


def test_rule_of_whole_parameters_is_neither_cut_nor_compiled(monkeypatch):
    monkeypatch.setattr(tensors, "LOAD", 16)
    params = [torch.zeros(100, requires_grad=True) for _ in range(2)]
    moved = Normed(params, maximize=False)
    for compiling in (False, True):
        if compiling:
            moved.compile()
        for w in params:
            w.grad = torch.ones(100)
        moved.step()
    for w in params:
        assert_close(w.detach(), torch.full((100,), -0.2))
    assert moved.calls == [1, 1, 2]  # parameters: a group is asked for by compile() alone


def compiled_run(steps, cut=None):
    """A compiled Adam's parameters at the end; at ``cut`` another one takes over from its state."""
    ws = [torch.linspace(-1, 1, 33).requires_grad_(), torch.ones(2, 2, requires_grad=True)]
    kept = None
    for step in range(steps):
        if step in (0, cut):
            moved = optim.Adam(ws, lr=0.1)
            moved.compile()
            schedule = torch.optim.lr_scheduler.StepLR(moved, 1, 0.9)
            if kept:
                moved.load_state_dict(kept[0])
                schedule.load_state_dict(kept[1])
        for place, w in enumerate(ws):
            w.grad = checks.gradient(w, step, place)
        moved.step()
        schedule.step()
        kept = copy.deepcopy((moved.state_dict(), schedule.state_dict()))
    return ws


def test_compiled_run_that_is_resumed_ends_at_the_same_bits():
    assert_close(compiled_run(9, cut=5), compiled_run(9), rtol=0, atol=0)


def stepping(monkeypatch, **options):
    """A compiled Adam over two parameters, whose kernels are counted and not made."""
    made = []

    def kernel(*given):
        made.append(given[1])
        return checks.by_lines(*given)

    monkeypatch.setattr(compiled, "compiled", kernel)
    params = [torch.ones(3, requires_grad=True), torch.ones(2, 2, requires_grad=True)]
    moved = optim.Adam(params, **options)
    moved.compile()
    return params, moved, made


def test_kernel_is_made_anew_for_other_tensors_only(monkeypatch):
    params, moved, made = stepping(monkeypatch)
    across = torch.ones(2, 2).t().contiguous().t()
    for g, kernels in ((torch.ones(2, 2), 1), (torch.ones(2, 2), 1), (across, 2), (None, 3)):
        params[0].grad, params[1].grad = torch.ones(3), g
        moved.param_groups[0]["lr"] *= 0.5
        moved.step()
        assert len(made) == kernels


def test_steps_that_all_differ_run_uncompiled_from_some_number_on(monkeypatch):
    monkeypatch.setattr(optim.optimizer, "LIMIT", 1)
    (w, v), moved, made = stepping(monkeypatch, lr=0.1)
    w.grad = torch.ones_like(w)
    moved.step()
    v.grad = torch.ones_like(v)
    with pytest.warns(UserWarning, match="none of the 1 that were compiled"):
        moved.step()
    assert made == [1]
    assert_close(w.detach(), torch.full((3,), 0.8))
    assert_close(v.detach(), torch.full((2, 2), 0.9))


def test_copy_of_a_compiled_rule_is_a_plain_one(monkeypatch):
    (w, _), moved, made = stepping(monkeypatch)
    twin = copy.deepcopy(moved)
    (q, _) = twin.param_groups[0]["params"]
    w.grad, q.grad = torch.ones(3), torch.ones(3)
    twin.step()
    assert not made
    moved.step()
    assert made == [1]
    assert_close(w, q)
    assert moved.state_dict()["param_groups"] == twin.state_dict()["param_groups"]


@sparse
def test_steps_that_cannot_be_compiled_go_on_as_ever(monkeypatch):
    monkeypatch.setattr(compiled, "compiled", lambda *_: pytest.fail("compiled"))
    for name, options, g in (
        ("Adam", dict(capturable=True), torch.ones(3)),
        ("Adagrad", {}, torch.ones(3).to_sparse()),
        ("SGD", dict(momentum=0.9), torch.ones(3)),  # has no velocity yet
    ):
        ws = [torch.ones(3, requires_grad=True) for _ in range(2)]
        for w, library in zip(ws, LIBRARIES, strict=True):
            moved = getattr(library, name)([w], lr=0.1, **options if library is optim else {})
            if library is optim:
                moved.compile()
            w.grad = g.clone()
            moved.step()
        assert_close(*ws)


def test_compiling_a_recorded_step_leaves_its_derivative(monkeypatch):
    monkeypatch.setattr(compiled, "compiled", lambda *_: pytest.fail("compiled"))
    leaf, g = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    w = leaf.clone()
    w.retain_grad()
    moved = optim.SGD([w], lr=0.1, differentiable=True)
    moved.compile()
    w.grad = g
    moved.step()
    assert_close(torch.autograd.grad(w.sum(), g)[0], torch.full((3,), -0.1))


def test_compiling_without_a_compiler_is_a_sentence():
    from torch._inductor import config, cpp_builder

    moved = optim.SGD([torch.ones(1, requires_grad=True)])
    cpp_builder.cpp_compiler_search.cache_clear()
    without = config.patch({"cpp.cxx": ("no-such-compiler",)})
    with without, pytest.raises(RuntimeError, match=r"needs a C\+\+ compiler.*CXX"):
        moved.compile()
    cpp_builder.cpp_compiler_search.cache_clear()
