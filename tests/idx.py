"""Small made-up data sets in the file formats of the real ones, for tests without them."""

import gzip
import hashlib
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
from torchvision import datasets

from dlbook_torch import data


def idx_bytes(array):
    """``array`` in the IDX format: 0, 0, type (8 is uint8), rank, then every length, big endian."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return header + array.tobytes()


def write_mnist(root, name="MNIST", train=60, test=20, gz=False):
    """Write random images in torchvision's layout and return the md5 table of the raw content."""
    folder, rng, md5 = Path(root, name, "raw"), np.random.default_rng(0), {}
    folder.mkdir(parents=True, exist_ok=True)
    for part, n in {"train": train, "t10k": test}.items():
        images = rng.integers(0, 256, (n, 28, 28), np.uint8)
        labels = rng.permutation(np.arange(n, dtype=np.uint8) % 10)
        for kind, array in {"images-idx3": images, "labels-idx1": labels}.items():
            raw = idx_bytes(array)
            md5[f"{part}-{kind}-ubyte"] = hashlib.md5(raw).hexdigest()
            path = folder / f"{part}-{kind}-ubyte{'.gz' if gz else ''}"
            path.write_bytes(gzip.compress(raw, 1) if gz else raw)
    return md5


def use_mnist(monkeypatch, root, name="MNIST", train=60, test=20, gz=False):
    """Let ``dlbook_torch.data.<name>`` find small files under ``root`` and accept them."""
    md5 = write_mnist(root, name, train, test, gz)
    datamodule = getattr(data, name)
    monkeypatch.setattr(datamodule, "files", replace(datamodule.files, md5=md5))
    monkeypatch.setattr(datamodule, "train_images", train)
    monkeypatch.setenv("DLBOOK_DATA", str(root))
    return datamodule


def use_cifar10(monkeypatch, root, per_batch=20):
    """The same for CIFAR10: five training batches and a test batch of ``per_batch`` images."""
    folder, rng, md5 = Path(root, "cifar-10-batches-py"), np.random.default_rng(0), {}
    folder.mkdir(parents=True, exist_ok=True)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]:
        images = rng.integers(0, 256, (per_batch, 3072), np.uint8)
        content = {"data": images, "labels": [i % 10 for i in range(per_batch)]}
        if name == "batches.meta":
            content = {"label_names": list(data.CIFAR10.classes)}
        (folder / name).write_bytes(pickle.dumps(content))
        md5[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    rows = [[name, md5[name]] for name in list(md5)[:6]]
    meta = {**datasets.CIFAR10.meta, "md5": md5["batches.meta"]}
    for key, value in {"train_list": rows[:5], "test_list": rows[5:], "meta": meta}.items():
        monkeypatch.setattr(datasets.CIFAR10, key, value)
    monkeypatch.setattr(data.CIFAR10, "files", replace(data.CIFAR10.files, md5=md5))
    monkeypatch.setattr(data.CIFAR10, "train_images", 5 * per_batch)
    monkeypatch.setenv("DLBOOK_DATA", str(root))
    return data.CIFAR10
