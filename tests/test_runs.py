"""The peers of whole trainings are the same network, and what they are charged for is theirs."""

import json
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dlbook_torch import models
from dlbook_torch.bench import overhead, runs
from dlbook_torch.bench.peers import __main__ as child
from dlbook_torch.bench.peers import book, clock, examples, files, loops

from .idx import use_mnist


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Small files in the place of MNIST."""
    use_mnist(monkeypatch, tmp_path, train=600, test=50)
    monkeypatch.setattr(files, "HELD_OUT", 100)
    return tmp_path


def batch(n=5, shape=(1, 28, 28)):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, *shape, generator=generator, dtype=torch.float64)
    return x, torch.randint(10, (n,), generator=generator)


def test_the_numpy_network_has_the_gradients_of_ours():
    ours, numpys, (x, t) = models.SimpleConvNet().double(), book.Net("float64"), batch()
    rng = np.random.default_rng(0)
    for p in numpys.params:
        p += 0.02 * rng.standard_normal(p.shape)
    w1, w2, w3, b1, b2, b3 = numpys.params
    given = [torch.from_numpy(np.array(p)) for p in (w1, b1, w2.T, b2, w3.T, b3)]
    with torch.no_grad():
        for p, w in zip(ours.parameters(), given, strict=True):
            p.copy_(w)
    loss = F.cross_entropy(ours(x), t)
    assert numpys.loss(x.numpy(), t.numpy()) == pytest.approx(loss.item(), rel=1e-5)
    dw1, dw2, dw3, db1, db2, db3 = numpys.gradients(x.numpy(), t.numpy())
    for g, w in zip(
        torch.autograd.grad(loss, list(ours.parameters())),
        (dw1, db1, dw2.T, db2, dw3.T, db3),
        strict=True,
    ):
        torch.testing.assert_close(g, torch.from_numpy(np.array(w)))


def test_the_books_adam_is_torchs_but_for_the_place_of_epsilon():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((3, 4))
    twin = torch.from_numpy(w.copy()).requires_grad_()
    rule, theirs = book.Adam([w]), torch.optim.Adam([twin])
    for _ in range(5):
        g = rng.standard_normal((3, 4))
        rule.step([g])
        twin.grad = torch.from_numpy(g)
        theirs.step()
    torch.testing.assert_close(torch.from_numpy(w), twin.detach(), rtol=1e-5, atol=1e-8)


def test_pooling_after_relu_is_the_same_network():
    torch.manual_seed(0)
    first, _ = loops.network("convnet", "torch")
    torch.manual_seed(0)
    second, _ = loops.network("convnet, book's order", "torch")
    kinds = [[type(layer).__name__ for layer in net.layers[:3]] for net in (first, second)]
    assert kinds == [["Conv2d", "MaxPool2d", "ReLU"], ["Conv2d", "ReLU", "MaxPool2d"]]
    x = batch()[0].float()
    torch.testing.assert_close(first(x), second(x), rtol=0, atol=0)


@pytest.mark.parametrize("subject", runs.SUBJECTS)
def test_ours_and_theirs_start_from_the_same_weights(subject):
    nets = []
    for library in ("dlbook", "torch"):
        torch.manual_seed(0)
        net, rule = loops.network(subject, library)
        assert type(rule).__module__.startswith(f"{library}") or library == "dlbook"
        nets.append(net)
    assert all(map(torch.equal, *(net.parameters() for net in nets)))
    assert {type(m).__module__.partition(".")[0] for m in nets[1].layers} == {"torch"}
    assert all(type(m).__module__.startswith("dlbook_torch.nn") for m in nets[0].layers)


def test_memory_and_loader_give_the_same_images(folder):
    taken = []
    for make in (loops.from_memory, loops.from_loader):
        given = make(folder)
        pairs = [next(given) for _ in range(5)]
        assert [len(x) for x, _ in pairs] == 5 * [100]
        x, t = (torch.cat(part) for part in zip(*pairs, strict=True))
        sums = x.double().sum((1, 2, 3))
        order = sums.argsort()
        taken.append((sums[order], t[order]))
    torch.testing.assert_close(taken[0][0], taken[1][0], rtol=0, atol=1e-3)
    assert torch.equal(taken[0][1], taken[1][1])


def test_the_examples_network_has_the_published_size():
    assert sum(p.numel() for p in examples.network().parameters()) == 1_199_882


def test_a_clock_tells_training_from_what_lies_beside_it(monkeypatch):
    now = {"cpu": 3.0, "wall": 100.0}
    monkeypatch.setattr(clock, "used", lambda: now["cpu"])
    monkeypatch.setattr(clock, "time", SimpleNamespace(perf_counter=lambda: now["wall"]))

    def spend(cpu=0.01, wall=0.02):
        now["cpu"] += cpu
        now["wall"] += wall

    watch = clock.Clock()
    watch.repeat(spend, 5)
    spend(0.1, 0.3)
    watch.repeat(spend, 2)
    spend(0.2, 0.4)
    times = dict(steps=7, wall=0.14, cpu=0.07, startup_cpu=3, rest_cpu=0.3)
    assert watch.times() == pytest.approx(times)


def test_time_of_the_processor_is_this_process_s_and_its_children_s():
    busy = "import time\nwhile time.process_time() < 0.2: pass"
    before, end = clock.used(), time.process_time() + 0.1
    subprocess.run([sys.executable, "-c", busy], check=True)
    while time.process_time() < end:
        pass
    assert clock.used() - before >= 0.29


SMALL = [peer for peer in runs.SUBJECTS["convnet"] if not peer.environment]


@pytest.mark.parametrize("peer", SMALL, ids=lambda peer: peer.name)
def test_every_peer_trains_as_many_steps_as_it_is_told(peer, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    child.main([*peer.args, "--steps=3", f"--data-dir={folder}"])
    times = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert times["steps"] == 3
    assert min(times["cpu"], times["wall"], times["startup_cpu"]) > 0


def test_the_training_command_gives_its_scores_and_times_all_epochs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "small.yaml").write_text(
        """
trainer: {max_epochs: 2, enable_progress_bar: false}
model:
  class_path: dlbook_torch.training.Classifier
  init_args: {net: {class_path: dlbook_torch.models.MLP,
    init_args: {in_features: 784, out_features: 10, hidden: []}}}
data: {class_path: dlbook_torch.data.MNIST, init_args: {batch_size: 50, val_size: 100}}
"""
    )
    child.main(["config", "small.yaml", f"--data-dir={folder}", "--seed_everything=3"])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["steps"] == 2 * 10
    assert {"val/accuracy", "test/accuracy"} <= told.keys()
    assert not list(folder.glob("runs"))


def test_peers_take_turns_and_ratios_are_of_one_round(monkeypatch):
    asked, speed = [], {"ours": [2.0, 8.0, 1.0], "theirs": [4.0, 8.0, 8.0]}

    def trained(args, data_dir=None, environment=None):
        who = args[0]
        asked.append(who)
        wall = speed[who][asked.count(who) - 1]
        return {"steps": 10, "wall": wall, "cpu": 2 * wall, "startup_cpu": 1.5, "rest_cpu": 0.0}

    pair = [runs.Peer("ours", ("ours",), 10, 20), runs.Peer("theirs", ("theirs",), 10, 20)]
    monkeypatch.setattr(runs, "SUBJECTS", {"net": pair})
    monkeypatch.setattr(runs, "trained", trained)
    found = list(runs.measure(["net"], rounds=3))
    assert asked == 3 * ["ours", "theirs"]
    assert len(found) == runs.processes(["net"], 3)
    rows = list(zip(*(column.cells for column in runs.table(found, 3).columns), strict=True))
    assert rows[0][2:] == ("4.0", "8.0", "400.0", "1.00", "1.00", "1.5")
    assert rows[1][2:] == ("16.0", "32.0", "1600.0", "0.50", "0.50", "1.5")  # of 1/2, 1, 1/8


def test_a_training_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"the training loop convnet torch failed: .*MNIST|not"):
        runs.trained(["loop", "convnet", "torch", "--steps=1"], str(tmp_path))


def test_seeds_are_a_row_with_their_range(monkeypatch):
    given = []

    def trained(args, data_dir=None, environment=None):
        given.append(args)
        scores = {"val/accuracy": 0.5, "test/accuracy": 0.9 + 0.01 * len(given)}
        return scores | {"cpu": 1.0 + len(given), "startup_cpu": 4.0, "rest_cpu": 2.0}

    monkeypatch.setattr(runs, "trained", trained)
    found = list(runs.seeds("some.yaml", 3))
    assert [args[2:] for args in given] == [
        [f"--seed_everything={n}", f"--data.seed={n}"] for n in range(3)
    ]
    (row,) = zip(*(column.cells for column in runs.seeds_table(found).columns), strict=True)
    assert row == (
        *("some.yaml", "3", "50.00%", "92.00%", "91.00%", "93.00%", "3.0", "4.0", "2.0"),
    )


def test_the_overhead_is_that_of_the_same_steps(folder, monkeypatch):
    monkeypatch.setattr(overhead, "EVERY", 1)
    (row,) = overhead.measure(["mlp"], steps=4, data_dir=str(folder))
    assert row["network"] == "mlp"
    assert row["plain_ms"] > 0
    assert len(overhead.InTurn.times) == 4
    assert row["share"] > 0, "a hook costs nothing?"
