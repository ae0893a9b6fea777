"""How long a sender pauses after a failure. Pure, but for the random number that it is given."""

from __future__ import annotations

from msgspec import Struct


class BackOff(Struct, frozen=True, kw_only=True):
    """Twice as long after each failure in a row, up to a bound. 30 s: after an outage samples flow within that time."""

    first_seconds: float = 1.0
    max_seconds: float = 30.0

    def pause_seconds(self, *, num_failures: int, retry_after_seconds: float, jitter: float) -> float:
        """Never less than the receiver wants; `jitter`, from 0 to 1, keeps a fleet from coming back at one moment."""
        # 30 doublings of any first pause are beyond any bound; without a limit the power would overflow one day.
        pause = min(self.max_seconds, self.first_seconds * 2.0 ** min(num_failures - 1, 30))
        return retry_after_seconds + pause * (0.5 + 0.5 * jitter)
