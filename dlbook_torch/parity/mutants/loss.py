"""Mistakes in the losses (notes 4.2)."""

from .base import Mutant, mutants, quick

MUTANTS: list[Mutant] = [
    *mutants(
        "nn/loss.py",
        quick("-MSELoss-"),
        (
            "mse: fast derivative of half the square",
            "torch.sub(x, t).mul_(dy).mul_(2)",
            "torch.sub(x, t).mul_(dy)",
        ),
        ("mse: derivative of half the square", "dx = 2 * dy * (x - t)", "dx = dy * (x - t)"),
        (
            "mse: the target's gradient with the sign of the input's",
            "dx = 2 * dy * (x - t)\n        return dx, -dx if",
            "dx = 2 * dy * (x - t)\n        return dx, dx if",
        ),
        (
            "loss: mean over the samples only",
            "loss.numel() if weight is None",
            "max(1, *loss.shape[:1]) if weight is None",
        ),
    ),
    *mutants(
        "nn/loss.py",
        "test_loss.py -k elementwise",
        ("l1: gradient 1 at 0", "dy * (x - t).sign()", "dy * torch.where(x < t, -1, 1)"),
        (
            "l1: the target's gradient with the sign of the input's",
            "dx = dy * (x - t).sign()\n        return dx, -dx if",
            "dx = dy * (x - t).sign()\n        return dx, dx if",
        ),
    ),
    *mutants(
        "nn/loss.py",
        quick("test_loss or test_mse_loss"),
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
            "else weight.sum())",
            "else weight.sum().clamp(min=1e-30))",
        ),
    ),
    *mutants(
        "nn/loss.py",
        quick("BCE or probab or logarithm or positive", "test_loss.py test_nn.py"),
        (
            "bce: the logarithm not bounded",
            "return (t - 1) * log_not_x.clamp_(min=-100) - t * log_x.clamp_(min=-100)",
            "return (t - 1) * log_not_x - t * log_x",
        ),
        (
            "bce: the denominator not bounded",
            "(x * (1 - x)).clamp(min=1e-12)",
            "(x * (1 - x))",
        ),
        (
            "bce: probabilities above 1 allowed",
            "inside = (p >= 0) & (p <= 1)",
            "inside = p >= 0",
        ),
        (
            "bce: the weight broadcasts from the left",
            "return loss * weight.to(loss.dtype)",
            "return loss * weight.to(loss.dtype).view(-1, *[1] * (loss.dim() - 1))",
        ),
        (
            "bce: the target's gradient forgotten",
            "return dx, dy * (torch.log1p(-x) - torch.log(x)) if ctx.needs_input_grad[1] else None",
            "return dx, dy * 0 if ctx.needs_input_grad[1] else None",
        ),
        (
            "bce with logits: pos_weight for the negatives too",
            "positive = _weigh(t, pos_weight.to(t.dtype) - 1) + 1",
            "positive = t * 0 + pos_weight.to(t.dtype)",
        ),
        (
            "bce with logits: pos_weight missing in the gradient",
            "positive * (y - 1) + (1 - t))",
            "y - t)",
        ),
        (
            "bce with logits: second derivative without the sigmoid's",
            "direct = dlog_y * (1 - y)",
            "direct = dlog_y * y",
        ),
        (
            "bce with logits: pos_weight not saved with the model",
            'self.register_buffer("pos_weight", pos_weight)',
            'self.register_buffer("pos_weight", pos_weight, persistent=False)',
        ),
    ),
    *mutants(
        "nn/loss.py",
        quick("-NLLLoss-"),
        (
            "nll: ignored samples counted in the mean",
            "else weight.sum())",
            "else weight.sum() + (weight == 0).sum())",
        ),
        (
            "nll: class weights not in the mean",
            "else weight.sum())",
            "else (weight != 0).sum())",
        ),
        (
            "loss: class weights not saved with the model",
            'self.register_buffer("weight", weight)',
            'self.register_buffer("weight", weight, persistent=False)',
        ),
    ),
    *mutants(
        "nn/cross_entropy.py",
        quick("-NLLLoss- or test_loss", "test_nn.py test_loss.py"),
        (
            "nll: ignored samples not ignored",
            "return t, ignored, (~ignored).to(x.dtype)",
            "return t, ignored & False, torch.ones_like(t, dtype=x.dtype)",
        ),
        (
            "nll: 0 times infinity for an ignored sample",
            "return (-count * picked).masked_fill(ignored, 0)  # not 0 * inf",
            "return -count * picked",
        ),
        (
            "nll: class weights not in the gradient",
            "dy = (-count * dy).masked_fill(ignored, 0)",
            "dy = (-dy).masked_fill(ignored, 0)",
        ),
        (
            "nll: a negative label counts from the end",
            "picked = x.gather(axis, t.unsqueeze(axis))",
            "picked = x.gather(axis, (t % x.shape[axis]).unsqueeze(axis))",
        ),
        (
            "nll: labels as uint8 refused",
            "not in (torch.int64, torch.uint8):",
            "not in (torch.int64,):",
        ),
    ),
    *mutants(
        "nn/cross_entropy.py",
        quick("-CrossEntropyLoss- or test_loss"),
        (
            "cross_entropy: without the maximum",
            "log_y = x - x.amax(axis, keepdim=True)",
            "log_y = x + 0",
        ),
        (
            "cross_entropy: the truth replaces the answer instead of being subtracted",
            "dx = (y * d).scatter_add(",
            "dx = (y * d).scatter(",
        ),
        (
            "cross_entropy: gradient without the weights",
            "log_y.exp(), None\n        if dloss is not None:\n            d = (count * dloss)",
            "log_y.exp(), None\n        if dloss is not None:\n            d = dloss",
        ),
        (
            "cross_entropy: fast gradient without the weights",
            "direct(log_y, dloss, count):\n            d = (count * dloss)",
            "direct(log_y, dloss, count):\n            d = dloss",
        ),
        (
            "cross_entropy: second derivative of a constant",
            "y, dx = log_y.exp(), None",
            "y, dx = log_y.detach().exp(), None",
        ),
        (
            "cross_entropy: label smoothing over C - 1",
            ".masked_fill(ignored, 0) / x.shape[axis]",
            ".masked_fill(ignored, 0) / (x.shape[axis] - 1)",
        ),
        (
            "cross_entropy: label smoothing of ignored samples",
            "spread = -per_class.sum(axis).masked_fill(ignored, 0) / ",
            "spread = -per_class.sum(axis) / ",
        ),
        (
            "cross_entropy: label smoothing without class weights",
            "log_y if weight is None else log_y * _along(wide(weight), axis, log_y)",
            "log_y",
        ),
        (
            "cross_entropy: truth not shrunk by label smoothing",
            "loss = (1 - smoothing) * loss + ",
            "loss = loss + ",
        ),
        (
            "cross_entropy: probabilities not shrunk by label smoothing",
            "q = (1 - smoothing) * wide(target) + ",
            "q = wide(target) + ",
        ),
        (
            "cross_entropy: probabilities smoothed over C - 1",
            "+ smoothing / input.shape[axis]\n",
            "+ smoothing / (input.shape[axis] - 1)\n",
        ),
        (
            "cross_entropy: probabilities without class weights",
            "q = q * _along(wide(weight), axis, q)",
            "q = q * 1",
        ),
    ),
]
