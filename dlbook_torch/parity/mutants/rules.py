"""Mistakes in the update rules (notes 6.2)."""

from .base import Mutant, mutants

MUTANTS: list[Mutant] = [
    *mutants(
        "optim/sgd.py",
        "test_optim.py -k SGD",
        (
            "sgd: weight decay after the momentum",
            "        w.sub_(lr * g)",
            '        w.sub_(lr * (g + group["weight_decay"] * w * (mu != 0)))',
        ),
        (
            "sgd: Nesterov as plain momentum",
            'g = g + mu * v if group["nesterov"] else v',
            "g = v",
        ),
        (
            "sgd: Nesterov a step behind",
            'g = g + mu * v if group["nesterov"] else v',
            'g = (1 - mu) * g + mu * v if group["nesterov"] else v',
        ),
        (
            "sgd: dampening at the first step",
            'v = state["momentum_buffer"] = g.clone()',
            'v = state["momentum_buffer"] = g * (1 - group["dampening"])',
        ),
        ("sgd: dampening ignored", 'alpha=1 - group["dampening"]', "alpha=1"),
        (
            "sgd: the learning rate of the first group for all",
            'group["lr"], ',
            'self.param_groups[0]["lr"], ',
        ),
        (
            "sgd: Nesterov with dampening allowed",
            "(momentum <= 0 or dampening != 0)",
            "momentum <= 0",
        ),
    ),
    *mutants(
        "optim/sgd.py",
        "test_optim.py",
        (
            "sgd: the velocity is the gradient's own memory",
            'state["momentum_buffer"] = g.clone()',
            'state["momentum_buffer"] = g',
        ),
        (
            "sgd: weight decay written into the gradient",
            'g = g + group["weight_decay"] * w',
            'g = g.add_(group["weight_decay"] * w)',
        ),
    ),
    *mutants(
        "optim/adam.py",
        "test_optim.py -k Adam",
        ("adam: m not corrected", "m_hat = m / (1 - beta1**t)", "m_hat = m.clone()"),
        ("adam: v not corrected", "v_hat = v / (1 - beta2**t)", "v_hat = v.clone()"),
        ("adam: step counted one ahead", 'state["step"].item()', 'state["step"].item() + 1'),
        (
            "adam: epsilon inside the root",
            'v_hat.sqrt_().add_(group["eps"])',
            'v_hat.add_(group["eps"]).sqrt_()',
        ),
        (
            "adam: epsilon added before the correction",
            'v_hat.sqrt_().add_(group["eps"])',
            'v_hat.sqrt_().add_(group["eps"] / (1 - beta2**t) ** 0.5)',
        ),
        ("adam: momentum the other way round", "m.lerp_(g, 1 - beta1)", "m.lerp_(g, beta1)"),
        (
            "adam: amsgrad divides by the current v",
            'v = torch.maximum(state["max_exp_avg_sq"], v, ',
            'torch.maximum(state["max_exp_avg_sq"], v, ',
        ),
        (
            "adam: amsgrad keeps the largest corrected v",
            'v = torch.maximum(state["max_exp_avg_sq"], v, ',
            'v = torch.maximum(state["max_exp_avg_sq"], v / (1 - beta2**t), ',
        ),
        (
            "adam: weight decay decoupled unasked",
            'if group["decoupled_weight_decay"]:',
            'if group["weight_decay"]:',
        ),
        (
            "adam: decoupled weight decay without the learning rate",
            'w.mul_(1 - lr * group["weight_decay"])',
            'w.mul_(1 - group["weight_decay"])',
        ),
        (
            "adam: state under another key",
            'm, v = state["exp_avg"], state["exp_avg_sq"]',
            'm, v = state.setdefault("m", state["exp_avg"]), state["exp_avg_sq"]',
        ),
    ),
    *mutants(
        "optim/optimizer.py",
        "test_optim.py",
        (
            "optimizer: maximize ignored",
            '-p.grad if group["maximize"] else p.grad',
            "p.grad",
        ),
        (
            "optimizer: parameters without a gradient not skipped",
            "if p.grad is not None:",
            "if True:",
        ),
        ("optimizer: closure without gradients", "torch.enable_grad()", "torch.no_grad()"),
        ("optimizer: beta = 1 allowed", "low <= v < high", "low <= v <= high"),
        (
            "optimizer: step never differentiable",
            'self.defaults.get("differentiable", False)',
            "False",
        ),
        (
            "optimizer: step counter as an integer",
            "dtype=torch.float32, device=w.device",
            "dtype=torch.int64, device=w.device",
        ),
    ),
]
