"""The measurements compare like with like."""

import itertools

import torch

from dlbook_torch.bench import data
from tests.idx import use_mnist


def images(batches):
    """Every image with its label, bit for bit, in an order of their own."""
    return sorted(
        (int(label), image.numpy().tobytes())
        for x, t in batches
        for image, label in zip(x, t, strict=True)
    )


def test_both_loaders_give_the_same_images(tmp_path, monkeypatch):
    use_mnist(monkeypatch, tmp_path, train=300)
    names = ["TensorBatches", "torchvision, DataLoader, no worker"]
    ours, theirs = (list(data.contestants()[name]()) for name in names)
    assert [len(x) for x, _ in ours] == [len(x) for x, _ in theirs] == [128, 128, 44]
    assert images(ours) == images(theirs)


def test_throughput_is_the_median(monkeypatch):
    clock = itertools.accumulate([0, 1, 0, 2, 0, 4])  # rounds of 1, 2 and 4 s
    monkeypatch.setattr(data, "perf_counter", lambda: next(clock))
    epochs = {"one": lambda: [(torch.zeros(n), torch.zeros(n)) for n in (6, 2)]}
    assert data.throughput(epochs, rounds=3) == {"one": 4.0}
