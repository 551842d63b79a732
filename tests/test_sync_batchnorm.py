"""Two processes that share their BatchNorm against one that sees the whole batch."""

import copy
from dataclasses import dataclass, field

import pytest
import torch
from torch import distributed, multiprocessing
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.testing import assert_close

from dlbook_torch import convert, nn, optim
from dlbook_torch.parity.checks import ELEMENTARY
from dlbook_torch.parity.checks.handwritten import Recorder

RANKS, RULES = 2, ("SGD", "RMSprop")


@dataclass
class Split:
    """A batch in two parts, and the layer that sees it."""

    sizes: tuple[int, int]
    rest: tuple[int, ...] = ()  # the axes behind N and C
    kwargs: dict = field(default_factory=dict)
    offset: float = 0.0
    dtype: torch.dtype = torch.float64

    def layer(self, library, kind):
        torch.manual_seed(0)
        norm = getattr(library, kind)(3, **self.kwargs).to(self.dtype)
        with torch.no_grad():
            for t in norm.parameters():
                t.add_(torch.rand_like(t))
        return norm

    def tensors(self):
        """The whole input, and what outputs and first derivatives are weighed with."""
        torch.manual_seed(1)
        shape = (sum(self.sizes), 3, *self.rest)
        x, g, h = (torch.randn(shape, dtype=self.dtype) for _ in range(3))
        return x + self.offset, g, h

    def part(self, t, rank):
        first = self.sizes[0]
        return t[:first] if rank == 0 else t[first:]


SPLITS = {
    "rows": Split((4, 4)),
    "unequal rows": Split((5, 2)),
    "one value in a process": Split((4, 1)),
    "one value in each": Split((1, 1)),
    "an empty batch": Split((4, 0)),
    "an empty batch first": Split((0, 3), (2,)),
    "images": Split((3, 2), (4, 2)),
    "volumes": Split((2, 3), (2, 1, 2)),
    "far from zero": Split((4, 3), (5,), offset=1e6),
    "not affine": Split((4, 3), (2,), dict(affine=False)),
    "no running statistics": Split((4, 3), (2,), dict(track_running_stats=False)),
    "all batches alike": Split((4, 3), (2,), dict(momentum=None)),
    "other constants": Split((4, 3), (2,), dict(momentum=0.3, eps=0.1)),
    "single precision": Split((4, 3), (5,), dtype=torch.float32),
    "bfloat16": Split((4, 3), (5,), dtype=torch.bfloat16),
}


def played(norm, x, g, h):
    """Two steps: outputs, derivatives of two orders, and what is remembered at their end."""
    found = {}
    for step in range(2):
        a = (x * (step + 1)).detach().requires_grad_()
        given = [a, *norm.parameters()]
        y = norm(a)
        (dx, *dparams) = torch.autograd.grad((y.tanh() * g).sum(), given, create_graph=True)
        second = torch.autograd.grad((dx * h).sum(), given, allow_unused=True)
        found |= {f"y{step}": y, f"dx{step}": dx, f"ddx{step}": second[0]}
        for i, (first, again) in enumerate(zip(dparams, second[1:], strict=True)):
            found |= {f"dparam{i}{step}": first}
            found |= {f"ddparam{i}{step}": first * 0 if again is None else again}
    found |= dict(norm.named_buffers())
    norm.eval()
    found["evaluated"] = norm(x)
    return {name: t.detach().clone() for name, t in found.items()}


def refusal(call):
    try:
        call()
    except Exception as error:
        return type(error), str(error)
    return None


def in_groups(rank):
    """Groups of one process each, and a group of both, seen by one layer after the other."""
    alone = [distributed.new_group([r]) for r in range(RANKS)]
    both = distributed.new_group([0, 1])
    split = SPLITS["images"]
    x = split.part(split.tensors()[0], rank)
    made = [split.layer(nn, "SyncBatchNorm") for _ in range(3)]
    for norm, group in zip(made, (alone[rank], both, None), strict=True):
        norm.process_group = group
    return [norm(x).detach() for norm in made]


def messages(norm, x):
    """How often the processes talk, whether in a given group, and of what the layer is made."""
    sent, send = [], distributed.all_reduce
    norm.process_group = group = distributed.new_group([0, 1])

    def note(t, group=None):
        sent.append(group)
        send(t, group=group)

    distributed.all_reduce = note
    try:
        with Recorder() as recorder:
            norm(x).sum().backward()
        trained = len(sent)
        norm.eval()(x)
    finally:
        distributed.all_reduce = send
    return trained, len(sent) - trained, {g is group for g in sent}, recorder.names


def nothing(norm):
    before = copy.deepcopy(dict(norm.named_buffers()))
    y = norm(torch.empty(0, 3, 2))
    return y.shape, [torch.equal(before[n], t) for n, t in norm.named_buffers() if "mean" in n]


def trained(rule, rank=None):
    """Weights and statistics after two steps: alone, or sharded (FSDP2) with a half of the rows."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.SyncBatchNorm(8), nn.ReLU(), nn.Linear(8, 4)).double()
    x, t = torch.randn(8, 6).double(), torch.randint(4, (8,))
    if rank is not None:
        mesh = init_device_mesh("cpu", (RANKS,))
        for part in (net[0], net[1], net[3], net):
            fully_shard(part, mesh=mesh)
        x, t = x[rank::RANKS], t[rank::RANKS]
    moves = getattr(optim, rule)(net.parameters(), lr=0.1)
    for _ in range(2):
        moves.zero_grad()
        nn.CrossEntropyLoss()(net(x), t).backward()
        moves.step()
    state = net.state_dict().items()
    return {k: v.full_tensor() if isinstance(v, DTensor) else v for k, v in state}


def process(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=RANKS)
    found = {}
    for name, split in SPLITS.items():
        parts = [split.part(t, rank) for t in split.tensors()]
        found[name] = played(split.layer(nn, "SyncBatchNorm"), *parts)
    x = torch.randn(2, 3)
    found["a single value"] = refusal(lambda: nn.SyncBatchNorm(3)(torch.randn(1 - rank, 3)))
    found["torch's"] = refusal(lambda: torch.nn.SyncBatchNorm(3)(x))
    found["nothing at all"] = nothing(nn.SyncBatchNorm(3))
    found["groups"] = in_groups(rank)
    found["messages"] = messages(nn.SyncBatchNorm(3), x.requires_grad_())
    found["sharded"] = {rule: trained(rule, rank) for rule in RULES}
    torch.save(found, f"{folder}/{rank}")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each of the two processes has found."""
    folder = tmp_path_factory.mktemp("ranks")
    multiprocessing.spawn(process, (folder,), nprocs=RANKS)
    return [torch.load(folder / str(rank), weights_only=False) for rank in range(RANKS)]


@pytest.mark.parametrize("twin", [torch.nn, nn], ids=["torch", "ours"])
@pytest.mark.parametrize("name, split", SPLITS.items(), ids=SPLITS)
def test_two_processes_do_what_one_does_with_the_whole_batch(ranks, name, split, twin):
    kind = f"BatchNorm{max(len(split.rest), 1)}d"
    whole = played(split.layer(twin, kind), *split.tensors())
    if not split.kwargs.get("track_running_stats", True):  # evaluation goes by its own batch
        norm, x = split.layer(twin, kind).eval(), split.tensors()[0]
        whole["evaluated"] = torch.cat([norm(split.part(x, rank)) for rank in range(RANKS)])
    tolerance = {}
    if split.dtype == torch.bfloat16:
        tolerance = dict(rtol=0.05, atol=0.1)  # the first derivative is rounded before the second
    if split.offset:
        tolerance = dict(rtol=1e-6, atol=1e-6)  # 1e6 leaves ten digits to the differences
    together = {}
    for key in whole:
        parts = [found[name][key] for found in ranks]
        if "param" in key:  # each process has its own share, DDP adds them up
            together[key] = sum(parts)
        elif key.startswith(("running", "num")):
            assert torch.equal(*parts), key
            together[key] = parts[0]
        else:
            together[key] = torch.cat(parts)
    assert_close(together, whole, **tolerance)


def test_a_single_value_in_all_is_refused_by_every_process(ranks):
    for found in ranks:
        kind, text = found["a single value"]
        assert kind is ValueError
        assert "more than 1 value per channel" in text


def test_empty_batches_everywhere_leave_the_statistics(ranks):
    for found in ranks:
        assert found["nothing at all"] == ((0, 3, 2), [True])


def test_torchs_own_layer_refuses_the_cpu(ranks):
    for found in ranks:
        kind, text = found["torch's"]
        assert kind is ValueError
        assert "GPU" in text


def test_a_group_has_statistics_of_its_own(ranks):
    split = SPLITS["images"]
    x = split.tensors()[0]
    for rank, found in enumerate(ranks):
        alone, both, everybody = found["groups"]
        assert_close(alone, split.layer(nn, "BatchNorm2d")(split.part(x, rank)).detach())
        assert torch.equal(both, everybody)
        assert not torch.allclose(alone, both)


def test_two_messages_forward_two_backward_none_in_evaluation(ranks):
    for found in ranks:
        trained, evaluated, in_group, operations = found["messages"]
        assert (trained, evaluated, in_group) == (4, 0, {True})
        derivatives = {"pow", "slice_backward"}  # autograd's, of a root and of a slice
        assert operations - ELEMENTARY == {"allreduce_"} | derivatives


@pytest.mark.parametrize("rule", RULES)
def test_a_sharded_network_moves_as_a_whole_one(ranks, rule):
    for found in ranks:
        assert_close(found["sharded"][rule], trained(rule))


def test_converted_model_shares_weights_and_statistics_and_says_the_same():
    net = nn.Sequential(
        nn.BatchNorm1d(3, momentum=0.2, eps=0.1),
        nn.Sequential(torch.nn.BatchNorm1d(3, affine=False).eval()),
        nn.BatchNorm1d(3, track_running_stats=False, bias=False),
        nn.Linear(3, 2),
    )
    group, linear, before = object(), net[3], dict(net.state_dict(keep_vars=True))
    x = torch.randn(5, 3)
    expected = copy.deepcopy(net)(x)
    synced = nn.SyncBatchNorm.convert_sync_batchnorm(net, group)
    assert synced is net
    layers = [net[0], net[1][0], net[2]]
    assert {type(layer) for layer in layers} == {nn.SyncBatchNorm}
    assert {layer.process_group for layer in layers} == {group}
    assert [layer.training for layer in layers] == [True, False, True]
    assert net[3] is linear
    after = synced.state_dict(keep_vars=True)
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    assert_close(synced(x), expected)
    single = nn.BatchNorm2d(3)
    other = nn.SyncBatchNorm.convert_sync_batchnorm(single)
    assert type(single) is nn.BatchNorm2d
    assert other.weight is single.weight


def test_converted_model_has_the_attributes_that_torchs_has():
    for kwargs in (
        dict(momentum=None, eps=0.1),
        dict(affine=False),
        dict(track_running_stats=False),
    ):
        theirs = torch.nn.SyncBatchNorm.convert_sync_batchnorm(torch.nn.BatchNorm2d(3, **kwargs))
        ours = nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm2d(3, **kwargs))
        for name in ("num_features", "eps", "momentum", "affine", "track_running_stats"):
            assert getattr(theirs, name) == getattr(ours, name)
        theirs.load_state_dict(ours.state_dict())


def test_convert_swaps_it_and_keeps_the_group():
    group = object()
    net = torch.nn.Sequential(torch.nn.SyncBatchNorm(3, process_group=group))
    assert type(convert(net)[0]) is nn.SyncBatchNorm
    assert net[0].process_group is group
    assert type(convert(net, to="builtin")[0]) is torch.nn.SyncBatchNorm
