"""The command line of the measurements."""

import argparse
from collections.abc import Sequence

from rich.console import Console


def main(args: Sequence[str] | None = None) -> None:
    """Parse, measure and print one table; ``args`` defaults to the command line."""
    parser = argparse.ArgumentParser(description="Measure ours against torch.")
    commands = parser.add_subparsers(required=True)
    data = commands.add_parser("data", help="images per second of the loaders")
    data.add_argument("--data-dir", help="folder that holds MNIST/raw; default: DLBOOK_DATA")
    data.add_argument("--rounds", type=int, default=3, help="epochs of each; default: 3")
    options = parser.parse_args(args)

    from .data import table  # not before --help

    Console().print(table(options.data_dir, options.rounds))
