"""Logs as their programs write them, and as they should not be."""

import json
import random
from math import exp, isnan, nan

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.tensorboard import SummaryWriter

from dlbook_torch.diagnostics.names import grows, is_rate, parse
from dlbook_torch.diagnostics.readers import Log, LogError, align, find, internals, read
from dlbook_torch.training.logger import CurveLogger

N = 24
TRAIN = [2 * exp(-e / 5) + 0.05 for e in range(N)]
VAL = [2 * exp(-e / 5) + 0.4 + 0.02 * max(e - 8, 0) for e in range(N)]


def only(path):
    """The one log at a path."""
    (log,) = read(path)
    assert isinstance(log, Log), str(log)
    return log


def curves(path, train=None, val=None, **known):
    """The curves of the one pair in the one log at a path."""
    log = only(path)
    (pair,) = find(log, train, val)
    return align(log, pair, **known)


def error(path, train=None, val=None):
    """The sentence about a path that cannot be read."""
    (log,) = read(path)
    if isinstance(log, LogError):
        return str(log)
    with pytest.raises(LogError) as caught:
        _ = [align(log, pair) for pair in find(log, train, val)]
    return str(caught.value)


def table(path, columns, pad=0, delimiter=","):
    """Write a CSV of columns by name."""
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    path.write_text("\n".join(delimiter.join(f"{x!s:>{pad}}" for x in row) for row in rows) + "\n")
    return path


def is_pair(judged, train=TRAIN, val=VAL):
    np.testing.assert_allclose(judged.curves.train, train, rtol=1e-6)
    np.testing.assert_allclose(judged.curves.val, val, rtol=1e-6)


# TensorBoard


def write_flat(folder, train=TRAIN, val=VAL):
    with SummaryWriter(str(folder)) as writer:
        for e, (t, v) in enumerate(zip(train, val, strict=True)):
            writer.add_scalar("Loss/train", t, e)
            writer.add_scalar("Loss/validation", v, e)
    return folder


def test_two_tags_in_one_folder(tmp_path):
    is_pair(curves(write_flat(tmp_path / "run")))


def test_the_file_itself(tmp_path):
    (file,) = write_flat(tmp_path / "run").iterdir()
    is_pair(curves(file))


def test_sub_runs_of_add_scalars_are_one_run(tmp_path):
    with SummaryWriter(str(tmp_path / "run")) as writer:
        for e in range(N):
            writer.add_scalars("metrics/loss", {"train": TRAIN[e], "val": VAL[e]}, e)
    assert len(list((tmp_path / "run").iterdir())) == 3
    is_pair(curves(tmp_path / "run"))


def test_our_own_logger_is_measured_and_counts_epochs_from_one(tmp_path):
    logger = CurveLogger(tmp_path, "", "run")
    for e in range(5, 5 + N):  # a run that was resumed in another folder
        values = {"train/loss": TRAIN[e - 5], "val/loss": VAL[e - 5], "train/loss_running": 3.0}
        logger.log_metrics(values | {"val/accuracy": 0.5, "lr": 0.1, "epoch": e})
    logger.finalize("success")
    config = {"class_path": "x.Classifier", "init_args": {"net": {"init_args": {"classes": 7}}}}
    (tmp_path / "run" / "config.yaml").write_text(json.dumps({"model": config}))
    judged = curves(tmp_path)
    is_pair(judged)
    assert judged.curves.measured
    assert judged.curves.classes == 7
    assert judged.curves.epochs == list(range(5, 5 + N))
    assert judged.curves.val_accuracy == [0.5] * N
    np.testing.assert_allclose(judged.curves.lr, 0.1)
    np.testing.assert_allclose(judged.curves.running, 3.0)


def test_scalars_that_tensorflow_writes_as_tensors(tmp_path):
    for part, values in (("train", TRAIN * 3), ("validation", VAL * 3)):  # more than 10 are kept
        with SummaryWriter(str(tmp_path / part)) as writer:
            for e, value in enumerate(values):
                writer.add_scalar("epoch_loss", value, e, new_style=True)
    is_pair(curves(tmp_path), TRAIN * 3, VAL * 3)


def test_no_point_of_a_long_log_is_dropped(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        for e in range(10_500):  # TensorBoard itself keeps 10 000
            writer.add_scalar("train/loss", e, e)
            if e % 1500 == 1499:
                writer.add_scalar("val/loss", e, e)
    judged = curves(tmp_path)
    assert judged.curves.train == [1500 * k + 749.5 for k in range(7)]


def test_steps_are_averaged_between_validations(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("val/loss", 9.0, 0)  # a sanity check
        for step in range(1, 20 * N + 1):
            e = (step - 1) // 20
            writer.add_scalar("train/loss", TRAIN[e] + (-1) ** step, step)
            if step % 20 == 0:
                writer.add_scalar("val/loss", VAL[e], step)
    is_pair(curves(tmp_path))


def test_steps_on_one_side_and_epochs_on_the_other_are_matched_by_the_clock(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        for e in range(N):
            for k in range(20):
                writer.add_scalar("train/loss", TRAIN[e], 20 * e + k, walltime=100 * e + k)
            writer.add_scalar("val/loss", VAL[e], e, walltime=100 * e + 50)
    judged = curves(tmp_path)
    is_pair(judged)
    assert "by the clock" in " ".join(judged.notes)


def test_axes_that_do_not_meet_are_refused(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        for k in range(400):
            writer.add_scalar("train/loss", 1.0, k, walltime=k)
        for e in range(N):
            writer.add_scalar("val/loss", 1.0, e, walltime=1000 + e)
    assert "which values belong together is unknown" in error(tmp_path)


def test_a_file_that_breaks_off_is_read_to_there(tmp_path):
    (file,) = write_flat(tmp_path / "run").iterdir()
    file.write_bytes(file.read_bytes()[:-300])
    judged = curves(tmp_path / "run")
    n = len(judged.curves.train)
    assert 0 < n < N
    is_pair(judged, TRAIN[:n], VAL[:n])
    assert "breaks off" in " ".join(judged.notes)


def test_a_damaged_file_is_read_to_the_damage(tmp_path):
    (file,) = write_flat(tmp_path / "run").iterdir()
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 255
    file.write_bytes(raw)
    judged = curves(tmp_path / "run")
    assert 0 < len(judged.curves.train) < N
    assert "is damaged" in " ".join(judged.notes)


def test_event_files_without_events_say_so(tmp_path):
    (tmp_path / "events.out.tfevents.1").write_bytes(b"")
    assert "without a single scalar" in error(tmp_path)
    (tmp_path / "events.out.tfevents.1").write_bytes(random.Random(0).randbytes(999))
    assert "is damaged at byte 0" in error(tmp_path)


def test_two_runs_in_one_folder_are_refused(tmp_path):
    for suffix in "ab":
        with SummaryWriter(str(tmp_path), filename_suffix=suffix) as writer:
            for e in range(N):
                writer.add_scalar("train/loss", TRAIN[e], e)
                writer.add_scalar("val/loss", VAL[e], e)
    assert "holds several runs" in error(tmp_path)


def test_every_run_of_a_folder_and_no_summary_of_hyperparameters(tmp_path):
    for name in "ab":
        write_flat(tmp_path / name)
    with SummaryWriter(str(tmp_path / "a")) as writer:
        writer.add_hparams({"lr": 0.1}, {"hparam/loss": 1.0})
    assert [log.name for log in read(tmp_path)] == ["a", "b"]


def test_layers_that_the_monitor_logs(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        for e in range(3):
            writer.add_scalar("epoch", e, 10 * e)
            writer.add_scalar("layers_dead_percent/b", 25.0, 10 * e)
            writer.add_scalar("layers_update_ratio_log10/a", -3.0, 10 * e)
            writer.add_scalar("layers_update_ratio_log10/b", -2.0, 10 * e)
    found = internals(only(tmp_path))
    assert list(found.layers) == ["a", "b"]
    np.testing.assert_allclose(found.update_ratio, [[1e-3, 1e-2]] * 3)
    np.testing.assert_allclose(found.dead, [[nan, 0.25]] * 3)


# Lightning


class Tiny(L.LightningModule):
    """Logs the way its documentation shows."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(4, 2)

    def _loss(self, batch, stage):
        x, t = batch
        loss = torch.nn.functional.cross_entropy(self.net(x), t)
        self.log(f"{stage}_loss", loss, on_step=stage == "train", on_epoch=True)
        return loss

    def training_step(self, batch, batch_idx):
        return self._loss(batch, "train")

    def validation_step(self, batch, batch_idx):
        self._loss(batch, "val")

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), 0.1)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 2)]


@pytest.fixture(scope="module")
def lightning_run(tmp_path_factory):
    """Both loggers of Lightning, and the epochs as the trainer saw them."""
    folder = tmp_path_factory.mktemp("lightning")
    seen = []

    class Watch(L.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            metrics = trainer.callback_metrics
            lr = trainer.optimizers[0].param_groups[0]["lr"]
            seen.append((metrics["train_loss"].item(), metrics["val_loss"].item(), lr))

    torch.manual_seed(0)
    x = torch.randn(24, 4)
    data = DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), 4)
    trainer = L.Trainer(
        max_epochs=5,
        accelerator="cpu",
        logger=[CSVLogger(folder, "csv"), TensorBoardLogger(folder, "board")],
        callbacks=[Watch(), LearningRateMonitor()],
        log_every_n_steps=2,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(Tiny(), data, data)
    return folder, seen


@pytest.mark.parametrize("path", ["csv", "csv/version_0/metrics.csv", "board"])
def test_lightning_rows_and_steps_become_epochs(lightning_run, path):
    folder, seen = lightning_run
    judged = curves(folder / path)
    assert judged.pair.train == "train_loss_epoch"
    means = [row[1] for row in seen]
    np.testing.assert_allclose(judged.curves.val, means, rtol=1e-4)
    assert judged.curves.epochs == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(judged.curves.lr, [0.1, 0.1, 0.01, 0.01, 0.001])
    assert not judged.curves.measured


def test_lightning_steps_of_an_epoch_are_averaged(lightning_run):
    log = only(lightning_run[0] / "csv")
    (pair,) = find(log, "train_loss_step", "val_loss")
    steps = log.series["train_loss_step"]
    first = steps.y[steps.epoch == 0].mean()
    assert align(log, pair).curves.train[0] == pytest.approx(first)


# tables


def test_keras(tmp_path):
    columns = {"epoch": range(N), "accuracy": [0.6] * N, "loss": TRAIN}
    columns |= {"val_accuracy": [0.5] * N, "val_loss": VAL, "learning_rate": [0.1] * N}
    judged = curves(table(tmp_path / "training.log", columns))
    is_pair(judged)
    assert judged.curves.train_accuracy == [0.6] * N
    assert judged.curves.val_accuracy == [0.5] * N
    assert judged.curves.lr == [0.1] * N


def test_ultralytics_has_a_pair_for_each_part_of_the_loss(tmp_path):
    columns = {"epoch": range(1, N + 1), "time": range(N)}
    columns |= {"train/box_loss": TRAIN, "train/cls_loss": VAL, "metrics/mAP50(B)": [0.4] * N}
    columns |= {"val/box_loss": VAL, "val/cls_loss": TRAIN, "lr/pg0": [0.01] * N}
    log = only(table(tmp_path / "results.csv", columns, pad=22))
    box, cls = (align(log, pair) for pair in find(log))
    assert (box.pair.label, cls.pair.label) == ("box_loss", "cls_loss")
    is_pair(box)
    is_pair(cls, VAL, TRAIN)
    assert box.curves.epochs[0] == 0
    assert box.curves.val_accuracy is None  # a precision is not the share of right answers
    assert box.curves.lr == [0.01] * N


def test_ultralytics_classifier_counts_its_accuracy_for_validation(tmp_path):
    columns = {"epoch": range(1, N + 1), "train/loss": TRAIN, "metrics/accuracy_top1": [0.7] * N}
    columns |= {"metrics/accuracy_top5": [0.9] * N, "val/loss": VAL, "lr/pg0": [0.01] * N}
    judged = curves(table(tmp_path / "results.csv", columns))
    assert judged.curves.val_accuracy == [0.7] * N
    assert judged.curves.train_accuracy is None


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_any_csv(tmp_path, delimiter):
    columns = {"Train Loss": TRAIN, "Validation Loss": VAL}
    is_pair(curves(table(tmp_path / "x.csv", columns, delimiter=delimiter)))


def test_csv_with_decimal_commas_and_a_byte_order_mark(tmp_path):
    rows = [f"{e};{t};{v}".replace(".", ",") for e, t, v in zip(range(N), TRAIN, VAL, strict=True)]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["epoch;train_loss;val_loss", *rows]), encoding="utf-8-sig")
    is_pair(curves(path))


def test_percents_and_empty_cells(tmp_path):
    columns = {"epoch": range(4), "loss": [4, 3, 2, 1], "val_loss": [4, "", 3, ""]}
    judged = curves(table(tmp_path / "x.csv", columns | {"val_acc": ["50%", "", "60%", ""]}))
    assert len(judged.curves.val) == 3  # the last epoch has not been validated
    assert isnan(judged.curves.val[1])
    assert judged.curves.val_accuracy[0] == 0.5


def test_what_is_no_number_stays_at_the_end(tmp_path):
    lost = [*TRAIN[:10], *[nan] * 10]
    judged = curves(table(tmp_path / "x.csv", {"epoch": range(20), "loss": lost, "val_loss": lost}))
    assert len(judged.curves.val) == 20
    assert "10 of 20 epochs have no number" in " ".join(judged.notes)


@pytest.mark.parametrize(
    "data",
    [
        {"loss": TRAIN, "val_loss": VAL},
        {"history": {"loss": TRAIN, "val_loss": VAL}, "params": {"epochs": N}},
        {"loss": dict(enumerate(TRAIN)), "val_loss": dict(enumerate(VAL))},
        [{"train_loss": t, "valid_loss": v} for t, v in zip(TRAIN, VAL, strict=True)],
        [{"epoch": e, "loss": t, "val_loss": v} for e, t, v in zip(range(N), TRAIN, VAL, strict=1)],
    ],
    ids=["lists", "keras", "pandas", "rows", "rows-with-epochs"],
)
def test_json(tmp_path, data):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(data))
    is_pair(curves(path))


def test_json_lines_whose_last_one_breaks_off(tmp_path):
    lines = [json.dumps({"train_loss": t, "val_loss": v}) for t, v in zip(TRAIN, VAL, strict=True)]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(lines)[:-5])
    judged = curves(path)
    is_pair(judged, TRAIN[:-1], VAL[:-1])
    assert "breaks off" in " ".join(judged.notes)


def test_state_of_hugging_faces_trainer(tmp_path):
    rows = []
    for e in range(N):
        rows.append({"epoch": e + 0.5, "loss": TRAIN[e] - 0.1, "step": 10 * e + 5})
        rows.append({"epoch": e + 1.0, "loss": TRAIN[e] + 0.1, "step": 10 * e + 10})
        rows.append({"epoch": e + 1.0, "eval_loss": VAL[e], "step": 10 * e + 10})
    rows.append({"epoch": N, "train_loss": 1.0, "step": 10 * N})
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"log_history": rows, "best_metric": None}))
    judged = curves(path)
    is_pair(judged)
    assert judged.pair.train == "loss"


def test_many_validations_per_epoch_count_one_by_one(tmp_path):
    columns = {"epoch": [k // 12 for k in range(N)], "step": range(N)}
    judged = curves(table(tmp_path / "x.csv", columns | {"loss": TRAIN, "val_loss": VAL}))
    is_pair(judged)
    assert f"{N} validations in 2 epochs" in " ".join(judged.notes)


def test_a_resumed_run_has_its_later_values(tmp_path):
    epochs = [*range(10), *range(6, 20)]
    columns = {"epoch": epochs, "loss": TRAIN, "val_loss": VAL}
    judged = curves(table(tmp_path / "x.csv", columns))
    is_pair(judged, TRAIN[:6] + TRAIN[10:], VAL[:6] + VAL[10:])
    assert "resumed" in " ".join(judged.notes)


def test_a_metric_that_grows_is_turned_round(tmp_path):
    columns = {"epoch": range(3), "train_f1": [0.5, 0.6, 0.7], "val_f1": [0.4, 0.5, 0.45]}
    judged = curves(table(tmp_path / "x.csv", columns))
    np.testing.assert_allclose(judged.curves.val, [0.6, 0.5, 0.55])


def test_tags_can_be_named(tmp_path):
    columns = {"epoch": range(N), "train_loss": [1] * N, "val_loss": [1] * N, "a": TRAIN, "b": VAL}
    path = table(tmp_path / "x.csv", columns)
    is_pair(curves(path, "a", "b"))
    assert "has no tag c; its tags are train_loss, val_loss, a, b" in error(path, "c")


# what cannot be read

BAD = {
    "empty": ("", "is empty"),
    "header": ("epoch,loss,val_loss\n", "has a header and no row below it"),
    "no-header": ("0,1,2\n1,2,3\n", "has no header"),
    "prose": ("It did not go well.\n", "has no header"),
    "no-pair": ("epoch,loss,f1\n0,1,2\n1,1,2\n", "its tags are loss, f1;"),
    "text": ("epoch,loss,val_loss\n0,1,2\n1,1,oops\n", "val_loss holds 'oops' in row 2"),
    "ragged": ("epoch,loss,val_loss\n0,1\n1,2,3\n", "has 2 cells instead of 3 in line 2"),
    "again": ("epoch,loss,val_loss\n0,1,2\nepoch,loss,val_loss\n", "header again in line 3"),
    "columns": ("loss,loss,val_loss\n0,1,2\n", "has two columns called loss"),
    "epoch": ("epoch,loss,val_loss\nx,1,2\n", "has 'x' as epoch in row 1"),
    "no-epoch": ("epoch,loss,val_loss\n0,1,2\n,1,2\n", "has no epoch in row 2"),
    "twice": (
        "epoch,loss,val_loss\n1,1,2\n2,1,3\n2,1,4\n",
        "has epoch 2 twice, with val_loss 3 and",
    ),
    "restart": ("epoch,loss,val_loss\n0,1,2\n1,1,2\n0,1,2\n1,1,2\n", "holds several runs"),
    "same": ("epoch,train_loss,train/loss,val_loss\n0,1,2,3\n", "choose one with --train"),
    "lengths": ('{"loss": [1, 2], "val_loss": [1]}', "loss has 2, val_loss has 1"),
    "broken": ('{"loss": [1, 2', "is broken JSON"),
    "shape": ('{"loss": 1}', "neither a list of rows nor lists by name; it holds loss"),
    "nested": ("[" * 100_000, "is broken JSON: it is nested too deeply"),
    "zeros": ("a\0b", "holds zero bytes"),
}


@pytest.mark.parametrize("text, sentence", BAD.values(), ids=BAD)
def test_what_cannot_be_read_has_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "log.csv"
    path.write_text(text)
    said = error(path)
    assert said.startswith(str(path))
    assert sentence in said
    assert "\n" not in said


def test_what_is_not_there_or_no_text(tmp_path):
    assert error(tmp_path / "x") == f"{tmp_path / 'x'} does not exist"
    assert "holds no log" in error(tmp_path)
    (tmp_path / "x").write_bytes(b"\xff\x00\xfe" * 50)
    assert "is no text" in error(tmp_path / "x")


def test_one_bad_table_does_not_hide_the_good_one(tmp_path):
    for name, text in (("a", ""), ("b", "epoch,loss,val_loss\n0,1,2\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").write_text(text)
    bad, good = read(tmp_path)
    assert isinstance(bad, LogError)
    assert good.name == "b"


# names


@pytest.mark.parametrize(
    "tag, stage, metric",
    [
        ("train_loss_epoch", "train", ("loss",)),
        ("Train Loss", "train", ("loss",)),
        ("lossTrain", "train", ("loss",)),
        ("valloss", "val", ("loss",)),
        ("validation/epoch_loss", "val", ("loss",)),
        ("eval/loss", "eval", ("loss",)),
        ("val/box_loss", "val", ("box", "loss")),
        ("val_acc", "val", ("accuracy",)),
        ("loss", "", ("loss",)),
    ],
)
def test_a_name_says_whose_it_is_and_what(tag, stage, metric):
    name = parse(tag)
    assert (name.stage, name.metric) == (stage, metric)


def test_a_training_loss_of_the_eval_pass_is_measured():
    assert parse("train_eval/loss").measured
    assert parse("train_eval/loss").stage == "train"
    assert not parse("train/loss").measured


@pytest.mark.parametrize("tag", ["val_acc", "metrics/mAP50(B)", "val_f1", "auc", "r2", "val/IoU"])
def test_more_of_these_is_better(tag):
    assert grows(tag)


@pytest.mark.parametrize("tag", ["val_loss", "rmse", "f1_loss", "val/perplexity", "trace", "gap"])
def test_more_of_these_is_not_better(tag):
    assert not grows(tag)


def test_learning_rates_by_name():
    rates = ["lr", "lr-Adam", "lr/pg0", "x/lr0", "train/learning_rate", "Learning Rate"]
    assert all(map(is_rate, rates))
    assert not any(map(is_rate, ["loss_lr", "clr_loss", "train_loss", "ctrl"]))
