"""Several ways to the same result: which one a layer takes, and how to choose it."""

from collections.abc import Iterator
from contextlib import contextmanager

# The first is the default: the layer picks by shape and type.
WAYS: dict[str, tuple[str, ...]] = {
    "convolution": ("auto", "unfold", "ones", "winograd"),
    "dropout": ("auto", "bernoulli"),
}
_chosen = {kind: names[0] for kind, names in WAYS.items()}


def chosen(kind: str) -> str:
    """The way that is set at the moment, such as ``"auto"``."""
    return _chosen[kind]


@contextmanager
def algorithms(**choice: str) -> Iterator[None]:
    """Let all layers inside the ``with`` block, and the backward of what they made, go one way.

    .. code-block:: python

        with nn.algorithms(convolution="unfold"):
            loss = model(x).sum()

    Args:
        choice: a way for each kind of layer, ``convolution=`` and ``dropout=``; see their classes.

    Raises: ValueError for a kind or a way that does not exist.
    Source: notes 7.1 and 6.5, whose layers have several.
    """
    for kind, name in choice.items():
        if kind not in WAYS:
            raise ValueError(f"no algorithms for {kind!r}: choose from {', '.join(WAYS)}")
        if name not in WAYS[kind]:
            raise ValueError(f"{kind} must be one of {', '.join(WAYS[kind])}, got {name!r}")
    before = dict(_chosen)
    _chosen.update(choice)
    try:
        yield
    finally:
        _chosen.update(before)
