"""How much is written to the disks: what wears an SD card out. Sampler's thread."""

from __future__ import annotations

import psutil

from edge_agent.device.proc_files import ProcFiles
from edge_agent.device.reading import Readings
from edge_agent.device.sensor_files import SensorFiles

FOLDER = "sys/block"


class DisksCollector:
    """One series a disk: whole ones, with a device behind them. Partitions, loop and RAM disks have none."""

    name = "disks"

    def __init__(self, files: SensorFiles, proc: ProcFiles) -> None:
        self._files = files
        self._proc = proc

    def collect(self, readings: Readings) -> None:
        disks = [name for name in self._files.names(FOLDER) if self._files.exists(f"{FOLDER}/{name}/device")]
        if not disks:
            return
        counters = self._proc.ask("proc/diskstats", lambda: psutil.disk_io_counters(perdisk=True, nowrap=False))
        for disk in disks:
            if disk in counters:
                readings.add("disk_written_bytes_total", counters[disk].write_bytes, disk=disk)
