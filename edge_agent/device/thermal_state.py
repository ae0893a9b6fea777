"""The board's thermal state, which the agent stamps on every step that it counts: whether it is held back, and why.

Derived from the throttle flags of the same round, so that the counters by state and the flags never disagree. The
engine knows nothing of heat. Sampler's thread; read on the event loop.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable

from edge_agent.device.reading import Reading
from edge_agent.device.throttle_flag import ThrottleFlag


class ThermalState(enum.Enum):
    """Whether the firmware holds the board back, and why."""

    NOMINAL = "nominal"
    CAPPED = "capped"
    THROTTLED = "throttled"
    UNDERVOLTAGE = "undervoltage"


# The first that is set decides. Under-voltage stands first: the firmware answers it with a lower clock, so the other
# flags are then its consequence, and the remedy is a power supply, not a fan.
PRECEDENCE = (
    (ThrottleFlag.UNDER_VOLTAGE, ThermalState.UNDERVOLTAGE),
    (ThrottleFlag.THROTTLED, ThermalState.THROTTLED),
    (ThrottleFlag.FREQUENCY_CAPPED, ThermalState.CAPPED),
    (ThrottleFlag.SOFT_TEMPERATURE_LIMIT, ThermalState.CAPPED),
)

# A GPU that slows down for its temperature or its supply. A power cap is not among them: many run at it by design.
GPU_THROTTLE_REASONS = frozenset({"hw_slowdown", "sw_thermal", "hw_thermal", "power_brake"})

ThermalStateSource = Callable[[], ThermalState]


def thermal_state_of(readings: Iterable[Reading]) -> ThermalState:
    """The state that the throttle flags of board and GPUs amount to; nominal where there are none."""
    active = {(r.metric, value) for r in readings if r.value for _, value in r.labels}
    if any(("gpu_throttle_active", reason) in active for reason in GPU_THROTTLE_REASONS):
        active.add(("throttle_active", ThrottleFlag.THROTTLED.value))
    return next(
        (state for flag, state in PRECEDENCE if ("throttle_active", flag.value) in active), ThermalState.NOMINAL
    )
