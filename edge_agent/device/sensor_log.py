"""Says once what is wrong with a sensor, and once that it is well again; not every second. Sampler's thread.

A loose contact is no news each time it opens: well again is what has been well for a while.

A missing sensor is no news: one DEBUG line, for whoever looks for it. Beside each WARNING stands `collector_success`.
"""

from __future__ import annotations

import logging

from edge_agent.device.reading import Readings

logger = logging.getLogger(__name__)

# 1,000: more paths than any board has; a hostile one that makes up names forever is not remembered beyond.
MAX_PATHS = 1000
# 60: a minute. A sensor that fails every other second says one line, not one each second.
WELL_ROUNDS = 60


class SensorLog:
    """Remembers what has been said."""

    def __init__(self) -> None:
        # The rounds that each has been well since it was said that it is not, of sensors by collector, of collectors.
        self._failing: dict[str, dict[str, int]] = {}
        self._broken: dict[str, int] = {}
        self._absent: set[str] = set()

    def told(self, collector: str, readings: Readings) -> None:
        """A round of a collector has come to its end."""
        if collector in self._broken and _is_well_again(self._broken, collector):
            logger.info("a collector works again collector=%s", collector)
        failing = self._failing.setdefault(collector, {})
        for error in readings.errors:
            if error.path not in failing and len(failing) < MAX_PATHS:
                logger.warning("a sensor cannot be used, its series end collector=%s problem=%s", collector, error)
                failing[error.path] = 0
        now = {error.path for error in readings.errors}
        failing.update(dict.fromkeys(failing.keys() & now, 0))
        for path in failing.keys() - now:
            if _is_well_again(failing, path):
                logger.info("a sensor is back collector=%s path=%s", collector, path)
        self._tell_absences(collector, readings)

    def _tell_absences(self, collector: str, readings: Readings) -> None:
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
            logger.exception("a collector failed, its series end; please report this collector=%s", collector)
        self._broken[collector] = 0


def _is_well_again(rounds_well: dict[str, int], name: str) -> bool:
    """Count one more round that it was well; True, and it is forgotten, when it has been for long enough."""
    rounds_well[name] += 1
    if rounds_well[name] < WELL_ROUNDS:
        return False
    del rounds_well[name]
    return True
