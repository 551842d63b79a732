"""The command line of the measurements."""

import argparse
from collections.abc import Sequence

from rich.console import Console


def main(args: Sequence[str] | None = None) -> None:
    """Parse, measure and print one table; ``args`` defaults to the command line."""
    parser = argparse.ArgumentParser(description="Measure ours against torch.")
    commands = parser.add_subparsers(dest="subject", required=True)
    loaders = commands.add_parser("data", help="images per second of the loaders")
    loaders.add_argument("--data-dir", help="folder that holds MNIST/raw; default: DLBOOK_DATA")
    loaders.add_argument("--rounds", type=_rounds, default=3, help="epochs of each; default: 3")
    rules = commands.add_parser("optim", help="time of a step of the update rules")
    rules.add_argument("rules", nargs="*", metavar="RULE", help="such as Adam; default: all")
    rules.add_argument("--rounds", type=_rounds, default=21, help="steps of each; default: 21")
    monitors = commands.add_parser("monitor", help="what the monitors of a training cost")
    monitors.add_argument("--rounds", type=_rounds, default=5, help="trainings of each; default: 5")
    memory = commands.add_parser("memory", help="whether a long training keeps its memory")
    memory.add_argument("--steps", type=_steps, default=20_000, help="default: 20000")
    memory.add_argument("--config", help="run to make; default: configs/ch07/digits_convnet.yaml")
    options = parser.parse_args(args)

    if options.subject == "data":
        from . import data  # not before --help

        try:
            result = data.table(options.data_dir, options.rounds)
        except (OSError, RuntimeError, ValueError) as error:  # files that are not there, or damaged
            loaders.error(str(error))
    elif options.subject == "monitor":
        from . import monitor

        result = monitor.table(options.rounds)
    elif options.subject == "memory":
        from . import memory as long_run

        result = long_run.table(options.steps, options.config or long_run.CONFIG)
    else:
        from . import optim

        if unknown := sorted(set(options.rules) - set(optim.RULES)):
            rules.error(f"no rule {', '.join(unknown)}: choose from {', '.join(optim.RULES)}")
        result = optim.table(options.rules or optim.RULES, options.rounds)
    Console().print(result)


def _rounds(text: str, least: int = 1) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"must be a whole number from {least}, got {text}")
    return int(text)


def _steps(text: str) -> int:
    return _rounds(text, 20)  # of fewer there is no twentieth
