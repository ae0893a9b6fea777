"""Bytes over the network interfaces. Sampler's thread."""

from __future__ import annotations

import psutil

from edge_agent.device.physical_devices import physical_devices
from edge_agent.device.proc_files import ProcFiles
from edge_agent.device.reading import Readings
from edge_agent.device.repeated_names import RepeatedNames
from edge_agent.device.rising_counters import ContinuedCounters
from edge_agent.device.sensor_files import SensorFiles

FOLDER = "sys/class/net"


class NetworkCollector:
    """Two series an interface: those with a device behind them. Loopback, bridges and tunnels have none."""

    name = "network"

    def __init__(self, files: SensorFiles, proc: ProcFiles) -> None:
        self._files = files
        self._proc = proc
        self._received = ContinuedCounters()
        self._sent = ContinuedCounters()

    def collect(self, readings: Readings) -> None:
        interfaces = physical_devices(self._files, FOLDER, readings)
        self._received.keep_only(set(interfaces))
        self._sent.keep_only(set(interfaces))
        if not interfaces:
            return
        counters = self._proc.ask("proc/net/dev", lambda: psutil.net_io_counters(pernic=True, nowrap=False))
        names = RepeatedNames()
        for interface in interfaces:
            if interface in counters:
                received = self._received.value(interface, counters[interface].bytes_recv)
                sent = self._sent.value(interface, counters[interface].bytes_sent)
                shown = names.unique(interface)
                readings.add("network_received_bytes_total", received, interface=shown)
                readings.add("network_sent_bytes_total", sent, interface=shown)
