"""Which series are the training and the validation side of the same thing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..names import Name, falls, grows, is_accuracy, is_rate, parse
from .log import Log, LogError

# what to judge, the first of these that a log has; all of them where it is the loss in parts
WANTED: tuple[Callable[[tuple[str, ...], str], bool], ...] = (
    lambda metric, tag: metric == ("loss",),
    lambda metric, tag: set(metric) == {"total", "loss"},
    lambda metric, tag: "loss" in metric,
    lambda metric, tag: falls(tag),
    lambda metric, tag: grows(tag),
)
PARTS = WANTED[2]
SIDES = ("train", "")  # of training; the others are of validation, the likeliest first
VAL = ("val", "eval", "test")


@dataclass(frozen=True)
class Pair:
    """Two tags that measure the same on two sets.

    Args:
        label: what they measure, such as "loss".
        train: tag of the training side.
        val: tag of the validation side.
        measured: the training side was measured like the validation side, in eval mode.
    """

    label: str
    train: str
    val: str
    measured: bool = False


def find(log: Log, train: str | None = None, val: str | None = None) -> list[Pair]:
    """Return what to judge: the loss, or else all its components, or else one other metric.

    Args:
        log: the log.
        train: tag of the training side, if the user names it.
        val: tag of the validation side, if the user names it.

    Raises: LogError that lists the tags if nothing or too much fits.
    """
    for tag in (train, val):
        if tag is not None:
            _known(log, tag)
    if train is not None and val is not None:
        return [Pair(parse(val).label, train, val, _measured(log, parse(train)))]
    names = [parse(tag) for tag in log.series if not is_rate(tag)]
    pairs = _all_pairs(log, names, train, val)
    if train or val:
        pairs = {
            m: p for m, p in pairs.items() if (p.train, p.val)[train is None] == (train or val)
        }
    for wanted in WANTED:
        if chosen := [pair for metric, pair in pairs.items() if wanted(metric, pair.val)]:
            return chosen if wanted is PARTS else chosen[:1]
    why = next(iter(log.unreadable.values()), "")
    raise LogError(
        log.path,
        "has no training and validation loss that belong together; "
        + (f"{why}; " if why else "")
        + f"its tags are {log.names() or 'none'}; name two with --train and --val",
    )


def accuracies(log: Log, pair: Pair) -> tuple[str | None, str | None]:
    """Return the tags of training and validation accuracy, where there are any."""
    names = list(filter(is_accuracy, map(parse, log.series)))
    metrics = sorted({n.metric for n in names}, key=lambda m: (m != ("accuracy",), len(m), m))
    for metric in metrics:
        try:
            train, val = _sides(log, [n for n in names if n.metric == metric], unstaged=True)
        except LogError:  # two that say the same: do without
            continue
        if val:
            return (train.tag if train else None), val.tag
    return None, None


def rate(log: Log) -> str | None:
    """Return the tag of the learning rate, of the first group of parameters."""
    tags = [tag for tag in log.series if is_rate(tag)]
    return min(tags, key=lambda tag: (len(tag), tag), default=None)


def _known(log: Log, tag: str) -> None:
    if tag in log.unreadable:
        raise LogError(log.path, f"{log.unreadable[tag]}")
    if tag not in log.series:
        raise LogError(log.path, f"has no tag {tag}; its tags are {log.names() or 'none'}")


def _all_pairs(
    log: Log, names: list[Name], train: str | None, val: str | None
) -> dict[tuple[str, ...], Pair]:
    pairs = {}
    for metric in dict.fromkeys(name.metric for name in names):
        same = [name for name in names if name.metric == metric]
        t, v = _sides(log, same, train=train, val=val)
        if t and v:
            pairs[metric] = Pair(t.label, t.tag, v.tag, _measured(log, t))
    return pairs


def _sides(
    log: Log,
    names: list[Name],
    unstaged: bool = False,
    train: str | None = None,
    val: str | None = None,
) -> tuple[Name | None, Name | None]:
    """The best name of either side.

    A name without a stage is the training's beside one of the validation (Keras), and the
    validation's where the format says so.
    """
    bare = [n for n in names if n.stage == ""]
    left = [n for n in names if n.stage == "train"]
    right = [n for n in names if n.stage in VAL]
    if log.val_only:
        right += bare if unstaged else []
    else:
        left += bare
    t = next((n for n in left if n.tag == train), None) or _best(log, left)
    v = next((n for n in right if n.tag == val), None) or _best(log, right)
    return t if v else None, v


def _best(log: Log, names: Iterable[Name]) -> Name | None:
    """The name to take of those that say the same.

    Raises: LogError if two are equally good.
    """
    ranked = sorted(((_rank(log, name), name) for name in names), key=lambda pair: pair[0])
    best = [name for rank, name in ranked if rank == ranked[0][0]]
    if len(best) > 1:
        tags = " and ".join(name.tag for name in best)
        side = "--train" if best[0].stage in SIDES else "--val"
        raise LogError(log.path, f"has {tags}, which say the same: choose one with {side}")
    return best[0] if best else None


def _rank(log: Log, name: Name) -> tuple[int | bool, ...]:
    """Smaller is better: more than a point, measured, of epochs rather than steps."""
    return (
        len(log.series[name.tag]) < 2,
        VAL.index(name.stage) if name.stage in VAL else 0,
        not name.measured,
        "running" in name.flags,
        "step" in name.flags,
        "epoch" not in name.flags,
        name.stage == "",
    )


def _measured(log: Log, name: Name) -> bool:
    """A running mean logged beside it says that the value itself is measured."""
    return name.measured or running(log, name.tag) is not None


def running(log: Log, train: str) -> str | None:
    """Return the tag of the running mean that is logged beside a measured value."""
    name = parse(train)
    if "running" in name.flags:
        return None
    others = (parse(tag) for tag in log.series)
    return next(
        (
            other.tag
            for other in others
            if other.metric == name.metric and "running" in other.flags and other.stage == "train"
        ),
        None,
    )
