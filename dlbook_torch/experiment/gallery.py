"""Every picture that the notes have lost, drawn again: ``python scripts/figures.py``."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..training.errors import UsageError, told
from .figures import figure
from .plan import Experiment, find, read
from .results import collect
from .runner import run_all

SHEET = "contact.png"


def main(args: Sequence[str] | None = None) -> None:
    """Draw the pictures of some sections, or of all, into a folder."""
    parser = argparse.ArgumentParser(
        prog="figures",
        description="Run what has not been run, and draw every picture of the notes.",
    )
    parser.add_argument("section", nargs="*", help="such as 6.3 or 6; default: all")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/figures"), help="default: runs/figures"
    )
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/experiments"), help="where the results are and go"
    )
    parser.add_argument("--size", choices=("tiny", "small", "full"), default="small")
    parser.add_argument("--library", choices=("dlbook", "torch"), default="dlbook")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(args)
    if given.jobs < 1:
        parser.error(f"argument --jobs: must be at least 1, got {given.jobs}")
    with told():
        experiments = [read(path, given.size, given.library) for path in find([])]
        chosen = [e for e in experiments if in_sections(e, given.section)]
        if not chosen:
            raise UsageError(f"no experiment belongs to notes {' or '.join(given.section)}")
        drawn = draw(chosen, given.runs, given.out, given.jobs)
    print(*drawn, sep="\n")
    sys.exit(0 if len(drawn) > len(chosen) else 1)


def in_sections(experiment: Experiment, wanted: Sequence[str]) -> bool:
    """Whether an experiment belongs to one of the sections, or to a part of one."""
    own = experiment.sections
    return not wanted or any(f"{tag}.".startswith(f"{w}.") for tag in own for w in wanted)


def draw(experiments: Sequence[Experiment], runs: Path, out: Path, jobs: int = 1) -> list[Path]:
    """Run what has not been run, and write ``NAME.png`` of each, then the contact sheet."""
    run_all(experiments, runs, jobs, resume=True)
    out.mkdir(parents=True, exist_ok=True)
    drawn = []
    for experiment in experiments:
        results = collect(experiment, runs)
        if results.complete:
            drawn.append(out / f"{experiment.folder}.png")
            figure(results).savefig(drawn[-1], dpi=110)
    if drawn:
        (out / SHEET).write_bytes(contact_sheet(drawn))
        drawn.append(out / SHEET)
    return drawn


def contact_sheet(pictures: Sequence[Path], columns: int = 5, width: int = 400) -> bytes:
    """All pictures on one page, each in the column that is shortest; the content of a PNG file."""
    from PIL import Image

    places, ends = [], [0] * columns
    for path in pictures:
        with Image.open(path) as image:
            size = width, round(image.height * width / image.width)
            cell = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        column = ends.index(min(ends))
        places.append((cell, (column * width, ends[column])))
        ends[column] += cell.height
    sheet = Image.new("RGB", (width * columns, max(ends)), "white")
    for cell, place in places:
        sheet.paste(cell, place)
    file = io.BytesIO()
    sheet.quantize(64).save(file, "PNG", optimize=True)  # few colours, a third of the size
    return file.getvalue()
