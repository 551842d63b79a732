"""Statistics of one curve: what is trend, what is noise."""

from typing import Literal

import numpy as np
import scipy
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Trend = Literal["falling", "flat", "rising", "unclear"]
Curve = NDArray[np.float64]

MIN_EPOCHS = 8  # fewer allow no trend to be significant
P_TREND = 0.02  # of Kendall's test, two-sided: a chance of 1 % for a false "falling"
MOVES, MOVES_OF_FALL = 0.01, 0.02  # a trend changes the level by this, and all that was gained
FLAT = 0.02  # a curve at rest stays within this share of its level
MAX_POINTS = 30  # a trend is tested on no more: the epochs of a long run are not independent
STEPS = 1, 2, 4, 8  # distances of the epochs whose difference gives an estimate of the noise
FEWEST = 6  # such distances that the epochs have to span
DROP = 0.6  # a schedule in steps multiplies the learning rate by less than this


def trend(curve: Curve) -> Trend:
    """Direction of the last third of a curve, of its last 10 points at least.

    It moves if Kendall's test finds an order in time and the Theil-Sen line changes by more than
    1 % of its level and 2 % of all that the curve has fallen; it is flat if 95 % confidence keep
    that change below 2 % of either. What is neither is ``unclear``.
    """
    window = thin(curve[-max(10, len(curve) // 3) :])
    if len(window) < MIN_EPOCHS:
        return "unclear"
    span = len(window) - 1
    change, _, low, high = (span * x for x in scipy.stats.theilslopes(window, alpha=0.95))
    level, fallen = abs(np.median(window)), curve[0] - curve.min()
    p = scipy.stats.kendalltau(range(span + 1), window).pvalue
    if p < P_TREND and abs(change) > max(MOVES * level, MOVES_OF_FALL * fallen):
        return "falling" if change < 0 else "rising"
    margin = FLAT * max(level, fallen)
    return "flat" if -margin <= low <= high <= margin else "unclear"


def thin(window: Curve) -> Curve:
    """Medians of blocks, so that at most ``MAX_POINTS`` are left."""
    size = -(-len(window) // MAX_POINTS)
    start = len(window) % size
    return np.median(window[start:].reshape(-1, size), axis=1)


def smooth(curve: Curve) -> Curve:
    """Running median of 3 points, of a fortieth of the curve if it is long; no padding."""
    return np.median(sliding_window_view(curve, span(curve)), axis=-1)


def span(curve: Curve) -> int:
    """Number of points that ``smooth`` takes the median of."""
    return min(len(curve), max(3, len(curve) // 40))


def noise(curve: Curve) -> float:
    """Standard deviation of the noise on the later two thirds of a curve, from third differences.

    Those of a parabola are 0. Points further apart give other estimates, for curves whose
    neighbours share their noise.
    """
    later = curve[len(curve) // 3 :]
    return max(_noise(later, k) for k in STEPS if k == 1 or len(later) >= FEWEST * k)


def _noise(curve: Curve, k: int) -> float:
    """From points that are k apart."""
    if len(curve) < 3 * k + 2:
        return 0.0
    a, b, c, d = (curve[i * k : len(curve) - (3 - i) * k] for i in range(4))
    return float(np.median(abs(d - 3 * c + 3 * b - a))) * 1.4826 / 20**0.5


def last_segment(lr: Curve) -> int:
    """Index after the last step down of the learning rate; 0 for a constant or smooth schedule."""
    steps = [
        e
        for e in range(2, len(lr))
        if lr[e] < DROP * lr[e - 1] and abs(lr[e - 1] - lr[e - 2]) < 0.01 * lr[e - 2]
    ]
    return steps[-1] if steps else 0


def share_of(part: float, whole: float) -> float:
    """Part of a whole by its size, 0 of nothing."""
    return float(part / abs(whole)) if whole else 0.0


def times(a: float, b: float) -> str:
    """Such as "3.2 times", "above" for what is no multiple."""
    return f"{a / b:.3g} times" if b > 0 else "above"
