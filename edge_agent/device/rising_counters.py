"""Keeps counters from going backwards, which Prometheus would take for a restart. State of one collector's thread.

Two kinds: some of the kernel's counts step back a little and come on again (idle time), others begin anew (a USB
adapter that was pulled, a 32-bit count that is full).
"""

from __future__ import annotations


class HeldCounters:
    """For counts that waver: one a little lower is answered with the highest so far.

    One lower by more than `most_wavering` goes on from there: held, it would stand still for as long as it lost.
    """

    def __init__(self, *, most_wavering: float) -> None:
        self._most_wavering = most_wavering
        self._highest: dict[str, float] = {}
        self._lost: dict[str, float] = {}

    def value(self, key: str, count: float) -> float:
        lost, highest = self._lost.get(key, 0), self._highest.get(key, 0)
        if count + lost < highest - self._most_wavering:
            lost = self._lost[key] = highest - count
        highest = self._highest[key] = max(count + lost, highest)
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
