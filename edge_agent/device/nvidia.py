"""NVIDIA GPUs, through the driver's own library (nvidia-ml-py, extra `nvidia`). Sampler's thread.

Units are converted here: NVML has milliwatts, megahertz, percent. What a GPU cannot tell has no series, never a 0.
Source: NVML API reference.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from edge_agent.device.identity import shown
from edge_agent.device.reading import Readings
from edge_agent.device.sensor_files import SensorAbsentError, SensorError, SensorFiles

# 30 s: a driver that is being reloaded takes about as long; each try costs some milliseconds.
RETRY_SECONDS = 30.0
REASONS = {
    "power_cap": "nvmlClocksThrottleReasonSwPowerCap",
    "hw_slowdown": "nvmlClocksThrottleReasonHwSlowdown",
    "sw_thermal": "nvmlClocksThrottleReasonSwThermalSlowdown",
    "hw_thermal": "nvmlClocksThrottleReasonHwThermalSlowdown",
    "power_brake": "nvmlClocksThrottleReasonHwPowerBrakeSlowdown",
}
CLOCKS = {"graphics": "NVML_CLOCK_GRAPHICS", "memory": "NVML_CLOCK_MEM"}


class _Gpu:
    """One GPU as it was found: its handle, and the labels that stay."""

    def __init__(self, handle: Any, info: Mapping[str, str]) -> None:
        self.handle = handle
        self.info = dict(info)


class NvidiaCollector:
    """All GPUs of the machine, by their index."""

    name = "nvidia"

    def __init__(self, files: SensorFiles, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._files = files
        self._clock = clock
        self._nvml: Any = None
        self._gpus: list[_Gpu] = []
        self._absence: SensorAbsentError | None = None
        self._retry_at = 0.0

    def collect(self, readings: Readings) -> None:
        if self._nvml is None:
            self._begin()
        for gpu in self._gpus:
            with readings.sensor():
                self._collect_gpu(readings, gpu)

    # --- finding them --------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._absence is not None and self._clock() < self._retry_at:
            raise self._absence
        self._retry_at = self._clock() + RETRY_SECONDS
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError as error:
            self._absence = SensorAbsentError("nvml", "nvidia-ml-py is not installed (pip install edge-agent[nvidia])")
            raise self._absence from error
        try:
            self._gpus = self._files.call("nvml", lambda: _found_gpus(nvml))
        except nvml.NVMLError as error:
            self._absence = SensorAbsentError("nvml", f"no NVIDIA driver answers ({error})")
            raise self._absence from error
        self._nvml, self._absence = nvml, None

    def _end(self) -> None:
        """The driver has gone away under us: begin again, later."""
        nvml, self._nvml, self._gpus = self._nvml, None, []
        self._retry_at = self._clock() + RETRY_SECONDS
        self._absence = SensorAbsentError("nvml", "the NVIDIA driver went away")
        try:
            nvml.nvmlShutdown()
        except nvml.NVMLError as error:
            raise self._absence from error

    # --- reading one ---------------------------------------------------------------------------------------------

    def _collect_gpu(self, readings: Readings, gpu: _Gpu) -> None:
        nvml, handle, index = self._nvml, gpu.handle, gpu.info["gpu"]
        readings.add("gpu_info", 1, **gpu.info)

        def tell(metric: str, read: Callable[[], float], **labels: str) -> None:
            with readings.sensor():
                readings.add(metric, self._ask(f"nvml gpu{index} {metric}", read), gpu=index, **labels)

        tell("gpu_utilization_ratio", lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
        tell("gpu_memory_used_bytes", lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used)
        tell("gpu_memory_total_bytes", lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total)
        tell("gpu_temperature_celsius", lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
        tell("gpu_power_watts", lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000)
        for clock, constant in CLOCKS.items():
            kind = getattr(nvml, constant)
            tell("gpu_clock_hertz", lambda k=kind: nvml.nvmlDeviceGetClockInfo(handle, k) * 1_000_000, clock=clock)  # type: ignore[misc]
        with readings.sensor():
            held_back_by = self._ask(
                f"nvml gpu{index} reasons", lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
            )
            for reason, constant in REASONS.items():
                is_active = bool(held_back_by & getattr(nvml, constant))
                readings.add("gpu_throttle_active", is_active, gpu=index, reason=reason)

    def _ask(self, name: str, read: Callable[[], Any]) -> Any:
        nvml = self._nvml
        if nvml is None:
            raise SensorAbsentError(name, "the NVIDIA driver went away")
        try:
            return self._files.call(name, read)
        except nvml.NVMLError as error:
            if error.value in {nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_NO_PERMISSION}:
                raise SensorAbsentError(name, str(error)) from error
            if error.value in {nvml.NVML_ERROR_UNINITIALIZED, nvml.NVML_ERROR_DRIVER_NOT_LOADED}:
                self._end()
            raise SensorError(name, str(error)) from error


def _found_gpus(nvml: Any) -> list[_Gpu]:
    nvml.nvmlInit()
    driver = _text(nvml.nvmlSystemGetDriverVersion())
    gpus = []
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        uuid, name = _text(nvml.nvmlDeviceGetUUID(handle)), _text(nvml.nvmlDeviceGetName(handle))
        gpus.append(_Gpu(handle, {"gpu": str(index), "uuid": uuid, "name": name, "driver": driver}))
    return gpus


def _text(value: str | bytes) -> str:
    """Older versions of nvidia-ml-py answer bytes."""
    return shown(value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
