"""Mistakes in the perceptron and the activations (notes 2, 3.2, 3.4)."""

from .base import Mutant, mutants, quick

FILE = "nn/activation.py"

MUTANTS: list[Mutant] = [
    *mutants(
        "nn/perceptron.py",
        "test_perceptron.py",
        (
            "step: fires at the threshold",
            "return (x > 0).to(x.dtype)",
            "return (x >= 0).to(x.dtype)",
        ),
        (
            "perceptron: turns away from the truth",
            "error = t_n - self(x_n)",
            "error = self(x_n) - t_n",
        ),
        ("perceptron: the bias never learns", "self.bias.add_(lr * error)", "self.bias.add_(0.0)"),
        (
            "perceptron: NAND in the place of OR",
            "NAND(device, dtype), OR(",
            "OR(device, dtype), OR(",
        ),
    ),
    *mutants(
        FILE,
        quick("-Sigmoid-"),
        (
            "sigmoid: a form that overflows to nan",
            "exp(wide(x), -1).add_(1).reciprocal_()",
            "exp(wide(x)) / (1 + exp(wide(x)))",
        ),
        (
            "sigmoid: gradient 0 at 0",
            "return (d * y * (1 - y)).to(dy.dtype)",
            "return (d * y * (1 - y) * (y != 0.5)).to(dy.dtype)",
        ),
        (
            "sigmoid: second derivative of a constant",
            "return (d * y * (1 - y)).to(dy.dtype)",
            "return (d * (y * (1 - y)).detach()).to(dy.dtype)",
        ),
    ),
    *mutants(
        FILE,
        quick("-Tanh- or test_tanh"),
        (
            "tanh: nan at large x",
            "z = torch.expm1(x.abs().mul_(-2))",
            "z = -torch.expm1(x.abs() * 2) / torch.exp(x.abs() * 2)",
        ),
        (
            "tanh: inexact near 0",
            "z = torch.expm1(x.abs().mul_(-2))",
            "z = torch.exp(x.abs().mul_(-2)).sub_(1)",
        ),
        (
            "tanh: the sign of -0 lost",
            "torch.copysign(z / (z + 2), x)",
            "(z / (z + 2) * torch.where(x < 0, 1, -1))",
        ),
        (
            "tanh: derivative 1 - |y|",
            "return (d * (1 - y * y)).to(dy.dtype)",
            "return (d * (1 - y.abs())).to(dy.dtype)",
        ),
    ),
    *mutants(
        FILE,
        quick("-ReLU-"),
        (
            "relu: gradient 0.5 at 0",
            "if inplace else _ReLU.apply(input, False)",
            "if inplace else torch.maximum(input, torch.zeros_like(input))",
        ),
        (
            "relu: gradient 1 at 0",
            "if inplace else _ReLU.apply(input, False)",
            "if inplace else torch.where(input.detach() < 0, 0, input + 0)",
        ),
        ("relu: nan lost", "else x.clamp(min=0)", "else torch.where(x > 0, x, 0)"),
        ("relu: inplace ignored", "return relu(input, self.inplace)", "return relu(input)"),
        (
            "relu: what is cut off gets a gradient",
            "dy.masked_fill(y <= 0, 0)",
            "dy.masked_fill(y < 0, 0)",
        ),
    ),
    *mutants(
        FILE,
        quick("-Softmax- or -LogSoftmax- or -Softmin- or test_softmax"),
        (
            "softmax: without the maximum",
            "e = exp(a - a.amax(dim, keepdim=True))",
            "e = exp(a)",
        ),
        (
            "softmax: the maximum of the whole batch",
            "e = exp(a - a.amax(dim, keepdim=True))",
            "e = exp(a - a.amax())",
        ),
        (
            "softmax: fast, without the maximum",
            "exp(torch.sub(part, part.amax(dim, keepdim=True), out=e), out=e)",
            "exp(part, out=e)",
        ),
        (
            "log_softmax: fast, without the maximum",
            "torch.sub(part, part.amax(dim, keepdim=True), out=out)",
            "out.copy_(part)",
        ),
        (
            "softmax: backward without the inner product",
            "(y * (d - (d * y).sum(ctx.dim, keepdim=True)))",
            "(y * d)",
        ),
        (
            "softmax: inner product along the last axis",
            "(y * (d - (d * y).sum(ctx.dim, keepdim=True)))",
            "(y * (d - (d * y).sum(-1, keepdim=True)))",
        ),
        ("softmax: another guess of the axis", "in (0, 1, 3) else 1", "in (0, 1) else 1"),
        (
            "softmax: dtype ignored",
            "x = full(input) if dtype is None else input.to(dtype)\n"
            '    return _Softmax.apply(x, _axis("softmax", ',
            'x = full(input)\n    return _Softmax.apply(x, _axis("softmax", ',
        ),
        (
            "softmin: the sign forgotten",
            "return _Softmax.apply(-x, ",
            "return _Softmax.apply(x, ",
        ),
        (
            "log_softmax: sum along the last axis",
            "y.sub_(exp(y).sum(dim, keepdim=True).log_())",
            "y.sub_(exp(y).sum(-1, keepdim=True).log_())",
        ),
        (
            "log_softmax: the logarithm of a probability that rounds to 0",
            "y.sub_(exp(y).sum(dim, keepdim=True).log_())",
            "exp(y).div(exp(y).sum(dim, keepdim=True)).log_()",
        ),
        (
            "log_softmax: backward with x for y",
            "return (d - y.exp() * d.sum(ctx.dim, keepdim=True))",
            "return (d - y * d.sum(ctx.dim, keepdim=True))",
        ),
        (
            "log_softmax: second derivative of a constant",
            "return (d - y.exp() * d.sum(ctx.dim, keepdim=True))",
            "return (d - y.exp().detach() * d.sum(ctx.dim, keepdim=True))",
        ),
        (
            "log_softmax: dtype ignored",
            "x = full(input) if dtype is None else input.to(dtype)\n    return _LogSoftmax",
            "x = full(input)\n    return _LogSoftmax",
        ),
    ),
    *mutants(
        "nn/activation_piecewise.py",
        quick("-Hardtanh- or relu6"),
        (
            "hardtanh: gradient 1 at the bounds",
            "dy.masked_fill((t <= min_val) | (t >= max_val), 0)",
            "dy.masked_fill((t < min_val) | (t > max_val), 0)",
        ),
        (
            "relu6: bend at 5",
            "return hardtanh(input, 0.0, 6.0, inplace)",
            "return hardtanh(input, 0.0, 5.0, inplace)",
        ),
        (
            "relu6: unbounded as a layer",
            "super().__init__(0.0, 6.0, inplace)",
            "super().__init__(0.0, 6.5, inplace)",
        ),
    ),
    *mutants(
        "nn/activation_piecewise.py",
        quick("-LeakyReLU- or -ELU-"),
        (
            "leaky_relu: gradient 1 at 0",
            "torch.where(t > 0, dy, dy * negative_slope)",
            "torch.where(t >= 0, dy, dy * negative_slope)",
        ),
        (
            "leaky_relu: a negative slope allowed in place",
            "if inplace and slope < 0:",
            "if inplace and slope < -9:",
        ),
        (
            "elu: inexact near 0",
            "return torch.expm1(x.clamp(max=0)).mul_(alpha)",
            "return torch.exp(x.clamp(max=0)).sub_(1).mul_(alpha)",
        ),
        (
            "elu: in-place derivative from x",
            "slope = t + alpha if ctx.inplace else",
            "slope = t + 1 if ctx.inplace else",
        ),
        (
            "elu: an inf spoils the second derivative",
            "alpha * torch.exp(t.masked_fill(t >= 0, 0))",
            "alpha * torch.exp(t)",
        ),
    ),
    *mutants(
        "nn/activation_piecewise.py",
        quick("-Hardsigmoid- or -Hardswish-"),
        (
            "hardsigmoid: gradient at the bends",
            "torch.where(x.abs() < 3, ",
            "torch.where(x.abs() <= 3, ",
        ),
        ("hardsigmoid: slope 1/5", "dy / 6, 0)", "dy / 5, 0)"),
        (
            "hardswish: gradient between the bends only",
            ".masked_fill(x >= 3, 1)",
            ".masked_fill(x >= 3, 0)",
        ),
        (
            "hardswish: gradient at the upper bend",
            ".masked_fill(x >= 3, 1)",
            ".masked_fill(x > 3, 1)",
        ),
    ),
    *mutants(
        FILE,
        "test_fast.py",
        (
            "tanh: single precision without the series",
            "return torch.maximum(series, far, out=series)",
            "return far.div_(near.abs().mul_(8)).nan_to_num_(1)",
        ),
        (
            "tanh: the fast derivative of another function",
            "torch.addcmul(y.new_ones(()), y, y, value=-1)",
            "torch.addcmul(y.new_ones(()), y, y, value=-0.99)",
        ),
        (
            "sigmoid: the fast derivative y + y^2",
            "torch.addcmul(y, y, y, value=-1)",
            "torch.addcmul(y, y, y, value=1)",
        ),
        (
            "relu: the sign of nan decides",
            "bits(y).abs().clamp_(0, 1)",
            "bits(y).clamp(0, 1)",
        ),
        (
            "relu: an infinite gradient times 0",
            "chosen_where(bits(y).abs().clamp_(0, 1), dy)",
            "y.sign().mul_(dy)",
        ),
        (
            "softmax: the fast derivative without the inner product",
            "out.addcmul_(p, dot, value=-1)",
            "out.addcmul_(p, dot, value=0)",
        ),
        (
            "softmax: rows of another axis",
            "return -1 if dim == x.dim() - 1 else dim",
            "return -1",
        ),
        (
            "log_softmax: the fast derivative without the sum",
            "exp(log_p, out=out).mul_(dp.sum(dim, keepdim=True))",
            "exp(log_p, out=out)",
        ),
    ),
    *mutants(
        "nn/activation_piecewise.py",
        "test_fast.py",
        ("elu: the fast derivative without alpha", "exp(low).mul_(alpha)", "exp(low)"),
        (
            "hardswish: the fast derivative without its upper bend",
            "return slope.sub_(above, alpha=0.5)",
            "return slope.sub_(above, alpha=0.0)",
        ),
        (
            "hardsigmoid: the fast derivative without its bends",
            "torch.lt(size, bits(",
            "torch.lt(size - 2**30, bits(",
        ),
        (
            "leaky_relu: the fast derivative of a ReLU",
            ".clamp_(min=negative_slope)",
            ".clamp_(min=0)",
        ),
    ),
    *mutants(
        "nn/_fast.py",
        "test_fast.py",
        (
            "pieces: written over the input",
            "out.copy_(function(*parts))",
            "out.copy_(parts[0].copy_(function(*parts)))",
        ),
        (
            "pieces: of tensors laid out differently",
            "if any(t.stride() != y.stride() for t in tensors):",
            "if False:",
        ),
        (
            "between: the lower bound inside",
            "if first > last:",
            "first = low\n    if first > last:",
        ),
        (
            "fast: while gradients of gradients are asked for",
            "return not torch.is_grad_enabled() and eager",
            "return eager",
        ),
        (
            "fast: while torch.func maps",
            "(not _narrow(x) or _wrapped(x))",
            "not _narrow(x)",
        ),
        (
            "fast: while gradients are mapped",
            " or c.is_legacy_batchedtensor(x)",
            "",
        ),
        ("fast: in double precision", "x.is_cpu and x.itemsize < 8", "x.is_cpu"),
        (
            "scratch: one for all uses",
            "vars(_kept)[use] = torch.empty",
            "vars(_kept)[use] = vars(_kept)[''] = torch.empty",
        ),
        (
            "scratch: kept whatever its size",
            "or (n := prod(sizes)) > KEPT",
            "or (n := prod(sizes)) < 0",
        ),
        ("exp: to the base 2", "torch.mul(x, k * log2(e), out=out)", "torch.mul(x, k, out=out)"),
        (
            "scratch: one for all threads",
            "_kept = threading.local()",
            "_kept = type('Kept', (), {})()",
        ),
    ),
    *mutants(
        "nn/activation_smooth.py",
        quick("-LogSigmoid- or -Softplus- or -SiLU- or -GELU-"),
        (
            "logsigmoid: a form that overflows to -inf",
            "x.clamp(max=0).sub_(exp(x.abs(), -1).log1p_())",
            "-exp(x, -1).log1p_()",
        ),
        ("logsigmoid: derivative of the other side", "(d * sigmoid(-x))", "(d * sigmoid(x))"),
        (
            "softplus: threshold on x instead of beta x",
            "torch.where(z > threshold, x, ",
            "torch.where(x > threshold, x, ",
        ),
        ("softplus: not divided by beta", ".exp().log1p_().div_(beta)", ".exp().log1p_()"),
        (
            "softplus: derivative without the threshold",
            "torch.where(z > ctx.threshold, d, d * sigmoid(z))",
            "(d * sigmoid(z))",
        ),
        ("silu: derivative of the sigmoid alone", "(1 + x * (1 - s))).to", "(2 - s)).to"),
        ("silu: second derivative of a constant", "s = sigmoid(x)\n", "s = sigmoid(x).detach()\n"),
        ("gelu: density without its root of 2 pi", ") / sqrt(2 * pi)", ") / sqrt(pi)"),
        (
            "gelu: another constant in the cubic",
            "z = (x * x).mul_(0.044715)",
            "z = (x * x).mul_(0.0447)",
        ),
        (
            "gelu: derivative of the cubic without its 3",
            "(1 + 3 * 0.044715 * x * x)",
            "(1 + 0.044715 * x * x)",
        ),
        ("gelu: approximate ignored", 'if approximate == "tanh" else', 'if approximate == "" else'),
    ),
]
