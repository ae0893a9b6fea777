"""Who waits for what the engine's step loop says about prefixes. Used on the event loop only.

The intake's answers are another's business (`pending_answers`): a step may take seconds, and no silence of the loop
over a prefix is a stall.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from edge_agent.protocol import Prefixes, Refused


class PrefixCalls:
    """Futures by the request's id."""

    def __init__(self) -> None:
        self._futures: dict[int, asyncio.Future[Prefixes | Refused]] = {}

    def __len__(self) -> int:
        return len(self._futures)

    @contextmanager
    def expecting(self, call_id: int) -> Iterator[asyncio.Future[Prefixes | Refused]]:
        """The answer to come, for the length of the block; what comes later is nobody's."""
        future: asyncio.Future[Prefixes | Refused] = asyncio.get_running_loop().create_future()
        self._futures[call_id] = future
        try:
            yield future
        finally:
            self._futures.pop(call_id, None)
            if future.done() and not future.cancelled():
                # Read once, so that the loop does not complain of an error that nobody waited for.
                future.exception()

    def resolve(self, answer: Prefixes | Refused) -> None:
        future = self._futures.get(answer.id)
        if future is not None and not future.done():
            future.set_result(answer)

    def lose(self, error: Callable[[], Exception]) -> None:
        """Fail all that wait, each with an exception of its own."""
        for future in self._futures.values():
            if not future.done():
                future.set_exception(error())
