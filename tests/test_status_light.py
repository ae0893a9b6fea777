from __future__ import annotations

import asyncio

import pytest

from edge_agent.device.status_led import LedState
from edge_agent.device.thermal_state import ThermalState
from edge_agent.engine_client.listener import EngineState
from edge_agent.status_light import led_state, show_status


@pytest.mark.parametrize(
    ("engine", "thermal", "shown"),
    [
        (EngineState.LOADING, ThermalState.NOMINAL, LedState.LOADING),
        (EngineState.READY, ThermalState.NOMINAL, LedState.READY),
        (EngineState.READY, ThermalState.THROTTLED, LedState.HELD_BACK),
        (EngineState.READY, ThermalState.UNDERVOLTAGE, LedState.HELD_BACK),
        (EngineState.READY, ThermalState.CAPPED, LedState.HELD_BACK),
        (EngineState.RESTARTING, ThermalState.THROTTLED, LedState.TROUBLE),
        (EngineState.LOAD_FAILED, ThermalState.NOMINAL, LedState.TROUBLE),
        (EngineState.STOPPED, ThermalState.NOMINAL, LedState.TROUBLE),
    ],
)
def test_the_led_tells_engine_and_board_as_one(engine: EngineState, thermal: ThermalState, shown: LedState) -> None:
    assert led_state(engine, thermal) is shown


async def test_the_led_follows_the_engine() -> None:
    states = [EngineState.LOADING, EngineState.READY]
    shown: list[LedState] = []
    is_ready = asyncio.Event()

    class Led:
        def show(self, state: LedState) -> None:
            shown.append(state)
            if state is LedState.READY:
                is_ready.set()

    showing = asyncio.create_task(
        show_status(Led(), lambda: states.pop(0) if len(states) > 1 else states[0], lambda: ThermalState.NOMINAL)
    )
    await asyncio.wait_for(is_ready.wait(), 30)
    showing.cancel()
    assert shown[:2] == [LedState.LOADING, LedState.READY]
