"""The requests that the engine holds or is about to: hands them what it reports and counts them.

Used on the event loop only. A request is open from its submission until the engine finished or refused it, or ended;
one that the client gave up counts until then, for it may still occupy a sequence.
"""

from __future__ import annotations

import asyncio

from edge_agent.engine_client.generation import Generation
from edge_agent.engine_client.listener import EngineListener
from edge_agent.protocol import Finished, Report


class OpenRequests:
    """Open generations by id; tells the listener what is reported, and each change of the counts after it.

    A request runs from the first step that computed rows of it. The engine may send one back to wait, which its
    report's own count shows at once: the smaller of the two is the number of running requests. All others wait.
    """

    def __init__(self, listener: EngineListener) -> None:
        # Set while any request is open, and while none is.
        self.busy = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        self._listener = listener
        self._generations: dict[int, Generation] = {}
        self._scheduled: set[int] = set()
        self._num_reported = 0
        self._told = (0, 0)

    def __len__(self) -> int:
        return len(self._generations)

    @property
    def num_running(self) -> int:
        return min(len(self._scheduled), self._num_reported)

    @property
    def num_waiting(self) -> int:
        return len(self._generations) - self.num_running

    def add(self, generation: Generation) -> None:
        self._generations[generation.id] = generation
        self._tell_counts()

    def holds(self, generation_id: int) -> bool:
        return generation_id in self._generations

    def refuse(self, generation_id: int) -> None:
        """The request is over without an answer of its own: turned away, or a prefix that is now kept."""
        self._remove(generation_id)
        self._tell_counts()

    def report(self, report: Report) -> None:
        for sequence in report.sequences:
            generation = self._generations.get(sequence.id)
            if generation is not None:
                self._scheduled.add(sequence.id)
                generation.deliver(sequence)
        self._num_reported = report.num_running
        self._listener.report(report)
        self._tell_counts()

    def finish(self, finished: Finished) -> None:
        generation = self._remove(finished.id)
        if generation is not None:
            generation.finish(finished)
        self._listener.finished(finished)
        self._tell_counts()

    def lose_all(self, reason: str) -> None:
        """The engine ended."""
        lost = list(self._generations.values())
        self._generations.clear()
        self._scheduled.clear()
        self._num_reported = 0
        for generation in lost:
            generation.lose(reason)
        self._tell_counts()

    def _remove(self, generation_id: int) -> Generation | None:
        self._scheduled.discard(generation_id)
        return self._generations.pop(generation_id, None)

    def _tell_counts(self) -> None:
        raised, lowered = (self.busy, self.idle) if self._generations else (self.idle, self.busy)
        raised.set()
        lowered.clear()
        counts = (self.num_running, self.num_waiting)
        if counts != self._told:
            self._told = counts
            self._listener.queue_changed(num_running=counts[0], num_waiting=counts[1])
