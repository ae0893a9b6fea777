"""Measures how late the event loop wakes: while something blocks it, every client waits.

Agent process, a coroutine on the loop that it measures. What blocks the loop, it does not know.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn

from prometheus_client import Histogram


async def measure_event_loop_lag(
    histogram: Histogram,
    *,
    interval_seconds: float = 1.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> NoReturn:
    """Sleep again and again and observe by how much each sleep was too long. Ends by cancellation."""
    while True:
        due = clock() + interval_seconds
        await sleep(interval_seconds)
        # asyncio may wake within its clock's resolution before the time, which is no negative lag.
        histogram.observe(max(0.0, clock() - due))
