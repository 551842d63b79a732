"""The command line: ``dlbook-train fit --config configs/ch07/digits_convnet.yaml``."""

import io
import os
import sys

from .errors import RunFailed, UsageError, check_config_files

HELP = """\
Train, validate, test or use a network: one YAML file is one run.

  dlbook-train fit --config configs/ch07/digits_convnet.yaml

Commands
  fit        train, keep the best and the last checkpoint, test the best one once
  validate   measure the validation set        (give --ckpt_path)
  test       measure the test set              (give --ckpt_path)
  predict    print the predictions             (give --ckpt_path)

Options
  -c, --config FILE       the run; a second one overrides the first
  --ckpt_path WHICH       last: go on with the newest run of this configuration, in its folder
                          best: start a new run from that run's best epoch;  or a path
  --run NAME              name of the run's folder (default: the time)
  --seed_everything N     default 0
  --print_config          show the complete configuration and stop

Any value of the file can be set here, for example
  --trainer.max_epochs 3          --trainer.accelerator cuda      --trainer.precision bf16-mixed
  --model.net.library torch       the same run on torch.nn
  --model.optimizer torch.optim.SGD --model.optimizer.lr 0.1
  --data.batch_size 32            --data.label_noise 0.2          --data.subset 500
  --trainer.strategy ddp --trainer.devices 2 --trainer.sync_batchnorm true   several processes
  --overfitting_monitor.stop true --network_monitor null          stop early; no monitor of layers
  --finite_loss null              go on though the loss is inf or NaN
  --model.compile true            torch.compile the network: takes a minute, then steps are faster
  --trainer.detect_anomaly true   slow: name the backward operation that made a NaN

What there is to set
  fit --model.help dlbook_torch.training.Classifier      also ...training.Regressor
  fit --data.help dlbook_torch.data.Digits     also MNIST, FashionMNIST, CIFAR10, Sine, Plane
  fit --help_all                                         every option of Lightning's Trainer

A run keeps to itself in runs/<configuration>/<time>/: config.yaml, checkpoints/best.ckpt and
last.ckpt, and the curves for TensorBoard. Ctrl-C saves last.ckpt first.
Exit codes: 0 done, 2 something given is wrong, 1 the run failed, 130 Ctrl-C, 143 SIGTERM.
DLBOOK_DEBUG=1 shows where an error comes from.
"""


def main(args: list[str] | None = None) -> None:
    """Run the command line ``args``, by default the process's own.

    Raises: SystemExit with the code that HELP promises, unless the run ends well.
    """
    args = sys.argv[1:] if args is None else args
    if not args or {"-h", "--help"} & set(args):
        print(HELP, end="")
        return
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a path may be no text
    try:
        check_config_files(args)
        from .run import run  # takes seconds, so only now

        run(["--help" if arg == "--help_all" else arg for arg in args])
    except (UsageError, RunFailed) as error:
        if os.environ.get("DLBOOK_DEBUG"):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
