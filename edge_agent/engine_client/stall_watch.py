"""Decides from moments alone whether the engine hangs: its step loop by silence, its intake by answers it owes.

Pure: it is told times and has no clock, timer or process.
"""

from __future__ import annotations

from edge_agent.engine_client.watch_limits import WatchLimits


class StallWatch:
    """The moments of one engine process. Times are seconds of one monotonic clock."""

    def __init__(self, limits: WatchLimits, *, max_step_seconds: float, now: float) -> None:
        self._step_silence_seconds = limits.silence_seconds(max_step_seconds)
        self._intake_seconds = limits.intake_stall_seconds
        # The first step still reads the model file from disk, so it is given as long as loading.
        self._silence_seconds = limits.load_stall_seconds
        self._heard = now
        self._owing_since: float | None = None

    def heard(self, now: float) -> None:
        self._heard = now

    def step_done(self, now: float) -> None:
        self._heard = now
        self._silence_seconds = self._step_silence_seconds

    def asked(self, now: float) -> None:
        if self._owing_since is None:
            self._owing_since = now

    def answered(self, now: float, *, num_owed: int) -> None:
        """An answer came; `num_owed` others are still to come."""
        self._owing_since = now if num_owed else None

    def forgive(self, now: float) -> None:
        """Start all waits again: the agent could not listen."""
        self._heard = now
        if self._owing_since is not None:
            self._owing_since = now

    @property
    def deadline(self) -> float:
        """The moment at which the engine hangs unless it says something before."""
        silence = self._heard + self._silence_seconds
        if self._owing_since is None:
            return silence
        return min(silence, self._owing_since + self._intake_seconds)

    def stall_at(self, now: float) -> str | None:
        """What hangs at `now`, in words for the log; None while nothing does."""
        if now >= self._heard + self._silence_seconds:
            return f"no report for {now - self._heard:.1f} s"
        if self._owing_since is not None and now >= self._owing_since + self._intake_seconds:
            return f"the intake answered nothing for {now - self._owing_since:.1f} s"
        return None
