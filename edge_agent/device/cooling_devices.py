"""What the kernel's cooling devices do: fans that turn, clocks that are held down. Sampler's thread.

Source: Documentation/driver-api/thermal/sysfs-api in the kernel's tree.
"""

from __future__ import annotations

from edge_agent.device.reading import Readings
from edge_agent.device.repeated_names import RepeatedNames
from edge_agent.device.sensor_files import SensorAbsentError, SensorError, SensorFiles

FOLDER = "sys/class/thermal"
# 10,000: intel_powerclamp has 100 states, PWM fans 255, some CPU idle devices 1,000.
HIGHEST_STATE = 10_000


class CoolingDevicesCollector:
    """Two series a device, named by its type."""

    name = "cooling_devices"

    def __init__(self, files: SensorFiles) -> None:
        self._files = files

    def collect(self, readings: Readings) -> None:
        names = RepeatedNames()
        for entry in self._files.names(FOLDER):
            if entry.startswith("cooling_device"):
                with readings.sensor():
                    self._collect_device(readings, f"{FOLDER}/{entry}", names)

    def _collect_device(self, readings: Readings, folder: str, names: RepeatedNames) -> None:
        device = names.unique(self._files.read_text(f"{folder}/type"))
        state = self._state(f"{folder}/cur_state")
        highest = self._state(f"{folder}/max_state")
        if state > highest:
            raise SensorError(f"{folder}/cur_state", f"state {state} of {highest}")
        readings.add("cooling_state", state, device=device)
        readings.add("cooling_state_max", highest, device=device)

    def _state(self, path: str) -> int:
        state = self._files.read_int(path)
        if state == -1:
            raise SensorAbsentError(path, "-1: the device is not in use")
        if not 0 <= state <= HIGHEST_STATE:
            raise SensorError(path, f"state {state}, which no cooling device has")
        return state
