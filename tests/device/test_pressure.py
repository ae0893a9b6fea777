from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.device.pressure import PressureCollector
from edge_agent.device.reading import Readings
from tests.device.board_tree import board, collect, problems, write_tree


def stalled(readings: Readings) -> dict[tuple[str, ...], float]:
    return {tuple(value for _, value in reading.labels): reading.value for reading in readings.found}


def test_stalled_time_in_seconds() -> None:
    assert stalled(collect(PressureCollector(board("pi4")))) == {
        ("cpu", "some"): 98.123456,
        ("cpu", "full"): 0.0,
        ("memory", "some"): 1.5,
        ("memory", "full"): 1.25,
        ("io", "some"): 42.0,
        ("io", "full"): 40.5,
    }


def test_an_older_kernel_tells_no_full_for_the_cpu() -> None:
    readings = collect(PressureCollector(board("x86")))
    assert [key for key in stalled(readings) if key[0] == "cpu"] == [("cpu", "some")]
    assert problems(readings) == []


def test_a_kernel_without_pressure_has_no_series_and_no_error() -> None:
    readings = collect(PressureCollector(board("pi5")))
    assert readings.found == []
    assert problems(readings) == []
    assert len(readings.absences) == 3


@pytest.mark.parametrize("content", ["", "some avg10=0.00 avg60=0.00 avg300=0.00 total=-5", "some total=1e9"])
def test_a_file_of_another_form_costs_its_own_series(tmp_path: Path, content: str) -> None:
    good = "some avg10=0.00 avg60=0.00 avg300=0.00 total=2000000"
    files = write_tree(tmp_path, {"proc/pressure/io": content, "proc/pressure/memory": good})
    readings = collect(PressureCollector(files))
    assert stalled(readings) == {("memory", "some"): 2.0}
    assert [problem.partition(":")[0] for problem in problems(readings)] == ["proc/pressure/io"]
