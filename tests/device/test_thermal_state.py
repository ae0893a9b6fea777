from __future__ import annotations

import pytest

from edge_agent.device.reading import Reading
from edge_agent.device.thermal_state import ThermalState, thermal_state_of


@pytest.mark.parametrize(
    ("active", "state"),
    [
        ([], ThermalState.NOMINAL),
        (["soft_temperature_limit"], ThermalState.CAPPED),
        (["frequency_capped"], ThermalState.CAPPED),
        (["throttled"], ThermalState.THROTTLED),
        (["frequency_capped", "throttled"], ThermalState.THROTTLED),
        (["under_voltage"], ThermalState.UNDERVOLTAGE),
        (["under_voltage", "frequency_capped", "throttled"], ThermalState.UNDERVOLTAGE),
    ],
)
def test_the_gravest_flag_decides(active: list[str], state: ThermalState) -> None:
    flags = ("under_voltage", "frequency_capped", "throttled", "soft_temperature_limit")
    readings = [Reading("throttle_active", float(flag in active), (("flag", flag),)) for flag in flags]
    assert thermal_state_of(readings) is state


def test_other_metrics_decide_nothing() -> None:
    readings = [
        Reading("throttle_events_total", 3.0, (("flag", "throttled"),)),
        Reading("gpu_utilization_ratio", 1.0, (("gpu", "0"), ("reason", "hw_thermal"))),
    ]
    assert thermal_state_of(readings) is ThermalState.NOMINAL


def test_a_machine_without_sensors_is_nominal() -> None:
    assert thermal_state_of([]) is ThermalState.NOMINAL


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("hw_thermal", ThermalState.THROTTLED),
        ("sw_thermal", ThermalState.THROTTLED),
        ("hw_slowdown", ThermalState.THROTTLED),
        ("power_brake", ThermalState.THROTTLED),
        ("power_cap", ThermalState.NOMINAL),
    ],
)
def test_a_gpu_that_slows_down_is_throttled_but_not_one_at_its_power_cap(reason: str, state: ThermalState) -> None:
    labels = (("gpu", "0"), ("reason", reason))
    assert thermal_state_of([Reading("gpu_throttle_active", 1.0, labels)]) is state
    assert thermal_state_of([Reading("gpu_throttle_active", 0.0, labels)]) is ThermalState.NOMINAL
