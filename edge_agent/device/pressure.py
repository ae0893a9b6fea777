"""Time in which work waited for a resource: the kernel's pressure stall information. Sampler's thread.

Source: Documentation/accounting/psi in the kernel's tree. Raspberry Pi OS needs `psi=1` on the kernel's command line.
"""

from __future__ import annotations

import re

from edge_agent.device.reading import Readings
from edge_agent.device.sensor_files import SensorError, SensorFiles

RESOURCES = ("cpu", "memory", "io")
LINE = re.compile(r"(some|full) avg10=\S+ avg60=\S+ avg300=\S+ total=(\d{1,20})")


class PressureCollector:
    """Two series a resource; older kernels tell no `full` for the CPU."""

    name = "pressure"

    def __init__(self, files: SensorFiles) -> None:
        self._files = files

    def collect(self, readings: Readings) -> None:
        for resource in RESOURCES:
            path = f"proc/pressure/{resource}"
            with readings.sensor():
                for kind, seconds in parse_pressure(self._files.read_text(path), path=path).items():
                    readings.add("pressure_stalled_seconds_total", seconds, resource=resource, kind=kind)


def parse_pressure(text: str, *, path: str) -> dict[str, float]:
    """Seconds by kind. The file has microseconds. Raises SensorError."""
    lines = [LINE.fullmatch(line) for line in text.splitlines()]
    if not lines or None in lines:
        raise SensorError(path, f"{text[:40]!a} is no pressure")
    return {line[1]: int(line[2]) / 1_000_000 for line in lines if line}
