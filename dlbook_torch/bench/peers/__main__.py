"""One training in this process; its times are the last line of the output, in JSON."""

import argparse
import json
from pathlib import Path

from .clock import Clock


def main(args: list[str] | None = None) -> None:
    """Train what the first argument names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=("command", "loop", "numpy", "examples", "config"))
    parser.add_argument("more", nargs="*")
    parser.add_argument("--steps", type=int, default=550)
    parser.add_argument("--data-dir", type=Path, required=True)
    given, rest = parser.parse_known_args(args)
    clock = Clock()
    scores = trained(given, rest, clock)
    print("\n" + json.dumps(clock.times() | scores))


def trained(given: argparse.Namespace, rest: list[str], clock: Clock) -> dict[str, float]:
    """Import no more than this peer needs, train it, and return the scores that it has."""
    steps, root, more = given.steps, given.data_dir, given.more
    if given.peer == "numpy":
        from . import book

        book.train(clock, steps, root, more[0], looks="looks" in more)
        return {}
    import torch

    torch.set_num_threads(1)
    if given.peer == "examples":
        from . import examples

        return examples.train(clock, steps, root)
    if given.peer == "loop":
        from . import loops

        subject, library, *form = more
        batches = loops.from_loader if "loader" in form else loops.from_memory
        loops.train(clock, steps, root, subject, library, batches, "compiled" in form)
        return {}
    from . import command

    if given.peer == "command":
        command.train(clock, steps, root, *more)
        return {}
    return command.timed(clock, ["fit", f"--config={Path(more[0]).resolve()}", *more[1:], *rest])


if __name__ == "__main__":
    main()
