"""Counts what pushing does, over all receivers. Event loop. What waits is looked up when somebody asks."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.telemetry.metric_set import MetricSet
from edge_agent.telemetry.remote_write.queue import RequestQueue

NETWORK_ERROR = "network_error"
# Others are counted by their hundred: a receiver cannot make series at will.
KNOWN_CODES = frozenset(
    {200, 202, 204, 301, 302, 307, 308, 400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 500, 502, 503, 504}
)


class PushMetrics:
    """remote_write's rows of the metric table."""

    def __init__(self, metrics: MetricSet, queues: Sequence[RequestQueue]) -> None:
        self._metrics = metrics
        self._queues = queues
        self._sent = metrics.counter("remote_write_samples_total", result="sent")
        self._dropped_full = metrics.counter("remote_write_samples_total", result="dropped_full")
        self._dropped_rejected = metrics.counter("remote_write_samples_total", result="dropped_rejected")
        self._seconds = metrics.histogram("remote_write_request_seconds")
        metrics.gauge("remote_write_spool_bytes").set_function(self._num_bytes)
        metrics.gauge("remote_write_spool_samples").set_function(self._num_samples)
        metrics.gauge("remote_write_oldest_unsent_timestamp_seconds").set_function(self._oldest_timestamp)

    def answered(self, status: int, *, seconds: float) -> None:
        code = str(status) if status in KNOWN_CODES else f"{str(status)[0]}xx"
        self._metrics.counter("remote_write_requests_total", code=code).inc()
        self._seconds.observe(seconds)

    def unreachable(self) -> None:
        self._metrics.counter("remote_write_requests_total", code=NETWORK_ERROR).inc()

    def sent(self, num_samples: int) -> None:
        self._sent.inc(num_samples)

    def dropped_full(self, num_samples: int) -> None:
        self._dropped_full.inc(num_samples)

    def dropped_rejected(self, num_samples: int) -> None:
        self._dropped_rejected.inc(num_samples)

    def _num_bytes(self) -> float:
        return sum(queue.num_bytes for queue in self._queues)

    def _num_samples(self) -> float:
        return sum(queue.num_samples for queue in self._queues)

    def _oldest_timestamp(self) -> float:
        return min((oldest.timestamp_ms / 1000 for queue in self._queues if (oldest := queue.peek())), default=0.0)
