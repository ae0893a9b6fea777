"""What the status LED shows: the engine's state and the board's, as one. Event loop of the agent process.

How an LED is made to blink, `device.status_led` knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from edge_agent.device.status_led import LedState
from edge_agent.device.thermal_state import ThermalState, ThermalStateSource
from edge_agent.engine_client.listener import EngineState

# Nobody looks more often than twice a second.
LOOK_SECONDS = 0.5


class Led(Protocol):
    """What of `StatusLed` is used."""

    def show(self, state: LedState) -> None: ...


def led_state(engine: EngineState, thermal: ThermalState) -> LedState:
    """Trouble before heat: a board that does not answer matters more than one that answers slowly."""
    match engine:
        case EngineState.LOADING:
            return LedState.LOADING
        case EngineState.RESTARTING | EngineState.LOAD_FAILED | EngineState.STOPPED:
            return LedState.TROUBLE
        case EngineState.READY:
            return LedState.READY if thermal is ThermalState.NOMINAL else LedState.HELD_BACK


async def show_status(led: Led, engine_state: Callable[[], EngineState], thermal_state: ThermalStateSource) -> None:
    """Show until cancelled."""
    while True:
        led.show(led_state(engine_state(), thermal_state()))
        await asyncio.sleep(LOOK_SECONDS)
