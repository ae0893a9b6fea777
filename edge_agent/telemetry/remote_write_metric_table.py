"""remote_write's own metrics, declared once. Pure data. They exist, at 0, also where nothing is pushed."""

from __future__ import annotations

from edge_agent.telemetry import histogram_edges as edges
from edge_agent.telemetry.metric_row import Label, MetricKind, MetricRow

COUNTER, GAUGE, HISTOGRAM = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.HISTOGRAM

REMOTE_WRITE_ROWS = (
    MetricRow(
        "remote_write_samples_total",
        COUNTER,
        (Label("result", ("sent", "dropped_full", "dropped_rejected", "dropped_damaged")),),
        "Samples by what became of them: accepted, or lost because the queue was full, the receiver refused them or "
        "they were damaged.",
    ),
    MetricRow(
        "remote_write_requests_total",
        COUNTER,
        (Label("code"),),
        "Requests to receivers by status code, or network_error; series appear on first use.",
    ),
    MetricRow("remote_write_spool_bytes", GAUGE, (), "Bytes that wait to be sent."),
    MetricRow("remote_write_spool_samples", GAUGE, (), "Samples that wait to be sent."),
    MetricRow(
        "remote_write_oldest_unsent_timestamp_seconds", GAUGE, (), "When the oldest waiting sample was taken, or 0."
    ),
    MetricRow(
        "remote_write_request_seconds",
        HISTOGRAM,
        (),
        "How long a receiver took to answer.",
        edges.REMOTE_WRITE_SECONDS,
    ),
)
