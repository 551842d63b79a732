"""Mistakes in the normalizations (notes 6.4)."""

from .base import Mutant, mutants

FILE = "nn/batchnorm.py"

MUTANTS: list[Mutant] = [
    *mutants(
        FILE,
        "test_nn.py -k BatchNorm",
        ("batch_norm: biased running variance", "(var * (m / (m - 1)))", "var"),
        (
            "batch_norm: divides by the unbiased deviation",
            ".sum(axes) / m\n        scale",
            ".sum(axes) / (m - 1)\n        scale",
        ),
        (
            "batch_norm: running mean with the momentum the other way round",
            "mean.to(running_mean.dtype), momentum)",
            "mean.to(running_mean.dtype), 1 - momentum)",
        ),
        (
            "batch_norm: running variance with the momentum the other way round",
            ".to(running_var.dtype), momentum)",
            ".to(running_var.dtype), 1 - momentum)",
        ),
        (
            "batch_norm: epsilon outside the root in training",
            "scale = (var + eps).rsqrt_()",
            "scale = 1 / (var.sqrt() + eps)",
        ),
        (
            "batch_norm: epsilon outside the root in evaluation",
            "scale = (running_var + eps).rsqrt()",
            "scale = 1 / (running_var.sqrt() + eps)",
        ),
        (
            "batch_norm: epsilon missing in the backward",
            "inv_std = (var + ctx.eps).rsqrt()",
            "inv_std = var.rsqrt()",
        ),
        (
            "batch_norm: mean over the batch axis only",
            "return (0, *range(2, x.dim()))",
            "return (0,) if x.dim() < 4 else (0, 2, 3)",
        ),
        (
            "batch_norm: evaluation by the batch",
            "self.training or self.running_mean is None,",
            "True,",
        ),
        (
            "batch_norm: the variance taken for a constant",
            " - centered * slope)",
            ")",
        ),
        (
            "batch_norm: the mean taken for a constant",
            "dy - _spread(dbias / m, x) - ",
            "dy - ",
        ),
        (
            "batch_norm: variance stashed, its own derivative lost",
            "if dvar is not None:",
            "if dvar is None and dy is None:",
        ),
        (
            "batch_norm: mean stashed, its own derivative lost",
            "if dmean is not None:",
            "if dmean is None and dy is None:",
        ),
        (
            "batch_norm: running mean not saved with the model",
            '"running_mean", zero.clone() if keep else None)',
            '"running_mean", zero.clone() if keep else None, persistent=False)',
        ),
        ("batch_norm: one image taken for one value", "if m == 1:", "if x.shape[0] == 1:"),
    ),
    *mutants(
        FILE,
        "test_nn.py -k 'BatchNorm or batch_norm or statistics'",
        (
            "batch_norm: running statistics keep the graph",
            "with torch.no_grad():  # running_var is unbiased",
            "with torch.enable_grad():  # running_var is unbiased",
        ),
        (
            "batch_norm: momentum=None keeps the last batch only",
            "momentum = 1 / self.num_batches_tracked.item()",
            "momentum = 1.0",
        ),
        (
            "batch_norm: batches not counted",
            "num_batches_tracked.add_(1)",
            "num_batches_tracked.clamp_(1)",
        ),
        ("batch_norm: reset to a variance of 0", "running_var=1, num", "running_var=0, num"),
        ("batch_norm: reset keeps the scale", "self.weight.fill_(1)", "pass"),
        ("batch_norm: bias=False ignored", "if affine and bias else", "if affine else"),
        (
            "batch_norm: sums in half precision",
            "if x.dtype in (torch.bfloat16, torch.float16):",
            "if x.dtype in ():",
        ),
    ),
]
