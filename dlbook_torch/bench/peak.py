"""How much memory a call needs beside what is there before it."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch

PROCESS = Path("/proc/self")
MB = 1e6
Argument = TypeVar("Argument")


def peak(call: Callable[[], Any], device: str = "cpu") -> float:
    """Megabytes at the highest point of a call over those before it; NaN where nobody counts.

    On the CPU what is resident, so that scratch memory inside a kernel counts too: only in a
    process in which freed memory goes back at once, see :func:`apart`.
    """
    call()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before: float = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / MB
    if device != "cpu" or not (PROCESS / "clear_refs").exists():
        return float("nan")
    (PROCESS / "clear_refs").write_text("5")  # the highest point so far becomes the present one
    before = _resident("VmRSS")
    call()
    return (_resident("VmHWM") - before) / MB


def _resident(key: str) -> float:
    lines = (PROCESS / "status").read_text().splitlines()
    return next(1024 * float(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def apart(measure: Callable[[Argument], Any], arguments: Sequence[Argument]) -> Iterator[Any]:
    """Measure in another process, with one thread, whose C library keeps no freed memory."""
    with _given_back(), get_context("spawn").Pool(1, torch.set_num_threads, (1,)) as pool:
        yield from pool.imap(measure, arguments)


@contextmanager
def _given_back() -> Iterator[None]:
    """Let processes that are started now ask the system for every block from 64 kB on."""
    name = "MALLOC_MMAP_THRESHOLD_"
    before = os.environ.get(name)
    os.environ[name] = str(2**16)
    try:
        yield
    finally:
        os.environ.pop(name) if before is None else os.environ.update({name: before})
