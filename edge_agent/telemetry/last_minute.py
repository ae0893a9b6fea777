"""What the engine did in the last minute: tokens, speed, first tokens, gaps. Agent process, event loop.

A ring of one-second buckets, so that a report costs a few additions however long the minute was. For people who look at
one device; Prometheus gets counters and histograms, and computes such figures itself.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from edge_agent.protocol import Finished, Phase, Report

NUM_SECONDS = 60
# 64 a second: more first tokens than any board here samples. Bounds the memory; what comes beyond is not looked at.
MAX_FIRST_TOKENS = 64


class LastMinuteFigures(Struct, frozen=True):
    """The window ends now. None: there was nothing to measure."""

    # How long the window is: about 60, less when the agent was started within it.
    seconds: float
    generated_tokens: int
    # The whole window divides them, idle seconds too.
    generated_tokens_per_second: float
    # Of steps that only decode: their tokens by their time, which is the board's speed.
    decode_tokens_per_second: float | None
    requests_finished: int
    # Half of the first tokens took no longer.
    time_to_first_token_p50_seconds: float | None
    time_to_first_token_max_seconds: float | None
    inter_token_latency_max_seconds: float | None


class _Second:
    """Counts of one second of the clock."""

    __slots__ = (
        "decode_seconds",
        "first_token_seconds",
        "longest_gap_seconds",
        "num_decode_tokens",
        "num_finished",
        "num_tokens",
        "number",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.num_tokens = 0
        self.num_decode_tokens = 0
        self.decode_seconds = 0.0
        self.num_finished = 0
        self.longest_gap_seconds: float | None = None
        self.first_token_seconds: list[float] = []


class LastMinute:
    """Fed with every report and every end of a sequence; `figures()` may be asked at any time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started = clock()
        self._ring: list[_Second | None] = [None] * NUM_SECONDS

    def report(self, report: Report) -> None:
        second = self._second()
        num_tokens = 0
        for sequence in report.sequences:
            if not sequence.tokens:
                continue
            num_tokens += len(sequence.tokens)
            if sequence.previous_token is not None:
                # Tokens of one step share its gap, as in inter_token_latency_seconds.
                gap = (report.ended - sequence.previous_token) / len(sequence.tokens)
                second.longest_gap_seconds = max(gap, second.longest_gap_seconds or 0.0)
            times = sequence.first_token
            if times is not None and times.first_token is not None:
                _note_first_token(second, times.first_token - times.arrived)
        second.num_tokens += num_tokens
        if report.phase is Phase.DECODE:
            second.num_decode_tokens += num_tokens
            second.decode_seconds += report.seconds

    def finished(self, _finished: Finished) -> None:
        self._second().num_finished += 1

    def lost(self, count: int) -> None:
        """Sequences that ended with their engine."""
        self._second().num_finished += count

    def figures(self) -> LastMinuteFigures:
        now = self._clock()
        oldest = int(now) - NUM_SECONDS + 1
        seconds = [second for second in self._ring if second is not None and second.number >= oldest]
        window_seconds = now - max(self._started, oldest)
        num_tokens = sum(second.num_tokens for second in seconds)
        first_tokens = sorted(each for second in seconds for each in second.first_token_seconds)
        return LastMinuteFigures(
            seconds=round(window_seconds, 3),
            generated_tokens=num_tokens,
            generated_tokens_per_second=_ratio(num_tokens, window_seconds) or 0.0,
            decode_tokens_per_second=_ratio(
                sum(second.num_decode_tokens for second in seconds), sum(second.decode_seconds for second in seconds)
            ),
            requests_finished=sum(second.num_finished for second in seconds),
            time_to_first_token_p50_seconds=first_tokens[(len(first_tokens) - 1) // 2] if first_tokens else None,
            time_to_first_token_max_seconds=first_tokens[-1] if first_tokens else None,
            inter_token_latency_max_seconds=max(
                (second.longest_gap_seconds for second in seconds if second.longest_gap_seconds is not None),
                default=None,
            ),
        )

    def _second(self) -> _Second:
        """The bucket of now, emptied when it was last used a minute ago or more."""
        number = int(self._clock())
        index = number % NUM_SECONDS
        second = self._ring[index]
        if second is None or second.number != number:
            second = self._ring[index] = _Second(number)
        return second


def _note_first_token(second: _Second, seconds: float) -> None:
    if len(second.first_token_seconds) < MAX_FIRST_TOKENS:
        second.first_token_seconds.append(seconds)


def _ratio(numerator: float, denominator: float) -> float | None:
    return round(numerator / denominator, 3) if denominator > 0 else None
