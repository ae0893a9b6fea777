"""Each NVIDIA GPU: load, memory, temperature, power, clocks, what holds it back. Sampler's thread.

Without pynvml, library or driver there are no series. What a GPU does not tell has none either, which is not 0. All
of a GPU is asked in one watched call, so that a driver that hangs with one GPU does not silence the others.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from edge_agent.device.label_text import shown
from edge_agent.device.nvml import NAME, GoneError, NvidiaDriver, NvmlSession
from edge_agent.device.reading import Readings
from edge_agent.device.sensor_files import SensorAbsentError, SensorError, SensorFiles
from edge_agent.device.temperature import HIGHEST_CELSIUS, LOWEST_CELSIUS

# 10 kW, 20 GHz and 1 PiB: several times what the largest GPU has.
MOST_MILLIWATTS = 10_000_000
MOST_MEGAHERTZ = 20_000
MOST_BYTES = 2**50
CLOCKS = (("graphics", "NVML_CLOCK_GRAPHICS"), ("memory", "NVML_CLOCK_MEM"))
# Bits of nvmlClocksEventReasons.
REASONS = (("power_cap", 0x4), ("hw_slowdown", 0x8), ("sw_thermal", 0x20), ("hw_thermal", 0x40), ("power_brake", 0x80))


class NvidiaCollector:
    """Up to 14 series a GPU, named by the driver's index; `gpu_info` says which GPU that is."""

    name = "nvidia"

    def __init__(self, files: SensorFiles, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._files = files
        self._driver = NvidiaDriver(files, clock=clock)

    def collect(self, readings: Readings) -> None:
        session = self._driver.session()
        if session.num_gpus == 0:
            raise SensorAbsentError(NAME, "the driver knows no GPU; see whether nvidia-smi lists it")
        is_gone = [self._is_gone(readings, session, index) for index in range(session.num_gpus)]
        if any(is_gone):
            self._driver.had_trouble()
        else:
            self._driver.went_well()

    def _is_gone(self, readings: Readings, session: NvmlSession, index: int) -> bool:
        """Whether the GPU does not answer any more; what it answered is among the readings."""
        path = f"{NAME}/gpu{index}"
        with readings.sensor():
            try:
                told = self._files.call(path, functools.partial(gpu_readings, session, index))
            except GoneError as error:
                readings.errors.append(SensorError(path, str(error)))
                return True
            readings.found += told.found
            readings.errors += told.errors
            readings.absences += told.absences
        return False


def gpu_readings(session: NvmlSession, index: int) -> Readings:
    """All that one GPU tells. Raises SensorError when nothing can be asked of it, GoneError when it is lost."""
    gpu = _Gpu(session, index)
    for question in (gpu.info, gpu.utilization, gpu.memory, gpu.temperature, gpu.power, gpu.throttle):
        with gpu.readings.sensor():
            question()
    for clock, constant in CLOCKS:
        with gpu.readings.sensor():
            gpu.clock(clock, constant)
    return gpu.readings


class _Gpu:
    """The questions to one GPU; the answers are added to `readings`, in the units of the metrics."""

    def __init__(self, session: NvmlSession, index: int) -> None:
        self.readings = Readings()
        self._session = session
        self._path = f"gpu{index}"
        self._gpu = str(index)
        self._device = session.ask(self._path, "nvmlDeviceGetHandleByIndex", index)

    def info(self) -> None:
        uuid = shown(self._ask("uuid", "nvmlDeviceGetUUID"))
        name = shown(self._ask("name", "nvmlDeviceGetName"))
        self._add("gpu_info", 1, uuid=uuid, name=name, driver=self._session.driver_version)

    def utilization(self) -> None:
        percent = self._ask("utilization", "nvmlDeviceGetUtilizationRates").gpu
        self._add("gpu_utilization_ratio", self._plausible("utilization", percent, most=100) / 100)

    def memory(self) -> None:
        memory = self._ask("memory", "nvmlDeviceGetMemoryInfo")
        total_bytes = self._plausible("memory", memory.total, most=MOST_BYTES)
        self._add("gpu_memory_total_bytes", total_bytes)
        self._add("gpu_memory_used_bytes", self._plausible("memory", memory.used, most=total_bytes))

    def temperature(self) -> None:
        sensor = self._session.constant("NVML_TEMPERATURE_GPU")
        old = "nvmlDeviceGetTemperature"
        celsius = self._ask("temperature", "nvmlDeviceGetTemperatureV", sensor, or_else=old)
        self._plausible("temperature", celsius, least=LOWEST_CELSIUS, most=HIGHEST_CELSIUS)
        self._add("gpu_temperature_celsius", celsius)

    def power(self) -> None:
        milliwatts = self._ask("power", "nvmlDeviceGetPowerUsage")
        self._add("gpu_power_watts", self._plausible("power", milliwatts, most=MOST_MILLIWATTS) / 1000)

    def clock(self, clock: str, constant: str) -> None:
        what = f"clock_{clock}"
        megahertz = self._ask(what, "nvmlDeviceGetClockInfo", self._session.constant(constant))
        self._add("gpu_clock_hertz", self._plausible(what, megahertz, most=MOST_MEGAHERTZ) * 1_000_000, clock=clock)

    def throttle(self) -> None:
        old = "nvmlDeviceGetCurrentClocksThrottleReasons"
        bits = self._ask("reasons", "nvmlDeviceGetCurrentClocksEventReasons", or_else=old)
        for reason, bit in REASONS:
            self._add("gpu_throttle_active", bool(bits & bit), reason=reason)

    def _ask(self, what: str, function: str, *arguments: Any, or_else: str | None = None) -> Any:
        return self._session.ask(f"{self._path}/{what}", function, self._device, *arguments, or_else=or_else)

    def _add(self, metric: str, value: float, **labels: str) -> None:
        self.readings.add(metric, value, gpu=self._gpu, **labels)

    def _plausible(self, what: str, value: Any, *, most: float, least: float = 0) -> Any:
        if not least <= value <= most:
            raise SensorError(f"{NAME}/{self._path}/{what}", f"{value}, which no GPU has")
        return value
