"""Clocks of the CPUs, now and at most. Sampler's thread.

CPUs of one policy share a clock; it is read once for all of them, since some drivers ask the firmware for it (10 ms).
Source: Documentation/admin-guide/pm/cpufreq in the kernel's tree.
"""

from __future__ import annotations

from edge_agent.device.reading import Readings
from edge_agent.device.sensor_files import SensorError, SensorFiles

FOLDER = "sys/devices/system/cpu/cpufreq"
# 20 GHz: twice the record of overclockers.
HIGHEST_KHZ = 20_000_000


class CpuFrequencyCollector:
    """Two series a CPU."""

    name = "cpu_frequency"

    def __init__(self, files: SensorFiles) -> None:
        self._files = files

    def collect(self, readings: Readings) -> None:
        for policy in self._files.names(FOLDER):
            if policy.startswith("policy"):
                self._collect_policy(readings, f"{FOLDER}/{policy}")

    def _collect_policy(self, readings: Readings, folder: str) -> None:
        with readings.sensor():
            cpus = parse_cpus(self._files.read_text(f"{folder}/affected_cpus"), path=f"{folder}/affected_cpus")
            for metric, file in (
                ("cpu_frequency_hertz", "scaling_cur_freq"),
                ("cpu_frequency_max_hertz", "scaling_max_freq"),
            ):
                with readings.sensor():
                    hertz = self._hertz(f"{folder}/{file}")
                    for cpu in cpus:
                        readings.add(metric, hertz, cpu=cpu)

    def _hertz(self, path: str) -> int:
        khz = self._files.read_int(path)
        if not 0 < khz <= HIGHEST_KHZ:
            raise SensorError(path, f"{khz} kHz, which no CPU runs at")
        return khz * 1000


def parse_cpus(text: str, *, path: str) -> list[str]:
    """The numbers in `0 1 2 3`; empty when all CPUs of a policy are offline. Raises SensorError."""
    cpus = text.split()
    # 1,024 and 4 digits: more CPUs than a kernel for small machines is built for.
    if len(cpus) > 1024 or not all(cpu.isascii() and cpu.isdigit() and len(cpu) <= 4 for cpu in cpus):
        raise SensorError(path, f"{text[:40]!a} is no list of CPUs")
    return list(dict.fromkeys(cpus))
