"""The cases: one row per promise that a layer or a rule of ours is torch's.

A new layer is proven by adding rows here; the tests and the ledger run every check over each.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from .. import nn

Target = Literal["values", "classes", "probabilities"]


@dataclass(frozen=True)
class Case:
    """A layer, its arguments, and the shape of what goes in."""

    notes: str
    name: str
    shape: tuple[int, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    target: Target | None = None

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        kwargs = ",".join(f"{k}={_brief(v)}" for k, v in self.kwargs.items())
        return "-".join(filter(None, [self.notes, self.name, shape, kwargs, self.target]))

    def build(self, library: Any) -> torch.nn.Module:
        """The layer as ``dlbook_torch.nn`` or ``torch.nn`` makes it."""
        return getattr(library, self.name)(**deepcopy(self.kwargs))

    def twins(
        self, dtype: torch.dtype = torch.float64, device: str = "cpu"
    ) -> tuple[torch.nn.Module, torch.nn.Module]:
        """Our layer and torch's with the same parameters and buffers, none of them 0 or 1."""
        ours, ref = (self.build(m).to(device, dtype) for m in (nn, torch.nn))
        with torch.no_grad():
            for t in (*ours.parameters(), *ours.buffers()):
                if t.is_floating_point():
                    t.add_(torch.rand_like(t) / 2)
        ref.load_state_dict(ours.state_dict())  # strict: the same keys and shapes
        return ours, ref

    def inputs(self, dtype: torch.dtype = torch.float64, device: str = "cpu") -> tuple[Tensor, ...]:
        """An input, and for a loss its target; those that can have a gradient ask for one."""
        x = torch.randn(self.shape, dtype=dtype, device=device, requires_grad=True)
        if self.target is None:
            return (x,)
        if self.target == "classes":
            axis = 0 if x.dim() == 1 else 1
            shape = self.shape[:axis] + self.shape[axis + 1 :]
            return x, torch.randint(self.shape[axis], shape, device=device)
        t = torch.randn(self.shape, dtype=dtype, device=device)
        if self.target == "probabilities":
            t = t.exp() / t.exp().sum(1, keepdim=True)
        return x, t.requires_grad_()


def _brief(value: Any) -> str:
    """An argument as a test id can bear it."""
    return "tensor" if isinstance(value, Tensor) else str(value).replace(" ", "")


def rows(notes: str, name: str, *shapes: tuple[int, ...], **kwargs: Any) -> list[Case]:
    """The same arguments on every shape."""
    return [Case(notes, name, shape, kwargs) for shape in shapes]


def conv(shape: tuple[int, ...] = (2, 2, 6, 5), **kwargs: Any) -> Case:
    """A convolution of two channels into four."""
    return Case("7.1", "Conv2d", shape, dict(in_channels=2, out_channels=4) | kwargs)


def loss(name: str, target: Target, *shapes: tuple[int, ...], **kwargs: Any) -> list[Case]:
    """A loss on every shape."""
    return [Case("4.2", name, shape, kwargs, target) for shape in shapes]


ROW, IMAGE = (4, 5), (2, 3, 6, 5)
WEIGHTS = torch.tensor([0.5, 1.5, 1.0, 0.2, 3.0], dtype=torch.float64)

CASES: list[Case] = [
    *rows("3.2.1", "Sigmoid", ROW, IMAGE, (), (0, 3)),
    *rows("3.2.2", "Tanh", ROW, IMAGE, (), (0, 3)),
    *rows("3.2.3", "ReLU", ROW, IMAGE, (), (0, 3)),
    *rows("3.4", "Softmax", ROW, (5,), IMAGE, dim=-1),
    *rows("3.4", "Softmax", IMAGE, (0, 3), dim=1),
    *rows("3.4", "LogSoftmax", ROW, (5,), IMAGE, dim=-1),
    *rows("3.4", "LogSoftmax", IMAGE, (0, 3), dim=1),
    *rows("3.3", "Linear", (4, 5), (5,), (2, 3, 5), (0, 5), in_features=5, out_features=3),
    *rows("3.3", "Linear", (4, 5), in_features=5, out_features=3, bias=False),
    *loss("MSELoss", "values", ROW, IMAGE, ()),
    *loss("MSELoss", "values", ROW, reduction="sum"),
    *loss("MSELoss", "values", ROW, reduction="none"),
    *[
        case
        for name in ("NLLLoss", "CrossEntropyLoss")
        for case in [
            *loss(name, "classes", (4, 5), (5,), (2, 5, 3), (2, 5, 3, 2)),
            *loss(name, "classes", (4, 5), (2, 5, 3), weight=WEIGHTS),
            *loss(name, "classes", (4, 5), (2, 5, 3), weight=WEIGHTS, ignore_index=1),
            *loss(name, "classes", (4, 5), reduction="sum", weight=WEIGHTS),
            *loss(name, "classes", (4, 5), (2, 5, 3), reduction="none", ignore_index=2),
        ]
    ],
    *loss("CrossEntropyLoss", "classes", (4, 5), (5,), (2, 5, 3), label_smoothing=0.1),
    *loss(
        "CrossEntropyLoss",
        "classes",
        (4, 5),
        (2, 5, 3),
        weight=WEIGHTS,
        label_smoothing=0.1,
        ignore_index=1,
    ),
    *loss("CrossEntropyLoss", "classes", (4, 5), label_smoothing=0.1, reduction="none"),
    *loss("CrossEntropyLoss", "probabilities", (4, 5), (2, 5, 3)),
    *loss("CrossEntropyLoss", "probabilities", (4, 5), weight=WEIGHTS, label_smoothing=0.1),
    *loss("CrossEntropyLoss", "probabilities", (2, 5, 3), reduction="sum"),
    *loss("CrossEntropyLoss", "probabilities", (2, 5, 3), reduction="none"),
    *rows("6.4", "BatchNorm1d", (4, 3), (4, 3, 5), num_features=3),
    *rows("6.4", "BatchNorm2d", IMAGE, (2, 3, 1, 1), num_features=3),
    *[
        case
        for name, shape in (("BatchNorm1d", (4, 3)), ("BatchNorm2d", IMAGE))
        for kwargs in (
            dict(affine=False),
            dict(track_running_stats=False),
            dict(affine=False, track_running_stats=False),
            dict(momentum=None),
            dict(momentum=0.3, eps=0.1),
        )
        for case in rows("6.4", name, shape, num_features=3, **kwargs)
    ],
    *rows("6.5", "Dropout", ROW, IMAGE),
    *rows("6.5", "Dropout", ROW, p=0.2),
    *rows("6.5", "Dropout", ROW, p=0.0),
    *rows("6.5", "Dropout", ROW, p=1.0),
    conv(kernel_size=3),
    conv((2, 6, 5), kernel_size=3),
    conv((0, 2, 6, 5), kernel_size=3),
    conv(kernel_size=(3, 2), stride=2, padding=(1, 0)),
    conv(kernel_size=2, bias=False),
    conv(kernel_size=1),
    conv(kernel_size=(6, 5)),
    conv(kernel_size=3, stride=(3, 2)),
    conv(kernel_size=3, dilation=2),
    conv(kernel_size=(2, 3), dilation=(3, 1), stride=(1, 2), padding=(2, 1)),
    conv(kernel_size=3, groups=2),
    conv(kernel_size=3, groups=2, stride=2, padding=1, bias=False),
    Case("7.1", "Conv2d", IMAGE, dict(in_channels=3, out_channels=6, kernel_size=3, groups=3)),
    conv(kernel_size=3, padding="same"),
    conv(kernel_size=(4, 2), padding="same", dilation=(1, 3)),
    conv(kernel_size=3, padding="valid"),
    conv(kernel_size=3, padding=1, padding_mode="reflect"),
    conv(kernel_size=3, padding=(2, 1), padding_mode="replicate"),
    conv(kernel_size=3, padding=2, padding_mode="circular"),
    conv(kernel_size=(4, 3), padding="same", padding_mode="circular"),
    *rows("7.2", "MaxPool2d", IMAGE, (3, 6, 5), (0, 3, 6, 5), kernel_size=2),
    *rows("7.2", "MaxPool2d", IMAGE, kernel_size=3, stride=2, padding=1),
    *rows("7.2", "MaxPool2d", IMAGE, kernel_size=(3, 2), stride=(1, 2), dilation=(2, 1)),
    *rows("7.2", "MaxPool2d", IMAGE, kernel_size=2, ceil_mode=True),
    *rows("7.2", "MaxPool2d", IMAGE, kernel_size=3, stride=2, padding=1, ceil_mode=True),
    *rows("7.2", "MaxPool2d", IMAGE, kernel_size=2, stride=1, dilation=3, padding=1),
    *rows("7.2", "MaxPool2d", IMAGE, (3, 6, 5), kernel_size=3, stride=2, return_indices=True),
    *rows("7.2", "AvgPool2d", IMAGE, (3, 6, 5), (0, 3, 6, 5), kernel_size=2),
    *rows("7.2", "AvgPool2d", IMAGE, kernel_size=3, stride=2, padding=1),
    *rows("7.2", "AvgPool2d", IMAGE, kernel_size=3, stride=2, padding=1, count_include_pad=False),
    *rows("7.2", "AvgPool2d", IMAGE, kernel_size=(3, 2), stride=(1, 2), ceil_mode=True),
    *rows("7.2", "AvgPool2d", IMAGE, kernel_size=3, stride=2, padding=1, ceil_mode=True),
    *rows("7.2", "AvgPool2d", IMAGE, kernel_size=2, divisor_override=3),
    *rows("7", "Flatten", IMAGE, (4, 5), (0, 3)),
    *rows("7", "Flatten", IMAGE, start_dim=0),
    *rows("7", "Flatten", IMAGE, start_dim=1, end_dim=2),
]


@dataclass(frozen=True)
class Refused:
    """Arguments or an input that torch refuses: with which exception, and the value to be named."""

    notes: str
    name: str
    kwargs: dict[str, Any]
    args: Callable[[], tuple[Tensor, ...]] | None
    error: type[Exception]
    value: str

    def __str__(self) -> str:
        kwargs = ",".join(f"{k}={_brief(v)}" for k, v in self.kwargs.items())
        return "-".join(filter(None, [self.notes, self.name, kwargs, self.value]))

    def run(self, library: Any) -> None:
        """Build the layer and, where there is an input, call it."""
        layer = getattr(library, self.name)(**self.kwargs)
        if self.args is not None:
            layer(*self.args())


def x(*shape: int) -> Callable[[], tuple[Tensor, ...]]:
    """An input of this shape."""
    return lambda: (torch.randn(shape),)


def labelled(shape: tuple[int, ...], t: Any) -> Callable[[], tuple[Tensor, ...]]:
    """An input of this shape and these labels."""
    return lambda: (torch.randn(shape), torch.as_tensor(t))


CHANNELS = dict(in_channels=4, out_channels=6, kernel_size=3)
REFUSED: list[Refused] = [
    Refused("3.3", "Linear", dict(in_features=5, out_features=3), x(4, 6), RuntimeError, "(4, 6)"),
    Refused("4.2", "MSELoss", {}, labelled((4, 5), torch.zeros(4, 4)), RuntimeError, "4"),
    Refused("4.2", "NLLLoss", {}, labelled((2, 5), [0, 5]), IndexError, "5"),
    Refused("4.2", "NLLLoss", {}, labelled((2, 5), [0, -1]), IndexError, "-1"),
    Refused("4.2", "NLLLoss", {}, labelled((2, 5), [0, 1, 2]), ValueError, "(3,)"),
    Refused("4.2", "NLLLoss", dict(reduction="avg"), labelled((1, 5), [0]), ValueError, "avg"),
    Refused("4.2", "CrossEntropyLoss", {}, labelled((2, 5), [0, 5]), IndexError, "5"),
    Refused("4.2", "CrossEntropyLoss", {}, labelled((2, 5), [0, 1, 2]), ValueError, "(3,)"),
    Refused(
        "4.2",
        "CrossEntropyLoss",
        dict(label_smoothing=1.5),
        labelled((2, 5), [0, 1]),
        RuntimeError,
        "1.5",
    ),
    Refused("6.4", "BatchNorm1d", dict(num_features=3), x(4, 3, 2, 2), ValueError, "4D"),
    Refused("6.4", "BatchNorm1d", dict(num_features=3), x(1, 3), ValueError, "(1, 3)"),
    Refused("6.4", "BatchNorm2d", dict(num_features=3), x(4, 3), ValueError, "2D"),
    Refused("6.4", "BatchNorm2d", dict(num_features=3), x(1, 3, 1, 1), ValueError, "(1, 3, 1, 1)"),
    Refused("6.4", "BatchNorm2d", dict(num_features=3), x(2, 4, 5, 5), RuntimeError, "3 channels"),
    Refused("6.5", "Dropout", dict(p=1.5), None, ValueError, "1.5"),
    Refused("6.5", "Dropout", dict(p=-0.1), None, ValueError, "-0.1"),
    Refused("7.1", "Conv2d", CHANNELS, x(2, 3, 7, 6), RuntimeError, "got 3"),
    Refused("7.1", "Conv2d", CHANNELS, x(4, 7), RuntimeError, "(4, 7)"),
    Refused("7.1", "Conv2d", CHANNELS, x(2, 4, 2, 6), RuntimeError, "(2, 6)"),
    Refused("7.1", "Conv2d", CHANNELS | dict(groups=3), None, ValueError, "groups=3"),
    Refused("7.1", "Conv2d", CHANNELS | dict(groups=0), None, ValueError, "0"),
    Refused("7.1", "Conv2d", CHANNELS | dict(padding="full"), None, ValueError, "full"),
    Refused("7.1", "Conv2d", CHANNELS | dict(padding="same", stride=2), None, ValueError, "(2, 2)"),
    Refused("7.1", "Conv2d", CHANNELS | dict(padding_mode="wrap"), None, ValueError, "wrap"),
    Refused("7.1", "Conv2d", CHANNELS | dict(stride=0), x(2, 4, 7, 6), RuntimeError, "(0, 0)"),
    Refused(
        "7.1",
        "Conv2d",
        CHANNELS | dict(padding=7, padding_mode="reflect"),
        x(2, 4, 7, 6),
        RuntimeError,
        "(7, 7)",
    ),
    Refused("7.2", "MaxPool2d", dict(kernel_size=2), x(7, 6), RuntimeError, "(7, 6)"),
    Refused("7.2", "MaxPool2d", dict(kernel_size=2, padding=2), x(3, 7, 6), RuntimeError, "pad=2"),
    Refused("7.2", "MaxPool2d", dict(kernel_size=9), x(3, 7, 6), RuntimeError, "(9, 9)"),
    Refused("7.2", "MaxPool2d", dict(kernel_size=2, stride=0), x(3, 7, 6), RuntimeError, "(0, 0)"),
    Refused("7.2", "AvgPool2d", dict(kernel_size=2), x(1, 1, 1, 7, 6), RuntimeError, "1, 7, 6)"),
    Refused("7.2", "AvgPool2d", dict(kernel_size=2, padding=2), x(3, 7, 6), RuntimeError, "pad=2"),
    Refused(
        "7.2",
        "AvgPool2d",
        dict(kernel_size=2, divisor_override=0),
        x(3, 7, 6),
        RuntimeError,
        "divisor_override",
    ),
    Refused("7", "Flatten", dict(start_dim=3), x(4, 5), IndexError, "3"),
    Refused("7", "Flatten", dict(start_dim=1, end_dim=0), x(4, 5), RuntimeError, "start_dim=1"),
]


@dataclass(frozen=True)
class Rule:
    """An update rule and its hyper-parameters."""

    notes: str
    name: str
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        kwargs = ",".join(f"{k}={_brief(v)}" for k, v in self.kwargs.items())
        return "-".join(filter(None, [self.notes, self.name, kwargs]))

    def build(
        self, library: Any, dtype: torch.dtype = torch.float64, device: str = "cpu"
    ) -> tuple[list[Tensor], torch.optim.Optimizer]:
        """Three parameters in two groups, the same at every call, and the rule that moves them."""
        draw = torch.Generator().manual_seed(0)
        params = [
            torch.randn(s, dtype=torch.float64, generator=draw).to(device, dtype).requires_grad_()
            for s in ((3, 2), (5,), ())
        ]
        groups = [dict(params=params[:2]), dict(params=params[2:], lr=0.01)]
        return params, getattr(library, self.name)(groups, **self.kwargs)


RULES: list[Rule] = [
    Rule("6.2.1", "SGD", dict(lr=0.1)),
    Rule("6.2.1", "SGD", dict(lr=0.1, weight_decay=0.1)),
    Rule("6.2.1", "SGD", dict(lr=0.1, maximize=True)),
    Rule("6.2.2", "SGD", dict(lr=0.1, momentum=0.9)),
    Rule("6.2.2", "SGD", dict(lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.1)),
    Rule("6.2.2", "SGD", dict(lr=0.1, momentum=0.9, nesterov=True)),
    Rule("6.2.2", "SGD", dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)),
    Rule("6.2.4", "Adam"),
    Rule("6.2.4", "Adam", dict(lr=0.1, betas=(0.5, 0.9), eps=1e-3)),
    Rule("6.2.4", "Adam", dict(lr=0.1, weight_decay=0.1)),
    Rule("6.2.4", "Adam", dict(lr=0.1, weight_decay=0.1, decoupled_weight_decay=True)),
    Rule("6.2.4", "Adam", dict(lr=0.1, amsgrad=True)),
    Rule("6.2.4", "Adam", dict(lr=0.1, maximize=True)),
    Rule("6.2.4", "Adam", dict(lr=torch.tensor(0.1, dtype=torch.float64))),
]

# Hyper-parameters that torch refuses, and the value that our sentence names.
BAD_RULES: list[tuple[str, dict[str, Any], str]] = [
    ("SGD", dict(lr=-1.0), "-1.0"),
    ("SGD", dict(momentum=-0.5), "-0.5"),
    ("SGD", dict(weight_decay=-0.1), "-0.1"),
    ("SGD", dict(nesterov=True), "momentum=0"),
    ("SGD", dict(momentum=0.9, dampening=0.1, nesterov=True), "dampening=0.1"),
    ("Adam", dict(lr=-0.1), "-0.1"),
    ("Adam", dict(eps=-1e-8), "-1e-08"),
    ("Adam", dict(weight_decay=-0.1), "-0.1"),
    ("Adam", dict(betas=(1.0, 0.999)), "(1.0, 0.999)"),
    ("Adam", dict(betas=(0.9, -0.1)), "(0.9, -0.1)"),
]
