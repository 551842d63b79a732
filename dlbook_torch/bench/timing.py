"""Times that can be compared: the contestants take turns in one process, and ratios are formed."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median, quantiles
from time import process_time
from typing import Any

import torch

Call = Callable[[], object]
Clock = Callable[[Call, int], float]
WARM = 3  # calls after which nothing is compiled, allocated or chosen any more


@dataclass(frozen=True)
class Timing:
    """Of one contestant: its time to the first one's, round by round, and its time.

    Args:
        ratio: median over the rounds.
        low: lower quartile.
        high: upper quartile.
        ms: median time of one call.
    """

    ratio: float
    low: float
    high: float
    ms: float

    def __str__(self) -> str:
        return f"{self.ratio:.2f}"


def on_cpu(call: Call, times: int) -> float:
    """Seconds of process time, so that other work on the machine counts little."""
    start = process_time()
    for _ in range(times):
        call()
    return process_time() - start


def on_device(device: str) -> Clock:
    """Seconds between two events on a device whose queue is empty before and after."""
    library: Any = {"cuda": torch.cuda, "mps": torch.mps}[device.partition(":")[0]]
    event: Any = getattr(library, "Event", None) or torch.mps.event.Event

    def clock(call: Call, times: int) -> float:
        start, end = event(enable_timing=True), event(enable_timing=True)
        library.synchronize()
        start.record()
        for _ in range(times):
            call()
        end.record()
        library.synchronize()
        return float(start.elapsed_time(end)) / 1e3

    return clock


def clock_of(device: str) -> Clock:
    """How a call is timed on a device."""
    return on_cpu if device == "cpu" else on_device(device)


def interleaved(
    contestants: Mapping[str, Call], rounds: int = 15, least: float = 0.02, clock: Clock = on_cpu
) -> dict[str, Timing]:
    """Time contestants against the first of them.

    In a round all run, in an order drawn anew, each as often as fills ``least`` seconds. So what
    disturbs disturbs all alike, and the median of the rounds' ratios leaves out what does not.

    Args:
        contestants: by name; the first is what the others are divided by.
        rounds: how many.
        least: seconds of a contestant in a round.
        clock: gives the seconds of so many calls.
    """
    first, times = next(iter(contestants)), {}
    for name, call in contestants.items():
        for _ in range(WARM):
            call()
        times[name] = max(1, round(least / max(clock(call, 1), 1e-9)))
    found = list(_rounds(contestants, times, rounds, clock))
    return {
        name: _summary([f[name] / f[first] for f in found], [f[name] for f in found])
        for name in contestants
    }


def _rounds(
    contestants: Mapping[str, Call], times: Mapping[str, int], rounds: int, clock: Clock
) -> Iterator[dict[str, float]]:
    for _ in range(rounds):
        order = random.sample(list(contestants), len(contestants))
        yield {name: clock(contestants[name], times[name]) / times[name] for name in order}


def _summary(ratios: list[float], seconds: list[float]) -> Timing:
    low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else 3 * ratios
    return Timing(median(ratios), low, high, 1e3 * median(seconds))
