"""GET /status: everything about one device that the pages show, as one JSON document.

Answered from what the agent holds already: it never waits for the engine, nor for a sensor. It holds no path and no
prompt. Event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from aiohttp import web
from msgspec import Struct

from edge_agent import __version__
from edge_agent.api.engine import Engine
from edge_agent.config import SchedulerSection
from edge_agent.device.snapshot import DeviceSnapshot, DeviceSnapshotSource
from edge_agent.engine_client.listener import EngineState
from edge_agent.protocol import ModelFacts
from edge_agent.telemetry.engine_metrics import EngineMetrics
from edge_agent.telemetry.last_minute import LastMinuteFigures


class Memory(Struct, frozen=True, kw_only=True):
    """The machine's memory; null where it is not known."""

    total_bytes: float | None
    available_bytes: float | None
    swap_used_bytes: float | None


class Gpu(Struct, frozen=True, kw_only=True):
    """One GPU; null for what it does not tell."""

    name: str | None
    temperature_celsius: float | None
    utilization_ratio: float | None
    memory_used_bytes: float | None
    memory_total_bytes: float | None
    power_watts: float | None
    throttle: dict[str, bool]


class Device(Struct, frozen=True, kw_only=True):
    """The board, as its sensors were last read. What the board does not have is null or missing."""

    instance: str
    board: str | None
    os: str | None
    kernel: str | None
    boot_timestamp_seconds: float | None
    # nominal, capped, throttled or undervoltage.
    thermal_state: str
    # By flag: whether it holds now. Empty where nothing tells.
    throttle: dict[str, bool]
    # By sensor.
    temperatures_celsius: dict[str, float]
    # By CPU.
    cpu_frequency_hertz: dict[str, float]
    cpu_frequency_max_hertz: dict[str, float]
    # By fan.
    fan_speed_rpm: dict[str, float]
    memory: Memory
    # By number.
    gpus: dict[str, Gpu]


class Model(Struct, frozen=True, kw_only=True):
    """The model that is served; all but its alias is null until it has been loaded."""

    alias: str
    architecture: str | None = None
    quantization: str | None = None
    parameters: int | None = None
    size_bytes: int | None = None
    # Tokens that one request may use.
    context_length: int | None = None
    trained_context_length: int | None = None
    gpu_layers: int | None = None
    load_seconds: float | None = None


class EngineStatus(Struct, frozen=True, kw_only=True):
    """The engine process."""

    # loading, ready, restarting, load_failed or stopped.
    state: str
    # 0 to 1, while the model is being loaded.
    load_progress: float | None
    # By cause: ends that nobody asked for.
    restarts: dict[str, int]


class Queue(Struct, frozen=True, kw_only=True):
    """Requests now, and how many may be answered and may wait."""

    running: int
    waiting: int
    max_sequences: int
    size: int


class Status(Struct, frozen=True, kw_only=True):
    """The document."""

    version: str
    uptime_seconds: float
    device: Device
    model: Model
    engine: EngineStatus
    queue: Queue
    last_minute: LastMinuteFigures


class StatusContext(NamedTuple):
    """Where the document's parts come from."""

    engine: Engine
    model_alias: str
    scheduler: SchedulerSection
    counted: EngineMetrics
    device: DeviceSnapshotSource
    instance: str
    clock: Callable[[], float]


class StatusEndpoint:
    """The handler; the service's uptime begins with it."""

    def __init__(self, context: StatusContext) -> None:
        self._context = context
        self._started = context.clock()

    async def handle(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=msgspec.json.encode(self._status()),
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    def _status(self) -> Status:
        context = self._context
        engine, scheduler = context.engine, context.scheduler
        return Status(
            version=__version__,
            uptime_seconds=round(context.clock() - self._started, 3),
            device=_device(context.device(), instance=context.instance),
            model=_model(context.model_alias, engine.model),
            engine=EngineStatus(
                state=engine.state.value,
                load_progress=_load_progress(engine),
                restarts={cause.value: count for cause, count in context.counted.num_restarts.items()},
            ),
            queue=Queue(
                running=engine.num_running,
                waiting=engine.num_waiting,
                max_sequences=scheduler.max_sequences,
                size=scheduler.queue_size,
            ),
            last_minute=context.counted.last_minute.figures(),
        )


def _load_progress(engine: Engine) -> float | None:
    return engine.load_progress if engine.state in {EngineState.LOADING, EngineState.RESTARTING} else None


def _model(alias: str, facts: ModelFacts | None) -> Model:
    if facts is None:
        return Model(alias=alias)
    return Model(
        alias=alias,
        architecture=facts.architecture,
        quantization=facts.quantization,
        parameters=facts.num_parameters,
        size_bytes=facts.size_bytes,
        context_length=facts.context_length,
        trained_context_length=facts.trained_context_length,
        gpu_layers=facts.num_gpu_layers,
        load_seconds=facts.load_seconds,
    )


# --- the board -----------------------------------------------------------------------------------------------------


def _device(snapshot: DeviceSnapshot, *, instance: str) -> Device:
    board, os, kernel = _board(snapshot)
    return Device(
        instance=instance,
        board=board,
        os=os,
        kernel=kernel,
        boot_timestamp_seconds=_only(snapshot, "boot_timestamp_seconds"),
        thermal_state=snapshot.thermal_state.value,
        throttle={flag: bool(value) for flag, value in _by_label(snapshot, "throttle_active").items()},
        temperatures_celsius=_by_label(snapshot, "temperature_celsius"),
        cpu_frequency_hertz=_by_label(snapshot, "cpu_frequency_hertz"),
        cpu_frequency_max_hertz=_by_label(snapshot, "cpu_frequency_max_hertz"),
        fan_speed_rpm=_by_label(snapshot, "fan_speed_rpm"),
        memory=Memory(
            total_bytes=_only(snapshot, "memory_total_bytes"),
            available_bytes=_only(snapshot, "memory_available_bytes"),
            swap_used_bytes=_only(snapshot, "swap_used_bytes"),
        ),
        gpus=_gpus(snapshot),
    )


def _board(snapshot: DeviceSnapshot) -> tuple[str | None, str | None, str | None]:
    """Board, operating system and kernel, which are labels of device_info; an empty one is not known."""
    labels = next((dict(reading.labels) for reading in snapshot.readings if reading.metric == "device_info"), {})
    return labels.get("board") or None, labels.get("os") or None, labels.get("kernel") or None


def _gpus(snapshot: DeviceSnapshot) -> dict[str, Gpu]:
    infos = [dict(reading.labels) for reading in snapshot.readings if reading.metric == "gpu_info"]
    names = {info["gpu"]: info["name"] for info in infos if info.keys() >= {"gpu", "name"}}
    throttle = snapshot.values("gpu_throttle_active")
    temperatures = _by_label(snapshot, "gpu_temperature_celsius")
    utilizations = _by_label(snapshot, "gpu_utilization_ratio")
    used, total = _by_label(snapshot, "gpu_memory_used_bytes"), _by_label(snapshot, "gpu_memory_total_bytes")
    powers = _by_label(snapshot, "gpu_power_watts")
    return {
        gpu: Gpu(
            name=names.get(gpu),
            temperature_celsius=temperatures.get(gpu),
            utilization_ratio=utilizations.get(gpu),
            memory_used_bytes=used.get(gpu),
            memory_total_bytes=total.get(gpu),
            power_watts=powers.get(gpu),
            throttle={reason: bool(value) for (of, reason), value in throttle.items() if of == gpu},
        )
        for gpu in names | temperatures | utilizations | total
    }


def _by_label(snapshot: DeviceSnapshot, metric: str) -> dict[str, float]:
    """The values of a metric with one label."""
    return {label: value for (label,), value in snapshot.values(metric).items()}


def _only(snapshot: DeviceSnapshot, metric: str) -> float | None:
    """The value of a metric without labels."""
    return snapshot.values(metric).get(())
