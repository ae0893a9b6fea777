"""What may hold a board back, in the terms of the Raspberry Pi's firmware, which other boards' sensors are put into."""

from __future__ import annotations

import enum


class ThrottleFlag(enum.Enum):
    """Values of the label `flag`."""

    UNDER_VOLTAGE = "under_voltage"
    FREQUENCY_CAPPED = "frequency_capped"
    THROTTLED = "throttled"
    SOFT_TEMPERATURE_LIMIT = "soft_temperature_limit"
