"""Sends what waits for one receiver, the oldest first, one request at a time, until it is taken or lost. Event loop.

One task of its own, which no answer and no error ends. What an answer means is decided in `answer`, how long to pause
in `back_off`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from typing import NoReturn, Protocol

from edge_agent.telemetry.remote_write.answer import Answer, Verdict, is_server_error, verdict
from edge_agent.telemetry.remote_write.back_off import BackOff
from edge_agent.telemetry.remote_write.push_metrics import PushMetrics
from edge_agent.telemetry.remote_write.queue import QueuedRequest, RequestQueue
from edge_agent.telemetry.remote_write.receiver import UnreachableError
from edge_agent.telemetry.remote_write.sender_log import SenderLog

# The last samples are tried again this often; see `hurry`.
HURRIED_PAUSE_SECONDS = 0.5


class RequestTaker(Protocol):
    """Takes a compressed request and answers, or raises UnreachableError: a `Receiver`."""

    async def send(self, body: bytes) -> Answer: ...


class Sender:
    """Between one queue and one receiver."""

    def __init__(
        self,
        receiver: RequestTaker,
        queue: RequestQueue,
        *,
        metrics: PushMetrics,
        log: SenderLog,
        back_off: BackOff,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._receiver = receiver
        self._queue = queue
        self._metrics = metrics
        self._log = log
        self._back_off = back_off
        self._clock = clock
        self._jitter = jitter
        self._is_hurried = asyncio.Event()
        self._num_failures = 0
        self._oldest: QueuedRequest | None = None
        self._num_server_errors = 0

    async def run(self) -> NoReturn:
        """Ends by cancellation."""
        while True:
            await self._queue.wait_filled()
            try:
                pause_seconds = await self._send_oldest()
            except Exception:
                self._log.broken()
                pause_seconds = self._failed()
            await self._pause(pause_seconds)

    def hurry(self) -> None:
        """From now on do not wait long for anything: the agent is about to end."""
        self._is_hurried.set()

    async def _send_oldest(self) -> float:
        """The seconds to pause afterwards."""
        request = self._queue.peek()
        if request is None:
            return 0.0
        if request is not self._oldest:
            self._oldest, self._num_server_errors = request, 0
        try:
            answer = await self._measured(request)
        except UnreachableError as error:
            self._metrics.unreachable()
            self._log.unreachable(str(error))
            return self._failed()
        return self._act(request, answer)

    async def _measured(self, request: QueuedRequest) -> Answer:
        # A request's time: from the attempt to send it to the end of its answer.
        started_at = self._clock()
        answer = await self._receiver.send(request.body)
        self._metrics.answered(answer.status, seconds=self._clock() - started_at)
        return answer

    def _act(self, request: QueuedRequest, answer: Answer) -> float:
        self._num_server_errors += is_server_error(answer.status)
        match verdict(answer, num_server_errors=self._num_server_errors):
            case Verdict.ACCEPTED:
                self._log.accepted()
                # One that was dropped on its way has been counted as that, though it did arrive.
                if self._queue.remove(request):
                    self._metrics.sent(request.num_samples)
            case Verdict.REJECTED:
                self._log.rejected(answer, num_samples=request.num_samples)
                if self._queue.remove(request):
                    self._metrics.dropped_rejected(request.num_samples)
            case Verdict.AGAIN:
                self._log.put_off(answer)
                return self._failed(retry_after_seconds=answer.retry_after_seconds)
        self._num_failures = 0
        return 0.0

    def _failed(self, *, retry_after_seconds: float = 0.0) -> float:
        self._num_failures += 1
        return self._back_off.pause_seconds(
            num_failures=self._num_failures, retry_after_seconds=retry_after_seconds, jitter=self._jitter()
        )

    async def _pause(self, seconds: float) -> None:
        if self._is_hurried.is_set():
            await asyncio.sleep(min(seconds, HURRIED_PAUSE_SECONDS))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_hurried.wait()
