"""What is known about the board at one moment: made by the sampler's thread, read by any."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from edge_agent.device.reading import Reading
from edge_agent.device.thermal_state import ThermalState


class DeviceSnapshot(Struct, frozen=True):
    """One round of all collectors, `collector_success` and `collector_duration_seconds` among its readings."""

    readings: tuple[Reading, ...] = ()
    thermal_state: ThermalState = ThermalState.NOMINAL

    def values(self, metric: str) -> dict[tuple[str, ...], float]:
        """A metric's values by the values of its labels, in the order in which they were read."""
        return {tuple(value for _, value in r.labels): r.value for r in self.readings if r.metric == metric}


DeviceSnapshotSource = Callable[[], DeviceSnapshot]


def no_device() -> DeviceSnapshot:
    """The source of a machine whose sensors are not read."""
    return DeviceSnapshot()
