"""A response of server-sent events: opened by its first byte, kept alive by comments while nothing is said.

Until it is open the request can still be answered with a status of its own. Owned by one request's handler.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web

KEEP_ALIVE_COMMENT = b": keep-alive\n\n"

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    # nginx would hold events back until its buffer is full.
    "X-Accel-Buffering": "no",
}


class EventStream:
    """Writes events to one client; an async context that ends the keep-alive comments."""

    def __init__(self, request: web.Request, *, keepalive_seconds: float, clock: Callable[[], float]) -> None:
        self._request = request
        self._keepalive_seconds = keepalive_seconds
        self._clock = clock
        self._last_written = clock()
        # Two tasks write: the handler and the keep-alive. aiohttp's drain is for one at a time.
        self._writing = asyncio.Lock()
        self._keepalive: asyncio.Task[None] | None = None
        self.response = web.StreamResponse(headers=_HEADERS)

    @property
    def is_open(self) -> bool:
        return self.response.prepared

    async def __aenter__(self) -> Self:
        self._keepalive = asyncio.create_task(self._keep_alive())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._keepalive is not None:
            self._keepalive.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await self._keepalive

    async def write(self, events: bytes) -> None:
        """Send whole events. Raises ConnectionError when the client is gone."""
        async with self._writing:
            if not self.is_open:
                await self.response.prepare(self._request)
            self._last_written = self._clock()
            await self.response.write(events)

    async def close(self, events: bytes) -> None:
        """Send the last events and the end of the response."""
        async with self._writing:
            if not self.is_open:
                await self.response.prepare(self._request)
            await self.response.write_eof(events)

    async def _keep_alive(self) -> None:
        while True:
            quiet_seconds = self._clock() - self._last_written
            if quiet_seconds >= self._keepalive_seconds:
                await self.write(KEEP_ALIVE_COMMENT)
                quiet_seconds = 0.0
            await asyncio.sleep(self._keepalive_seconds - quiet_seconds)
