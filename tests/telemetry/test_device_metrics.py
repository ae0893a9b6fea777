from __future__ import annotations

import logging

import pytest
from prometheus_client.exposition import generate_latest

from edge_agent.device.reading import Reading
from edge_agent.device.snapshot import DeviceSnapshot
from edge_agent.telemetry.device_metric_table import DEVICE_ROWS
from edge_agent.telemetry.device_metrics import DeviceMetrics
from edge_agent.telemetry.metric_table import PREFIX
from tests.telemetry.scripted_engine import telemetry_of


def exposed(*readings: Reading) -> list[str]:
    """The series that these readings become, one line each."""
    metrics = DeviceMetrics(lambda: DeviceSnapshot(readings), DEVICE_ROWS, prefix=PREFIX)
    return [line for line in generate_latest(metrics).decode().splitlines() if not line.startswith("#")]


def test_a_reading_becomes_the_series_of_its_row() -> None:
    assert exposed(
        Reading("temperature_celsius", 48.3, (("sensor", "cpu-thermal"),)),
        Reading("throttle_events_total", 2.0, (("flag", "throttled"),)),
        Reading("boot_timestamp_seconds", 1_700_000_000.0),
    ) == [
        'edge_agent_temperature_celsius{sensor="cpu-thermal"} 48.3',
        'edge_agent_throttle_events_total{flag="throttled"} 2.0',
        "edge_agent_boot_timestamp_seconds 1.7e+09",
    ]


def test_a_name_from_the_board_cannot_break_the_exposition() -> None:
    assert exposed(Reading("temperature_celsius", 1.0, (("sensor", 'a"}\n\\b'),))) == [
        'edge_agent_temperature_celsius{sensor="a\\"}\\n\\\\b"} 1.0'
    ]


@pytest.mark.parametrize(
    "misfit",
    [
        Reading("no_such_metric", 1.0),
        Reading("temperature_celsius", 1.0),
        Reading("temperature_celsius", 1.0, (("zone", "a"),)),
        Reading("throttle_active", 1.0, (("flag", "melting"),)),
        Reading("temperature_celsius", 1.0, (("sensor", "\udcff"),)),
    ],
)
def test_a_reading_that_fits_no_metric_costs_itself_and_is_logged_once(
    misfit: Reading, caplog: pytest.LogCaptureFixture
) -> None:
    fitting = Reading("memory_total_bytes", 5.0)
    metrics = DeviceMetrics(lambda: DeviceSnapshot((misfit, fitting)), DEVICE_ROWS, prefix=PREFIX)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            samples = [sample for family in metrics.collect() for sample in family.samples]
            assert [(sample.name, sample.value) for sample in samples] == [("edge_agent_memory_total_bytes", 5.0)]
    assert len(caplog.records) == 1


def test_a_series_that_is_told_twice_is_exposed_once() -> None:
    one, other = (Reading("cooling_state", value, (("device", "fan"),)) for value in (1.0, 2.0))
    assert exposed(one, other) == ['edge_agent_cooling_state{device="fan"} 1.0']


def test_a_scrape_shows_the_snapshot_of_its_moment() -> None:
    temperatures = iter((50.0, 60.0))
    telemetry = telemetry_of(
        device=lambda: DeviceSnapshot((Reading("temperature_celsius", next(temperatures), (("sensor", "a"),)),))
    )
    assert [
        line in telemetry.exposition.render("")[0].decode()
        for line in (
            'edge_agent_temperature_celsius{sensor="a"} 50.0',
            'edge_agent_temperature_celsius{sensor="a"} 60.0',
        )
    ] == [True, True]
