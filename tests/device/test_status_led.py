from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator

import pytest
from gpiozero.pins.mock import MockFactory, MockPin  # type: ignore[import-untyped]

from edge_agent.device.status_led import LedState, StatusLed
from tests.device.board_tree import wait_until

PIN = 17


@pytest.fixture
def factory() -> Iterator[MockFactory]:
    factory = MockFactory()
    yield factory
    factory.close()


@pytest.fixture
def pin(factory: MockFactory) -> MockPin:
    return factory.pin(PIN)


@pytest.fixture
def led(factory: MockFactory, pin: MockPin) -> Iterator[StatusLed]:
    led = StatusLed(PIN, pin_factory=lambda: factory)
    wait_until(lambda: pin.function == "output")
    yield led
    led.close()


def wait_for_changes(pin: MockPin, number: int) -> tuple[list[bool], list[float]]:
    """The levels that the pin took one after the other, and for how long it kept each but the last."""
    wait_until(lambda: len(pin.states) > number)
    states = pin.states[: number + 1]
    return [bool(state.state) for state in states], [state.timestamp for state in states[1:]]


def test_it_is_dark_until_something_is_shown(led: StatusLed, pin: MockPin) -> None:
    assert pin.function == "output"
    assert pin.state is False


def test_ready_is_lit_and_stays_so(led: StatusLed, pin: MockPin) -> None:
    led.show(LedState.TROUBLE)
    wait_for_changes(pin, 4)
    led.show(LedState.READY)
    # The blink of trouble has no turn longer than 0.1 s: a level kept for 0.3 s is that of ready.
    never = threading.Event()
    wait_until(lambda: _is_kept(pin, never))
    assert pin.state is True


def _is_kept(pin: MockPin, never: threading.Event) -> bool:
    num_changes = len(pin.states)
    never.wait(0.3)
    return len(pin.states) == num_changes


def test_loading_blinks_slowly_and_evenly(led: StatusLed, pin: MockPin) -> None:
    pin.clear_states()
    led.show(LedState.LOADING)
    levels, kept_seconds = wait_for_changes(pin, 4)
    assert levels == [False, True, False, True, False]
    assert min(kept_seconds[1:]) >= 0.49


def test_trouble_blinks_hastily(led: StatusLed, pin: MockPin) -> None:
    pin.clear_states()
    led.show(LedState.TROUBLE)
    levels, kept_seconds = wait_for_changes(pin, 8)
    assert levels == [False, True, False, True, False, True, False, True, False]
    assert 0.09 <= min(kept_seconds[1:]) < 0.4


def test_held_back_is_lit_with_a_wink(led: StatusLed, pin: MockPin) -> None:
    pin.clear_states()
    led.show(LedState.HELD_BACK)
    levels, kept_seconds = wait_for_changes(pin, 5)
    assert levels == [False, True, False, True, False, True]
    assert min(kept_seconds[1], kept_seconds[3]) >= 0.89
    assert min(kept_seconds[2], kept_seconds[4]) < 0.8


def test_a_new_state_is_shown_in_the_middle_of_a_blink(led: StatusLed, pin: MockPin) -> None:
    led.show(LedState.READY)
    wait_until(lambda: pin.state is True)
    led.show(LedState.OFF)
    wait_until(lambda: pin.state is False)


def test_the_same_state_again_does_not_disturb_the_blink(led: StatusLed, pin: MockPin) -> None:
    pin.clear_states()
    led.show(LedState.LOADING)
    wait_for_changes(pin, 1)
    never = threading.Event()
    for _ in range(10):
        led.show(LedState.LOADING)
        never.wait(0.1)
    _, kept_seconds = wait_for_changes(pin, 2)
    # Begun anew by each of the ten, it would have been lit for 1.5 s.
    assert 0.49 <= kept_seconds[1] < 1.4


def test_what_is_told_again_and_again_is_not_kept_while_the_driver_hangs(factory: MockFactory) -> None:
    is_released = threading.Event()

    def slow_factory() -> MockFactory:
        is_released.wait()
        return factory

    led = StatusLed(PIN, pin_factory=slow_factory)
    num_kept = sys.getrefcount(LedState.READY)
    for _ in range(1000):
        led.show(LedState.READY)
    assert sys.getrefcount(LedState.READY) - num_kept < 10
    is_released.set()
    led.close()


def test_closing_turns_it_off_and_gives_the_pin_back(led: StatusLed, pin: MockPin) -> None:
    led.show(LedState.READY)
    wait_until(lambda: pin.state is True)
    led.close()
    assert pin.state is False
    assert pin.function == "input"
    assert "status-led" not in {thread.name for thread in threading.enumerate()}
    led.close()


def test_what_is_shown_after_closing_is_ignored(led: StatusLed, pin: MockPin) -> None:
    led.close()
    led.show(LedState.READY)
    assert pin.state is False


def test_a_pin_in_use_is_a_warning_and_no_more(
    factory: MockFactory, led: StatusLed, caplog: pytest.LogCaptureFixture
) -> None:
    second = StatusLed(PIN, pin_factory=lambda: factory)
    second.show(LedState.READY)
    wait_until(lambda: bool(caplog.records))
    assert caplog.messages == [
        "no status LED; see that this is a Raspberry Pi, the pin is free, the user is in the group gpio pin=17"
    ]
    second.close()


def test_without_the_library_there_is_a_warning_with_the_remedy(caplog: pytest.LogCaptureFixture) -> None:
    def no_lgpio() -> MockFactory:
        raise ModuleNotFoundError("No module named 'lgpio'")

    led = StatusLed(PIN, pin_factory=no_lgpio)
    led.close()
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.WARNING,
            "no status LED; pip install 'edge-agent[gpio]', or leave gpio.status_led_pin out pin=17 "
            "reason=No module named 'lgpio'",
        )
    ]
    led.show(LedState.READY)
    led.close()
