"""Which board this is and what runs on it. Sampler's thread; read once, since none of it changes while it runs."""

from __future__ import annotations

import os
import re

from edge_agent.device.label_text import shown
from edge_agent.device.reading import Readings
from edge_agent.device.sensor_files import SensorError, SensorFiles

UNKNOWN = "unknown"
# What mainboards say when nobody has filled the field in.
PLACEHOLDERS = frozenset({"", "to be filled by o.e.m.", "default string", "system product name", "not specified"})


class IdentityCollector:
    """`device_info`."""

    name = "identity"

    def __init__(self, files: SensorFiles) -> None:
        self._files = files
        self._facts: dict[str, str] | None = None

    def collect(self, readings: Readings) -> None:
        if self._facts is None:
            self._facts = {
                "board": self._board(),
                "os": self._os(),
                "kernel": self._first("proc/sys/kernel/osrelease"),
                "firmware": self._first("proc/device-tree/chosen/bootloader/version", "sys/class/dmi/id/bios_version"),
            }
        readings.add("device_info", 1, **self._facts)

    def _board(self) -> str:
        if (model := self._first("proc/device-tree/model")) != UNKNOWN:
            return model
        vendor, product = self._first("sys/class/dmi/id/sys_vendor"), self._first("sys/class/dmi/id/product_name")
        known = [part for part in (vendor, product) if part != UNKNOWN]
        return shown(" ".join(known)) if known else self._processor()

    def _processor(self) -> str:
        """For boards with neither a device tree in sight nor a DMI table, such as a Pi seen from a container."""
        try:
            found = re.search(r"^Model\s*:(.*)$", self._files.read_text("proc/cpuinfo"), re.MULTILINE)
        except SensorError:
            found = None
        return (shown(found[1]) if found else "") or os.uname().machine

    def _os(self) -> str:
        try:
            text = self._files.read_text("etc/os-release")
        except SensorError:
            return UNKNOWN
        found = re.search(r"""^PRETTY_NAME=(["']?)(.*)\1$""", text, re.MULTILINE)
        return shown(found[2]) if found else UNKNOWN

    def _first(self, *paths: str) -> str:
        for path in paths:
            try:
                text = shown(self._files.read_text(path))
            except SensorError:
                continue
            if text.lower() not in PLACEHOLDERS:
                return text
        return UNKNOWN
