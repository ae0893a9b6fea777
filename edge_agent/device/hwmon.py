"""Temperatures and fans of the kernel's hardware monitoring chips: `coretemp`, `nvme`, `pwmfan`. Sampler's thread.

The kernel shows each thermal zone a second time as a chip, under the zone's type with - as _; those are passed over.
Source: Documentation/hwmon/sysfs-interface in the kernel's tree.
"""

from __future__ import annotations

import re

from edge_agent.device.reading import Readings
from edge_agent.device.repeated_names import RepeatedNames
from edge_agent.device.sensor_files import SensorError, SensorFiles
from edge_agent.device.temperature import read_celsius
from edge_agent.device.thermal_zones import zones

FOLDER = "sys/class/hwmon"
TEMPERATURE = re.compile(r"(temp\d{1,3})_input")
FAN = re.compile(r"(fan\d{1,3})_input")
# Twice what the fastest server fans reach.
HIGHEST_RPM = 60_000


class HwmonCollector:
    """`chip/tempN` and `chip/fanN`; a second chip of the same name is `chip_2`."""

    name = "hwmon"

    def __init__(self, files: SensorFiles) -> None:
        self._files = files
        # By entry and chip: a chip's files stay as they are for as long as its driver is bound, and listing costs most.
        self._known: dict[tuple[str, str], list[str]] = {}

    def collect(self, readings: Readings) -> None:
        names = RepeatedNames()
        twins = self._names_of_zones()
        present: dict[tuple[str, str], list[str]] = {}
        for entry in self._files.names(FOLDER):
            folder = f"{FOLDER}/{entry}"
            with readings.sensor():
                chip = self._files.read_text(f"{folder}/name")
                if chip not in twins:
                    shown = names.unique(chip)
                    known = self._known.get((entry, chip))
                    present[entry, chip] = self._sensors_in(folder) if known is None else known
                    self._collect_chip(readings, folder, shown, present[entry, chip])
        self._known = present

    def _sensors_in(self, folder: str) -> list[str]:
        return [file for file in self._files.names(folder) if TEMPERATURE.fullmatch(file) or FAN.fullmatch(file)]

    def _collect_chip(self, readings: Readings, folder: str, chip: str, sensors: list[str]) -> None:
        for file in sensors:
            path = f"{folder}/{file}"
            if found := TEMPERATURE.fullmatch(file):
                with readings.sensor():
                    readings.add("temperature_celsius", read_celsius(self._files, path), sensor=f"{chip}/{found[1]}")
            elif found := FAN.fullmatch(file):
                with readings.sensor():
                    readings.add("fan_speed_rpm", self._rpm(path), fan=f"{chip}/{found[1]}")

    def _rpm(self, path: str) -> int:
        rpm = self._files.read_int(path)
        if not 0 <= rpm <= HIGHEST_RPM:
            raise SensorError(path, f"{rpm} revolutions a minute, which no fan makes")
        return rpm

    def _names_of_zones(self) -> set[str]:
        # A zone that cannot be read has no twin that could: its error is the thermal zones' matter.
        twins = Readings()
        found: set[str] = set()
        for zone in zones(self._files):
            with twins.sensor():
                found.add(self._files.read_text(f"{zone}/type").replace("-", "_"))
        return found
