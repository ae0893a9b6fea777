from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.device.board_collectors import board_collectors
from edge_agent.device.sampler import DeviceSampler
from edge_agent.device.snapshot import DeviceSnapshot
from edge_agent.device.thermal_state import ThermalState
from tests.device.board_tree import board


def sample(name: str, folder: Path) -> DeviceSnapshot:
    files = board(name)
    return DeviceSampler(board_collectors(files, folders=[folder]), files=files, interval_seconds=1).sample_once()


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("pi4", ThermalState.THROTTLED),
        ("pi5", ThermalState.NOMINAL),
        ("x86", ThermalState.NOMINAL),
        ("vm", ThermalState.NOMINAL),
    ],
)
def test_all_collectors_of_a_board_succeed(name: str, state: ThermalState, tmp_path: Path) -> None:
    snapshot = sample(name, tmp_path)
    assert snapshot.values("collector_success") == {
        (collector,): 1.0
        for collector in (
            "identity",
            "thermal_zones",
            "hwmon",
            "throttle",
            "cpu_frequency",
            "cooling_devices",
            "cpu",
            "memory",
            "pressure",
            "filesystems",
            "disks",
            "network",
            "boot",
            "nvidia",
        )
    }
    assert snapshot.thermal_state is state


@pytest.mark.parametrize("name", ["pi4", "pi5", "x86", "vm"])
def test_no_series_is_told_twice(name: str, tmp_path: Path) -> None:
    series = [(reading.metric, reading.labels) for reading in sample(name, tmp_path).readings]
    assert len(series) == len(set(series))
