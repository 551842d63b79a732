"""Mistakes in the convolutions and in the geometry of windows (notes 7.1)."""

from .base import Mutant, mutants, quick

MUTANTS: list[Mutant] = [
    *mutants(
        "nn/fold.py",
        quick("-Conv2d- or -Fold- or -Unfold-"),
        ("col2im: = for +=", "steps.add_(t.narrow", "steps.copy_(t.narrow"),
        (
            "unfold: kernel cells before channels",
            "t, cells = (t.transpose(0, 1), 1) if self.side_by_side else (t, 2)",
            "t, cells = (t.transpose(0, 1), 1) if self.side_by_side else (t, 1)",
        ),
        (
            "fold: gradient without the padding",
            "return _Unfold.apply(dx, ctx.window), None, None",
            "return _Unfold.apply(dx, ctx.window._replace(padding=((0, 0),) * 2)), None, None",
        ),
        (
            "fold: overlapping pixels averaged in pairs",
            "return col2im(columns, image, window).clone()",
            "return col2im(columns, image, window) / 2",
        ),
    ),
    *mutants(
        "nn/conv.py",
        quick("-Conv2d-"),
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
            "conv: bias gradient a mean over the images",
            "dy.sum((0, *range(2, dy.dim()))) if db",
            "dy.sum((*range(2, dy.dim()),)).mean(0) if db",
        ),
        (
            "conv: second derivative without the filters",
            "_ConvolveWeight.apply(ddx, dy, *ctx.how) if dw else None",
            "None",
        ),
        (
            "conv: second derivative without the input",
            "_ConvolveInput.apply(dy, ddw, None, x.shape[2:], *ctx.how) if dx else None",
            "None",
        ),
        ("conv: unbatched output loses axes of one", "else y.squeeze(0)", "else y.squeeze()"),
        (
            "conv: filters created as (in, out)",
            "[:: -1 if self.transposed else 1]",
            "[:: 1 if self.transposed else -1]",
        ),
        (
            "conv: padded twice unless with zeros",
            "input, padding = extend(input, around, self.padding_mode), 0",
            "input = extend(input, around, self.padding_mode)",
        ),
    ),
    *mutants(
        "nn/conv_unfold.py",
        quick("-Conv2d-"),
        (
            "conv: the filter flipped",
            "image, w = x.shape[2:], filters_of(weight, groups)",
            "image, w = x.shape[2:], filters_of(weight.flip(-1), groups)",
        ),
        (
            "conv: groups mixed up among the filters",
            "return exact(weight).flatten(1).unflatten(0, (groups, -1))",
            "return exact(weight).flatten(1).unflatten(0, (-1, groups)).transpose(0, 1)",
        ),
    ),
    *mutants(
        "nn/conv_unfold.py",
        quick("pieces"),
        (
            "conv: chunking loses the last piece",
            "zip(*[batch.split(max(1, n)) for batch in batches], strict=True)",
            "zip(*[batch[: max(1, n, len(batch) - 1)].split(max(1, n)) for batch in batches])",
        ),
    ),
    *mutants(
        "nn/conv_unfold.py",
        "test_conv.py",
        (
            "conv: the whole batch unfolded at once",
            "n = room // max(1, numbers * wide_type(batches[0].dtype).itemsize)",
            "n = len(batches[0])",
        ),
        (
            "conv: padded images forgotten in the bound of memory",
            "numbers = max(channels * cells * positions, channels * padded, filters * positions)",
            "numbers = filters * positions",
        ),
        (
            "conv: half precision multiplied in half precision",
            'if t.device.type == "cpu" else t',
            'if t.device.type == "gpu" else t',
        ),
        (
            "conv: pieces of half precision added up in half precision",
            "return (columns.of(part) @ d.mT).sum(0, dtype=wide_type(x.dtype))",
            "return (columns.of(part) @ d.mT).sum(0).to(x.dtype)",
        ),
    ),
    *mutants(
        "nn/conv_ways.py",
        "test_conv_ways.py -k 'taken or plain or asked or went or enlarged'",
        (
            "conv: short cuts in every type of number",
            "if plain or x.dtype != torch.float32 or ",
            "if plain or ",
        ),
        (
            "conv: a way gone where it cannot be",
            'if name == "unfold" or WAYS[name].suits(weight, window, groups) else',
            "if True else",
        ),
    ),
    *mutants(
        "nn/conv_ways.py",
        "test_conv_ways.py -k 'compiler_calls or operators_of or went'",
        (
            "conv: a compiler looks into every way",
            "return compiled(x) and",
            "return False and",
        ),
        (
            "conv: a compiler looks into no way",
            'chosen("convolution") == "unfold" or 0',
            "0",
        ),
        (
            "conv: the backward of a compiled one chooses its way anew",
            'name = choice or chosen("convolution")',
            'name = chosen("convolution")',
        ),
        (
            "conv: the operator mixes up the margins",
            "zip(margins[::2], margins[1::2], strict=True)",
            "zip(margins[:rank], margins[rank:], strict=True)",
        ),
        (
            "conv: the operator takes the dilation for the stride",
            "return Window(kernel, tuple(stride), around, tuple(dilation)), how[-1]",
            "return Window(kernel, tuple(dilation), around, tuple(dilation)), how[-1]",
        ),
        (
            "conv: the operator says that channels never lie last",
            "strides_of(shape, channels_last(x) or channels_last(weight))",
            "strides_of(shape, False)",
        ),
    ),
    *mutants(
        "nn/conv.py",
        "test_conv_ways.py -k 'taken or plain or asked or went or enlarged'",
        (
            "conv: backward chooses its way anew",
            'at_once = getattr(WAYS[ctx.how[0]], "gradients", None)',
            'at_once = getattr(WAYS["unfold"], "gradients", None)',
        ),
        (
            "conv: algorithm forgets the padding",
            "x, weight, *how = self._operands(input)",
            "x, weight, *how = input, *self._operands(input)[1:]",
        ),
    ),
    *mutants(
        "nn/conv_unfold.py",
        "test_conv_ways.py -k 'one_set'",
        (
            "unfold: columns of dy as if it lay like x",
            "(n - before, n - after) for n",
            "(before, after) for n",
        ),
        (
            "unfold: filters not turned round",
            "w = weight.flip(axes).unflatten",
            "w = weight.unflatten",
        ),
        (
            "unfold: the gradient of the filters not turned back",
            ".flatten(0, 1).flip(axes)",
            ".flatten(0, 1)",
        ),
        (
            "unfold: at stride 2 too",
            "set(window.stride) == {1} and",
            "True and",
        ),
        (
            "unfold: the columns of the piece before",
            "self.target.copy_(self.windows.of(x))",
            "self.windows.of(x)",
        ),
        (
            "unfold: the last piece alone counts for the filters",
            "dw[:] = [dw[0].add_(term) if dw else term]\n        return images_of",
            "dw[:] = [term]\n        return images_of",
        ),
    ),
    *mutants(
        "nn/conv_unfold.py",
        "test_conv_ways.py -k told",
        (
            "unfold: images with margins taken for their own columns",
            "margins == {0} and not more",
            "not more",
        ),
    ),
    *mutants(
        "nn/conv_ones.py",
        "test_conv_ways.py -k '(ones and (numbers or strided)) or at_once'",
        (
            "conv by ones: the bias counts twice",
            "self.columns[:, :, -1] = 1",
            "self.columns[:, :, -1] = 2",
        ),
        (
            "conv by ones: the gradient of the bias is another weight's",
            "t[:, -1].clone()",
            "t[:, -2].clone()",
        ),
    ),
    *mutants(
        "nn/conv_winograd.py",
        "test_conv_ways.py -k '(winograd and (numbers or summed)) or at_once or line or told'",
        (
            "winograd: tiles that overlap written over each other",
            "return overlap(t, -2, 0, (t.shape[2] - 1) * m + len(t), m)",
            "return overlap(t[:m], -2, 0, (t.shape[2] - 1) * m + len(t), m)",
        ),
        (
            "winograd: rows and columns of the filters swapped",
            "(g[None, :, :, None] * g[:, None, None, :])",
            "(g[:, None, :, None] * g[None, :, None, :])",
        ),
        (
            "winograd: the padding ignored",
            "[before for before, _ in window.padding]",
            "[0 for _ in window.padding]",
        ),
        (
            "winograd: the padding after used before",
            "[before for before, _ in window.padding]",
            "[after for _, after in window.padding]",
        ),
        (
            "winograd: one piece alone counts for the filters",
            "dw[:] = [dw[0].add_(term) if dw else term]",
            "dw[:] = [term]",
        ),
        (
            "winograd: half of a large filter's points for all of them",
            "for rows in self.g.split(self.step):",
            "for rows in [self.g[: self.step]] * (len(self.g) // self.step):",
        ),
        (
            "winograd: the usual points, less exact",
            "SIX = (0, 3 / 5, -3 / 5, 5 / 3, -5 / 3)",
            "SIX = (0, 1, -1, 4, -4)",
        ),
        (
            "winograd: 8 usual points, less exact",
            "EIGHT = (0, 11 / 20, -11 / 20, 1, -1, 5 / 3, -5 / 3)",
            "EIGHT = (0, 1, -1, 2, -2, 3, -3)",
        ),
        (
            "winograd: kernels slid two pixels at a time too",
            "and window.stride == window.dilation == (1, 1)",
            "and window.dilation == (1, 1)",
        ),
    ),
    *mutants(
        "nn/fold.py",
        quick("-Conv2d-"),
        (
            "conv: groups mixed up",
            "return t.unflatten(1, (groups, -1))",
            "return t.unflatten(1, (-1, groups)).transpose(1, 2)",
        ),
        (
            "conv: images mixed up with positions",
            "return t[0].unflatten(1, (n, *positions)).transpose(0, 1)",
            "return t[0].unflatten(1, (*positions, n)).movedim(-1, 0)",
        ),
    ),
    *mutants(
        "nn/fold.py",
        quick("pieces"),
        (
            "conv: only the last piece counts for the filters",
            "whole = y if whole is None else whole.add_(y)",
            "whole = y",
        ),
        (
            "conv: pieces written over each other",
            "        start += y.shape[0]\n",
            "",
        ),
    ),
    *mutants(
        "nn/fold.py",
        "test_conv.py -k channels_last",
        (
            "conv: channels-last output in another order",
            "return t.dim() > 3 and strides",
            "return t.dim() > 9 and strides",
        ),
    ),
    *mutants(
        "nn/_precision.py",
        "test_conv.py -k autocast",
        (
            "conv: autocast inside the products too",
            "return cast(*operands), torch.autocast(device, enabled=False)",
            "return cast(*operands), nullcontext()",
        ),
    ),
    *mutants(
        "nn/conv_transpose.py",
        quick("ConvTranspose"),
        (
            "conv_transpose: output_padding ignored",
            "reach = tuple((p, p - extra) for",
            "reach = tuple((p, p) for",
        ),
        (
            "conv_transpose: output_padding at the near edge",
            "reach = tuple((p, p - extra) for",
            "reach = tuple((p - extra, p) for",
        ),
        (
            "conv_transpose: dilation forgotten in the output size",
            "(n - 1) * s + window.extent(axis) - before - after",
            "(n - 1) * s + window.kernel[axis] - before - after",
        ),
        (
            "conv_transpose: output_padding up to the stride only",
            "if not 0 <= extra < max(s, d):",
            "if not 0 <= extra < s:",
        ),
        (
            "conv_transpose: output_padding of any size",
            "if not 0 <= extra < max(s, d):",
            "if extra < 0:",
        ),
        (
            "conv_transpose: bias forgotten",
            "y = _ConvolveInput.apply(x, weight, bias, image, way, window, groups)",
            "y = _ConvolveInput.apply(x, weight, None, image, way, window, groups)",
        ),
        (
            "conv_transpose: output_size ignored",
            "if output_size is None:",
            "if output_size is None or self.output_padding:",
        ),
    ),
    *mutants(
        "nn/conv_transpose.py",
        "test_conv.py -k output_size",
        (
            "conv_transpose: dilation forgotten for output_size",
            "- 2 * p + d * (k - 1) + 1 for",
            "- 2 * p + k for",
        ),
    ),
    *mutants(
        "nn/padding.py",
        quick("-Conv2d-"),
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
        (
            "padding reflect: as wide as the image",
            'n - (mode == "reflect")',
            "n",
        ),
    ),
    *mutants(
        "nn/geometry.py",
        quick("-Conv2d- or -MaxPool2d- or -AvgPool2d- or test_output_size"),
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
        "test_pooling.py -k compiled",
        (
            "window: dilation ignored between the cells",
            "slice(i * d, i * d + (n - 1) * s + 1, s)",
            "slice(i, i + (n - 1) * s + 1, s)",
        ),
    ),
    *mutants(
        "nn/geometry.py",
        quick("test_output_size"),
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
        ("output_size: ceil_mode ignored", "size + padding if ceil_mode else None", "None"),
    ),
    *mutants(
        "nn/geometry.py",
        "test_conv.py -k receptive",
        (
            "receptive_field: the jump not multiplied",
            "tuple(j * s for j, s in zip(jump, stride, strict=True)),",
            "stride,",
        ),
        ("receptive_field: dilation forgotten", "r + j * (k - 1) * d for", "r + j * (k - 1) for"),
        ("receptive_field: padding unscaled by the jump", "s - j * p for", "s - p for"),
        (
            "receptive_field: a window behind the head accepted",
            "if rank is not None and not head:",
            "if rank is not None:",
        ),
    ),
]
