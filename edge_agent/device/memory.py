"""The machine's memory and swap space. Sampler's thread.

Parsed here: psutil falls back to the running machine's figures when a file lacks a line. Source: proc_meminfo(5).
"""

from __future__ import annotations

import re

from edge_agent.device.reading import Readings
from edge_agent.device.sensor_files import SensorError, SensorFiles

PATH = "proc/meminfo"
LINE = re.compile(r"^(\w+): +(\d{1,15}) kB$", re.MULTILINE)


class MemoryCollector:
    """All of the machine, whatever limits stand above this process."""

    name = "memory"

    def __init__(self, files: SensorFiles) -> None:
        self._files = files

    def collect(self, readings: Readings) -> None:
        sizes = parse_meminfo(self._files.read_text(PATH))
        with readings.sensor():
            readings.add("memory_total_bytes", size_of("MemTotal", sizes))
            readings.add("memory_available_bytes", size_of("MemAvailable", sizes))
        with readings.sensor():
            readings.add("swap_used_bytes", max(0, size_of("SwapTotal", sizes) - size_of("SwapFree", sizes)))


def parse_meminfo(text: str) -> dict[str, int]:
    """Bytes by name."""
    return {name: int(kibibytes) * 1024 for name, kibibytes in LINE.findall(text)}


def size_of(name: str, sizes: dict[str, int]) -> int:
    """Raises SensorError for a line that is not there."""
    if name not in sizes:
        raise SensorError(PATH, f"no line {name}")
    return sizes[name]
