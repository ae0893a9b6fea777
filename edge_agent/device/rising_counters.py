"""Keeps counters from going backwards, which Prometheus would take for a restart. State of one collector's thread.

Two kinds: some of the kernel's counts step back a little and come on again (idle time), others begin anew (a USB
adapter that was pulled, a 32-bit count that is full).
"""

from __future__ import annotations


class HeldCounters:
    """For counts that only waver: a lower one is answered with the highest so far."""

    def __init__(self) -> None:
        self._highest: dict[str, float] = {}

    def value(self, key: str, count: float) -> float:
        highest = self._highest[key] = max(count, self._highest.get(key, 0))
        return highest


class ContinuedCounters:
    """For counts that begin anew: what was counted before is added to what is counted now."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._totals: dict[str, float] = {}

    def value(self, key: str, count: float) -> float:
        before = self._last.get(key, 0)
        total = self._totals[key] = self._totals.get(key, 0) + (count - before if count >= before else count)
        self._last[key] = count
        return total

    def keep_only(self, keys: set[str]) -> None:
        """Forget what is gone: names of devices that come and go must not fill the memory."""
        for key in self._last.keys() - keys:
            del self._last[key], self._totals[key]
