from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.device.cooling_devices import CoolingDevicesCollector
from tests.device.board_tree import board, collect, problems, values, write_tree

DEVICE = "sys/class/thermal/cooling_device"


@pytest.mark.parametrize(
    ("name", "states", "highest"),
    [
        ("pi4", {"gpio-fan": 1}, {"gpio-fan": 1}),
        ("pi5", {"pwm-fan": 1}, {"pwm-fan": 4}),
        (
            "x86",
            {"Processor": 0, "Processor_2": 0, "Processor_3": 0, "Processor_4": 0},
            {"Processor": 10, "Processor_2": 10, "Processor_3": 10, "Processor_4": 10},
        ),
        ("vm", {}, {}),
    ],
)
def test_devices_of_the_boards(name: str, states: dict[str, float], highest: dict[str, float]) -> None:
    readings = collect(CoolingDevicesCollector(board(name)))
    assert values(readings, "cooling_state") == states
    assert values(readings, "cooling_state_max") == highest
    assert readings.errors == []


def test_a_device_that_is_not_in_use_is_absent() -> None:
    readings = collect(CoolingDevicesCollector(board("x86")))
    assert [str(absence) for absence in readings.absences] == [f"{DEVICE}4/cur_state: -1: the device is not in use"]


@pytest.mark.parametrize(
    ("state", "highest", "problem"),
    [
        ("5", "4", "cur_state: state 5 of 4"),
        ("-2", "4", "cur_state: state -2, which no cooling device has"),
        ("0", "10001", "max_state: state 10001, which no cooling device has"),
    ],
)
def test_states_that_are_lies_are_refused(tmp_path: Path, state: str, highest: str, problem: str) -> None:
    files = write_tree(
        tmp_path,
        {
            f"{DEVICE}0/type": "pwm-fan",
            f"{DEVICE}0/cur_state": state,
            f"{DEVICE}0/max_state": highest,
            f"{DEVICE}1/type": "gpio-fan",
            f"{DEVICE}1/cur_state": "0",
            f"{DEVICE}1/max_state": "1",
        },
    )
    readings = collect(CoolingDevicesCollector(files))
    assert values(readings, "cooling_state") == {"gpio-fan": 0.0}
    assert problems(readings) == [f"{DEVICE}0/{problem}"]
