"""A real Prometheus takes every query of the dashboards and every rule."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .expressions import expressions
from .prometheus_server import PrometheusApi, running_prometheus
from .shipped_rules import rules

pytestmark = pytest.mark.needs_prometheus


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusApi]:
    with running_prometheus(tmp_path_factory.mktemp("prometheus")) as api:
        yield api


def test_every_expression_is_promql(prometheus: PrometheusApi) -> None:
    shipped = [*expressions(), *((rule["alert"], rule["expr"]) for rule in rules())]
    assert len(shipped) > 100
    answers = [(title, prometheus.get("/api/v1/query", query=text)) for title, text in shipped]
    assert [(title, answer) for title, answer in answers if answer["status"] != "success"] == []


def test_what_is_no_promql_would_be_noticed(prometheus: PrometheusApi) -> None:
    answer = prometheus.get("/api/v1/query", query="rate(edge_agent_requests_total)")
    assert (answer["status"], answer["errorType"]) == ("error", "bad_data")
