"""Counts what happens to sequences: first tokens, gaps, drafts, ends. Agent process, event loop.

Every duration is one subtraction of two moments that the engine stamped; the metric table says which.
Steps, memory and the engine process are counted elsewhere.
"""

from __future__ import annotations

from edge_agent.protocol import Finished, FinishReason, PromptTokens, Report, SequenceReport, SequenceTimes
from edge_agent.telemetry.metric_set import MetricSet


class SequenceMetrics:
    """Fed with the sequences of every report, and with every `Finished`."""

    def __init__(self, metrics: MetricSet) -> None:
        self._queue = metrics.histogram("request_queue_seconds")
        self._prefill = metrics.histogram("request_prefill_seconds")
        self._time_to_first_token = metrics.histogram("time_to_first_token_seconds")
        self._gap = metrics.histogram("inter_token_latency_seconds")
        self._decode = metrics.histogram("request_decode_seconds")
        self._duration = metrics.histogram("request_duration_seconds")
        self._time_per_output_token = metrics.histogram("time_per_output_token_seconds")
        self._prompt_sizes = metrics.histogram("request_prompt_tokens")
        self._answer_sizes = metrics.histogram("request_generated_tokens")
        self._computed = metrics.counter("prompt_tokens_total", source="computed")
        self._memory = metrics.counter("prompt_tokens_total", source="memory")
        self._disk = metrics.counter("prompt_tokens_total", source="disk")
        self._accepted = metrics.counter("draft_tokens_total", result="accepted")
        self._rejected = metrics.counter("draft_tokens_total", result="rejected")
        self._finished = {
            reason: metrics.counter("requests_finished_total", finish_reason=reason.value) for reason in FinishReason
        }

    def report(self, report: Report) -> None:
        """Count what one step did for each of its sequences."""
        for sequence in report.sequences:
            self._count_prompt(sequence.prompt)
            if sequence.num_drafted:
                self._accepted.inc(sequence.num_accepted)
                self._rejected.inc(sequence.num_drafted - sequence.num_accepted)
            if sequence.tokens:
                self._observe_gaps(sequence, ended=report.ended)
            if sequence.first_token is not None:
                self._observe_first_token(sequence.first_token)

    def finished(self, finished: Finished) -> None:
        """Count the end of a sequence; sizes and durations only if it ever got a token."""
        self._finished[finished.reason].inc()
        times = finished.times
        if times.first_token is None or times.last_token is None:
            return
        decode_seconds = times.last_token - times.first_token
        self._decode.observe(decode_seconds)
        self._duration.observe(times.last_token - times.arrived)
        if finished.num_generated_tokens > 1:
            self._time_per_output_token.observe(decode_seconds / (finished.num_generated_tokens - 1))
        prompt = finished.prompt
        self._prompt_sizes.observe(prompt.computed + prompt.memory + prompt.disk)
        self._answer_sizes.observe(finished.num_generated_tokens)

    def lost(self, count: int) -> None:
        """Count sequences that ended with their engine: their last moments are unknown, so no duration is observed."""
        self._finished[FinishReason.ERROR].inc(count)

    def _count_prompt(self, prompt: PromptTokens) -> None:
        if prompt.computed:
            self._computed.inc(prompt.computed)
        if prompt.memory:
            self._memory.inc(prompt.memory)
        if prompt.disk:
            self._disk.inc(prompt.disk)

    def _observe_gaps(self, sequence: SequenceReport, *, ended: float) -> None:
        # Observations add up, over a sequence, to its last minus its first token, and are one fewer than its tokens.
        num_tokens = len(sequence.tokens)
        if sequence.previous_token is None:
            # The first token has no gap. What came out of the same step was there at the same moment: a gap of 0.
            gap, num_gaps = 0.0, num_tokens - 1
        else:
            gap, num_gaps = (ended - sequence.previous_token) / num_tokens, num_tokens
        for _ in range(num_gaps):
            self._gap.observe(gap)

    def _observe_first_token(self, times: SequenceTimes) -> None:
        if times.scheduled is None or times.first_token is None:
            return
        self._queue.observe(times.scheduled - times.arrived)
        self._prefill.observe(times.first_token - times.scheduled)
        self._time_to_first_token.observe(times.first_token - times.arrived)
