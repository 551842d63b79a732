"""Mistakes in resizing by interpolation (notes 7.2)."""

from .base import Mutant, mutants, quick

MUTANTS: list[Mutant] = [
    *mutants(
        "nn/upsampling.py",
        quick("-Upsampl"),
        (
            "upsample: align_corners ignored",
            "return self.corners() if self.align_corners else self.centers()",
            "return self.centers()",
        ),
        (
            "upsample: align_corners over n / m",
            "(n - 1) / (m - 1) if m > 1 else 0.0",
            "n / m",
        ),
        (
            "upsample: division by zero for one aligned pixel",
            "(n - 1) / (m - 1) if m > 1 else 0.0",
            "(n - 1) / (m - 1)",
        ),
        (
            "upsample: scale_factor taken from the sizes",
            "self.scale = 1 / factor if factor else n / m",
            "self.scale = n / m",
        ),
        (
            "upsample: pixels as points instead of areas",
            "return ((self.i + 0.5) * self.exact - 0.5).to(self.dtype)",
            "return (self.i * self.exact).to(self.dtype)",
        ),
        (
            "upsample: nearest as nearest-exact",
            "return [(axis.below(axis.corners()), None)]",
            "return [(axis.below(axis.centers().clamp(min=0) + 0.5), None)]",
        ),
        (
            "upsample: the line drawn on beyond the first pixel",
            "p = axis.positions().clamp(min=0)\n",
            "p = axis.positions()\n",
        ),
        ("upsample: weights of the neighbours swapped", "[(left, 1 - t), (", "[(left, t), ("),
        ("upsample: another cubic", "a=-0.75)) for k in", "a=-0.5)) for k in"),
        (
            "upsample: recompute_scale_factor ignored",
            "(None,) * rank if recompute_scale_factor else each",
            "each",
        ),
        (
            "upsample: new size rounded up",
            "torch.sym_int(n * factor) for",
            "torch.sym_int(n * factor + 0.999) for",
        ),
        (
            "upsample: sizes of the axes swapped",
            "return [torch.sym_int(m) for m in each], ",
            "return [torch.sym_int(m) for m in each[::-1]], ",
        ),
    ),
    *mutants(
        "nn/upsampling.py",
        "test_upsampling.py",
        (
            "interpolate: area as every other pixel",
            "start, end = i * n // m, ((i + 1) * n + m - 1) // m",
            "start, end = i * n // m, i * n // m + 1",
        ),
        (
            "interpolate: equal copies whatever the factor",
            "k & (k - 1) == 0 and factor in (None, k)",
            "k & (k - 1) == 0",
        ),
        (
            "interpolate: antialias forgotten",
            "taps = ANTIALIASED[mode] if antialias else TAPS[mode]",
            "taps = TAPS[mode]",
        ),
        (
            "interpolate: antialiased weights not normalized",
            "w / total) for",
            "w) for",
        ),
        (
            "interpolate: bytes cut off instead of rounded",
            "y = y.round().clamp(0, 255)",
            "y = y.clamp(0, 255)",
        ),
    ),
]
