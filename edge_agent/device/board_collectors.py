"""Which collectors a board has: all of them. Those whose sensors are missing find nothing, and say so once at DEBUG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_agent.device.boot import BootCollector
from edge_agent.device.cooling_devices import CoolingDevicesCollector
from edge_agent.device.cpu import CpuCollector
from edge_agent.device.cpu_frequency import CpuFrequencyCollector
from edge_agent.device.disks import DisksCollector
from edge_agent.device.filesystems import FilesystemsCollector
from edge_agent.device.hwmon import HwmonCollector
from edge_agent.device.identity import IdentityCollector
from edge_agent.device.memory import MemoryCollector
from edge_agent.device.network import NetworkCollector
from edge_agent.device.nvidia import NvidiaCollector
from edge_agent.device.pressure import PressureCollector
from edge_agent.device.proc_files import ProcFiles
from edge_agent.device.reading import Collector
from edge_agent.device.sensor_files import SensorFiles
from edge_agent.device.thermal_zones import ThermalZonesCollector
from edge_agent.device.throttle import ThrottleCollector
from edge_agent.device.throttle_sources import FirmwareWord, ProcessorThrottleCounts, UnderVoltageAlarm


def board_collectors(files: SensorFiles, *, folders: Sequence[Path]) -> list[Collector]:
    """In the order in which they are read. `folders` are those whose file systems matter: of state and of models."""
    proc = ProcFiles(files)
    return [
        IdentityCollector(files),
        ThermalZonesCollector(files),
        HwmonCollector(files),
        ThrottleCollector([FirmwareWord(files), UnderVoltageAlarm(files), ProcessorThrottleCounts(files)]),
        CpuFrequencyCollector(files),
        CoolingDevicesCollector(files),
        CpuCollector(proc),
        MemoryCollector(files),
        PressureCollector(files),
        FilesystemsCollector(files, folders=folders),
        DisksCollector(files, proc),
        NetworkCollector(files, proc),
        BootCollector(proc),
        NvidiaCollector(files),
    ]
