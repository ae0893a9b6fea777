"""Counts steps: their time, rows and tokens, by phase and by the board's thermal state. Agent process, event loop.

Steps that only decode are kept apart from all others, so that what heat costs in tokens a second is one ratio of
counters. What a step did for whom, this module does not know.
"""

from __future__ import annotations

from edge_agent.device.thermal_state import ThermalState
from edge_agent.protocol import Phase, Report
from edge_agent.telemetry.metric_set import MetricSet


class StateCounters:
    """The counters of one thermal state."""

    def __init__(self, metrics: MetricSet, state: ThermalState) -> None:
        self.generated_tokens = metrics.counter("generated_tokens_total", thermal_state=state.value)
        self.decode_seconds = metrics.counter("decode_seconds_total", thermal_state=state.value)
        self.decode_steps = metrics.counter("decode_steps_total", thermal_state=state.value)
        self.decode_step_tokens = metrics.counter("decode_step_tokens_total", thermal_state=state.value)
        self.prefill_seconds = metrics.counter("prefill_seconds_total", thermal_state=state.value)


class StepMetrics:
    """Fed with every report."""

    def __init__(self, metrics: MetricSet) -> None:
        self._states = {state: StateCounters(metrics, state) for state in ThermalState}
        self._seconds = {phase: metrics.histogram("step_seconds", phase=phase.value) for phase in Phase}
        self._rows = metrics.histogram("step_tokens")
        self._prefix_queried = metrics.counter("prefix_cache_queried_tokens_total")
        self._prefix_hit = metrics.counter("prefix_cache_hit_tokens_total")
        self._prefix_evicted = metrics.counter("prefix_cache_evicted_tokens_total")

    def report(self, report: Report, state: ThermalState) -> None:
        """Count one step, done while the board was in `state`."""
        phase, seconds = report.phase, report.seconds
        self._seconds[phase].observe(seconds)
        self._rows.observe(report.num_prefill_rows + report.num_decode_rows)
        self._count_by_state(self._states[state], report, phase, seconds)
        self._prefix_queried.inc(report.num_prefix_queried)
        self._prefix_hit.inc(report.num_prefix_hit)
        self._prefix_evicted.inc(report.num_prefix_evicted)

    def _count_by_state(self, counters: StateCounters, report: Report, phase: Phase, seconds: float) -> None:
        num_tokens = sum(len(sequence.tokens) for sequence in report.sequences)
        counters.generated_tokens.inc(num_tokens)
        if phase is not Phase.DECODE:
            counters.prefill_seconds.inc(seconds)
            return
        counters.decode_seconds.inc(seconds)
        counters.decode_steps.inc()
        counters.decode_step_tokens.inc(num_tokens)
