"""The last minute, told by a clock that the test sets."""

from __future__ import annotations

from edge_agent.protocol import Finished, FinishReason, PromptTokens, SequenceReport
from edge_agent.telemetry.last_minute import LastMinute, LastMinuteFigures
from tests.telemetry.scripted_engine import FakeClock, step, times

FINISHED = Finished(
    id=1, reason=FinishReason.STOP, times=times(arrived=0.0), prompt=PromptTokens(), num_generated_tokens=3
)


def last_minute_at(now: float) -> tuple[FakeClock, LastMinute]:
    clock = FakeClock(now)
    return clock, LastMinute(clock)


def first_token(*, arrived: float, at: float) -> SequenceReport:
    return SequenceReport(id=1, tokens=[5], first_token=times(arrived=arrived, scheduled=arrived, first_token=at))


def test_nothing_is_told_before_anything_happened() -> None:
    clock, minute = last_minute_at(1000.0)
    clock.now = 1030.0
    assert minute.figures() == LastMinuteFigures(
        seconds=30.0,
        generated_tokens=0,
        generated_tokens_per_second=0.0,
        decode_tokens_per_second=None,
        requests_finished=0,
        time_to_first_token_p50_seconds=None,
        time_to_first_token_max_seconds=None,
        inter_token_latency_max_seconds=None,
    )


def test_the_first_moment_divides_by_nothing() -> None:
    _, minute = last_minute_at(1000.0)
    minute.report(step(first_token(arrived=999.0, at=1000.0), started=999.0, ended=1000.0, num_prefill_rows=4))
    figures = minute.figures()
    assert (figures.seconds, figures.generated_tokens, figures.generated_tokens_per_second) == (0.0, 1, 0.0)


def test_decode_speed_is_of_steps_that_only_decode() -> None:
    clock, minute = last_minute_at(1000.0)
    clock.now = 1010.0
    # 3 tokens in 0.5 s of decoding; then 1 token in a step of 4 s that also prefills.
    decode = step(
        SequenceReport(id=1, tokens=[5], previous_token=1009.0),
        SequenceReport(id=2, tokens=[6, 7], previous_token=1009.0),
        started=1009.5,
        ended=1010.0,
        num_decode_rows=3,
    )
    mixed = step(
        SequenceReport(id=1, tokens=[8], previous_token=1010.0),
        started=1010.0,
        ended=1014.0,
        num_prefill_rows=32,
        num_decode_rows=1,
    )
    minute.report(decode)
    clock.now = 1016.0
    minute.report(mixed)
    figures = minute.figures()
    assert figures.decode_tokens_per_second == 6.0
    # 4 tokens in the 16 s since the start.
    assert (figures.generated_tokens, figures.generated_tokens_per_second) == (4, 0.25)
    assert figures.inter_token_latency_max_seconds == 4.0


def test_tokens_of_one_step_share_its_gap() -> None:
    _, minute = last_minute_at(1000.0)
    draft = SequenceReport(id=1, tokens=[5, 6, 7, 8], previous_token=998.0)
    minute.report(step(draft, started=999.0, ended=1000.0, num_decode_rows=4))
    assert minute.figures().inter_token_latency_max_seconds == 0.5


def test_half_of_the_first_tokens_came_within_the_p50() -> None:
    _, minute = last_minute_at(1000.0)
    for arrived in (999.0, 996.0, 992.0, 998.0):
        minute.report(step(first_token(arrived=arrived, at=1000.0), started=999.0, ended=1000.0, num_prefill_rows=4))
    figures = minute.figures()
    # 1, 2, 4 and 8 s.
    assert figures.time_to_first_token_p50_seconds == 2.0
    assert figures.time_to_first_token_max_seconds == 8.0


def test_ends_count_whether_the_engine_told_them_or_took_them_along() -> None:
    _, minute = last_minute_at(1000.0)
    minute.finished(FINISHED)
    minute.lost(2)
    assert minute.figures().requests_finished == 3


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    clock, minute = last_minute_at(1000.0)
    minute.report(step(SequenceReport(id=1, tokens=[1, 2]), started=999.0, ended=1000.0, num_decode_rows=1))
    minute.finished(FINISHED)
    clock.now = 1059.5
    assert minute.figures().generated_tokens == 2
    clock.now = 1060.0
    figures = minute.figures()
    assert (figures.generated_tokens, figures.requests_finished, figures.decode_tokens_per_second) == (0, 0, None)


def test_a_bucket_that_comes_round_again_starts_empty() -> None:
    clock, minute = last_minute_at(1000.0)
    for now in (1000.0, 1060.0, 1180.0):
        clock.now = now
        minute.report(step(SequenceReport(id=1, tokens=[1, 2, 3]), started=now - 1, ended=now, num_decode_rows=1))
    assert minute.figures().generated_tokens == 3


def test_the_window_is_a_minute_once_the_service_is_older() -> None:
    clock, minute = last_minute_at(1000.0)
    clock.now = 5000.75
    # 59 whole seconds and the part of the present one.
    assert minute.figures().seconds == 59.75


def test_a_flood_of_first_tokens_is_kept_within_bounds() -> None:
    _, minute = last_minute_at(1000.0)
    flood = step(
        *[first_token(arrived=999.0, at=1000.0)] * 64,
        first_token(arrived=0.0, at=1000.0),
        started=999.0,
        ended=1000.0,
        num_prefill_rows=65,
    )
    minute.report(flood)
    figures = minute.figures()
    assert (figures.generated_tokens, figures.time_to_first_token_max_seconds) == (65, 1.0)
