"""Mistakes in pooling (notes 7.2)."""

from .base import Mutant, mutants, quick

MUTANTS: list[Mutant] = [
    *mutants(
        "nn/pooling.py",
        quick("-MaxPool2d- or test_max_pool or test_pooling", "test_nn.py test_pooling.py"),
        (
            "max_pool: a tie to the last",
            "larger = (pixel > best) | ",
            "larger = (pixel >= best) | ",
        ),
        (
            "max_pool: padding with 0",
            "lowest = -torch.inf if x.is_floating_point()",
            "lowest = 0.0 if x.is_floating_point()",
        ),
        ("max_pool: nan has no place", "(pixel > best) | (pixel != pixel)", "pixel > best"),
        (
            "max_pool: overlapping windows overwrite their gradients",
            "dx.scatter_add(",
            "dx.scatter(",
        ),
        (
            "max_pool: first index of a window in the margin, dilation forgotten",
            "torch.where(start < 0, start % d, start)",
            "start.clamp(min=0)",
        ),
        (
            "max_pool: indices into a row",
            "index = index.unsqueeze(-1) * size + axis",
            "index = index.unsqueeze(-1) + axis",
        ),
        (
            "max_pool: cells counted by columns",
            "y, cell, step = best, where, step * (1 + len(others))",
            "y, cell, step = best, where, step * len(others)",
        ),
        (
            "max_pool: dilation forgotten in the indices",
            "torch.arange(k, device=cell.device) * d",
            "torch.arange(k, device=cell.device)",
        ),
        (
            "max_pool: large windows counted in bytes",
            "torch.uint8 if prod(window.kernel) <= 256 else",
            "torch.uint8 if prod(window.kernel) <= 2560 else",
        ),
        (
            "pool: stride 1 unless said otherwise",
            "steps = kernel if stride in (None, (), []) else",
            "steps = (1,) * rank if stride in (None, (), []) else",
        ),
        (
            "pool: padding up to half of the dilated kernel",
            "for k, p in zip(kernel, pads, strict=True):\n        if not 0 <= p <= k // 2:",
            "for k, p, d in zip(kernel, pads, gaps, strict=True):\n"
            "        if not 0 <= p <= (d * (k - 1) + 1) // 2:",
        ),
        ("pool: ceil_mode ignored", "for p in pads), gaps, ceil_mode)", "for p in pads), gaps)"),
        (
            "pool: a view of the input as output",
            "return y if others else y.clone(), cell",
            "return y, cell",
        ),
    ),
    *mutants(
        "nn/average_pooling.py",
        quick("-AvgPool2d-"),
        ("avg_pool: count_include_pad ignored", "if not count_include_pad:", "if False:"),
        ("avg_pool: margins never counted", "if not count_include_pad:", "if True:"),
        (
            "avg_pool: divisor_override ignored",
            "K = divisor_override or _cells(",
            "K = _cells(",
        ),
        (
            "avg_pool: a hanging window divided by its whole area",
            "end = (start + kernel).clamp(max=size + after)",
            "end = start + kernel",
        ),
        ("avg_pool: = for += in the gradient", "dx[tap] += dy", "dx[tap] = dy"),
        (
            "avg_pool: divisor_override of 0 allowed",
            "if divisor_override == 0:",
            "if divisor_override == -1:",
        ),
    ),
    *mutants(
        "nn/average_pooling.py",
        "test_pooling.py",
        (
            "avg_pool: means of integers rounded down",
            'rounding_mode="trunc"',
            'rounding_mode="floor"',
        ),
        (
            "avg_pool: half precision added up in half precision",
            "_SumPooling.apply(x.to(wide_type(x.dtype)), window)",
            "_SumPooling.apply(x, window)",
        ),
    ),
    *mutants(
        "nn/adaptive_pooling.py",
        quick("Adaptive"),
        (
            "adaptive pool: windows end at the floor",
            "first, last = i * n // m, ((i + 1) * n - 1) // m",
            "first, last = i * n // m, (i + 1) * n // m - 1",
        ),
        (
            "adaptive pool: repeated pixels counted in the mean",
            "windows.masked_fill(beyond, 0).sum(axis) / (beyond.shape[1] - beyond.sum(1))",
            "windows.sum(axis) / beyond.shape[1]",
        ),
        (
            "adaptive pool: None as 1",
            "tuple(n if m is None else m for",
            "tuple(1 if m is None else m for",
        ),
        (
            "adaptive pool: indices into the spread image",
            "index = places(cell, window, x.shape[-rank:])  # in the spread image",
            "return y, places(cell, window, x.shape[-rank:])",
        ),
    ),
    *mutants(
        "nn/unpooling.py",
        quick("MaxUnpool or unpool", "test_nn.py test_pooling.py"),
        (
            "unpool: padding forgotten in the size",
            "tuple((n - 1) * s + k - 2 * p for",
            "tuple((n - 1) * s + k for",
        ),
        (
            "unpool: batch and channels in output_size not dropped",
            "wanted = wanted[2:] if len(wanted) == len(kernel) + 2 else wanted",
            "wanted = wanted[-len(kernel) - 1 :]",
        ),
        (
            "unpool: any output_size",
            "if any(abs(m - n) >= s for",
            "if any(abs(m - n) > 99 for",
        ),
        (
            "unpool: equal places added up",
            "y = x.new_zeros(shape).scatter(",
            "y = x.new_zeros(shape).scatter_add(",
        ),
        (
            "unpool: stride 1 unless said otherwise",
            "steps = kernel if stride is None else",
            "steps = (1,) * rank if stride is None else",
        ),
    ),
]
