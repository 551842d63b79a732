"""What TensorBoard is given, read back from real event files."""

import json
from urllib.parse import parse_qs, urlparse

import pytest
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.util import tensor_util

from dlbook_torch.training import CurveLogger
from dlbook_torch.training.hyperparameters import hyperparameters, plain
from dlbook_torch.training.logger import board_url


@pytest.fixture
def logger(tmp_path):
    return CurveLogger(tmp_path, "run", "0")


@pytest.fixture
def events(logger, tmp_path):
    """What a sub-run holds, after everything has been written."""

    def read(stage=""):
        logger.finalize("success")
        return EventAccumulator(str(tmp_path / "run" / "0" / stage)).Reload()

    return read


def scalars(accumulator, tag):
    return [(event.step, pytest.approx(event.value)) for event in accumulator.Scalars(tag)]


def log(logger, epoch, **values):
    names = {name.replace("_", "/", 1): value for name, value in values.items()}
    logger.log_metrics({**names, "epoch": epoch}, step=1000)


def test_train_and_val_share_a_tag_and_the_epoch_axis(logger, events):
    for epoch in range(2):
        log(logger, epoch, train_loss=2.0 - epoch, val_loss=3.0 - epoch, gap_loss=1.0)
        log(logger, epoch, train_loss_running=9.0)
    assert scalars(events("train"), "loss") == [(1, 2.0), (2, 1.0)]
    assert scalars(events("val"), "loss") == [(1, 3.0), (2, 2.0)]
    assert scalars(events("train"), "loss_running") == [(1, 9.0), (2, 9.0)]
    assert scalars(events(), "gap/loss") == [(1, 1.0), (2, 1.0)]
    assert events("val").Tags()["scalars"] == ["loss"]


def test_foreign_names_are_routed_too(logger, events):
    logger.log_metrics({"val_loss": 1.0, "epoch": 4})
    assert scalars(events("val"), "loss") == [(5, 1.0)]


def test_the_test_score_stands_where_it_is_told(logger, events):
    log(logger, 9, val_loss=1.0)
    logger.at(3)
    log(logger, 10, test_loss=0.5)
    assert scalars(events("test"), "loss") == [(3, 0.5)]


def test_custom_scalars_group_the_curves_and_leave_no_chart_empty(logger, events):
    log(logger, 0, train_loss=2.0, val_loss=3.0, gap_loss=1.0)
    (event,) = events().Tensors("custom_scalars__config__")
    page = Layout.FromString(tensor_util.make_ndarray(event.tensor_proto).item())
    charts = {c.title: [list(chart.multiline.tag) for chart in c.chart] for c in page.category}
    assert charts == {
        "Learning curves": [["^loss$"]],
        "Overfitting": [["^gap/loss$"]],
        "Optimisation": [["^lr$"]],
    }


def test_hyperparameters_are_flat_and_come_with_real_metrics(logger, events):
    logger.at(7)
    logger.log_hyperparams({"net": {"": "MLP", "hidden": [3]}, "lr": 0.1}, {"final/val_loss": 0.25})
    accumulator = events()
    assert accumulator.Tags()["scalars"] == ["final/val_loss"]  # no hp_metric
    assert scalars(accumulator, "final/val_loss") == [(7, 0.25)]
    summary = accumulator.SummaryMetadata("_hparams_/session_start_info")
    given = HParamsPluginData.FromString(summary.plugin_data.content).session_start_info.hparams
    assert given["net"].string_value == "MLP"
    assert given["net.hidden"].string_value == "[3]"
    assert given["lr"].number_value == 0.1


def test_text(logger, events):
    logger.log_text("verdict", "**too short**")
    (event,) = events().Tensors("verdict/text_summary")
    assert tensor_util.make_ndarray(event.tensor_proto).item() == b"**too short**"


def test_a_resumed_run_replaces_the_points_it_repeats(logger, events, tmp_path):
    for epoch in range(3):
        log(logger, epoch, val_loss=1.0)
    logger.finalize("failed")
    resumed = CurveLogger(tmp_path, "run", "0", purge_step=3)
    log(resumed, 2, val_loss=0.5)
    resumed.finalize("success")
    assert scalars(events("val"), "loss") == [(1, 1.0), (2, 1.0), (3, 0.5)]


def test_nothing_is_written_before_the_first_value(logger, tmp_path):
    logger.experiment.flush()
    logger.save()
    logger.finalize("failed")
    assert list(tmp_path.iterdir()) == []


def test_only_rank_zero_writes(logger, tmp_path, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    log(logger, 0, val_loss=1.0)
    logger.log_hyperparams({"lr": 0.1}, {"final/val_loss": 1.0})
    logger.log_text("verdict", "no")
    logger.experiment.add_scalar("a", 1.0)
    logger.finalize("success")
    assert list(tmp_path.iterdir()) == []


def test_board_url():
    url = urlparse(board_url(["loss", "gap/loss"], port=6123))
    assert (url.hostname, url.port, url.fragment) == ("localhost", 6123, "timeseries")
    query = parse_qs(url.query)
    assert query["smoothing"] == ["0"]
    cards = json.loads(query["pinnedCards"][0])
    assert cards == [{"plugin": "scalars", "tag": tag} for tag in ("loss", "gap/loss")]
    assert board_url(page="custom_scalars").endswith("#custom_scalars&_smoothingWeight=0")


def test_hyperparameters_leave_out_what_nobody_turned():
    adam = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.001, "eps": 1e-08}}
    net = {"class_path": "dlbook_torch.models.MLP", "init_args": {"hidden": [5], "dropout": 0.0}}
    model = {"net": net, "optimizer": adam, "lr_scheduler": None}
    settings = {
        "seed_everything": 3,
        "trainer": {"max_epochs": 20, "devices": 1},
        "model": {"class_path": "dlbook_torch.training.Classifier", "init_args": model},
        "data": {"class_path": "dlbook_torch.data.Digits", "init_args": {"batch_size": 10}},
    }
    assert plain(hyperparameters(settings)) == {
        "model": "Classifier",
        "net": "MLP",
        "net.hidden": "[5]",
        "net.dropout": 0.0,
        "optimizer": "Adam",
        "optimizer.lr": 0.001,
        "data": "Digits",
        "data.batch_size": 10,
        "epochs": 20,
        "seed": 3,
    }
    adam["init_args"]["eps"] = 1e-3
    assert plain(hyperparameters(settings))["optimizer.eps"] == 1e-3
