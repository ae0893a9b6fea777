from __future__ import annotations

from collections.abc import Sequence

import pytest

from edge_agent.device.reading import Readings
from edge_agent.device.sensor_files import SensorAbsentError, SensorError
from edge_agent.device.throttle import ThrottleCollector
from edge_agent.device.throttle_flag import ThrottleFlag
from edge_agent.device.throttle_sources import (
    FirmwareWord,
    ProcessorThrottleCounts,
    ThrottleSource,
    ThrottleWord,
    UnderVoltageAlarm,
    parse_firmware_word,
)
from tests.device.board_tree import FakeClock, board, collect, problems, values

UNDER_VOLTAGE, THROTTLED = ThrottleFlag.UNDER_VOLTAGE, ThrottleFlag.THROTTLED


class ScriptedSource:
    """Says one thing after the other: a word of the firmware, what another place tells, or an error."""

    def __init__(self, *words: str | ThrottleWord | SensorError) -> None:
        self._words = iter(words)

    def read(self) -> ThrottleWord:
        word = next(self._words)
        if isinstance(word, SensorError):
            raise word
        return parse_firmware_word(word, path="get_throttled") if isinstance(word, str) else word


def rounds(source: ScriptedSource, seconds: Sequence[float]) -> list[Readings]:
    """What a collector finds at these times."""
    clock = FakeClock()
    collector = ThrottleCollector([source], clock=clock)
    found: list[Readings] = []
    for now in seconds:
        clock.now = now
        found.append(collect(collector))
    return found


def told(found: Sequence[Readings], metric: str, flag: str) -> list[float | None]:
    """A flag's value in each round, None where it has no series."""
    return [values(readings, metric).get(flag) for readings in found]


@pytest.mark.parametrize(
    ("name", "active"),
    [
        ("pi4", {"under_voltage": 0, "frequency_capped": 1, "throttled": 1, "soft_temperature_limit": 0}),
        # Its kernel tells nothing but under-voltage.
        ("pi5", {"under_voltage": 0}),
        ("x86", {"throttled": 0}),
        ("vm", {}),
    ],
)
def test_flags_of_the_boards(name: str, active: dict[str, float]) -> None:
    files = board(name)
    sources: list[ThrottleSource] = [FirmwareWord(files), UnderVoltageAlarm(files), ProcessorThrottleCounts(files)]
    readings = collect(ThrottleCollector(sources))
    assert values(readings, "throttle_active") == active
    assert values(readings, "throttle_events_total") == active
    assert values(readings, "throttle_seconds_total") == dict.fromkeys(active, 0.0)
    assert readings.errors == []


def test_events_are_beginnings() -> None:
    found = rounds(ScriptedSource("0", "4", "4", "0", "4"), [0, 1, 2, 3, 4])
    assert told(found, "throttle_active", "throttled") == [0, 1, 1, 0, 1]
    assert told(found, "throttle_events_total", "throttled") == [0, 1, 1, 1, 2]
    assert told(found, "throttle_events_total", "under_voltage") == [0, 0, 0, 0, 0]


def test_seconds_are_those_after_a_look_that_saw_it() -> None:
    found = rounds(ScriptedSource("0", "4", "4", "0", "0", "4"), [10, 11, 12.5, 13.5, 20, 21])
    # From 11 to 13.5.
    assert told(found, "throttle_seconds_total", "throttled") == [0, 0, 1.5, 2.5, 2.5, 2.5]


def test_what_held_at_the_start_is_an_event_and_what_had_held_before_is_none() -> None:
    found = rounds(ScriptedSource("40001", "40000", "40000"), [0, 1, 2])
    assert told(found, "throttle_events_total", "under_voltage") == [1, 1, 1]
    assert told(found, "throttle_events_total", "throttled") == [0, 0, 0]


def test_what_came_and_went_between_two_looks_is_an_event() -> None:
    found = rounds(ScriptedSource("0", "10000", "10000", "10001", "10000"), [0, 1, 2, 3, 4])
    assert told(found, "throttle_active", "under_voltage") == [0, 0, 0, 1, 0]
    assert told(found, "throttle_events_total", "under_voltage") == [0, 1, 1, 2, 2]


def test_what_was_seen_is_not_counted_again_when_the_board_remembers_it() -> None:
    at_once = rounds(ScriptedSource("0", "10001", "10000"), [0, 1, 2])
    late = rounds(ScriptedSource("0", "1", "10000", "10000"), [0, 1, 2, 3])
    assert told(at_once, "throttle_events_total", "under_voltage") == [0, 1, 1]
    assert told(late, "throttle_events_total", "under_voltage") == [0, 1, 1, 1]


def test_a_memory_that_the_kernel_clears_and_the_board_sets_anew_is_another_event() -> None:
    found = rounds(ScriptedSource("0", "10000", "0", "10000"), [0, 1, 2, 3])
    assert told(found, "throttle_events_total", "under_voltage") == [0, 1, 1, 2]


def test_a_flag_is_active_when_any_source_says_so() -> None:
    alarm = ScriptedSource(ThrottleWord({UNDER_VOLTAGE: True}))
    readings = collect(ThrottleCollector([ScriptedSource("4"), alarm]))
    assert values(readings, "throttle_active") == {
        "under_voltage": 1,
        "frequency_capped": 0,
        "throttled": 1,
        "soft_temperature_limit": 0,
    }


def test_a_flag_that_no_source_tells_has_no_series() -> None:
    absent = ScriptedSource(SensorAbsentError("get_throttled", "not there"))
    readings = collect(ThrottleCollector([absent, ScriptedSource(ThrottleWord({THROTTLED: False}))]))
    assert values(readings, "throttle_active") == {"throttled": 0}
    assert readings.errors == []


def test_while_no_source_can_tell_there_are_no_series_and_no_time_is_counted() -> None:
    lost = SensorError("get_throttled", "Input/output error")
    found = rounds(ScriptedSource("4", "4", lost, "4", "4"), [0, 1, 2, 60, 61])
    assert problems(found[2]) == ["get_throttled: Input/output error"]
    assert told(found, "throttle_active", "throttled") == [1, 1, None, 1, 1]
    assert told(found, "throttle_seconds_total", "throttled") == [0, 1, None, 1, 2]
    assert told(found, "throttle_events_total", "throttled") == [1, 1, None, 1, 1]


def test_a_source_that_fails_costs_the_flags_that_only_it_tells() -> None:
    failing = ScriptedSource(SensorError("get_throttled", "Input/output error"))
    readings = collect(ThrottleCollector([failing, ScriptedSource(ThrottleWord({UNDER_VOLTAGE: True}))]))
    assert values(readings, "throttle_active") == {"under_voltage": 1}
    assert problems(readings) == ["get_throttled: Input/output error"]
