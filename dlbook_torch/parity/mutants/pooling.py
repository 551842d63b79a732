"""Mistakes in pooling (notes 7.2)."""

from .base import Mutant, mutants, quick

MUTANTS: list[Mutant] = [
    *mutants(
        "nn/pooling.py",
        quick("-MaxPool2d- or test_max_pool or test_pooling", "test_nn.py test_pooling.py"),
        (
            "max_pool: a tie to the last",
            "larger.lt_(pixel).add_(",
            "larger.le_(pixel).add_(",
        ),
        (
            "max_pool: padding with 0",
            "lowest = -torch.inf if x.is_floating_point()",
            "lowest = 0.0 if x.is_floating_point()",
        ),
        (
            "max_pool: nan has no place",
            "larger.lt_(pixel).add_(pixel.ne_(pixel))",
            "larger.lt_(pixel)",
        ),
        (
            "max_pool: overlapping windows overwrite their gradients",
            "pixels.scatter_add_(",
            "pixels.scatter_(",
        ),
        (
            "max_pool: first cell of a window in the margin, dilation forgotten",
            ".clamp(min=0).add(d - 1) // d",
            ".clamp(min=0) // d",
        ),
        (
            "max_pool: only the first piece of the batch",
            "for i in range(0, max(1, len(x)), n):",
            "for i in range(0, 1, n):",
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
            "max_pool: the input overwritten",
            "best, where = y[first].clone(), cell[first]",
            "best, where = y[first], cell[first]",
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
        (
            "avg_pool: = for += in the gradient",
            "if window.extent(axis) > window.stride[axis]:",
            "if False:",
        ),
        (
            "avg_pool: divisor_override of 0 allowed",
            "if divisor_override == 0:",
            "if divisor_override == -1:",
        ),
    ),
    *mutants(
        "nn/pooling.py",
        "test_pooling.py -k compiled",
        (
            "max_pool: a tie to the last, where it is compiled",
            "larger = (y[tap] > best) | ",
            "larger = (y[tap] >= best) | ",
        ),
    ),
    *mutants(
        "nn/average_pooling.py",
        "test_pooling.py -k compiled",
        (
            "avg_pool: windows taken for tiles, where it is compiled",
            "return window.kernel == window.stride and ",
            "return ",
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
            "adaptive pool: one pixel too many in the mean",
            "count = ((i + 1) * n + m - 1) // max(m, 1) - i * n // max(m, 1)",
            "count = ((i + 1) * n + m - 1) // max(m, 1) - i * n // max(m, 1) + 1",
        ),
        (
            "adaptive pool: None as 1",
            "tuple(n if m is None else m for",
            "tuple(1 if m is None else m for",
        ),
        (
            "adaptive pool: cells meet in another order than they stand in",
            "order = [2 * i for i in order] + [2 * i + 1 for i in order]",
            "order = list(range(2 * len(order)))",
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
