"""Temperatures of the kernel's thermal zones, such as the Pi's `cpu-thermal`. Sampler's thread.

Source: Documentation/driver-api/thermal/sysfs-api in the kernel's tree.
"""

from __future__ import annotations

from edge_agent.device.reading import Readings
from edge_agent.device.repeated_names import RepeatedNames
from edge_agent.device.sensor_files import SensorFiles
from edge_agent.device.temperature import read_celsius

FOLDER = "sys/class/thermal"


class ThermalZonesCollector:
    """One series a zone."""

    name = "thermal_zones"

    def __init__(self, files: SensorFiles) -> None:
        self._files = files

    def collect(self, readings: Readings) -> None:
        names = RepeatedNames()
        for zone in zones(self._files):
            with readings.sensor():
                sensor = names.unique(self._files.read_text(f"{zone}/type"))
                readings.add("temperature_celsius", read_celsius(self._files, f"{zone}/temp"), sensor=sensor)


def zones(files: SensorFiles) -> list[str]:
    """The zones' folders. Raises SensorError."""
    return [f"{FOLDER}/{name}" for name in files.names(FOLDER) if name.startswith("thermal_zone")]
