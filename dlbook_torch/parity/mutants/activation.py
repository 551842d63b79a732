"""Mistakes in the activations (notes 3.2, 3.4)."""

from .base import Mutant, mutants

FILE = "nn/activation.py"

MUTANTS: list[Mutant] = [
    *mutants(
        FILE,
        "test_nn.py -k Sigmoid",
        (
            "sigmoid: a form that overflows to nan",
            "return torch.exp(-x).add_(1).reciprocal_()",
            "return torch.exp(x) / (1 + torch.exp(x))",
        ),
        (
            "sigmoid: gradient 0 at 0",
            "return dy * y * (1 - y)",
            "return dy * y * (1 - y) * (y != 0.5)",
        ),
        (
            "sigmoid: second derivative of a constant",
            "return dy * y * (1 - y)",
            "return dy * (y * (1 - y)).detach()",
        ),
    ),
    *mutants(
        FILE,
        "test_nn.py -k Tanh",
        (
            "tanh: nan at large x",
            "z = torch.expm1(x.abs().mul_(-2))",
            "z = -torch.expm1(x.abs() * 2) / torch.exp(x.abs() * 2)",
        ),
        (
            "tanh: inexact near 0",
            "torch.expm1(x.abs().mul_(-2))",
            "torch.exp(x.abs().mul_(-2)).sub_(1)",
        ),
        (
            "tanh: the sign of -0 lost",
            "torch.copysign(z / (z + 2), x)",
            "z / (z + 2) * torch.where(x < 0, 1, -1)",
        ),
        ("tanh: derivative 1 - y", "return dy * (1 - y * y)", "return dy * (1 - y.abs())"),
    ),
    *mutants(
        FILE,
        "test_nn.py -k 'ReLU and not handwritten'",
        (
            "relu: gradient 0.5 at 0",
            "return _ReLU.apply(input, inplace)",
            "return torch.maximum(input, torch.zeros_like(input))",
        ),
        (
            "relu: gradient 1 at 0",
            "return _ReLU.apply(input, inplace)",
            "return torch.where(input.detach() < 0, 0, input + 0)",
        ),
        ("relu: nan lost", "else x.clamp(min=0)", "else torch.where(x > 0, x, 0)"),
        ("relu: inplace ignored", "return relu(input, self.inplace)", "return relu(input)"),
        (
            "relu: inplace gradient not stopped",
            "return dy.masked_fill(y <= 0, 0), None",
            "return dy.masked_fill(y < 0, 0), None",
        ),
    ),
    *mutants(
        FILE,
        "test_nn.py -k softmax",
        (
            "softmax: without the maximum",
            "e = torch.exp(x - x.amax(dim, keepdim=True))",
            "e = torch.exp(x)",
        ),
        (
            "softmax: the maximum of the whole batch",
            "e = torch.exp(x - x.amax(dim, keepdim=True))",
            "e = torch.exp(x - x.amax()) if x.numel() else torch.exp(x)",
        ),
        (
            "softmax: backward without the inner product",
            "return y * (dy - (dy * y).sum(ctx.dim, keepdim=True)), None",
            "return y * dy, None",
        ),
        (
            "softmax: inner product along the last axis",
            "(dy * y).sum(ctx.dim, keepdim=True)",
            "(dy * y).sum(-1, keepdim=True)",
        ),
        ("softmax: another guess of the axis", "in (0, 1, 3) else 1", "in (0, 1) else 1"),
        (
            "softmax: dtype ignored",
            "_Softmax.apply(input if dtype is None else input.to(dtype), ",
            "_Softmax.apply(input, ",
        ),
        (
            "log_softmax: sum along the last axis",
            "return x.sub_(x.exp().sum(dim, keepdim=True).log_())",
            "return x.sub_(x.exp().sum(-1, keepdim=True).log_())",
        ),
        (
            "log_softmax: the logarithm of a probability that rounds to 0",
            "return x.sub_(x.exp().sum(dim, keepdim=True).log_())",
            "return x.exp().div(x.exp().sum(dim, keepdim=True)).log_()",
        ),
        (
            "log_softmax: backward with x for y",
            "return dy - y.exp() * dy.sum(ctx.dim, keepdim=True), None",
            "return dy - y * dy.sum(ctx.dim, keepdim=True), None",
        ),
        (
            "log_softmax: second derivative of a constant",
            "return dy - y.exp() * dy.sum(ctx.dim, keepdim=True), None",
            "return dy - y.exp().detach() * dy.sum(ctx.dim, keepdim=True), None",
        ),
        (
            "log_softmax: dtype ignored",
            "x = input if dtype is None else input.to(dtype)",
            "x = input",
        ),
    ),
]
