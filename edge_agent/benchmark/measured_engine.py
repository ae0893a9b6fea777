"""An engine process that nobody but the measurement asks, and all that it reports meanwhile.

Runs on the event loop. It is never restarted in silence: a process that ends is a measurement that failed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from edge_agent.benchmark.speeds import MeasurementError
from edge_agent.engine_client.client import EngineClient
from edge_agent.engine_client.generation import Generation
from edge_agent.engine_client.listener import EndCause
from edge_agent.engine_client.request import GenerationRequest
from edge_agent.engine_client.watch_limits import WatchLimits
from edge_agent.protocol import (
    EngineSettings,
    EngineUsage,
    Finished,
    FinishReason,
    Idle,
    ModelFacts,
    Prompt,
    Report,
    SamplingSettings,
)

BACKGROUND_ENGINE = (sys.executable, "-m", "edge_agent.engine.background")
# At once: it has nothing to save, and somebody may be waiting for the processor or the memory.
LIMITS = WatchLimits(stop_seconds=0.0)
GREEDY = SamplingSettings(temperature=0)


class Answers(NamedTuple):
    """What came of some prompts: every step, and how each answer ended, in the order of the prompts."""

    reports: list[Report]
    finishes: list[Finished]


class MeasuredEngine:
    """A model that is loaded. Raises EngineError wherever the process ends, MeasurementError for a cut answer."""

    def __init__(self, client: EngineClient, observer: _Observer, model: ModelFacts) -> None:
        self.model = model
        self._client = client
        self._observer = observer

    @property
    def peak_usage(self) -> EngineUsage:
        """The most memory that the process reported."""
        return self._observer.peak

    async def answer(self, prompts: Sequence[Prompt], *, num_tokens: int) -> Answers:
        """Give each prompt an answer of exactly so many tokens, all at once."""
        self._observer.reports.clear()
        generations = [await self._client.submit(_request(prompt, num_tokens)) for prompt in prompts]
        finishes = [await _finish(generation) for generation in generations]
        return Answers(list(self._observer.reports), finishes)


@contextlib.asynccontextmanager
async def measured_engine(
    settings: EngineSettings, *, environ: Mapping[str, str], command: Sequence[str] = BACKGROUND_ENGINE
) -> AsyncIterator[MeasuredEngine]:
    """An engine of these settings, for the length of the block; however that ends, the process is killed at once.

    Raises MeasurementError when it cannot load the model.
    """
    observer = _Observer()
    client = EngineClient(
        measurable(settings), listener=observer, queue_size=0, command=command, environ=environ, limits=LIMITS
    )
    try:
        await client.start()
        await _loaded(client, observer)
        if client.model is None:
            raise MeasurementError(f"the model cannot be loaded with these settings: {client.load_error}")
        yield MeasuredEngine(client, observer, client.model)
    finally:
        await client.stop()


def measurable(settings: EngineSettings) -> EngineSettings:
    """The settings without what makes a second question cheaper than the first, or an answer than its tokens."""
    return msgspec.structs.replace(
        settings, max_draft_tokens=0, max_saved_prefix_bytes=0, prefix_folder="", max_disk_prefix_bytes=0
    )


class _Observer:
    """The engine's listener."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.peak = EngineUsage(resident_bytes=0, private_bytes=0, cpu_seconds=0.0)
        self.has_ended = asyncio.Event()

    def engine_ready(self, model: ModelFacts) -> None:
        pass

    def engine_ended(self, cause: EndCause) -> None:
        self.has_ended.set()

    def report(self, report: Report) -> None:
        self.reports.append(report)
        if report.usage is not None:
            self._note_usage(report.usage)

    def finished(self, finished: Finished) -> None:
        pass

    def idle(self, idle: Idle) -> None:
        self._note_usage(idle.usage)

    def queue_changed(self, *, num_running: int, num_waiting: int) -> None:
        pass

    def _note_usage(self, usage: EngineUsage) -> None:
        if usage.resident_bytes >= self.peak.resident_bytes:
            self.peak = usage


async def _loaded(client: EngineClient, observer: _Observer) -> None:
    """Return once the model is loaded or the first process has ended."""
    ends = {asyncio.ensure_future(client.wait_settled()), asyncio.ensure_future(observer.has_ended.wait())}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()


def _request(prompt: Prompt, num_tokens: int) -> GenerationRequest:
    return GenerationRequest(
        prompt=prompt, arrived=time.monotonic(), sampling=GREEDY, max_tokens=num_tokens, ignore_eos=True
    )


async def _finish(generation: Generation) -> Finished:
    async for item in generation:
        if isinstance(item, Finished):
            if item.reason is not FinishReason.LENGTH:
                raise MeasurementError(f"an answer ended early ({item.reason.value}): measure again")
            return item
    raise MeasurementError("an answer was cancelled: measure again")
