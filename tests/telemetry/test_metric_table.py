from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_agent.config_contradictions import OWN_LABELS
from edge_agent.telemetry import histogram_edges
from edge_agent.telemetry.metric_row import MetricKind
from edge_agent.telemetry.metric_table import ALL_ROWS, METRIC_TABLE, PREFIX, REQUEST_ROWS, SERVICE_ROWS, STEP_ROWS
from tests.telemetry.scripted_engine import telemetry_of

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
DOCUMENTED_ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<kind>\w+) \| (?P<labels>.*?) ?\| (?P<definition>.+) \|$")


def documented() -> dict[str, tuple[str, str, str]]:
    """Name to type, labels and definition of each table row of the page."""
    rows = [DOCUMENTED_ROW.match(line) for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert None not in rows, "a table row of docs/metrics.md has not four columns"
    return {row["name"]: (row["kind"], row["labels"], row["definition"]) for row in rows if row}


def test_the_page_shows_every_metric_of_the_registry_with_its_help_text() -> None:
    registered = {}
    for family in telemetry_of().registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        if name.startswith(PREFIX):
            registered[name] = (family.type, family.documentation)
    assert {name: (kind, definition) for name, (kind, _, definition) in documented().items()} == registered


def test_the_page_shows_every_label_with_its_values() -> None:
    labels = {
        PREFIX + row.name: "; ".join(
            f"`{label.name}` = {', '.join(label.values)}" if label.values else f"`{label.name}`" for label in row.labels
        )
        for row in ALL_ROWS
    }
    assert {name: shown for name, (_, shown, _) in documented().items()} == labels


def test_closed_label_sets_hold_exactly_these_values() -> None:
    closed = {(row.name, label.name): label.values for row in ALL_ROWS for label in row.labels if label.values}
    flags = ("under_voltage", "frequency_capped", "throttled", "soft_temperature_limit")
    states = ("nominal", "capped", "throttled", "undervoltage")
    assert closed == {
        ("requests_total", "endpoint"): ("chat", "completions"),
        ("requests_total", "outcome"): ("ok", "client_error", "server_error", "cancelled", "rejected"),
        ("requests_finished_total", "finish_reason"): ("stop", "length", "tool_calls", "cancelled", "error"),
        ("requests_rejected_total", "reason"): (
            "queue_full",
            "too_hot",
            "engine_down",
            "context_length",
            "unauthorized",
        ),
        ("prompt_tokens_total", "source"): ("computed", "memory", "disk"),
        ("generated_tokens_total", "thermal_state"): states,
        ("decode_seconds_total", "thermal_state"): states,
        ("decode_steps_total", "thermal_state"): states,
        ("decode_step_tokens_total", "thermal_state"): states,
        ("prefill_seconds_total", "thermal_state"): states,
        ("step_seconds", "phase"): ("prefill", "decode", "mixed"),
        ("draft_tokens_total", "result"): ("accepted", "rejected"),
        ("engine_restarts_total", "cause"): ("crash", "oom", "stall", "load_failed"),
        ("http_requests_total", "method"): (
            "GET",
            "HEAD",
            "POST",
            "PUT",
            "PATCH",
            "DELETE",
            "OPTIONS",
            "other",
        ),
        ("remote_write_samples_total", "result"): ("sent", "dropped_full", "dropped_rejected", "dropped_damaged"),
        ("throttle_active", "flag"): flags,
        ("throttle_events_total", "flag"): flags,
        ("throttle_seconds_total", "flag"): flags,
        ("pressure_stalled_seconds_total", "resource"): ("cpu", "memory", "io"),
        ("pressure_stalled_seconds_total", "kind"): ("some", "full"),
        ("gpu_clock_hertz", "clock"): ("graphics", "memory"),
        ("gpu_throttle_active", "reason"): ("power_cap", "hw_slowdown", "sw_thermal", "hw_thermal", "power_brake"),
    }


def test_an_external_label_may_not_hide_a_label_of_any_metric() -> None:
    assert {label.name for row in ALL_ROWS for label in row.labels} <= OWN_LABELS


def test_what_belongs_to_a_model_says_which() -> None:
    assert [row.name for row in REQUEST_ROWS + STEP_ROWS if row.labels[:1] == () or row.labels[0].name != "model"] == []
    assert [row.name for row in SERVICE_ROWS for label in row.labels if label.name == "model"] == []


def test_histograms_and_nothing_else_have_edges() -> None:
    assert [row.name for row in METRIC_TABLE if (row.kind is MetricKind.HISTOGRAM) != bool(row.edges)] == []


@pytest.mark.parametrize(
    ("edges", "first", "last"),
    [
        (histogram_edges.FIRST_TOKEN_SECONDS, 0.05, 600),
        (histogram_edges.ANSWER_SECONDS, 0.25, 600),
        (histogram_edges.TOKEN_GAP_SECONDS, 0.005, 10),
        (histogram_edges.STEP_SECONDS, 0.005, 60),
        (histogram_edges.STEP_ROWS, 1, 8192),
        (histogram_edges.PROMPT_TOKENS, 16, 32768),
        (histogram_edges.REMOTE_WRITE_SECONDS, 0.005, 30),
        (histogram_edges.GENERATED_TOKENS, 1, 8192),
        (histogram_edges.LOOP_LAG_SECONDS, 0.001, 5),
    ],
)
def test_edges_reach_from_the_fastest_to_the_slowest_board(edges: tuple[float, ...], first: float, last: float) -> None:
    assert (edges[0], edges[-1]) == (first, last)
    assert list(edges) == sorted(set(edges))
    assert len(edges) <= 12
