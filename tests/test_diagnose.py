"""Every symptom on a run drawn to have it, and on a healthy run that only looks alike."""

import inspect
import json
from dataclasses import replace
from itertools import product
from math import e, inf, log, nan

import lightning as L
import numpy as np
import pytest

from dlbook_torch import models, optim
from dlbook_torch.data import Digits
from dlbook_torch.diagnostics import (
    CATALOGUE,
    REMEDIES,
    Curves,
    Internals,
    Report,
    diagnose,
)
from dlbook_torch.diagnostics.curves import last_segment, noise, trend
from dlbook_torch.diagnostics.facts import Facts
from dlbook_torch.diagnostics.verdict import TABLE
from dlbook_torch.training import Classifier

EPOCHS = 30
S = np.linspace(0, 1, EPOCHS)
CLASSES = 10
GUESS = log(CLASSES)
SHAPES = {
    "falling": 0.3 + 2 * np.exp(-2 * S),
    "flat": 1.5 + np.exp(-40 * S),
    "rising": 1.0 + 0.6 * S,
}


def decay(first, last, speed=6.0, epochs=EPOCHS):
    return last + (first - last) * np.exp(-speed * np.linspace(0, 1, epochs))


def noisy(curve, share, seed=0):
    return curve * (1 + share * np.random.default_rng(seed).standard_normal(len(curve)))


def healthy(**changes):
    """A classifier of ten classes that has learned."""
    run = Curves(
        decay(2.0, 0.15),
        decay(1.9, 0.2),
        decay(0.3, 0.96),
        decay(0.35, 0.94),
        lr=[0.01] * EPOCHS,
        classes=CLASSES,
    )
    return replace(run, **changes)


def layers(epochs=EPOCHS, **grids):
    """Internals of three layers that work well, but for what is given, a row or a grid."""
    usual = {
        "gradient_norm": [0.5, 0.4, 0.6],
        "gradient_mean": [0.01, 0.01, 0.02],
        "update_ratio": [1e-3, 2e-3, 1e-3],
        "dead": [0.02, 0.0, nan],
        "saturated": [nan, nan, nan],
        "activation_std": [0.9, 1.1, nan],
    } | grids
    rows = {k: v if np.ndim(v) == 2 else [v] * epochs for k, v in usual.items()}
    return Internals(["first", "second", "last"], **rows)


def ids(report):
    return {finding.id for finding in report.findings}


# a network that has learned nothing; its accuracy is that of guessing
STUCK = healthy(
    train=noisy(np.full(EPOCHS, GUESS), 0.002),
    val=noisy(np.full(EPOCHS, GUESS), 0.002, 1),
    train_accuracy=[0.1] * EPOCHS,
    val_accuracy=[0.1] * EPOCHS,
)
NO_ACCURACY = {"train_accuracy": None, "val_accuracy": None}
TWICE = log(1 + (CLASSES - 1) / e)  # two softmaxes get no lower
SHARE = decay(0.15, 0.88)
RUNS = {
    "healthy": healthy(val=noisy(decay(1.9, 0.2), 0.1)),
    "learning": healthy(train=decay(2, 0.1, 2), val=decay(2, 0.1, 2)),
    "converged": healthy(train=decay(2, 0.15, 30), val=decay(1.9, 0.2, 30)),
    "val_plateau": Curves(SHAPES["falling"], SHAPES["flat"]),
    "overfitting": healthy(
        train=decay(2, 0.05, 5),
        val=0.6 + 2 * (S - 0.3) ** 2,
        train_accuracy=decay(0.3, 1, 5),
        val_accuracy=decay(0.3, 0.7, 8),
    ),
    "gap": Curves(decay(2, 0.1, 30), decay(2, 0.6, 30)),
    "data_suspect": healthy(train=decay(2, 1.5), val=decay(1.9, 0.7)),
    "plateau": Curves(SHAPES["flat"], SHAPES["flat"]),
    "not_learning": STUCK,
    "underfitting": healthy(
        train=decay(2.2, 1.6, 20),
        val=decay(2.2, 1.65, 20),
        train_accuracy=decay(0.1, 0.4, 20),
        val_accuracy=decay(0.1, 0.38, 20),
    ),
    "too_slow": healthy(
        train=2.3 - 0.5 * S,
        val=2.3 - 0.45 * S,
        train_accuracy=0.1 + 0.2 * S,
        val_accuracy=0.1 + 0.2 * S,
    ),
    "diverging": healthy(train=[*decay(2, 0.5)[:20], *[3.0, 9.0] * 5], measured=False),
    "oscillating": Curves(
        1 + 0.8 * np.resize([1, -1, 0.2, -0.5, 0.9], EPOCHS), np.full(EPOCHS, 1.0), measured=False
    ),
    "double_softmax": healthy(
        train=TWICE + 1 - SHARE,
        val=TWICE + 1 - SHARE + 0.03,
        train_accuracy=SHARE,
        val_accuracy=SHARE,
    ),
    "validation_shift": healthy(val=decay(4, 1.0), measured=False),
    "bad_init": healthy(
        train=decay(20, 4, 3),
        val=decay(19, 5, 3),
        train_accuracy=decay(0.1, 0.4),
        val_accuracy=decay(0.1, 0.3),
    ),
    "too_short": Curves([2.0, 1.0], [2.0, 1.1]),
    "unclear": Curves(noisy(SHAPES["falling"], 0.3), noisy(SHAPES["flat"], 0.3, 1)),
}
LAYERS = {
    "vanishing_gradients": layers(gradient_mean=[1e-9, 1e-6, 1e-2]),
    "exploding_gradients": layers(gradient_norm=[[1.0, 1, 1]] * 20 + [[300.0, 200, 1]] * 10),
    "dead_relu": layers(dead=[0.95, 0.3, nan]),
    "saturated": layers(saturated=[0.9, 0.2, nan]),
    "lr_too_low": layers(update_ratio=[1e-6, 2e-6, 1e-6]),
    "frozen_layer": layers(update_ratio=[0.0, 2e-3, 1e-3]),
    "symmetric_weights": layers(similarity=[1.0, 0.2, 0.1]),
    "bn_drift": layers(mean_drift=[0.1, 0.2, nan], variance_drift=[0.1, 1.5, nan]),
    "bad_init": layers(activation_std=[1.0, 1e-4, nan]),
}


@pytest.mark.parametrize("name", RUNS)
def test_curves_with_a_symptom_get_its_name(name):
    assert diagnose(RUNS[name]).id == name


@pytest.mark.parametrize("name", LAYERS)
def test_layers_say_why_a_network_does_not_learn(name):
    report = diagnose(STUCK, LAYERS[name])
    assert report.id == name
    assert report.severity == "error"
    assert "not_learning" in ids(report)


@pytest.mark.parametrize("name", sorted(LAYERS.keys() - {"frozen_layer", "symmetric_weights"}))
def test_what_did_no_harm_is_not_called_an_error(name):
    report = diagnose(healthy(), LAYERS[name])
    assert "error" not in {finding.severity for finding in report.findings}


def test_a_learning_rate_is_too_high_only_where_the_loss_is_unsteady():
    high = layers(update_ratio=[0.3, 0.2, 0.2])
    rough = replace(STUCK, train=noisy(np.full(EPOCHS, 2.6), 0.1), measured=False)
    assert diagnose(rough, high).id == "lr_too_high"
    assert diagnose(healthy(), high).healthy


def test_a_share_of_a_few_units_says_nothing():
    few = replace(layers(dead=[1.0, 0.5, nan]), units=[2, 2, CLASSES])
    assert diagnose(STUCK, few).id == "not_learning"
    assert diagnose(STUCK, replace(few, units=[64, 64, CLASSES])).id == "dead_relu"


def test_small_steps_are_no_fault_where_nothing_is_left_to_learn():
    done = replace(RUNS["overfitting"], train=decay(2, 0.001, 20))
    report = diagnose(done, LAYERS["lr_too_low"])
    (note,) = (x for x in report.findings if x.id == "lr_too_low")
    assert (report.id, note.severity) == ("overfitting", "notice")


def test_a_healthy_run_with_healthy_layers_is_left_alone():
    report = diagnose(healthy(), layers())
    assert report.healthy
    assert ids(report) == {"converged"}
    assert ids(diagnose(RUNS["learning"], layers())) == {"learning"}


@pytest.mark.parametrize("pair", list(product(SHAPES, SHAPES)), ids="-".join)
def test_each_pair_of_trends_has_an_answer(pair):
    train, val = pair
    report = diagnose(SHAPES[train], SHAPES[val])
    assert (report.train, report.val) == pair
    overfits = {("falling", "rising"), ("flat", "rising")}  # for this one rises by more than 5 %
    assert report.id == ("overfitting" if pair in overfits else TABLE[pair])


def test_every_id_has_words_remedies_and_a_test():
    tested = RUNS.keys() | LAYERS.keys() | {"lr_too_high"}
    assert tested == CATALOGUE.keys()
    assert set(TABLE.values()) <= CATALOGUE.keys()
    for name, kind in CATALOGUE.items():
        assert kind.sentence.endswith(".")
        assert set(kind.remedies.split()) <= REMEDIES.keys()
        assert kind.remedies or name in ("converged", "healthy")


# what the verdict must not depend on
STABLE = [n for n in RUNS if n not in ("too_short", "unclear", "oscillating")]


def changed(run, change, *names):
    values = {n: getattr(run, n) for n in names if getattr(run, n) is not None}
    return replace(run, **{n: change(np.asarray(x, float)) for n, x in values.items()})


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_unit_of_the_loss_does_not_matter(name, scale):
    before = diagnose(RUNS[name])
    after = diagnose(changed(RUNS[name], lambda x: scale * x, "train", "val"))
    assert [(x.id, x.severity) for x in after.findings] == [
        (x.id, x.severity) for x in before.findings
    ]


def drawn(seed):
    """Curves of a classifier of any quality: skill, confidence, noise, turn, and length vary."""
    draw = np.random.default_rng(seed)
    n, classes = int(draw.integers(8, 60)), int(draw.choice([2, 4, 10, 100]))
    s, best = np.linspace(0, 1, n), draw.uniform(1 / classes, 0.99)
    right = best - (best - 1 / classes) * np.exp(-draw.uniform(0, 15) * s)
    right = np.clip(right + 0.01 * draw.standard_normal(n), 0, 1)
    loss = (log(classes) * (1 - right) / (1 - 1 / classes) + 0.01) * draw.uniform(0.5, 3)
    rise = draw.choice([0, 0, 1]) * draw.uniform(0, 1) * np.clip(s - draw.random(), 0, 1)
    val = (loss * draw.uniform(1, 1.5) + rise) * (1 + 0.02 * draw.standard_normal(n))
    return Curves(loss, val, np.clip(right + 0.05, 0, 1), right, classes=classes)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_unit_of_the_loss_does_not_matter_to_any_classifier(scale):
    seen = set()
    for seed in range(100):
        run = drawn(seed)
        said = [
            [(x.id, x.severity) for x in diagnose(r).findings]
            for r in (run, changed(run, lambda x: scale * x, "train", "val"))
        ]
        assert said[0] == said[1], seed
        seen |= {name for name, _ in said[0]}
    assert len(seen) >= 8  # the curves differ enough to show something


@pytest.mark.parametrize("name", ["learning", "converged", "overfitting", "underfitting"])
@pytest.mark.parametrize("batch", [32, 128, 4096])
def test_a_loss_summed_over_a_batch_is_judged_by_its_accuracy(name, batch):
    assert diagnose(changed(RUNS[name], lambda x: batch * x, "train", "val")).id == name


@pytest.mark.parametrize("name", STABLE)
def test_twice_the_epochs_do_not_matter(name):
    def double(x):
        at = np.linspace(0, len(x) - 1, 2 * len(x) - 1)
        return np.interp(at, np.arange(len(x)), x)

    curves = ("train", "val", "train_accuracy", "val_accuracy", "lr")
    assert diagnose(changed(RUNS[name], double, *curves)).id == name


@pytest.mark.parametrize("name", ["overfitting", "not_learning", "double_softmax", "gap"])
def test_5_percent_of_noise_do_not_hide_a_fault(name):
    found = [
        diagnose(replace(run, train=noisy(run.train, 0.05, s), val=noisy(run.val, 0.05, s + 99))).id
        for run in [RUNS[name]]
        for s in range(20)
    ]
    assert found.count(name) >= 18


@pytest.mark.parametrize("epochs", [10, 30, 100, 300])
@pytest.mark.parametrize("measured", [True, False])
def test_5_percent_of_noise_make_no_fault(epochs, measured):
    for seed in range(25):
        train = noisy(decay(2.3, 0.3, 6, epochs), 0.01, seed)
        val = noisy(decay(2.2, 0.45, 6, epochs), 0.05, 1000 + seed)
        assert diagnose(Curves(train, val, measured=measured)).healthy


def test_noise_that_lasts_is_seldom_called_overfitting():
    draw = np.random.default_rng(0)
    alarms = 0
    for _ in range(100):
        waves = np.convolve(draw.standard_normal(60), [0.25] * 4)[:50]
        val = decay(2.2, 0.5, 8, 50) * (1 + 0.06 * waves)
        alarms += "overfitting" in ids(
            diagnose(Curves(decay(2.3, 0.3, 8, 50), val, measured=False))
        )
    assert alarms <= 4  # 8 in 6 times 100 of such curves


# level and accuracy
@pytest.mark.parametrize("steep, severity", [(0.1, "notice"), (0.5, "warning")])
def test_a_rising_loss_with_a_steady_accuracy_weighs_less(steep, severity):
    run = healthy(val=0.2 + steep * (S - 0.5) ** 2, train=decay(2, 0.05, 5))
    (note,) = (x for x in diagnose(run).findings if x.id == "overfitting")
    assert note.severity == severity  # by 12 % and by 60 %
    assert "sure of its mistakes" in note.sentence
    assert diagnose(run).healthy == (severity == "notice")


def test_a_large_rise_with_a_falling_accuracy_is_an_error():
    run = healthy(val=0.2 + 0.5 * (S - 0.5) ** 2, train=decay(2, 0.05, 5))
    worse = replace(run, val_accuracy=[*decay(0.3, 0.94)[:20], *np.linspace(0.93, 0.88, 10)])
    assert (diagnose(worse).id, diagnose(worse).severity) == ("overfitting", "error")


def test_accuracies_far_apart_are_overfitting_even_if_the_loss_stands_still():
    run = healthy(
        train=decay(2, 0.01, 20),
        val=decay(2, 0.8, 20),
        train_accuracy=decay(0.3, 1, 20),
        val_accuracy=decay(0.3, 0.7, 20),
    )
    assert diagnose(run).id == "overfitting"
    assert "by heart" in diagnose(run).headline.sentence


def test_a_running_mean_above_the_validation_loss_is_no_suspicion():
    run = healthy(train=decay(2.3, 1.2), val=decay(1.9, 0.6), train_accuracy=None)
    assert diagnose(run).id == "data_suspect"
    assert diagnose(replace(run, measured=False)).healthy


def test_a_network_held_back_in_training_underfits():
    run = healthy(
        train=decay(2.6, 1.7),
        val=decay(2.1, 1.0),
        train_accuracy=decay(0.1, 0.4),
        val_accuracy=decay(0.2, 0.75),
        measured=False,
    )
    report = diagnose(run)
    assert report.id == "underfitting"
    assert report.headline.remedies[0].id == "less_dropout"


def test_a_shift_needs_more_than_one_bad_epoch():
    val = decay(1.9, 0.2)
    val[0] = 6  # as before the averages of BatchNorm have settled
    assert diagnose(healthy(val=val, measured=False)).healthy


def test_running_mean_beside_a_measured_loss_shows_a_smaller_shift():
    run = healthy(val=decay(2.7, 0.8), **NO_ACCURACY)
    assert "validation_shift" not in ids(diagnose(run))
    assert diagnose(replace(run, running=decay(2.2, 0.2))).id == "validation_shift"


def test_a_loss_that_an_accurate_network_should_not_have_is_a_second_softmax():
    assert diagnose(RUNS["double_softmax"]).headline.numbers["floor"] == pytest.approx(TWICE)
    smoothed = replace(RUNS["double_softmax"], val=RUNS["double_softmax"].val - 0.5)
    assert "double_softmax" not in ids(diagnose(smoothed))


def test_a_loss_no_higher_than_its_accuracy_allows_is_no_second_softmax():
    right = decay(0.5, 0.75, 10)  # of two classes: the loss of knowing only that is the same
    twice = log(1 + 1 / e) + 1 - right
    run = Curves(twice, twice, right, right, classes=2)
    assert "double_softmax" not in ids(diagnose(run))


def test_half_the_classes_right_of_two_is_guessing():
    run = healthy(
        classes=2,
        train=decay(0.69, 0.66),
        val=decay(0.69, 0.67),
        train_accuracy=[0.6] * EPOCHS,
        val_accuracy=[0.58] * EPOCHS,
    )
    assert diagnose(run).id in ("underfitting", "not_learning", "too_slow")


def test_a_target_raises_the_bar():
    run = RUNS["converged"]
    assert diagnose(run, target_accuracy=0.9).healthy
    report = diagnose(run, target_accuracy=0.99)
    assert (report.id, report.severity) == ("plateau", "warning")
    assert "99.0%" in report.headline.evidence


def test_a_run_that_goes_on_is_never_too_slow():
    assert diagnose(RUNS["too_slow"], finished=False).healthy


def test_a_step_of_the_learning_rate_is_no_trend():
    loss = np.r_[np.full(20, 1.0), np.full(10, 0.5)]
    lr = [0.1] * 20 + [0.01] * 10
    assert last_segment(np.array(lr)) == 20
    assert diagnose(Curves(loss, loss, lr=lr)).train == "flat"
    assert diagnose(Curves(loss, loss)).train == trend(loss)
    cosine = 0.1 * (1 + np.cos(np.pi * S)) / 2
    assert last_segment(cosine) == 0


def test_noise_is_that_of_the_curve_and_not_of_its_bend():
    clean = decay(2, 0.2, 3)
    assert noise(clean) < 1e-3
    drawn = [noise(clean + 0.05 * np.random.default_rng(s).standard_normal(30)) for s in range(99)]
    assert np.median(drawn) == pytest.approx(0.05, rel=0.35)


# inputs as they come
@pytest.mark.parametrize("bad", [nan, inf])
def test_a_loss_that_ends_as_no_number_has_diverged(bad):
    loss = [1.0, 0.9, bad, bad]
    report = diagnose(loss, loss)
    assert (report.id, report.severity, report.headline.since) == ("diverging", "error", 2)
    json.dumps(report.as_dict(), allow_nan=False)


def test_epochs_without_a_measurement_are_left_out():
    run = RUNS["overfitting"]
    val = [v if epoch % 2 else nan for epoch, v in enumerate(run.val)]
    report = diagnose(replace(run, val=val))
    assert report.id == "overfitting"
    assert report.best_epoch == 9  # that of the 30 epochs
    assert val[9] == np.nanmin(val)


def test_a_missing_curve_is_no_divergence():
    lost = [nan] * EPOCHS
    assert diagnose(Curves(decay(2, 0.1, 3), lost)).id == "learning"
    assert "nothing was validated" in diagnose(Curves(decay(2, 0.1, 3), lost)).headline.sentence
    assert diagnose(Curves(lost, decay(2, 0.1, 3))).id == "too_short"
    assert diagnose(Curves(lost, lost)).id == "diverging"


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 1e30, 1e-30])
@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 8, 50])
def test_constant_curves_get_a_sentence(value, epochs):
    loss = [value] * epochs
    for run in (Curves(loss, loss), Curves(loss, loss, loss and [0.5] * epochs, classes=2)):
        report = diagnose(run)
        assert report.headline.sentence.endswith(".")
        assert "nan" not in report.markdown()


def test_random_inputs_never_fail():
    draw = np.random.default_rng(0)
    for _ in range(200):
        n = int(draw.integers(1, 40))
        train, val, accuracy = draw.lognormal(0, 2, n), draw.lognormal(0, 2, n), draw.random(n)
        for curve in (train, val, accuracy):
            curve[draw.random(n) < draw.choice([0, 0.3])] = nan
        run = Curves(train, val, accuracy, accuracy[::-1], lr=train, classes=int(n) + 1)
        grid = [list(row) for row in draw.lognormal(-3, 3, (n, 3))]
        share = [list(row) for row in draw.random((n, 3))]
        inside = Internals(list("abc"), grid, grid, share, grid, share, share, share, share, grid)
        report = diagnose(run, inside)
        json.dumps(report.as_dict(), allow_nan=False)
        assert report.findings[0] is report.headline


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"train": [], "val": []}, "got 0 and 0 losses"),
        ({"train": [1], "val": [1, 2]}, "got 1 and 2 losses"),
        ({"val_accuracy": [0.5]}, "one val_accuracy for each of 2 epochs, got 1"),
        ({"val_accuracy": [50.0, 97.5]}, "val_accuracy between 0 and 1, got 50.0"),
        ({"classes": 1}, "at least 2 classes, got 1"),
        ({"epochs": [3, 3]}, r"increasing order, got \[3, 3\]"),
    ],
)
def test_curves_that_contradict_themselves_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Curves(**({"train": [1, 2], "val": [1, 2]} | arguments))


def test_layers_that_contradict_themselves_are_refused():
    with pytest.raises(ValueError, match="a dead for each of 2 layers, got 1"):
        Internals(["a", "b"], dead=[[0.1]])
    with pytest.raises(ValueError, match=r"over the same epochs, got \[1, 2\] rows"):
        Internals(["a"], dead=[[0.1]], zero=[[0.1]] * 2)
    with pytest.raises(ValueError, match="Internals beside Curves"):
        diagnose(healthy(), [1.0])


def test_findings_name_the_epoch_as_the_run_numbers_it():
    run = replace(RUNS["overfitting"], epochs=range(100, 100 + EPOCHS))
    report = diagnose(run)
    assert report.best_epoch == 100 + int(np.argmin(run.val))
    assert f"epoch {report.best_epoch + 1} of" in report.headline.evidence
    dying = [[0.0, 0.0, nan]] * 12 + [[0.9, 0.0, nan]] * 18
    (dead,) = (x for x in diagnose(STUCK, layers(dead=dying)).findings if x.id == "dead_relu")
    assert dead.since == 12


def test_layers_are_heard_before_the_curves_can_speak():
    run = replace(
        STUCK, **{k: getattr(STUCK, k)[:3] for k in ("train", "val", "lr")}, **NO_ACCURACY
    )
    assert diagnose(run, layers(3, dead=[1.0, 1.0, nan])).id == "dead_relu"


# order, text, remedies
def test_the_worst_comes_first_and_nothing_twice():
    inside = layers(dead=[0.95, 0.3, nan], update_ratio=[1e-6] * 3)
    report = diagnose(STUCK, inside)
    order = [["error", "warning", "notice", "info"].index(x.severity) for x in report.findings]
    assert order == sorted(order)
    assert len(ids(report)) == len(report.findings)


def test_small_steps_of_dead_units_are_not_the_learning_rates_fault():
    small = dict(update_ratio=[1e-6] * 3)
    assert "lr_too_low" in ids(diagnose(STUCK, layers(dead=[0.1, 0.1, nan], **small)))
    assert "lr_too_low" not in ids(diagnose(STUCK, layers(dead=[0.95, 0.3, nan], **small)))


def test_a_report_is_text_and_data():
    report = diagnose(RUNS["overfitting"], layers(dead=[0.3, 0.1, nan]))
    assert isinstance(report, Report)
    page, data = report.markdown(), report.as_dict()
    for finding in report.findings:
        assert f"### {finding.id} ({finding.severity}, confidence" in page
        assert finding.evidence in page
    assert "`--model.net.dropout`" in page
    assert report.sentence == data["headline"]["sentence"]
    assert data["headline"] == data["findings"][0]
    assert data["trends"] == {"train": report.train, "val": report.val}
    assert json.loads(json.dumps(data)) == data
    for finding in data["findings"]:
        assert 0 <= finding["confidence"] <= 1
        assert {"id", "action", "key", "source"} <= finding["remedies"][0].keys()


def test_all_six_methods_of_the_notes_are_offered_against_overfitting():
    remedies = diagnose(RUNS["overfitting"]).headline.remedies
    methods = {r.source.partition("method ")[2][:1] for r in remedies if "method" in r.source}
    assert methods == set("123456")
    assert {"weight_decay", "dropout", "early_stop"} <= {r.id for r in remedies}


def test_dropping_batch_norm_is_shown_as_the_notes_claim_and_only_on_demand():
    def named(report):
        return {remedy.id for finding in report.findings for remedy in finding.remedies}

    assert "no_batch_norm" not in named(diagnose(RUNS["overfitting"]))
    assert "no_batch_norm" in named(diagnose(RUNS["overfitting"], attributed=True))
    assert "6.4" in REMEDIES["no_batch_norm"].condition
    assert [r.id for r in REMEDIES.values() if r.attributed] == ["no_batch_norm"]


def arguments(*classes):
    return set().union(*(inspect.signature(c.__init__).parameters for c in classes))


@pytest.mark.parametrize("remedy", [r for r in REMEDIES.values() if r.key], ids=lambda r: r.id)
def test_options_of_remedies_exist(remedy):
    homes = {
        "trainer": arguments(L.Trainer),
        "data": arguments(Digits) | {"augment"},
        "model": arguments(Classifier),
        "model.net": arguments(models.MLP) & (arguments(models.ConvNet) | {"activation"}),
        "model.optimizer": arguments(optim.Adam),
    }
    home, _, name = remedy.key.removeprefix("--").rpartition(".")
    assert name in homes[home]


def test_facts_are_those_of_the_run():
    f = Facts.of(healthy())
    assert f.baseline == pytest.approx(GUESS)
    assert f.val_skill == pytest.approx((0.94 - 0.1) / 0.9, abs=0.01)
    assert f.accuracy_gap == pytest.approx(0.02, abs=0.005)


def test_two_losses_that_are_the_same_are_of_the_same_samples():
    loss = 2 * 0.8 ** np.arange(30) + 0.2
    report = diagnose(Curves(loss, loss * (1 + 1e-6)))
    assert (report.headline.id, report.headline.severity) == ("data_suspect", "warning")
    assert "training samples" in report.headline.sentence
    assert diagnose(Curves(loss, loss)).headline.id == "converged"  # one curve, given twice
    assert diagnose(Curves(loss, loss * 1.01)).headline.id == "converged"
    assert diagnose(Curves(loss, loss * (1 + 1e-6), measured=False)).headline.id == "converged"
    guessing = np.full(30, log(10))
    assert diagnose(Curves(guessing, guessing + 1e-6, classes=10)).headline.id == "not_learning"


@pytest.mark.parametrize("accuracy, found", [(0.97, True), (0.3, False)])
def test_two_softmaxes_are_known_late_where_the_first_is_soft_at_first(accuracy, found):
    """A soft answer costs more than the law: ln(1 + 9/e) and the share of errors."""
    soft = 0.5 * 0.7 ** np.arange(30)
    right = np.full(30, accuracy)
    loss = log(1 + 9 / e) + (1 - accuracy) + soft
    report = diagnose(Curves(loss, loss + 0.002, right, right, classes=10))
    assert any(x.id == "double_softmax" for x in report.findings) == found


def test_no_honest_loss_obeys_the_bound_of_two_softmaxes():
    """A sure network's loss is below it, whatever its accuracy; one that obeys it is found."""
    right = decay(0.5, 0.9, 10)
    law = TWICE + 1 - right
    run = Curves(law + 0.02, law + 0.02, right, right, classes=CLASSES)
    assert diagnose(run).id == "double_softmax"
    honest = replace(run, train=(1 - right) * 2)
    assert "double_softmax" not in ids(diagnose(honest))
    for loss, found in ((1.6, False), (1.74, True)):  # six of ten wrong cost 1.736 at least
        unsure = replace(run, train=np.full(EPOCHS, loss), train_accuracy=np.full(EPOCHS, 0.4))
        assert ("double_softmax" in ids(diagnose(unsure))) == found


@pytest.mark.parametrize("classes", [2, 4, 10, 1000])
def test_costs_of_two_softmaxes_are_those_of_the_best_logits(classes):
    """The bounds of the rule, against a search over logits that are a softmax."""
    draw = np.random.default_rng(0)
    floor, wrong = log(1 + (classes - 1) / e), log(2 * e**0.5 + classes - 2) - 0.5
    sharp = np.exp(draw.uniform(0, 60, (2000, 1)) * draw.random((2000, classes)))
    p = sharp / sharp.sum(1, keepdims=True)
    cost = np.log(np.exp(p).sum(1)) - p[:, 0]
    first = p.argmax(1) == 0
    p[first, 0], right = p[first, 0], cost[first]
    assert right.min(initial=inf) >= floor - 1e-9
    assert cost[~first].min() >= wrong - 1e-9
    sure, torn = np.eye(classes)[0], np.zeros(classes)
    torn[:2] = 0.5
    for p, bound in ((sure, floor), (torn, wrong)):
        assert np.log(np.exp(p).sum()) - p[0] == pytest.approx(bound)


def test_an_unsure_network_of_two_classes_has_one_softmax():
    right = decay(0.5, 0.88, 8)
    loss = decay(0.74, 0.43, 8)
    run = Curves(loss, loss, right, right, classes=2)
    assert "double_softmax" not in ids(diagnose(run))


# numbers as targets
def test_a_loss_that_falls_as_a_straight_line_is_too_slow_whatever_its_level():
    slow = diagnose(Curves(3 - S, 3.1 - S))
    assert (slow.id, slow.severity) == ("too_slow", "warning")
    assert diagnose(Curves(decay(3, 2, 4), decay(3.1, 2.1, 4))).healthy
    assert diagnose(Curves(3 - 2.9 * S, 3.1 - 2.9 * S)).severity != "warning"  # little is left


@pytest.mark.parametrize("left, healthy", [(0.2, True), (0.6, True), (0.8, False)])
def test_half_the_variance_of_numbers_may_be_noise_but_not_more(left, healthy):
    loss = decay(1.2, left, 30)
    assert diagnose(Curves(loss, loss * 1.02, baseline=1.0)).healthy == healthy


# rates
def test_a_schedule_that_ends_low_is_no_low_rate():
    falling = [[x, x, x] for x in 3e-3 * 0.75 ** np.arange(EPOCHS)]
    dying = [[x, x, x] for x in 3e-3 * 0.3 ** np.arange(EPOCHS)]
    assert np.median(falling) < 1e-4
    assert "lr_too_low" not in ids(diagnose(STUCK, layers(update_ratio=falling)))
    assert "lr_too_low" in ids(diagnose(STUCK, layers(update_ratio=dying)))


# BatchNorm
@pytest.mark.parametrize(
    "mean, variance, found", [(0.2, 0.3, False), (1.2, 0.3, True), (0.0, 0.8, True)]
)
def test_running_statistics_far_from_the_batches_are_found(mean, variance, found):
    inside = layers(mean_drift=[mean, 0.0, nan], variance_drift=[variance, 0.0, nan])
    report = diagnose(healthy(), inside)
    assert report.healthy != found
    assert ("bn_drift" in ids(report)) == found


def test_running_statistics_may_lag_behind_in_the_first_epochs():
    early = [[0.1, 2.0, nan]] * 4 + [[0.1, 0.3, nan]] * (EPOCHS - 4)
    late = [[0.1, 0.3, nan]] * 4 + [[0.1, 2.0, nan]] * (EPOCHS - 4)
    assert "bn_drift" not in ids(diagnose(healthy(), layers(mean_drift=early)))
    assert "bn_drift" in ids(diagnose(healthy(), layers(mean_drift=late)))
    for epochs, found in ((4, False), (5, True)):
        short = layers(epochs, mean_drift=[0.1, 2.0, nan])
        assert ("bn_drift" in ids(diagnose(STUCK, short))) == found


def test_dropout_widens_activations_tenfold_and_is_no_bad_start():
    assert "bad_init" not in ids(diagnose(STUCK, layers(activation_std=[0.9, 2.9, 9.5])))
    assert "bad_init" in ids(diagnose(STUCK, layers(activation_std=[0.9, 6.0, 40.0])))


# easier samples
@pytest.mark.parametrize("gained, found", [(0.0, False), (0.1, True)])
def test_a_somewhat_lower_validation_loss_needs_a_better_accuracy(gained, found):
    run = healthy(
        train=decay(2, 1.0),
        val=decay(2, 0.7),
        train_accuracy=decay(0.1, 0.75),
        val_accuracy=decay(0.1, 0.75 + gained),
    )
    assert ("data_suspect" in ids(diagnose(run))) == found
