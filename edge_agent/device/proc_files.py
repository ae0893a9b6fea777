"""psutil, pointed at a root's `proc`: it parses what is there, we watch how long it takes. Sampler's thread.

psutil is asked only for what it reads below `psutil.PROCFS_PATH`, and only when the file is there: in place of a
missing one it would take what it finds below the machine's own /sys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import psutil

from edge_agent.device.sensor_files import SensorAbsentError, SensorError, SensorFiles

T = TypeVar("T")


class ProcFiles:
    """Asks psutil about one root."""

    def __init__(self, files: SensorFiles) -> None:
        self._files = files
        self._folder = str(files.root / "proc")

    def ask(self, file: str, function: Callable[[], T]) -> T:
        """What a function of psutil says, which reads `file`, such as `proc/stat`. Raises SensorError."""
        try:
            return self._files.call(file, lambda: self._redirected(file, function))
        except FileNotFoundError as error:
            raise SensorAbsentError(file, "not there") from error
        # psutil has no error of its own for a file in another form than it expects.
        except (OSError, ValueError, TypeError, LookupError, RuntimeError, AssertionError) as error:
            raise SensorError(file, f"psutil cannot read it ({str(error)[:80]!a})") from error

    def _redirected(self, file: str, function: Callable[[], T]) -> T:
        (self._files.root / file).stat()
        # A global of psutil's, so it is set each time: another root may have been asked about meanwhile.
        psutil.PROCFS_PATH = self._folder
        return function()
