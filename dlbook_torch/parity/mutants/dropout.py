"""Mistakes in dropout (notes 6.5)."""

from .base import Mutant, mutants, quick

MUTANTS: list[Mutant] = [
    *mutants(
        "nn/dropout.py",
        quick("-Dropout- or test_dropout"),
        (
            "dropout: scaled at test time",
            "not input.numel():\n        return input\n",
            "not input.numel():\n        return input if training else input * (1 - p)\n",
        ),
        ("dropout: survivors not scaled", ".bernoulli_(1 - p).div_(1 - p)", ".bernoulli_(1 - p)"),
        (
            "dropout: survivors scaled by p",
            ".bernoulli_(1 - p).div_(1 - p)",
            ".bernoulli_(1 - p).div_(p)",
        ),
        ("dropout: keeps with probability p", "mask.bernoulli_(1 - p)", "mask.bernoulli_(p)"),
        (
            "dropout: active in evaluation",
            "return dropout(input, self.p, self.training, ",
            "return dropout(input, self.p, True, ",
        ),
        (
            "dropout: switched by the grad mode",
            "return dropout(input, self.p, self.training, ",
            "return dropout(input, self.p, torch.is_grad_enabled(), ",
        ),
        (
            "dropout: 0 / 0 at p = 1",
            "    if p == 1:\n        mask = input",
            "    if p == 2:\n        mask = input",
        ),
        ("dropout: gradient not masked", "return dy * mask, None, None", "return dy, None, None"),
        (
            "dropout: one mask for all samples",
            "_drawn(torch.empty_like(input), p)",
            "_drawn(torch.empty_like(input[:1]), p).expand_as(input).clone()",
        ),
        (
            "dropout: inplace ignored",
            "written_over(x, _Dropout, mask) if inplace else ",
            "",
        ),
        ("dropout: any p above 0", "if not 0 <= p <= 1:", "if p < 0:"),
    ),
    *mutants(
        "nn/dropout.py",
        "test_dropout.py -k 'default or every or independent or tiny or compiled or exported'",
        (
            "dropout: one number of 65536 too many",
            "else short.ge_(least)",
            "else short.gt_(least)",
        ),
        (
            "dropout: numbers of 63 bits, so that every fourth is never negative",
            ".random_(-(2**63), None)",
            ".random_()",
        ),
        (
            "dropout: scaled by p itself where the mask's is rounded",
            ".mul_(2**16 / (2**16 - silent))",
            ".mul_(1 / (1 - p))",
        ),
        ("dropout: 16 bits for any p", "2**-7 <= p <= 1 - 2**-7", "True"),
        (
            "dropout: 16 bits in every compiled graph",
            "(eager(x) or compiled(x))",
            "(eager(x) or torch.compiler.is_compiling())",
        ),
        (
            "dropout: 16 bits in an exported graph",
            "(eager(x) or compiled(x))",
            "(eager(x) or torch.compiler.is_exporting())",
        ),
        (
            "dropout: truth values turned round in a compiled graph",
            "short.ge(least).view(torch.uint8) if traced",
            "short.lt(least).view(torch.uint8) if traced",
        ),
        (
            "dropout: every number used twice",
            "torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None)",
            "torch.empty(-(-n // 8), dtype=torch.int64).random_(-(2**63), None)"
            ".repeat_interleave(2)",
        ),
    ),
    *mutants(
        "nn/dropout.py",
        "test_dropout.py",
        (
            "channel dropout: single elements dropped",
            "x.new_empty(x.shape[:leading] + (1,) * (x.dim() - leading))",
            "x.new_empty(x.shape)",
        ),
        (
            "channel dropout: the same channels of every sample",
            "x.new_empty(x.shape[:leading] + (1,) * (x.dim() - leading))",
            "x.new_empty(x.shape[leading - 1 : leading] + (1,) * (x.dim() - leading))",
        ),
        (
            "channel dropout: scaled at test time",
            "not training or not x.numel():\n        return x\n",
            "not training or not x.numel():\n        return x if training else x * (1 - p)\n",
        ),
        (
            "channel dropout: a sample without its batch taken for a batch",
            "leading = 2 if batched else 1",
            "leading = 2",
        ),
        (
            "dropout2d: a 3D input taken for a sample without its batch",
            "return _channel_dropout(input, p, training, inplace)\n",
            "return _channel_dropout(input, p, training, inplace, input.dim() != 3)\n",
        ),
    ),
]
