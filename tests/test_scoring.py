"""The scores are those counted by hand, and the rules of others those published."""

from math import isnan, nan

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from dlbook_torch.bench import diagnostics, rivals, scoring
from dlbook_torch.bench.scoring import Binary, Share, Verdict
from dlbook_torch.diagnostics import Report, diagnose
from dlbook_torch.diagnostics.catalogue import finding
from dlbook_torch.pages import marks


def said(label, headline, *alarms):
    return Verdict(label, headline, frozenset(alarms))


def healthy(*alarms):
    return said("healthy", alarms[0] if alarms else "learning", *alarms)


def run(val, train=None, *, label="healthy", **more):
    """A recorded run with curves, one layer and no trouble."""
    n = len(val)
    rows = dict(
        grad_norm=[[0.1]] * n,
        grad_meanabs=[[0.01]] * n,
        grad_zero=[[0.0]] * n,
        upd_ratio=[[1e-3]] * n,
        weight_max=[[1.0]] * n,
        similarity=[[0.0]] * n,
        act_std=[[1.0]] * n,
        dead=[[0.0]] * n,
        quiet=[[0.0]] * n,
        zero_frac=[[0.5]] * n,
        sat=[[]] * n,
        flat=[[]] * n,
        mean_drift=[[]] * n,
        variance_drift=[[]] * n,
        lr=[0.005] * n,
        train_acc=[0.8] * n,
        train_acc_eval=[0.8] * n,
        val_acc=[0.8] * n,
    )
    calm = dict(
        weight_variance=[0.1, 0.2],
        gradient_spread=[0.1, 0.1],
        input_mean=0.0,
        input_low=-1.0,
        input_high=1.0,
        class_counts=[10, 10],
    )
    start = calm | more.pop("start", {})
    train = list(val) if train is None else train
    curves = dict(val_loss=list(val), train_loss_eval=train, train_loss=train)
    curves |= dict(test_loss=list(val), test_score=[0.8] * n)
    base = dict(
        label=label, classes=10, config={"data": "digits"}, layers=["0"], activations=["relu"]
    )
    base |= dict(baseline=None)
    return base | rows | curves | {"start": start} | more


# --- counting


@pytest.mark.parametrize(
    "k, n, low, high",
    [
        (2, 11, 0.0514, 0.4770),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_wilson_interval_has_the_published_values(k, n, low, high):
    assert Share(k, n).wilson == pytest.approx((low, high), abs=1e-4)


def test_a_share_of_nothing_says_nothing():
    assert isnan(Share(0, 0).value)
    assert Share(0, 0).wilson == (0.0, 1.0)


def test_false_alarms_and_detection_count_their_own_runs():
    v = [
        healthy(),
        healthy("gap"),
        healthy(),
        said("diverge", "learning"),
        said("diverge", "x", "x"),
    ]
    assert scoring.false_alarms(v) == (1, 3)
    assert scoring.detected(v) == (1, 2)


def test_a_headline_is_right_if_the_family_allows_it_and_it_is_an_alarm():
    v = [
        healthy(),
        healthy("gap"),
        said("frozen_layer", "frozen_layer", "frozen_layer"),
        said("frozen_layer", "underfitting", "underfitting", "frozen_layer"),
        said("overfit_small_data", "gap"),
    ]
    assert [x.named for x in v] == [True, False, True, False, False]
    assert scoring.named(v) == (2, 5)
    assert scoring.named(v, faulty=True) == (1, 3)


def test_severity_makes_a_finding_an_alarm():
    notice, warning = (
        finding("plateau", "", confidence=1, severity=s) for s in ("notice", "warning")
    )
    other = finding("gap", "", confidence=1, severity="warning")
    calm = Verdict.of("healthy", Report(notice, (notice,), 0, "flat", "flat"))
    loud = Verdict.of("healthy", Report(warning, (warning, other), 0, "flat", "flat"))
    assert (calm.alarms, calm.group) == (frozenset(), "healthy")
    assert (loud.alarms, loud.group) == ({"plateau", "gap"}, "stuck")


def test_precision_and_recall_of_a_symptom():
    v = [
        said("overfit_small_data", "gap", "gap"),
        said("overfit_small_data", "overfitting", "overfitting", "gap"),
        said("overfit_label_noise", "learning"),
        healthy("gap"),
        said("frozen_layer", "gap", "gap"),  # a false alarm
        said("val_shift", "gap", "gap"),  # may be
    ]
    f = scoring.per_symptom(v)["overfitting"]
    assert f == (2, 2, 1)
    truth, found = [1, 1, 1, 0, 0], [1, 1, 0, 1, 1]
    assert f.precision == precision_score(truth, found)
    assert f.recall == recall_score(truth, found)
    assert f.f1 == f1_score(truth, found)


def test_confusion_of_headlines_in_five_words():
    v = [
        healthy(),
        healthy("dead_relu"),
        said("diverge", "lr_too_high", "lr_too_high"),
        said("diverge", "not_learning", "not_learning"),
        said("double_softmax", "double_softmax", "double_softmax"),
        said("val_shift", "gap", "gap"),
        said("overfit_small_data", "learning"),
    ]
    table = scoring.confusion(v)
    assert table["healthy"] == {"healthy": 1, "stuck": 1}
    assert table["diverged"] == {"diverged": 1, "stuck": 1}
    assert table["data"] == {"overfit": 1, "data": 1}
    assert table["overfit"] == {"healthy": 1}
    truth, found = (
        [x for row in pairs for x in row]
        for pairs in zip(
            *[([name] * n, [word] * n) for name, row in table.items() for word, n in row.items()],
            strict=True,
        )
    )
    f1 = scoring.group_f1(table)
    for name in ("healthy", "diverged", "data"):
        want = f1_score(truth, found, labels=[name], average="macro", zero_division=0)
        assert f1[name].f1 == pytest.approx(want)


def test_macro_f1_is_that_of_scikit_learn():
    truth, found = [1] * 6 + [0] * 10, [1] * 4 + [0] * 2 + [1] * 3 + [0] * 7
    counted = scoring.binary(zip(map(bool, truth), map(bool, found), strict=True))
    assert counted == (4, 2, 3, 7)
    assert counted.macro_f1 == pytest.approx(f1_score(truth, found, average="macro"))


def test_what_may_overfit_or_not_is_left_out():
    assert scoring.binary([(None, True), (True, True), (False, False)]) == (1, 0, 0, 1)
    assert scoring.is_overfit("overfit_small_data") is True
    assert scoring.is_overfit("val_shift") is None
    assert scoring.is_overfit("frozen_layer") is scoring.is_overfit("healthy") is False


# --- in time


def alarming_from(epochs):
    def mode(given, n):
        name = "frozen_layer" if n >= epochs else "learning"
        one = finding(name, "", confidence=1)
        return Report(one, (one,), 0, "flat", "flat")

    return mode


def test_delay_counts_from_the_onset(monkeypatch):
    monkeypatch.setitem(scoring.MODES, "curves and layers", alarming_from(6))
    frozen = run([1.0] * 20, label="frozen_layer")
    assert scoring.delay(frozen) == 5  # in the sixth epoch
    assert scoring.delay(frozen | {"config": {"onset": 4}}) == 1
    monkeypatch.setitem(scoring.MODES, "curves and layers", alarming_from(99))
    assert scoring.delay(frozen) is None


def test_delays_count_what_was_found_within_three_epochs(monkeypatch):
    monkeypatch.setitem(scoring.MODES, "curves and layers", alarming_from(4))
    runs = [run([1.0] * n, label="frozen_layer") for n in (3, 20, 20)]
    assert scoring.delays(runs)["frozen_layer"] == (3, 2, 2, 3)


def test_units_that_die_set_the_onset():
    dead = [[0.1], [0.2], [0.6], [0.9]]
    assert scoring.onset(run([1.0] * 4, label="dead_relu_lr", dead=dead)) == 2


def test_an_early_stop_loses_the_best_epoch():
    falls = [1.0, 0.9, 0.8, 0.7]
    early = scoring.online([run(falls)], alarm=lambda val: 1)
    late = scoring.online([run(falls, label="overfit_small_data")], alarm=lambda val: 3)
    never = scoring.online([run([0.7, 0.705, nan])], alarm=lambda val: None)
    assert (early.kept, early.healthy) == ((0, 1), (1, 1))
    assert (late.kept, late.overfit, late.delay) == ((1, 1), (1, 1), 0)
    assert (never.kept, never.healthy) == ((1, 1), (0, 1))
    near = scoring.online([run([1.0, 0.705, 0.9, 0.7])], alarm=lambda val: 2)
    assert near.kept == (1, 1)  # to 1 %


# --- what the diagnosis is given


def test_curves_of_a_run_by_their_source():
    recorded = run([3.0, 2.0], train_loss=[9.0, None], train_loss_eval=[4.0, 3.0])
    measured, running = (scoring.curves(recorded, s) for s in ("measured", "running"))
    assert (list(measured.train), measured.measured, measured.classes) == ([4.0, 3.0], True, 10)
    assert (running.train[0], isnan(running.train[1]), running.measured) == (9.0, True, False)
    bare = scoring.curves(recorded, "losses", 1)
    assert (list(bare.val), bare.val_accuracy, bare.lr, bare.classes) == ([3.0], None, None, None)


def test_numbers_have_the_variance_of_their_targets_as_loss_of_guessing():
    numbers = run([0.5, 0.4], classes=None, baseline=1.3)
    assert [scoring.curves(numbers, s).baseline for s in ("measured", "running")] == [1.3, 1.3]
    assert scoring.curves(numbers, "losses").baseline is None


def test_drift_belongs_to_the_layer_before_its_batch_norm():
    two = run([1.0], layers=["0", "2"], activations=["relu", ""], variance_drift=[[0.9]])
    two |= {key: [[1.0, 2.0]] for key in ("grad_norm", "grad_meanabs", "weight_max")}
    assert scoring.internals(two).variance_drift[0][0] == 0.9
    assert isnan(scoring.internals(two).variance_drift[0][1])


def test_layers_without_a_statistic_have_nan():
    two = run([1.0], layers=["0", "2"], activations=["tanh", ""], sat=[[[0.5, 0.1]]], dead=[[]])
    two |= {key: [[1.0, 2.0]] for key in ("grad_norm", "grad_meanabs", "weight_max")}
    x = scoring.internals(two)
    assert x.saturated[0][0] == 0.5
    assert x.saturated_units[0][0] == 0.1
    assert isnan(x.saturated[0][1])
    assert np.isnan(x.dead).all()
    assert x.gradient_norm == [[1.0, 2.0]]


def test_every_mode_diagnoses_a_run():
    recorded = run([2 / (e + 1) + 0.1 for e in range(20)])
    whole = {name: mode(recorded, None) for name, mode in scoring.MODES.items()}
    assert all(isinstance(report, Report) for report in whole.values())
    want = diagnose(scoring.curves(recorded), scoring.internals(recorded)).id
    assert whole["curves and layers"].id == want


# --- the rules of others, on both sides of their thresholds


@pytest.mark.parametrize(
    "val, train, at", [([1.0, 1.12, 1.0], [1.0] * 3, 1), ([1.09], [1.0], None)]
)
def test_sagemaker_overfit_is_a_gap_of_a_tenth(val, train, at):
    assert rivals.sagemaker_overfit(run(val, train)) == at


def test_sagemaker_overfit_in_the_last_epoch_alone():
    assert rivals.sagemaker_overfit_end(run([2.0, 1.0], [1.0, 1.0])) is None
    assert rivals.sagemaker_overfit_end(run([1.0, 1.2], [1.0, 1.0])) == 1


def test_umlaut_compares_two_epochs():
    assert rivals.umlaut_overfit(run([1.0, 0.9, 0.95], [1.0, 0.9, 0.8])) == 2
    assert rivals.umlaut_overfit(run([1.0, 1.1], [1.0, 1.1])) is None


@pytest.mark.parametrize("patience, at", [(10, 11), (40, None)])
def test_early_stopping_waits_for_its_patience(patience, at):
    val = [1.0, 0.5] + [0.6] * 38
    assert rivals.early_stopping(patience)(run(val)) == at
    assert rivals.early_stopping(40)(run([*val, 0.6, 0.6])) == 41


@pytest.mark.parametrize(
    "end, alarms", [(1.019, []), (1.03, [2]), (1.06, [2, 5]), (1.11, [2, 5, 10])]
)
def test_generalization_loss_of_prechelt(end, alarms):
    fired = [a for a in (2, 5, 10) if rivals.prechelt(a)(run([2.0, 1.0, end])) is not None]
    assert fired == alarms


@pytest.mark.parametrize(
    "rule, bad, good",
    [
        ("VanishingGradient", dict(grad_meanabs=[[1e-8]]), dict(grad_meanabs=[[1e-6]])),
        ("ExplodingTensor", dict(train_loss=[None]), {}),
        ("DeadRelu", dict(quiet=[[0.51]]), dict(quiet=[[0.49]])),
        ("SaturatedActivation", dict(flat=[[0.51]]), dict(flat=[[0.49]])),
        ("WeightUpdateRatio", dict(upd_ratio=[[1e-9]]), dict(upd_ratio=[[1e-7]])),
        ("WeightUpdateRatio", dict(upd_ratio=[[11.0]]), dict(upd_ratio=[[9.0]])),
        ("AllZero", dict(weight_max=[[0.0]]), {}),
        ("AllZero", dict(zero_frac=[[1.0]]), dict(zero_frac=[[0.99]])),
        (
            "ClassImbalance",
            dict(start={"class_counts": [11, 1]}),
            dict(start={"class_counts": [9, 1]}),
        ),
        ("CheckInputImages", dict(start={"input_mean": -0.3}), dict(start={"input_mean": 0.1})),
        (
            "PoorWeightInitialization",
            dict(start={"weight_variance": [0.1, 1.1]}),
            dict(start={"weight_variance": [0.1, 0.9]}),
        ),
        (
            "PoorWeightInitialization",
            dict(start={"gradient_spread": [9e-4]}),
            dict(start={"gradient_spread": [2e-3]}),
        ),
    ],
)
def test_rules_of_sagemaker_at_their_thresholds(rule, bad, good):
    assert rivals.SAGEMAKER[rule](run([1.0], **bad)) == 0
    assert rivals.SAGEMAKER[rule](run([1.0], **good)) is None


def test_sagemaker_looks_back_ten_checks():
    falls = [1 - 0.01 * e for e in range(11)]
    assert rivals.loss_not_decreasing(run(falls)) is None
    assert rivals.loss_not_decreasing(run([*falls, 0.99])) == 11


def test_sagemaker_overtraining_waits_for_both_losses():
    assert rivals.overtraining(run([1.0] * 11)) == 10
    assert rivals.overtraining(run([1.0 - 0.2 * e for e in range(11)])) is None


def test_sagemaker_unchanged_tensor_needs_three_checks():
    still = run([1.0] * 4, upd_ratio=[[1e-3], [1e-6], [1e-6], [1e-6]])
    assert rivals.unchanged_tensor(still) == 3
    assert rivals.unchanged_tensor(run([1.0] * 2, upd_ratio=[[0.0]] * 2)) is None


@pytest.mark.parametrize(
    "rule, bad, good",
    [
        ("validation accuracy", dict(val_acc=[0.96] * 4), dict(val_acc=[0.84] * 4)),
        ("validation accuracy", dict(val_acc=[0.86] * 4), dict(val_acc=[0.99] * 3 + [0.8])),
        ("learning rate", dict(lr=[0.02] * 4), dict(lr=[0.01] * 4)),
        ("learning rate", dict(lr=[1e-8] * 4), dict(lr=[1e-6] * 4)),
        ("input range", dict(start={"input_high": 1.1}), {}),
        ("dropout", dict(config={"drop": 0.6}), dict(config={"drop": 0.5})),
        ("NaN", dict(train_loss=[1.0, None, None, None]), {}),
    ],
)
def test_rules_of_umlaut_at_their_thresholds(rule, bad, good):
    assert rivals.UMLAUT[rule](run([1.0] * 4, **bad)) is not None
    assert rivals.UMLAUT[rule](run([1.0] * 4, **good)) is None


def test_autotrainer_looks_only_at_runs_of_low_accuracy():
    layers = dict(grad_meanabs=[[1e-5, 0.1]] * 3, layers=["0", "1"])
    assert rivals.autotrainer(run([1.0] * 3, train_acc=[0.1, 0.3, 0.5], **layers)) == 0
    assert rivals.autotrainer(run([1.0] * 3, train_acc=[0.1, 0.3, 0.8], **layers)) is None
    calm = run([1.0] * 3, train_acc=[0.1, 0.3, 0.5])
    assert rivals.autotrainer(calm) is None
    assert rivals.autotrainer(calm | {"train_acc": [0.5, 0.5, 0.5]}) == 2
    assert rivals.autotrainer(calm | {"train_acc": [None] * 3}) is None  # a regression


def test_a_tool_alarms_with_its_first_rule():
    rules = {"a": lambda run: 7, "b": lambda run: None, "c": lambda run: 3}
    assert rivals.any_of(rules)({}) == 3
    assert rivals.without(rules, "c", "a")({}) is None


# --- the tables


def test_tables_show_what_was_counted(monkeypatch):
    runs = [run([2 / (e + 1) + 0.5 for e in range(20)]) for _ in range(4)]
    runs += [run([1.0] * 20, label="frozen_layer", layers=["0", "1"], activations=["relu", ""])]
    for key in ("grad_norm", "grad_meanabs", "grad_zero", "weight_max", "similarity"):
        runs[-1][key] = [[0.1, 0.1]] * 20
    runs[-1]["upd_ratio"] = [[0.0, 1e-3]] * 20
    monkeypatch.setattr(diagnostics, "verified", lambda r: True)
    sheets = diagnostics.sheets(runs)
    text = "\n".join(sheet.markdown() for sheet in sheets)
    assert "| frozen_layer | 1 | 1 | 1 |" in text
    assert "0/4 = 0.0% (0.0 to 49.0)" in text
    assert all(len(row) == len(sheet.heads) for sheet in sheets for row in sheet.rows)


def test_a_page_without_markers_is_refused_before_anything_is_trained(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(SystemExit) as end:
        diagnostics.main(["--markdown", str(page), "--out", str(tmp_path)])
    assert end.value.code == 2
    assert "there is no" in capsys.readouterr().err


def test_the_command_trains_scores_and_writes(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n{}\n{}\n".format(*marks(diagnostics.PART)))
    args = [
        "--only",
        "stopped_early",
        "--each",
        "1",
        "--out",
        str(tmp_path),
        "--markdown",
        str(page),
    ]
    diagnostics.main(args)
    first = page.read_text()
    assert "| stopped_early | 1 |" in first
    diagnostics.main(args)  # from the file
    assert page.read_text() == first
    assert "Family by family" in capsys.readouterr().out


def test_macro_f1_of_perfect_verdicts_is_one():
    assert Binary(3, 0, 0, 4).macro_f1 == 1
