"""The LightningCLI of this project: one YAML file is one run, with a folder of its own."""

import errno
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.plugins.layer_sync import LayerSync
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from ..diagnostics import Report
from ..diagnostics.monitor import NetworkMonitor, OverfittingMonitor
from .checkpoints import Best, Last, RNGState
from .console import Bar, Unmeasured, quiet
from .errors import RunFailed, UsageError, explain
from .figures import Pictures
from .finish import report, test_best
from .finite import FiniteLoss, NotFinite
from .folders import CHECKPOINTS, RunFolder, find_checkpoint, home_of, new_folder, run_name
from .history import History
from .hyperparameters import hyperparameters
from .interrupt import GracefulStop, Interrupted
from .logger import CurveLogger
from .parser import ShortErrorParser
from .processes import SyncBatchNorm, Together, together
from .report import print_scores
from .resume import (
    ConfigurationWins,
    epochs_done,
    read_checkpoint,
    refuse_other_network,
    refuse_weights_alone,
)
from .start import Start
from .whole import WholeFiles

MONITORS = {
    "overfitting_monitor": OverfittingMonitor,
    "network_monitor": NetworkMonitor,
    "finite_loss": FiniteLoss,
}
CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)
DEFAULTS = {
    "max_epochs": 10,
    "devices": 1,  # small networks: several processes cost more than they bring
    "log_every_n_steps": 1,
    "enable_model_summary": False,
}

# Of options that Lightning takes as they are, and stumbles over later, or ignores.
AT_LEAST = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "gradient_clip_val": 0,
    "log_every_n_steps": 0,
    "num_sanity_val_steps": -1,
}
# What is wrong with the configuration, as we, torch and Lightning say it before the first step:
# a network that does not fit the data is a RuntimeError, a missing accelerator an ImportError.
BARE = (TypeError, RuntimeError, IndexError)
WRONG = (ValueError, TypeError, RuntimeError, IndexError, ImportError, OSError)


class TrainingCLI(LightningCLI):
    """``fit``, ``validate``, ``test`` and ``predict`` from a configuration file.

    Unlike its parent, ``--ckpt_path`` takes the weights and the progress from the checkpoint but
    every setting from the configuration and the command line.

    Args:
        args: the command line.
        folder: told where the run lives and whether it has trained.
    """

    def __init__(self, args: ArgsType, folder: RunFolder):
        self.folder, self.history, self.stop = folder, History(), GracefulStop()
        self.checkpoint: dict[str, Any] | None = None
        self.verdict: Report | None = None
        self.scores: dict[str, float] = {}
        super().__init__(
            L.LightningModule,
            L.LightningDataModule,
            save_config_callback=None,
            trainer_defaults=DEFAULTS,
            seed_everything_default=0,
            parser_class=ShortErrorParser,
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=args,
            auto_configure_optimizers=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the options that Lightning does not have."""
        parser.add_argument("--run", type=str | None, help="name of the run's folder")
        for name, monitor in MONITORS.items():
            path = f"{monitor.__module__.rpartition('.')[0]}.{monitor.__name__}"
            parser.add_argument(
                f"--{name}", type=monitor | None, default={"class_path": path}, help="null: none"
            )
            parser.callback_keys.append(name)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse; overridden because the parent warns about every call from Python."""
        self.config = parser.parse_args(args)  # type: ignore[arg-type]

    def _parse_ckpt_path(self) -> None:
        """Overridden: the parent lets the checkpoint's settings override the command line."""

    @property
    def settings(self) -> Any:
        """The parsed configuration of the subcommand."""
        return self.config[self.subcommand]

    @property
    def runs(self) -> Path:
        """The folder of all runs of this configuration."""
        root = Path(self.settings.trainer.default_root_dir or ".")
        files = [str(file) for file in self.settings.config or [] if file]
        return root / "runs" / run_name(files[0] if files else None)

    def before_instantiate_classes(self) -> None:
        """Find and read the checkpoint."""
        if self.settings.ckpt_path:
            path = find_checkpoint(str(self.settings.ckpt_path), self.runs)
            self.checkpoint, self.settings.ckpt_path = read_checkpoint(path), str(path)
            if self.subcommand == "fit":
                refuse_weights_alone(self.checkpoint, path)

    def _instantiate_trainer(
        self, config: dict[str, Any], callbacks: list[L.Callback]
    ) -> L.Trainer:
        for name, least in AT_LEAST.items():
            if config[name] is not None and config[name] < least:
                raise ValueError(f"trainer.{name} must be at least {least}, got {config[name]}")
        monitors = [monitor for monitor in callbacks if monitor is not None]
        callbacks = []
        if self.subcommand == "fit":
            callbacks = [*monitors, *self._fit_callbacks(config)]
        if config["logger"] in (None, True):
            config["logger"] = self._logger() if self.folder.path else False
        if self.subcommand == "predict":
            config["enable_progress_bar"] = False  # what it prints is the result
        given = config["plugins"] or []
        plugins = list(given) if isinstance(given, list) else [given]
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins.append(WholeFiles())
        if config["sync_batchnorm"] and not any(isinstance(p, LayerSync) for p in plugins):
            plugins.append(SyncBatchNorm())
        config["plugins"] = plugins
        config["profiler"] = config["profiler"] or Unmeasured()
        if config["enable_progress_bar"] is not False:
            callbacks = [*callbacks, Bar()]
        return super()._instantiate_trainer(config, callbacks)

    def _fit_callbacks(self, config: dict[str, Any]) -> list[L.Callback]:
        callbacks = [
            Together(),
            self.stop,
            self.history,
            RNGState(),
            Pictures(),
            Start(self.folder, self._dump()),
        ]
        if self.checkpoint:
            callbacks.append(ConfigurationWins(self.checkpoint))
        if not config["fast_dev_run"]:
            self._open_folder()
            if config["enable_checkpointing"] is not False:
                callbacks += [Best(self._checkpoints), Last(self._checkpoints)]
        return callbacks

    @rank_zero_only
    def _open_folder(self) -> None:
        home = home_of(Path(self.settings.ckpt_path)) if self.checkpoint else None
        self.folder.open(home or new_folder(self.runs, self.settings.run), new=home is None)

    @property
    def _checkpoints(self) -> Path:
        return (self.folder.path or self.runs) / CHECKPOINTS  # other ranks hear of rank 0's

    def _logger(self) -> CurveLogger:
        purge = epochs_done(self.checkpoint) + 1 if self.checkpoint else None
        folder = self.folder.path or self.runs
        return CurveLogger(folder.parent, "", folder.name, purge)

    def _dump(self) -> dict[str, Any]:
        """The resolved configuration as YAML has it; it starts the run anew, not in the middle."""
        text = self._parser(self.subcommand).dump(self.settings, skip_none=False)
        return yaml.safe_load(text) | {"ckpt_path": None}

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        kwargs = super()._prepare_subcommand_kwargs(subcommand)
        if kwargs["weights_only"] is None:
            kwargs["weights_only"] = True
        if self.checkpoint:
            refuse_other_network(self.model, self.checkpoint, self.settings.ckpt_path)
            # Lightning copies the weights in first: float64 ones would lose half their digits
            self.trainer.precision_plugin.convert_module(self.model)
        if subcommand != "fit":
            self._load_weights()
            kwargs |= {"ckpt_path": None} | ({"verbose": False} if "verbose" in kwargs else {})
        return kwargs

    def _load_weights(self) -> None:
        if self.checkpoint:
            self.model.load_state_dict(self.checkpoint["state_dict"])
        else:
            print("no --ckpt_path: the network has its initial weights", file=sys.stderr)

    def fit(self, **kwargs: Any) -> None:
        """Train, test the best epoch once, and report."""
        try:
            self.trainer.fit(**kwargs)
            if self.stop.number:
                raise Interrupted(self.stop.number)
        except Interrupted:
            if self.trainer.is_global_zero:
                print(f"stopped; to go on: --ckpt_path {self._checkpoints / 'last.ckpt'}")
            raise
        except NotFinite:
            self._report({})
            raise
        self._hear_of_other_processes()
        if not self.folder.trained:
            done = len(self.history.rows)
            self.trainer.print(
                f"nothing to train: {done} of {self.trainer.max_epochs} epochs are done"
            )
        elif self.history.rows:
            test = test_best(
                self.trainer, self._checkpoints / "best.ckpt", (self.history.best() or 0) + 1
            )
            self._report(test)

    def _report(self, test: Mapping[str, float]) -> None:
        """Print and keep what the epochs so far have measured."""
        if self.history.rows and self.trainer.is_global_zero:
            settings = hyperparameters(self._dump())
            self.scores, self.verdict = report(self.trainer, self.history, test, settings)

    def _hear_of_other_processes(self) -> None:
        """Strategies that spawn or fork train in copies of this process."""
        last = self._checkpoints / "last.ckpt"
        if self.folder.new and not self.folder.trained and last.is_file():
            states = read_checkpoint(last)["callbacks"]
            for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, History | OverfittingMonitor | NetworkMonitor):
                    callback.load_state_dict(states[callback.state_key])
            self.folder.trained = True

    def validate(self, **kwargs: Any) -> None:
        """Measure the validation set, and the training set if the data module gives it."""
        self._measured(self.trainer.validate(**kwargs))

    def test(self, **kwargs: Any) -> None:
        """Measure the test set."""
        self._measured(self.trainer.test(**kwargs))

    def _measured(self, results: Sequence[Mapping[str, float]]) -> None:
        for scores in results:  # one for each loader
            self.scores.update(scores)
        if self.trainer.is_global_zero:
            print_scores(self.scores)

    def predict(self, **kwargs: Any) -> None:
        """Print one prediction per line: the name of the class, or the number."""
        if self.trainer.world_size > 1:
            raise UsageError("predict prints in order, so in one process: --trainer.devices 1")
        names = getattr(self.datamodule, "classes", None)
        for batch in self.trainer.predict(**kwargs) or []:
            for y in torch.as_tensor(batch).tolist():
                print(names[y] if names and isinstance(y, int) else y)


def run(args: list[str]) -> TrainingCLI:
    """Parse, build and run a command line.

    Raises: UsageError for whatever is found wrong before the first step of a training has ended,
        with the kind of an error that only torch has words for; RunFailed for a loss that is not
        finite and a file that cannot be written any more; what else goes wrong later comes through
        as it is.
    """
    folder = RunFolder()
    try:
        with quiet(), together():
            return TrainingCLI(args, folder)
    except (*WRONG, MisconfigurationException) as error:
        if isinstance(error, BrokenPipeError):
            raise
        if folder.stepped or (folder.trained and isinstance(error, OSError)):
            if isinstance(error, OSError) and error.errno in CANNOT_WRITE:
                name = error.filename or folder.path  # TensorBoard's errors have no name
                raise RunFailed(f"cannot write {name}: {error.strerror}") from error
            raise
        kind = type(error).__name__ if type(error) in BARE else ""
        where = f" ({kind}; DLBOOK_DEBUG=1 shows where)" if kind else ""
        raise UsageError(explain(str(error)) + where) from error
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):  # Lightning makes it 1
            raise KeyboardInterrupt from end
        raise
    finally:
        folder.close()
