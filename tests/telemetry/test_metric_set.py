from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from edge_agent.telemetry.metric_row import Label, MetricKind, MetricRow
from edge_agent.telemetry.metric_set import MetricSet

TABLE = (
    MetricRow("doors_total", MetricKind.COUNTER, (Label("house"), Label("side", ("left", "right"))), "Doors opened."),
    MetricRow("rooms", MetricKind.GAUGE, (), "Rooms."),
    MetricRow("visits_total", MetricKind.COUNTER, (Label("name"),), "Visits."),
    MetricRow("house_info", MetricKind.GAUGE, (Label("house"), Label("colour")), "The house."),
    MetricRow("stay_seconds", MetricKind.HISTOGRAM, (), "Stays.", (1, 5)),
)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> MetricSet:
    return MetricSet(registry, TABLE, prefix="x_", constants={"house": "red"})


def series(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#") and "_created" not in line]


@pytest.mark.usefixtures("metrics")
def test_closed_sets_exist_from_the_start_and_open_ones_do_not(registry: CollectorRegistry) -> None:
    assert series(registry) == [
        'x_doors_total{house="red",side="left"} 0.0',
        'x_doors_total{house="red",side="right"} 0.0',
        "x_rooms 0.0",
        'x_stay_seconds_bucket{le="1.0"} 0.0',
        'x_stay_seconds_bucket{le="5.0"} 0.0',
        'x_stay_seconds_bucket{le="+Inf"} 0.0',
        "x_stay_seconds_count 0.0",
        "x_stay_seconds_sum 0.0",
    ]


def test_a_value_outside_a_closed_set_is_refused(metrics: MetricSet, registry: CollectorRegistry) -> None:
    before = series(registry)
    with pytest.raises(ValueError, match="side='middle' is not one of"):
        metrics.counter("doors_total", side="middle")
    assert series(registry) == before


def test_a_value_of_an_open_set_appears_with_its_first_use(metrics: MetricSet, registry: CollectorRegistry) -> None:
    metrics.counter("visits_total", name="ann").inc()
    assert 'x_visits_total{name="ann"} 1.0' in series(registry)


def test_an_info_has_one_series_at_a_time(metrics: MetricSet, registry: CollectorRegistry) -> None:
    metrics.set_info("house_info", colour="green")
    metrics.set_info("house_info", colour="blue")
    infos = [line for line in series(registry) if line.startswith("x_house_info")]
    assert infos == ['x_house_info{colour="blue",house="red"} 1.0']


def test_a_metric_asked_for_as_another_type_is_refused(metrics: MetricSet) -> None:
    with pytest.raises(TypeError, match="rooms is a gauge, not a counter"):
        metrics.counter("rooms")


def test_labels_for_a_metric_without_any_are_refused(metrics: MetricSet) -> None:
    with pytest.raises(ValueError, match="No label names"):
        metrics.gauge("rooms", side="left")
