"""How much is written to the disks: what wears an SD card out. Sampler's thread."""

from __future__ import annotations

import re

import psutil

from edge_agent.device.physical_devices import physical_devices
from edge_agent.device.proc_files import ProcFiles
from edge_agent.device.reading import Readings
from edge_agent.device.repeated_names import RepeatedNames
from edge_agent.device.rising_counters import ContinuedCounters
from edge_agent.device.sensor_files import SensorFiles

FOLDER = "sys/block"
# Parts of an eMMC that the kernel shows as disks of their own.
EMMC_PART = re.compile(r"mmcblk\d+(boot\d+|rpmb|gp\d+)")


class DisksCollector:
    """One series a disk: whole ones, with a device behind them. Partitions, loop and RAM disks have none."""

    name = "disks"

    def __init__(self, files: SensorFiles, proc: ProcFiles) -> None:
        self._files = files
        self._proc = proc
        self._written = ContinuedCounters()

    def collect(self, readings: Readings) -> None:
        found = physical_devices(self._files, FOLDER, readings)
        disks = [name for name in found if not EMMC_PART.fullmatch(name)]
        self._written.keep_only(set(disks))
        if not disks:
            return
        counters = self._proc.ask("proc/diskstats", lambda: psutil.disk_io_counters(perdisk=True, nowrap=False))
        names = RepeatedNames()
        for disk in disks:
            if disk in counters:
                written = self._written.value(disk, counters[disk].write_bytes)
                readings.add("disk_written_bytes_total", written, disk=names.unique(disk))
