"""Layers that change into their twins, one by one and in the networks of torchvision."""

import pickle
import subprocess
import sys
import warnings
from copy import deepcopy

import lightning as L
import pytest
import torch
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, prune
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import MaxVit, SwinTransformer, VisionTransformer, convnext

import dlbook_torch
from dlbook_torch import convert, models, nn
from dlbook_torch.convert import leftovers, twins
from dlbook_torch.nn import linear
from dlbook_torch.parity import checks, ledger, zoo
from dlbook_torch.parity.cases import CASES
from dlbook_torch.training import Classifier
from dlbook_torch.training.console import quiet

LIBRARIES = {"handwritten": nn, "builtin": torch.nn}
both = pytest.mark.parametrize("to", LIBRARIES)
TWINNED = [case for case in CASES if case.twin is None]


def network(library=torch.nn):
    """A bit of everything, with one layer in two places and one weight in two layers."""
    act = library.ReLU()
    tied = library.Linear(6, 6)
    tied.weight = (last := library.Linear(6, 6)).weight
    return torch.nn.Sequential(
        library.Conv2d(2, 3, 3, padding=1),
        library.BatchNorm2d(3),
        act,
        library.MaxPool2d(2),
        library.Flatten(),
        library.Linear(12, 6),
        act,
        library.Dropout(0.3),
        tied,
        last,
    ).double()


def images():
    return torch.randn(4, 2, 4, 4, dtype=torch.float64)


def kinds(model):
    return [type(m) for m in model.modules()]


def step(layer, inputs):
    """Output, gradients and buffers of one call."""
    inputs = tuple(map(checks.twin_of, inputs))
    y = checks.output(checks.run(layer, inputs))
    y.backward(torch.ones_like(y))
    tensors = [*(t for t in inputs if isinstance(t, torch.Tensor)), *layer.parameters()]
    return y.detach(), [t.grad for t in tensors if t.requires_grad], list(layer.buffers())


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("case", TWINNED, ids=str)
@both
def test_layer_behaves_like_the_twin_it_became_bit_by_bit(case, to):
    ours, ref = case.twins()
    layer, twin = (ref, ours) if to == "handwritten" else (ours, ref)
    assert convert(layer, to, strict=True) is layer
    assert kinds(layer) == kinds(twin)
    assert repr(layer) == repr(twin)
    assert all(hasattr(layer, name) for name in vars(twin))
    public = {k: v for k, v in vars(twin).items() if k[0] != "_"}
    assert {k: getattr(layer, k) for k in public} == public
    for training in (True, False):
        inputs = case.inputs()
        seen, expected = (step(m.train(training), inputs) for m in (layer, twin))
        assert_close(seen, expected, rtol=0, atol=0, equal_nan=True)


@both
def test_everything_but_the_classes_stays(to):
    other, library = (lib for name, lib in sorted(LIBRARIES.items(), key=lambda i: i[0] == to))
    model = network(other)
    model[5].weight.requires_grad_(False)
    model[1].eval()
    x = images()
    modules, tensors = list(model.modules()), [*model.parameters(), *model.buffers()]
    state, ref = deepcopy(model.state_dict()), step(deepcopy(model), (x,))
    assert convert(model, to) is model
    assert type(model[0]) is library.Conv2d
    assert type(model[2]) is library.ReLU
    assert all(a is b for a, b in zip(model.modules(), modules, strict=True))
    assert all(
        a is b for a, b in zip([*model.parameters(), *model.buffers()], tensors, strict=True)
    )
    assert model[8].weight is model[9].weight
    assert model[2] is model[6]
    assert [m.training for m in model] == [True, False, *[True] * 8]
    assert not model[5].weight.requires_grad
    assert_close(model.state_dict(), state, rtol=0, atol=0)
    assert_close(step(model, (x,)), ref)


def test_hooks_still_fire():
    layer, calls = torch.nn.Linear(3, 2), []
    layer.register_forward_pre_hook(lambda m, args: calls.append(("pre", type(m))))
    layer.register_forward_hook(lambda m, args, y: calls.append(("forward", type(m))))
    layer.register_full_backward_hook(lambda m, dx, dy: calls.append(("backward", type(m))))
    layer.register_state_dict_post_hook(lambda m, *_: calls.append(("state", type(m))))
    layer.register_load_state_dict_pre_hook(lambda m, *_: calls.append(("load", type(m))))
    convert(layer)
    layer(torch.randn(4, 3, requires_grad=True)).sum().backward()
    layer.load_state_dict(layer.state_dict())
    names = ("pre", "forward", "backward", "state", "load")
    assert calls == [(name, nn.Linear) for name in names]


def test_optimizer_goes_on():
    x, t = torch.randn(8, 4), torch.arange(8) % 3
    curves = []
    for switch in (False, True):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
        optimizer = torch.optim.Adam(model.parameters(), 0.1)
        losses = []
        for i in range(10):
            if switch and i == 5:
                convert(model)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), t)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        curves.append(losses)
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)
    assert curves[0][-1] < curves[0][0] / 2


def test_single_layer_is_returned_itself_and_a_second_time_changes_nothing():
    layer = torch.nn.Linear(3, 2)
    assert convert(layer) is layer
    assert type(layer) is nn.Linear
    assert type(convert(layer, "handwritten")) is nn.Linear
    assert type(convert(layer, to="builtin")) is torch.nn.Linear


@pytest.mark.parametrize("function", [convert, leftovers, lambda _, to: twins(to)])
def test_another_direction_is_refused(function):
    with pytest.raises(ValueError, match=r"to must be one of .*, got 'numpy'"):
        function(torch.nn.Linear(3, 2), to="numpy")


class Double(torch.nn.Linear):
    """Computes something else."""

    def forward(self, input):
        return 2 * super().forward(input)


class Odd(torch.nn.Conv2d):
    """Computes something else, by what the forward calls."""

    def _conv_forward(self, input, weight, bias):
        return super()._conv_forward(input, 2 * weight, bias)


class Square(torch.nn.Linear):
    """Only builds differently."""

    def __init__(self, n):
        super().__init__(n, n)

    def reset_parameters(self):
        torch.nn.init.eye_(self.weight)
        torch.nn.init.ones_(self.bias)

    def extra_repr(self):
        return f"{self.in_features}"


class Scale(torch.nn.Module):
    def forward(self, input):
        return 2 * input


class Branches(torch.nn.Module):
    """No leaf: its parts change."""

    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(2, 2), torch.nn.Sequential()

    def forward(self, input):
        return F.relu(self.a(input)) + self.b(input)


def odd_ones():
    patched = torch.nn.Tanh()
    patched.forward = torch.sin
    return torch.nn.ModuleDict(
        {
            "own": Double(2, 2),
            "inner": Odd(1, 1, 1),
            "lazy": torch.nn.LazyLinear(2),
            "patched": patched,
            "foreign": Scale(),
            "composite": torch.nn.TransformerEncoderLayer(4, 2, 4),
            "fine": Branches(),
        }
    )


REASONS = {
    "own": "a Linear with its own forward",
    "inner": "a Conv2d with its own _conv_forward",
    "patched": "forward was replaced on the object itself",
    "foreign": "tests.test_convert is not torch.nn",
    "composite": "dlbook_torch.nn has no TransformerEncoderLayer",
}


def test_what_is_left_is_told_with_its_reason():
    model = odd_ones()
    before = kinds(model)
    left = {layer.name: layer for layer in leftovers(model) if "." not in layer.name}
    assert kinds(model) == before
    assert set(left) == {*REASONS, "lazy"}
    assert {name: left[name].reason for name in REASONS} == REASONS
    assert left["lazy"].reason.startswith("a Linear with its own")
    with pytest.warns(
        UserWarning, match=r"own \(Double\): a Linear with its own forward"
    ) as record:
        convert(model)
    assert record[0].filename == __file__
    assert [type(model[name]) for name in ("own", "inner")] == [Double, Odd]
    assert type(model["fine"].a) is nn.Linear
    assert leftovers(model, to="builtin") == []


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_scripted_model_is_left_and_traced_graph_is_not():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU())
    scripted, graph, x = torch.jit.script(model), torch.fx.symbolic_trace(model), torch.ones(1, 3)
    left = leftovers(scripted)
    assert [layer.reason for layer in left] == ["torch.jit._script is not torch.nn"] * 2
    assert_close(convert(graph, strict=True)(x), scripted(x))
    assert type(graph.get_submodule("0")) is nn.Linear


def test_strict_raises_and_changes_nothing():
    model = odd_ones()
    before = kinds(model)
    with pytest.raises(RuntimeError, match=r"foreign \(Scale\)"):
        convert(model, strict=True)
    assert kinds(model) == before
    convert(torch.nn.Sequential(Branches(), torch.nn.ReLU()), strict=True)


def test_layer_that_one_library_lacks_is_named_and_mentioned_once(monkeypatch):
    model = torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Tanh(), nn.Tanh())
    monkeypatch.setattr(nn, "__all__", [name for name in nn.__all__ if name != "Tanh"])
    assert [str(layer) for layer in leftovers(model)] == [
        "0 (Tanh): dlbook_torch.nn has no Tanh",
        "1 (Tanh): dlbook_torch.nn has no Tanh",
    ]
    assert [str(layer) for layer in leftovers(model, "builtin")] == [
        "2 (Tanh): torch.nn has no Tanh"
    ]
    with pytest.warns(UserWarning, match=r"no Tanh \(and 1 more\)$"):
        convert(model)
    assert str(leftovers(model[0])[0]).startswith("the model itself (Tanh)")


def test_subclass_that_only_builds_differently_gets_its_class_back():
    model = torch.nn.Sequential(
        Square(3), torch.nn.modules.linear.NonDynamicallyQuantizableLinear(3, 2)
    )
    x, before = torch.randn(4, 3), kinds(model)
    y = model(x)
    convert(model, strict=True)
    assert kinds(model)[1:] == [nn.Linear, nn.Linear]
    assert_close(deepcopy(model)(x), y)
    convert(model, to="builtin", strict=True)
    assert kinds(model) == before
    assert set(vars(model[0])) == set(vars(Square(3)))


def test_parametrized_layer_keeps_its_parametrization():
    model = torch.nn.Sequential(parametrizations.weight_norm(torch.nn.Linear(3, 4)))
    x = torch.randn(5, 3)
    y = model(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the parametrization itself is a leaf
        convert(model)
    layer = model[0]
    assert isinstance(layer, nn.Linear)
    assert parametrize.is_parametrized(layer, "weight")
    assert_close(model(x), y)
    assert_close(deepcopy(model)(x), y)
    model(x).sum().backward()
    assert layer.parametrizations.weight.original1.grad.abs().sum() > 0
    back = convert(deepcopy(model), to="builtin", strict=True)[0]
    assert isinstance(back, torch.nn.Linear)
    assert_close(back(x), y)
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear
    assert_close(model(x), y)


def test_pruned_layer_stays_pruned():
    layer = prune.l1_unstructured(torch.nn.Linear(6, 4), "weight", amount=0.5)
    convert(layer, strict=True)
    layer.weight_orig.data.fill_(1)
    assert layer(torch.eye(6)).sub(layer.bias).sum() == 12
    prune.remove(layer, "weight")
    assert (layer.weight == 0).sum() == 12


def test_converted_model_can_be_copied_and_stored(tmp_path):
    model, x = convert(network()).eval(), images()
    y = model(x)
    for copy in (deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert kinds(copy) == kinds(model)
        assert_close(copy(x), y)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    other = network().eval()
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert_close(other(x), y)


def test_model_that_is_compiled_already_runs_its_new_layers():
    model, x = network().eval(), images()
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager")
    y = compiled(x)
    convert(compiled)
    with checks.Recorder() as recorder:
        assert_close(compiled(x), y)
    assert recorder.names
    assert "convolution" not in recorder.names


IMPORTS = [
    "from dlbook_torch import convert",
    "from dlbook_torch.convert import convert",
    "from dlbook_torch.convert import leftovers; from dlbook_torch import convert",
    "import dlbook_torch.convert; convert = dlbook_torch.convert",
    "import dlbook_torch; convert = dlbook_torch.convert; import dlbook_torch.convert",
]
FRESH = """
import sys, torch
for statement in sys.argv[1:]:
    for name in [name for name in sys.modules if name.startswith("dlbook_torch")]:
        del sys.modules[name]
    exec(statement)
    print(type(convert(torch.nn.Linear(2, 3))).__module__)
"""


def test_every_way_of_importing_gives_something_to_call():
    run = subprocess.run(
        [sys.executable, "-c", FRESH, *IMPORTS], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["dlbook_torch.nn.linear"] * len(IMPORTS)
    assert dlbook_torch.convert.leftovers is leftovers


@pytest.fixture
def batches():
    x = torch.randn(16, 4)
    return DataLoader(TensorDataset(x, torch.arange(16) % 3), 4)


@pytest.mark.parametrize("library", ["dlbook", "torch"])
def test_lightning_checkpoint_of_one_loads_into_the_other(library, batches, tmp_path):
    def trainer(epochs):
        return L.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tmp_path,
        )

    def net():
        return models.MLP(4, 3, [8], batch_norm=True, library=library)

    to = "builtin" if library == "dlbook" else "handwritten"
    with quiet():
        first = Classifier(net())
        (run := trainer(2)).fit(first, batches, batches)
        run.save_checkpoint(path := tmp_path / "run.ckpt")
        second = Classifier.load_from_checkpoint(path, net=convert(net(), to, strict=True))
        assert list(second.state_dict()) == list(first.state_dict())
        assert kinds(second.net) != kinds(first.net)
        for x, _ in batches:
            assert_close(second.eval()(x), first.eval()(x))
        third = Classifier(convert(net(), to))  # goes on where the first would go on
        trainer(3).fit(third, batches, batches, ckpt_path=path)
        trainer(3).fit(fourth := Classifier(net()), batches, batches, ckpt_path=path)
    assert_close(third.state_dict(), fourth.state_dict(), rtol=1e-4, atol=1e-5)


QUICK = ["squeezenet1_1", "resnet18", "shufflenet_v2_x0_5", "mobilenet_v3_small", "googlenet"]


def check(name):
    line = zoo.visit(name)
    if line.skipped:
        pytest.skip(line.verdict())
    assert not line.failure
    assert line.layers


@pytest.mark.parametrize("name", QUICK)
def test_network_of_torchvision_is_converted_whole(name):
    check(name)


def relatives():
    """Networks of the zoo's other families, with two small blocks each."""
    block = convnext.CNBlockConfig
    return {
        "vit": VisionTransformer(32, 16, 2, 2, hidden_dim=8, mlp_dim=16, attention_dropout=0.1),
        "swin": SwinTransformer([4, 4], 8, [1, 1], [2, 2], [4, 4], stochastic_depth_prob=0.5),
        "convnext": convnext.ConvNeXt([block(8, 16, 1), block(16, None, 1)]),
        "maxvit": MaxVit((32, 32), 8, 4, [8, 8], [1, 1], head_dim=4, stochastic_depth_prob=0.5),
    }


@pytest.mark.parametrize("name", ["vit", "swin", "convnext", "maxvit"])
def test_small_relative_of_a_large_network_is_converted_whole(name):
    line = zoo.Network(name, 0.0)
    zoo.compare(zoo.shaken(relatives()[name]), torch.randn(4, 3, 32, 32).double(), line)
    assert line.layers


def visit(*networks):
    """What the command ends with."""
    with pytest.raises(SystemExit) as end:
        ledger.main(["--zoo", *networks])
    return end.value.code


def test_unknown_network_is_named(capsys):
    assert visit("resnet18", "resnet19") == 2
    assert "torchvision has no resnet19" in capsys.readouterr().err


def test_zoo_shows_a_layer_that_computes_something_else(monkeypatch, capsys):
    monkeypatch.setattr(zoo, "names", lambda: ["shufflenet_v2_x0_5", "vit_h_14"])
    assert visit() == 0
    assert "1 of 2 networks equal, 1 skipped: vit_h_14" in capsys.readouterr().out
    right = linear._Linear.backward
    monkeypatch.setattr(
        linear._Linear, "backward", lambda ctx, dy: tuple(1.001 * d for d in right(ctx, dy))
    )
    assert visit("shufflenet_v2_x0_5") == 1
    assert "gradient" in zoo.visit("shufflenet_v2_x0_5").failure


@pytest.mark.zoo
@pytest.mark.parametrize("name", zoo.names())
def test_every_network_of_torchvision_is_converted_whole(name):
    check(name)
