"""Mistakes in the book's dialect, and in the laws that connect it with torch (notes 6.2)."""

from .base import Mutant, mutants

MUTANTS: list[Mutant] = [
    *mutants(
        "book/rules.py",
        "test_book_rules.py",
        (
            "book momentum: the rate outside the velocity",
            """        v.mul_(mu).add_(g, -lr)
        w.add_(v)
""",
            """        v.mul_(mu).add_(g)
        w.add_(v, -lr)
""",
        ),
        (
            "book momentum: w moves before the velocity does",
            """        v.mul_(mu).add_(g, -lr)
        w.add_(v)
""",
            """        w.add_(v)
        v.mul_(mu).add_(g, -lr)
""",
        ),
        (
            "book momentum: a damped gradient",
            """        v.mul_(mu).add_(g, -lr)
        w.add_(v)
""",
            """        v.mul_(mu).add_(g, -lr * (1 - mu))
        w.add_(v)
""",
        ),
        (
            "book momentum: handed over with the wrong sign",
            'return -group["lr"]',
            'return group["lr"]',
        ),
        (
            "book momentum: handed over at the default rate",
            'return -group["lr"]',
            'return -self.defaults["lr"]',
        ),
        (
            "book nesterov: as plain momentum",
            "w.add_(v, mu).add_(g, -lr)",
            "w.add_(v)",
        ),
        (
            "book nesterov: the form before 2021",
            "w.add_(v, mu).add_(g, -lr)",
            "w.add_(v, mu * mu).add_(g, -(1 + mu) * lr)",
        ),
        (
            "book nesterov: without the gradient of the step",
            "w.add_(v, mu).add_(g, -lr)",
            "w.add_(v, mu)",
        ),
        (
            "book nesterov: torch is not told",
            'FIXED = {"dampening": 0, "nesterov": True}',
            'FIXED = {"dampening": 0, "nesterov": False}',
        ),
        (
            "book adagrad: h forgets",
            'h = state["h"].addcmul_(g, g)',
            'h = state["h"].mul_(0.99).addcmul_(g, g)',
        ),
        (
            "book adagrad: the gradient is not squared",
            'h = state["h"].addcmul_(g, g)',
            'h = state["h"].add_(g.abs())',
        ),
        (
            "book adagrad: torch's epsilon",
            "lr: float | Tensor = 0.01, eps: float = 1e-7):",
            "lr: float | Tensor = 0.01, eps: float = 1e-10):",
        ),
        (
            "book adagrad: epsilon inside the root",
            'w.addcdiv_(g, h.sqrt().add_(group["eps"]), -group["lr"])',
            'w.addcdiv_(g, (h + group["eps"]).sqrt(), -group["lr"])',
        ),
        (
            "book adagrad: steps not counted",
            """        self.tick(state, group)  # for torch, which counts here too
        h = state""",
            "        h = state",
        ),
        (
            "book rmsprop: the average the other way round",
            "h.mul_(rho).addcmul_(g, g, 1 - rho)",
            "h.mul_(1 - rho).addcmul_(g, g, rho)",
        ),
        (
            "book rmsprop: a sum instead of an average",
            "h.mul_(rho).addcmul_(g, g, 1 - rho)",
            "h.mul_(rho).addcmul_(g, g)",
        ),
        (
            "book rmsprop: epsilon inside the root",
            'w.addcdiv_(g, h.sqrt().add_(group["eps"]), -lr)',
            'w.addcdiv_(g, (h + group["eps"]).sqrt(), -lr)',
        ),
        (
            "book rmsprop: torch's epsilon",
            """        decay_rate: float = 0.99,
        eps: float = 1e-7,
""",
            """        decay_rate: float = 0.99,
        eps: float = 1e-8,
""",
        ),
        (
            "book adam: epsilon added after the correction",
            'w.addcdiv_(m, v.sqrt().add_(group["eps"]), -lr_t)',
            'w.addcdiv_(m, v.sqrt().add_(group["eps"] * (1 - beta2**t) ** 0.5), -lr_t)',
        ),
        (
            "book adam: v not corrected",
            "lr_t = lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t)",
            "lr_t = lr / (1 - beta1**t)",
        ),
        (
            "book adam: m not corrected",
            "lr_t = lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t)",
            "lr_t = lr * (1 - beta2**t) ** 0.5",
        ),
        (
            "book adam: the correction of v without its root",
            "lr_t = lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t)",
            "lr_t = lr * (1 - beta2**t) / (1 - beta1**t)",
        ),
        (
            "book adam: m never moves, as printed in the notes",
            "        m.lerp_(g, 1 - beta1)\n",
            "",
        ),
        (
            "book adam: torch's eps a step behind",
            "max(steps, default=0) + 1",
            "max(max(steps, default=0), 1)",
        ),
        (
            "book adam: torch's eps stays",
            "        twin.register_step_post_hook(turn)\n",
            "",
        ),
        (
            "book adam: eps carried over as it is",
            'group["eps"] *= _correction(rule, group, group["beta2"])',
            "pass",
        ),
        (
            "book adam: one counter taken for all",
            "if len(steps) > 1:",
            "if not steps >= set():",
        ),
        (
            "book adam: betas exchanged",
            'beta1, beta2 = group["betas"]',
            'beta2, beta1 = group["betas"]',
        ),
    ),
    *mutants(
        "book/rule.py",
        "test_book_rules.py",
        ("book rule: a decay of 1 allowed", "not 0 <= settings[name] < 1", "settings[name] < 0"),
        (
            "book rule: the memory is shared",
            "t / unit for name",
            "(t if unit == 1 else t / unit) for name",
        ),
        ("book rule: another rule is taken for the twin", "if kind != twin:", "if not kind:"),
        (
            "book rule: a setting that is torch's alone is overlooked",
            "if group.get(name, value) != value:",
            "if name not in group:",
        ),
        ("book rule: a rate of 0 goes unnoticed", "if unit == 0:", "if unit is None:"),
        (
            "book rule: options of a group are lost on the way back",
            '("params", "weight_decay", "maximize", "foreach")',
            '("params", "foreach")',
        ),
    ),
]
