"""Whether the board is held back: now, how often, how long. Sampler's thread.

Counts begin at 0 with the agent. A flag that came and went between two looks is counted too, once, where the board
remembers it since boot. A flag that no source of this board can tell has no series.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edge_agent.device.reading import Readings
from edge_agent.device.throttle_flag import ThrottleFlag
from edge_agent.device.throttle_sources import ThrottleSource, ThrottleWord


class ThrottleCollector:
    """Puts the sources together: a flag is active when any source says so."""

    name = "throttle"

    def __init__(self, sources: Sequence[ThrottleSource], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._sources = tuple(sources)
        self._clock = clock
        self._histories: dict[ThrottleFlag, _FlagHistory] = {}

    def collect(self, readings: Readings) -> None:
        words: list[ThrottleWord] = []
        for source in self._sources:
            with readings.sensor():
                words.append(source.read())
        now = self._clock()
        for flag in ThrottleFlag:
            told = [word.active[flag] for word in words if flag in word.active]
            if told:
                is_remembered = any(flag in word.remembered for word in words)
                history = self._histories.setdefault(flag, _FlagHistory())
                history.looked(is_active=any(told), is_remembered=is_remembered, now=now)
                history.add_to(readings, flag)
            elif flag in self._histories:
                self._histories[flag].missed()


class _FlagHistory:
    """What one flag has done since the first look."""

    def __init__(self) -> None:
        self._num_events = 0
        self._active_seconds = 0.0
        self._is_active = False
        # None until the first look: what happened before the agent's start is not counted by it.
        self._is_remembered: bool | None = None
        self._looked_at: float | None = None

    def looked(self, *, is_active: bool, is_remembered: bool, now: float) -> None:
        has_begun = is_active and not self._is_active
        has_passed_unseen = is_remembered and self._is_remembered is False and not is_active and not self._is_active
        if has_begun or has_passed_unseen:
            self._num_events += 1
        if self._is_active and self._looked_at is not None:
            self._active_seconds += now - self._looked_at
        self._is_active, self._is_remembered, self._looked_at = is_active, is_remembered, now

    def missed(self) -> None:
        """No source could tell: the time until one can is not counted, and what was active is no new event then."""
        self._looked_at = None

    def add_to(self, readings: Readings, flag: ThrottleFlag) -> None:
        readings.add("throttle_active", self._is_active, flag=flag.value)
        readings.add("throttle_events_total", self._num_events, flag=flag.value)
        readings.add("throttle_seconds_total", self._active_seconds, flag=flag.value)
