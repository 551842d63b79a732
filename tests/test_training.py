"""The module, its checkpoints and its pictures, driven by Lightning as anybody would."""

import platform
import random
import subprocess
import sys
from functools import partial
from math import log
from types import SimpleNamespace

import lightning as L
import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from dlbook_torch import data, models, nn, optim
from dlbook_torch.diagnostics.monitor import NetworkMonitor
from dlbook_torch.diagnostics.plot import pixels
from dlbook_torch.training import Classifier, Regressor, figures
from dlbook_torch.training.checkpoints import Best, Last, RNGState
from dlbook_torch.training.console import Bar, Unmeasured, quiet
from dlbook_torch.training.finite import FiniteLoss, NotFinite
from dlbook_torch.training.history import History
from dlbook_torch.training.report import score_table


@pytest.fixture(autouse=True)
def silence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with quiet():
        yield


class Blobs(L.LightningDataModule):
    """Somebody's data module: 30 points of 3 classes, one validation loader."""

    loaders = 1

    def __init__(self):
        super().__init__()
        t = torch.arange(30) % 3
        x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)) + 2 * F.one_hot(t, 4)
        self.x, self.t = x, t

    def part(self, a, b):
        return DataLoader(TensorDataset(self.x[a:b], self.t[a:b]), 4)

    def train_dataloader(self):
        return self.part(0, 20)

    def val_dataloader(self):
        loaders = [self.part(20, 30), self.part(0, 10)]
        return loaders[: self.loaders] if self.loaders > 1 else loaders[0]

    test_dataloader = val_dataloader


class TwoLoaders(Blobs):
    """The same with training points as the second loader."""

    loaders = 2


def net(dropout=0.5):
    return models.MLP(4, 3, [8], dropout=dropout)


def trainer(*callbacks, epochs=2, **options):
    return L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=any(isinstance(c, Best | Last) for c in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
        **options,
    )


def expected(module, x, t):
    """Loss and accuracy in eval mode, by torch alone."""
    with torch.no_grad():
        y = module.net.eval()(x)
    return F.cross_entropy(y, t), (y.argmax(1) == t).float().mean()


def test_both_curves_are_measured_in_eval_mode_on_the_same_weights():
    module, blobs = Classifier(net()), TwoLoaders()
    fit = trainer()
    fit.fit(module, blobs)
    for split, a, b in (("train", 0, 10), ("val", 20, 30)):
        loss, accuracy = expected(module, blobs.x[a:b], blobs.t[a:b])
        torch.testing.assert_close(fit.callback_metrics[f"{split}/loss"], loss)
        torch.testing.assert_close(fit.callback_metrics[f"{split}/accuracy"], accuracy)
    scores = fit.callback_metrics
    torch.testing.assert_close(scores["gap/loss"], scores["val/loss"] - scores["train/loss"])
    overfit = scores["train/accuracy"] - scores["val/accuracy"]
    torch.testing.assert_close(scores["gap/accuracy"], overfit)


def test_a_loss_that_is_not_a_number_is_not_hidden():
    module = Classifier(net())
    module.share("val", (torch.full((2, 4), float("nan")), torch.tensor([0, 1])))
    module.share("val", (torch.zeros(2, 4), torch.tensor([0, 1])))
    assert module.meters["val_meters"]["loss"].compute().isnan()


class StepLosses(L.Callback):
    """The losses and sizes of the steps of every epoch."""

    def __init__(self):
        self.epochs = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx == 0:
            self.epochs.append([])
        self.epochs[-1].append((outputs["loss"].item(), len(batch[0])))

    def mean(self):
        steps = self.epochs[-1]
        return sum(loss * n for loss, n in steps) / sum(n for _, n in steps)


@pytest.mark.parametrize(
    "blobs, name", [(TwoLoaders, "train/loss_running"), (Blobs, "train/loss")], ids=["two", "one"]
)
def test_the_running_mean_is_that_of_the_last_epoch(blobs, name):
    steps, fit = StepLosses(), trainer(epochs=3)
    fit.callbacks.append(steps)
    fit.fit(Classifier(net()), blobs())
    assert fit.callback_metrics[name].item() == pytest.approx(steps.mean())
    assert "gap/loss" in fit.callback_metrics


def test_the_test_set_is_measured_like_the_others():
    module, blobs = Classifier(net()), Blobs()
    (scores,) = trainer().test(module, blobs, verbose=False)
    loss, accuracy = expected(module, blobs.x[20:], blobs.t[20:])
    assert scores == {"test/loss": pytest.approx(loss), "test/accuracy": pytest.approx(accuracy)}


def test_label_smoothing_reaches_the_loss():
    module = Classifier(net(0.0), label_smoothing=0.3)
    x, t = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    loss = module.training_step((x, t), 0)
    torch.testing.assert_close(loss, F.cross_entropy(module(x), t, label_smoothing=0.3))
    with pytest.raises(ValueError, match="label_smoothing must be between 0 and 1, got"):
        Classifier(net(), label_smoothing=-0.1)


def test_library_selects_the_loss():
    assert isinstance(Classifier(net()).loss, nn.CrossEntropyLoss)
    assert type(Classifier(net(), library="torch").loss) is torch.nn.CrossEntropyLoss
    assert isinstance(Regressor(net()).loss, nn.MSELoss)
    assert type(Regressor(net(), library="torch").loss) is torch.nn.MSELoss


@pytest.fixture
def traced(monkeypatch):
    """torch.compile without a compiler of C++; counts the graphs that it makes."""
    count = CompileCounterWithBackend("aot_eager")
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=count))
    torch.compiler.reset()
    yield count
    torch.compiler.reset()


def test_compile_is_the_same_training_with_the_same_checkpoints(traced):
    found = []
    for compile in (False, True):
        L.seed_everything(0, verbose=False)
        module, monitor = Classifier(net(0), torch.optim.Adam, compile=compile), NetworkMonitor(2)
        trainer(monitor, Last(f"compiled={compile}")).fit(module, TwoLoaders())
        assert traced.frame_count > 0 or not compile
        grids = monitor.internals
        assert np.isfinite(grids.gradient_norm).all()
        assert np.isfinite(grids.activation_std).any() != compile  # no hook is in the graph
        kept = torch.load(f"compiled={compile}/last.ckpt", weights_only=True)["state_dict"]
        found.append(kept)
    plain, compiled = found
    assert plain.keys() == compiled.keys()
    for name, weight in plain.items():
        torch.testing.assert_close(compiled[name], weight, msg=name)


@pytest.mark.parametrize("compile", [False, True])
def test_compile_reaches_the_rule(traced, compile):
    made = []

    class Rule(torch.optim.SGD):
        def compile(self):
            made.append(self)

    module = Classifier(net(0), Rule, compile=compile)
    trainer().fit(module, Blobs())
    assert made == [module.optimizers().optimizer] * compile


def test_the_origin_of_nan_is_found_in_a_compiled_network(traced):
    module = Classifier(net(0), torch.optim.Adam, compile=True)
    blobs = Blobs()
    blobs.x[:] = float("inf")
    with pytest.raises(NotFinite, match=r"that is not finite is that of net\.layers\.0"):
        trainer(FiniteLoss()).fit(module, blobs)


def test_a_step_enters_no_generator_for_each_hook():
    with Unmeasured().profile("a") as first, Unmeasured().profile("b") as second:
        assert first is second is None
    assert Unmeasured().profile("a") is Unmeasured().profile("b")


def test_the_bar_moves_ten_times_a_second_and_to_the_end(monkeypatch):
    moved, now = [], [0.0]
    monkeypatch.setattr(
        "dlbook_torch.training.console.time.monotonic",
        lambda: now.__setitem__(0, now[0] + 0.01) or now[0],
    )
    monkeypatch.setattr(
        "lightning.pytorch.callbacks.RichProgressBar.on_train_batch_end",
        lambda bar, trainer, module, outputs, batch, i: moved.append(i),
    )
    bar, progress = Bar(), SimpleNamespace(is_last_batch=False)
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress))
    for i in range(35):
        progress.is_last_batch = i == 34
        bar.on_train_batch_end(SimpleNamespace(fit_loop=loop), None, None, None, i)
    assert moved[-1] == 34
    assert 3 <= len(moved) <= 5
    assert bar.refresh_rate == 10


def test_regression_learns_a_sine():
    sine = data.Sine(batch_size=20, train_size=200, noise=0.0)
    module = Regressor(models.MLP(1, 1, [20], "tanh"), lambda p: optim.Adam(p, lr=0.02))
    fit = trainer(epochs=30)
    fit.fit(module, sine)
    assert fit.callback_metrics["val/loss"] < 0.02  # a constant has 1/2, a line about 0.2
    assert "val/accuracy" not in fit.callback_metrics


class Rates(L.Callback):
    """The learning rate of every step."""

    def __init__(self):
        self.rates = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def rates(module):
    callback = Rates()
    trainer(callback).fit(module, Blobs())
    return callback.rates


@pytest.mark.parametrize("interval, at_most", [("step", 10), ("epoch", 2)])
@pytest.mark.filterwarnings("ignore:A `OneCycleLR` scheduler is using 'interval'. 'epoch'")
def test_a_cycle_from_yaml_lasts_as_long_as_the_run(interval, at_most):
    cycle = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=None, epochs=None)
    seen = rates(Classifier(net(), lr_scheduler=cycle, lr_interval=interval))
    optimizer = torch.optim.SGD(torch.nn.Linear(1, 1).parameters(), momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=at_most)
    wanted = []
    for _ in range(at_most):
        wanted += [optimizer.param_groups[0]["lr"]] * (10 // at_most)
        optimizer.step()
        scheduler.step()
    assert seen == pytest.approx(wanted)


def test_a_scheduler_per_epoch():
    module = Classifier(
        net(),
        lambda p: torch.optim.SGD(p, lr=0.1),
        lambda o: torch.optim.lr_scheduler.StepLR(o, 1, gamma=0.5),
    )
    assert rates(module) == [0.1] * 5 + [0.05] * 5


def test_a_module_made_in_python_has_plain_checkpoints():
    module = Classifier(net(), lambda p: torch.optim.SGD(p, lr=0.1), label_smoothing=0.1)
    trainer(Last("checkpoints")).fit(module, Blobs())
    state = torch.load("checkpoints/last.ckpt", weights_only=True)
    assert state["hyper_parameters"]["label_smoothing"] == 0.1
    again = Classifier.load_from_checkpoint("checkpoints/last.ckpt", net=net())
    assert again.hparams["label_smoothing"] == 0.1
    torch.testing.assert_close(again.state_dict(), module.state_dict())


class Scripted(Classifier):
    """Scores from a list, whatever the weights."""

    losses = (3.0, 1.0, 2.0, 1.5)

    def publish(self, split, pattern, **options):
        scores = super().publish(split, pattern.replace("val/", "measured/"), **options)
        if split == "val":
            self.log("val/loss", self.losses[self.current_epoch])
        return scores


def test_best_is_the_best_and_last_is_the_last():
    history = History()
    trainer(Best("c"), Last("c"), history, epochs=4).fit(Scripted(net()), Blobs())
    best, last = (torch.load(f"c/{name}.ckpt", weights_only=True) for name in ("best", "last"))
    assert (best["epoch"], best["global_step"]) == (1, 10)
    assert (last["epoch"], last["global_step"]) == (3, 20)
    assert history.best() == 1
    assert history.curves("val/loss") == [[3.0, 1.0, 2.0, 1.5]]


def test_the_best_score_survives_a_resume_in_a_moved_folder(tmp_path):
    trainer(Best("a"), Last("a"), epochs=3).fit(Scripted(net()), Blobs())
    (tmp_path / "a").rename(tmp_path / "b")
    fit = trainer(Best("b"), Last("b"), epochs=4)
    fit.fit(Scripted(net()), Blobs(), ckpt_path="b/last.ckpt", weights_only=True)
    assert torch.load("b/best.ckpt", weights_only=True)["epoch"] == 1
    assert torch.load("b/last.ckpt", weights_only=True)["epoch"] == 3


def test_the_random_states_come_back():
    def draw():
        return torch.rand(1).item(), random.random(), float(np.random.rand())

    checkpoint = {}
    state = RNGState()
    state.on_save_checkpoint(None, None, checkpoint)
    torch.save(checkpoint, "state.ckpt")
    wanted = draw()
    draw()
    state.on_load_checkpoint(None, None, torch.load("state.ckpt", weights_only=True))
    fitting = trainer(state)
    state.on_train_start(fitting, None)
    assert draw() == wanted
    state.on_train_start(fitting, None)  # once is enough
    assert draw() != wanted


def test_history_skips_epochs_without_validation_and_nan():
    history = History()
    history.rows = [{"val/loss": 2.0}, {"lr": 0.1}, {"val/loss": float("nan")}, {"val/loss": 1.0}]
    assert history.best() == 3
    assert history.curves("lr", "val/loss") == [[], []]
    assert History().best() is None
    fit = trainer(history, epochs=4, check_val_every_n_epoch=2)
    history.rows.clear()
    fit.fit(Classifier(net()), Blobs())
    assert [("val/loss" in row) for row in history.rows] == [False, True, False, True]


def test_confusion_and_mistakes_are_those_of_the_test_set():
    module, blobs, pictures = Classifier(net()), Blobs(), figures.Pictures()
    trainer(pictures).test(module, blobs, verbose=False)
    predicted = module.net.eval()(blobs.x[20:]).argmax(1)
    counts = torch.zeros(3, 3, dtype=torch.long)
    for t, y in zip(blobs.t[20:], predicted, strict=True):
        counts[t, y] += 1
    torch.testing.assert_close(pictures.confusion.compute(), counts)


def test_pictures_of_images():
    digits = data.Digits(batch_size=100)
    module = Classifier(models.ConvNet((1, 8, 8), 10, [4], [3], 8))
    pictures = figures.Pictures()
    trainer(pictures, limit_test_batches=1).test(module, digits, verbose=False)
    found = pictures.figures(pictures.confusion.compute(), module, digits)
    assert list(found) == ["confusion", "misclassified", "filters"]
    assert len(found["misclassified"].axes) == 25
    assert found["misclassified"].axes[0].get_title()[1:12] == " taken for "
    sure = [row[0] for row in pictures.wrong]
    assert sure == sorted(sure, reverse=True)
    for figure in found.values():
        picture = pixels(figure)
        assert picture.shape[2] == 3
        assert picture.min() < 100 < picture.max()


def test_first_filters():
    conv = models.ConvNet((1, 8, 8), 10, [4], [3], 8)
    torch.testing.assert_close(
        figures.first_filters(conv, (1, 8, 8)), conv.layers[0].weight.detach()
    )
    mlp = models.MLP(64, 10, [5])
    rows = mlp.layers[1].weight.detach().view(5, 1, 8, 8)
    torch.testing.assert_close(figures.first_filters(mlp, (1, 8, 8)), rows)
    assert figures.first_filters(models.MLP(4, 2, [3]), ()) is None


def test_score_table():
    table = score_table({"val/loss": log(10), "val/accuracy": 0.125, "test/loss": 1.0, "lr": 0.1})
    assert [column.header for column in table.columns] == ["", "loss", "accuracy"]
    assert [list(column.cells) for column in table.columns] == [
        ["validation", "test"],
        ["2.303", "1"],
        ["12.50%", ""],
    ]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_that_a_step_frees_is_there_for_the_next():
    code = """if True:
        import resource, torch
        from dlbook_torch.training import start

        def step():
            kept = [torch.ones(2**21) for _ in range(4)]  # 8 MB each, freed all together

        def pages():
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(5):
                step()
            return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

        step()
        before = pages()
        start.hold_freed_memory()
        step()
        print(before, pages())
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 10_000
    assert after < 100
