"""Reads a temperature as Linux gives it, and knows which temperatures are none. Sampler's thread."""

from __future__ import annotations

from edge_agent.device.sensor_files import SensorError, SensorFiles

# Silicon works from -40 to 125 °C; what lies outside with a margin is a broken sensor or a driver's code for "none",
# such as -256 and -274.
LOWEST_CELSIUS, HIGHEST_CELSIUS = -60.0, 200.0


def read_celsius(files: SensorFiles, path: str) -> float:
    """A file in thousandths of a degree (Documentation/hwmon/sysfs-interface). Raises SensorError for nonsense too."""
    celsius = files.read_int(path) / 1000
    if not LOWEST_CELSIUS <= celsius <= HIGHEST_CELSIUS:
        raise SensorError(path, f"{celsius:g} degrees Celsius, which no working sensor reports")
    return celsius
