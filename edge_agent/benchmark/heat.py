"""What a measurement did to the board, from the sensors before and after it. Pure."""

from __future__ import annotations

from edge_agent.benchmark.bench_report import Heat
from edge_agent.device.snapshot import DeviceSnapshot
from edge_agent.device.thermal_state import ThermalState


def heat_between(before: DeviceSnapshot, after: DeviceSnapshot) -> Heat | None:
    """The sensor that is hottest afterwards; None where no sensor was read both times."""
    first, last = before.values("temperature_celsius"), after.values("temperature_celsius")
    both = [labels for labels in last if labels in first]
    if not both:
        return None
    hottest = max(both, key=lambda labels: last[labels])
    return Heat(sensor=" ".join(hottest), before_celsius=first[hottest], after_celsius=last[hottest])


def is_held_back(before: DeviceSnapshot, after: DeviceSnapshot) -> bool:
    """Whether the board was throttled at either moment, or between them."""
    if {before.thermal_state, after.thermal_state} != {ThermalState.NOMINAL}:
        return True
    return _num_events(after) > _num_events(before)


def _num_events(snapshot: DeviceSnapshot) -> float:
    return sum(snapshot.values("throttle_events_total").values())
