"""A real Prometheus takes every query of the dashboards and every rule."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

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


def test_a_device_that_was_updated_without_an_orderly_end_is_one_line_of_the_table(tmp_path: Path) -> None:
    """Pushed, cut off, updated: for five minutes both versions are there."""
    (expression,) = [text for title, text in expressions() if title == "Board: Devices" and "device_info" in text]
    target = 'job="edge-agent", instance="boat-1"'
    case = {
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": f'edge_agent_device_info{{{target}, board="Pi"}}', "values": "1x6"},
                    {"series": f'edge_agent_build_info{{{target}, version="1.0"}}', "values": "1x4"},
                    {"series": f'edge_agent_build_info{{{target}, version="1.1"}}', "values": "_x5 1x1"},
                ],
                # The version's last sample is of minute 6; nobody looks at the table's values.
                "promql_expr_test": [
                    {
                        "expr": expression,
                        "eval_time": "6m",
                        "exp_samples": [{"labels": f'{{{target}, board="Pi", version="1.1"}}', "value": 360}],
                    }
                ],
            }
        ],
    }
    path = tmp_path / "case.yml"
    path.write_text(json.dumps(case), encoding="utf-8")
    done = subprocess.run(["promtool", "test", "rules", path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
