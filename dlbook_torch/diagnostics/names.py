"""What the name of a series says: whose it is, what it measures, and whether more is better."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["train", "val", "eval", "test", ""]

STAGES: dict[str, Stage] = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "tr": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "eval": "eval",
    "evaluation": "eval",
    "test": "test",
    "testing": "test",
}
FLAGS = {"epoch", "step", "running"}
ACCURACY = {"acc", "accuracy", "top1"}
TOP = {"top2", "top3", "top5", "top10"}  # no accuracy that guessing has 1/C of
LOSSES = {"loss", "nll", "entropy", "ce", "mse", "cost", "error"}
WORD = re.compile(r"[A-Z]?[a-z]+\d*|[A-Z]+(?![a-z])\d*|\d+")
GLUED = re.compile(r"(train|val|valid|test)(loss|acc|accuracy|error|err|mse|mae)")
LOADER = re.compile(r"/dataloader_idx_\d+$")  # Lightning's suffix, with several loaders
RATE = re.compile(r"(^|[^a-z])(lr|learning[ _-]?rate)(\d*)([^a-z]|$)")
# metrics that grow when the network gets better
GROWS = re.compile(
    r"(?<![a-z])(acc|accuracy\w*|top\d|f1|f_?score|auc|auroc|auprc|roc_?auc|ap\d*|map[\d-]*|ndcg"
    r"|r2|r_?squared|precision|recall|sensitivity|specificity|iou|miou|dice|jaccard|kappa|mcc"
    r"|bleu|rouge\w*|meteor|psnr|ssim|reward|return|score)(?![a-z])"
)
FALLS = re.compile(
    r"(?<![a-z])(\w*loss\w*|error|err|mse|rmse|mae|mape|nll|bce|ce|perplexity|ppl|wer|cer|fid"
    r"|cross_?entropy)(?![a-z])"
)


@dataclass(frozen=True)
class Name:
    """A tag taken apart.

    Args:
        tag: as it was logged.
        stage: whose it is; "" if it does not say.
        metric: the other words, such as ("box", "loss").
        flags: of "epoch", "step" and "running".
        measured: a training value measured in eval mode, such as ``train_eval/loss``.
        loader: it is of one of several validation sets.
    """

    tag: str
    stage: Stage
    metric: tuple[str, ...]
    flags: frozenset[str]
    measured: bool = False
    loader: bool = False

    @property
    def label(self) -> str:
        """What it measures, as text."""
        return "_".join(self.metric) or self.tag


def parse(tag: str) -> Name:
    """Take a tag apart: ``train/box_loss``, ``Train Loss``, ``val_acc_epoch``, ``lossTrain``."""
    bare = LOADER.sub("", tag)
    words = [word.lower() for word in WORD.findall(bare)]
    words = [part for word in words for part in _unglued(word)]
    stages = {STAGES[word] for word in words if word in STAGES}
    rest = [word for word in words if word not in STAGES and word not in FLAGS]
    metric = tuple(dict.fromkeys("accuracy" if word in ACCURACY else word for word in rest))
    order: tuple[Stage, ...] = ("train", "val", "eval", "test")
    stage: Stage = next((known for known in order if known in stages), "")
    measured = {"train", "eval"} <= stages
    return Name(tag, stage, metric, frozenset(words) & FLAGS, measured, bare != tag)


def _unglued(word: str) -> tuple[str, ...]:
    match = GLUED.fullmatch(word)
    return match.groups() if match else (word,)


def is_rate(tag: str) -> bool:
    """The tag is a learning rate: ``lr``, ``lr-Adam``, ``lr/pg0``, ``train/learning_rate``."""
    return bool(RATE.search(tag.lower())) and not FALLS.search(tag.lower())


def grows(tag: str) -> bool:
    """More is better."""
    return bool(GROWS.search(tag.lower())) and not falls(tag)


def falls(tag: str) -> bool:
    """Less is better."""
    return bool(FALLS.search(tag.lower()))


def losses(tags: Iterable[str]) -> tuple[str | None, str | None]:
    """Return the tags of the training and the validation loss, None where there is none."""
    return _sides(name for name in map(parse, tags) if LOSSES & {*name.metric})


def accuracies(tags: Iterable[str]) -> tuple[str | None, str | None]:
    """Return the tags of the training and the validation accuracy, None where there is none."""
    return _sides(name for name in map(parse, tags) if is_accuracy(name))


def is_accuracy(name: Name) -> bool:
    """It is a share of right answers."""
    return "accuracy" in name.metric and not TOP & {*name.metric}


def _sides(names: Iterable[Name]) -> tuple[str | None, str | None]:
    """The plainest tag of either side, of a metric that both have before any other."""
    known = [name for name in names if "step" not in name.flags]
    sides = [[n for n in known if n.stage in stages] for stages in (("train",), ("val", "eval"))]
    both = {n.metric for n in sides[0]} & {n.metric for n in sides[1]}

    def plainest(side: list[Name]) -> str | None:
        best = min(side, key=lambda n: (n.metric not in both, *_order(n)), default=None)
        return best.tag if best else None

    return plainest(sides[0]), plainest(sides[1])


def _order(name: Name) -> tuple[bool | int | str, ...]:
    """The sum of a loss comes before its parts, the mean of an epoch before a running one."""
    words = {*name.metric} - {"total"}
    flags = name.flags
    return len(words), "running" in flags, name.measured, "epoch" not in flags, name.tag
