from __future__ import annotations

import subprocess

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from edge_agent.protocol import SequenceReport
from edge_agent.telemetry.exposition import Exposition
from edge_agent.telemetry.outcome import Endpoint, RejectReason
from edge_agent.telemetry.telemetry import Telemetry
from tests.telemetry.scripted_engine import FACTS, scrape, step, telemetry_of

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
# What Prometheus 2.42 sends.
PROMETHEUS_ACCEPT = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


def openmetrics_families(body: bytes) -> list[Metric]:
    return list(parse_openmetrics(body.decode()))  # type: ignore[no-untyped-call]


def busy_telemetry() -> Telemetry:
    """Something in every kind of metric, those that wait for their first use included."""
    telemetry = telemetry_of(file_sha256="ab" * 32)
    telemetry.engine.engine_ready(FACTS)
    telemetry.engine.report(
        step(SequenceReport(id=1, tokens=[5], previous_token=1.0), started=1.0, ended=1.25, num_decode_rows=1)
    )
    telemetry.service.http_started()
    telemetry.service.http_ended(route="/v1/chat/completions", method="POST", code=429)
    telemetry.service.request_rejected(endpoint=Endpoint.CHAT, reason=RejectReason.QUEUE_FULL)
    return telemetry


@pytest.mark.needs_prometheus
def test_promtool_finds_no_fault(promtool: str) -> None:
    body, _ = busy_telemetry().exposition.render("")
    checked = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, timeout=60, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_prometheus_gets_openmetrics_that_parses() -> None:
    body, content_type = busy_telemetry().exposition.render(PROMETHEUS_ACCEPT)
    families = {family.name: family for family in openmetrics_families(body)}
    assert content_type.startswith(OPENMETRICS)
    assert families["edge_agent_decode_steps"].type == "counter"
    assert families["edge_agent_step_seconds"].type == "histogram"
    assert families["edge_agent_model_info"].samples[0].value == 1


def test_text_parses_and_says_the_same_as_openmetrics() -> None:
    exposition = busy_telemetry().exposition
    text = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(exposition.render("")[0].decode())
        for sample in family.samples
        if sample.name.startswith("edge_agent_")
    }
    openmetrics = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in openmetrics_families(exposition.render(PROMETHEUS_ACCEPT)[0])
        for sample in family.samples
        if sample.name.startswith("edge_agent_")
    }
    assert text == openmetrics
    assert text["edge_agent_decode_steps_total", (("model", "tiny"), ("thermal_state", "nominal"))] == 1


@pytest.mark.parametrize("accept", ["", PROMETHEUS_ACCEPT])
def test_no_created_series_leave_the_process(accept: str) -> None:
    body, _ = busy_telemetry().exposition.render(accept)
    assert b"_created" not in body
    assert b"process_cpu_seconds_total" in body


def test_a_metric_that_is_about_creation_is_not_mistaken_for_a_created_series() -> None:
    registry = CollectorRegistry()
    Counter("files_created_total", "Files made.", registry=registry).inc(2)
    body, _ = Exposition(registry).render("")
    assert (
        body == b"# HELP files_created_total Files made.\n# TYPE files_created_total counter\nfiles_created_total 2.0\n"
    )


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/html,application/xhtml+xml;q=0.9", PLAIN),
        ("text/plain;version=0.0.4", PLAIN),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", OPENMETRICS),
        ('application/openmetrics-text; version="1.0.0"', OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;escaping=values", OPENMETRICS),
        ("application/openmetrics-text;version=77.0.0,text/plain", PLAIN),
        ("application/openmetrics-text;version=abc", PLAIN),
        ("application/openmetrics-text;version=1.0.0\r\nX-Evil: 1", PLAIN),
        (";;,,=;version=,=\x00", PLAIN),
        ("text/plain;version=" + "9" * 5000, PLAIN),
    ],
)
def test_every_accept_header_gets_a_format_that_is_really_written(accept: str, content_type: str) -> None:
    body, answered = telemetry_of().exposition.render(accept)
    assert answered.removesuffix("; escaping=underscores") == content_type
    assert body.endswith(b"# EOF\n") == (content_type == OPENMETRICS)


def test_a_scrape_changes_nothing() -> None:
    telemetry = busy_telemetry()
    assert scrape(telemetry) == scrape(telemetry)
