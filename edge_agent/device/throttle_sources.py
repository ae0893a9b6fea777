"""Where a board tells that it is held back: each source reads one place and knows only some of the flags.

A source answers with what holds now and with what has held since boot, as far as its place tells. Which of them a board
has shows on asking. Sampler's thread.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from edge_agent.device.sensor_files import SensorAbsentError, SensorError, SensorFiles
from edge_agent.device.throttle_flag import ThrottleFlag


class ThrottleWord(Struct, frozen=True):
    """What one source says. `active` has the flags that it can tell, no others; `remembered`: since boot."""

    active: dict[ThrottleFlag, bool]
    remembered: frozenset[ThrottleFlag] = frozenset()


class ThrottleSource(Protocol):
    """One place to ask."""

    def read(self) -> ThrottleWord:
        """Raises SensorAbsentError where the board has no such place, SensorError when it cannot be used."""
        ...


class FirmwareWord:
    """The Raspberry Pi's `get_throttled` in sysfs: bits 0-3 hold now, bits 16-19 have held since boot.

    Hexadecimal without 0x; the firmware driver refreshes it every two seconds. Bits: documentation of `vcgencmd
    get_throttled`. Kernels that lack the file show under-voltage through `rpi_volt` still.
    """

    PATHS = (
        "sys/devices/platform/soc/soc:firmware/get_throttled",
        "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled",
        "sys/devices/platform/soc@107c000000:firmware/get_throttled",
    )
    FLAGS = (
        ThrottleFlag.UNDER_VOLTAGE,
        ThrottleFlag.FREQUENCY_CAPPED,
        ThrottleFlag.THROTTLED,
        ThrottleFlag.SOFT_TEMPERATURE_LIMIT,
    )

    def __init__(self, files: SensorFiles) -> None:
        self._files = files
        self._paths: tuple[str, ...] = self.PATHS

    def read(self) -> ThrottleWord:
        for path in self._paths:
            try:
                text = self._files.read_text(path)
            except SensorAbsentError:
                continue
            self._paths = (path,)
            return parse_firmware_word(text, path=path)
        raise SensorAbsentError(self.PATHS[0], "no firmware of a Raspberry Pi that tells through sysfs")


def parse_firmware_word(text: str, *, path: str) -> ThrottleWord:
    """`50005` or `0x50005`. Raises SensorError."""
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{1,8}", text):
        raise SensorError(path, f"{text[:40]!a} is no throttle word")
    word = int(text, 16)
    flags = list(enumerate(FirmwareWord.FLAGS))
    return ThrottleWord(
        {flag: bool(word >> bit & 1) for bit, flag in flags},
        frozenset(flag for bit, flag in flags if word >> (16 + bit) & 1),
    )


class UnderVoltageAlarm:
    """The chip `rpi_volt`, whose `in0_lcrit_alarm` is 1 after an under-voltage within the driver's last two seconds."""

    FOLDER = "sys/class/hwmon"

    def __init__(self, files: SensorFiles) -> None:
        self._files = files
        # Kept while the chip is there: the names of all others would be read every second.
        self._names: dict[str, str] = {}

    def read(self) -> ThrottleWord:
        chips = self._files.names(self.FOLDER)
        self._names = {chip: self._names.get(chip) or self._name_of(chip) for chip in chips}
        for chip, name in self._names.items():
            if name == "rpi_volt":
                return ThrottleWord({ThrottleFlag.UNDER_VOLTAGE: self._alarm(f"{self.FOLDER}/{chip}/in0_lcrit_alarm")})
        raise SensorAbsentError(self.FOLDER, "no chip rpi_volt")

    def _name_of(self, chip: str) -> str:
        try:
            return self._files.read_text(f"{self.FOLDER}/{chip}/name")
        except SensorError:
            # Another chip's trouble is the hwmon collector's matter.
            return ""

    def _alarm(self, path: str) -> bool:
        alarm = self._files.read_int(path)
        if alarm not in {0, 1}:
            raise SensorError(path, f"{alarm} is no alarm, which is 0 or 1")
        return alarm == 1


class ProcessorThrottleCounts:
    """x86's counts of thermal throttling by core and package: throttled while one has risen since the last look.

    Source: Documentation/admin-guide/thermal in the kernel's tree, drivers/thermal/intel/therm_throt.c.
    """

    FOLDER = "sys/devices/system/cpu"

    def __init__(self, files: SensorFiles) -> None:
        self._files = files
        # Found once: whether CPUs count is a matter of their model and of the kernel's build.
        self._paths: list[str] | None = None
        self._last: dict[str, int] = {}

    def read(self) -> ThrottleWord:
        if self._paths is None:
            self._paths = self._find()
        counts = dict(self._counts(self._paths))
        if not counts:
            raise SensorAbsentError(self.FOLDER, "no CPU that counts its thermal throttling")
        has_risen = any(count > self._last.get(path, count) for path, count in counts.items())
        self._last = counts
        return ThrottleWord({ThrottleFlag.THROTTLED: has_risen})

    def _counts(self, paths: list[str]) -> Iterator[tuple[str, int]]:
        for path in paths:
            # Absent: a CPU that was switched off.
            with contextlib.suppress(SensorAbsentError):
                yield path, self._files.read_int(path)

    def _find(self) -> list[str]:
        cpus = [name for name in self._files.names(self.FOLDER) if re.fullmatch(r"cpu\d{1,4}", name)]
        folders = [f"{self.FOLDER}/{cpu}/thermal_throttle" for cpu in cpus]
        return [
            f"{folder}/{file}"
            for folder in folders
            for file in self._files.names(folder)
            if file in {"core_throttle_count", "package_throttle_count"}
        ]
