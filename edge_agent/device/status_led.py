"""A LED at a pin of a Raspberry Pi that shows how the service is. Any thread may say what to show.

One thread of its own owns the pin, and opens it too: gpiozero loads for a second on a small board, and its own blinking
would let whoever changes the state wait for its thread. Without gpiozero or pins the service goes on without the LED.
"""

from __future__ import annotations

import contextlib
import enum
import importlib
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct

# 2 s: the thread waits for nothing but the pin's driver, which answers in microseconds or hangs.
CLOSE_SECONDS = 2.0

logger = logging.getLogger(__name__)


class LedState(enum.Enum):
    """What the LED tells."""

    OFF = "off"
    LOADING = "loading"
    READY = "ready"
    HELD_BACK = "held_back"
    TROUBLE = "trouble"


class Turn(Struct, frozen=True):
    """Lit or dark for some time; None: until another state is shown."""

    is_lit: bool
    seconds: float | None = None


# To be told apart from across a room: even and slow, steady, steady with a wink, even and hasty.
TURNS = {
    LedState.OFF: (Turn(is_lit=False),),
    LedState.LOADING: (Turn(is_lit=True, seconds=0.5), Turn(is_lit=False, seconds=0.5)),
    LedState.READY: (Turn(is_lit=True),),
    LedState.HELD_BACK: (Turn(is_lit=True, seconds=0.9), Turn(is_lit=False, seconds=0.1)),
    LedState.TROUBLE: (Turn(is_lit=True, seconds=0.1), Turn(is_lit=False, seconds=0.1)),
}


class StatusLed:
    """The LED at GPIO `pin` (Broadcom's number), lit when the pin is high; dark until something is shown.

    `pin_factory` makes gpiozero's pin factory, on the LED's thread, which closes it; the default is lgpio's, the only
    one for all Pis.
    """

    def __init__(self, pin: int, *, pin_factory: Callable[[], Any] | None = None) -> None:
        self._pin = pin
        self._pin_factory = pin_factory or _lgpio_factory
        self._lock = threading.Lock()
        self._told = LedState.OFF
        self._states: queue.SimpleQueue[LedState | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="status-led", daemon=True)
        self._thread.start()

    def show(self, state: LedState) -> None:
        """From now on; the same state again changes nothing."""
        # Only changes, and none when there is no LED: nobody empties the queue then, nor while the pin's driver hangs.
        with self._lock:
            if state is not self._told and self._thread.is_alive():
                self._told = state
                self._states.put(state)

    def close(self) -> None:
        """Turn the LED off and give the pin back. May be called again."""
        self._states.put(None)
        self._thread.join(CLOSE_SECONDS)

    # --- the LED's thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            gpiozero = importlib.import_module("gpiozero")
            with contextlib.ExitStack() as open_things:
                factory = open_things.enter_context(contextlib.closing(self._pin_factory()))
                led = open_things.enter_context(contextlib.closing(gpiozero.LED(self._pin, pin_factory=factory)))
                self._show_until_closed(led)
        except ImportError as error:
            remedy = "pip install 'edge-agent[gpio]', or leave gpio.status_led_pin out"
            logger.warning("no status LED; %s pin=%d reason=%s", remedy, self._pin, error)
        except Exception:
            # The errors of lgpio and gpiozero have no base in common.
            remedy = "see that this is a Raspberry Pi, the pin is free, the user is in the group gpio"
            logger.warning("no status LED; %s pin=%d", remedy, self._pin, exc_info=True)

    def _show_until_closed(self, led: Any) -> None:
        shown: LedState | None = LedState.OFF
        while shown is not None:
            shown = self._blink(led, shown)
        # A pin that is given back floats; what it drove may keep its last level.
        led.value = False

    def _blink(self, led: Any, shown: LedState) -> LedState | None:
        """The state to show next, None to close."""
        for turn in itertools.cycle(TURNS[shown]):
            led.value = turn.is_lit
            following = self._wait(shown, turn.seconds)
            if following is not shown:
                return following
        return None

    def _wait(self, shown: LedState, seconds: float | None) -> LedState | None:
        """Until another state is to be shown, which is returned, or the time is over."""
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            try:
                state = self._states.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
            except queue.Empty:
                return shown
            if state is not shown:
                return state


def _lgpio_factory() -> Any:
    # Left to itself, gpiozero tries four libraries and warns of each that it does not find.
    return importlib.import_module("gpiozero.pins.lgpio").LGPIOFactory()
