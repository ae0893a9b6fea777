"""Turns all that the engine reports into metrics: the engine client's listener. Agent process, event loop.

It stamps each step with the board's thermal state and passes it to those who count. HTTP, it does not know.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from edge_agent.device.thermal_state import ThermalStateSource
from edge_agent.engine_client.listener import EndCause
from edge_agent.protocol import Finished, Idle, ModelFacts, Report
from edge_agent.telemetry.engine_process_metrics import EngineProcessMetrics
from edge_agent.telemetry.last_minute import LastMinute
from edge_agent.telemetry.metric_set import MetricSet
from edge_agent.telemetry.sequence_metrics import SequenceMetrics
from edge_agent.telemetry.step_metrics import StepMetrics


class EngineMetrics:
    """An `EngineListener` that counts. `last_minute` is for those who show one device to people."""

    def __init__(
        self,
        metrics: MetricSet,
        *,
        file_sha256: str = "",
        thermal_state: ThermalStateSource,
        monotonic_clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._thermal_state = thermal_state
        self._steps = StepMetrics(metrics)
        self._sequences = SequenceMetrics(metrics)
        self._process = EngineProcessMetrics(
            metrics, file_sha256=file_sha256, monotonic_clock=monotonic_clock, wall_clock=wall_clock
        )
        self.last_minute = LastMinute(monotonic_clock)
        self._running = metrics.gauge("requests_running")
        self._waiting = metrics.gauge("requests_waiting")

    @property
    def num_restarts(self) -> Mapping[EndCause, int]:
        """Engine processes that ended unasked, by cause, as `engine_restarts_total` has them."""
        return self._process.num_ends

    def engine_ready(self, model: ModelFacts) -> None:
        self._process.ready(model)

    def engine_ended(self, cause: EndCause) -> None:
        self._process.ended(cause)

    def report(self, report: Report) -> None:
        self._steps.report(report, self._thermal_state())
        self._sequences.report(report)
        self.last_minute.report(report)
        self._process.heard(at=report.ended, kv=report.kv, usage=report.usage)

    def finished(self, finished: Finished) -> None:
        self._sequences.finished(finished)
        self.last_minute.finished(finished)

    def idle(self, idle: Idle) -> None:
        self._process.heard(at=idle.at, kv=idle.kv, usage=idle.usage)

    def queue_changed(self, *, num_running: int, num_waiting: int) -> None:
        self._running.set(num_running)
        self._waiting.set(num_waiting)

    def sequences_lost(self, count: int) -> None:
        """Sequences that the engine was answering when it ended; no `Finished` will come for them."""
        self._sequences.lost(count)
        self.last_minute.lost(count)
