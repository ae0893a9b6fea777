"""The board's thermal state, which the agent stamps on every step that it counts.

The engine knows nothing of heat. Where the state comes from is the caller's matter: a callable that answers at once.
Read on the event loop.
"""

from __future__ import annotations

import enum
from collections.abc import Callable


class ThermalState(enum.Enum):
    """Whether the firmware holds the board back, and why."""

    NOMINAL = "nominal"
    CAPPED = "capped"
    THROTTLED = "throttled"
    UNDERVOLTAGE = "undervoltage"


ThermalStateSource = Callable[[], ThermalState]


def nominal_state() -> ThermalState:
    """The source of a machine without sensors: nothing is known to hold it back."""
    return ThermalState.NOMINAL
