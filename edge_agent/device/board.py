"""The board as one thing: its name and its sampler, made of the configuration's section."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from edge_agent.config import DeviceSection
from edge_agent.device.board_collectors import board_collectors
from edge_agent.device.instance import instance_id
from edge_agent.device.sampler import DeviceSampler
from edge_agent.device.sensor_files import SensorFiles
from edge_agent.device.thermal_state import ThermalState
from edge_agent.errors import ConfigError


class Board(NamedTuple):
    """A device's stable name, and its sampler, which its owner starts and closes."""

    instance: str
    sampler: DeviceSampler

    def thermal_state(self) -> ThermalState:
        """As of the last round."""
        return self.sampler.snapshot().thermal_state


def open_board(section: DeviceSection, *, state_dir: Path, folders: Sequence[Path]) -> Board:
    """The board that `device.root` holds. `folders` are those whose file systems matter. Raises ConfigError."""
    root = Path(section.root)
    if not root.is_dir():
        raise ConfigError(f"device.root is {section.root!r}, which is no folder; leave it out for this machine's own /")
    files = SensorFiles(root)
    instance = instance_id(files, configured=section.instance, state_dir=state_dir)
    sampler = DeviceSampler(
        board_collectors(files, folders=folders), files=files, interval_seconds=section.interval_seconds
    )
    return Board(instance, sampler)
