"""Mistakes in the normalizations (notes 6.4)."""

from .base import Mutant, mutants, quick

FILE = "nn/batchnorm.py"

MUTANTS: list[Mutant] = [
    *mutants(
        FILE,
        quick("BatchNorm"),
        ("batch_norm: biased running variance", "(var * (m / (m - 1)))", "var"),
        (
            "batch_norm: divides by the unbiased deviation",
            "var = ((centered * centered).sum(axes) / m - ",
            "var = ((centered * centered).sum(axes) / (m - 1) - ",
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
            "scale = (var + eps).rsqrt_()\n        if",
            "scale = 1 / (var.sqrt() + eps)\n        if",
        ),
        (
            "batch_norm: epsilon outside the root in evaluation",
            "scale = (var + eps).rsqrt()\n",
            "scale = 1 / (var.sqrt() + eps)\n",
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
        (
            "batch_norm: one image taken for one value",
            "if training and x.shape[0] * prod(x.shape[2:]) == 1:",
            "if training and x.shape[0] == 1:",
        ),
    ),
    *mutants(
        FILE,
        quick("test_batch_norm or test_running or test_statistics"),
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
            "width = wide_type(input.dtype)",
            "width = input.dtype",
        ),
    ),
    *mutants(
        FILE,
        "test_normalization.py",
        (
            "batch_norm: a constant has a variance of rounding errors",
            "rest = centered.sum(axes) / m  #",
            "rest = centered.sum(axes) * 0  #",
        ),
        (
            "batch_norm: an old state not loaded",
            'if (local_metadata.get("version") or 1) < 2 and count',
            'if (local_metadata.get("version") or 1) < 1 and count',
        ),
        (
            "batch_norm: channels-last output in another order",
            "return x if channels_last else x.contiguous()",
            "return x.contiguous()",
        ),
        (
            "batch_norm: any type of parameters",
            "check_types(x, *per_channel)",
            "check_types(x)",
        ),
    ),
    *mutants(
        FILE,
        "test_fast.py -k Norm",
        (
            "batch_norm: fast, the variance taken for a constant",
            "torch.sub(d, c.mul_(_column(slope, c)), out=c)",
            "c.copy_(d)",
        ),
        (
            "batch_norm: fast, the mean taken for a constant",
            "c.sub_(_column(dbias / m, c)).mul_(",
            "c.mul_(",
        ),
        (
            "batch_norm: fast, epsilon outside the root",
            "scale = (var + eps).rsqrt_()\n    if",
            "scale = 1 / (var.sqrt() + eps)\n    if",
        ),
        (
            "batch_norm: fast, the last piece alone",
            "square += _total_square(c)",
            "square = _total_square(c)",
        ),
    ),
    *mutants(
        FILE,
        "test_normalization.py",
        (
            "batch_norm: fast, a constant has a variance of rounding errors",
            "rest += _total(c)",
            "rest += _total(c) * 0",
        ),
        (
            "batch_norm: fast where parameters are mapped",
            "if direct(x, weight, bias):",
            "if direct(x):",
        ),
    ),
    *mutants(
        "nn/sync_batchnorm.py",
        "test_sync_batchnorm.py",
        (
            "sync_batch_norm: gradient of the own process only",
            "return _AllReduce.apply(dtotal.contiguous(), ctx.group), None",
            "return dtotal, None",
        ),
        (
            "sync_batch_norm: gradient of a gradient lost",
            "return _AllReduce.apply(dtotal.contiguous(), ctx.group), None",
            "return _AllReduce.apply(dtotal.detach(), ctx.group), None",
        ),
        (
            "sync_batch_norm: processes taken for equally large",
            "x.new_full((1,), count)]), group)",
            "x.new_full((1,), len(input) and 4.0)]), group)",
        ),
        (
            "sync_batch_norm: biased running variance",
            "(var * (m / (m - 1)))",
            "var",
        ),
        (
            "sync_batch_norm: variance of the own process",
            "(_AllReduce.apply(moments, group) / m)",
            "(moments / count)",
        ),
        (
            "sync_batch_norm: all processes, whatever the group",
            "distributed.all_reduce(total, group=group)",
            "distributed.all_reduce(total)",
        ),
        (
            "sync_batch_norm: talks in evaluation",
            "if not (self.training and parallel and",
            "if not (parallel and",
        ),
    ),
    *mutants(
        "nn/normalization.py",
        quick("LayerNorm"),
        (
            "layer_norm: mean over the batch",
            "mean = x.sum(1, keepdim=True) / m\n        centered = x - mean\n        rest",
            "mean = x.sum(0, keepdim=True) / len(x)\n        centered = x - mean\n        rest",
        ),
        (
            "layer_norm: divides by the unbiased deviation",
            "var = (centered * centered).sum(1, keepdim=True) / m",
            "var = (centered * centered).sum(1, keepdim=True) / max(1, m - 1)",
        ),
        (
            "layer_norm: epsilon outside the root",
            "centered.mul_((var + eps).rsqrt_())",
            "centered.div_(var.sqrt() + eps)",
        ),
        (
            "layer_norm: the variance taken for a constant",
            "torch.addcmul(dx.sub_(mean_dy), x_hat, slope, value=-1).mul_(inv_std)",
            "dx.sub_(mean_dy).mul_(inv_std)",
        ),
        (
            "layer_norm: the mean taken for a constant",
            "torch.addcmul(dx.sub_(mean_dy), x_hat",
            "torch.addcmul(dx, x_hat",
        ),
        (
            "layer_norm: gradient without gamma",
            "dx = dy.clone() if weight is None else dy * weight",
            "dx = dy.clone()",
        ),
        (
            "layer_norm: variance stashed, its own derivative lost",
            "if dvar is not None:",
            "if dvar is None and dy is None:",
        ),
        (
            "layer_norm: mean stashed, its own derivative lost",
            "if dmean is not None:",
            "if dmean is None and dy is None:",
        ),
        (
            "layer_norm: over the last axis only",
            "rows = x.reshape(prod(x.shape[: -len(shape)]), prod(shape))",
            "rows = x.reshape(prod(x.shape[:-1]), shape[-1])",
        ),
        (
            "layer_norm: bias without elementwise_affine",
            "bias=elementwise_affine and bias",
            "bias=bias",
        ),
        (
            "layer_norm: the start of the shape not compared",
            "if not shape or input.shape[-len(shape) :] != shape:",
            "if not shape or input.shape[-1] != shape[-1]:",
        ),
    ),
    *mutants(
        "nn/normalization.py",
        "test_fast.py -k Norm",
        (
            "layer_norm: fast, the variance taken for a constant",
            "torch.addcmul(g, x_hat, slope, value=-1, out=c)",
            "torch.addcmul(g, x_hat, slope, value=0, out=c)",
        ),
        (
            "layer_norm: fast, gamma not learned from the first rows",
            "dweight += one @ c",
            "dweight = one @ c",
        ),
        (
            "layer_norm: fast, without gamma",
            "            c.mul_(weight)\n",
            "            c.mul_(1)\n",
        ),
        (
            "layer_norm: fast, beta without gamma",
            "torch.addcmul(bias, c, weight, out=c)",
            "torch.add(bias, c, out=c)",
        ),
    ),
]
