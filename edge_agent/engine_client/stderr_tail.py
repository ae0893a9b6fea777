"""Reads the engine's stderr on the event loop: every line to the DEBUG log, the last ones kept for a post-mortem.

The text is hostile: llama.cpp prints strings out of the model file.
"""

from __future__ import annotations

import asyncio
import collections
import logging

logger = logging.getLogger(__name__)

NUM_KEPT_LINES = 20
# 4 KiB: longer than any line of llama.cpp; the rest of a longer line is dropped.
MAX_LINE_BYTES = 4096


class StderrTail(asyncio.Protocol):
    """The last lines of a stream. `closed` is done when the stream has ended and its pipe is closed."""

    def __init__(self) -> None:
        self.lines: collections.deque[str] = collections.deque(maxlen=NUM_KEPT_LINES)
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._partial = b""

    def data_received(self, data: bytes) -> None:
        *whole, rest = (self._partial + data).split(b"\n")
        for line in whole:
            self._keep(line)
        self._partial = rest[:MAX_LINE_BYTES]

    def connection_lost(self, exc: Exception | None) -> None:
        self._keep(self._partial)
        self._partial = b""
        self.closed.set_result(None)

    def _keep(self, line: bytes) -> None:
        text = printable(line[:MAX_LINE_BYTES].decode(errors="replace")).rstrip()
        if text:
            self.lines.append(text)
            logger.debug("engine stderr line=%s", text)


def printable(text: str) -> str:
    """The text with control characters made spaces: a terminal that shows the log must not obey the model file."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)
