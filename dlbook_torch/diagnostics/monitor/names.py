"""Which of a module's metrics are training and validation loss, and their accuracies."""

import re
from collections.abc import Iterable

TRAIN, VAL = r"(?:train|training|tr)", r"(?:val|valid|validation|dev|eval)"
LOSS, ACCURACY = r"(?:loss|nll|cross_entropy|ce|mse|cost|error)", r"(?:accuracy|acc)"
END = r"(?:_epoch)?(?:/dataloader_idx_0)?"


def find(names: Iterable[str], stage: str, metric: str) -> str | None:
    """Return the name of a metric in a stage: ``val/loss``, ``val_loss``, ``loss/val``, ...

    The plainest of several is chosen, the mean over an epoch before the value of a step.
    """
    pattern = re.compile(
        rf"(?:{stage}[/_.\- ]{metric}|{metric}[/_.\- ]{stage}){END}", re.IGNORECASE
    )
    found = [name for name in names if pattern.fullmatch(name)]
    return min(found, key=lambda name: (not name.endswith("_epoch"), len(name), name), default=None)


def find_more(names: Iterable[str], stage: str, metric: str) -> str | None:
    """Return a name that says the same with more words, such as ``val/top1_acc``; else None."""
    pattern = re.compile(rf"{stage}[/_.\- ].*{metric}.*|.*{metric}.*[/_.\- ]{stage}", re.IGNORECASE)
    found = [name for name in names if pattern.fullmatch(name) and not name.endswith("_step")]
    return min(found, key=lambda name: (len(name), name), default=None)


def pair(names: Iterable[str], metric: str) -> tuple[str | None, str | None]:
    """Return the names of a metric in training and validation, None where there is none."""
    known = list(names)
    train, val = (find(known, s, metric) or find_more(known, s, metric) for s in (TRAIN, VAL))
    return train, val
