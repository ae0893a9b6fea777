"""Sees to it that every request for generation is counted once and logged once, however it ends. Event loop.

The outcome of each error is one table here, as its HTTP status is one in `error_responses`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from edge_agent.api.error_responses import CLIENT_CLOSED_REQUEST, error_answer
from edge_agent.errors import ContextLengthError, EngineLostError, EngineUnavailableError, QueueFullError
from edge_agent.protocol import Finished
from edge_agent.telemetry.outcome import Endpoint, Outcome, RejectReason
from edge_agent.telemetry.request_log import EndedRequest, RequestLog
from edge_agent.telemetry.service_metrics import ServiceMetrics

_REJECTIONS: tuple[tuple[type[Exception], RejectReason], ...] = (
    (QueueFullError, RejectReason.QUEUE_FULL),
    (EngineUnavailableError, RejectReason.ENGINE_DOWN),
    (ContextLengthError, RejectReason.CONTEXT_LENGTH),
)


class RequestRecord:
    """One request as it goes; owned by its handler."""

    def __init__(self, *, endpoint: Endpoint, answer_id: str, arrived: float) -> None:
        self.endpoint = endpoint
        self.id = answer_id
        self.arrived = arrived
        self.is_stream = False
        self.is_accepted = False
        self.finished: Finished | None = None
        self.error: BaseException | None = None
        # Set where the status line was gone before the error came.
        self.sent_status: int | None = None


class Accounting:
    """Opens and closes records. `sequences_lost` counts accepted requests whose engine ended."""

    def __init__(
        self,
        *,
        metrics: ServiceMetrics,
        log: RequestLog,
        sequences_lost: Callable[[int], None],
        clock: Callable[[], float],
    ) -> None:
        self._metrics = metrics
        self._log = log
        self._sequences_lost = sequences_lost
        self._clock = clock

    @contextmanager
    def request(self, endpoint: Endpoint, *, id_prefix: str) -> Iterator[RequestRecord]:
        """Account for the request that the block answers. Errors pass through."""
        record = RequestRecord(endpoint=endpoint, answer_id=id_prefix + secrets.token_hex(12), arrived=self._clock())
        try:
            yield record
        except BaseException as error:
            record.error = error
            raise
        finally:
            self._close(record)

    def _close(self, record: RequestRecord) -> None:
        if record.is_accepted and isinstance(record.error, EngineLostError):
            self._sequences_lost(1)
        status = _status(record.error)
        reason = _reject_reason(record)
        outcome = _outcome(record.error, status) if reason is None else Outcome.REJECTED
        if reason is None:
            self._metrics.request_ended(endpoint=record.endpoint, outcome=outcome)
        else:
            self._metrics.request_rejected(endpoint=record.endpoint, reason=reason)
        self._log.write(
            EndedRequest(
                id=record.id,
                endpoint=record.endpoint,
                outcome=outcome,
                status=record.sent_status or status,
                is_stream=record.is_stream,
                arrived=record.arrived,
                ended=self._clock(),
                finished=record.finished,
            )
        )


def _status(error: BaseException | None) -> int:
    if error is None:
        return web.HTTPOk.status_code
    if isinstance(error, asyncio.CancelledError | ConnectionError) or not isinstance(error, Exception):
        return CLIENT_CLOSED_REQUEST
    return error_answer(error).status


def _reject_reason(record: RequestRecord) -> RejectReason | None:
    return next((reason for kind, reason in _REJECTIONS if isinstance(record.error, kind)), None)


def _outcome(error: BaseException | None, status: int) -> Outcome:
    if error is None:
        return Outcome.OK
    if status == CLIENT_CLOSED_REQUEST:
        return Outcome.CANCELLED
    return Outcome.SERVER_ERROR if status >= 500 else Outcome.CLIENT_ERROR
