"""The files that sensors are read from, under one root: the machine's own, or a directory tree that stands for a board.

A driver may keep a read waiting for ever. Every read is therefore noted while it is under way, and another thread may
give it up: from then on its file answers with an error at once, until the read has come back and its rest is over. The
thread that hung is told on its return that nobody waits for it any more.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from edge_agent.errors import EdgeAgentError

T = TypeVar("T")

# 64 KiB: /proc/stat of a 64-core machine has 12 KiB; a file of endless content must not fill the memory.
MAX_FILE_BYTES = 64 * 1024
# 4,096: /sys/class/net of a machine full of containers has some hundred; beyond, no board is described.
MAX_NAMES = 4096
# 16: each hanging read holds a thread. A board on which more than that hangs is broken; then the sampler waits.
MAX_HANGING = 16
# 256 rounds, 4 min: each try of a sensor that is too slow again costs all others a round that lasts a second longer.
LONGEST_REST_ROUNDS = 256
# 4 KiB: the longest that sysfs says, and what /proc gives at a time. A larger buffer costs more than the read.
PIECE_BYTES = 4096
# Nothing there, or a sensor that is switched off: Jetson's powered-down zones answer EAGAIN, others ENODATA or ENXIO;
# pressure that the kernel was told not to measure EOPNOTSUPP, clocks of CPUs that are off EBUSY, radios that are off
# ENETDOWN.
ABSENT = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENODEV,
        errno.ENXIO,
        errno.ENODATA,
        errno.EAGAIN,
        errno.EOPNOTSUPP,
        errno.EBUSY,
        errno.ENETDOWN,
    }
)


class SensorError(EdgeAgentError):
    """A sensor is there, but cannot be read or tells nonsense. `path` is its file, below the root."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class SensorAbsentError(SensorError):
    """The board does not have this sensor, or it is switched off."""


class ReaderGivenUpError(EdgeAgentError):
    """Raised to a thread whose read took so long that another one goes on in its place: end, touching nothing."""


class _Read:
    """One read under way. Made by the reading thread; `is_given_up` is set by the one that watches."""

    def __init__(self, name: str, started_at: float) -> None:
        self.name = name
        self.started_at = started_at
        self.is_given_up = False


class _Rest(NamedTuple):
    """How often in a row a file was given up, and the first round in which it is tried again."""

    num_given_up: int
    until_round: int


class SensorFiles:
    """Reads below `root`; every `path` is relative to it, such as `sys/class/thermal/thermal_zone0/temp`.

    One thread reads at a time. `begin_round` and `give_up` are for the thread that watches it.
    """

    def __init__(self, root: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.root = root
        self._prefix = str(root).rstrip("/")
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: _Read | None = None
        self._hanging: set[str] = set()
        self._round = 0
        self._rests: dict[str, _Rest] = {}

    def read_text(self, path: str) -> str:
        """The content without surrounding white space and NULs. Raises SensorError; SensorAbsentError for no file."""
        try:
            content = self.call(path, lambda: self._read_bytes(path))
        except OSError as error:
            raise _sensor_error(path, error) from error
        if len(content) > MAX_FILE_BYTES:
            raise SensorError(path, f"more than {MAX_FILE_BYTES} bytes, which no sensor has to say")
        try:
            return content.decode("utf-8").strip("\0 \t\r\n")
        except UnicodeDecodeError as error:
            raise SensorError(path, "not text") from error

    def read_int(self, path: str) -> int:
        """A decimal integer. Raises SensorError."""
        text = self.read_text(path)
        # 20: what 64 bits may hold; int() of a longer one costs time.
        if len(text) > 20 or not re.fullmatch(r"[+-]?[0-9]+", text):
            raise SensorError(path, f"{text[:40]!a} is no whole number")
        return int(text)

    def names(self, folder: str) -> list[str]:
        """What is in a folder, `cpu2` before `cpu10`; empty for no such folder. Raises SensorError."""
        try:
            names = self.call(folder, lambda: self._list(folder))
        except OSError as error:
            if error.errno in ABSENT:
                return []
            raise _sensor_error(folder, error) from error
        if len(names) > MAX_NAMES:
            raise SensorError(folder, f"more than {MAX_NAMES} entries, which no board has")
        return sorted(names, key=_numbered_order)

    def exists(self, path: str) -> bool:
        """Whether there is such a file or folder. Raises SensorError where that cannot be told."""
        try:
            self.call(path, lambda: os.stat(self._place(path)))  # noqa: PTH116 - dozens a round; a Path costs twice as much
        except OSError as error:
            if error.errno in ABSENT or error.errno == errno.ELOOP:
                return False
            raise _sensor_error(path, error) from error
        return True

    def call(self, name: str, function: Callable[[], T]) -> T:
        """Anything that may keep the thread waiting, under a name of its own, watched like a read.

        Raises what `function` raises; SensorError at once while an earlier call of this name still hangs, or rests.
        """
        with self._lock:
            if name in self._hanging:
                raise SensorError(name, "an earlier read has not come back; the driver or the device hangs")
            if name in self._rests and self._round < self._rests[name].until_round:
                raise SensorError(name, "an earlier read took too long; the driver or the device is slow")
            read = self._under_way = _Read(name, self._clock())
        try:
            return function()
        finally:
            self._end(read)

    @property
    def is_reading(self) -> bool:
        """Whether a read is under way that was not given up. Any thread."""
        with self._lock:
            return self._under_way is not None

    def begin_round(self) -> None:
        """From now on files may be read again that were given up once. Those given up in a row rest for more rounds.

        Without the rest, two slow sensors would end no round: each comes back while the other one is waited for.
        """
        with self._lock:
            self._round += 1
            # Long after its rest a file that was not read again is none any more.
            for name in [n for n, rest in self._rests.items() if self._round > rest.until_round + LONGEST_REST_ROUNDS]:
                del self._rests[name]

    def give_up(self, *, after_seconds: float) -> bool:
        """Give up the read under way when it has lasted that long. False when there is none, or too many hang already.

        Then a new thread may read. Any thread.
        """
        with self._lock:
            read = self._under_way
            if read is None or self._clock() - read.started_at < after_seconds or len(self._hanging) >= MAX_HANGING:
                return False
            read.is_given_up = True
            self._hanging.add(read.name)
            self._rests[read.name] = self._rest_after(self._rests.get(read.name))
            self._under_way = None
            return True

    def _rest_after(self, before: _Rest | None) -> _Rest:
        num_before = 0 if before is None else before.num_given_up
        return _Rest(num_before + 1, self._round + min(2**num_before, LONGEST_REST_ROUNDS))

    def _end(self, read: _Read) -> None:
        with self._lock:
            if read.is_given_up:
                self._hanging.discard(read.name)
                raise ReaderGivenUpError(f"{read.name}: came back after it was given up")
            self._under_way = None
            self._rests.pop(read.name, None)

    def _place(self, path: str) -> str:
        # Symbolic links may lead out of the root; a path of ours may not.
        if path.startswith("/") or ".." in path.split("/"):
            raise SensorError(path, "not below the root")
        return f"{self._prefix}/{path}"

    def _read_bytes(self, path: str) -> bytes:
        # Plain descriptors: a file object costs as much again as the read, fifty times a round.
        descriptor = os.open(self._place(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            content = b""
            # Until nothing comes: /proc gives a long table in pieces of a page.
            while len(content) <= MAX_FILE_BYTES and (piece := os.read(descriptor, PIECE_BYTES)):
                content += piece
            return content
        finally:
            os.close(descriptor)

    def _list(self, folder: str) -> list[str]:
        with os.scandir(self._place(folder)) as entries:
            return [entry.name for entry in itertools.islice(entries, MAX_NAMES + 1)]


def _sensor_error(path: str, error: OSError) -> SensorError:
    kind = SensorAbsentError if error.errno in ABSENT else SensorError
    return kind(path, error.strerror or "cannot be read")


def _numbered_order(name: str) -> tuple[str, int, str]:
    # By length, then by digits, numbers sort by their values without being converted.
    return name.rstrip("0123456789"), len(name), name
