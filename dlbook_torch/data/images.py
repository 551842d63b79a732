"""Digits, MNIST, Fashion-MNIST and CIFAR-10, decoded once and kept as bytes."""

from abc import abstractmethod
from typing import Literal, get_args

import torch
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.mnist import read_image_file, read_label_file
from torchvision.transforms import v2

from .augment import RandomFlip, RandomShift
from .files import RawFiles, data_root
from .module import TensorDataModule, Tensors, in_range
from .splits import corrupt_labels, stratified_order

Augment = Literal["shift", "flip", "shift+flip"]


class Images(TensorDataModule):
    r"""Labelled images: uint8 in memory, normalised on the device, augmented there while training.

    .. math:: x \leftarrow \frac{x / \text{max\_value} - \text{mean}}{\text{std}}

    The validation set is cut from the official training images in one fixed stratified order, so
    that runs with different seeds are judged by the same images; the test set is the official one.

    Args:
        batch_size: images per batch.
        val_size: validation images, by default a sixth of the training images.
        subset: use only so many of the remaining training images, with the same mix of classes.
        label_noise: share of the training labels that are replaced by another class.
        augment: ``shift`` moves every training image at random by up to ``max_shift`` pixels each
            way, ``flip`` mirrors every other one left to right.
        seed: of the order of the training images and of the label noise, not of the split.

    Shape: batches ``(N, C, H, W)`` in the dtype of the LightningModule, labels ``(N)`` int64.
    Raises: ValueError for a number out of its range or an unknown ``augment``.
    Source: notes 4.1, 6.6.
    """

    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    mean: tuple[float, ...]  # per channel, of the training images, where black is 0 and white 1
    std: tuple[float, ...]
    max_value = 255  # white
    max_shift = 1
    train_images: int  # how many the official training set has

    def __init__(
        self,
        batch_size: int = 100,
        val_size: int | None = None,
        subset: int | None = None,
        label_noise: float = 0.0,
        augment: Augment | None = None,
        seed: int = 0,
    ):
        super().__init__(batch_size, seed)
        n = self.train_images
        self.val_size = in_range("val_size", n // 6 if val_size is None else val_size, 1, n - 1)
        rest = n - self.val_size
        self.subset = in_range("subset", rest if subset is None else subset, 1, rest)
        self.label_noise = in_range("label_noise", label_noise, 0.0, 1.0)
        self.augmentation = self._augmentation(augment)
        self.save_hyperparameters(logger=False)

    def _augmentation(self, augment: Augment | None) -> v2.Transform | None:
        if augment is None:
            return None
        if augment not in get_args(Augment):
            raise ValueError(f"augment must be one of {get_args(Augment)}, got {augment!r}")
        transforms = {"shift": RandomShift(self.max_shift), "flip": RandomFlip()}
        return v2.Compose([transforms[name] for name in augment.split("+")])

    @abstractmethod
    def read(self, train: bool) -> tuple[Tensor, Tensor]:
        """The official training or test set: uint8 (N, C, H, W) and int64 (N)."""

    def load_training(self) -> tuple[Tensors, Tensors]:
        x, t = self.read(train=True)
        order = stratified_order(t)
        val, train = order[: self.val_size], order[self.val_size :][: self.subset]
        noisy = corrupt_labels(t[train], self.label_noise, len(self.classes), self.seed)
        return (x[train], noisy), (x[val], t[val])

    def load_test(self) -> Tensors:
        return self.read(train=False)

    def on_after_batch_transfer(self, batch: Tensors, dataloader_idx: int) -> Tensors:
        x, *labels = batch
        if self.augmentation is not None and self.trainer is not None and self.trainer.training:
            x = self.augmentation(x)
        return self.normalize(x), *labels

    def normalize(self, x: Tensor) -> Tensor:
        """Mean 0 and standard deviation 1 over the training set, in the network's dtype."""
        # Lightning converts floating-point batches only, and before they reach the device
        module = getattr(self.trainer, "lightning_module", None)
        dtype: torch.dtype = getattr(module, "dtype", torch.get_default_dtype())
        mean, std = x.new_tensor([self.mean, self.std], dtype=dtype)[..., None, None]
        return x.to(dtype).div_(self.max_value).sub_(mean).div_(std)


class Digits(Images):
    """8 x 8 digits of the UCI repository, embedded in scikit-learn: no download.

    The 1797 images have no official split: a fixed stratified third (597) is the test set here.
    """

    shape = (1, 8, 8)
    classes = tuple("0123456789")
    mean = (0.3047,)
    std = (0.3758,)
    max_value = 16
    train_images = 1200

    def read(self, train: bool) -> tuple[Tensor, Tensor]:
        from sklearn.datasets import load_digits  # takes a second

        images, labels = load_digits(return_X_y=True)
        x = torch.from_numpy(images).to(torch.uint8).unflatten(1, self.shape)
        t = torch.from_numpy(labels).long()
        order = stratified_order(t)
        part = order[: self.train_images] if train else order[self.train_images :]
        return x[part], t[part]


class Downloaded(Images):
    """Images whose files lie in a data directory and are downloaded there by torchvision.

    Args:
        data_dir: where the files are or go; by default the environment variable ``DLBOOK_DATA``,
            else ``~/.cache/dlbook_torch``.
        download: fetch the files if they are not there.

    Raises: FileNotFoundError if they are not there and cannot be fetched; ValueError as
        :class:`Images`, and for a damaged file.
    """

    files: RawFiles

    def __init__(
        self,
        batch_size: int = 100,
        val_size: int | None = None,
        subset: int | None = None,
        label_noise: float = 0.0,
        augment: Augment | None = None,
        seed: int = 0,
        data_dir: str | None = None,
        download: bool = True,
    ):
        super().__init__(batch_size, val_size, subset, label_noise, augment, seed)
        self.root, self.download = data_root(data_dir), download

    @abstractmethod
    def fetch(self) -> None:
        """Download the files into the data directory."""

    def prepare_data(self) -> None:
        try:
            self.files.locate(self.root)
        except FileNotFoundError:
            if not self.download:
                raise
            self.fetch()


class MNIST(Downloaded):
    """Handwritten digits, 28 x 28: 60000 to learn from and 10000 to test."""

    shape = (1, 28, 28)
    classes = tuple("0123456789")
    mean = (0.1307,)
    std = (0.3081,)
    train_images = 60000
    source = datasets.MNIST
    files = RawFiles(
        name="MNIST",
        md5={
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
        places=("MNIST/raw", "."),
        gz=True,
    )

    def read(self, train: bool) -> tuple[Tensor, Tensor]:
        folder, part = self.files.locate(self.root), "train" if train else "t10k"
        with self.files.checked(folder, f"{part}-images-idx3-ubyte") as path:
            x = read_image_file(str(path))
        with self.files.checked(folder, f"{part}-labels-idx1-ubyte") as path:
            t = read_label_file(str(path))
        return x.unsqueeze(1), t

    def fetch(self) -> None:
        def download(folder: str, url: str) -> None:
            mirrors = sorted(self.source.mirrors, key=lambda mirror: not url.startswith(mirror))
            # the name of the class is the name of its folder
            type(self.source.__name__, (self.source,), {"mirrors": mirrors})(folder, download=True)

        first = self.source.resources[0][0]
        self.files.fetch(self.root, [mirror + first for mirror in self.source.mirrors], download)


class FashionMNIST(MNIST):
    """Pictures of clothes in the format of MNIST; harder."""

    classes = tuple(datasets.FashionMNIST.classes)
    mean = (0.2860,)
    std = (0.3530,)
    source = datasets.FashionMNIST
    files = RawFiles(
        name="FashionMNIST",
        md5={
            "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
            "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
            "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
        },
        places=("FashionMNIST/raw", ".", "/usr/share/datasets/fashion-mnist"),
        gz=True,
        package="dataset-fashion-mnist",
    )


class CIFAR10(Downloaded):
    """Colour photographs of animals and vehicles, 32 x 32: 50000 to learn from, 10000 to test."""

    shape = (3, 32, 32)
    classes = (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)
    max_shift = 4
    train_images = 50000
    source = datasets.CIFAR10
    files = RawFiles(
        name="CIFAR10",
        md5=dict(source.train_list + source.test_list)
        | {source.meta["filename"]: source.meta["md5"]},
        places=(source.base_folder,),
    )

    def read(self, train: bool) -> tuple[Tensor, Tensor]:
        folder = self.files.locate(self.root)
        for name in self.files.md5:  # torchvision checks too, but does not say which file is bad
            with self.files.checked(folder, name):
                pass
        images = self.source(folder.parent, train=train)
        x = torch.from_numpy(images.data).movedim(-1, 1).contiguous()
        return x, torch.tensor(images.targets)

    def fetch(self) -> None:
        self.files.fetch(
            self.root, [self.source.url], lambda folder, url: self.source(folder, download=True)
        )
