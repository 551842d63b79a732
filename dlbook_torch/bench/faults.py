"""Training runs with a planted fault, and healthy ones: what is planted and what is right to say.

The diagnostics are judged on splits that share no task, no seed, and no width, update rule or
batch size of a healthy run:

* **development** and **validation**, on which thresholds may be chosen. The first: digits and a
  mixture of Gaussians; fully connected networks of 1 to 3 hidden layers of 32, 64 or 128 units;
  ReLU, LeakyReLU, tanh, sigmoid, GELU; SGD with momentum, Adam; constant and cosine rates; seeds
  from 0. The second: clothes of 7 x 7 and digits of 4 x 4 pixels, shells, tumours, Friedman's
  function, patients; convolutional networks of 8 or 12 channels, and fully connected ones of 1 to
  3 hidden layers of 24 to 112 units; all activations; SGD without momentum,
  Adamax, RAdam, Adadelta; all schedules; seeds from 5000.
* **held-out**, on which they are reported, and which nothing was fitted to: a part of
  Fashion-MNIST, a teacher's classes, a regression; convolutional networks of 6 or 10 channels, and
  fully connected ones of 2 to 4 hidden layers of 48, 96 or 160 units; ReLU, ELU, SiLU, tanh,
  sigmoid; Nesterov, RMSprop, AdamW, NAdam, Adagrad; constant, stepped, warmed-up and exponential
  rates; seeds from 3000: of those from 1000 and from 2000 the scores are known, and rules were
  added since, so they are spent. The sizes of the faults are drawn from the same ranges; the shift
  of the validation set is of another kind in half of the runs, as it is in the second.

What a family's runs are called is the fault that was planted. Whether it did harm is decided by
:mod:`dlbook_torch.bench.outcome` from a test set that no diagnosis sees; runs whose outcome does
not fit are dropped, and counted.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from .outcome import Outcome, outcome, outcomes
from .settings import FIRST_SEED, Config, Draw, SplitName, healthy, log_uniform
from .tasks import TASKS

Plant = Callable[[Config, Draw], Config]
Group = Literal["healthy", "overfit", "stuck", "diverged", "data"]

# what a finding says, in the few words by which families and verdicts are compared
SYMPTOMS: dict[str, tuple[str, ...]] = {
    "overfitting": ("overfitting", "gap"),
    "poor": ("not_learning", "underfitting", "too_slow", "plateau"),
    "diverging": ("diverging", "exploding_gradients", "oscillating", "lr_too_high"),
    "dead_relu": ("dead_relu",),
    "saturated": ("saturated",),
    "vanishing": ("vanishing_gradients",),
    "lr_too_low": ("lr_too_low",),
    "frozen_layer": ("frozen_layer",),
    "symmetric": ("symmetric_weights",),
    "bad_init": ("bad_init",),
    "double_softmax": ("double_softmax",),
    "bn_drift": ("bn_drift",),
    "data": ("validation_shift", "data_suspect"),
}
SYMPTOM_OF = {name: symptom for symptom, names in SYMPTOMS.items() for name in names}
GROUP_OF: dict[str, Group] = {
    name: "overfit"
    if symptom == "overfitting"
    else "diverged"
    if symptom == "diverging"
    else "data"
    if symptom in ("data", "double_softmax", "bn_drift")
    else "stuck"
    for name, symptom in SYMPTOM_OF.items()
}


@dataclass(frozen=True)
class Family:
    """A kind of fault.

    Args:
        group: the coarse verdict.
        headline: ids that are a correct headline.
        has: symptom of ``SYMPTOMS`` that has to be found; "" where the fault has several faces.
        may: symptoms that may be found besides, true or arguable; all others are false alarms.
        harm: outcomes that show that the fault did harm; None: it is there whatever comes of it.
        plant: settings of a healthy run to those of a faulty one.
    """

    group: Group
    headline: tuple[str, ...]
    has: str
    may: tuple[str, ...]
    harm: tuple[Outcome, ...] | None
    plant: Plant


FAMILIES: dict[str, Family] = {}


def _family(
    group: Group, headline: str, *, has: str, may: str = "", harm: str = "fails"
) -> Callable[[Plant], Plant]:
    def register(plant: Plant) -> Plant:
        outcomes: Any = None if harm == "present" else tuple(harm.split())
        names = tuple(headline.split())
        FAMILIES[plant.__name__] = Family(group, names, has, tuple(may.split()), outcomes, plant)
        return plant

    return register


POOR = "not_learning underfitting too_slow plateau"
WILD = "diverging exploding_gradients oscillating lr_too_high"
KILLED = "not_learning dead_relu saturated"  # what steps too large may leave behind
ANY_CAUSE = "poor diverging dead_relu saturated vanishing lr_too_low bad_init"


def _mlp(c: Config, draw: Draw, **changes: Any) -> Config:
    """The same as a fully connected network, with other settings."""
    wide: dict[str, Any] = {}
    if c.arch != "mlp":
        wide = dict(arch="mlp", width=draw.choice([48, 96]), depth=2)
    return replace(c, **(wide | changes))


# a task of the same split that has classes; one whose classes have a difficult side
CLASSES = {"reg": "teacher", "friedman": "shells", "patients": "tumours"}
CROWDED = {"digits": "gmm", "reg": "teacher", "friedman": "numerals", "patients": "numerals"}


def _with_classes(c: Config) -> Config:
    """The same on a task with classes."""
    return replace(c, data=CLASSES.get(c.data, c.data))


def _plain(c: Config, opt: str = "", **changes: Any) -> Config:
    """Without what keeps a network from failing: no BatchNorm, dropout or schedule."""
    rate = {"sgd": 0.03, "nesterov": 0.03, "adam": 2e-3, "adamw": 2e-3}
    bare: dict[str, Any] = dict(bn=False, drop=0.0, schedule="constant")
    if opt:
        bare |= dict(opt=opt, lr=rate[opt])
    return replace(c, **(bare | changes))


def _momentum(c: Config) -> str:
    return "nesterov" if c.opt in ("nesterov", "adagrad", "rmsprop") else "sgd"


def _adaptive(c: Config) -> str:
    return "adam" if c.opt in ("adam", "sgd") else "adamw"


def _epochs(c: Config, draw: Draw, *choices: int) -> int:
    """Convolutions cost more, so they run for two thirds."""
    n = draw.choice(choices)
    return n if c.arch == "mlp" else max(10, 2 * n // 3)


# --- the network learns its training samples by heart


@_family("overfit", "overfitting gap", has="overfitting", may="data", harm="overfits")
def overfit_small_data(c: Config, draw: Draw) -> Config:
    """Few samples, a wide network, many epochs, nothing against it."""
    width = draw.choice([128, 256]) if c.arch == "mlp" else 16
    n, epochs = draw.choice([80, 150, 250]), _epochs(c, draw, 40, 60, 90)
    rate = round(log_uniform(draw, 1e-3, 3e-3), 6)
    return _plain(c, _adaptive(c), n=n, width=width, epochs=epochs, wd=0.0, bs=32, lr=rate)


@_family("overfit", "overfitting gap", has="overfitting", may="data poor", harm="overfits")
def overfit_label_noise(c: Config, draw: Draw) -> Config:
    """Some labels are wrong, and the network is wide enough to learn them."""
    c = _with_classes(c)
    width = draw.choice([128, 256]) if c.arch == "mlp" else 16
    n, noise = draw.choice([400, 800]), draw.choice([0.2, 0.3, 0.4])
    epochs = _epochs(c, draw, 30, 40, 60)
    return _plain(c, _adaptive(c), n=n, noise=noise, width=width, wd=0.0, epochs=epochs, bs=32)


# --- it does not get far


@_family("stuck", POOR, has="poor", may="dead_relu lr_too_low saturated")
def underfit_capacity(c: Config, draw: Draw) -> Config:
    """Two units, or one: too few to tell the classes apart."""
    return _mlp(_plain(c), draw, depth=1, width=1 if TASKS[c.data].outputs <= 5 else 2)


@_family("stuck", POOR, has="poor", may="lr_too_low vanishing dead_relu bad_init symmetric")
def underfit_overreg(c: Config, draw: Draw) -> Config:
    """Weight decay holds the weights near zero."""
    opt = draw.choice([_momentum(c), "adam"])
    return _plain(c, opt, wd=draw.choice([0.2, 0.3, 0.5]))


@_family("stuck", POOR, has="poor", may="data dead_relu")
def underfit_dropout(c: Config, draw: Draw) -> Config:
    """Nine units of ten are silent."""
    return _mlp(_plain(c), draw, drop=0.9, depth=2, width=draw.choice([32, 48]))


@_family("stuck", f"lr_too_low {POOR}", has="lr_too_low", may="poor data")
def lr_too_low(c: Config, draw: Draw) -> Config:
    """A learning rate of 1e-5 or less."""
    rate = draw.choice([3e-6, 1e-5])
    return replace(c, lr=rate * (1 if c.opt != "adagrad" else 10), schedule="constant", drop=0.0)


@_family("stuck", f"lr_too_low {POOR}", has="lr_too_low", may="poor")
def clip_tiny(c: Config, draw: Draw) -> Config:
    """The gradient is clipped to nearly nothing."""
    return _plain(c, _momentum(c), clip=draw.choice([3e-5, 1e-4]))


@_family("stuck", f"too_slow underfitting lr_too_low plateau {POOR}", has="poor", may="lr_too_low")
def stopped_early(c: Config, draw: Draw) -> Config:
    """A low rate, and the run ends while it still learns."""
    rate, epochs = draw.choice([5e-4, 1e-3]), draw.choice([10, 12])
    return _plain(c, _momentum(c), mom=0.5, lr=rate, epochs=epochs, bn=c.bn)


@_family("stuck", f"lr_too_low {POOR}", has="poor", may="lr_too_low")
def lr_dies(c: Config, draw: Draw) -> Config:
    """The schedule multiplies the rate by 0.3 after every epoch: soon nothing moves."""
    return _plain(c, _momentum(c), schedule="dies", lr=draw.choice([0.003, 0.006]), bn=c.bn)


@_family("stuck", f"vanishing_gradients {POOR}", has="vanishing", may=f"symmetric {ANY_CAUSE}")
def vanishing(c: Config, draw: Draw) -> Config:
    """Many sigmoid layers, started small."""
    depth, width = draw.choice([8, 12]), draw.choice([16, 32])
    c = _mlp(_plain(c, _momentum(c)), draw, depth=depth, width=width)
    return replace(c, act="sigmoid", init=draw.choice([0.05, 0.2]), lr=draw.choice([1e-3, 0.01]))


@_family(
    "stuck",
    "symmetric_weights not_learning dead_relu vanishing_gradients bad_init",
    has="symmetric",
    may=f"{ANY_CAUSE} frozen_layer",
    harm="present",
)
def zero_init(c: Config, draw: Draw) -> Config:
    """All weights start at zero."""
    return _plain(c, init="zero")


@_family(
    "stuck",
    f"symmetric_weights bad_init {POOR}",
    has="symmetric",
    may=ANY_CAUSE,
    harm="present",
)
def constant_init(c: Config, draw: Draw) -> Config:
    """All weights of a layer start equal."""
    return _mlp(_plain(c), draw, init="constant")


@_family(
    "stuck",
    f"overfitting gap data_suspect validation_shift {POOR}",
    has="poor",
    may="overfitting data lr_too_low dead_relu",
)
def shuffled_labels(c: Config, draw: Draw) -> Config:
    """The training labels have nothing to do with the inputs."""
    c = _with_classes(c)
    return replace(c, noise=1.0, width=min(c.width, 64))


@_family("stuck", f"dead_relu {POOR}", has="dead_relu", may=f"frozen_layer {ANY_CAUSE}")
def dead_relu_bias(c: Config, draw: Draw) -> Config:
    """The biases start so low that hardly a unit ever fires."""
    return _plain(c, act="relu", bias=draw.choice([-3.0, -6.0, -10.0]))


@_family(
    "stuck",
    f"dead_relu not_learning {WILD}",
    has="dead_relu",
    may=f"frozen_layer {ANY_CAUSE}",
)
def dead_relu_lr(c: Config, draw: Draw) -> Config:
    """A rate so high that the first steps kill the units."""
    return _plain(c, _adaptive(c), act="relu", lr=draw.choice([0.1, 0.3, 0.5]))


@_family("stuck", "saturated", has="saturated", may=f"{ANY_CAUSE} overfitting data")
def saturated(c: Config, draw: Draw) -> Config:
    """Inputs of 30 to 255 times the usual size, into sigmoid or tanh."""
    act, scale = draw.choice(["sigmoid", "tanh"]), draw.choice([30.0, 100.0, 255.0])
    return _mlp(_plain(c), draw, act=act, xscale=scale)


@_family("stuck", "saturated bad_init", has="saturated", may=f"{ANY_CAUSE} overfitting data")
def saturated_init(c: Config, draw: Draw) -> Config:
    """Weights of 15 times the usual size, before sigmoid or tanh."""
    act = draw.choice(["sigmoid", "tanh"])
    return _plain(c, act=act, init=draw.choice([10.0, 15.0, 25.0]))


@_family("stuck", "frozen_layer", has="frozen_layer", may="poor", harm="present")
def frozen_layer(c: Config, draw: Draw) -> Config:
    """The optimizer was not given the first layer."""
    c = replace(c, depth=max(c.depth, 2))
    return replace(c, freeze=(0,))


@_family("data", "double_softmax", has="double_softmax", may="poor lr_too_low", harm="present")
def double_softmax(c: Config, draw: Draw) -> Config:
    """The network ends in a softmax, and the loss has one of its own."""
    c = _with_classes(c)
    return replace(c, dsoft=True)


# --- it does not settle


@_family("diverged", f"{WILD} {KILLED}", has="diverging", may=f"{ANY_CAUSE} overfitting")
def diverge(c: Config, draw: Draw) -> Config:
    """A rate far beyond what is stable."""
    return _plain(c, _momentum(c), lr=draw.choice([3.0, 10.0, 100.0]), epochs=15)


@_family("diverged", f"{WILD} {KILLED}", has="diverging", may=f"{ANY_CAUSE} overfitting")
def oscillate(c: Config, draw: Draw) -> Config:
    """A rate at the edge of what is stable."""
    c = _plain(c, _momentum(c), lr=draw.choice([0.4, 0.6, 0.9]))
    return replace(c, bs=draw.choice([16, 32]))


@_family("diverged", WILD, has="diverging", may=f"{ANY_CAUSE} overfitting")
def lr_grows(c: Config, draw: Draw) -> Config:
    """The schedule goes the wrong way: the rate grows by 30 % an epoch or more."""
    return _plain(c, _momentum(c), lrgrow=draw.choice([1.3, 1.4]), lr=0.02, epochs=25)


@_family("diverged", WILD, has="diverging", may=f"{ANY_CAUSE} overfitting")
def lr_spike(c: Config, draw: Draw) -> Config:
    """A restart in the middle of the run sets the rate a hundred times too high."""
    onset = draw.choice([8, 10, 12])
    return _plain(c, _momentum(c), spike=draw.choice([50.0, 100.0]), onset=onset, epochs=onset + 8)


@_family(
    "diverged",
    "diverging exploding_gradients bad_init lr_too_high oscillating",
    has="diverging",
    may=f"{ANY_CAUSE} overfitting data",
)
def exploding_init(c: Config, draw: Draw) -> Config:
    """Weights of several times the usual size, through many layers."""
    c = _mlp(_plain(c, _momentum(c)), draw, act="relu", depth=draw.choice([5, 6]), width=96)
    return replace(c, init=draw.choice([5.0, 8.0]))


@_family("diverged", f"{WILD} {KILLED}", has="diverging", may=f"{ANY_CAUSE} overfitting data")
def no_zero_grad(c: Config, draw: Draw) -> Config:
    """The gradients of all steps add up, because nobody sets them to zero."""
    return _plain(c, _momentum(c), accumulate=True)


# --- the sets are not what they should be

UNLIKE = "validation_shift gap overfitting data_suspect"


@_family("data", UNLIKE, has="data", may="overfitting poor", harm="misjudged")
def val_shift(c: Config, draw: Draw) -> Config:
    """The validation inputs are moved, or noisy, while training inputs are not."""
    kind = "offset" if c.data in ("digits", "gmm") else draw.choice(["offset", "noise"])
    return replace(c, shift=draw.choice([0.8, 1.2, 1.6]), shift_kind=kind)


@_family("data", UNLIKE, has="data", may="overfitting poor", harm="misjudged")
def val_labels_off(c: Config, draw: Draw) -> Config:
    """The validation labels count from one, those of the training set from zero."""
    c = _with_classes(c)
    return replace(c, wrong_val=True)


@_family("data", "data_suspect", has="data", may="poor overfitting", harm="misjudged")
def val_leak_dropout(c: Config, draw: Draw) -> Config:
    """The validation set is part of the training set, dropout hides it in the running mean."""
    n = min(c.n, draw.choice([200, 400]))
    return _mlp(c, draw, leak=True, n=n, drop=0.5, bn=False, width=128, epochs=30)


@_family("data", "data_suspect", has="data", may="poor", harm="misjudged")
def val_easy(c: Config, draw: Draw) -> Config:
    """The validation set lacks the difficult two thirds."""
    return replace(c, data=CROWDED.get(c.data, c.data), easy=True)


@_family(
    "data",
    f"data_suspect {POOR} gap overfitting",
    has="poor",
    may="data overfitting",
    harm="fails overfits",
)
def label_noise_train_small_cap(c: Config, draw: Draw) -> Config:
    """Half of the training labels are wrong, and the network is too small to learn them."""
    c = _with_classes(c)
    noise = draw.choice([0.6, 0.7])
    return _mlp(c, draw, n=1000, depth=1, width=24, noise=noise, drop=0.3)


@_family("data", UNLIKE + f" {POOR}", has="data", may="overfitting poor", harm="fails misjudged")
def class_imbalance(c: Config, draw: Draw) -> Config:
    """Half of the classes hardly occur among the training samples."""
    c = _with_classes(c)
    return replace(c, rare=draw.choice([0.01, 0.02]))


@_family(
    "stuck",
    f"bad_init dead_relu saturated lr_too_high {WILD} {POOR}",
    has="",
    may=f"{ANY_CAUSE} overfitting data",
)
def unnormalised_input(c: Config, draw: Draw) -> Config:
    """Inputs from 0 to 255, as images come."""
    return _plain(c, act="relu", xscale=draw.choice([50.0, 100.0]), xoffset=100.0)


@_family(
    "data",
    f"bn_drift {UNLIKE} oscillating bad_init {POOR}",
    has="bn_drift",
    may="data overfitting diverging poor bad_init",
    harm="fails",
)
def bn_drift(c: Config, draw: Draw) -> Config:
    """The running statistics of BatchNorm hardly follow, so eval mode sees others.

    Large weights, which BatchNorm makes up for in train mode, bring that to light.
    """
    return replace(c, bn=True, drop=0.0, bn_momentum=1e-4, init=3.0, depth=max(c.depth, 2))


def configs(split: SplitName, well: int = 120, each: int = 8) -> dict[str, tuple[str, Config]]:
    """Label and settings of every run of a split, by id."""
    plan = [("healthy", i) for i in range(well)]
    plan += [(label, i) for label in FAMILIES for i in range(each)]
    result = {}
    for label, i in plan:
        seed = FIRST_SEED[split] + i
        result[f"{split}/{label}/{seed}"] = label, config(split, label, seed)
    return result


def config(split: SplitName, label: str, seed: int) -> Config:
    """Draw the settings of one run: the same for the same arguments."""
    draw = random.Random(f"{split} {label} {seed}")
    base = healthy(split, seed, draw)
    return base if label == "healthy" else FAMILIES[label].plant(base, draw)


def verified(run: Mapping[str, Any]) -> bool:
    """The outcome fits the label."""
    if run["label"] == "healthy":
        return outcome(run) == "well"
    harm = FAMILIES[run["label"]].harm
    return harm is None or bool(set(harm) & set(outcomes(run)))
