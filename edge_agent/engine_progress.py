"""Decides from outside whether the engine's supervision still moves, so that a watchdog may be fed.

A hung engine is not its business: `engine_client` kills and restarts that one, and each of those acts shows here as a
sign. Only when signs stay away for longer than all of the supervision's own limits together does the machinery itself
stand still. Pure: it is told signs and times of one monotonic clock.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from edge_agent.engine_client.listener import EngineState
from edge_agent.engine_client.watch_limits import WatchLimits

# 60: for the kill, the reading of the last words, and a machine that pages.
GRACE_SECONDS = 60.0


class EngineSigns(NamedTuple):
    """What changes while the supervision works."""

    state: EngineState
    load_progress: float
    last_heard: float


class EngineProgress:
    """When the signs last changed, and how long they may stay as they are."""

    def __init__(self, limits: WatchLimits, *, now: float) -> None:
        self._limits = limits
        self._signs: EngineSigns | None = None
        self._changed = now
        self._observed = now

    def observe(self, signs: EngineSigns, *, now: float) -> None:
        """Note the signs. After a pause of the observer's own (Ctrl-Z, a frozen cgroup) the wait starts again."""
        was_away = now - self._observed > self._limits.late_seconds
        if was_away or signs != self._signs:
            self._changed = now
        self._signs = signs
        self._observed = now

    @property
    def silent_seconds(self) -> float:
        return self._observed - self._changed

    @property
    def stands_still(self) -> bool:
        return self._signs is not None and self.silent_seconds > self._longest_silence_seconds(self._signs.state)

    def _longest_silence_seconds(self, state: EngineState) -> float:
        limits = self._limits
        match state:
            case EngineState.LOADING | EngineState.RESTARTING:
                # Processes that die before they say anything leave no sign; so many are tried, each with its pause.
                attempt_seconds = limits.load_stall_seconds + limits.longest_backoff_seconds
                return limits.max_load_attempts * attempt_seconds + GRACE_SECONDS
            case EngineState.READY:
                # The first step may take as long as a load; an idle engine gives a sign each second.
                return max(limits.load_stall_seconds, limits.report_stall_seconds) + GRACE_SECONDS
            case EngineState.LOAD_FAILED | EngineState.STOPPED:
                # Final: nothing is left to move.
                return math.inf
