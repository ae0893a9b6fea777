from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.device.cpu import CpuCollector
from edge_agent.device.proc_files import ProcFiles
from tests.device.board_tree import board, collect, problems, values, write_tree


def test_seconds_by_mode_with_guests_counted_once() -> None:
    readings = collect(CpuCollector(ProcFiles(board("pi4"))))
    assert values(readings, "cpu_seconds_total") == {
        "user": 1823.4,
        "nice": 12.0,
        "system": 602.1,
        "idle": 91203.4,
        "iowait": 81.2,
        "irq": 0.0,
        "softirq": 33.1,
        "steal": 0.0,
    }


def test_time_that_the_hypervisor_took_is_told() -> None:
    assert values(collect(CpuCollector(ProcFiles(board("vm")))), "cpu_seconds_total")["steal"] == 2.5


def test_idle_time_that_steps_back_is_held(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {"proc/stat": "cpu  10 0 0 1000 50 0 0 0 0 0"})
    collector = CpuCollector(ProcFiles(files))
    collect(collector)
    write_tree(tmp_path, {"proc/stat": "cpu  20 0 0 900 40 0 0 0 0 0"})
    told = values(collect(collector), "cpu_seconds_total")
    assert (told["user"], told["idle"], told["iowait"]) == (0.2, 10.0, 0.5)


def test_idle_time_goes_on_after_a_cpu_that_was_off_has_lost_its_own(tmp_path: Path) -> None:
    collector = CpuCollector(ProcFiles(write_tree(tmp_path, {"proc/stat": "cpu  0 0 0 900000 0 0 0 0 0 0"})))
    collect(collector)
    for ticks in (600000, 600100):
        write_tree(tmp_path, {"proc/stat": f"cpu  0 0 0 {ticks} 0 0 0 0 0 0"})
        told = values(collect(collector), "cpu_seconds_total")
    assert told["idle"] == 9001.0


@pytest.mark.parametrize("content", ["cpu  many", "cpu  1 2 3"])
def test_a_file_of_another_form_is_an_error(tmp_path: Path, content: str) -> None:
    readings = collect(CpuCollector(ProcFiles(write_tree(tmp_path, {"proc/stat": content}))))
    assert readings.found == []
    assert len(problems(readings)) == 1
    assert problems(readings)[0].startswith("proc/stat: ")


def test_a_tree_without_the_file_is_an_absence(tmp_path: Path) -> None:
    readings = collect(CpuCollector(ProcFiles(write_tree(tmp_path, {}))))
    assert [str(absence) for absence in readings.absences] == ["proc/stat: not there"]
    assert problems(readings) == []
