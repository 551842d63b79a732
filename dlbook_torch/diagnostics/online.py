"""When to stop: the validation loss has stayed above its best for too long."""

from collections.abc import Sequence

import numpy as np

# Prechelt's generalisation loss: 5 % above the lowest, 5 epochs in a row, on a trailing median
LIMIT, PATIENCE, MEDIAN = 0.05, 5, 5


def generalization_loss(val: Sequence[float]) -> list[float]:
    r"""Return after every epoch how far the validation loss is above its lowest so far.

    .. math:: GL_e = \frac{L_e}{\min_{i \le e} L_i} - 1

    NaN where the loss is not finite; for a lowest loss below 0, whose size stands below the bar.
    """
    rises, lowest = [], float("inf")
    for loss in val:
        if np.isfinite(loss):
            lowest = min(lowest, loss)
        usable = np.isfinite(loss) and lowest != 0
        rises.append((loss - lowest) / abs(lowest) if usable else float("nan"))
    return rises


def trailing_median(val: Sequence[float], width: int = MEDIAN) -> list[float]:
    """Return the median of the last ``width`` losses, of fewer at the start."""
    return [float(np.median(val[max(0, e + 1 - width) : e + 1])) for e in range(len(val))]


def alarm(
    val: Sequence[float], limit: float = LIMIT, patience: int = PATIENCE, width: int = MEDIAN
) -> int | None:
    """Return the index of the epoch in which to stop, None while there is no reason to.

    The trailing median of the validation loss has been more than ``limit`` above its lowest for
    ``patience`` epochs, or the last ``patience`` losses are no numbers.
    """
    finite = np.isfinite(val)
    known = [loss for loss, ok in zip(val, finite, strict=True) if ok]
    rises = iter(generalization_loss(trailing_median(known, width)))
    bad = 0
    for e, ok in enumerate(finite):
        bad = bad + 1 if not ok or next(rises) > limit else 0
        if bad >= patience:
            return e
    return None
