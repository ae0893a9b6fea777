from __future__ import annotations

import asyncio

import pytest

from edge_agent.telemetry.event_loop_lag import measure_event_loop_lag
from tests.telemetry.scripted_engine import FakeClock, scrape, telemetry_of


class LateSleep:
    """Sleeps that take as much longer than asked for as the test says, then a cancellation."""

    def __init__(self, clock: FakeClock, delays: list[float]) -> None:
        self._clock = clock
        self._delays = iter(delays)
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        delay = next(self._delays, None)
        if delay is None:
            raise asyncio.CancelledError
        self.asked.append(seconds)
        self._clock.now += seconds + delay


async def test_lag_is_what_a_sleep_took_too_long() -> None:
    telemetry, clock = telemetry_of(), FakeClock(50.0)
    sleep = LateSleep(clock, [0.0, 0.25, 2.0])
    with pytest.raises(asyncio.CancelledError):
        await measure_event_loop_lag(telemetry.service.event_loop_lag, interval_seconds=0.5, clock=clock, sleep=sleep)
    shown = scrape(telemetry)
    assert sleep.asked == [0.5, 0.5, 0.5]
    # 0 + 0.25 + 2.
    assert (shown["event_loop_lag_seconds_count"], shown["event_loop_lag_seconds_sum"]) == (3, 2.25)
    assert shown['event_loop_lag_seconds_bucket{le="0.001"}'] == 1
    assert shown['event_loop_lag_seconds_bucket{le="0.25"}'] == 2


async def test_waking_early_is_no_lag() -> None:
    telemetry, clock = telemetry_of(), FakeClock(50.0)
    with pytest.raises(asyncio.CancelledError):
        await measure_event_loop_lag(telemetry.service.event_loop_lag, clock=clock, sleep=LateSleep(clock, [-0.125]))
    shown = scrape(telemetry)
    assert (shown["event_loop_lag_seconds_count"], shown["event_loop_lag_seconds_sum"]) == (1, 0.0)


async def test_the_real_loop_is_measured_until_it_is_cancelled() -> None:
    telemetry = telemetry_of()
    measuring = asyncio.create_task(measure_event_loop_lag(telemetry.service.event_loop_lag, interval_seconds=0.0))
    # The first turn starts it, the next two wake it.
    for _ in range(3):
        await asyncio.sleep(0)
    measuring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await measuring
    assert scrape(telemetry)["event_loop_lag_seconds_count"] == 2
