"""Writes prefix files on a thread of its own, so that no step waits for the disk.

The step loop offers what is to be written and bounds how much that is; `on_written` is called on the writer's thread.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from edge_agent.engine.prefix_file import PrefixHead, write_prefix

logger = logging.getLogger(__name__)

# The least of all priorities: an answer's next token is worth more than a file for later.
LOWEST_PRIORITY = 19
# 64 MiB stay free on the file system: the telemetry's spool and the system's own logs live there too.
KEEP_FREE_BYTES = 64 * 1024 * 1024
# At the end the file being written may still be completed; a larger one is written again some other day.
CLOSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Write:
    """A file to be written."""

    id: str
    path: Path
    head: PrefixHead
    state: bytes


@dataclass(frozen=True, slots=True)
class Written:
    """A write is over; `error` says why there is no file."""

    id: str
    error: str | None = None


class PrefixWriter:
    """One thread, started at once. `close` ends it."""

    def __init__(self, on_written: Callable[[Written], None]) -> None:
        self._on_written = on_written
        self._writes: SimpleQueue[Write | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="prefix writer", daemon=True)
        self._thread.start()

    def offer(self, write: Write) -> None:
        self._writes.put(write)

    def close(self) -> None:
        """End after what was offered, or leave the rest to the process's end if that takes too long."""
        self._writes.put(None)
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        # On Linux a priority belongs to a thread, not to its process.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
        while (write := self._writes.get()) is not None:
            self._on_written(Written(write.id, _error_of(write)))


def _error_of(write: Write) -> str | None:
    try:
        _check_space(write)
        write_prefix(write.path, write.head, write.state)
    except OSError as error:
        logger.warning("a prefix could not be written prefix=%s error=%s", write.id, error)
        return error.strerror or str(error)
    return None


def _check_space(write: Write) -> None:
    status = os.statvfs(write.path.parent)
    num_free = status.f_bavail * status.f_frsize
    if num_free < write.head.num_bytes + KEEP_FREE_BYTES:
        message = f"{write.head.num_bytes} bytes wanted beside {KEEP_FREE_BYTES} that stay free, {num_free} are left"
        raise OSError(errno.ENOSPC, message)
