from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge_agent.device.hwmon import HwmonCollector
from tests.device.board_tree import board, collect, problems, values, write_tree

CHIP = "sys/class/hwmon/hwmon"
ZONE = "sys/class/thermal/thermal_zone"


@pytest.mark.parametrize(
    ("name", "temperatures", "fans"),
    [
        ("pi4", {}, {"gpio_fan/fan1": 5000.0}),
        ("pi5", {"rp1_adc/temp1": 47.632}, {"pwmfan/fan1": 2903.0}),
        (
            "x86",
            {
                "coretemp/temp1": 54.0,
                "coretemp/temp2": 51.0,
                "coretemp/temp3": 54.0,
                "coretemp/temp4": 50.0,
                "coretemp/temp5": 52.0,
                "nvme/temp1": 40.85,
            },
            {"nct6798/fan1": 0.0, "nct6798/fan2": 1142.0},
        ),
        ("vm", {}, {}),
    ],
)
def test_chips_of_the_boards_without_the_twins_of_thermal_zones(
    name: str, temperatures: dict[str, float], fans: dict[str, float]
) -> None:
    readings = collect(HwmonCollector(board(name)))
    assert values(readings, "temperature_celsius") == temperatures
    assert values(readings, "fan_speed_rpm") == fans
    assert readings.errors == []


def test_a_chip_that_is_no_zone_s_twin_is_told_whatever_its_name(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {f"{ZONE}0/type": "cpu-thermal", f"{CHIP}0/name": "cpu", f"{CHIP}0/temp1_input": "1"})
    assert values(collect(HwmonCollector(files)), "temperature_celsius") == {"cpu/temp1": 0.001}


def test_chips_of_one_name_are_numbered(tmp_path: Path) -> None:
    files = write_tree(
        tmp_path,
        {f"{CHIP}{n}/{file}": text for n in (0, 1) for file, text in (("name", "nvme"), ("temp1_input", "1000"))},
    )
    readings = collect(HwmonCollector(files))
    assert values(readings, "temperature_celsius") == {"nvme/temp1": 1.0, "nvme_2/temp1": 1.0}


def test_a_sensor_or_a_chip_that_cannot_be_read_costs_its_own_series(tmp_path: Path) -> None:
    files = write_tree(
        tmp_path,
        {
            f"{CHIP}0/temp1_input": "1000",
            f"{CHIP}1/name": "board",
            f"{CHIP}1/temp1_input": "-273000",
            f"{CHIP}1/temp2_input": "2000",
            f"{CHIP}1/fan1_input": "60001",
            f"{CHIP}1/fan2_input": "60000",
            f"{CHIP}1/fan3_input": "-1",
        },
    )
    readings = collect(HwmonCollector(files))
    assert values(readings, "temperature_celsius") == {"board/temp2": 2.0}
    assert values(readings, "fan_speed_rpm") == {"board/fan2": 60000.0}
    assert problems(readings) == [
        f"{CHIP}1/fan1_input: 60001 revolutions a minute, which no fan makes",
        f"{CHIP}1/fan3_input: -1 revolutions a minute, which no fan makes",
        f"{CHIP}1/temp1_input: -273 degrees Celsius, which no working sensor reports",
    ]
    assert [error.path for error in readings.absences] == [f"{CHIP}0/name"]


def test_files_that_are_no_sensors_are_passed_over(tmp_path: Path) -> None:
    names = ("temp1_label", "temp1_max", "temp1_input_old", "fan_input", "in0_input", "temp1234_input")
    files = write_tree(tmp_path, {f"{CHIP}0/name": "board", **{f"{CHIP}0/{name}": "1" for name in names}})
    readings = collect(HwmonCollector(files))
    assert (readings.found, readings.errors, readings.absences) == ([], [], [])


def test_chips_that_come_go_and_change_are_followed(tmp_path: Path) -> None:
    collector = HwmonCollector(
        write_tree(tmp_path, {f"{CHIP}0/name": "nvme", f"{CHIP}0/temp1_input": "1000", f"{CHIP}0/temp2_input": "2000"})
    )
    assert values(collect(collector), "temperature_celsius") == {"nvme/temp1": 1.0, "nvme/temp2": 2.0}
    write_tree(tmp_path, {f"{CHIP}0/temp1_input": "1500", f"{CHIP}1/name": "usb", f"{CHIP}1/temp1_input": "3000"})
    assert values(collect(collector), "temperature_celsius") == {
        "nvme/temp1": 1.5,
        "nvme/temp2": 2.0,
        "usb/temp1": 3.0,
    }
    shutil.rmtree(tmp_path / f"{CHIP}0")
    shutil.move(tmp_path / f"{CHIP}1", tmp_path / f"{CHIP}0")
    write_tree(tmp_path, {f"{CHIP}0/temp7_input": "7000"})
    readings = collect(collector)
    assert values(readings, "temperature_celsius") == {"usb/temp1": 3.0, "usb/temp7": 7.0}
    assert readings.errors == []
