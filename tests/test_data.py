"""The data modules: who is in which set, what arrives in the network, what is refused."""

import cmath
import math
import os
from pathlib import Path

import lightning as L
import pytest
import torch
from torchvision import datasets
from torchvision.transforms import v2

from dlbook_torch import data
from dlbook_torch.data.augment import RandomFlip, RandomShift
from dlbook_torch.data.splits import corrupt_labels, stratified_order
from tests.idx import use_cifar10, use_mnist

IMAGES = ["Digits", "MNIST", "FashionMNIST", "CIFAR10"]
ROOT = Path(os.environ.get("DLBOOK_DATA", "/nonexistent"))


@pytest.fixture(params=IMAGES)
def images(request, tmp_path, monkeypatch):
    """Every data module, on small files where the real ones are big."""
    if request.param == "Digits":
        return data.Digits
    if request.param == "CIFAR10":
        return use_cifar10(monkeypatch, tmp_path)
    return use_mnist(monkeypatch, tmp_path, request.param, train=100, test=20)


def ready(datamodule, **options):
    module = datamodule(**options)
    module.prepare_data()
    module.setup("fit")
    return module


def keys(x):
    return [bytes(image.flatten().tolist()) for image in x]


def test_splits_are_disjoint_and_complete(images):
    module = ready(images)
    n = module.train_images
    assert (len(module.train[0]), len(module.val[0])) == (n - n // 6, n // 6)
    train, val, test = (keys(x) for x, _ in (module.train, module.val, module.load_test()))
    assert len({*train, *val}) == n
    labels = torch.cat([module.train[1], module.val[1]]).tolist()
    x, t = module.read(train=True)
    pairs = zip(train + val, labels, strict=True), zip(keys(x), t.tolist(), strict=True)
    assert dict(pairs[0]) == dict(pairs[1])
    assert not set(test) & {*train, *val}
    for x, t in (module.train, module.val):
        assert (x.dtype, x.shape[1:], t.dtype) == (torch.uint8, module.shape, torch.int64)


def test_splits_are_the_same_for_every_seed(images):
    one, two = ready(images, seed=1), ready(images, seed=2)
    for part in ("train", "val"):
        assert keys(getattr(one, part)[0]) == keys(getattr(two, part)[0])
    first = [next(iter(module.train_dataloader()))[1].tolist() for module in (one, two)]
    assert first[0] != first[1]


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    x, t = load_digits(return_X_y=True)
    parts = [data.Digits().read(train) for train in (True, False)]
    ours = {
        key: int(label)
        for images, labels in parts
        for key, label in zip(keys(images), labels, strict=True)
    }
    theirs = dict(zip(map(bytes, x.astype("uint8")), t.tolist(), strict=True))
    assert [len(images) for images, _ in parts] == [1200, 597]
    assert ours == theirs


def test_loaders(images):
    module = ready(images, batch_size=7)
    train, (val, sample), test = (
        module.train_dataloader(),
        module.val_dataloader(),
        module.test_dataloader(),
    )
    assert train.shuffle
    assert not any(loader.shuffle for loader in (val, sample, test))
    assert val.samples == sample.samples == module.val_size
    assert set(keys(sample.tensors[0])) <= set(keys(train.tensors[0]))
    assert keys(test.tensors[0]) == keys(module.read(train=False)[0])
    assert keys(module.predict_dataloader().tensors[0]) == keys(test.tensors[0])
    small = ready(images, subset=3)
    assert [loader.samples for loader in small.val_dataloader()] == [small.val_size, 3]


def test_test_set_is_read_at_the_end_only(images, monkeypatch):
    read, asked = images.read, []

    def watched(self, train):
        asked.append(train)
        return read(self, train)

    monkeypatch.setattr(images, "read", watched)
    module = ready(images)
    module.train_dataloader(), module.val_dataloader(), module.setup("test")
    assert asked == [True]
    module.test_dataloader()
    assert asked == [True, False]


def test_subset_keeps_the_mix_of_classes():
    module = ready(data.Digits, subset=100)
    assert [int(n) for n in module.train[1].bincount()] == pytest.approx([10] * 10, abs=1)
    whole = ready(data.Digits)
    assert keys(module.train[0]) == keys(whole.train[0])[:100]
    assert keys(module.val[0]) == keys(whole.val[0])


def test_stratified_order():
    t = torch.tensor([0] * 10 + [3] * 30 + [7] * 60)[torch.randperm(100)]
    order = stratified_order(t, seed=5)
    assert order.sort().values.tolist() == list(range(100))
    assert not torch.equal(order, stratified_order(t, seed=6))
    for n in range(1, 101):
        counts = t[order[:n]].bincount(minlength=8)[[0, 3, 7]]
        assert counts.tolist() == pytest.approx([0.1 * n, 0.3 * n, 0.6 * n], abs=1.01)


@pytest.mark.parametrize("share, wrong", [(0.0, 0), (0.1, 100), (0.25, 250), (1.0, 1000)])
def test_label_noise_is_exact_and_for_training_only(share, wrong):
    clean, noisy = ready(data.Digits), ready(data.Digits, label_noise=share)
    assert int((clean.train[1] != noisy.train[1]).sum()) == wrong
    assert keys(clean.train[0]) == keys(noisy.train[0])
    assert torch.equal(clean.val[1], noisy.val[1])
    assert 0 <= noisy.train[1].min() <= noisy.train[1].max() <= 9


def test_label_noise_is_even_and_follows_the_seed():
    t = torch.full((9000,), 4)
    counts = corrupt_labels(t, 1.0, 10).bincount(minlength=10)
    assert counts[4] == 0
    assert counts[counts > 0].tolist() == pytest.approx([1000] * 9, abs=120)  # four deviations
    assert torch.equal(corrupt_labels(t, 0.5, 10, seed=1), corrupt_labels(t, 0.5, 10, seed=1))
    assert not torch.equal(corrupt_labels(t, 0.5, 10, seed=1), corrupt_labels(t, 0.5, 10, seed=2))


def test_normalised_training_images_have_mean_0_and_deviation_1():
    module = data.Digits()
    x = module.normalize(module.read(train=True)[0])
    assert x.mean() == pytest.approx(0, abs=1e-3)
    assert x.std() == pytest.approx(1, abs=1e-3)


def test_normalize_is_torchvisions(images):
    module = ready(images)
    x = module.val[0]
    scale = (
        v2.Lambda(lambda x: x / 16)
        if images is data.Digits
        else v2.ToDtype(torch.float32, scale=True)
    )
    theirs = v2.Compose([scale, v2.Normalize(module.mean, module.std)])(x)
    torch.testing.assert_close(module.normalize(x), theirs)
    assert x.dtype == torch.uint8


class Probe(L.LightningModule):
    """Keeps the batches that arrive, by stage."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(()))
        self.got = {}

    def keep(self, stage, batch):
        self.got.setdefault(stage, []).append(batch)

    def training_step(self, batch, _):
        self.keep("train", batch)
        return self.w * batch[0].mean()

    def validation_step(self, batch, _, dataloader_idx=0):
        self.keep(("val", "sample")[dataloader_idx], batch)

    def test_step(self, batch, batch_idx):
        self.keep("test", batch)

    def predict_step(self, batch, _):
        self.keep("predict", batch)
        return batch[0]

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def run(module, precision="32-true", **options):
    probe = Probe()
    trainer = L.Trainer(
        max_epochs=1,
        accelerator="cpu",
        precision=precision,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **options,
    )
    trainer.fit(probe, datamodule=module)
    trainer.test(probe, datamodule=module, verbose=False)
    trainer.predict(probe, datamodule=module)
    got = probe.got.items()
    return {
        stage: [torch.cat(part) for part in zip(*batches, strict=True)] for stage, batches in got
    }


@pytest.mark.parametrize(
    "precision, dtype",
    [("32-true", torch.float32), ("64-true", torch.float64), ("bf16-true", torch.bfloat16)],
)
def test_batches_arrive_normalised_in_the_dtype_of_the_network(precision, dtype):
    module = data.Digits(subset=60, val_size=20)
    got = run(module, precision, num_sanity_val_steps=0)
    parts = {"train": module.train, "val": module.val, "test": module.load_test()}
    for stage, (x, t) in parts.items():
        arrived, labels = got[stage]
        assert arrived.dtype == dtype
        if stage != "train":
            expected = ((x.double() / 16 - module.mean[0]) / module.std[0]).to(dtype)
            torch.testing.assert_close(arrived, expected)
            assert torch.equal(labels, t)
    assert torch.equal(got["predict"][0], got["test"][0])
    torch.testing.assert_close(
        got["train"][0].double().mean(), got_mean(module), rtol=1e-2, atol=1e-3
    )


def got_mean(module):
    return ((module.train[0].double() / 16).mean() - module.mean[0]) / module.std[0]


def test_only_training_batches_are_augmented():
    plain, augmented = (
        run(data.Digits(subset=60, val_size=20, augment=augment))
        for augment in (None, "shift+flip")
    )
    changed = {stage for stage in plain if not torch.equal(plain[stage][0], augmented[stage][0])}
    assert changed == {"train"}
    assert torch.equal(plain["train"][1], augmented["train"][1])


def test_overfit_batches_takes_the_same_batches_every_epoch():
    module = ready(data.Digits)
    module.trainer = L.Trainer(overfit_batches=2, accelerator="cpu", logger=False)
    assert not module.train_dataloader().shuffle


@pytest.mark.parametrize("shape", [(200, 1, 8, 8), (200, 3, 5, 6)])
def test_shift_moves_every_image_on_its_own(shape):
    x = torch.randint(1, 256, shape, dtype=torch.uint8)
    shifted, seen = RandomShift(2)(x), set()
    for image, moved in zip(x, shifted, strict=True):
        padded = v2.functional.pad(image, [2])
        h, w = shape[2:]
        found = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if torch.equal(v2.functional.crop(padded, i, j, h, w), moved)
        ]
        assert len(found) == 1
        seen.update(found)
    assert len(seen) == 25


def test_flip_mirrors_about_every_other_image():
    x = torch.randint(0, 256, (400, 3, 8, 8), dtype=torch.uint8)
    y, mirrored = RandomFlip()(x), v2.functional.horizontal_flip(x)
    same = (y == x).flatten(1).all(1)
    assert torch.equal(y[~same], mirrored[~same])
    assert 160 < same.sum() < 240  # four deviations


def test_shift_of_nothing_is_refused():
    with pytest.raises(ValueError, match="pixels must be at least 1, got 0"):
        RandomShift(0)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"batch_size": -1}, "got -1"),
        ({"val_size": 0}, "val_size must be between 1 and 1199, got 0"),
        ({"val_size": 1200}, "val_size must be between 1 and 1199, got 1200"),
        ({"subset": 0}, "subset must be between 1 and 1000, got 0"),
        ({"subset": 1001}, "subset must be between 1 and 1000, got 1001"),
        ({"label_noise": 1.5}, "label_noise must be between 0.0 and 1.0, got 1.5"),
        ({"label_noise": -0.1}, "got -0.1"),
        ({"label_noise": float("nan")}, "got nan"),
        ({"augment": "rotate"}, "augment must be one of .*'shift'.*, got 'rotate'"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        data.Digits(**options)


def test_facts_are_known_before_anything_is_read(monkeypatch):
    monkeypatch.setenv("DLBOOK_DATA", "/nonexistent")
    shapes = [getattr(data, name)().shape for name in IMAGES]
    assert shapes == [(1, 8, 8), (1, 28, 28), (1, 28, 28), (3, 32, 32)]
    for name in IMAGES:
        module = getattr(data, name)
        assert len(module.classes) == 10
        assert len(module.mean) == len(module.std) == module.shape[0]


def test_hyper_parameters_are_plain_values(images):
    hparams = images(subset=5, augment="shift").hparams
    assert (hparams.subset, hparams.augment, hparams.seed) == (5, "shift", 0)
    assert all(isinstance(value, int | float | str | None) for value in hparams.values())


def test_sine():
    module = ready(data.Sine, train_size=4000, val_size=5, noise=0.2)
    x, t = module.train
    residual = t - torch.sin(torch.pi * x)
    assert x.shape == t.shape == (4000, 1)
    assert -1 <= x.min() < -0.99 < 0.99 < x.max() <= 1
    assert residual.mean() == pytest.approx(0, abs=0.013)  # four deviations
    assert residual.std() == pytest.approx(0.2, rel=0.05)
    assert torch.equal(ready(data.Sine, train_size=4000, seed=9, noise=0.2).train[1], t)
    xs = [module.train[0][:5], module.val[0], module.load_test()[0]]
    assert len(torch.cat(xs).unique()) == 15
    assert [loader.samples for loader in module.val_dataloader()] == [5, 5]
    arrived = run(data.Sine(), "64-true")["test"][0]
    assert arrived.dtype == torch.float64


@pytest.mark.parametrize(
    "options, words",
    [({"train_size": 0}, "train_size"), ({"noise": -1.0}, "noise must be between 0.0 and inf")],
)
def test_sine_refuses(options, words):
    with pytest.raises(ValueError, match=words):
        data.Sine(**options)


TASKS = {  # the classes once more, by other means
    "linear": lambda x, y: y > -x,
    "blob": lambda x, y: abs(complex(x, y)) < math.sqrt(2 / math.pi),
    "spiral": lambda x, y: (cmath.exp(2j * math.pi * abs(z := complex(x, y))) * z).imag > 0,
    "checkerboard": lambda x, y: (math.floor(2 * x) + math.floor(2 * y)) % 2 == 0,
}


@pytest.mark.parametrize("task", TASKS)
def test_plane(task):
    module = ready(data.Plane, task=task, train_size=4000, val_size=5)
    x, t = module.train
    assert (x.shape, t.shape, t.dtype) == ((4000, 2), (4000,), torch.int64)
    assert -1 <= x.min() < -0.99 < 0.99 < x.max() <= 1
    assert t.double().mean() == pytest.approx(0.5, abs=0.032)  # four deviations
    expected = torch.tensor([TASKS[task](*point) for point in x.double().tolist()])
    assert (t != expected).sum() <= 2  # points on a border
    assert torch.equal(ready(data.Plane, task=task, train_size=4000, seed=9).train[1], t)
    xs = [x[:5], module.val[0], module.load_test()[0]]
    assert len(torch.cat(xs).unique()) == 30


@pytest.mark.parametrize(
    "options, words",
    [({"train_size": 0}, "train_size"), ({"task": "moons"}, "one of .*'spiral'.*, got 'moons'")],
)
def test_plane_refuses(options, words):
    with pytest.raises(ValueError, match=words):
        data.Plane(**options)


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
def test_real_files(name):
    if not (ROOT / name).is_dir():
        pytest.skip(f"DLBOOK_DATA names no folder with {name}")
    module = ready(getattr(data, name), download=False, subset=1000)
    x, t = module.read(train=False)
    theirs = getattr(datasets, name)(ROOT, train=False, transform=v2.PILToTensor())
    for i in range(0, 10000, 500):
        image, label = theirs[i]
        assert torch.equal(x[i], image)
        assert t[i] == label
    x, t = module.read(train=True)
    assert len(x) == module.train_images
    normal = module.normalize(x)
    assert normal.mean() == pytest.approx(0, abs=1e-3)
    assert normal.std() == pytest.approx(1, abs=1e-3)
    share = t.bincount() / len(t)
    assert (module.train[1].bincount() - 1000 * share).abs().max() <= 1.01
