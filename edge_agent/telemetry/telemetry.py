"""Puts the agent's telemetry together: one registry, and everyone who counts into it or renders it.

Nothing is started here. The parts do not know each other; the API and the engine client are given theirs.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector

from edge_agent.device.snapshot import DeviceSnapshotSource, no_device
from edge_agent.llama_cpp_version import llama_cpp_version
from edge_agent.telemetry.device_metric_table import DEVICE_ROWS
from edge_agent.telemetry.device_metrics import DeviceMetrics
from edge_agent.telemetry.engine_metrics import EngineMetrics
from edge_agent.telemetry.exposition import Exposition
from edge_agent.telemetry.metric_set import MetricSet
from edge_agent.telemetry.metric_table import METRIC_TABLE, PREFIX
from edge_agent.telemetry.request_log import RequestLog
from edge_agent.telemetry.service_metrics import ServiceMetrics


class Telemetry(msgspec.Struct, frozen=True):
    """All that the agent needs to be observed."""

    registry: CollectorRegistry
    metrics: MetricSet
    engine: EngineMetrics
    service: ServiceMetrics
    exposition: Exposition
    request_log: RequestLog


def build_telemetry(
    *,
    model_alias: str,
    version: str,
    file_sha256: str = "",
    device: DeviceSnapshotSource = no_device,
    monotonic_clock: Callable[[], float] = time.monotonic,
    wall_clock: Callable[[], float] = time.time,
) -> Telemetry:
    """A fresh registry with every series that exists from the start, `process_*` included, and the device's.

    `model_alias` is the configured name and becomes the label `model`, whether or not the model is loaded yet.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    metrics = MetricSet(registry, METRIC_TABLE, prefix=PREFIX, constants={"model": model_alias})
    registry.register(DeviceMetrics(device, DEVICE_ROWS, prefix=PREFIX))
    metrics.set_info("build_info", version=version, python=platform.python_version(), llama_cpp=llama_cpp_version())
    engine = EngineMetrics(
        metrics,
        file_sha256=file_sha256,
        thermal_state=lambda: device().thermal_state,
        monotonic_clock=monotonic_clock,
        wall_clock=wall_clock,
    )
    return Telemetry(registry, metrics, engine, ServiceMetrics(metrics), Exposition(registry), RequestLog())
