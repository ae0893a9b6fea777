"""Tells devices with hardware behind them from the kernel's own: loop and RAM disks, bridges, containers' ends."""

from __future__ import annotations

from edge_agent.device.reading import Readings
from edge_agent.device.sensor_files import SensorError, SensorFiles

# 32: twice what the largest box here holds; each costs series.
MAX_DEVICES = 32


def physical_devices(files: SensorFiles, folder: str, readings: Readings) -> list[str]:
    """What in the folder has a link `device`, at most 32; that there are more is an error among `readings`.

    Raises SensorError when the folder cannot be read.
    """
    found = [name for name in files.names(folder) if files.exists(f"{folder}/{name}/device")]
    if len(found) > MAX_DEVICES:
        readings.errors.append(SensorError(folder, f"{len(found)} devices; those after the first 32 have no series"))
    return found[:MAX_DEVICES]
