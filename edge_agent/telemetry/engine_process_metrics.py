"""Shows the engine process: whether it is up, when it was last heard, what it holds, which model it runs.

Agent process, event loop. It holds only what the engine last said; a scrape never asks the engine.
"""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.engine_client.listener import EndCause
from edge_agent.protocol import EngineUsage, KvCells, ModelFacts
from edge_agent.telemetry.metric_set import MetricSet

NO_CELLS = KvCells(used=0, cached=0, capacity=0)


class EngineProcessMetrics:
    """One engine after the other, as the agent sees them. `file_sha256` is the model file's digest, "" if unknown."""

    def __init__(
        self,
        metrics: MetricSet,
        *,
        file_sha256: str,
        monotonic_clock: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        self._metrics = metrics
        self._file_sha256 = file_sha256
        self._monotonic_clock = monotonic_clock
        self._wall_clock = wall_clock
        self._up = metrics.gauge("engine_up")
        self._restarts = {cause: metrics.counter("engine_restarts_total", cause=cause.value) for cause in EndCause}
        self.num_ends = dict.fromkeys(EndCause, 0)
        self._heartbeat = metrics.gauge("engine_heartbeat_timestamp_seconds")
        self._resident = metrics.gauge("engine_resident_memory_bytes")
        self._private = metrics.gauge("engine_private_memory_bytes")
        self._cpu = metrics.counter("engine_cpu_seconds_total")
        # CPU time of the present process that is in the counter already.
        self._counted_cpu_seconds = 0.0
        self._kv_used = metrics.gauge("kv_cells_used")
        self._kv_cached = metrics.gauge("kv_cells_cached")
        self._kv_capacity = metrics.gauge("kv_cells_capacity")
        self._load_seconds = metrics.gauge("model_load_seconds")
        self._size_bytes = metrics.gauge("model_size_bytes")

    def ready(self, model: ModelFacts) -> None:
        """A fresh process has loaded the model."""
        self._counted_cpu_seconds = 0.0
        self._load_seconds.set(model.load_seconds)
        self._size_bytes.set(model.size_bytes)
        self._kv_capacity.set(model.kv_cells)
        self._metrics.set_info(
            "model_info",
            architecture=model.architecture,
            quantization=model.quantization,
            parameters=str(model.num_parameters),
            context_length=str(model.context_length),
            batch_size=str(model.max_batch_tokens),
            gpu_layers=str(model.num_gpu_layers),
            file_sha256=self._file_sha256[:12],
        )
        self._up.set(1)

    def ended(self, cause: EndCause) -> None:
        """The process is gone, its memory and cells with it."""
        self._up.set(0)
        self._restarts[cause].inc()
        self.num_ends[cause] += 1
        self._show_cells(NO_CELLS)
        self._resident.set(0)
        self._private.set(0)

    def heard(self, *, at: float, kv: KvCells, usage: EngineUsage | None) -> None:
        """The engine ended a step, or said that it is idle, at the monotonic time `at`."""
        # The age is subtracted from the wall clock of now: a clock set meanwhile is right from the next message on.
        self._heartbeat.set(self._wall_clock() - (self._monotonic_clock() - at))
        self._show_cells(kv)
        if usage is not None:
            self._show_usage(usage)

    def _show_cells(self, kv: KvCells) -> None:
        self._kv_used.set(kv.used)
        self._kv_cached.set(kv.cached)
        self._kv_capacity.set(kv.capacity)

    def _show_usage(self, usage: EngineUsage) -> None:
        self._resident.set(usage.resident_bytes)
        self._private.set(usage.private_bytes)
        if usage.cpu_seconds > self._counted_cpu_seconds:
            self._cpu.inc(usage.cpu_seconds - self._counted_cpu_seconds)
            self._counted_cpu_seconds = usage.cpu_seconds
