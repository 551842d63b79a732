"""What to try: the six methods of notes 4.3 against overfitting, and cures of the other faults."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Remedy:
    """Something to change.

    Args:
        id: its short name.
        action: what to do, in one line.
        condition: when it helps, or what it costs; "" if always.
        key: the option of ``train.py fit`` that does it; "" if none does.
        source: section of the notes, or whose advice it is.
        attributed: the notes say so and contradict it elsewhere: shown on demand only.
    """

    id: str
    action: str
    condition: str = ""
    key: str = ""
    source: str = ""
    attributed: bool = False

    def __str__(self) -> str:
        condition = f" ({self.condition})" if self.condition else ""
        key = f": `{self.key}`" if self.key else ""
        source = f" [{self.source}]" if self.source else ""
        return f"{self.action}{condition}{key}{source}"

    def as_dict(self) -> dict[str, Any]:
        """The remedy as plain data."""
        return asdict(self)


# the keys are options of scripts/train.py as the files in configs use them
LR = "--model.optimizer.lr"
REMEDIES = {
    remedy.id: remedy
    for remedy in (
        Remedy(
            "early_stop",
            "keep the weights of the best epoch, or stop there",
            "",
            "--trainer.max_epochs",
            "Prechelt",
        ),
        # the six methods of notes 4.3
        Remedy(
            "smaller",
            "use fewer layers or units",
            "the training loss goes far below the validation loss",
            "--model.net.hidden",
            "notes 4.3, method 1",
        ),
        Remedy(
            "dropout",
            "use dropout; 0.5 is the usual start",
            "not in layers that already underfit",
            "--model.net.dropout",
            "notes 4.3, method 1; 6.5",
        ),
        Remedy(
            "no_batch_norm",
            "remove BatchNorm and self-attention",
            "the notes say so here; their 6.4 says that BatchNorm regularises",
            "--model.net.batch_norm",
            "notes 4.3, method 1",
            attributed=True,
        ),
        Remedy(
            "larger_batch",
            "try a larger batch",
            "helps little",
            "--data.batch_size",
            "notes 4.3, method 2",
        ),
        Remedy(
            "features",
            "scale or redesign the features so that unlike labels have unlike inputs",
            "",
            "",
            "notes 4.3, method 3",
        ),
        Remedy(
            "more_data",
            "get more data, or sample it evenly",
            "",
            "--data.subset",
            "notes 4.3, method 4",
        ),
        Remedy(
            "augment",
            "augment the images",
            "the label must survive it",
            "--data.augment",
            "notes 4.3, method 4",
        ),
        Remedy(
            "sgd",
            "try SGD instead of Adam",
            "takes longer",
            "--model.optimizer",
            "notes 4.3, method 5",
        ),
        Remedy(
            "smooth_labels",
            "smooth the labels",
            "for classes",
            "--model.label_smoothing",
            "notes 4.3, method 6",
        ),
        Remedy(
            "weight_decay",
            "use weight decay, such as 0.01",
            "",
            "--model.optimizer.weight_decay",
            "notes 6.5",
        ),
        # underfitting
        Remedy(
            "larger",
            "use more layers or units",
            "the training accuracy is low",
            "--model.net.hidden",
            "notes 3.5",
        ),
        Remedy(
            "less_dropout",
            "use less dropout",
            "the network underfits",
            "--model.net.dropout",
            "notes 6.5",
        ),
        Remedy(
            "less_decay",
            "use less weight decay",
            "the network underfits",
            "--model.optimizer.weight_decay",
            "notes 6.5",
        ),
        Remedy(
            "longer", "train longer", "the losses still fall", "--trainer.max_epochs", "notes 4.3"
        ),
        Remedy(
            "higher_lr",
            "multiply the learning rate by 3 to 10",
            "the loss falls slowly and smoothly",
            LR,
            "notes 6.2",
        ),
        # bottleneck and divergence
        Remedy("lower_lr", "divide the learning rate by 3 to 10", "", LR, "notes 4.3"),
        Remedy(
            "decay_lr",
            "let the learning rate decay",
            "the loss jumps around at the end",
            "--model.lr_scheduler",
            "notes 6.2",
        ),
        Remedy(
            "warm_up",
            "start with a small learning rate and raise it",
            "the first steps explode",
            "--model.lr_scheduler",
            "Goyal et al.",
        ),
        Remedy("other_batch", "try another batch size", "", "--data.batch_size", "notes 4.3"),
        Remedy("other_optimizer", "try another optimizer", "", "--model.optimizer", "notes 4.3"),
        Remedy(
            "clip",
            "clip the gradient",
            "the first layers' gradients explode",
            "--trainer.gradient_clip_val",
            "Pascanu et al.",
        ),
        Remedy(
            "no_clip",
            "raise or remove the limit of gradient clipping",
            "it is set",
            "--trainer.gradient_clip_val",
            "",
        ),
        Remedy(
            "structure",
            "check the structure of the network and its initial weights",
            "",
            "--model.net",
            "notes 4.3",
        ),
        # layers
        Remedy(
            "init",
            "start from He's weights for ReLU, Xavier's for sigmoid and tanh",
            "",
            "--model.net.init",
            "notes 6.3",
        ),
        Remedy(
            "random_init",
            "start from random weights, never from equal ones",
            "",
            "--model.net.init",
            "notes 6.3",
        ),
        Remedy(
            "relu",
            "use ReLU or one of its family instead of sigmoid and tanh",
            "",
            "--model.net.activation",
            "notes 3.2",
        ),
        Remedy(
            "leaky",
            "use LeakyReLU, whose gradient is nowhere 0",
            "",
            "",
            "notes 3.2",
        ),
        Remedy(
            "bias", "start with biases that are not negative", "", "--model.net.init", "notes 3.2"
        ),
        Remedy(
            "batch_norm", "normalise between the layers", "", "--model.net.batch_norm", "notes 6.4"
        ),
        Remedy(
            "bn_momentum",
            "let the running statistics of BatchNorm follow faster: momentum 0.1 is usual",
            "",
            "",
            "notes 6.4",
        ),
        Remedy(
            "skip",
            "let layers be skipped (residual connections)",
            "the network is deep",
            "",
            "He et al.",
        ),
        Remedy(
            "scale_inputs",
            "scale the inputs to mean 0 and variance 1",
            "",
            "",
            "notes 4.3, method 3",
        ),
        Remedy(
            "unfreeze",
            "give the optimizer all parameters, and let them ask for gradients",
            "the layer is not frozen on purpose",
            "",
            "",
        ),
        # data
        Remedy(
            "compare_sets",
            "compare the two sets: source, preprocessing, classes, normalisation",
            "",
            "",
            "notes 4.3",
        ),
        Remedy("leak", "look for samples that are in both sets", "", "", "notes 4.3"),
        Remedy(
            "labels",
            "look for wrong labels, in the samples with the largest loss first",
            "",
            "",
            "notes 4.3",
        ),
        Remedy(
            "measure",
            "measure the training loss in eval mode before blaming the data",
            "dropout or augmentation is on",
            "",
            "notes 6.5",
        ),
        Remedy(
            "one_softmax",
            "give CrossEntropyLoss the logits: it contains the softmax",
            "",
            "",
            "notes 3.4",
        ),
        Remedy(
            "check_data",
            "check inputs, labels and that they belong together: fit one small batch to loss 0",
            "",
            "",
            "Karpathy",
        ),
        Remedy(
            "more_validation",
            "use a larger validation set, whose loss is less noisy",
            "",
            "--data.val_size",
            "",
        ),
    )
}


def remedies(names: str, attributed: bool = False) -> tuple[Remedy, ...]:
    """Return the remedies of a list of ids; those the notes contradict only if ``attributed``."""
    chosen: Iterable[Remedy] = (REMEDIES[name] for name in names.split())
    return tuple(remedy for remedy in chosen if attributed or not remedy.attributed)
