"""Mistakes in the affine layer and in mixed precision (notes 3.3, 5)."""

from .base import Mutant, mutants, quick

MUTANTS: list[Mutant] = [
    *mutants(
        "nn/linear.py",
        quick("-Linear-"),
        ("linear: weight not transposed", "y = x @ weight.mT", "y = x @ weight"),
        (
            "linear: dx by the transposed weight",
            "dy @ weight if dx",
            "dy @ weight.mT if dx",
        ),
        (
            "linear: bias gradient a mean",
            "drows.sum(0) if db",
            "drows.mean(0) if db",
        ),
        (
            "linear: bias gradient of the first row",
            "drows.sum(0) if db",
            "drows[0] if db",
        ),
        (
            "linear: second derivative of a constant",
            "x, weight = ctx.saved_tensors",
            "x, weight = (t.detach() for t in ctx.saved_tensors)",
        ),
        ("weights: initial bound sqrt(3) too large", "1 / sqrt(n) if n", "sqrt(3 / n) if n"),
        (
            "weights: initial bound by the outputs",
            "n = self.weight.shape[1:].numel()",
            "n = self.weight.shape[0]",
        ),
        (
            "weights: bias drawn first",
            "for p in self.parameters():",
            "for p in reversed(list(self.parameters())):",
        ),
        (
            "weights: bias under another key",
            'self.register_parameter("bias", shift)',
            'self.register_parameter("shift", shift)\n        self.__dict__["bias"] = shift',
        ),
    ),
    *mutants(
        "nn/_precision.py",
        quick("test_autocast"),
        (
            "autocast: ignored",
            "torch.float64 else t.to(dtype)",
            "torch.float64 else t",
        ),
        (
            "autocast: double precision narrowed too",
            "t is None or t.dtype == torch.float64",
            "t is None",
        ),
    ),
]
