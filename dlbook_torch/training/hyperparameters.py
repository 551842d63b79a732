"""The settings of a run under short names, as TensorBoard's HParams page shows them."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any


def hyperparameters(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run under short names: ``{"optimizer": {"": "Adam", "lr": 0.1}}``.

    Update rules have many arguments that nobody turns: those left at their default are left out.
    """
    model = _short(settings["model"])
    model["model"] = model.pop("")
    for rule in ("optimizer", "lr_scheduler"):
        if isinstance(model.get(rule), dict):
            model[rule] = _turned(settings["model"]["init_args"][rule]["class_path"], model[rule])
    trainer = {"epochs": settings["trainer"]["max_epochs"], "seed": settings["seed_everything"]}
    return model | {"data": _short(settings["data"])} | trainer


def _short(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    kind = {"": node["class_path"].rpartition(".")[2]} if "class_path" in node else {}
    rest = node.get("init_args") or {} if kind else node
    return kind | {key: _short(value) for key, value in rest.items()}


def _turned(class_path: str, arguments: dict[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(_class(class_path)).parameters
    usual = {name: parameter.default for name, parameter in parameters.items()}
    usual |= {k: list(v) for k, v in usual.items() if isinstance(v, tuple)}  # as YAML has them
    return {k: v for k, v in arguments.items() if k in ("", "lr") or v != usual.get(k)}


def _class(class_path: str) -> Any:
    module, _, name = class_path.rpartition(".")
    return getattr(import_module(module), name)


def plain(params: Mapping[str, Any], prefix: str = "") -> dict[str, bool | str | float]:
    """Flatten nested parameters to ``{"net.channels": 30}``; None is left out, lists are text.

    The key "" names what holds it: ``{"net": {"": "MLP"}}`` is ``{"net": "MLP"}``.
    """
    flat: dict[str, bool | str | float] = {}
    for key, value in params.items():
        name = f"{prefix}.{key}".strip(".")
        if isinstance(value, Mapping):
            flat |= plain(value, name)
        elif value is not None:
            flat[name] = value if isinstance(value, bool | int | float) else str(value)
    return flat
