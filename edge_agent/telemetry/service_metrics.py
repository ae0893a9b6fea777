"""Counts what the HTTP service does: requests for generation by outcome, all requests by route. Event loop.

Which answer counts as which outcome, the API decides; the engine is not known here.
"""

from __future__ import annotations

from edge_agent.telemetry.metric_set import MetricSet
from edge_agent.telemetry.metric_table import HTTP_METHODS, OTHER_METHOD
from edge_agent.telemetry.outcome import Endpoint, Outcome, RejectReason


class ServiceMetrics:
    """Told by the API of every request that it has answered. `event_loop_lag` is for `measure_event_loop_lag`."""

    def __init__(self, metrics: MetricSet) -> None:
        self._metrics = metrics
        self._ended = {
            (endpoint, outcome): metrics.counter("requests_total", endpoint=endpoint.value, outcome=outcome.value)
            for endpoint in Endpoint
            for outcome in Outcome
        }
        self._rejected = {
            reason: metrics.counter("requests_rejected_total", reason=reason.value) for reason in RejectReason
        }
        self._in_flight = metrics.gauge("http_requests_in_flight")
        self.event_loop_lag = metrics.histogram("event_loop_lag_seconds")

    def request_ended(self, *, endpoint: Endpoint, outcome: Outcome) -> None:
        """A request for generation was taken or refused as invalid, and is over. Not for rejections: ValueError."""
        if outcome is Outcome.REJECTED:
            raise ValueError("a rejected request is counted by request_rejected, which needs its reason")
        self._ended[endpoint, outcome].inc()

    def request_rejected(self, *, endpoint: Endpoint, reason: RejectReason) -> None:
        """A request for generation was turned away; counted by reason and as an outcome, so that the sums agree."""
        self._ended[endpoint, Outcome.REJECTED].inc()
        self._rejected[reason].inc()

    def http_started(self) -> None:
        self._in_flight.inc()

    def http_ended(self, *, route: str, method: str, code: int) -> None:
        """`route` is the matched template, such as `/v1/models/{id}`, never the path that the client sent."""
        self._in_flight.dec()
        known_method = method if method in HTTP_METHODS else OTHER_METHOD
        self._metrics.counter("http_requests_total", route=route, method=known_method, code=str(code)).inc()
