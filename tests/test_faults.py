"""The planted faults are really there, and healthy runs have none."""

import dataclasses
import gzip
import json
import random
from collections import Counter
from itertools import combinations
from math import cos, log, pi

import pytest
import torch

from dlbook_torch import nn
from dlbook_torch.bench import cache, faults, outcome, seeded_run, settings
from dlbook_torch.bench.faults import FAMILIES, config
from dlbook_torch.bench.seeded_run import layers_of, network, planted, train
from dlbook_torch.bench.settings import Config
from dlbook_torch.bench.tasks import TASKS, Task, _classes

TINY = dict(n=120, epochs=2, bs=40)


def small(label, split="development", seed=0, **changes):
    """Settings of a family that take no time; Fashion-MNIST may be missing."""
    c = config(split, label, settings.FIRST_SEED[split] + seed)
    data = "digits" if c.data in settings.CLOTHES else c.data
    return dataclasses.replace(c, data=data, **(TINY | changes))


def plain(**changes):
    base = dict(data="digits", n=120, depth=2, width=16, act="relu", opt="sgd", lr=0.05)
    return Config(**(base | dict(bs=40, epochs=2) | changes))


def unharmed(c):
    """The same data without faults."""
    return TASKS[c.data].sets(c.n, c.seed)


def start(c):
    torch.manual_seed(c.seed)
    return network(c, TASKS[c.data])


# --- the splits


@pytest.mark.parametrize("split", settings.FIRST_SEED)
@pytest.mark.parametrize("label", FAMILIES)
def test_a_faulty_run_differs_from_a_healthy_one(split, label):
    seed = settings.FIRST_SEED[split]
    draw = random.Random(f"{split} {label} {seed}")
    assert settings.healthy(split, seed, draw) != config(split, label, seed)


def test_there_are_at_least_24_families():
    assert len(FAMILIES) >= 24
    known = {*faults.SYMPTOM_OF}
    for family in FAMILIES.values():
        assert set(family.headline) <= known
        assert {family.has, *family.may} - {""} <= set(faults.SYMPTOMS)


def test_the_splits_have_no_task_seed_or_setting_of_a_healthy_run_in_common():
    plans = {split: list(faults.configs(split, 180, 12).values()) for split in settings.FIRST_SEED}
    for one, other in combinations(plans, 2):
        for name in ("data", "seed"):
            ours, theirs = ({getattr(c, name) for _, c in plans[s]} for s in (one, other))
            assert not ours & theirs, (one, other, name)
        ours, theirs = (
            {(c.width, c.opt, c.bs) for label, c in plans[s] if label == "healthy"}
            for s in (one, other)
        )
        assert not ours & theirs, (one, other)
    archs = [{c.arch for _, c in plan} for plan in plans.values()]
    assert archs == [{"mlp"}, {"mlp", "conv"}, {"mlp", "conv"}]


def test_a_fault_keeps_to_the_tasks_of_its_split():
    for split in settings.FIRST_SEED:
        plan = faults.configs(split, 120, 12).values()
        well = {c.data for label, c in plan if label == "healthy"}
        assert {c.data for _, c in plan} == well, split


def test_settings_are_the_same_every_time():
    assert faults.configs("held-out", 3, 2) == faults.configs("held-out", 3, 2)
    assert config("development", "diverge", 1) != config("development", "diverge", 2)


def test_a_plan_has_the_runs_that_were_asked_for():
    count = Counter(label for label, _ in faults.configs("development", well=5, each=2).values())
    assert count == {"healthy": 5} | dict.fromkeys(FAMILIES, 2)


# --- a run


@pytest.mark.parametrize("label", ["healthy", *FAMILIES])
def test_every_family_trains_and_its_run_is_plain_json(label):
    c = small(label, n=80)
    run = train(label, c)
    again = json.loads(json.dumps(run, allow_nan=False))
    assert again["label"] == label
    epochs = len(run["val_loss"])
    assert 1 <= epochs <= 2
    shared = "train_loss train_loss_eval val_loss train_acc val_acc lr grad_norm grad_meanabs "
    shared += "grad_zero upd_ratio dead zero_frac sat act_std w_max"
    assert all(len(run[key]) == epochs for key in shared.split())
    assert len(run["layers"]) == len(run["activations"]) == len(run["grad_norm"][0])


def test_a_run_is_the_same_every_time():
    assert train("healthy", plain(drop=0.2)) == train("healthy", plain(drop=0.2))
    assert train("healthy", plain(seed=1)) != train("healthy", plain(seed=2))


def test_a_convolutional_run_has_a_layer_for_every_stage():
    run = train("healthy", plain(arch="conv", width=4, bn=True))
    assert run["activations"] == ["relu", "relu", ""]
    assert len(run["dead"][0]) == 2


def test_losses_are_those_of_torch_on_the_same_weights():
    c, seen = plain(epochs=1), {}

    def keep(sets, net, loss, layers):
        seen["row"] = measured(sets, net, loss, layers)
        seen["y"] = torch.nn.functional.cross_entropy(net(sets.val.x), sets.val.t).item()
        return seen["row"]

    measured = seeded_run.measured
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeded_run, "measured", keep)
        train("healthy", c)
    assert seen["row"]["val_loss"] == pytest.approx(seen["y"], rel=1e-5)


# --- faults of the data


def test_the_stated_share_of_training_labels_is_wrong():
    c = plain(n=1000, noise=0.3)
    wrong = (planted(c, TASKS["digits"]).train.t != unharmed(c).train.t).float().mean()
    assert wrong == pytest.approx(0.3, abs=0.05)
    torch.testing.assert_close(planted(c, TASKS["digits"]).val.t, unharmed(c).val.t)


def test_shuffled_labels_agree_with_the_truth_by_chance_alone():
    c = dataclasses.replace(small("shuffled_labels"), n=1000)
    right = (planted(c, TASKS[c.data]).train.t == unharmed(c).train.t).float().mean()
    assert right == pytest.approx(1 / TASKS[c.data].classes, abs=0.05)


def test_leaked_validation_samples_are_training_samples():
    c = small("val_leak_dropout")
    sets = planted(c, TASKS[c.data])
    known = {x.numpy().tobytes() for x in sets.train.x}
    assert all(x.numpy().tobytes() in known for x in sets.val.x)
    assert not any(x.numpy().tobytes() in known for x in sets.test.x)


def test_validation_labels_are_off_by_one():
    c = small("val_labels_off")
    classes = TASKS[c.data].classes
    off = planted(c, TASKS[c.data]).val.t - unharmed(c).val.t
    assert set((off % classes).tolist()) == {1}


def test_rare_classes_keep_their_share():
    c = plain(n=1100, rare=0.1)
    before, after = (s.train.t.bincount() for s in (unharmed(c), planted(c, TASKS["digits"])))
    assert (before[5:] == after[5:]).all()
    assert after[:5].sum() / before[:5].sum() == pytest.approx(0.1, abs=0.04)


@pytest.mark.parametrize("kind", ["offset", "noise"])
def test_validation_inputs_are_moved_and_no_others(kind):
    c = plain(shift=1.5, shift_kind=kind)
    before, after = unharmed(c), planted(c, TASKS["digits"])
    moved = (after.val.x - before.val.x).flatten(1)
    assert moved.std() == pytest.approx(1.5, rel=0.2)
    assert (moved.std(0).max() < 1e-5) == (kind == "offset")
    torch.testing.assert_close(after.train.x, before.train.x)
    torch.testing.assert_close(after.test.x, before.test.x)


def test_an_easy_validation_set_is_easier_for_a_plain_rule():
    c = Config("gmm", 2000, 1, 8, "relu", "sgd", 0.1, easy=True)
    sets, fair = planted(c, TASKS["gmm"]), unharmed(c)
    means = torch.stack([fair.train.x[fair.train.t == k].mean(0) for k in range(8)])

    def accuracy(part):
        return (torch.cdist(part.x, means).argmin(1) == part.t).float().mean()

    assert len(sets.val.t) == len(fair.val.t) // 3
    assert accuracy(sets.val) > accuracy(fair.val) + 0.1


def test_inputs_are_scaled_in_all_sets():
    c = small("unnormalised_input")
    before, after = unharmed(c), planted(c, TASKS[c.data])
    for a, b in zip(after, before, strict=True):
        torch.testing.assert_close(a.x, b.x * c.xscale + c.xoffset)
    assert train("x", c)["start"]["input_mean"] == pytest.approx(float(after.train.x.mean()))


# --- faults of the weights


def test_zero_init_is_zero():
    net = start(small("zero_init", bn=False))
    assert all((p == 0).all() for p in net.parameters())


def test_constant_init_makes_all_units_equal():
    for layer in layers_of(start(small("constant_init"))):
        assert layer.affine.weight.unique().numel() == 1
        assert (layer.affine.weight != 0).all()


def test_a_healthy_start_has_the_standard_deviation_of_he_or_xavier():
    for act, gain in (("relu", 2), ("tanh", 1)):
        first = layers_of(start(plain(width=400, act=act)))[0].affine
        assert first.weight.var().item() == pytest.approx(gain / 64, rel=0.1)


def test_a_large_start_is_that_much_larger():
    for seed in range(3):
        c = small("exploding_init", seed=seed)
        ratio = [
            float(a.affine.weight.detach().std() / b.affine.weight.detach().std())
            for a, b in zip(
                layers_of(start(c)), layers_of(start(dataclasses.replace(c, init=1.0))), strict=True
            )
        ]
        assert ratio == pytest.approx([c.init] * len(ratio), rel=1e-4)


def test_low_biases_silence_the_units():
    run = train("dead_relu_bias", small("dead_relu_bias", bias=-10.0, depth=1))
    assert run["dead"][-1] == [1.0]
    assert train("healthy", plain())["dead"][-1] != [1.0, 1.0]


# --- faults of the training


def weights(c):
    """Of every layer, before and after."""
    kept = {}

    def keep(given, task):
        kept["net"] = network(given, task)
        kept["before"] = [x.affine.weight.detach().clone() for x in layers_of(kept["net"])]
        return kept["net"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeded_run, "network", keep)
        run = train("x", c)
    return kept["before"], [x.affine.weight.detach() for x in layers_of(kept["net"])], run


def test_a_frozen_layer_does_not_move_and_the_others_do():
    before, after, run = weights(small("frozen_layer"))
    moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert moved == [False, *[True] * (len(moved) - 1)]
    assert all(row[0] == 0 and min(row[1:]) > 0 for row in run["upd_ratio"])


def test_clipped_gradients_move_the_weights_by_next_to_nothing():
    c = plain(clip=1e-4)
    steps = c.epochs * c.n // c.bs
    before, after, _ = weights(c)
    moved = sum(float((a - b).square().sum()) for a, b in zip(after, before, strict=True)) ** 0.5
    assert 0 < moved <= steps * c.lr * 1e-4 / (1 - c.mom)


def test_two_softmaxes_cannot_get_below_their_floor():
    c = plain(dsoft=True)
    y, t = torch.eye(10) * 100, torch.arange(10)
    floor = log(1 + 9 / torch.e)
    assert seeded_run.cost(c)(y, t).item() == pytest.approx(floor, rel=1e-6)
    assert seeded_run.cost(plain())(y, t).item() == pytest.approx(0, abs=1e-6)


def test_gradients_that_nobody_clears_add_up():
    c = plain(accumulate=True, lr=0.0, epochs=1, n=120, bs=40)
    sets = planted(c, TASKS["digits"])
    net = start(c)
    look = seeded_run.Look(seeded_run.Watch(net), layers_of(net))
    rule = seeded_run.rule(c, list(net.parameters()))
    for group in rule.param_groups:
        group["lr"] = 0.0
    seeded_run.one_epoch(c, sets.train, net, seeded_run.cost(c), rule, look)
    summed = net[-1].weight.grad.clone()
    net.zero_grad()
    torch.nn.functional.cross_entropy(net(sets.train.x), sets.train.t).backward()
    torch.testing.assert_close(summed, 3 * net[-1].weight.grad)


def test_running_statistics_that_drift_stay_where_they_began():
    c = small("bn_drift", epochs=1)
    assert c.bn_momentum <= 1e-3
    run = train("x", c)
    healthy = train("x", dataclasses.replace(c, bn_momentum=0.1, init=1.0))
    assert min(run["variance_drift"][0]) > 2 * max(healthy["variance_drift"][0])


@pytest.mark.parametrize(
    "schedule, first, last",
    [
        ("constant", 1, 1),
        ("cosine", 1, 0.5 * (1 + cos(0.9 * pi))),
        ("step", 1, 0.01),
        ("exponential", 1, 0.02**0.9),
        ("warm-up", 0.25, 0.1),
        ("dies", 1, 0.3**9),
    ],
)
def test_rates_follow_their_schedule(schedule, first, last):
    c = plain(schedule=schedule, epochs=10, lr=2.0)
    assert seeded_run.rate(c, 0) == pytest.approx(2 * first)
    assert seeded_run.rate(c, 9) == pytest.approx(2 * last)


def test_a_rate_that_grows_and_one_that_jumps():
    assert seeded_run.rate(plain(lrgrow=1.3), 4) == pytest.approx(0.05 * 1.3**4)
    c = plain(spike=100.0, onset=3)
    assert [seeded_run.rate(c, e) for e in (2, 3)] == pytest.approx([0.05, 5.0])


def test_a_run_that_is_no_number_any_more_is_given_up():
    run = train("diverge", plain(lr=1e6, epochs=9, init=30.0))
    assert len(run["val_loss"]) < 9
    assert run["train_loss"][-2:] == [None, None]


# --- the outcome


def recorded(score, train_acc=0.95, val_acc=0.95, test=(0.3, 0.2, 0.2, 0.2), val=0.2):
    return {
        "label": "healthy",
        "classes": 10,
        "config": {"data": "digits"},
        "test_score": [score] * 4,
        "test_loss": list(test),
        "train_loss_eval": [0.2] * 4,
        "val_loss": [val] * 4,
        "val_acc": [val_acc] * 4,
        "train_acc_eval": [train_acc] * 4,
    }


@pytest.mark.parametrize(
    "run, said",
    [
        (recorded(0.95), "well"),
        (recorded(0.80, 0.80, 0.80), "fails"),
        (recorded(float("nan"), 0.1, 0.1), "fails"),
        (recorded(0.87, 0.87, 0.87), "disputed"),
        (recorded(0.95, val_acc=0.80), "misjudged"),
        (recorded(0.95, val=0.6), "misjudged"),
        (recorded(0.95, test=(0.2, 0.2, 0.2, 0.3, 0.3, 0.3), val=0.3), "overfits"),
        (recorded(0.95, test=(0.2, 0.2, 0.2, 0.21, 0.21, 0.21)), "disputed"),
        (recorded(0.90, train_acc=1.01, val_acc=0.90), "overfits"),
    ],
)
def test_outcomes_by_the_test_set(run, said):
    assert outcome.outcome(run) == said
    assert faults.verified(run) == (said == "well")


def test_a_fault_is_verified_by_its_own_harm():
    run = recorded(0.95)
    assert not faults.verified(run | {"label": "diverge"})
    assert faults.verified(run | {"label": "frozen_layer"})
    assert faults.verified(recorded(0.3, 0.3, 0.3) | {"label": "diverge"})


# --- the file


def test_an_interrupted_file_goes_on_where_it_stopped(tmp_path, monkeypatch):
    made = []

    def fake(task):
        label, c, name = task
        made.append(name)
        return {"id": name, "label": label, "config": c.as_dict(), "noise": list(range(200))}

    monkeypatch.setattr(cache, "_train", fake)
    path = tmp_path / "there" / "runs.jsonl.gz"
    plan = {f"a/{i}": ("healthy", plain(seed=i)) for i in range(4)}
    first = dict(list(plan.items())[:3])
    assert [run["id"] for run in cache.complete(path, first)] == list(first)
    path.write_bytes(path.read_bytes()[:-40])  # as if the machine had died in the third run
    made.clear()
    assert [run["id"] for run in cache.complete(path, plan)] == list(plan)
    assert made == ["a/2", "a/3"]
    with gzip.open(path, "rt") as lines:
        assert len(list(lines)) == 4


def test_a_run_with_other_settings_is_trained_anew(tmp_path, monkeypatch):
    path, seen = tmp_path / "runs.jsonl.gz", []

    def fake(task):
        seen.append(task[1].lr)
        return {
            "id": task[2],
            "label": task[0],
            "config": json.loads(json.dumps(task[1].as_dict())),
        }

    monkeypatch.setattr(cache, "_train", fake)
    for rate in (0.1, 0.1, 0.2):
        cache.complete(path, {"a": ("frozen_layer", plain(lr=rate, freeze=(0,)))})
    assert seen == [0.1, 0.2]


def test_tasks_split_without_overlap():
    task = Task("t", (8,), 5, 2400, 0.8, _classes)
    sets = task.sets(2400, seed=3)
    rows = [{x.numpy().tobytes() for x in part.x} for part in sets]
    assert [len(x) for x in rows] == [2400, 400, 800]
    assert not rows[0] & rows[1]
    assert not rows[0] & rows[2]
    assert not rows[1] & rows[2]


def test_numbers_are_judged_by_the_variance_of_their_targets():
    c = plain(data="friedman")
    t = planted(c, TASKS["friedman"]).train.t
    best = torch.nn.functional.mse_loss(t.mean().expand_as(t), t)
    assert train("healthy", c)["baseline"] == pytest.approx(best.item(), rel=1e-5)
    assert train("healthy", plain())["baseline"] is None


@pytest.mark.parametrize("name", sorted(TASKS.keys() - set(settings.CLOTHES)))
def test_a_plain_rule_does_better_than_guessing_on_every_task(name):
    """Nearest neighbours on 200 samples: inputs and targets belong together."""
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    task = TASKS[name]
    sets = task.sets(200, 0)
    rule = (KNeighborsClassifier if task.classes else KNeighborsRegressor)(7)
    (x, t), (vx, vt) = ((s.x.flatten(1), s.t.flatten()) for s in (sets.train, sets.val))
    guessing = 1 / task.classes if task.classes else 0.0
    assert rule.fit(x, t).score(vx, vt) > guessing + 0.1


@pytest.mark.parametrize("opt", seeded_run.RULES)
def test_every_rule_trains(opt):
    c = plain(opt=opt, lr=settings.RATES[opt][1], n=300, epochs=6)
    loss = train("healthy", c)["val_loss"]
    assert loss[-1] < 0.95 * loss[0]


def test_every_activation_is_ours():
    assert all(a.__module__.startswith("dlbook_torch") for a in seeded_run.ACTIVATIONS.values())
    assert isinstance(network(plain(), TASKS["digits"])[1], nn.Linear)


def test_a_narrower_plan_keeps_the_runs_of_a_wider_one(tmp_path, monkeypatch):
    path, trained = tmp_path / "runs.jsonl.gz", []

    def fake(plan, jobs):
        for name, (label, c) in plan.items():
            trained.append(name)
            yield {"id": name, "label": label, "config": json.loads(json.dumps(c.as_dict()))}

    monkeypatch.setattr(cache, "generated", fake)
    wide = {name: ("healthy", plain()) for name in "abc"}
    cache.complete(path, wide)
    assert [run["id"] for run in cache.complete(path, {"b": wide["b"]})] == ["b"]
    assert [run["id"] for run in cache.complete(path, wide)] == list("abc")
    assert trained == list("abc")


def test_a_file_of_somebody_else_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "runs.jsonl.gz"
    path.write_text("mine")
    with pytest.raises(OSError, match="gzip"):
        cache.load(path)
    assert path.read_text() == "mine"
