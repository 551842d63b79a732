"""What is promised of every row of the tables: one list, for the tests and for the ledger."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from .. import optim
from . import checks
from .cases import Case, Rule
from .checks import Errors, TorchRefuses

Choice = Callable[[Sequence[Any]], Sequence[Any]]


def every(rows: Sequence[Any]) -> Sequence[Any]:
    """All rows."""
    return rows


def switching(rows: Sequence[Case]) -> Sequence[Case]:
    """The rows whose twin does something else in evaluation than in training."""
    return [case for case in rows if _answers(case)[0] != _answers(case)[2]]


def images(rows: Sequence[Case]) -> Sequence[Case]:
    """The rows whose input may have its channels last."""
    return [case for case in rows if checks.rank(case) in checks.LAST]


def one_each(rows: Sequence[Case]) -> Sequence[Case]:
    """The first row of every layer that has an input with elements: for what costs much."""
    first: dict[str, Case] = {}
    for case in rows:
        if case.name not in first or 0 in first[case.name].shape:
            first[case.name] = case
    return list(first.values())


def steady(rows: Sequence[Case]) -> Sequence[Case]:
    """The rows whose twin draws nothing."""
    return [case for case in rows if _answers(case)[0] == _answers(case)[1]]


_ANSWERS: dict[str, list[Any]] = {}


def _answers(case: Case) -> list[Any]:
    """What the twin makes of one input in training, with another seed, and in evaluation."""
    if str(case) not in _ANSWERS:
        torch.manual_seed(0)
        try:
            with warnings.catch_warnings(action="ignore"), torch.no_grad():
                ref, inputs = case.twins()[1], case.inputs()
                _ANSWERS[str(case)] = [
                    [t.tolist() for t in checks.tensors(checks.run(ref.train(on), inputs, seed))]
                    for on, seed in ((True, 1), (True, 2), (False, 1))
                ]
        except Exception:  # it will be seen where the row is checked
            _ANSWERS[str(case)] = ["unknown", "unknown", "too"]
    return _ANSWERS[str(case)]


@dataclass(frozen=True)
class Promise:
    """A check and the rows of a table that it runs over.

    Where ``required``, torch's own layer has to keep it too: a refusal is a mistake in the row.
    """

    name: str
    check: Callable[[Any], Errors | None]
    rows: Choice = every
    column: str = ""  # of the ledger
    dtype: str = ""  # whose errors it measures
    required: bool = False

    def __str__(self) -> str:
        return self.name

    def __call__(self, row: Any) -> Errors:
        """Keep it for one row, from a fixed point of the random sequence.

        Raises: TorchRefuses if torch's layer does not do it, AssertionError if only ours does not.
        """
        torch.manual_seed(0)
        try:
            return self.check(row) or {}
        except TorchRefuses as refusal:
            if self.required:
                raise AssertionError(f"torch refuses: {refusal}") from refusal
            raise


def in_modes(
    name: str,
    check: Callable[..., Any],
    train: Choice = every,
    evaluation: Choice = switching,
    **options: Any,
) -> list[Promise]:
    """The same promise in training and, on the rows where that is another thing, in evaluation."""
    return [
        Promise(f"{name}-train", partial(check, training=True), train, **options),
        Promise(f"{name}-eval", partial(check, training=False), evaluation, **options),
    ]


def name_of(dtype: torch.dtype) -> str:
    """Such as ``float64``."""
    return str(dtype).removeprefix("torch.")


def numbers(dtype: torch.dtype, device: str = "cpu") -> list[Promise]:
    """Outputs, gradients and buffers in one type; in the two that every layer has, all rows.

    Other devices than the CPU draw other random numbers for torch's kernel than for ours.
    """
    check = partial(checks.compare, dtype=dtype, device=device)
    full = dtype in (torch.float64, torch.float32)
    return in_modes(
        name_of(dtype),
        check,
        train=every if device == "cpu" else steady,
        evaluation=every if full else switching,
        required=full and device == "cpu",
        dtype=name_of(dtype),
    )


def of(first: Choice, second: Choice) -> Choice:
    """The first choice of the second's."""
    return lambda rows: first(second(rows))


MIXED = checks.Way(autocast=torch.bfloat16)
in_float32 = partial(partial, checks.compare, dtype=torch.float32)

LAYERS: list[Promise] = [
    *numbers(torch.float64),
    *numbers(torch.float32),
    *numbers(torch.bfloat16),
    *numbers(torch.float16),
    *in_modes("autocast", in_float32(way=MIXED)),
    *in_modes("autocast-bfloat16", in_float32(way=replace(MIXED, enter=torch.bfloat16))),
    *in_modes("strided", in_float32(way=checks.STRIDED)),
    *in_modes("channels_last", checks.channels_last, images, of(images, switching)),
    Promise("in_place_after", checks.gives_away),
    Promise("summed", partial(checks.compare, way=checks.SUMMED)),
    *in_modes("gradcheck", checks.derivative, column="gradcheck", required=True),
    *in_modes("gradgradcheck", checks.second_derivative, column="gradgradcheck", required=True),
    *in_modes("handwritten", checks.handwritten, evaluation=every, required=True),
    *in_modes("handwritten-bfloat16", partial(checks.handwritten, dtype=torch.bfloat16)),
    Promise("state", checks.state, column="state", required=True),
    Promise("start", checks.same_start, column="state", required=True),
    Promise("meta", checks.meta),
    Promise("factory", checks.factory, one_each),
    Promise("signature", checks.signature_of, one_each),
    *[
        promise
        for name, check in (
            ("compile", checks.compiles),
            ("export", checks.exports),
            ("functional_call", checks.functional_call),
            ("vmap", checks.vmap),
        )
        for promise in in_modes(
            name, check, one_each, of(one_each, switching), column=name if name == "compile" else ""
        )
    ],
]

REFUSALS: list[Promise] = [Promise("refusal", checks.refuses)]


def paths(dtype: torch.dtype, device: str = "cpu") -> list[Promise]:
    """The way that an update rule takes, in one type."""
    check = partial(checks.trajectory, dtype=dtype, device=device)
    rows = every if dtype.itemsize > 2 else without_tensor_betas
    required = device == "cpu"
    return [Promise(f"{name_of(dtype)}-path", check, rows, dtype=name_of(dtype), required=required)]


def without_tensor_betas(rows: Sequence[Rule]) -> Sequence[Rule]:
    """The rows where torch computes in the parameters' type: beside a tensor beta it is another."""
    return [rule for rule in rows if not isinstance(rule.kwargs.get("betas", (0,))[0], Tensor)]


def without_tensors(rows: Sequence[Rule]) -> Sequence[Rule]:
    """The rows whose hyper-parameters are all numbers."""
    return [rule for rule in rows if not rule.tensors()]


def with_option(name: str) -> Choice:
    """The rows of the rules that have this argument in torch."""
    return lambda rows: [
        rule for rule in rows if name in signature(getattr(torch.optim, rule.name)).parameters
    ]


def in_groups(rows: Sequence[Rule]) -> Sequence[Rule]:
    """The rows that may be asked for the group form."""
    return [rule for rule in rows if rule.takes_groups()]


def fullest(rows: Sequence[Rule]) -> Sequence[Rule]:
    """The last row of every rule, which has the most of it: for what costs much."""
    return list({rule.name: rule for rule in rows}.values())


def with_tensor_rate(rows: Sequence[Rule]) -> Sequence[Rule]:
    """The rows whose rate is a tensor, of the rules that take one beside ``foreach``."""
    return [rule for rule in in_groups(rows) if isinstance(rule.kwargs.get("lr"), Tensor)]


def fullest_or_tensor_rate(rows: Sequence[Rule]) -> Sequence[Rule]:
    """The fullest rows, and those with a tensor rate of the rules that do not."""
    others = [rule for rule in rows if isinstance(rule.kwargs.get("lr"), Tensor)]
    return [*fullest(rows), *(rule for rule in others if not rule.takes_groups())]


def with_velocity(rows: Sequence[Rule]) -> Sequence[Rule]:
    """SGD's rows with a momentum."""
    return [rule for rule in rows if rule.name == "SGD" and rule.kwargs.get("momentum")]


FUSED: dict[str, Any] = dict(ours=dict(fused=True), theirs=dict(fused=True), units=checks.APART)

UPDATES: list[Promise] = [
    *paths(torch.float64),
    *paths(torch.float32),
    *paths(torch.bfloat16),
    *paths(torch.float16),
    *[
        Promise(
            f"{name_of(dtype)}-path-foreach", partial(checks.group_form, dtype=dtype), in_groups
        )
        for dtype in (torch.float64, torch.float32, torch.bfloat16)
    ],
    Promise("complex128-path", partial(checks.trajectory, dtype=torch.complex128)),
    Promise(
        "complex128-path-foreach", partial(checks.group_form, dtype=torch.complex128), in_groups
    ),
    Promise("capturable", checks.captured, with_option("capturable")),
    Promise(
        "capturable-foreach", partial(checks.captured, foreach=True), with_option("capturable")
    ),
    *[
        Promise(
            f"fused-{name_of(dtype)}",
            partial(checks.trajectory, dtype=dtype, **FUSED),
            with_option("fused"),
        )
        for dtype in (torch.float64, torch.float32)
    ],
    Promise("forms", checks.forms),
    Promise("differentiable", checks.differentiates),
    Promise("differentiable-foreach", partial(checks.differentiates, foreach=True), in_groups),
    Promise("gradcheck", checks.derivative_of_rule, column="gradcheck"),
    *[
        Promise(name, partial(checks.handover, there=there, back=back), column="state")
        for name, there, back in (
            ("torch-to-ours", torch.optim, optim),
            ("ours-to-torch", optim, torch.optim),
        )
    ],
    Promise("there-and-back", checks.round_trip, column="state"),
    Promise("copies", checks.copies_of_rule, column="state"),
    Promise("old-state", checks.old_state, column="state"),
    Promise("late-velocity", checks.late_velocity, with_velocity, column="state"),
    *[Promise(name, partial(checks.scheduled, name=name)) for name in checks.SCHEDULES],
    Promise("scaler", checks.scaled),
    Promise("sparse", checks.sparse),
    Promise("sparse-foreach", partial(checks.sparse, foreach=True), in_groups),
    Promise("handwritten", checks.handwritten_rule, required=True),
    Promise("handwritten-foreach", partial(checks.handwritten_rule, foreach=True), in_groups),
    Promise("compile", checks.compiles_rule, fullest_or_tensor_rate, column="compile"),
    Promise(
        "compile-foreach",
        partial(checks.compiles_rule, foreach=True),
        with_tensor_rate,
        column="compile",
    ),
    Promise("pieces", checks.in_pieces, without_tensors),
    Promise("script", partial(checks.kernel, interpreted=True), without_tensors),
    Promise("kernel", checks.kernel, fullest, column="compile"),
]


def promised(promises: Sequence[Promise], rows: Sequence[Any]) -> list[tuple[Promise, Any]]:
    """Every promise with every row that it is made of."""
    return [(promise, row) for promise in promises for row in promise.rows(rows)]
