"""Mistakes in the convolutions and in the geometry of windows (notes 7.1)."""

from .base import Mutant, mutants

MUTANTS: list[Mutant] = [
    *mutants(
        "nn/conv.py",
        "test_nn.py -k Conv2d",
        (
            "col2im: = for +=",
            "padded[tap] += columns[:, :, k]",
            "padded[tap] = columns[:, :, k]",
        ),
        (
            "conv: the filter flipped",
            "image, w = x.shape[2:], weight.flatten(1).unflatten",
            "image, w = x.shape[2:], weight.flip(-1, -2).flatten(1).unflatten",
        ),
        (
            "conv: strides of the axes swapped",
            "Window(kernel, stride, ",
            "Window(kernel, stride[::-1], ",
        ),
        (
            "conv: paddings of the axes swapped",
            "margins(padding, kernel, stride, dilation), dilation)",
            "margins(padding, kernel, stride, dilation)[::-1], dilation)",
        ),
        (
            "conv: dilations of the axes swapped",
            "margins(padding, kernel, stride, dilation), dilation)",
            "margins(padding, kernel, stride, dilation), dilation[::-1])",
        ),
        (
            "conv: groups mixed up",
            "y = w @ im2col(part, window).unflatten(1, (groups, -1))",
            "y = w @ im2col(part, window).unflatten(1, (-1, groups)).transpose(1, 2)",
        ),
        (
            "conv: groups mixed up in the gradient of the filters",
            "(dpart.flatten(2).unflatten(1, (groups, -1)) @ ",
            "(dpart.flatten(2).unflatten(1, (-1, groups)).transpose(1, 2) @ ",
        ),
        (
            "conv: bias gradient a mean over the images",
            "dy.flatten(2).sum((0, 2)) if db",
            "dy.flatten(2).sum(2).mean(0) if db",
        ),
        (
            "conv: second derivative without the filters",
            "_ConvolveWeight.apply(ddx, dy, *ctx.how),",
            "None,",
        ),
        (
            'padding="same": the odd pixel before',
            "(total // 2, total - total // 2)",
            "(total - total // 2, total // 2)",
        ),
        (
            'padding="same": dilation forgotten',
            "totals = [d * (k - 1) for",
            "totals = [k - 1 for",
        ),
        (
            "padding reflect: the edge repeated",
            "index = (n - 1) - ((n - 1) - index.abs()).abs()",
            "index = torch.where(index < 0, -1 - index, index)\n"
            "            index = torch.where(index < n, index, 2 * n - 1 - index)",
        ),
        ("padding circular: off by one", "index = index % n", "index = (index + 1) % n"),
        (
            "padding replicate: wrapped around",
            "index = index.clamp(0, n - 1)",
            "index = index % n",
        ),
        ("conv: unbatched output loses axes of one", "else y.squeeze(0)", "else y.squeeze()"),
        (
            "conv: filters created as (in, out)",
            "shape = (out_channels, in_channels // groups, *self.kernel_size)",
            "shape = (in_channels, out_channels // groups, *self.kernel_size)",
        ),
    ),
    *mutants(
        "nn/conv.py",
        "test_nn.py -k pieces",
        (
            "conv: chunking loses the last piece",
            "(batch.split(n) for batch in batches)",
            "(batch[: max(n, len(batch) - 1)].split(n) for batch in batches)",
        ),
        (
            "conv: only the last piece counts for the filters",
            "return reduce(torch.add, dw)",
            "return reduce(lambda _, last: last, dw)",
        ),
    ),
    *mutants(
        "nn/geometry.py",
        "test_nn.py -k 'Conv2d or Pool2d or output_size'",
        (
            "window: dilation ignored between the cells",
            "slice(i * d, i * d + (n - 1) * s + 1, s)",
            "slice(i, i + (n - 1) * s + 1, s)",
        ),
        (
            "window: dilation ignored in the extent",
            "return self.dilation[axis] * (self.kernel[axis] - 1) + 1",
            "return self.kernel[axis]",
        ),
        (
            "window: margin before in place of the one after",
            "room = size + before + after - ",
            "room = size + 2 * before - ",
        ),
        (
            "window: ceil instead of floor",
            "return room // stride + 1",
            "return -(-room // stride) + 1",
        ),
        (
            "window: ceil_mode lets a window start in the far margin",
            "return n if (n - 1) * stride < ceil_edge else n - 1",
            "return n",
        ),
        (
            "window: ceil_mode off by one at the edge",
            "* stride < ceil_edge",
            "* stride <= ceil_edge",
        ),
    ),
    *mutants(
        "nn/geometry.py",
        "test_nn.py -k output_size",
        (
            "output_size: dilation ignored",
            "room = size + 2 * padding - dilation * (kernel - 1) - 1",
            "room = size + 2 * padding - kernel",
        ),
        (
            "output_size: padding on one side",
            "room = size + 2 * padding - ",
            "room = size + padding - ",
        ),
        (
            "output_size: ceil_mode ignored",
            "size + padding if ceil_mode else None",
            "None",
        ),
    ),
]
