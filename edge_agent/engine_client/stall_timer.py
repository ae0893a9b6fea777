"""Wakes at the deadline of a StallWatch: one timer on the event loop.

A deadline that moved away is found out when the timer fires; only one that came nearer arms it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from edge_agent.engine_client.stall_watch import StallWatch

logger = logging.getLogger(__name__)


class StallTimer:
    """Calls `on_stall` once, with the reason, when the watched engine hangs."""

    def __init__(
        self,
        watch: StallWatch,
        *,
        clock: Callable[[], float],
        late_seconds: float,
        on_stall: Callable[[str], None],
    ) -> None:
        self._watch = watch
        self._clock = clock
        self._late_seconds = late_seconds
        self._on_stall = on_stall
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0

    def arm(self) -> None:
        """Wake at the watch's deadline."""
        self.disarm()
        now = self._clock()
        self._due = max(self._watch.deadline, now)
        self._handle = self._loop.call_later(self._due - now, self._check)

    def refresh(self) -> None:
        """Wake earlier if the deadline came nearer; nothing when disarmed."""
        if self._handle is not None and self._watch.deadline < self._due:
            self.arm()

    def disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _check(self) -> None:
        now = self._clock()
        if now - self._due > self._late_seconds:
            logger.info(
                "the agent was held up, the engine's time limits start again late_seconds=%.1f", now - self._due
            )
            self._watch.forgive(now)
        reason = self._watch.stall_at(now)
        if reason is None:
            self.arm()
        else:
            self.disarm()
            self._on_stall(reason)
