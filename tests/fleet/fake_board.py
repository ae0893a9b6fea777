"""A board whose sensors a test sets: a copy of a fixture's tree, which the host sees and its agent reads."""

from __future__ import annotations

import shutil
from pathlib import Path

FIXTURES = Path(__file__).parents[1] / "fixtures/boards"
THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
TEMPERATURES = (
    "sys/devices/virtual/thermal/thermal_zone0/temp",
    "sys/devices/virtual/thermal/thermal_zone0/hwmon0/temp1_input",
)


class FakeBoard:
    """A Raspberry Pi 4; cool to begin with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(FIXTURES / "pi4", folder, symlinks=True)
        self.set(throttled="0", temperature_celsius=52)

    def set(self, *, throttled: str, temperature_celsius: int) -> None:
        """What the firmware says from now on: its throttle word, in hexadecimal, and the CPU's temperature."""
        self._write(THROTTLED, throttled)
        for path in TEMPERATURES:
            self._write(path, str(temperature_celsius * 1000))

    def _write(self, path: str, text: str) -> None:
        file = self.folder / path
        # Whole or not at all, as sysfs answers.
        new = file.with_name(f".{file.name}.new")
        new.write_text(f"{text}\n", encoding="ascii")
        new.replace(file)
