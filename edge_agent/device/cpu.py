"""How the machine's CPUs spend their time. Sampler's thread."""

from __future__ import annotations

import psutil

from edge_agent.device.proc_files import ProcFiles
from edge_agent.device.reading import Readings
from edge_agent.device.rising_counters import HeldCounters

# Time of guests is within user and nice already.
MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
# 3 s: what idle time is seen to step back by while all CPUs stay on, with a margin.
MOST_WAVERING_SECONDS = 3.0


class CpuCollector:
    """One series a mode, all CPUs together."""

    name = "cpu"

    def __init__(self, proc: ProcFiles) -> None:
        self._proc = proc
        # idle and iowait step back by the kernel's own rounding, and by hours when a CPU was off (before Linux 6.8).
        self._seconds = HeldCounters(most_wavering=MOST_WAVERING_SECONDS)

    def collect(self, readings: Readings) -> None:
        times = self._proc.ask("proc/stat", psutil.cpu_times)
        for mode in MODES:
            readings.add("cpu_seconds_total", self._seconds.value(mode, getattr(times, mode)), mode=mode)
