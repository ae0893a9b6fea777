"""The Board dashboard's row about what telemetry itself does: sensors that fail, samples that wait. Pure data."""

from __future__ import annotations

from dashboards.source.panels import Query, stacked, time_series
from dashboards.source.promql import gauge, quantile, rate, total

TELEMETRY = (
    time_series(
        "Failing collectors",
        Query(f"{gauge('collector_success')} == 0", "{{instance}} {{collector}}"),
        description="Groups of sensors with one that fails, drawn at 0; empty is good. The device's log names the "
        "sensor and the reason.",
        unit="short",
        lowest=None,
    ),
    time_series(
        "Time of a collector's round",
        Query(f"max by (instance, collector) ({gauge('collector_duration_seconds')})", "{{instance}} {{collector}}"),
        description="Sensors that answer slowly. Above device.interval_seconds rounds are missed: raise it.",
        unit="s",
    ),
    time_series(
        "Samples waiting to be pushed",
        Query(gauge("remote_write_spool_samples"), "{{instance}}"),
        description="Rises while a receiver is away, and is sent in order when it is back. 0 for devices that do not "
        "push.",
        unit="short",
    ),
    time_series(
        "Bytes waiting to be pushed",
        Query(gauge("remote_write_spool_bytes"), "{{instance}}"),
        description="The same in bytes: memory that the queue takes. telemetry.remote_write.max_queue_samples bounds "
        "it.",
        unit="bytes",
    ),
    time_series(
        "Age of the oldest sample that waits",
        Query(
            f"time() - ({gauge('remote_write_oldest_unsent_timestamp_seconds')} > 0)",
            "{{instance}}",
        ),
        description="How far the receiver is behind. Empty while nothing waits. Growing: see Push requests by answer.",
        unit="s",
    ),
    stacked(
        time_series(
            "Pushed samples by fate",
            Query(total(rate("remote_write_samples_total"), "result"), "{{result}}"),
            description="dropped_full: away for longer than the queue holds. dropped_rejected: the receiver refuses "
            "them; is its out-of-order window long enough? Both are lost.",
            unit="short",
        )
    ),
    stacked(
        time_series(
            "Push requests by answer",
            Query(total(rate("remote_write_requests_total"), "code"), "{{code}}"),
            description="401, 403: credentials. 429: too many devices at once. 5xx: the receiver. network_error: the "
            "way to it. Empty for devices that do not push.",
            unit="reqps",
        )
    ),
    time_series(
        "Answer time of receivers, p95",
        Query(quantile(0.95, "remote_write_request_seconds", "instance"), "{{instance}}"),
        description="How long receivers take. Near timeout_seconds: a slow link; raise remote_write.interval_seconds.",
        unit="s",
    ),
    time_series(
        "Agent memory",
        Query('process_resident_memory_bytes{job=~"$job", instance=~"$instance"}', "{{instance}}"),
        description="What the agent process, without the engine, weighs. It should stay flat.",
        unit="bytes",
    ),
)
