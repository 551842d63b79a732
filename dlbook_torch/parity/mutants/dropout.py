"""Mistakes in dropout (notes 6.5)."""

from .base import Mutant, mutants

MUTANTS: list[Mutant] = [
    *mutants(
        "nn/dropout.py",
        "test_nn.py -k dropout",
        (
            "dropout: scaled at test time",
            "        return input\n",
            "        return input if training else input * (1 - p)\n",
        ),
        ("dropout: survivors not scaled", "mask if p == 1 else mask.div_(1 - p)", "mask"),
        ("dropout: survivors scaled by p", "else mask.div_(1 - p)", "else mask.div_(p)"),
        ("dropout: keeps with probability p", ".bernoulli_(1 - p)", ".bernoulli_(p)"),
        ("dropout: active in evaluation", "self.p, self.training, ", "self.p, True, "),
        (
            "dropout: switched by the grad mode",
            "self.p, self.training, ",
            "self.p, torch.is_grad_enabled(), ",
        ),
        ("dropout: 0 / 0 at p = 1", "mask if p == 1 else mask.div_(1 - p)", "mask.div_(1 - p)"),
        ("dropout: gradient not masked", "return dy * mask, None, None", "return dy, None, None"),
        (
            "dropout: one mask for all samples",
            "torch.empty_like(input).bernoulli_(1 - p)",
            "torch.empty_like(input[:1]).bernoulli_(1 - p).expand_as(input).clone()",
        ),
        ("dropout: inplace ignored", "mask.div_(1 - p), inplace)", "mask.div_(1 - p), False)"),
        (
            "dropout: the function takes any p",
            '"""See :class:`Dropout`."""\n    if not 0 <= p <= 1:',
            '"""See :class:`Dropout`."""\n    if p < 0:',
        ),
    ),
]
