"""One open answer: what the engine says about a request, as an asynchronous iterator for whoever asked.

Used on the event loop only, by one consumer. Which process computes it, and who else is answered, it does not know.
"""

from __future__ import annotations

import asyncio
import collections
import enum
from collections.abc import Callable

from edge_agent.errors import EngineLostError
from edge_agent.protocol import Finished, SequenceReport


class GenerationState(enum.Enum):
    """OPEN until the engine finished it, the client gave it up, or the engine ended."""

    OPEN = "open"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    LOST = "lost"


class Generation:
    """Yields `SequenceReport`s, then exactly one `Finished`; raises EngineLostError if the engine ends before that."""

    def __init__(self, generation_id: int, *, on_cancel: Callable[[int], None]) -> None:
        self.id = generation_id
        self.num_prompt_tokens = 0
        self._on_cancel = on_cancel
        self._state = GenerationState.OPEN
        self._items: collections.deque[SequenceReport | Finished] = collections.deque()
        self._changed = asyncio.Event()
        self._lost_because = ""

    def __aiter__(self) -> Generation:
        return self

    async def __anext__(self) -> SequenceReport | Finished:
        while not self._items:
            if self._state is GenerationState.LOST:
                raise EngineLostError(self._lost_because)
            if self._state is not GenerationState.OPEN:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._items.popleft()

    def cancel(self) -> None:
        """Give the answer up: the iteration ends, the engine is told. Nothing happens when it is over already."""
        if self._state is GenerationState.OPEN:
            self._items.clear()
            self._turn(GenerationState.CANCELLED)
            self._on_cancel(self.id)

    # --- for the engine client ---------------------------------------------------------------------------------

    def deliver(self, report: SequenceReport) -> None:
        if self._state is GenerationState.OPEN:
            self._items.append(report)
            self._changed.set()

    def finish(self, finished: Finished) -> None:
        if self._state is GenerationState.OPEN:
            self._items.append(finished)
            self._turn(GenerationState.FINISHED)

    def lose(self, reason: str) -> None:
        """The engine ended; what it said before is still yielded, then EngineLostError with this reason is raised."""
        if self._state is GenerationState.OPEN:
            self._lost_because = reason
            self._turn(GenerationState.LOST)

    def _turn(self, state: GenerationState) -> None:
        self._state = state
        self._changed.set()
