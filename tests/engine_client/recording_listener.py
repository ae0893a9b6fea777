"""A listener that remembers what it was told, and wakes tests that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edge_agent.engine_client.listener import EndCause
from edge_agent.protocol import Finished, Idle, ModelFacts, Report


class RecordingListener:
    """What was told, by kind and (but for idle ticks) in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.causes: list[EndCause] = []
        self.models: list[ModelFacts] = []
        self.reports: list[Report] = []
        self.finishes: list[Finished] = []
        self.counts: list[tuple[int, int]] = []
        self.num_ticks = 0
        self._told = asyncio.Event()

    async def wait_until(self, is_true: Callable[[], bool]) -> None:
        """Return once the condition holds; looked at after each call."""
        while not is_true():
            self._told.clear()
            await self._told.wait()

    def engine_ready(self, model: ModelFacts) -> None:
        self.models.append(model)
        self._note("engine_ready")

    def engine_ended(self, cause: EndCause) -> None:
        self.causes.append(cause)
        self._note("engine_ended")

    def report(self, report: Report) -> None:
        self.reports.append(report)
        self._note("report")

    def finished(self, finished: Finished) -> None:
        self.finishes.append(finished)
        self._note("finished")

    def idle(self, idle: Idle) -> None:
        self.num_ticks += 1
        self._told.set()

    def queue_changed(self, *, num_running: int, num_waiting: int) -> None:
        self.counts.append((num_running, num_waiting))
        self._note("queue_changed")

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self._told.set()
