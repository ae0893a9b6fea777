"""The files that sensors are read from, under one root: the machine's own, or a directory tree that stands for a board.

A driver may keep a read waiting for ever. So whoever watches can see which read is under way and since when, and give
it up: from then on that file answers with an error at once, until the read has come back. Sampler's thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edge_agent.errors import EdgeAgentError

T = TypeVar("T")

# 64 KiB: /proc/stat of a 64-core machine has 12 KiB; a file of endless content must not fill the memory.
MAX_FILE_BYTES = 64 * 1024


class SensorError(EdgeAgentError):
    """A sensor is there, but cannot be read or tells nonsense; the message names its file."""


class SensorAbsentError(SensorError):
    """The board does not have this sensor, or it is switched off."""


class SensorFiles:
    """Reads below `root`; every `path` is relative to it, such as `sys/class/thermal/thermal_zone0/temp`."""

    def __init__(self, root: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.root = root
        self._clock = clock

    def read_text(self, path: str) -> str:
        """The content without surrounding white space and NULs. Raises SensorError; SensorAbsentError for no file."""
        raise NotImplementedError

    def read_int(self, path: str) -> int:
        """A decimal integer. Raises SensorError."""
        raise NotImplementedError

    def names(self, folder: str) -> list[str]:
        """What is in a folder, numbers in the order of their values; empty for no such folder."""
        raise NotImplementedError

    def exists(self, path: str) -> bool:
        raise NotImplementedError

    def call(self, name: str, function: Callable[[], T]) -> T:
        """Anything else that may keep us waiting, under a name of its own, watched like a read."""
        raise NotImplementedError
