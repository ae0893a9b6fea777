"""How long the agent waits for the engine before it acts. Tests give smaller numbers; production takes the defaults."""

from __future__ import annotations

import msgspec


class WatchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Times of the supervision, in seconds of the monotonic clock."""

    # Ten minutes: a mapped model file comes off an SD card at 10 MB/s while it loads and during the first step.
    load_stall_seconds: float = 600.0
    # Without a report for this long, or for this many of the longest planned steps, the step loop hangs: SIGKILL.
    report_stall_seconds: float = 60.0
    report_stall_steps: float = 10.0
    # An intake that owes answers and gives none for this long hangs. What it is given is limited to take less.
    intake_stall_seconds: float = 20.0
    # A timer this late means that the agent was stopped itself (Ctrl-Z, freezer): then silence proves nothing.
    late_seconds: float = 5.0
    # Pause before a new process: doubled after each end, short again once an engine was ready for a minute.
    first_backoff_seconds: float = 0.5
    longest_backoff_seconds: float = 30.0
    backoff_reset_seconds: float = 60.0
    # Consecutive loads that may die before the model counts as one that cannot be loaded here.
    max_load_attempts: int = 3
    # After Stop the engine may take this long; then SIGKILL.
    stop_seconds: float = 3.0
    # An engine that is over may take this long to end, and what it said last this long to be read.
    drain_seconds: float = 2.0

    def silence_seconds(self, max_step_seconds: float) -> float:
        """How long a running engine may say nothing when its steps are planned to take `max_step_seconds` at most."""
        return max(self.report_stall_seconds, self.report_stall_steps * max_step_seconds)


DEFAULT_LIMITS = WatchLimits()
