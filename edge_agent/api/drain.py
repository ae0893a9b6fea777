"""Whether new requests are taken, and when the last one that was taken is over. Owned by the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from edge_agent.errors import EngineUnavailableError

# A restart takes about this long; the client's next try may meet the next process.
RETRY_AFTER_SECONDS = 10


class Drain:
    """Lets requests in until it is started, then only out."""

    def __init__(self) -> None:
        self._num_open = 0
        self._is_started = False
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def start(self) -> None:
        self._is_started = True

    def check(self) -> None:
        """Raise EngineUnavailableError when no request is let in any more."""
        if self._is_started:
            raise EngineUnavailableError(
                "The service is shutting down. Try again when it has been restarted.",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold the drain open for one request. Raises EngineUnavailableError once it is started."""
        self.check()
        self._num_open += 1
        self._is_empty.clear()
        try:
            yield
        finally:
            self._num_open -= 1
            if self._num_open == 0:
                self._is_empty.set()

    async def wait_empty(self) -> None:
        """Return when no admitted request is open."""
        await self._is_empty.wait()
