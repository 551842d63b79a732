"""The monitors inside Lightning, on modules that are not ours."""

import json
import re
from itertools import pairwise
from math import isinf, isnan, nan

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.strategies import DDPStrategy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.util import tensor_util
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torchvision.models import resnet18

from dlbook_torch.diagnostics.monitor import NetworkMonitor, OverfittingMonitor
from dlbook_torch.diagnostics.names import accuracies, losses
from dlbook_torch.diagnostics.online import alarm, generalization_loss, trailing_median
from dlbook_torch.diagnostics.watch import Watch
from dlbook_torch.training import CurveLogger
from dlbook_torch.training.console import quiet
from dlbook_torch.training.run import run


@pytest.fixture(autouse=True)
def silence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with quiet():
        yield


def points(n=64, seed=0, inputs=4, classes=3):
    g = torch.Generator().manual_seed(seed)
    t = torch.randint(classes, (n,), generator=g)
    return torch.randn(n, inputs, generator=g) + 2 * F.one_hot(t, inputs), t


def loader(n=64, seed=0, batch_size=16):
    return DataLoader(TensorDataset(*points(n, seed)), batch_size)


def mlp(*sizes, activation=nn.ReLU):
    layers = []
    for n, m in pairwise(sizes):
        layers += [nn.Linear(n, m), activation()]
    return nn.Sequential(*layers[:-1])


class Module(L.LightningModule):
    """Somebody's classifier."""

    def __init__(self, net=None, lr=0.01, train="train_loss", val="val_loss", rule=torch.optim.SGD):
        super().__init__()
        self.net = net or mlp(4, 8, 3)
        self.lr, self.train_name, self.val_name, self.rule = lr, train, val, rule

    def training_step(self, batch, batch_idx):
        x, t = batch
        loss = F.cross_entropy(self.net(x), t)
        if self.train_name:
            self.log(self.train_name, loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, t = batch
        y = self.net(x)
        self.log(self.val_name, F.cross_entropy(y, t))
        self.log("val_acc", (y.argmax(1) == t).float().mean())

    def configure_optimizers(self):
        return self.rule(self.parameters(), lr=self.lr)


def trainer(*callbacks, epochs=2, **options):
    checkpoints = any(isinstance(c, ModelCheckpoint) for c in callbacks)
    settings = dict(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=checkpoints,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    return L.Trainer(max_epochs=epochs, callbacks=list(callbacks), **settings | options)


def fit(module, *callbacks, data=None, val=None, **options):
    done = trainer(*callbacks, **options)
    done.fit(module, data or loader(), val if val is not None else loader(32, 1))
    return done


def ids(monitor):
    return {finding.id for finding in monitor.report.findings}


# curves


@pytest.mark.parametrize(
    "names, found",
    [
        (["train_loss", "val_loss"], ("train_loss", "val_loss")),
        (["train/loss", "val/loss", "gap/loss"], ("train/loss", "val/loss")),
        (["train_loss_step", "train_loss_epoch", "valid_loss"], ("train_loss_epoch", "valid_loss")),
        (["loss/train", "loss/val"], ("loss/train", "loss/val")),
        (["Train Loss", "Validation Loss"], ("Train Loss", "Validation Loss")),
        (["train/loss", "val/loss", "val/box_loss"], ("train/loss", "val/loss")),
        (["train_total_loss", "val_total_loss"], ("train_total_loss", "val_total_loss")),
        (
            ["val_loss/dataloader_idx_0", "val_loss/dataloader_idx_1"],
            (None, "val_loss/dataloader_idx_0"),
        ),
        (["train_loss", "val_nll", "val_kl_loss"], ("train_loss", "val_nll")),
        (["train_ce", "train_aux_loss", "val_aux_loss"], ("train_aux_loss", "val_aux_loss")),
        (["tr_loss", "train/box_loss", "val/box_loss", "dev_loss"], ("tr_loss", "dev_loss")),
        (
            ["train/a_loss", "train/total_loss", "val/a_loss", "val/total_loss"],
            ("train/total_loss", "val/total_loss"),
        ),
        (["train/loss_running", "train/loss", "val/loss"], ("train/loss", "val/loss")),
        (["train_loss_step", "test_loss", "val_loss"], (None, "val_loss")),
        (["lossless", "valuable"], (None, None)),
    ],
)
def test_pairs_are_found_by_name(names, found):
    assert losses(names) == found


def test_accuracies_are_found_too():
    assert accuracies(["train_acc", "val_accuracy"]) == ("train_acc", "val_accuracy")
    assert accuracies(["train/top1_acc", "val/top5_acc"]) == ("train/top1_acc", None)


@pytest.mark.parametrize("train", ["train_loss", "train/loss", None])
def test_curves_are_what_was_logged_or_else_the_mean_of_the_steps(train):
    losses = []

    class Recorder(L.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            losses.append(float(outputs["loss"]))

        def on_train_epoch_end(self, trainer, pl_module):
            vals.append(float(trainer.callback_metrics["val_loss"]))

    vals, monitor = [], OverfittingMonitor()
    fit(Module(train=train), monitor, Recorder(), epochs=3)
    curves = monitor.curves
    means = torch.tensor(losses).view(3, 4).mean(1).tolist()
    assert curves.train == pytest.approx(means)
    assert curves.val == pytest.approx(vals)
    assert (curves.epochs, curves.measured) == ([0, 1, 2], False)
    assert curves.lr == [0.01] * 3


def test_a_loss_that_the_module_logs_at_the_epochs_end_is_of_this_epoch():
    class Late(Module):
        def on_train_epoch_end(self):
            self.log("train_loss", float(self.current_epoch))

    monitor = OverfittingMonitor()
    fit(Late(train=None), monitor, epochs=3)
    assert monitor.curves.train == [0, 1, 2]


def test_the_share_of_accumulated_batches_is_undone():
    plain, accumulated = OverfittingMonitor(), OverfittingMonitor()
    fit(Module(train=None, lr=0), plain, epochs=1)
    fit(Module(train=None, lr=0), accumulated, epochs=1, accumulate_grad_batches=4)
    torch.manual_seed(0)
    assert accumulated.curves.val == pytest.approx(plain.curves.val, rel=1)
    ratio = accumulated.curves.train[0] / accumulated.curves.val[0]
    assert 0.5 < ratio < 2


def test_our_measured_training_loss_is_known_as_such():
    done = run_config("configs/ch04/overfit_digits.yaml", "--trainer.max_epochs=2")
    monitor, network = monitors_of(done)  # both are on by default
    assert isinstance(network, NetworkMonitor)
    assert monitor.curves.measured
    assert monitor.curves.classes == 10
    rows = done.history.rows
    assert monitor.curves.train == pytest.approx([row["train/loss"] for row in rows])
    assert monitor.curves.val_accuracy == pytest.approx([row["val/accuracy"] for row in rows])


def test_given_names_win_and_a_wrong_one_is_a_sentence():
    class More(Module):
        def validation_step(self, batch, batch_idx):
            super().validation_step(batch, batch_idx)
            self.log("other", 7.0)

    monitor = OverfittingMonitor(val="other")
    fit(More(), monitor)
    assert monitor.curves.val == [7, 7]
    with pytest.raises(ValueError, match="val='val_los' is not logged, did you mean 'val_loss'"):
        fit(Module(), OverfittingMonitor(val="val_los"))


def test_without_validation_the_curves_have_no_validation_loss():
    monitor, network = OverfittingMonitor(), NetworkMonitor()
    fit(Module(), monitor, network, epochs=9, limit_val_batches=0)
    assert all(map(isnan, monitor.curves.val))
    assert monitor.report.healthy
    assert len(network.rows) == 9


def test_epochs_between_validations_have_no_validation_loss():
    monitor = OverfittingMonitor()
    fit(Module(), monitor, epochs=4, check_val_every_n_epoch=2)
    assert list(map(isnan, monitor.curves.val)) == [True, False, True, False]


def test_every_validation_within_an_epoch_is_judged():
    monitor, network = OverfittingMonitor(), NetworkMonitor(every_n_steps=1)
    fit(Module(), monitor, network, epochs=2, val_check_interval=0.5)
    assert [row["epoch"] for row in monitor.rows] == [0, 0, 1, 1]
    assert [row["epoch"] for row in network.rows] == [0, 0, 1, 1]
    assert monitor.curves.epochs is None
    assert not any(map(isnan, monitor.curves.val + monitor.curves.train))


def test_a_loss_that_is_no_number_is_diverging_not_missing():
    monitor = OverfittingMonitor(verbose=False)
    fit(Module(lr=1e30), monitor, epochs=3)
    assert isinf(monitor.curves.val[-1])
    assert monitor.report.id == "diverging"


def test_sanity_checks_are_no_epoch():
    monitor, network = OverfittingMonitor(), NetworkMonitor()
    fit(Module(), monitor, network, epochs=1, num_sanity_val_steps=2)
    assert len(monitor.rows) == len(network.rows) == 1


# when to stop


def test_generalisation_loss_is_the_rise_above_the_lowest():
    assert generalization_loss([2, 1, 1.5, 0.5, 1]) == [0, 0, 0.5, 0, 1]
    assert trailing_median([5, 1, 2, 9, 3, 4]) == [5, 3, 2, 3.5, 3, 3]


def test_the_alarm_waits_for_five_epochs_above_five_percent():
    falling = [1.0 - 0.1 * e for e in range(6)]  # to 0.5
    rising = [0.5 + 0.02 * e for e in range(1, 20)]
    first = next(
        e
        for e in range(25)
        if all(
            x > 0.05 for x in generalization_loss(trailing_median(falling + rising))[e - 4 : e + 1]
        )
        and e >= 4
    )
    assert alarm(falling + rising) == first
    assert alarm(falling) is None
    assert alarm([*falling, 9.0, *falling[-1:] * 9]) is None  # one spike
    assert alarm([1.0, nan, nan, nan, nan, nan]) == 5


class Overfits(Module):
    """A module whose validation loss falls and rises again, whatever it learns."""

    def validation_step(self, batch, batch_idx):
        e = self.current_epoch
        self.log("val_loss", 1.0 - 0.1 * e if e < 5 else 0.5 + 0.05 * (e - 5))


def test_stop_ends_the_run_and_the_best_checkpoint_is_kept(tmp_path, capsys):
    best = ModelCheckpoint(tmp_path, "best", "val_loss")
    monitor = OverfittingMonitor(stop=True)
    done = fit(Overfits(), monitor, best, epochs=40)
    val = monitor.curves.val
    assert alarm(val) == len(val) - 1 < 20
    assert done.should_stop
    kept = torch.load(best.best_model_path, weights_only=True)
    assert kept["epoch"] == 5 == min(range(len(val)), key=val.__getitem__)
    said = capsys.readouterr().out
    assert re.search(r"stopped: val_loss .* the best epoch is 6, kept in .*best.ckpt", said)


def test_without_stop_the_run_goes_on():
    monitor = OverfittingMonitor()
    fit(Overfits(), monitor, epochs=16)
    assert len(monitor.rows) == 16
    assert "overfitting" in ids(monitor)


# layers: faults that are planted, found within three epochs


def watched(net, epochs=3, module=Module, **options):
    """A run of 256 samples an epoch: two of them decide about a unit."""
    network, monitor = NetworkMonitor(verbose=False), OverfittingMonitor(verbose=False)
    fit(module(net, **options), network, monitor, epochs=epochs, data=loader(256))
    return monitor, network


def found(monitor, name):
    return next(x for x in monitor.report.findings if x.id == name)


def test_dead_units_are_found():
    net = mlp(4, 10, 10, 3)
    net[0].bias.data[:6] = -100
    monitor, network = watched(net)
    assert found(monitor, "dead_relu").numbers["net.0"] == pytest.approx(0.6)
    seen = [row["values"].get("dead", {}).get("net.0") for row in network.rows]
    assert seen == [None, pytest.approx(0.6), None]


def test_units_that_die_in_the_middle_of_a_run_are_found_within_three_epochs():
    class Killer(L.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 5:
                pl_module.net[0].bias.data.fill_(-100)

    dead = []

    class Listener(L.Callback):
        def on_validation_start(self, trainer, pl_module):
            pass

        def on_train_end(self, trainer, pl_module):
            dead.extend(row["values"].get("dead", {}).get("net.0") for row in network.rows)

    network, monitor = NetworkMonitor(verbose=False), OverfittingMonitor(verbose=False)
    fit(Module(), network, monitor, Killer(), Listener(), epochs=8, data=loader(600))
    assert dead[:5] == [pytest.approx(dead[0], abs=0.3)] * 5
    assert dead[5:] == [1, 1, 1]
    assert found(monitor, "dead_relu").since == 5


def test_saturation_is_found():
    net = mlp(4, 10, 10, 3, activation=nn.Tanh)
    net[0].weight.data *= 100
    monitor, _ = watched(net)
    assert found(monitor, "saturated").numbers["net.0"] > 0.8


class Forgetful(Module):
    """Its optimizer was not given the first layer."""

    def configure_optimizers(self):
        return torch.optim.SGD(self.net[2:].parameters(), lr=self.lr)


def test_a_layer_that_the_optimizer_does_not_have_is_found():
    monitor, network = watched(mlp(4, 10, 10, 3), module=Forgetful)
    assert network.table["update_ratio"]["net.0"] == 0
    assert network.table["gradient_norm"]["net.0"] > 0
    assert "net.0" in found(monitor, "frozen_layer").evidence


def test_a_layer_frozen_on_purpose_is_not_reported():
    net = mlp(4, 10, 10, 3)
    net[0].requires_grad_(False)
    monitor, network = watched(net)
    assert "frozen_layer" not in ids(monitor)
    internals = network.internals
    assert isnan(internals.update_ratio[-1][list(internals.layers).index("net.0")])


def test_equal_weights_are_found():
    net = mlp(4, 10, 10, 3, activation=nn.Tanh)
    for layer in (net[0], net[2]):
        nn.init.constant_(layer.weight, 0.1)
        nn.init.zeros_(layer.bias)
    monitor, _ = watched(net)
    assert found(monitor, "symmetric_weights").numbers["net.0"] == pytest.approx(1, abs=1e-4)


def test_a_healthy_network_has_nothing_to_report(capsys):
    monitor, network = OverfittingMonitor(), NetworkMonitor()
    fit(Module(lr=0.1), monitor, network, epochs=6, data=loader(256))
    assert capsys.readouterr().out == ""
    assert monitor.report.healthy


def test_without_its_partner_the_network_monitor_judges_alone(capsys):
    net = mlp(4, 10, 10, 3)
    net[0].bias.data.fill_(-100)
    network = NetworkMonitor(samples=64)
    fit(Module(net), network, epochs=5)
    assert "dead_relu" in ids(network)
    lines = capsys.readouterr().out.splitlines()
    assert sum("dead_relu" in line for line in lines) == 1  # said once, not every epoch


def test_a_finding_is_said_again_only_when_it_gets_worse(capsys):
    class Worse(L.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            dead = {0: 0, 2: 4, 6: 9}.get(trainer.current_epoch)
            if dead:
                pl_module.net[0].bias.data[:dead] = -100

    net = mlp(4, 10, 10, 3)
    fit(Module(net, lr=1e-9), NetworkMonitor(samples=256), Worse(), epochs=12, data=loader(256))
    lines = [x for x in capsys.readouterr().out.splitlines() if "dead_relu" in x]
    assert [re.match(r"epoch (\d+): (\w+):", line).groups()[1] for line in lines] == [
        "warning",
        "error",
    ]


# gradients, in every way of training


class Gradients(L.Callback):
    """What torch says the gradients were, before clipping."""

    def __init__(self):
        self.norms = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.norms.append(pl_module.net[0].weight.grad.norm().item())


@pytest.mark.parametrize(
    "options", [{}, {"accumulate_grad_batches": 2}, {"gradient_clip_val": 1e-3}], ids=str
)
def test_gradients_are_those_of_the_whole_step_before_clipping(options):
    network, truth = NetworkMonitor(every_n_steps=1), Gradients()
    fit(Module(), network, truth, epochs=1, **options)
    mean = sum(truth.norms) / len(truth.norms)
    assert len(truth.norms) == 4 // options.get("accumulate_grad_batches", 1)
    assert network.table["gradient_norm"]["net.0"] == pytest.approx(mean, rel=1e-5)
    assert mean > 0.05


def test_under_a_gradient_scaler_gradients_are_unscaled_and_overflows_left_out():
    plain = NetworkMonitor(every_n_steps=1)
    torch.manual_seed(1)
    fit(Module(lr=0), plain, epochs=1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120)  # overflows at first
    network = NetworkMonitor(every_n_steps=1)
    torch.manual_seed(1)
    amp = MixedPrecision("16-mixed", "cpu", scaler)
    fit(Module(lr=0), network, epochs=40, plugins=[amp])
    assert scaler.get_scale() < 2.0**120
    assert network.table["gradient_norm"]["net.0"] == pytest.approx(
        plain.table["gradient_norm"]["net.0"], rel=0.05
    )
    norms = [row["values"]["gradient_norm"]["net.0"] for row in network.rows]
    assert all(0 < norm < 100 for norm in norms)


def test_bfloat16_is_measured():
    network = NetworkMonitor()
    fit(Module(), network, epochs=1, precision="bf16-mixed")
    assert network.table["activation_std"]["net.0"] > 0
    assert network.table["gradient_norm"]["net.0"] > 0


class TwoOptimizers(Module):
    """Two networks, two optimizers, two backward passes, by hand."""

    def __init__(self):
        super().__init__(nn.ModuleDict({"a": mlp(4, 6, 3), "b": mlp(4, 6, 3)}))
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        x, t = batch
        for name, optimizer in zip("ab", self.optimizers(), strict=True):
            loss = F.cross_entropy(self.net[name](x), t)
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", F.cross_entropy(self.net["a"](batch[0]), batch[1]))

    def configure_optimizers(self):
        return [torch.optim.SGD(self.net[name].parameters(), lr=0.1) for name in "ab"]


def test_manual_optimization_with_two_optimizers():
    network, monitor = NetworkMonitor(every_n_steps=1), OverfittingMonitor()
    fit(TwoOptimizers(), network, monitor, epochs=2)
    ratio = network.table["update_ratio"]
    assert set(ratio) == {"net.a.0", "net.a.2", "net.b.0", "net.b.2"}
    assert all(value > 0 for value in ratio.values())


@pytest.mark.filterwarnings("ignore:.training_step. returned .None.")
def test_steps_without_a_loss_are_no_frozen_layers():
    class Skips(Module):
        def training_step(self, batch, batch_idx):
            return None if batch_idx % 2 == 0 else super().training_step(batch, batch_idx)

    network = NetworkMonitor(every_n_steps=1)
    fit(Skips(), network, epochs=2)
    assert all(value > 0 for value in network.table["update_ratio"].values())


def test_nothing_stays_behind_when_a_step_fails():
    class Fails(Module):
        def training_step(self, batch, batch_idx):
            self.net(batch[0])
            raise RuntimeError("no")

    module = Fails()
    with pytest.raises(RuntimeError, match="no"):
        fit(module, NetworkMonitor())
    assert not any(m._forward_hooks for m in module.modules())


@pytest.mark.parametrize("dead, counted", [(True, [6, 12]), (False, [])])
def test_only_some_steps_are_measured(monkeypatch, dead, counted):
    hooked, network = [], NetworkMonitor(every_n_steps=10, samples=64)

    def start(watch, full=True, keep=False):
        if begin(watch, full, keep):
            hooked.append((network._batches, full))
        return bool(watch._handles)

    begin = Watch.start
    monkeypatch.setattr(Watch, "start", start)
    net = mlp(4, 8, 3)
    net[0].bias.data.fill_(9)
    net[0].bias.data[0] = -100 if dead else 9
    fit(Module(net, lr=0), network, epochs=1, data=loader(24 * 16))
    assert [i for i, full in hooked if full] == [0, 10, 20]
    # 64 samples are 4 of 24 batches; once every unit has fired they say nothing more
    assert [i for i, full in hooked if not full] == counted
    assert network.table["dead"] == {"net.0": 1 / 8 if dead else 0}


# processes, checkpoints


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without processes")
@pytest.mark.filterwarnings("ignore:It is recommended to use .self.log")
def test_two_processes_join_what_they_saw(tmp_path):
    keep = ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=True)
    network, monitor = NetworkMonitor(1, samples=64), OverfittingMonitor(stop=True)
    net = mlp(4, 2, 3)
    with torch.no_grad():  # unit 0 fires for x0 > 10, in the second process alone
        net[0].weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0]]))
        net[0].bias.copy_(torch.tensor([-10.0, -1]))
    x, t = torch.zeros(64, 4), torch.arange(64) % 3
    x[1::2, 0] = 20  # the sampler gives every second one to the second process
    data = DataLoader(TensorDataset(x, t), 8, shuffle=False)
    strategy = DDPStrategy(start_method="fork", process_group_backend="gloo")
    fit(
        Module(net, lr=0),
        network,
        monitor,
        keep,
        data=data,
        val=data,
        epochs=2,
        devices=2,
        strategy=strategy,
    )
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]
    rows = saved[network.state_key]["rows"]
    assert [row["values"]["dead"]["net.0"] for row in rows] == [0.5, 0.5]
    curves = saved[monitor.state_key]["rows"]
    expected = F.cross_entropy(net(x), t).item()
    assert [row["val"] for row in curves] == pytest.approx([expected] * 2)
    assert [row["train"] for row in curves] == pytest.approx([expected] * 2)


def test_state_survives_a_checkpoint_that_loads_without_trust(tmp_path):
    def monitors():
        return OverfittingMonitor(), NetworkMonitor(every_n_steps=2)

    def last():
        return ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=True)

    torch.manual_seed(3)
    whole = monitors()
    fit(Module(), *whole, epochs=6)
    torch.manual_seed(3)
    fit(Module(), *monitors(), last(), epochs=4)
    torch.load(tmp_path / "last.ckpt", weights_only=True)
    later = monitors()
    done = trainer(*later, last(), epochs=6)
    done.fit(Module(), loader(), loader(32, 1), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    for monitor, other in zip(later, whole, strict=True):
        assert len(monitor.rows) == len(other.rows) == 6
    assert later[0].curves.val == pytest.approx(whole[0].curves.val)
    assert later[1].internals.epochs == whole[1].internals.epochs == list(range(6))
    assert later[1].internals.layers == whole[1].internals.layers


def test_what_was_said_is_not_said_again_after_a_resume(tmp_path, capsys):
    def dead():
        net = mlp(4, 10, 10, 3)
        net[0].bias.data.fill_(-100)
        return Module(net)

    last = ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=True)
    fit(dead(), NetworkMonitor(samples=64), last, epochs=3)
    assert "dead_relu" in capsys.readouterr().out
    again = ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=True)
    done = trainer(NetworkMonitor(samples=64), again, epochs=5)
    done.fit(dead(), loader(), loader(), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert capsys.readouterr().out == ""


# TensorBoard


def events(folder):
    return EventAccumulator(
        str(folder), size_guidance={"images": 0, "tensors": 0, "histograms": 0}
    ).Reload()


def page(accumulator):
    (event,) = accumulator.Tensors("custom_scalars__config__")
    layout = Layout.FromString(tensor_util.make_ndarray(event.tensor_proto).item())
    return {
        group.title: {chart.title: list(chart.multiline.tag) for chart in group.chart}
        for group in layout.category
    }


def test_any_tensorboard_gets_one_page_and_the_verdict_once(tmp_path):
    monitor, network = OverfittingMonitor(verbose=False), NetworkMonitor(samples=64, histograms=4)
    logger = TensorBoardLogger(tmp_path, "", "")
    fit(Overfits(), monitor, network, epochs=12, logger=logger)
    log = events(tmp_path)
    charts = page(log)
    assert charts["Learning curves"] == {"loss": ["^train_loss$", "^val_loss$"]}
    assert set(charts["Overfitting"]) == {
        "validation - training loss",
        "validation loss above its lowest, %",
    }
    tags = log.Tags()
    for group in charts.values():
        for patterns in group.values():
            for pattern in patterns:
                assert any(re.match(pattern, tag) for tag in tags["scalars"]), pattern
    rise = [x.value for x in log.Scalars("overfitting/generalisation_loss_percent")]
    val = monitor.curves.val
    assert rise == pytest.approx([100 * x for x in generalization_loss(val)], abs=1e-4)
    steps = [x.step for x in log.Scalars("val_loss")]
    assert [x.step for x in log.Scalars("layers_gradient_norm/net.0")] == steps
    ratio = network.internals.update_ratio[-1][0]
    logged = log.Scalars("layers_update_ratio_log10/net.0")[-1].value
    assert 10**logged == pytest.approx(ratio, rel=1e-4)
    assert len(log.Histograms("outputs/net.0")) == len(log.Histograms("weights/net.0")) == 3
    texts = [
        tensor_util.make_ndarray(x.tensor_proto).item().decode()
        for x in log.Tensors("verdict/text_summary")
    ]
    assert 1 < len(texts) < 8  # when it changes, not every epoch
    assert all(a != b for a, b in pairwise(texts))
    assert texts[-1].startswith(f"### {monitor.report.id}")
    assert "* " in texts[-1]
    assert log.Images("curves")[-1].width > 300


def test_a_page_of_our_own_has_the_layers_too(tmp_path):
    logger = CurveLogger(tmp_path, "", "0")
    fit(Module(), OverfittingMonitor(), NetworkMonitor(), epochs=2, logger=logger)
    charts = page(events(tmp_path / "0"))
    assert {"Learning curves", "Overfitting", "Optimisation", "Layers"} == set(charts)
    assert charts["Layers"]["dead units, % of a layer"] == ["^layers_dead_percent/"]
    steps = [x.step for x in events(tmp_path / "0").Scalars("layers_gradient_norm/net.0")]
    assert steps == [1, 2]


# from Python, YAML and the command line


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: NetworkMonitor(every_n_steps=0), "every_n_steps must be at least 1, got 0"),
        (lambda: NetworkMonitor(samples=0), "samples must be at least 1, got 0"),
        (lambda: NetworkMonitor(histograms=-1), "histograms must be at least 0, got -1"),
        (lambda: OverfittingMonitor(limit=0), "limit must be above 0, got 0"),
        (lambda: OverfittingMonitor(patience=0), "patience must be at least 1, got 0"),
        (lambda: OverfittingMonitor(classes=1), "classes must be at least 2, got 1"),
    ],
)
def test_bad_values_are_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        make()


def run_config(config, *options):
    root = __file__.rpartition("/tests/")[0]
    return run(
        ["fit", f"--config={root}/{config}", "--trainer.enable_progress_bar=false", *options]
    )


def monitors_of(done):
    return [c for c in done.trainer.callbacks if isinstance(c, OverfittingMonitor | NetworkMonitor)]


def test_they_can_be_set_and_switched_off():
    done = run_config(
        "configs/ch04/overfit_digits.yaml",
        "--trainer.fast_dev_run=true",
        "--network_monitor=null",
        "--overfitting_monitor.stop=true",
        "--overfitting_monitor.patience=3",
    )
    (monitor,) = monitors_of(done)
    assert (monitor.stop, monitor.patience) == (True, 3)


@pytest.mark.parametrize("monitor", [True, False], ids=["monitor", "none"])
def test_the_last_verdict_in_tensorboard_is_that_of_the_terminal(monitor, capsys):
    off = [] if monitor else ["--overfitting_monitor=null"]
    done = run_config("configs/ch04/overfit_digits.yaml", "--trainer.max_epochs=9", *off)
    log = events(done.folder.path)
    texts = log.Tensors("verdict/text_summary")
    last = tensor_util.make_ndarray(texts[-1].tensor_proto).item().decode()
    assert last == done.verdict.markdown()
    assert not monitor or [x.step for x in texts].count(9) == 1
    said = capsys.readouterr().out
    assert f"verdict: {done.verdict.sentence}" in said
    # the picture of the test set stands where the test's scores do, at the best epoch
    assert [x.step for x in log.Images("confusion")] == [done.history.best() + 1]
    assert "curves" in log.Tags()["images"]


def test_a_run_of_ours_can_stop_itself_and_tests_the_best_epoch():
    done = run_config(
        "configs/ch04/overfit_digits.yaml",
        "--overfitting_monitor.stop=true",
        "--overfitting_monitor.limit=0.02",
        "--overfitting_monitor.patience=2",
        "--trainer.max_epochs=40",
    )
    val = [row["val/loss"] for row in done.history.rows]
    assert len(val) == alarm(val, 0.02, 2) + 1 < 40
    assert done.scores["val/loss"] == min(val)


# somebody else's network


class ResNet(Module):
    """torchvision's network as anybody would train it on CIFAR-10."""

    def __init__(self):
        super().__init__(resnet18(num_classes=10), rule=torch.optim.Adam, lr=1e-3)


def test_a_residual_network_is_watched_layer_by_layer(tmp_path):
    g = torch.Generator().manual_seed(0)
    images = TensorDataset(
        torch.randn(32, 3, 32, 32, generator=g), torch.randint(10, (32,), generator=g)
    )
    data = DataLoader(images, 16)
    monitor, network = OverfittingMonitor(), NetworkMonitor(samples=32)
    logger = TensorBoardLogger(tmp_path, "", "")
    fit(ResNet(), monitor, network, data=data, val=data, epochs=1, logger=logger)
    assert len(network.layers) == 41  # 20 convolutions, 20 BatchNorms and the classifier
    table = network.table
    assert len(table["mean_drift"]) == len(table["variance_drift"]) == 20
    for statistic in ("gradient_norm", "update_ratio", "activation_std", "weight_max"):
        assert len(table[statistic]) == 21
        assert all(value > 0 for value in table[statistic].values()), statistic
    assert len(table["dead"]) == 17  # one ReLU after the stem, two in each of eight blocks
    assert all(value < 0.25 for value in table["dead"].values())
    json.dumps(monitor.report.as_dict())
    assert "layers_dead_percent/net.conv1" in events(tmp_path).Tags()["scalars"]
