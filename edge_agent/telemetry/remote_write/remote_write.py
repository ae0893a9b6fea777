"""Pushes all series to every configured receiver, round after round, from start to close. Event loop.

It owns the rounds, and a queue and a sender for each receiver; where there are none it does nothing. What a round holds
is the encoder's, what becomes of it the senders'.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, NoReturn

from edge_agent.config import RemoteWriteEndpoint, RemoteWriteSection
from edge_agent.telemetry.exposition import ExposedSeries
from edge_agent.telemetry.metric_set import MetricSet
from edge_agent.telemetry.remote_write.back_off import BackOff
from edge_agent.telemetry.remote_write.push_metrics import PushMetrics
from edge_agent.telemetry.remote_write.queue import QueuedRequest, RequestQueue
from edge_agent.telemetry.remote_write.receiver import Receiver
from edge_agent.telemetry.remote_write.round_encoder import RoundEncoder
from edge_agent.telemetry.remote_write.sender import Sender
from edge_agent.telemetry.remote_write.sender_log import SenderLog
from edge_agent.telemetry.target_labels import TargetLabels

# 2025-01-01T00:00:00Z: before it lies only the clock of a board without a battery that has not heard of the time yet.
# A sample with such a time would be refused, or stand in the wrong year for ever.
EARLIEST_PLAUSIBLE = 1_735_689_600.0
# 5 s: what a slow link needs for one request; systemd and an operator wait for the agent meanwhile.
CLOSE_SECONDS = 5.0

logger = logging.getLogger(__name__)


class RemoteWrite:
    """Make it anywhere; `start` and `close` it on the event loop on which it is to run."""

    def __init__(
        self,
        section: RemoteWriteSection,
        *,
        series: ExposedSeries,
        labels: TargetLabels,
        metrics: MetricSet,
        version: str,
        back_off: BackOff | None = None,
        close_seconds: float = CLOSE_SECONDS,
        wall_clock: Callable[[], float] = time.time,
        monotonic_clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._section = section
        self._rounds = RoundEncoder(series, labels)
        self._queues = [RequestQueue(max_samples=section.max_queue_samples) for _ in section.endpoints]
        self._metrics = PushMetrics(metrics, self._queues)
        self._version = version
        self._back_off = back_off or BackOff()
        self._close_seconds = close_seconds
        self._wall_clock = wall_clock
        self._monotonic_clock = monotonic_clock
        self._sleep = sleep
        self._clock_log = _ClockLog()
        self._latest_ms = 0
        self._pushes: list[_Push] = []
        self._task: asyncio.Task[NoReturn] | None = None

    async def start(self) -> None:
        """The first round is taken at once."""
        if not self._section.endpoints:
            return
        self._pushes = [
            self._start_push(endpoint, queue)
            for endpoint, queue in zip(self._section.endpoints, self._queues, strict=True)
        ]
        self._task = asyncio.create_task(self._take_rounds())

    async def close(self) -> None:
        """Send the last samples and the end of every series, as far as a few seconds allow. May be called again."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait((self._task,))
        self._task = None
        self._take_last_round()
        await asyncio.gather(*(self._end_push(push) for push in self._pushes))
        self._pushes = []

    # --- rounds --------------------------------------------------------------------------------------------------

    async def _take_rounds(self) -> NoReturn:
        due_at = self._monotonic_clock()
        is_broken = False
        while True:
            try:
                self._take_round()
                is_broken = False
            except Exception:
                if not is_broken:
                    logger.exception("a round of samples could not be taken; please report this")
                is_broken = True
            now = self._monotonic_clock()
            due_at += self._section.interval_seconds
            # Rounds that the loop was too late for are not made up for.
            if due_at <= now:
                due_at = now + self._section.interval_seconds
            await self._sleep(due_at - now)

    def _take_round(self) -> None:
        timestamp_ms = self._timestamp_ms()
        if timestamp_ms is not None:
            self._queue(self._rounds.samples(timestamp_ms=timestamp_ms))

    def _take_last_round(self) -> None:
        try:
            timestamp_ms = self._timestamp_ms()
            if timestamp_ms is not None:
                self._queue(self._rounds.samples(timestamp_ms=timestamp_ms))
                # After the last samples: two of one moment would be duplicates.
                self._queue(self._rounds.ends(timestamp_ms=timestamp_ms + 1))
        except Exception:
            logger.exception("the last samples could not be taken; please report this")

    def _timestamp_ms(self) -> int | None:
        """None as long as nobody knows the time. Never the same twice: a series has one value at a moment."""
        now = self._wall_clock()
        is_plausible = now >= EARLIEST_PLAUSIBLE
        self._clock_log.read(now, is_plausible=is_plausible)
        if not is_plausible:
            return None
        timestamp_ms = int(now * 1000)
        self._latest_ms = timestamp_ms + (timestamp_ms == self._latest_ms)
        return self._latest_ms

    def _queue(self, request: QueuedRequest) -> None:
        for push in self._pushes:
            num_dropped = push.queue.append(request)
            if num_dropped:
                self._metrics.dropped_full(num_dropped)
                push.log.full()

    # --- receivers -----------------------------------------------------------------------------------------------

    def _start_push(self, endpoint: RemoteWriteEndpoint, queue: RequestQueue) -> _Push:
        receiver = Receiver(endpoint, version=self._version, wall_clock=self._wall_clock)
        log = SenderLog(receiver.name)
        sender = Sender(
            receiver, queue, metrics=self._metrics, log=log, back_off=self._back_off, clock=self._monotonic_clock
        )
        return _Push(receiver, queue, log, sender, asyncio.create_task(sender.run()))

    async def _end_push(self, push: _Push) -> None:
        push.sender.hurry()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._close_seconds):
                await push.queue.wait_empty()
        push.task.cancel()
        await asyncio.wait((push.task,))
        if push.queue.num_samples:
            push.log.lost(push.queue.num_samples)
        await push.receiver.close()


class _Push(NamedTuple):
    """What belongs to one receiver."""

    receiver: Receiver
    queue: RequestQueue
    log: SenderLog
    sender: Sender
    task: asyncio.Task[NoReturn]


class _ClockLog:
    """Says once that the time is not known, and once that it is; and that the clock went back."""

    def __init__(self) -> None:
        self._is_waiting = False
        self._latest = 0.0

    def read(self, now: float, *, is_plausible: bool) -> None:
        if not is_plausible and not self._is_waiting:
            logger.warning("samples are not taken until the clock is set, it says a time before 2025 clock=%.0f", now)
        elif is_plausible and self._is_waiting:
            logger.info("the clock is set, samples are taken")
        elif is_plausible and now < self._latest:
            logger.warning(
                "the clock went back; receivers that take samples in order refuse them until it has caught up "
                "seconds=%.3f",
                self._latest - now,
            )
        self._is_waiting = not is_plausible
        self._latest = now
