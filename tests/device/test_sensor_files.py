from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from edge_agent.device.sensor_files import ReaderGivenUpError, SensorAbsentError, SensorError, SensorFiles
from tests.device.board_tree import FakeClock, hanging_file, wait_until, write_tree

T = TypeVar("T")


class Reader(threading.Thread):
    """Reads one file on a thread of its own, and keeps what came of it."""

    def __init__(self, files: SensorFiles, path: str) -> None:
        super().__init__(daemon=True)
        self._files, self._path = files, path
        self.outcome: object = None
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self._files.read_text(self._path)
        except (SensorError, ReaderGivenUpError) as error:
            self.outcome = type(error)


def test_text_comes_without_white_space_and_the_nul_of_device_trees(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b" Raspberry Pi 4 Model B Rev 1.4\0\n")
    assert SensorFiles(tmp_path).read_text("model") == "Raspberry Pi 4 Model B Rev 1.4"


@pytest.mark.parametrize(("text", "number"), [("48199", 48199), ("-5000", -5000), ("+7", 7), ("007", 7)])
def test_whole_numbers_are_read(tmp_path: Path, text: str, number: int) -> None:
    assert write_tree(tmp_path, {"temp": text}).read_int("temp") == number


@pytest.mark.parametrize("text", ["", "48.2", "0x10", "1 2", "N/A", "1_000", "१२", "9" * 21])
def test_what_is_no_whole_number_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SensorError, match=r"^temp: .* is no whole number$") as raised:
        write_tree(tmp_path, {"temp": text}).read_int("temp")
    assert not isinstance(raised.value, SensorAbsentError)


def test_a_missing_file_is_an_absent_sensor(tmp_path: Path) -> None:
    with pytest.raises(SensorAbsentError, match=r"^sys/temp: No such file or directory$") as raised:
        SensorFiles(tmp_path).read_text("sys/temp")
    assert raised.value.path == "sys/temp"


def test_a_file_where_a_folder_should_be_is_an_absent_sensor(tmp_path: Path) -> None:
    with pytest.raises(SensorAbsentError):
        write_tree(tmp_path, {"thermal_zone0": "x"}).read_text("thermal_zone0/temp")


def test_a_device_that_is_gone_is_an_absent_sensor(tmp_path: Path) -> None:
    # To open a socket's file is answered with ENXIO, as drivers do whose device has left.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "temp"))
        with pytest.raises(SensorAbsentError, match=r"^temp: No such device or address$"):
            SensorFiles(tmp_path).read_text("temp")


@pytest.mark.parametrize("code", [errno.EBUSY, errno.ENETDOWN, errno.EOPNOTSUPP])
def test_what_is_switched_off_is_an_absent_sensor(tmp_path: Path, code: int) -> None:
    class SwitchedOff(SensorFiles):
        def call(self, name: str, function: Callable[[], T]) -> T:
            raise OSError(code, os.strerror(code))

    with pytest.raises(SensorAbsentError):
        SwitchedOff(tmp_path).read_text("affected_cpus")


def test_a_folder_in_place_of_a_file_is_an_error_and_not_an_absence(tmp_path: Path) -> None:
    (tmp_path / "temp").mkdir()
    with pytest.raises(SensorError, match=r"^temp: Is a directory$") as raised:
        SensorFiles(tmp_path).read_text("temp")
    assert not isinstance(raised.value, SensorAbsentError)


def test_a_driver_that_fails_is_an_error_and_not_an_absence() -> None:
    # The first page of a process is never mapped: to read it is answered with EIO, as failing drivers do.
    with pytest.raises(SensorError, match=r"^self/mem: Input/output error$") as raised:
        SensorFiles(Path("/proc")).read_text("self/mem")
    assert not isinstance(raised.value, SensorAbsentError)


def test_64_kib_are_read_and_no_byte_more(tmp_path: Path) -> None:
    (tmp_path / "longest").write_bytes(b"x" * 65536)
    (tmp_path / "longer").write_bytes(b"x" * 65537)
    files = SensorFiles(tmp_path)
    assert len(files.read_text("longest")) == 65536
    with pytest.raises(SensorError, match=r"^longer: more than 65536 bytes"):
        files.read_text("longer")


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(SensorError, match=r"^zero: more than 65536 bytes"):
        SensorFiles(Path("/dev")).read_text("zero")


def test_content_that_comes_in_pieces_is_read_whole(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "diskstats")
    reader = Reader(SensorFiles(tmp_path), "diskstats")
    # A pipe holds 64 KiB at most, so the second piece is written when the reader has taken the first.
    with (tmp_path / "diskstats").open("wb", buffering=0) as file:
        file.write(b"a" * 40_000)
        file.write(b"b" * 25_000)
    reader.join(20)
    assert reader.outcome == "a" * 40_000 + "b" * 25_000


def test_what_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "type").write_bytes(b"cpu\xff")
    with pytest.raises(SensorError, match=r"^type: not text$"):
        SensorFiles(tmp_path).read_text("type")


def test_names_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {f"thermal/{name}": "" for name in ("zone10", "zone2", "device0", "zone1")})
    assert files.names("thermal") == ["device0", "zone1", "zone2", "zone10"]


def test_a_folder_that_is_not_there_has_no_names(tmp_path: Path) -> None:
    assert SensorFiles(tmp_path).names("sys/class/hwmon") == []


def test_a_file_has_no_names(tmp_path: Path) -> None:
    assert write_tree(tmp_path, {"hwmon": ""}).names("hwmon") == []


def test_a_folder_of_more_entries_than_a_board_has_is_refused(tmp_path: Path) -> None:
    for number in range(4097):
        (tmp_path / f"zone{number}").touch()
    with pytest.raises(SensorError, match="more than 4096 entries"):
        SensorFiles(tmp_path).names(".")


def test_links_within_the_tree_are_followed(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {"devices/virtual/thermal_zone0/temp": "48199"})
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "thermal_zone0").symlink_to("../devices/virtual/thermal_zone0")
    assert files.names("class") == ["thermal_zone0"]
    assert files.read_int("class/thermal_zone0/temp") == 48199


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "temp").symlink_to("temp")
    with pytest.raises(SensorError, match=r"^temp: Too many levels of symbolic links$"):
        SensorFiles(tmp_path).read_text("temp")


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "sys/../../secret"])
def test_paths_stay_below_the_root(tmp_path: Path, path: str) -> None:
    write_tree(tmp_path, {"secret": "told", "root/sys/temp": "1"})
    files = SensorFiles(tmp_path / "root")
    for read in (files.read_text, files.names, files.exists):
        with pytest.raises(SensorError, match="not below the root"):
            read(path)


def test_existence_is_told_of_files_folders_and_nothing(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {"sys/temp": "1"})
    assert [files.exists(path) for path in ("sys", "sys/temp", "sys/type", "proc")] == [True, True, False, False]


def test_the_root_of_the_machine_is_read_too() -> None:
    assert SensorFiles(Path("/")).read_text("proc/sys/kernel/ostype") == "Linux"


def test_a_read_that_hangs_is_given_up_and_its_file_answers_at_once(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {"well": "7"})
    with hanging_file(tmp_path / "temp") as release:
        reader = Reader(files, "temp")
        wait_until(lambda: files.give_up(after_seconds=0))
        with pytest.raises(SensorError, match=r"^temp: an earlier read has not come back") as raised:
            files.read_int("temp")
        assert not isinstance(raised.value, SensorAbsentError)
        assert files.read_int("well") == 7
        release()
        reader.join(20)
    assert reader.outcome is ReaderGivenUpError
    # Not in the same round: whoever is too slow once may be so again.
    with pytest.raises(SensorError, match=r"^temp: an earlier read took too long"):
        files.read_int("temp")
    files.begin_round()
    assert files.read_int("temp") == 1000


def give_up_one_call(files: SensorFiles) -> None:
    is_released = threading.Event()

    def ask() -> None:
        with pytest.raises(ReaderGivenUpError):
            files.call("nvml", is_released.wait)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    wait_until(lambda: files.give_up(after_seconds=0))
    is_released.set()
    thread.join(20)


def test_what_is_given_up_again_and_again_rests_for_ever_more_rounds() -> None:
    files = SensorFiles(Path("/"))
    for rest in (1, 2, 4, 8, 16, 32, 64, 128, 256, 256):
        give_up_one_call(files)
        for _ in range(rest):
            with pytest.raises(SensorError, match=r"^nvml: an earlier read took too long"):
                files.call("nvml", lambda: 1)
            files.begin_round()
    # One that comes back in time ends it.
    assert files.call("nvml", lambda: 1) == 1
    give_up_one_call(files)
    files.begin_round()
    assert files.call("nvml", lambda: 1) == 1


def test_a_name_that_is_not_read_again_is_forgotten() -> None:
    files = SensorFiles(Path("/"))
    give_up_one_call(files)
    for _ in range(258):
        files.begin_round()
    give_up_one_call(files)
    files.begin_round()
    # Remembered, it would rest for a second round now.
    assert files.call("nvml", lambda: 1) == 1


def test_a_reader_that_was_given_up_does_not_disturb_the_one_that_reads_now(tmp_path: Path) -> None:
    files = SensorFiles(tmp_path)
    with hanging_file(tmp_path / "a") as release_a, hanging_file(tmp_path / "b") as release_b:
        first = Reader(files, "a")
        wait_until(lambda: files.give_up(after_seconds=0))
        second = Reader(files, "b")
        release_a()
        first.join(20)
        # The read of b is still known as the one under way.
        wait_until(lambda: files.give_up(after_seconds=0))
        release_b()
        second.join(20)
    assert (first.outcome, second.outcome) == (ReaderGivenUpError, ReaderGivenUpError)


def test_a_read_is_not_given_up_before_its_time(tmp_path: Path) -> None:
    clock = FakeClock(100.0)
    files = SensorFiles(tmp_path, clock=clock)
    with hanging_file(tmp_path / "temp"):
        reader = Reader(files, "temp")
        wait_until(lambda: files.is_reading)
        clock.now = 100.9
        assert not files.give_up(after_seconds=1.0)
        clock.now = 101.0
        assert files.give_up(after_seconds=1.0)
    reader.join(20)
    assert reader.outcome is ReaderGivenUpError


def test_nothing_is_given_up_when_nothing_is_read(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {"temp": "1"})
    assert not files.give_up(after_seconds=0)
    files.read_int("temp")
    assert not files.give_up(after_seconds=0)


def test_a_call_is_watched_like_a_read() -> None:
    files, is_released = SensorFiles(Path("/")), threading.Event()
    ended: list[type[Exception]] = []

    def ask() -> None:
        try:
            files.call("nvml", is_released.wait)
        except ReaderGivenUpError as error:
            ended.append(type(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    wait_until(lambda: files.give_up(after_seconds=0))
    with pytest.raises(SensorError, match=r"^nvml: an earlier read"):
        files.call("nvml", lambda: 1)
    is_released.set()
    thread.join(20)
    assert ended == [ReaderGivenUpError]
    files.begin_round()
    assert files.call("nvml", lambda: 1) == 1


def test_a_call_raises_what_its_function_raises() -> None:
    files = SensorFiles(Path("/"))
    with pytest.raises(ZeroDivisionError):
        files.call("statvfs", lambda: 1 // 0)
    assert files.call("statvfs", lambda: 2) == 2


def test_the_seventeenth_that_hangs_is_not_given_up() -> None:
    files, is_released = SensorFiles(Path("/")), threading.Event()
    threads: list[threading.Thread] = []

    def ask(name: str) -> None:
        try:
            files.call(name, is_released.wait)
        except ReaderGivenUpError:
            return

    for number in range(17):
        threads.append(threading.Thread(target=ask, args=(f"sensor{number}",), daemon=True))
        threads[-1].start()
        wait_until(lambda: files.is_reading)
        assert files.give_up(after_seconds=0) == (number < 16)
    is_released.set()
    for thread in threads:
        thread.join(20)
