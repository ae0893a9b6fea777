from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from edge_agent.telemetry.exposition import ExposedSeries, Exposition
from edge_agent.telemetry.remote_write.queue import QueuedRequest
from edge_agent.telemetry.remote_write.round_encoder import RoundEncoder
from edge_agent.telemetry.target_labels import TargetLabels
from tests.telemetry.remote_write.decoded import samples_in
from tests.telemetry.scripted_engine import FACTS, telemetry_of

TARGET = TargetLabels("edge-1", {"site": "lab"})


def encoder_of(registry: CollectorRegistry) -> RoundEncoder:
    return RoundEncoder(ExposedSeries(registry), TARGET)


def values(request: QueuedRequest) -> dict[str, float | str]:
    """By the metric's name: the value, or `stale`."""
    return {sample.name: "stale" if sample.is_stale else sample.value for sample in samples_in(request.body)}


def test_a_pushed_series_is_what_a_scrape_makes_of_the_exposition() -> None:
    telemetry = telemetry_of()
    telemetry.engine.engine_ready(FACTS)
    telemetry.service.event_loop_lag.observe(0.03)
    request = encoder_of(telemetry.registry).samples(timestamp_ms=1_800_000_000_123)
    pushed = {sample.labels: sample.value for sample in samples_in(request.body)}
    # Prometheus has no labels without a value: file_sha256 of this model.
    scraped = {
        tuple(
            sorted(
                (name, value)
                for name, value in {
                    **sample.labels, "__name__": sample.name, "job": "edge-agent", "instance": "edge-1", "site": "lab",
                }.items()
                if value
            )
        ): sample.value
        for family in text_string_to_metric_families(Exposition(telemetry.registry).render("")[0].decode())
        for sample in family.samples
    }  # fmt: skip
    own = {labels for labels in scraped if not dict(labels)["__name__"].startswith("process_")}
    assert pushed.keys() == scraped.keys()
    assert {labels: pushed[labels] for labels in own} == {labels: scraped[labels] for labels in own}
    assert request.num_samples == len(pushed)
    assert {sample.timestamp_ms for sample in samples_in(request.body)} == {1_800_000_000_123}


def test_a_histogram_is_pushed_as_buckets_sum_and_count() -> None:
    registry = CollectorRegistry()
    Histogram("wait_seconds", "Waiting.", buckets=(0.5, 1, 8192), registry=registry).observe(0.75)
    request = encoder_of(registry).samples(timestamp_ms=1)
    shown = [(sample.name, dict(sample.labels).get("le"), sample.value) for sample in samples_in(request.body)]
    assert shown == [
        ("wait_seconds_bucket", "0.5", 0.0),
        ("wait_seconds_bucket", "1.0", 1.0),
        ("wait_seconds_bucket", "8192.0", 1.0),
        ("wait_seconds_bucket", "+Inf", 1.0),
        ("wait_seconds_count", None, 1.0),
        ("wait_seconds_sum", None, 0.75),
    ]


def test_a_series_that_vanished_is_told_once_to_have_ended() -> None:
    registry = CollectorRegistry()
    Counter("stays_total", "Stays.", registry=registry).inc(3)
    goes = Gauge("goes", "Goes.", registry=registry)
    encoder = encoder_of(registry)
    assert values(encoder.samples(timestamp_ms=1)) == {"stays_total": 3.0, "goes": 0.0}
    registry.unregister(goes)
    assert values(encoder.samples(timestamp_ms=2)) == {"stays_total": 3.0, "goes": "stale"}
    assert values(encoder.samples(timestamp_ms=3)) == {"stays_total": 3.0}
    registry.register(goes)
    assert values(encoder.samples(timestamp_ms=4)) == {"stays_total": 3.0, "goes": 0.0}


def test_at_the_end_every_series_ends() -> None:
    registry = CollectorRegistry()
    Gauge("one", "One.", registry=registry)
    Gauge("other", "Other.", registry=registry)
    encoder = encoder_of(registry)
    encoder.samples(timestamp_ms=1)
    request = encoder.ends(timestamp_ms=2)
    assert values(request) == {"one": "stale", "other": "stale"}
    assert request.timestamp_ms == 2
