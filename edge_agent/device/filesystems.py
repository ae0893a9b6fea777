"""Size of and room on the file systems that hold state and models. Sampler's thread.

These are folders of the service, so the real ones, wherever `device.root` points.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from edge_agent.device.label_text import shown
from edge_agent.device.reading import Readings
from edge_agent.device.sensor_files import SensorAbsentError, SensorError, SensorFiles


class FilesystemsCollector:
    """Two series a mount; folders on one mount share them."""

    name = "filesystems"

    def __init__(self, files: SensorFiles, *, folders: Sequence[Path]) -> None:
        self._files = files
        self._folders = tuple(folders)
        # With the file system's number: to find the mount costs most, and it stays while that does.
        self._mountpoints: dict[Path, tuple[int, str]] = {}

    def collect(self, readings: Readings) -> None:
        seen: set[str] = set()
        for folder in self._folders:
            with readings.sensor():
                mountpoint, stat = self._ask(folder)
                if mountpoint not in seen:
                    seen.add(mountpoint)
                    readings.add("filesystem_size_bytes", stat.f_blocks * stat.f_frsize, mountpoint=mountpoint)
                    readings.add("filesystem_available_bytes", stat.f_bavail * stat.f_frsize, mountpoint=mountpoint)

    def _ask(self, folder: Path) -> tuple[str, os.statvfs_result]:
        # A folder on a network file system whose server is gone keeps its caller waiting: watched like a sensor.
        try:
            return self._files.call(str(folder), lambda: (self._mountpoint(folder), os.statvfs(folder)))
        except FileNotFoundError as error:
            raise SensorAbsentError(str(folder), "not there yet") from error
        except OSError as error:
            raise SensorError(str(folder), error.strerror or "cannot be asked") from error

    def _mountpoint(self, folder: Path) -> str:
        number = folder.stat().st_dev
        known = self._mountpoints.get(folder)
        if known is None or known[0] != number:
            known = self._mountpoints[folder] = number, shown(str(mountpoint_of(folder)))
        return known[1]


def mountpoint_of(folder: Path) -> Path:
    """The mount that a folder is on. Raises OSError for a folder that is not there."""
    place = Path(os.path.realpath(folder, strict=True))
    while not place.is_mount():
        place = place.parent
    return place
