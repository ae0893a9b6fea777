"""Says once what is wrong with a sensor, and once that it is well again; not every second. Sampler's thread.

A missing sensor is no news: one DEBUG line, for whoever looks for it. Beside each WARNING stands `collector_success`.
"""

from __future__ import annotations

import logging

from edge_agent.device.reading import Readings

logger = logging.getLogger(__name__)

# 1,000: more paths than any board has; a hostile one that makes up names forever is not remembered beyond.
MAX_PATHS = 1000


class SensorLog:
    """Remembers what has been said."""

    def __init__(self) -> None:
        self._failing: dict[str, set[str]] = {}
        self._absent: set[str] = set()
        self._broken: set[str] = set()

    def told(self, collector: str, readings: Readings) -> None:
        """A round of a collector has come to its end."""
        if collector in self._broken:
            self._broken.discard(collector)
            logger.info("a collector works again collector=%s", collector)
        failing = {error.path: error for error in readings.errors[:MAX_PATHS]}
        before = self._failing.get(collector, set())
        for path in failing.keys() - before:
            logger.warning("a sensor cannot be used, its series end collector=%s problem=%s", collector, failing[path])
        for path in before - failing.keys():
            logger.info("a sensor is back collector=%s path=%s", collector, path)
        self._failing[collector] = set(failing)
        for absence in readings.absences:
            if absence.path not in self._absent and len(self._absent) < MAX_PATHS:
                self._absent.add(absence.path)
                logger.debug(
                    "no such sensor, no such series collector=%s reason=%s (device.root is where it is looked for)",
                    collector,
                    absence,
                )

    def broken(self, collector: str) -> None:
        """A collector failed in a way that nobody foresaw. Called while its exception is handled."""
        if collector not in self._broken:
            self._broken.add(collector)
            logger.exception("a collector failed, its series end; please report this collector=%s", collector)
