from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.device.thermal_zones import ThermalZonesCollector
from tests.device.board_tree import board, collect, problems, values, write_tree

ZONE = "sys/class/thermal/thermal_zone"


@pytest.mark.parametrize(
    ("name", "temperatures"),
    [
        ("pi4", {"cpu-thermal": 82.783}),
        ("pi5", {"cpu-thermal": 52.05}),
        ("x86", {"acpitz": 27.8, "x86_pkg_temp": 54.0}),
        ("vm", {}),
    ],
)
def test_zones_of_the_boards(name: str, temperatures: dict[str, float]) -> None:
    readings = collect(ThermalZonesCollector(board(name)))
    assert values(readings, "temperature_celsius") == temperatures
    assert readings.errors == []


def test_zones_of_one_type_are_numbered_in_the_kernels_order(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {f"{ZONE}{n}/{file}": text for n in (0, 2, 10) for file, text in zone("soc", n)})
    readings = collect(ThermalZonesCollector(files))
    assert values(readings, "temperature_celsius") == {"soc": 0.0, "soc_2": 2.0, "soc_3": 10.0}


def test_a_zone_that_cannot_be_read_costs_its_own_series(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {f"{ZONE}{n}/{file}": text for n in (1, 2) for file, text in zone("soc", n)})
    write_tree(tmp_path, {f"{ZONE}0/type": "cv0-thermal", f"{ZONE}1/temp": "N/A"})
    readings = collect(ThermalZonesCollector(files))
    assert values(readings, "temperature_celsius") == {"soc_2": 2.0}
    assert problems(readings) == [f"{ZONE}1/temp: 'N/A' is no whole number"]
    assert [error.path for error in readings.absences] == [f"{ZONE}0/temp"]


@pytest.mark.parametrize("temp", ["-60000", "0", "125000", "200000"])
def test_temperatures_that_silicon_may_have_are_told(tmp_path: Path, temp: str) -> None:
    readings = collect(ThermalZonesCollector(write_tree(tmp_path, {f"{ZONE}0/type": "cpu", f"{ZONE}0/temp": temp})))
    assert values(readings, "temperature_celsius") == {"cpu": int(temp) / 1000}


@pytest.mark.parametrize(("temp", "shown"), [("-256000", "-256"), ("-60001", "-60.001"), ("200001", "200.001")])
def test_temperatures_that_are_lies_are_refused(tmp_path: Path, temp: str, shown: str) -> None:
    readings = collect(ThermalZonesCollector(write_tree(tmp_path, {f"{ZONE}0/type": "cpu", f"{ZONE}0/temp": temp})))
    assert readings.found == []
    assert problems(readings) == [f"{ZONE}0/temp: {shown} degrees Celsius, which no working sensor reports"]


def zone(type_: str, degrees: int) -> list[tuple[str, str]]:
    return [("type", type_), ("temp", str(degrees * 1000))]
