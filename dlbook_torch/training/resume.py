"""Going on from a checkpoint: what the configuration says is in force, or the run refuses."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import torch

from .errors import UsageError
from .folders import home_of
from .whole import damage, newest_whole

# What a scheduler has lived through, as opposed to what it was configured to do.
PROGRESS = {"last_epoch", "best", "num_bad_epochs", "cooldown_counter", "T_cur", "T_i"}

# What a checkpoint of a training has beside its weights.
TRAINING = {"epoch", "global_step", "loops", "lr_schedulers", "optimizer_states"}
TRAINING |= {"pytorch-lightning_version"}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the contents of a Lightning checkpoint.

    Raises: UsageError if the file is damaged, is no checkpoint, or holds more than plain values.
    """
    if reason := damage(path):
        raise UsageError(f"--ckpt_path {path}: not a readable checkpoint ({reason}){_other(path)}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle and torch each have their own
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(f"--ckpt_path {path}: not a readable checkpoint ({reason})") from error
    weights = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(w, torch.Tensor) for name, w in weights.items()
    ):
        raise UsageError(
            f"--ckpt_path {path}: not a Lightning checkpoint, it has no state_dict of tensors"
        )
    return checkpoint


def refuse_weights_alone(checkpoint: dict[str, Any], path: Path) -> None:
    """Raise UsageError if the checkpoint has no training to go on with."""
    missing = sorted(TRAINING - checkpoint.keys())
    try:
        epochs_done(checkpoint)
    except (KeyError, TypeError, ValueError):
        missing = missing or ["loops"]
    if missing:
        raise UsageError(
            f"--ckpt_path {path}: no training to go on with, it has no {', '.join(missing)}"
        )


def _other(path: Path) -> str:
    """Offer another checkpoint of the same run, or of the same configuration."""
    home = home_of(path)
    for folder in (path.parent, *((home.parent,) if home else ())):
        if whole := newest_whole(folder):
            return f"; the newest whole one is {whole}"
    return ""


def refuse_other_network(model: torch.nn.Module, checkpoint: dict[str, Any], path: Path) -> None:
    """Raise UsageError listing the weights that ``model`` and the checkpoint do not share."""
    ours = {name: tuple(w.shape) for name, w in model.state_dict().items()}
    theirs = {name: tuple(w.shape) for name, w in checkpoint["state_dict"].items()}
    lines = [
        f"  {name}: checkpoint {theirs.get(name, 'has none')}, network {ours.get(name, 'has none')}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    if lines:
        more = [f"  ... and {len(lines) - 12} more"] if len(lines) > 12 else []
        head = f"--ckpt_path {path} was saved from another network:"
        raise UsageError("\n".join([head, *lines[:12], *more]))


def epochs_done(checkpoint: dict[str, Any]) -> int:
    """Return how many epochs the checkpoint's run had completed."""
    return int(checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"])


class ConfigurationWins(L.Callback):
    """Train on with the optimizer's settings as configured, not as remembered; say what changed.

    ``load_state_dict`` of an optimizer brings back its old learning rate. Without a scheduler the
    configured values are put back and the difference is printed. What cannot be mixed is refused
    before anything is written: another kind of optimizer, or other settings under a scheduler,
    whose past would not fit them.

    Args:
        checkpoint: what will be restored.
    """

    def __init__(self, checkpoint: dict[str, Any]):
        rule = checkpoint.get("hyper_parameters", {}).get("optimizer")
        self.rule = rule["class_path"] if isinstance(rule, dict) else "another kind of optimizer"
        self.optimizers = checkpoint.get("optimizer_states", [])
        self.schedulers = checkpoint.get("lr_schedulers", [])
        self._configured: list[list[dict[str, Any]]] = []

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare, before the checkpoint's states are loaded.

        Raises: UsageError with the list of differences.
        """
        self._refuse_what_cannot_mix(trainer)
        self._configured = [
            [{k: copy.copy(v) for k, v in group.items() if k != "params"} for group in groups]
            for groups in (optimizer.param_groups for optimizer in trainer.optimizers)
        ]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Put the configured settings back."""
        if trainer.lr_scheduler_configs:
            return
        changes: dict[str, None] = {}
        for optimizer, configured in zip(trainer.optimizers, self._configured, strict=True):
            for group, values in zip(optimizer.param_groups, configured, strict=True):
                changes |= dict.fromkeys(differences(group, values))
                group.update(values)
        if changes:
            trainer.print(f"the configuration wins over the checkpoint: {', '.join(changes)}")

    def _refuse_what_cannot_mix(self, trainer: L.Trainer) -> None:
        lines = list(self._other_kind(trainer))
        if trainer.lr_scheduler_configs and not lines:
            for optimizer, saved in zip(trainer.optimizers, self.optimizers, strict=True):
                for new, old in zip(optimizer.param_groups, saved["param_groups"], strict=True):
                    lines += differences(_settings(old), _settings(new))
            for plan, old in zip(trainer.lr_scheduler_configs, self.schedulers, strict=True):
                lines += differences(_constants(old), _constants(plan.scheduler.state_dict()))
        if lines:
            raise UsageError(
                "the checkpoint cannot go on with this configuration (checkpoint -> configuration):"
                + "".join(f"\n  {line}" for line in lines)
            )

    def _other_kind(self, trainer: L.Trainer) -> Iterator[str]:
        new, old = trainer.optimizers, self.optimizers
        if len(new) != len(old) or len(trainer.lr_scheduler_configs) != len(self.schedulers):
            yield f"number of optimizers {len(old)} -> {len(new)}"
            yield f"of schedulers {len(self.schedulers)} -> {len(trainer.lr_scheduler_configs)}"
            return
        for optimizer, saved in zip(new, old, strict=True):
            if [g.keys() for g in optimizer.param_groups] != [
                g.keys() for g in saved["param_groups"]
            ]:
                kind = type(optimizer)
                yield f"optimizer {self.rule} -> {kind.__module__}.{kind.__qualname__}"


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return ``name old -> new`` for every value that differs."""
    return [
        f"{name} {old.get(name, 'none')} -> {new.get(name, 'none')}"
        for name in sorted(old.keys() | new.keys())
        if name != "params" and old.get(name) != new.get(name)
    ]


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    """What a scheduler leaves alone: ``initial_lr`` is the configured rate, ``lr`` the current."""
    moving = {"params", "lr", "momentum", "betas"} if "max_momentum" in group else {"params", "lr"}
    return {name: value for name, value in group.items() if name not in moving}


def _constants(state: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in state.items() if k not in PROGRESS and not k.startswith("_")}
