from __future__ import annotations

import pytest

from edge_agent.benchmark.bench_report import Heat
from edge_agent.benchmark.heat import heat_between, is_held_back
from edge_agent.device.reading import Reading
from edge_agent.device.snapshot import DeviceSnapshot
from edge_agent.device.thermal_state import ThermalState


def snapshot(*, state: ThermalState = ThermalState.NOMINAL, num_throttled: int = 0, **celsius: float) -> DeviceSnapshot:
    temperatures = [Reading("temperature_celsius", value, (("sensor", name),)) for name, value in celsius.items()]
    events = Reading("throttle_events_total", num_throttled, (("flag", "throttled"),))
    return DeviceSnapshot((*temperatures, events), state)


def test_heat_is_of_the_sensor_that_is_hottest_afterwards() -> None:
    before, after = snapshot(cpu=41.0, nvme=44.0), snapshot(cpu=66.5, nvme=45.0)
    assert heat_between(before, after) == Heat(sensor="cpu", before_celsius=41.0, after_celsius=66.5)


@pytest.mark.parametrize(
    ("before", "after"),
    [(snapshot(), snapshot()), (snapshot(), snapshot(cpu=50.0)), (snapshot(cpu=50.0), snapshot())],
    ids=["no sensor", "new sensor", "lost sensor"],
)
def test_without_a_sensor_that_was_read_twice_there_is_no_heat(before: DeviceSnapshot, after: DeviceSnapshot) -> None:
    assert heat_between(before, after) is None


def test_a_board_that_stayed_nominal_was_not_held_back() -> None:
    assert not is_held_back(snapshot(num_throttled=7), snapshot(num_throttled=7))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (snapshot(state=ThermalState.UNDERVOLTAGE), snapshot()),
        (snapshot(), snapshot(state=ThermalState.CAPPED)),
        (snapshot(num_throttled=1), snapshot(num_throttled=2)),
    ],
    ids=["at the beginning", "at the end", "between"],
)
def test_a_board_that_was_throttled_at_any_time_was_held_back(before: DeviceSnapshot, after: DeviceSnapshot) -> None:
    assert is_held_back(before, after)
