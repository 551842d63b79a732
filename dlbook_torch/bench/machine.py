"""What a measurement was made on."""

import os
import platform
from pathlib import Path

import torch


def machine(device: str = "cpu") -> str:
    """Processor, number of its cores, threads in use, and versions, for the head of a table."""
    threads = torch.get_num_threads()
    card = f"{torch.cuda.get_device_name(device)}, " if device.startswith("cuda") else ""
    return (
        f"{card}{processor()} ({os.cpu_count()} cores, {threads} thread{'s' * (threads > 1)}), "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def processor() -> str:
    """The name of the processor where the system tells it, else the architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return next(iter(names), platform.processor() or platform.machine())
