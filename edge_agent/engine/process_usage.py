"""The engine process's memory and CPU time, as the kernel counts them for it."""

from __future__ import annotations

import resource
import time
from pathlib import Path

from edge_agent.protocol import EngineUsage

PAGE_BYTES = resource.getpagesize()
READ_SECONDS = 1.0


class UsageMeter:
    """Reads /proc/self/statm (proc_pid_statm(5): size, resident, shared, … in pages) at most once a second."""

    def __init__(self, statm: Path = Path("/proc/self/statm")) -> None:
        self._statm = statm
        self._due = 0.0

    def read(self) -> EngineUsage:
        """What the process uses now."""
        _, resident, shared, *_ = map(int, self._statm.read_text(encoding="ascii").split())
        return EngineUsage(resident * PAGE_BYTES, (resident - shared) * PAGE_BYTES, time.process_time())

    def read_when_due(self, now: float) -> EngineUsage | None:
        """As `read`, or None when the last reading is younger than a second."""
        if now < self._due:
            return None
        self._due = now + READ_SECONDS
        return self.read()
