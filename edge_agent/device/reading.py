"""What collectors produce: readings, each a value for one series of one metric. Plain data. Sampler's thread.

Which metrics there are, telemetry's table says; a reading names its row without the prefix.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from edge_agent.device.sensor_files import SensorAbsentError, SensorError

# 1,000: twice what all collectors of a board with 64 CPUs find; each costs a series in every store that it is sent to.
MAX_READINGS = 1000


class Reading(Struct, frozen=True):
    """One value. `labels` are name and value pairs in the metric's own order."""

    metric: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


class Readings:
    """What one collector found in one round.

    Each sensor is read inside `with readings.sensor()`, so that one which cannot be read, or tells nonsense,
    costs its own series and nothing else.
    """

    def __init__(self) -> None:
        self.found: list[Reading] = []
        self.errors: list[SensorError] = []
        self.absences: list[SensorAbsentError] = []

    def add(self, metric: str, value: float, **labels: str) -> None:
        """Raises SensorError for what is no number, and when one collector finds more than any board has."""
        if len(self.found) >= MAX_READINGS:
            raise SensorError(metric, f"more than {MAX_READINGS} readings of one collector, which no board has")
        try:
            number = float(value)
        except OverflowError as error:
            raise SensorError(metric, "a number beyond all measure") from error
        if not math.isfinite(number):
            raise SensorError(metric, f"{number} is no number")
        self.found.append(Reading(metric, number, tuple(labels.items())))

    @contextlib.contextmanager
    def sensor(self) -> Iterator[None]:
        """A fence around the reading of one sensor: readings added before an error inside it stay."""
        try:
            yield
        except SensorAbsentError as error:
            self.absences.append(error)
        except SensorError as error:
            self.errors.append(error)


class Collector(Protocol):
    """One kind of sensor. Called on the sampler's thread only, once a round; state between rounds is its own."""

    @property
    def name(self) -> str:
        """The value of the label `collector`."""
        ...

    def collect(self, readings: Readings) -> None:
        """Add what the sensors say now. Raises SensorError when none of it can be had."""
        ...
