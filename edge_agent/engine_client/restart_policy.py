"""Decides whether an engine that ended is started again, and after which pause. Pure: ends in, seconds out."""

from __future__ import annotations

from edge_agent.engine_client.engine_end import EngineEnd
from edge_agent.engine_client.watch_limits import WatchLimits


class RestartPolicy:
    """One for the life of the client.

    An engine that was ready is always started again. A model that cannot be loaded is not tried for ever: a reported
    failure is final at once, and so is a death while loading that the file itself explains best.
    """

    def __init__(self, limits: WatchLimits) -> None:
        self._limits = limits
        self._backoff_seconds = limits.first_backoff_seconds
        self._num_failed_loads = 0
        self._has_loaded = False

    def pause_after(self, end: EngineEnd) -> float | None:
        """Seconds until the next process; None: no other one."""
        if end.load_error is not None:
            return None
        if end.ready_seconds is None:
            self._num_failed_loads += 1
            if not self._may_load_again(end):
                return None
        else:
            self._note_ready(end.ready_seconds)
        pause = self._backoff_seconds
        self._backoff_seconds = min(2 * pause, self._limits.longest_backoff_seconds)
        return pause

    def _note_ready(self, ready_seconds: float) -> None:
        self._has_loaded = True
        self._num_failed_loads = 0
        if ready_seconds >= self._limits.backoff_reset_seconds:
            self._backoff_seconds = self._limits.first_backoff_seconds

    def _may_load_again(self, end: EngineEnd) -> bool:
        may_pass = end.may_pass or self._has_loaded
        return may_pass and self._num_failed_loads < self._limits.max_load_attempts
