"""Mistakes in the update rules (notes 6.2)."""

from .base import Mutant, mutants

LAWS = "test_optim_laws.py"
BETAS = "(beta1, beta2)", "(beta2, beta1)"


def table(*ids: str) -> str:
    """The promises over some rows, without those that compile."""
    return f"test_optim.py -k '({' or '.join(ids)}) and not compile'"


MUTANTS: list[Mutant] = [
    *mutants(
        "optim/sgd.py",
        LAWS,
        ("sgd: uphill", "w.add_(g, -lr)", "w.add_(g, lr)"),
        ("sgd: the velocity is an average", '1 - group["dampening"]', "(1 - mu)"),
        ("sgd: the velocity is forgotten", "v.mul_add_(mu, ", "v.mul_add_(0.0, "),
        ("sgd: Nesterov as plain momentum", 'if group["nesterov"] else v', "if False else v"),
        ("sgd: dampening ignored", '1 - group["dampening"]', "1"),
        (
            "sgd: dampening at the first step",
            "g.detach().clone()",
            'g.detach() * (1 - group["dampening"])',
        ),
    ),
    *mutants(
        "optim/sgd.py",
        table("SGD"),
        ("sgd: Nesterov a step behind", "g = g.add(v, mu) if", "g = (v * mu).add(g, 1 - mu) if"),
        ("sgd: the velocity is the gradient's own memory", "g.detach().clone()", "g.detach()"),
        ("sgd: the velocity keeps the graph of its start", "g.detach().clone()", "g.clone()"),
        (
            "sgd: Nesterov with dampening allowed",
            "(momentum <= 0 or dampening != 0)",
            "momentum <= 0",
        ),
        ("sgd: sparse gradients refused", "SPARSE = True", "SPARSE = False"),
        (
            "sgd: the learning rate of the first group for all",
            'lr, mu = group["lr"]',
            'lr, mu = self.param_groups[0]["lr"]',
        ),
        (
            "sgd: velocity under another name",
            'state["momentum_buffer"] = g',
            'state["velocity"] = state["momentum_buffer"] = g',
        ),
    ),
    *mutants(
        "optim/asgd.py",
        LAWS,
        ("asgd: the mean begins a step late", 't - group["t0"]', 't - 1 - group["t0"]'),
        ("asgd: the mean is not kept", "a.add_((w - a) * mu)", "a.copy_(w)"),
        ("asgd: the rate does not fall", '** group["alpha"]', "** 0"),
        ("asgd: no decay of the weights", "w.mul_(1 - lambd * eta).add_", "w.add_"),
        (
            "asgd: the rate of the step before",
            'state["eta"].fill_(lr /',
            'state["eta"].fill_(eta /',
        ),
        (
            "asgd: the first rate is 0",
            '"eta": self.scalar(lr, w, group)',
            '"eta": self.scalar(0.0, w, group)',
        ),
    ),
    *mutants(
        "optim/asgd.py",
        table("ASGD"),
        (
            "asgd: the mean of the places before",
            "w.mul_(1 - lambd * eta).add_(g, -eta)\n        if",
            "w.mul_(1 - lambd * eta)\n        if",
        ),
        (
            "asgd: counters that lag are not told apart",
            'SCALARS = ("step", "eta", "mu")',
            'SCALARS = ("step",)',
        ),
        (
            "asgd: a compiled mean is not kept",
            "if isinstance(mu, Tensors) or mu != 1:",
            "if not isinstance(mu, Tensors) and mu != 1:",
        ),
    ),
    *mutants(
        "optim/rprop.py",
        LAWS,
        (
            "rprop: the size of the gradient matters",
            "w.addcmul_(g.sign(), s, -1)",
            "w.addcmul_(g, s, -1)",
        ),
        (
            "rprop: grows where it turns",
            "torch.where(turn > 0, grow, torch.where(turn < 0, shrink",
            "torch.where(turn < 0, grow, torch.where(turn > 0, shrink",
        ),
        ("rprop: steps into the turn", "torch.where(turn < 0, 0.0, g)", "g"),
        ("rprop: remembers the gradient of the turn", "before.copy_(g)", "pass"),
        ("rprop: no limits", '.clamp_(*group["step_sizes"])', ""),
        ("rprop: stays where the gradient is 0", "turn.where(turn != 0, 1.0)", "turn"),
    ),
    *mutants(
        "optim/rprop.py",
        table("Rprop"),
        ("rprop: shrink by 1 allowed", "0 < etas[0] < 1 < etas[1]", "0 < etas[0] <= 1 < etas[1]"),
        ("rprop: a complex step has one part", "complex(lr, lr) if w.is_complex() else lr", "lr"),
        ("rprop: the gradient itself is remembered", "before.copy_(g)", 'state["prev"] = g'),
    ),
    *mutants(
        "optim/adagrad.py",
        LAWS,
        ("adagrad: forgets", "h.addcmul_(g, g)", "h.mul_(0.9).addcmul_(g, g)"),
        ("adagrad: no root", "h.sqrt().add_(eps)", "h.add_(eps)"),
        ("adagrad: the rate decays from the first step", "(1 + (t - 1) *", "(1 + t *"),
        ("adagrad: adds up the gradient", "h.addcmul_(g, g)", "h.add_(g.abs())"),
        (
            "adagrad: divides before it adds",
            "            h.addcmul_(g, g)\n            w.addcdiv_(g, h.sqrt().add_(eps), -rate)",
            "            w.addcdiv_(g, h.sqrt().add_(eps), -rate)\n            h.addcmul_(g, g)",
        ),
    ),
    *mutants(
        "optim/adagrad.py",
        table("Adagrad"),
        (
            "adagrad: epsilon inside the root",
            "w.addcdiv_(g, h.sqrt().add_(eps), -rate)",
            "w.addcdiv_(g, (h + eps).sqrt(), -rate)",
        ),
        (
            "adagrad: rows given twice are not summed",
            "g = g.each(torch.Tensor.coalesce)",
            "g = g.each(lambda t: t._coalesced_(True))",
        ),
        ("adagrad: a row moves by the sum before", "            h.add_(g * g)\n", ""),
        (
            "adagrad: starts from 0 always",
            'start = self.defaults["initial_accumulator_value"]',
            "start = 0",
        ),
        (
            "adagrad: a complex sum has one part",
            "complex(start, start) if w.is_complex() else start",
            "start",
        ),
    ),
    *mutants(
        "optim/rmsprop.py",
        LAWS,
        (
            "rmsprop: forgets nothing",
            "v.mul_(alpha).addcmul_(g, g, 1 - alpha)",
            "v.addcmul_(g, g, 1 - alpha)",
        ),
        (
            "rmsprop: an average of the wrong side",
            "v.mul_(alpha).addcmul_(g, g, 1 - alpha)",
            "v.mul_(1 - alpha).addcmul_(g, g, alpha)",
        ),
        ("rmsprop: centred on nothing", "addcmul_(a, a, -1)", "addcmul_(a, a, 0)"),
        (
            "rmsprop: the gradient's average is its sum",
            'state["grad_avg"].lerp_(g, 1 - alpha)',
            'state["grad_avg"].add_(g, 1 - alpha)',
        ),
        ("rmsprop: no root", "v.sqrt().add_", "v.add_"),
    ),
    *mutants(
        "optim/rmsprop.py",
        table("RMSprop"),
        (
            "rmsprop: the centre is taken out of the average for good",
            "v = v.clone().addcmul_",
            "v = v.addcmul_",
        ),
        (
            "rmsprop: epsilon inside the root",
            'v.sqrt().add_(group["eps"])',
            '(v + group["eps"]).sqrt()',
        ),
        (
            "rmsprop: the rate inside the velocity",
            "addcdiv_(g, root)\n            w.add_(b, -lr)",
            "addcdiv_(g, root, lr)\n            w.add_(b, -1)",
        ),
        ("rmsprop: a buffer it does not need", 'group["momentum"] > 0', "True"),
        ("rmsprop: negative alpha allowed", "not alpha >= 0", "alpha < -1"),
    ),
    *mutants(
        "optim/adadelta.py",
        LAWS,
        (
            "adadelta: no unit",
            "d = (u + eps).sqrt().div_((v + eps).sqrt()).mul_(g)",
            "d = g / (v + eps).sqrt()",
        ),
        ("adadelta: epsilon outside the roots", "(v + eps).sqrt()", "(v.sqrt() + eps)"),
        ("adadelta: steps add up", "u.mul_(rho)", "u"),
        (
            "adadelta: remembers the step's unit of the gradient",
            "addcmul_(d, d, 1 - rho)",
            "addcmul_(g, g, 1 - rho)",
        ),
        ("adadelta: gradients weigh rho", "addcmul_(g, g, 1 - rho)", "addcmul_(g, g, rho)"),
    ),
    *mutants(
        "optim/adadelta.py",
        table("Adadelta"),
        (
            "adadelta: the rate is inside what is remembered",
            "u.mul_(rho).addcmul_(d, d, 1 - rho)",
            "d.mul_(group['lr'])\n        u.mul_(rho).addcmul_(d, d, 1 - rho)",
        ),
        ("adadelta: rho above 1 allowed", "0 <= rho <= 1", "0 <= rho"),
        ("adadelta: does not count", "        self.tick(state, group)\n", ""),
    ),
    *mutants(
        "optim/adam.py",
        LAWS,
        ("adam: m not corrected", "-lr / (1 - beta1**t)", "-lr"),
        ("adam: v not corrected", ".div_((1 - beta2**t) ** 0.5)", ""),
        ("adam: v corrected by its root's root", "(1 - beta2**t) ** 0.5", "(1 - beta2**t) ** 0.25"),
        ("adam: momentum the other way round", "m.lerp_(g, 1 - beta1)", "m.lerp_(g, beta1)"),
        ("adam: betas exchanged", *BETAS),
        (
            "adam: amsgrad divides by the current v",
            'v = state["max_exp_avg_sq"].maximum_(v)',
            'v = state["max_exp_avg_sq"].copy_(v)',
        ),
        ("adam: v is the square of m", "addcmul_(g, g, 1 - beta2)", "addcmul_(m, m, 1 - beta2)"),
    ),
    *mutants(
        "optim/adam.py",
        table("4-Adam-", "[Adam"),
        (
            "adam: amsgrad keeps the largest corrected v",
            "maximum_(v)",
            "maximum_(v / (1 - beta2**t))",
        ),
        (
            "adam: epsilon inside the root",
            "v.sqrt().div_((1 - beta2**t) ** 0.5).add_(eps)",
            "(v / (1 - beta2**t) + eps).sqrt()",
        ),
        (
            "adam: epsilon added before the correction",
            "v.sqrt().div_((1 - beta2**t) ** 0.5).add_(eps)",
            "v.sqrt().add_(eps) / (1 - beta2**t) ** 0.5",
        ),
        ("adam: step counted one ahead", "self.tick(state, group)", "self.tick(state, group) + 1"),
        (
            "adam: the memory of m under another name",
            '["exp_avg", "exp_avg_sq"] +',
            '["exp_avg", "exp_avg_sq", "m"] +',
        ),
        (
            "adam: a largest v it does not need",
            '["max_exp_avg_sq"] * group["amsgrad"]',
            '["max_exp_avg_sq"]',
        ),
        (
            "adam: betas of two types allowed",
            "for kind in (float, Tensor)",
            "for kind in (float, Tensor, object)",
        ),
        (
            "adam: groups take tensors",
            "if foreach and not capturable and",
            "if foreach and capturable and",
        ),
    ),
    *mutants(
        "optim/adamw.py",
        LAWS,
        (
            "adamw: the penalty is Adam's",
            "decoupled_weight_decay=True,\n        )",
            "decoupled_weight_decay=False,\n        )",
        ),
        (
            "adamw: no decay",
            "            weight_decay,\n            amsgrad,",
            "            0,\n            amsgrad,",
        ),
    ),
    *mutants(
        "optim/adamw.py",
        table("AdamW"),
        ("adamw: Adam's default decay", "weight_decay: float = 1e-2", "weight_decay: float = 0"),
        ("adamw: maximize ignored", "maximize=maximize", "maximize=False"),
        (
            "adamw: amsgrad ignored",
            "            amsgrad,\n            foreach",
            "            False,\n            foreach",
        ),
        (
            "adamw: an old file makes it Adam",
            'group["decoupled_weight_decay"] = True',
            'group["decoupled_weight_decay"] = False',
        ),
        (
            "adamw: betas of its own",
            "            betas,\n            eps,",
            "            (0.9, 0.999),\n            eps,",
        ),
    ),
    *mutants(
        "optim/nadam.py",
        LAWS,
        ("nadam: the momentum is beta1 itself", "(1 - 0.5 * 0.96", "(1 - 0 * 0.96"),
        (
            "nadam: the product starts from 0",
            "self.scalar(1.0, w, group)",
            "self.scalar(0.0, w, group)",
        ),
        ("nadam: the warm up does not end", "** (k * psi)", "** (0 * k * psi)"),
        ("nadam: v not corrected", "(v / (1 - beta2**t)).sqrt()", "v.sqrt()"),
        ("nadam: epsilon within", '.sqrt().add_(group["eps"])', '.add_(group["eps"])'),
    ),
    *mutants(
        "optim/nadam.py",
        table("NAdam"),
        ("nadam: looks no step ahead", "for k in (t, t + 1)", "for k in (t, t)"),
        (
            "nadam: counters that part are not told apart",
            'SCALARS = ("step", "mu_product")',
            'SCALARS = ("step",)',
        ),
        ("nadam: m by the product of now", "/ (1 - product * mu_next)", "/ (1 - product)"),
        ("nadam: the gradient weighs 1", "-lr * (1 - mu) / (1 - product)", "-lr / (1 - product)"),
    ),
    *mutants(
        "optim/radam.py",
        LAWS,
        ("radam: trusts its scale at once", "elif rho > 5:", "elif rho > 0:"),
        ("radam: never trusts its scale", "elif rho > 5:", "elif rho > 1e9:"),
        ("radam: no rectification", ".mul_(r2**0.5)", ""),
        ("radam: rectified by the square", ".mul_(r2**0.5)", ".mul_(r2)"),
        ("radam: m not corrected", "(m / (1 - beta1**t)).mul_(lr)", "m * lr"),
        ("radam: a limit of one less", "2 / (1 - beta2) - 1", "2 / (1 - beta2)"),
    ),
    *mutants(
        "optim/radam.py",
        table("RAdam"),
        ("radam: epsilon inside the root", "v.sqrt().add_(eps)", "(v + eps).sqrt()"),
        ("radam: a captured step takes both", "torch.where(rho > 5, scaled, plain)", "scaled"),
        ("radam: betas exchanged", *BETAS),
        ("radam: trusts its scale from 4", "elif rho > 5:", "elif rho > 4:"),
    ),
    *mutants(
        "optim/adamax.py",
        LAWS,
        ("adamax: the maximum does not fade", "u.mul_(beta2).maximum_", "u.maximum_"),
        ("adamax: the last gradient alone", "u.mul_(beta2).maximum_", "u.mul_(0).maximum_"),
        ("adamax: m not corrected", "-lr / (1 - beta1**t)", "-lr"),
        ("adamax: the sign is kept", "g.abs().add_", "g.clone().add_"),
        ("adamax: the square", "g.abs().add_", "(g * g).add_"),
    ),
    *mutants(
        "optim/adamax.py",
        table("Adamax"),
        ("adamax: betas exchanged", *BETAS),
        (
            "adamax: epsilon is added to the maximum",
            'u.mul_(beta2).maximum_(g.abs().add_(group["eps"]))\n        w.addcdiv_(m, u,',
            'u.mul_(beta2).maximum_(g.abs())\n        w.addcdiv_(m, u + group["eps"],',
        ),
        ("adamax: u corrected as well", "w.addcdiv_(m, u, ", "w.addcdiv_(m, u / (1 - beta2**t), "),
    ),
    *mutants(
        "optim/optimizer.py",
        table("float64-path", "complex128-path"),
        ("optimizer: maximize ignored", 'if group["maximize"]:', "if False:"),
        ("optimizer: weight decay ignored", "decay == 0:", "decay >= 0:"),
        ("optimizer: decoupled decay without the rate", '1 - group["lr"] * decay', "1 - decay"),
        (
            "optimizer: decoupled decay and the penalty",
            "        return g\n    return g.add",
            "    return g.add",
        ),
        (
            "optimizer: decay climbs with maximize",
            "_penalised(w, g, group), state",
            '_penalised(w, g, group | {"weight_decay": -1 * group.get("weight_decay", 0)})\n'
            '            if group["maximize"] else _penalised(w, g, group), state',
        ),
        (
            "optimizer: complex numbers not as pairs",
            "if tensors[0].is_complex() else tensors",
            "if False else tensors",
        ),
    ),
    *mutants(
        "optim/optimizer.py",
        table("forms", "capturable", "differentiable", "complex128-path"),
        (
            "optimizer: complex velocity kept as pairs",
            "p.is_complex() and t.dim() > p.dim()",
            "False",
        ),
        ("optimizer: types mixed in one call", "kind = (p.dtype, p.device,", "kind = (p.device,"),
        ("optimizer: counters that part are not told apart", "*names, *numbers)", "*names)"),
        (
            "optimizer: counters read while capturing",
            "if not _live(group):\n            return counters",
            "if True:\n            return counters",
        ),
        (
            "optimizer: the rate's gradient is lost",
            "value.requires_grad or _live(group)",
            "_live(group)",
        ),
        ("optimizer: step never recorded", 'self.defaults.get("differentiable", False)', "False"),
    ),
    *mutants(
        "optim/optimizer.py",
        table("old-state", "late-velocity", "to-ours", "scaler", "sparse", "copies"),
        (
            "optimizer: old counters stay numbers",
            "isinstance(value := state.get(name), float | int)",
            "isinstance(value := state.get(name), str)",
        ),
        (
            "optimizer: only the step of an old file is read",
            "for name in self.SCALARS:",
            'for name in ("step",):',
        ),
        (
            "optimizer: old groups are not completed",
            "group.setdefault(name, ABSENT.get(name, False))",
            "pass",
        ),
        (
            "optimizer: a buffer of None counts as one",
            "names = [k for k, v in state.items() if v is not None]",
            "names = list(state)",
        ),
        (
            "optimizer: sparse gradients taken by all",
            "if not self.SPARSE:",
            "if False:",
        ),
        (
            "optimizer: weight decay of sparse gradients",
            '.get("weight_decay", 0)) != 0:',
            '.get("weight_decay", 0)) < 0:',
        ),
        (
            "optimizer: counters of another type",
            "dtype if dtype == torch.float64 else torch.float32",
            "torch.float64",
        ),
    ),
    *mutants(
        "optim/optimizer.py",
        "test_optim.py -k 'not promise'",
        (
            "optimizer: parameters without a gradient not skipped",
            "if p.grad is None:\n                continue",
            "if p.grad is None:\n                p.grad = torch.zeros_like(p)",
        ),
        ("optimizer: closure without gradients", "torch.enable_grad()", "torch.no_grad()"),
        ("optimizer: the closure's loss is lost", "        return loss\n", "        return None\n"),
        ("optimizer: beta = 1 allowed", "(high == inf or value < high)", "value <= high"),
        ("optimizer: negative values allowed", "low <= value and", "low - 1 <= value and"),
        ("optimizer: nan allowed", "if not inside:", "if inside is False and value < low:"),
        ("optimizer: an infinite rate refused", "(high == inf or value < high)", "value < high"),
        (
            "optimizer: a rate of two elements allowed",
            "and value.numel() != 1:",
            "and value.numel() > 2:",
        ),
        (
            "optimizer: no number at all allowed",
            'raise TypeError(f"{name} must be a number, got {given!r}") from None',
            "return",
        ),
        (
            "optimizer: fused beside foreach",
            'for other in ("differentiable", "foreach"):',
            'for other in ("differentiable",):',
        ),
        (
            "optimizer: fused one by one",
            'group.get("foreach") or group.get("fused")',
            'group.get("foreach")',
        ),
        (
            "optimizer: rules of whole parameters move groups",
            'p.device.type in ("cuda", "xpu")',
            "True",
        ),
        (
            "optimizer: fused takes complex parameters",
            'if group.get("fused") and not p.is_floating_point():',
            "if False:",
        ),
    ),
    *mutants(
        "optim/tensors.py",
        "test_optim.py -k 'load_by_load or nothing_on'",
        (
            "tensors: twice the load for formulas that make something too",
            "* (1 if made else 2)",
            "* 2",
        ),
        (
            "tensors: a load for formulas that make nothing too",
            "* (1 if made else 2)",
            "* 1",
        ),
    ),
    *mutants(
        "optim/tensors.py",
        table("bfloat16-path"),
        (
            "tensors: a number is rounded to bfloat16",
            "if isinstance(other, float) and self.tensors[0].dtype in HALF",
            "if False and self.tensors[0].dtype in HALF",
        ),
    ),
    *mutants(
        "optim/tensors.py",
        table("gradcheck"),
        (
            "tensors: a recorded root is written to",
            "return root.clone() if torch.is_grad_enabled() else root",
            "return root",
        ),
        (
            "tensors: a recorded operand is written to",
            "[t.clone() for t in other.tensors] if torch.is_grad_enabled() else other.tensors",
            "other.tensors",
        ),
        (
            "tensors: a recorded copy has no derivative",
            "if torch.is_grad_enabled():  # the call over",
            "if False:  # the call over",
        ),
    ),
    *mutants(
        "optim/tensors.py",
        table("capturable"),
        (
            "tensors: subtraction the other way round",
            "return -self + other",
            "return self - other",
        ),
        (
            "tensors: quotient the other way round",
            "Tensors(torch._foreach_reciprocal(_plain(self))) * other",
            "self / other",
        ),
        (
            "tensors: a tensor rate is counted twice",
            "self.add_(x / y * value)",
            "self.add_(x / y * value * value)",
        ),
        (
            "tensors: no bound from below",
            "        torch._foreach_clamp_min_(self.tensors, _plain(low))\n",
            "",
        ),
        (
            "tensors: no bound from above",
            "        torch._foreach_clamp_max_(self.tensors, _plain(high))\n",
            "",
        ),
    ),
    *mutants(
        "optim/tensors.py",
        table("Adam and differentiable"),
        (
            "tensors: lerp without the start",
            "self.add_((end - self) * weight)",
            "self.add_(end * weight)",
        ),
    ),
    *mutants(
        "optim/tensors.py",
        table("ASGD"),
        (
            "tensors: a counter has more digits than torch's",
            "rounded = torch.tensor(value)",
            "rounded = torch.tensor(value, dtype=torch.float64)",
        ),
    ),
    *mutants(
        "optim/tensors.py",
        table("-SGD"),
        (
            "tensors: the step before is added, not the new gradient",
            "torch.add(x, t, alpha=factor, out=t)",
            "torch.add(t, x, alpha=factor, out=t)",
        ),
        (
            "tensors: one pass whatever the weight",
            "if not single or alpha != 1 or",
            "if not single or",
        ),
    ),
    *mutants(
        "optim/tensors.py",
        "test_optim.py -k 'pieces or load_by_load'",
        (
            "tensors: pieces are copies where the order differs",
            "[t.view(-1) for t in tensors] if all(t.is_contiguous() for t in tensors) else []",
            "[t.reshape(-1) for t in tensors]",
        ),
        ("tensors: the last load is left", "    if few:\n", "    if False:\n"),
        ("tensors: a load of the others as well", "if few and total + n > size:", "if False:"),
    ),
    *mutants(
        "optim/script.py",
        "test_optim.py -k '(SGD or Adadelta or ASGD) and (script or pieces)'",
        (
            "script: what makes a new tensor writes to the old",
            'operation.endswith("_") and operation[0] != "_"',
            'operation.endswith("_")',
        ),
        (
            "script: the operands the other way round",
            "for value in given]",
            "for value in given[::-1]]",
        ),
        (
            "script: nothing is added",
            "- set(memory) - set(counters)",
            "& set(memory) & set(counters)",
        ),
    ),
    *mutants(
        "optim/compiled.py",
        "test_optim.py -k 'script or made_anew or run_uncompiled or (Adamax and kernel)'",
        (
            "compiled: the numbers of the first step for ever",
            "dict(zip(script.numbers, single, strict=True))",
            "script.numbers",
        ),
        ("compiled: one kernel for all layouts", "*shapes, *strides)", "*shapes)"),
        (
            "compiled: numbers of half the digits",
            "torch.float64 if first.dtype",
            "torch.float32 if first.dtype",
        ),
        ("compiled: a new kernel at every step", "and len(self.made) >= most:", "and False:"),
        (
            "compiled: the first parameter alone",
            "for i in range(count):",
            "for i in range(1):",
        ),
    ),
    *mutants(
        "optim/optimizer.py",
        "test_optim.py -k 'cannot_be_compiled or recorded_step or whole_parameters'",
        (
            "optimizer: captured steps are compiled",
            "(_recording(group) or g.is_sparse)",
            "g.is_sparse",
        ),
        (
            "optimizer: sparse steps are compiled",
            "(_recording(group) or g.is_sparse)",
            "_recording(group)",
        ),
        ("optimizer: all rules by lines", "plain = self.ELEMENTWISE and not", "plain = not"),
    ),
]
