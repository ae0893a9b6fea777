"""Requests that wait for one receiver, oldest first, in memory and bounded. Event loop.

The seam for a spool on disk: whatever else keeps requests offers what `RequestQueue` does, and nobody else need know.
"""

from __future__ import annotations

import asyncio
from collections import deque

from msgspec import Struct


class QueuedRequest(Struct, frozen=True, kw_only=True):
    """A round of samples, compressed, and when it was taken."""

    body: bytes
    num_samples: int
    timestamp_ms: int


class RequestQueue:
    """At most `max_samples`, though never less than the newest request."""

    def __init__(self, *, max_samples: int) -> None:
        self._max_samples = max_samples
        self._requests: deque[QueuedRequest] = deque()
        self._is_filled = asyncio.Event()
        self._is_empty = asyncio.Event()
        self.num_samples = 0
        self.num_bytes = 0
        self._tell()

    def append(self, request: QueuedRequest) -> int:
        """Queue a request; the answer is how many samples were dropped for it, the oldest first."""
        num_dropped = 0
        while self._requests and self.num_samples + request.num_samples > self._max_samples:
            num_dropped += self._requests[0].num_samples
            self.remove(self._requests[0])
        self._requests.append(request)
        self.num_samples += request.num_samples
        self.num_bytes += len(request.body)
        self._tell()
        return num_dropped

    def peek(self) -> QueuedRequest | None:
        """The oldest request, which stays."""
        return self._requests[0] if self._requests else None

    def remove(self, request: QueuedRequest) -> bool:
        """Take the oldest request away. False when it is another by now: this one was dropped while it was sent."""
        if self.peek() is not request:
            return False
        self._requests.popleft()
        self.num_samples -= request.num_samples
        self.num_bytes -= len(request.body)
        self._tell()
        return True

    async def wait_filled(self) -> None:
        """Until there is a request."""
        await self._is_filled.wait()

    async def wait_empty(self) -> None:
        """Until there is none."""
        await self._is_empty.wait()

    def _tell(self) -> None:
        now_set, now_cleared = (
            (self._is_filled, self._is_empty) if self._requests else (self._is_empty, self._is_filled)
        )
        now_set.set()
        now_cleared.clear()
