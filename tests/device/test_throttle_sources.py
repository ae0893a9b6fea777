from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.device.sensor_files import SensorAbsentError, SensorError, SensorFiles
from edge_agent.device.throttle_flag import ThrottleFlag
from edge_agent.device.throttle_sources import (
    FirmwareWord,
    ProcessorThrottleCounts,
    ThrottleWord,
    UnderVoltageAlarm,
    parse_firmware_word,
)
from tests.device.board_tree import board, write_tree

UNDER_VOLTAGE, CAPPED = ThrottleFlag.UNDER_VOLTAGE, ThrottleFlag.FREQUENCY_CAPPED
THROTTLED, SOFT_LIMIT = ThrottleFlag.THROTTLED, ThrottleFlag.SOFT_TEMPERATURE_LIMIT
CHIP = "sys/class/hwmon/hwmon"
CPU = "sys/devices/system/cpu/cpu"


@pytest.mark.parametrize(
    ("text", "active", "remembered"),
    [
        ("0", set(), set()),
        ("1", {UNDER_VOLTAGE}, set()),
        ("2", {CAPPED}, set()),
        ("4", {THROTTLED}, set()),
        ("8", {SOFT_LIMIT}, set()),
        ("50005", {UNDER_VOLTAGE, THROTTLED}, {UNDER_VOLTAGE, THROTTLED}),
        ("0xE0000", set(), {CAPPED, THROTTLED, SOFT_LIMIT}),
        # Bits that nobody has given a meaning are passed over.
        ("fff0fff0", set(), set()),
    ],
)
def test_bits_of_the_firmware_s_word(text: str, active: set[ThrottleFlag], remembered: set[ThrottleFlag]) -> None:
    word = parse_firmware_word(text, path="get_throttled")
    assert word.active == {flag: flag in active for flag in ThrottleFlag}
    assert word.remembered == remembered


@pytest.mark.parametrize("text", ["", "-1", "throttled=0x0", "0x", "1 2", "1" * 9, "0g1"])
def test_what_is_no_word_is_refused(text: str) -> None:
    with pytest.raises(SensorError, match=r"^get_throttled: .* is no throttle word$"):
        parse_firmware_word(text, path="get_throttled")


@pytest.mark.parametrize(
    "folder",
    [
        "soc/soc:firmware",
        "soc@107c000000/soc@107c000000:firmware",
        "soc@107c000000:firmware",
    ],
)
def test_the_word_is_found_where_kernels_put_it(tmp_path: Path, folder: str) -> None:
    path = f"sys/devices/platform/{folder}/get_throttled"
    source = FirmwareWord(write_tree(tmp_path, {path: "1"}))
    assert source.read().active[UNDER_VOLTAGE]
    write_tree(tmp_path, {path: "0"})
    assert not source.read().active[UNDER_VOLTAGE]


@pytest.mark.parametrize("name", ["pi5", "x86", "vm"])
def test_a_board_without_the_word_says_so(name: str) -> None:
    with pytest.raises(SensorAbsentError, match="no firmware of a Raspberry Pi that tells through sysfs"):
        FirmwareWord(board(name)).read()


def test_the_alarm_of_under_voltage_is_that_of_its_chip(tmp_path: Path) -> None:
    files = write_tree(
        tmp_path,
        {f"{CHIP}0/name": "nvme", f"{CHIP}0/in0_lcrit_alarm": "1", f"{CHIP}1/in0_lcrit_alarm": "1"}
        | {f"{CHIP}2/name": "rpi_volt", f"{CHIP}2/in0_lcrit_alarm": "0"},
    )
    source = UnderVoltageAlarm(files)
    assert source.read() == ThrottleWord({UNDER_VOLTAGE: False})
    write_tree(tmp_path, {f"{CHIP}2/in0_lcrit_alarm": "1"})
    assert source.read() == ThrottleWord({UNDER_VOLTAGE: True})


def test_a_chip_whose_driver_is_loaded_later_is_found(tmp_path: Path) -> None:
    source = UnderVoltageAlarm(write_tree(tmp_path, {f"{CHIP}0/name": "nvme"}))
    with pytest.raises(SensorAbsentError, match="no chip rpi_volt"):
        source.read()
    write_tree(tmp_path, {f"{CHIP}1/name": "rpi_volt", f"{CHIP}1/in0_lcrit_alarm": "1"})
    assert source.read() == ThrottleWord({UNDER_VOLTAGE: True})


@pytest.mark.parametrize("alarm", ["2", "-1"])
def test_an_alarm_is_0_or_1(tmp_path: Path, alarm: str) -> None:
    files = write_tree(tmp_path, {f"{CHIP}0/name": "rpi_volt", f"{CHIP}0/in0_lcrit_alarm": alarm})
    with pytest.raises(SensorError, match=rf"in0_lcrit_alarm: {alarm} is no alarm, which is 0 or 1$"):
        UnderVoltageAlarm(files).read()


def counting_cpus(root: Path, *counts: int) -> SensorFiles:
    """CPUs whose core counts are these, in one package that has counted 34."""
    folders = {f"{CPU}{cpu}/thermal_throttle": count for cpu, count in enumerate(counts)}
    return write_tree(
        root,
        {f"{folder}/core_throttle_count": str(count) for folder, count in folders.items()}
        | {f"{folder}/package_throttle_count": "34" for folder in folders},
    )


def test_a_processor_is_throttled_in_the_rounds_in_which_a_count_rose(tmp_path: Path) -> None:
    source = ProcessorThrottleCounts(counting_cpus(tmp_path, 0, 12))
    words = [source.read()]
    for counts in ((0, 12), (0, 13), (0, 13)):
        counting_cpus(tmp_path, *counts)
        words.append(source.read())
    write_tree(tmp_path, {f"{CPU}0/thermal_throttle/package_throttle_count": "35"})
    words.append(source.read())
    # What was counted before the first look is not news.
    assert [word.active for word in words] == [{THROTTLED: now} for now in (False, False, True, False, True)]


def test_a_cpu_that_is_switched_off_and_on_again_is_no_throttling(tmp_path: Path) -> None:
    source = ProcessorThrottleCounts(counting_cpus(tmp_path, 5, 5))
    source.read()
    place = tmp_path / f"{CPU}1/thermal_throttle"
    place.rename(tmp_path / "offline")
    assert source.read().active == {THROTTLED: False}
    (tmp_path / "offline").rename(place)
    assert source.read().active == {THROTTLED: False}


def test_counts_that_begin_again_are_no_throttling(tmp_path: Path) -> None:
    source = ProcessorThrottleCounts(counting_cpus(tmp_path, 5))
    source.read()
    counting_cpus(tmp_path, 1)
    assert source.read().active == {THROTTLED: False}


@pytest.mark.parametrize("name", ["pi4", "pi5", "vm"])
def test_a_board_whose_cpus_do_not_count_says_so(name: str) -> None:
    with pytest.raises(SensorAbsentError, match="no CPU that counts its thermal throttling"):
        ProcessorThrottleCounts(board(name)).read()
