"""When the machine was booted. Sampler's thread."""

from __future__ import annotations

import psutil

from edge_agent.device.proc_files import ProcFiles
from edge_agent.device.reading import Readings


class BootCollector:
    """One series. It moves when the clock is set: a Pi has none of its own until it hears the time."""

    name = "boot"

    def __init__(self, proc: ProcFiles) -> None:
        self._proc = proc

    def collect(self, readings: Readings) -> None:
        readings.add("boot_timestamp_seconds", self._proc.ask("proc/stat", psutil.boot_time))
