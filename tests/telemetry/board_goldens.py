"""What /metrics says about each fixture board. `python -m tests.telemetry.board_goldens` writes it down anew.

Look at the difference before you commit it: it is what users will see.
"""

from __future__ import annotations

from pathlib import Path

from prometheus_client.exposition import generate_latest

from edge_agent.device.board_collectors import board_collectors
from edge_agent.device.sampler import DeviceSampler
from edge_agent.device.sensor_files import SensorFiles
from edge_agent.telemetry.device_metric_table import DEVICE_ROWS
from edge_agent.telemetry.device_metrics import DeviceMetrics
from edge_agent.telemetry.metric_table import PREFIX

BOARDS = Path(__file__).parents[1] / "fixtures" / "boards"
NAMES = ("pi4", "pi5", "vm", "x86")


def sampler_of(name: str) -> DeviceSampler:
    """A fixture board under a clock that stands still. The machine's own folders are not part of it."""
    files = SensorFiles(BOARDS / name, clock=lambda: 0.0)
    collectors = board_collectors(files, folders=[])
    return DeviceSampler(collectors, files=files, interval_seconds=1.0, clock=lambda: 0.0)


def exposition_of(name: str) -> str:
    """All series of a board after one round, with their help texts left out."""
    sampler = sampler_of(name)
    sampler.sample_once()
    text = generate_latest(DeviceMetrics(sampler.snapshot, DEVICE_ROWS, prefix=PREFIX)).decode()
    return "".join(line + "\n" for line in text.splitlines() if not line.startswith("#"))


def golden_of(name: str) -> Path:
    """The file that it is compared with."""
    return BOARDS / name / "metrics.txt"


if __name__ == "__main__":
    for board in NAMES:
        golden_of(board).write_text(exposition_of(board), encoding="utf-8")
