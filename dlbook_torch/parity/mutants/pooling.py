"""Mistakes in pooling (notes 7.2)."""

from .base import Mutant, mutants

FILE = "nn/pooling.py"

MUTANTS: list[Mutant] = [
    *mutants(
        FILE,
        "test_nn.py -k '(MaxPool2d or max_pool or pooling) and not handwritten'",
        ("max_pool: a tie to the last", "(pixel > best) | ", "(pixel >= best) | "),
        (
            "max_pool: padding with 0",
            "window.padded(image)), -torch.inf)",
            "window.padded(image)), 0)",
        ),
        ("max_pool: nan loses", "(pixel > best) | pixel.isnan()", "pixel > best"),
        (
            "max_pool: overlapping windows overwrite their gradients",
            "dx.scatter_add(",
            "dx.scatter(",
        ),
        (
            "max_pool: indices into the padded image",
            "here = torch.arange(prod(image), device=x.device).view(image)",
            "here = torch.arange(prod(window.padded(image))).view(window.padded(image))\n"
            "        here = here[window.inside(image)]",
        ),
        (
            "max_pool: first index of a window in the margin, dilation forgotten",
            "torch.where(start < 0, start % dilation, start)",
            "start.clamp(min=0)",
        ),
        (
            "max_pool: indices not returned",
            "if return_indices else pooled[0]",
            "if False else pooled[0]",
        ),
        (
            "pool: stride 1 unless said otherwise",
            "steps = kernel if stride in (None, (), []) else",
            "steps = (1,) * rank if stride in (None, (), []) else",
        ),
        ("pool: ceil_mode ignored", "for p in pads), gaps, ceil_mode)", "for p in pads), gaps)"),
    ),
    *mutants(
        FILE,
        "test_nn.py -k AvgPool2d",
        ("avg_pool: count_include_pad ignored", "if not count_include_pad:", "if False:"),
        ("avg_pool: margins never counted", "if not count_include_pad:", "if True:"),
        ("avg_pool: divisor_override ignored", "if divisor_override is not None:", "if False:"),
        (
            "avg_pool: a hanging window divided by its whole area",
            "end = (start + kernel).clamp(max=size + after)",
            "end = start + kernel",
        ),
        ("avg_pool: = for += in the gradient", "padded[tap] += dy", "padded[tap] = dy"),
        (
            "avg_pool: divisor_override of 0 allowed",
            "if divisor_override == 0:",
            "if divisor_override == -1:",
        ),
    ),
]
