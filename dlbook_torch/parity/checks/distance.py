"""How far two results are apart, and what is too far.

It is measured in float64 on the CPU: not every device has that type.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.testing import assert_close

# torch.testing's defaults for these types, which a float32 result of narrower terms has to meet
TOLERANCE = {
    torch.bfloat16: dict(rtol=1.6e-2, atol=1e-5),
    torch.float16: dict(rtol=1e-3, atol=1e-5),
}


def spacing(values: Tensor, dtype: torch.dtype) -> Tensor:
    """From each number to the next that ``dtype`` can hold, away from zero; in float64."""
    info = torch.finfo(dtype)
    _, exponent = torch.frexp(values.abs().cpu().double().clamp(min=info.tiny))
    return torch.ldexp(torch.full(values.shape, info.eps, dtype=torch.float64), exponent - 1)


def largest(values: Tensor) -> Tensor:
    """The largest finite magnitude, in float64; of nothing it is 0."""
    sizes = values.detach().cpu().double().abs()
    return sizes.masked_fill(~sizes.isfinite(), 0).amax() if sizes.numel() else sizes.sum()


def distance(ours: Tensor, ref: Tensor, scale: float = 0.0) -> tuple[float, float]:
    """The largest difference of two tensors, absolute and in units in the last place.

    One unit is the spacing of the numbers of this type at the largest finite magnitude in ``ref``,
    or at ``scale`` if that is larger: the largest among the tensors that came of the same terms.
    For where terms of that size cancel, their rounding is left over beside a result near zero, and
    the spacing there would say nothing. Small elements are watched by the relative tolerance of
    ``assert_close``. Equal infinities and nan differ by 0; of integers the units are not counted.
    """
    a, b = (t.detach().cpu().double() for t in (ours, ref))
    if not a.numel():
        return 0.0, 0.0
    gap = torch.where((a == b) | (a.isnan() & b.isnan()), 0, (a - b).abs()).max().item()
    if not ref.is_floating_point():
        return gap, 0.0
    return gap, gap / spacing(largest(b).clamp(min=scale), ref.dtype).item()


def roundings(t: Tensor, truth: Tensor, dtype: torch.dtype) -> float:
    """How far a result in low precision is from the truth, in roundings of its largest number."""
    return distance(t, truth)[0] / spacing(largest(truth), dtype).item()


def assert_near(
    ours: Tensor,
    ref: Tensor,
    name: str,
    low: torch.dtype | None,
    truth: Callable[[], dict[str, Tensor]],
) -> None:
    """Close by the type's default tolerance, or in ``low`` precision no worse than torch's.

    Two sums of the same terms in another order differ by the rounding of their largest term, which
    may be many times the result: no tolerance relative to each element can hold. So both are
    measured against the truth, torch's result from the same numbers in float64, and the largest
    error of ours may be twice torch's (which element is hit is luck) and one rounding more. A
    kernel that rounds once, at the end, is off by half a rounding; a layer that rounds its
    intermediate results where torch's does not is soon off by more than the two allowed to it.
    """
    tolerance: dict[str, Any] = TOLERANCE[low] if low and ref.dtype == torch.float32 else {}
    try:
        assert_close(ours, ref, equal_nan=True, **tolerance)
    except AssertionError as error:
        if low is None or (ours.dtype, ours.shape) != (ref.dtype, ref.shape):
            raise AssertionError(f"{name}: {error}") from None
        exact = truth()[name]
        mine, theirs = (roundings(t, exact, low) for t in (ours, ref))
        if not mine <= 2 * theirs + 1:  # nor nan
            off = f"off by {mine:.1f} roundings, torch's by {theirs:.1f}"
            raise AssertionError(f"{name} is {off}: {error}") from None
