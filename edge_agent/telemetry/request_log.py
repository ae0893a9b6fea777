"""Writes the one line a finished request gets, on the logger `edge_agent.request`. Agent process, event loop.

Never prompt or answer text. How a line looks is the logging setup's matter: the fields go as `extra["fields"]`.
"""

from __future__ import annotations

import logging

import msgspec

from edge_agent.protocol import Finished
from edge_agent.telemetry.outcome import Endpoint, Outcome

LOGGER_NAME = "edge_agent.request"
Field = str | int | float | bool | None


class EndedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for generation that is over. Times are monotonic seconds; `finished` is None if no sequence ended."""

    id: str
    endpoint: Endpoint
    outcome: Outcome
    status: int
    is_stream: bool
    arrived: float
    ended: float
    finished: Finished | None = None

    @property
    def queue_seconds(self) -> float | None:
        """Arrival to first scheduled."""
        if self.finished is None or self.finished.times.scheduled is None:
            return None
        return self.finished.times.scheduled - self.arrived

    @property
    def ttft_seconds(self) -> float | None:
        """Arrival to first token."""
        if self.finished is None or self.finished.times.first_token is None:
            return None
        return self.finished.times.first_token - self.arrived

    @property
    def duration_seconds(self) -> float:
        """Arrival to last token; where there was none, to the end of the request."""
        last_token = None if self.finished is None else self.finished.times.last_token
        return (self.ended if last_token is None else last_token) - self.arrived

    @property
    def tokens_per_second(self) -> float | None:
        """Decode speed as this client met it: tokens after the first by the time from first to last."""
        if self.finished is None:
            return None
        first, last = self.finished.times.first_token, self.finished.times.last_token
        if first is None or last is None or last <= first:
            return None
        return (self.finished.num_generated_tokens - 1) / (last - first)


class RequestLog:
    """Where the API reports each request that is over."""

    def __init__(self) -> None:
        self._logger = logging.getLogger(LOGGER_NAME)

    def write(self, request: EndedRequest) -> None:
        """One INFO line; a field that has no value, such as the first token's time of a refused request, is absent."""
        fields = {name: value for name, value in _fields(request).items() if value is not None}
        self._logger.info("request finished", extra={"fields": fields})


def _fields(request: EndedRequest) -> dict[str, Field]:
    return {
        "id": request.id,
        "endpoint": request.endpoint.value,
        "outcome": request.outcome.value,
        "status": request.status,
        **({} if request.finished is None else _sequence_fields(request.finished)),
        "queue_seconds": _rounded(request.queue_seconds),
        "ttft_seconds": _rounded(request.ttft_seconds),
        "duration_seconds": _rounded(request.duration_seconds),
        "tokens_per_second": _rounded(request.tokens_per_second),
        "stream": request.is_stream,
    }


def _sequence_fields(finished: Finished) -> dict[str, Field]:
    num_cached_tokens = finished.prompt.memory + finished.prompt.disk
    return {
        "finish_reason": finished.reason.value,
        "prompt_tokens": finished.prompt.computed + num_cached_tokens,
        "cached_tokens": num_cached_tokens,
        "generated_tokens": finished.num_generated_tokens,
    }


def _rounded(value: float | None) -> float | None:
    """Four significant digits: as exact as such a time is worth reading."""
    return None if value is None else float(f"{value:.4g}")
