"""When a process started, trained and ended: wall time, and the processor's time."""

import os
import resource
import time
from collections.abc import Callable


class Clock:
    """Split the life of a process into what comes before, between and beside its training steps.

    ``start`` and ``stop`` enclose steps of training, any number of times. The processor's time is
    that of the user and the system, of this process and its children, from its very beginning.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.wall = self.cpu = 0.0
        self.startup: float | None = None
        self._began = (0.0, 0.0)

    def start(self) -> None:
        """The next step begins; the first time, what came before was the start-up."""
        self._began = time.perf_counter(), used()
        if self.startup is None:
            self.startup = self._began[1]

    def stop(self, steps: int) -> None:
        """So many steps have ended."""
        self.wall += time.perf_counter() - self._began[0]
        self.cpu += used() - self._began[1]
        self.steps += steps

    def repeat(self, step: Callable[[], object], times: int) -> None:
        """Take the steps."""
        self.start()
        for _ in range(times):
            step()
        self.stop(times)

    def times(self) -> dict[str, float]:
        """Seconds; ``rest_cpu`` is what neither start-up nor training took."""
        startup = self.startup or 0.0
        return {
            "steps": self.steps,
            "wall": self.wall,
            "cpu": self.cpu,
            "startup_cpu": startup,
            "rest_cpu": used() - startup - self.cpu,
        }


def used() -> float:
    """Seconds of processor time so far; loaders may have processes of their own."""
    own = time.process_time()
    children = resource.getrusage(resource.RUSAGE_CHILDREN) if os.name == "posix" else None
    return own + (children.ru_utime + children.ru_stime if children else 0.0)
