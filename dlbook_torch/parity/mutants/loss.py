"""Mistakes in the losses (notes 4.2)."""

from .base import Mutant, mutants

FILE = "nn/loss.py"

MUTANTS: list[Mutant] = [
    *mutants(
        FILE,
        "test_nn.py -k MSELoss",
        ("mse: derivative of half the square", "dx = 2 * dy * (x - t)", "dx = dy * (x - t)"),
        (
            "mse: the target's gradient with the sign of the input's",
            "return dx, -dx if",
            "return dx, dx if",
        ),
        (
            "mse: mean over the samples only",
            "return loss.mean() if weight is None",
            "return loss.sum() / max(1, *loss.shape[:1]) if weight is None",
        ),
    ),
    *mutants(
        FILE,
        "test_nn.py -k loss",
        (
            "mse: elements weighted, their mean not",
            "return _reduce(loss * weight, reduction, size_average, reduce, weight)",
            "return _reduce(loss * weight, reduction, size_average, reduce)",
        ),
        (
            "loss: size_average ignored by the layers",
            "            reduction = legacy.legacy_get_string(size_average, reduce)\n"
            "        self.reduction",
            "            pass\n        self.reduction",
        ),
        (
            "loss: size_average ignored by the functions",
            "reduction = legacy.legacy_get_string(size_average, reduce)\n    if reduction",
            "pass\n    if reduction",
        ),
        (
            "loss: the mean of nothing is 0",
            "loss.sum() / weight.sum()",
            "loss.sum() / weight.sum().clamp(min=1e-30)",
        ),
        ("loss: labels as uint8 refused", "(torch.int64, torch.uint8)", "(torch.int64,)"),
        (
            "cross_entropy: without the maximum",
            "log_y = x - x.amax(axis, keepdim=True)",
            "log_y = x + 0",
        ),
    ),
    *mutants(
        FILE,
        "test_nn.py -k NLLLoss",
        (
            "nll: ignored samples counted in the mean",
            "loss.sum() / weight.sum()",
            "loss.sum() / (weight.sum() + (weight == 0).sum())",
        ),
        (
            "nll: ignored samples not ignored",
            "return safe, counted.to(like.dtype)",
            "return safe, torch.ones_like(counted, dtype=like.dtype)",
        ),
        (
            "nll: class weights not in the mean",
            "loss.sum() / weight.sum()",
            "loss.sum() / (weight != 0).sum()",
        ),
        (
            "nll: class weights not in the gradient",
            "dy = (-count * dy).unsqueeze(ctx.axis)",
            "dy = (-(count != 0).to(dy.dtype) * dy).unsqueeze(ctx.axis)",
        ),
        (
            "nll: a negative label from the end",
            "return -count * x.gather(axis, t.unsqueeze(axis)).squeeze(axis)\n",
            "return -count * x.gather(axis, (t % x.shape[axis]).unsqueeze(axis)).squeeze(axis)\n",
        ),
    ),
    *mutants(
        FILE,
        "test_nn.py -k CrossEntropyLoss",
        (
            "cross_entropy: the truth replaces the answer instead of being subtracted",
            "dx = (y * d).scatter_add(",
            "dx = (y * d).scatter(",
        ),
        ("cross_entropy: gradient without the weights", "d = (count * dloss)", "d = dloss"),
        (
            "cross_entropy: second derivative of a constant",
            "y, dx = log_y.exp(), None",
            "y, dx = log_y.detach().exp(), None",
        ),
        (
            "cross_entropy: label smoothing over C - 1",
            "(target != ignore_index) / input.shape[axis]",
            "(target != ignore_index) / (input.shape[axis] - 1)",
        ),
        (
            "cross_entropy: label smoothing of ignored samples",
            "-per_class.sum(axis) * (target != ignore_index) / input",
            "-per_class.sum(axis) / input",
        ),
        (
            "cross_entropy: label smoothing without class weights",
            "log_y if weight is None else log_y * _along(weight, axis, log_y)",
            "log_y",
        ),
        (
            "cross_entropy: probabilities not shrunk by label smoothing",
            "q = (1 - label_smoothing) * target + ",
            "q = target + ",
        ),
        (
            "cross_entropy: probabilities smoothed over C - 1",
            "label_smoothing / input.shape[axis]\n",
            "label_smoothing / (input.shape[axis] - 1)\n",
        ),
        (
            "cross_entropy: mean of probabilities over the class weights",
            "count = torch.ones_like(loss)",
            "count = loss if weight is None else weight[target.argmax(1)]",
        ),
        (
            "cross_entropy: class weights not saved with the model",
            'self.register_buffer("weight", weight)',
            'self.register_buffer("weight", weight, persistent=False)',
        ),
    ),
]
