"""Who learns from which image: the order of a split, and wrong labels on purpose."""

import torch
from torch import Tensor


def stratified_order(labels: Tensor, seed: int = 0) -> Tensor:
    r"""Shuffle so that every prefix mixes the classes in the proportion of the whole.

    Image number r of the :math:`n_c` images of its class, in random order, gets the place
    :math:`(r + 1/2) / n_c`; sorted by it, the first N images hold :math:`N n_c / n` of class c,
    to about one image.

    Shape: class labels (n) to indices (n).
    """
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    one_hot = labels[shuffled, None] == labels.unique()
    rank = (one_hot.cumsum(0) * one_hot).sum(1)
    place = (rank - 0.5) / (one_hot.sum(0) * one_hot).sum(1)
    return shuffled[place.argsort(stable=True)]


def corrupt_labels(labels: Tensor, share: float, classes: int, seed: int = 0) -> Tensor:
    """Replace exactly ``round(share * n)`` labels by another class, drawn evenly.

    Shape: class labels (n) to class labels (n), a new tensor.
    """
    generator = torch.Generator().manual_seed(seed)
    n = round(share * len(labels))
    wrong = torch.randperm(len(labels), generator=generator)[:n]
    offset = torch.randint(1, classes, (n,), generator=generator)
    labels = labels.clone()
    labels[wrong] = (labels[wrong] + offset) % classes
    return labels
