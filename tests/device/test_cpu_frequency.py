from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.device.cpu_frequency import CpuFrequencyCollector
from edge_agent.device.sensor_files import SensorFiles
from tests.device.board_tree import board, collect, problems, values, write_tree

POLICY = "sys/devices/system/cpu/cpufreq/policy"


@pytest.mark.parametrize(
    ("name", "now", "highest"),
    [
        ("pi4", [1.1e9, 1.1e9, 1.1e9, 1.1e9], [1.8e9, 1.8e9, 1.8e9, 1.8e9]),
        ("pi5", [2.4e9, 2.4e9, 2.4e9, 2.4e9], [2.4e9, 2.4e9, 2.4e9, 2.4e9]),
        ("x86", [3400217000.0, 3399804000.0, 800113000.0, 3400000000.0], [3.6e9, 3.6e9, 3.6e9, 3.6e9]),
        ("vm", [], []),
    ],
)
def test_clocks_of_the_boards(name: str, now: list[float], highest: list[float]) -> None:
    readings = collect(CpuFrequencyCollector(board(name)))
    assert values(readings, "cpu_frequency_hertz") == {str(cpu): hertz for cpu, hertz in enumerate(now)}
    assert values(readings, "cpu_frequency_max_hertz") == {str(cpu): hertz for cpu, hertz in enumerate(highest)}
    assert readings.errors == []


@pytest.mark.parametrize("khz", ["0", "-1", "20000001"])
def test_a_clock_that_no_cpu_runs_at_is_refused_and_costs_its_own_series(tmp_path: Path, khz: str) -> None:
    readings = collect(CpuFrequencyCollector(policy(tmp_path, cpus="0", now=khz)))
    assert values(readings, "cpu_frequency_hertz") == {}
    assert values(readings, "cpu_frequency_max_hertz") == {"0": 2.0e10}
    assert problems(readings) == [f"{POLICY}0/scaling_cur_freq: {khz} kHz, which no CPU runs at"]


def test_cpus_that_are_offline_have_no_series(tmp_path: Path) -> None:
    readings = collect(CpuFrequencyCollector(policy(tmp_path, cpus="", now="1000000")))
    assert readings.found == []
    assert readings.errors == []


def test_the_cpus_of_a_policy_are_read_of_its_list(tmp_path: Path) -> None:
    readings = collect(CpuFrequencyCollector(policy(tmp_path, cpus="4 6 6 7", now="1000000")))
    assert list(values(readings, "cpu_frequency_hertz")) == ["4", "6", "7"]


@pytest.mark.parametrize("cpus", ["0-3", "a", "-1", "10000", " ".join(["1"] * 1025)])
def test_what_is_no_list_of_cpus_is_refused(tmp_path: Path, cpus: str) -> None:
    readings = collect(CpuFrequencyCollector(policy(tmp_path, cpus=cpus, now="1000000")))
    assert readings.found == []
    assert problems(readings) == [f"{POLICY}0/affected_cpus: '{cpus[:40]}' is no list of CPUs"]


def policy(root: Path, *, cpus: str, now: str) -> SensorFiles:
    return write_tree(
        root,
        {
            f"{POLICY}0/affected_cpus": cpus,
            f"{POLICY}0/scaling_cur_freq": now,
            f"{POLICY}0/scaling_max_freq": "20000000",
        },
    )
