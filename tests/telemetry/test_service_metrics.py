from __future__ import annotations

import pytest

from edge_agent.telemetry.outcome import Endpoint, Outcome, RejectReason
from tests.telemetry.scripted_engine import scrape, telemetry_of


def test_requests_are_counted_by_endpoint_and_outcome() -> None:
    telemetry = telemetry_of()
    service = telemetry.service
    service.request_ended(endpoint=Endpoint.CHAT, outcome=Outcome.OK)
    service.request_ended(endpoint=Endpoint.CHAT, outcome=Outcome.OK)
    service.request_ended(endpoint=Endpoint.COMPLETIONS, outcome=Outcome.CANCELLED)
    shown = scrape(telemetry)
    assert shown['requests_total{endpoint="chat",model="tiny",outcome="ok"}'] == 2
    assert shown['requests_total{endpoint="completions",model="tiny",outcome="cancelled"}'] == 1
    assert sum(value for series, value in shown.items() if series.startswith("requests_total{")) == 3


def test_rejected_requests_are_the_sum_of_their_reasons() -> None:
    telemetry = telemetry_of()
    for endpoint, reason in (
        (Endpoint.CHAT, RejectReason.QUEUE_FULL),
        (Endpoint.CHAT, RejectReason.CONTEXT_LENGTH),
        (Endpoint.COMPLETIONS, RejectReason.QUEUE_FULL),
    ):
        telemetry.service.request_rejected(endpoint=endpoint, reason=reason)
    shown = scrape(telemetry)
    assert shown['requests_rejected_total{model="tiny",reason="queue_full"}'] == 2
    assert shown['requests_rejected_total{model="tiny",reason="context_length"}'] == 1
    assert shown['requests_total{endpoint="chat",model="tiny",outcome="rejected"}'] == 2
    assert shown['requests_total{endpoint="completions",model="tiny",outcome="rejected"}'] == 1


def test_a_rejection_without_a_reason_is_a_bug() -> None:
    telemetry = telemetry_of()
    with pytest.raises(ValueError, match="request_rejected"):
        telemetry.service.request_ended(endpoint=Endpoint.CHAT, outcome=Outcome.REJECTED)
    assert scrape(telemetry)['requests_total{endpoint="chat",model="tiny",outcome="rejected"}'] == 0


def test_http_requests_are_in_flight_until_they_end() -> None:
    telemetry = telemetry_of()
    telemetry.service.http_started()
    telemetry.service.http_started()
    telemetry.service.http_ended(route="/v1/models/{id}", method="GET", code=404)
    shown = scrape(telemetry)
    assert shown["http_requests_in_flight"] == 1
    assert shown['http_requests_total{code="404",method="GET",route="/v1/models/{id}"}'] == 1


def test_invented_methods_make_one_series_only() -> None:
    telemetry = telemetry_of()
    for method in ("BREW", "PROPFIND", "get"):
        telemetry.service.http_started()
        telemetry.service.http_ended(route="/health", method=method, code=405)
    shown = {series: value for series, value in scrape(telemetry).items() if series.startswith("http_requests_total")}
    assert shown == {'http_requests_total{code="405",method="other",route="/health"}': 3}
