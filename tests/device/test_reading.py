from __future__ import annotations

import pytest

from edge_agent.device.reading import Reading, Readings
from tests.device.board_tree import problems


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), pytest.param(10**400, id="huge")])
def test_what_is_no_number_is_a_sensor_s_error_and_no_reading(value: float) -> None:
    readings = Readings()
    with readings.sensor():
        readings.add("swap_used_bytes", value)
    assert readings.found == []
    assert [problem.partition(":")[0] for problem in problems(readings)] == ["swap_used_bytes"]


def test_no_collector_has_readings_without_end() -> None:
    readings = Readings()
    for number in range(1001):
        with readings.sensor():
            readings.add("temperature_celsius", number, sensor=f"zone_{number}")
    assert len(readings.found) == 1000
    assert readings.found[-1] == Reading("temperature_celsius", 999.0, (("sensor", "zone_999"),))
    assert problems(readings) == ["temperature_celsius: more than 1000 readings of one collector, which no board has"]
