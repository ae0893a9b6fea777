"""Bytes over the network interfaces. Sampler's thread."""

from __future__ import annotations

import psutil

from edge_agent.device.proc_files import ProcFiles
from edge_agent.device.reading import Readings
from edge_agent.device.sensor_files import SensorFiles

FOLDER = "sys/class/net"


class NetworkCollector:
    """Two series an interface: those with a device behind them. Loopback, bridges and tunnels have none."""

    name = "network"

    def __init__(self, files: SensorFiles, proc: ProcFiles) -> None:
        self._files = files
        self._proc = proc

    def collect(self, readings: Readings) -> None:
        interfaces = [name for name in self._files.names(FOLDER) if self._files.exists(f"{FOLDER}/{name}/device")]
        if not interfaces:
            return
        counters = self._proc.ask("proc/net/dev", lambda: psutil.net_io_counters(pernic=True, nowrap=False))
        for interface in interfaces:
            if interface in counters:
                counted = counters[interface]
                readings.add("network_received_bytes_total", counted.bytes_recv, interface=interface)
                readings.add("network_sent_bytes_total", counted.bytes_sent, interface=interface)
