"""One small training run on our layers and rules, with all that can be known of it."""

from dataclasses import dataclass, field
from math import cos, isfinite, nan, pi, prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import nn, optim
from ..diagnostics.watch import Watch
from .faults import Config
from .tasks import TASKS, Sets, Split, Task

PROBE = 512  # training samples that are measured in eval mode, or counted, in an epoch
EVERY = 20  # steps from one look at the layers to the next, as in the monitor
GIVEN_UP = 2  # epochs without a finite loss
ACTIVATIONS: dict[str, Any] = {
    "relu": nn.ReLU,
    "leaky": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
}
GAIN = {"tanh": 1.0, "sigmoid": 1.0}  # on 1 / sqrt(n); 2 ** 0.5 for all that are like ReLU
# where SageMaker Debugger takes a derivative for zero
FLAT_ENDS = {"tanh": (-9.4999996, 9.4999996), "sigmoid": (-23.0, 16.99999)}


@dataclass
class Layer:
    """A module with weights and the activation that follows it."""

    name: str
    affine: Any
    act: Any = None
    out: Tensor = field(default_factory=lambda: torch.empty(0))  # of the activation, on the probe
    pre: Tensor = field(default_factory=lambda: torch.empty(0))  # what went into it


def network(c: Config, task: Task) -> nn.Sequential:
    """The layers of a run, at their first weights.

    Per hidden layer or stage: affine or convolution, BatchNorm, activation, pooling, dropout.
    """
    norm: list[nn.Module]
    layers: list[nn.Module] = [] if c.arch == "conv" else [nn.Flatten()]
    shape = list(task.shape) if c.arch == "conv" else [prod(task.shape)]
    for _ in range(c.depth):
        affine: Any = (
            nn.Conv2d(shape[0], c.width, 3, padding=1)
            if c.arch == "conv"
            else nn.Linear(shape[0], c.width)
        )
        kind: Any = nn.BatchNorm2d if c.arch == "conv" else nn.BatchNorm1d
        norm = [kind(c.width, momentum=c.bn_momentum)] if c.bn else []
        layers += [affine, *norm, ACTIVATIONS[c.act]()]
        if c.arch == "conv":
            layers.append(nn.MaxPool2d(2))
        if c.drop:
            layers.append(nn.Dropout(c.drop))
        shape = [c.width, *(side // 2 for side in shape[1:])]
    layers += [nn.Flatten()] if c.arch == "conv" else []
    net = nn.Sequential(*layers, nn.Linear(prod(shape), task.outputs))
    initialize(net, c)
    return net


@torch.no_grad()
def initialize(net: nn.Module, c: Config) -> None:
    """He's or Xavier's weights times ``c.init``, or what else that asks for."""
    affine = [layer.affine for layer in layers_of(net)]
    for layer in affine:
        w, b = layer.weight, layer.bias
        hidden = layer is not affine[-1]
        b.fill_(c.bias if hidden else 0.0)
        if c.init == "zero":
            w.zero_()
        elif c.init == "constant":
            w.fill_(0.5 / w[0].numel() ** 0.5)
        else:
            gain = GAIN.get(c.act, 2**0.5) if hidden else 1.0
            w.normal_(std=gain * float(c.init) / w[0].numel() ** 0.5)


def layers_of(net: nn.Module) -> list[Layer]:
    """The modules with weights of more than one axis, in forward order."""
    found: list[Layer] = []
    for name, module in net.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            found.append(Layer(name, module))
        elif isinstance(module, tuple(ACTIVATIONS.values())):
            found[-1].act = module
    return found


def planted(c: Config, task: Task) -> Sets:
    """The data of a run with the faults that are in them."""
    sets = task.sets(c.n, c.seed)
    g = torch.Generator().manual_seed(c.seed)
    (x, t), (vx, vt), (ex, et) = sets
    if c.rare < 1:
        rare = t < (task.outputs + 1) // 2
        kept = ~rare | (torch.rand(len(t), generator=g) < c.rare)
        x, t = x[kept], t[kept]
    if c.noise:
        wrong = torch.rand(len(t), generator=g) < c.noise
        other = t + torch.randint(1, task.outputs, t.shape, generator=g)
        t = torch.where(wrong, other % task.outputs, t)
        if c.noise == 1:  # all drawn anew, so that not even "not this one" can be learned
            t = t[torch.randperm(len(t), generator=g)]
            t = torch.randint(task.outputs, t.shape, generator=g)
    if c.leak:
        chosen = torch.randperm(len(t), generator=g)[: len(vt)]
        vx, vt = x[chosen], t[chosen]
    if c.easy:
        kept = easiest(x, t, vx, vt, task.outputs)
        vx, vt = vx[kept], vt[kept]
    if c.wrong_val:
        vt = (vt + 1) % task.outputs
    if c.shift:
        like = vx if c.shift_kind == "noise" else vx[:1]
        vx = vx + c.shift * torch.randn(like.shape, generator=g)
    parts = [(x, t), (vx, vt), (ex, et)]
    return Sets(*(Split(a * c.xscale + c.xoffset, b) for a, b in parts))


def easiest(x: Tensor, t: Tensor, vx: Tensor, vt: Tensor, classes: int) -> Tensor:
    """The third of the validation samples that the class means tell apart best."""
    means = torch.stack([x[t == k].flatten(1).mean(0) for k in range(classes)])
    distance = torch.cdist(vx.flatten(1), means)
    own = distance.gather(1, vt[:, None]).squeeze(1)
    other = distance.scatter(1, vt[:, None], float("inf")).min(1).values
    return (other - own).argsort(descending=True)[: len(vt) // 3]


def rule(c: Config, params: list[Tensor]) -> Any:
    """The optimizer."""
    name = {"sgd": "SGD", "nesterov": "SGD", "rmsprop": "RMSprop", "adamw": "AdamW"}.get(c.opt)
    made = getattr(optim, name or {"adam": "Adam", "nadam": "NAdam", "adagrad": "Adagrad"}[c.opt])
    more = {"sgd": dict(momentum=c.mom), "nesterov": dict(momentum=c.mom, nesterov=True)}
    return made(params, lr=c.lr, weight_decay=c.wd, **more.get(c.opt, {}))


def rate(c: Config, epoch: int) -> float:
    """The learning rate of an epoch."""
    past = epoch / c.epochs
    factor = {
        "constant": 1.0,
        "cosine": 0.5 * (1 + cos(pi * past)),
        "step": 0.1 ** (int(past >= 0.5) + int(past >= 0.8)),
        "exponential": 0.02**past,
        "warm-up": min(1.0, (epoch + 1) / 4) * (1 - past),
        "dies": 0.3**epoch,
    }[c.schedule]
    spike = c.spike if c.spike != 1 and epoch >= c.onset else 1.0
    return c.lr * factor * c.lrgrow**epoch * spike


def cost(c: Config) -> Any:
    """The loss, with a second softmax where that is the fault."""
    if TASKS[c.data].classes is None:
        return nn.MSELoss()
    cross, softmax = nn.CrossEntropyLoss(), nn.Softmax(1)
    return (lambda y, t: cross(softmax(y), t)) if c.dsoft else cross


def score(y: Tensor, t: Tensor) -> float:
    """Accuracy, or share of the variance explained."""
    if t.dtype == torch.long:
        return float((y.argmax(1) == t).float().mean())
    return 1 - float(((y - t) ** 2).mean() / t.var(unbiased=False))


def train(label: str, c: Config, run_id: str = "") -> dict[str, Any]:
    """Train and record: a run in the format of the labelled files, as plain data."""
    task = TASKS[c.data]
    torch.manual_seed(c.seed)
    sets = planted(c, task)
    net, loss = network(c, task), cost(c)
    layers = layers_of(net)
    frozen = {id(p) for i in c.freeze for p in layers[i].affine.parameters()}
    optimizer = rule(c, [p for p in net.parameters() if id(p) not in frozen])
    run: dict[str, Any] = {
        "id": run_id or f"{label}/{c.seed}",
        "source": "dlbook_torch/bench/faults.py",
        "label": label,
        "config": c.as_dict(),
        "classes": task.classes,
        "layers": [layer.name for layer in layers],
        "activations": [c.act if layer.act is not None else "" for layer in layers],
        "start": beginning(c, sets, layers, loss, net),
    }
    rows = []
    look = Look(Watch(net), layers)
    with _watched(layers):
        for epoch in range(c.epochs):
            row = {"lr": rate(c, epoch)}
            for group in optimizer.param_groups:
                group["lr"] = row["lr"]
            row |= one_epoch(c, sets.train, net, loss, optimizer, look)
            row |= measured(sets, net, loss, layers)
            rows.append(row)
            if len(rows) >= GIVEN_UP and not any(
                isfinite(r["train_loss"]) for r in rows[-GIVEN_UP:]
            ):
                break
    for key in rows[0]:
        run[key] = [_plain(row[key]) for row in rows]
    return run


class Look(NamedTuple):
    """The statistics of the layers, taken as often as the monitor takes them."""

    watch: Watch
    layers: list[Layer]

    def steps(self, c: Config, batches: int) -> dict[int, bool]:
        """Steps that are looked at: True in full, False to count units until there are 512."""
        full = dict.fromkeys(range(0, batches, EVERY), True)
        stride = max(1, batches // -(-PROBE // c.bs))
        return dict.fromkeys(range(0, batches, stride), False) | full

    def row(self) -> dict[str, Any]:
        """What was seen in an epoch."""
        table = self.watch.take().statistics()

        def of(name: str) -> list[float]:
            return [table[name].get(x.name, nan) for x in self.layers] if name in table else []

        def those(name: str) -> list[float]:
            known = table.get(name, {})
            return [known[x.name] for x in self.layers if x.name in known]

        return {
            **{key: of(name) for key, name in STATISTICS.items()},
            "dead": those("dead"),
            "zero_frac": those("zero"),
            "sat": [
                [table["saturated"][x.name], table.get("saturated_units", {}).get(x.name, nan)]
                for x in self.layers
                if x.name in table.get("saturated", {})
            ],
            "act_std": of("activation_std"),
            "w_max": max(of("weight_max"), default=nan),
            "mean_drift": list(table.get("mean_drift", {}).values()),
            "variance_drift": list(table.get("variance_drift", {}).values()),
        }


STATISTICS = {
    "grad_norm": "gradient_norm",
    "grad_meanabs": "gradient_mean",
    "grad_zero": "gradient_zero",
    "upd_ratio": "update_ratio",
    "weight_max": "weight_max",
    "similarity": "similarity",
}


def one_epoch(
    c: Config, data: Split, net: Any, loss: Any, optimizer: Any, look: Look
) -> dict[str, Any]:
    """Train on every sample once."""
    net.train()
    order = torch.randperm(len(data.t))
    batches = [b for b in order.split(c.bs) if len(b) > 1]
    looks = look.steps(c, len(batches))
    total = right = 0.0
    for step, batch in enumerate(batches):
        t = data.t[batch]
        if step in looks:
            look.watch.start(full=looks[step])
        y = net(data.x[batch])
        value = loss(y, t)
        look.watch.stop()
        if not c.accumulate:
            optimizer.zero_grad()
        value.backward()
        if looks.get(step):
            look.watch.gradients()
            look.watch.before_update()
        if c.clip is not None:
            torch.nn.utils.clip_grad_norm_(net.parameters(), c.clip)
        optimizer.step()
        look.watch.after_update()
        total += float(value.detach()) * len(t)
        right += score(y.detach(), t) * len(t)
    seen = sum(map(len, batches))
    accuracy = right / seen if data.t.dtype == torch.long else nan
    return look.row() | {"train_loss": total / seen, "train_acc": accuracy}


@torch.no_grad()
def measured(sets: Sets, net: Any, loss: Any, layers: list[Layer]) -> dict[str, Any]:
    """In eval mode: the losses on all three sets, and the layers on training samples."""
    net.eval()
    row: dict[str, Any] = {}
    names = {"val_loss": sets.val, "test_loss": sets.test}
    names["train_loss_eval"] = Split(sets.train.x[:PROBE], sets.train.t[:PROBE])
    for name, (x, t) in names.items():  # the training samples last: they are what hooks keep
        y = net(x)
        row[name] = float(loss(y, t))
        right = score(y, t)
        if name == "test_loss":
            row["test_score"] = right
        else:
            key = name.replace("loss", "acc")
            row[key] = right if t.dtype == torch.long else nan
    return row | activity(layers)


def activity(layers: list[Layer]) -> dict[str, Any]:
    """What only the rules of others ask for: how seldom units fire, and slopes of nearly 0."""
    hidden = [layer for layer in layers if layer.act is not None]
    fires = [_units(x.out > 0).float() for x in hidden if isinstance(x.act, nn.ReLU)]
    return {
        "quiet": [float((f < 0.01).float().mean()) for f in fires],
        "flat": [_flat(x) for x in hidden if isinstance(x.act, nn.Tanh | nn.Sigmoid)],
    }


def beginning(c: Config, sets: Sets, layers: list[Layer], loss: Any, net: Any) -> dict[str, Any]:
    """What is known before the first step; some rules of others ask for it."""
    x, t = sets.train
    net.train()
    state = {key: value.clone() for key, value in net.state_dict().items()}
    with torch.random.fork_rng():
        loss(net(x[: c.bs]), t[: c.bs]).backward()
    grads = [layer.affine.weight.grad.flatten() for layer in layers]
    q = torch.tensor([0.05, 0.95])
    spread = [float((lambda s: s[1] - s[0])(g.float().quantile(q))) for g in grads]
    net.load_state_dict(state)
    net.zero_grad()
    counts = t.bincount(minlength=TASKS[c.data].outputs) if t.dtype == torch.long else None
    return {
        "weight_variance": [_plain(_variance(layer.affine.weight)) for layer in layers],
        "gradient_spread": [_plain(s) for s in spread],
        "input_mean": float(x.mean()),
        "input_low": float(x.min()),
        "input_high": float(x.max()),
        "class_counts": None if counts is None else counts.tolist(),
    }


class _watched:
    """Keep what goes into and comes out of every activation, in eval mode."""

    def __init__(self, layers: list[Layer]):
        self.layers = layers

    def __enter__(self) -> None:
        self.handles = [
            layer.act.register_forward_hook(self._keep(layer))
            for layer in self.layers
            if layer.act is not None
        ]

    def _keep(self, layer: Layer) -> Any:
        def keep(module: Any, args: tuple[Tensor, ...], out: Tensor) -> None:
            if not module.training:
                layer.pre, layer.out = args[0], out

        return keep

    def __exit__(self, *error: object) -> None:
        for handle in self.handles:
            handle.remove()


def _units(fires: Tensor) -> Tensor:
    """Share of the samples on which each unit, or channel at any position, fires."""
    return fires.flatten(2).any(2).float().mean(0) if fires.dim() > 2 else fires.float().mean(0)


def _flat(layer: Layer) -> float:
    low, high = FLAT_ENDS["tanh" if isinstance(layer.act, nn.Tanh) else "sigmoid"]
    return float(((layer.pre < low) | (layer.pre > high)).float().mean())


def _variance(weight: Tensor) -> float:
    return float(weight.detach().var()) if weight.numel() > 1 else nan


def _plain(value: Any) -> Any:
    """For JSON: six digits, None for what is not finite."""
    if isinstance(value, list):
        return [_plain(x) for x in value]
    return float(f"{value:.6g}") if isfinite(value) else None
