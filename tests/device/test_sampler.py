from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from edge_agent.device.reading import Collector, Readings
from edge_agent.device.sampler import DeviceSampler, next_due_at
from edge_agent.device.sensor_files import SensorError, SensorFiles
from edge_agent.device.snapshot import DeviceSnapshot
from edge_agent.device.thermal_state import ThermalState
from tests.device.board_tree import FakeClock, hanging_file, num_threads, wait_until, write_tree


class FilesCollector:
    """One series a file."""

    def __init__(self, files: SensorFiles, paths: Sequence[str], *, name: str = "files") -> None:
        self.name = name
        self._files, self._paths = files, paths

    def collect(self, readings: Readings) -> None:
        for path in self._paths:
            with readings.sensor():
                readings.add("temperature_celsius", self._files.read_int(path), sensor=path)


class ScriptedCollector:
    """Does what the test says, round by round: fails with an exception, or finds a value."""

    name = "scripted"

    def __init__(self, outcomes: Sequence[Exception | float], *, clock: FakeClock | None = None) -> None:
        self._outcomes = iter(outcomes)
        self._clock = clock or FakeClock()

    def collect(self, readings: Readings) -> None:
        outcome = next(self._outcomes)
        self._clock.now += 0.25
        if isinstance(outcome, Exception):
            raise outcome
        readings.add("throttle_active", outcome, flag="throttled")


def make_sampler(collectors: Sequence[Collector], files: SensorFiles) -> DeviceSampler:
    """A fast one, with the patience of half a second."""
    return DeviceSampler(collectors, files=files, interval_seconds=0.01, give_up_seconds=0.5)


@pytest.fixture
def no_thread_stays() -> Iterator[None]:
    yield
    wait_until(lambda: num_threads("device-reader") == num_threads("device-conductor") == 0)


def temperatures(snapshot: DeviceSnapshot) -> dict[tuple[str, ...], float]:
    return snapshot.values("temperature_celsius")


def test_a_round_becomes_the_snapshot(tmp_path: Path) -> None:
    clock = FakeClock()
    files = SensorFiles(tmp_path, clock=clock)
    sampler = DeviceSampler([ScriptedCollector([1.0], clock=clock)], files=files, interval_seconds=1, clock=clock)
    assert sampler.snapshot() == DeviceSnapshot()
    snapshot = sampler.sample_once()
    assert sampler.snapshot() is snapshot
    assert snapshot.values("throttle_active") == {("throttled",): 1.0}
    assert snapshot.values("collector_success") == {("scripted",): 1.0}
    assert snapshot.values("collector_duration_seconds") == {("scripted",): 0.25}
    assert snapshot.thermal_state is ThermalState.THROTTLED


def test_a_sensor_error_costs_success_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    files = write_tree(tmp_path, {"good": "1", "bad": "?"})
    sampler = make_sampler([FilesCollector(files, ["bad", "good"])], files)
    for _ in range(3):
        snapshot = sampler.sample_once()
    assert temperatures(snapshot) == {("good",): 1.0}
    assert snapshot.values("collector_success") == {("files",): 0.0}
    assert caplog.messages == [
        "a sensor cannot be used, its series end collector=files problem=bad: '?' is no whole number"
    ]
    write_tree(tmp_path, {"bad": "2"})
    snapshot = sampler.sample_once()
    assert temperatures(snapshot) == {("bad",): 2.0, ("good",): 1.0}
    assert snapshot.values("collector_success") == {("files",): 1.0}
    for _ in range(58):
        sampler.sample_once()
    assert caplog.messages[1:] == []
    for _ in range(60):
        sampler.sample_once()
    assert caplog.messages[1:] == ["a sensor is back collector=files path=bad"]


def test_a_loose_contact_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    files = write_tree(tmp_path, {"good": "1"})
    failing: list[Exception | float] = [SensorError("loose", "Input/output error"), 0.0, ZeroDivisionError("oops"), 0.0]
    sampler = make_sampler([ScriptedCollector(failing * 50)], files)
    for _ in range(200):
        sampler.sample_once()
    assert caplog.messages == [
        "a sensor cannot be used, its series end collector=scripted problem=loose: Input/output error",
        "a collector failed, its series end; please report this collector=scripted",
    ]


def test_a_missing_sensor_is_no_failure_and_is_told_once_at_debug(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    files = write_tree(tmp_path, {"good": "1"})
    sampler = make_sampler([FilesCollector(files, ["none", "good"])], files)
    for _ in range(3):
        snapshot = sampler.sample_once()
    assert snapshot.values("collector_success") == {("files",): 1.0}
    assert [(record.levelname, record.message) for record in caplog.records] == [
        (
            "DEBUG",
            "no such sensor, no such series collector=files reason=none: No such file or directory "
            "(device.root is where it is looked for)",
        )
    ]


def test_a_collector_that_breaks_is_fenced_and_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    files = write_tree(tmp_path, {"good": "1"})
    broken = ScriptedCollector([ZeroDivisionError("oops"), ZeroDivisionError("oops"), *[0.0] * 62])
    sampler = make_sampler([broken, FilesCollector(files, ["good"])], files)
    for _ in range(2):
        snapshot = sampler.sample_once()
    assert snapshot.values("collector_success") == {("scripted",): 0.0, ("files",): 1.0}
    assert temperatures(snapshot) == {("good",): 1.0}
    assert len(caplog.records) == 1
    assert caplog.records[0].levelname == "ERROR"
    assert caplog.records[0].exc_info is not None
    for _ in range(62):
        snapshot = sampler.sample_once()
    assert snapshot.values("collector_success") == {("scripted",): 1.0, ("files",): 1.0}
    assert caplog.messages[1:] == ["a collector works again collector=scripted"]


def test_a_collector_of_which_nothing_can_be_had_costs_its_own_series_alone(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {"good": "1"})
    failing = ScriptedCollector([SensorError("nvml", "the driver does not answer")])
    snapshot = make_sampler([failing, FilesCollector(files, ["good"])], files).sample_once()
    assert snapshot.values("collector_success") == {("scripted",): 0.0, ("files",): 1.0}
    assert temperatures(snapshot) == {("good",): 1.0}


@pytest.mark.usefixtures("no_thread_stays")
def test_a_collector_that_finds_too_much_keeps_its_first_readings_and_costs_no_other(tmp_path: Path) -> None:
    class Flood:
        name = "flood"

        def collect(self, readings: Readings) -> None:
            for number in range(2000):
                with readings.sensor():
                    readings.add("cooling_state", 1.0, device=str(number))

    files = write_tree(tmp_path, {"a": "7"})
    snapshot = make_sampler([Flood(), FilesCollector(files, ["a"])], files).sample_once()
    assert len(snapshot.values("cooling_state")) == 1000
    assert snapshot.values("collector_success") == {("flood",): 0.0, ("files",): 1.0}
    assert temperatures(snapshot) == {("a",): 7.0}


def test_the_sampler_follows_what_changes(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {"temp": "1"})
    sampler = make_sampler([FilesCollector(files, ["temp"])], files)
    sampler.start()
    try:
        wait_until(lambda: temperatures(sampler.snapshot()) == {("temp",): 1.0})
        write_tree(tmp_path, {"temp": "2"})
        wait_until(lambda: temperatures(sampler.snapshot()) == {("temp",): 2.0})
    finally:
        sampler.close()
    write_tree(tmp_path, {"temp": "3"})
    assert temperatures(sampler.snapshot()) == {("temp",): 2.0}


@pytest.mark.usefixtures("no_thread_stays")
def test_a_sensor_that_hangs_costs_its_own_series_until_it_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = write_tree(tmp_path, {"before": "1", "after": "2"})
    # The neighbours in the same collector stay, and so does the next collector.
    collectors = [FilesCollector(files, ["before", "stuck", "after"]), FilesCollector(files, ["before"], name="next")]
    with hanging_file(tmp_path / "stuck") as release:
        sampler = make_sampler(collectors, files)
        sampler.start()
        try:
            wait_until(lambda: bool(sampler.snapshot().readings))
            first = sampler.snapshot()
            assert temperatures(first) == {("before",): 1.0, ("after",): 2.0}
            assert first.values("collector_success") == {("files",): 0.0, ("next",): 1.0}
            write_tree(tmp_path, {"after": "3"})
            wait_until(lambda: temperatures(sampler.snapshot()) == {("before",): 1.0, ("after",): 3.0})
            # The thread that hangs and the one that goes on.
            assert num_threads("device-reader") == 2
            release()
            wait_until(lambda: ("stuck",) in temperatures(sampler.snapshot()))
            wait_until(lambda: num_threads("device-reader") == 1)
            assert temperatures(sampler.snapshot())["stuck",] == 1000.0
        finally:
            sampler.close()
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert told == [
        "a sensor cannot be used, its series end collector=files problem=stuck: an earlier read has not come back; "
        "the driver or the device hangs"
    ]


@pytest.mark.usefixtures("no_thread_stays")
def test_several_sensors_that_hang_are_each_passed_over(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {"good": "1"})
    with hanging_file(tmp_path / "stuck1"), hanging_file(tmp_path / "stuck2"):
        sampler = make_sampler([FilesCollector(files, ["stuck1", "good", "stuck2"])], files)
        sampler.start()
        try:
            wait_until(lambda: temperatures(sampler.snapshot()) == {("good",): 1.0})
            assert num_threads("device-reader") == 3
        finally:
            sampler.close()


@pytest.mark.usefixtures("no_thread_stays")
def test_slow_sensors_that_come_back_while_another_is_waited_for_do_not_keep_the_round_from_ending(
    tmp_path: Path,
) -> None:
    class Slow:
        """Two sensors, each of which answers when the other one is asked."""

        name = "slow"

        def __init__(self, files: SensorFiles) -> None:
            self._files = files
            self._is_over = False
            self._is_asked = {"a": threading.Event(), "b": threading.Event()}

        def collect(self, readings: Readings) -> None:
            for name, other in (("a", "b"), ("b", "a")):
                with readings.sensor():
                    self._files.call(name, functools.partial(self._answer, name, other))

        def end(self) -> None:
            self._is_over = True
            for event in self._is_asked.values():
                event.set()

        def _answer(self, name: str, other: str) -> None:
            self._is_asked[other].clear()
            self._is_asked[name].set()
            if not self._is_over:
                self._is_asked[other].wait()

    files = write_tree(tmp_path, {"good": "1"})
    slow = Slow(files)
    collectors: list[Collector] = [slow, FilesCollector(files, ["good"])]
    sampler = DeviceSampler(collectors, files=files, interval_seconds=0.01, give_up_seconds=0.1)
    sampler.start()
    try:
        wait_until(lambda: temperatures(sampler.snapshot()) == {("good",): 1.0})
        assert sampler.snapshot().values("collector_success") == {("slow",): 0.0, ("files",): 1.0}
    finally:
        sampler.close()
        slow.end()


@pytest.mark.usefixtures("no_thread_stays")
def test_a_round_that_cannot_be_run_ends_all_series_until_one_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class NoThreads(SensorFiles):
        """Says what Python says when the system gives no more threads."""

        is_full = False

        def begin_round(self) -> None:
            if self.is_full:
                raise RuntimeError("can't start new thread")
            super().begin_round()

    write_tree(tmp_path, {"good": "1"})
    files = NoThreads(tmp_path)
    sampler = make_sampler([FilesCollector(files, ["good"])], files)
    sampler.start()
    try:
        wait_until(lambda: temperatures(sampler.snapshot()) == {("good",): 1.0})
        files.is_full = True
        wait_until(lambda: sampler.snapshot() == DeviceSnapshot())
        files.is_full = False
        wait_until(lambda: temperatures(sampler.snapshot()) == {("good",): 1.0})
    finally:
        sampler.close()
    assert caplog.messages == ["rounds of the sensors fail, all their series end; please report this"]


@pytest.mark.usefixtures("no_thread_stays")
def test_a_round_that_fails_leaves_nothing_old_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Nameless:
        """Fails outside of the fence around a collector, from the second round on."""

        num_asked = 0

        @property
        def name(self) -> str:
            self.num_asked += 1
            if self.num_asked > 3:
                raise ZeroDivisionError
            return "nameless"

        def collect(self, readings: Readings) -> None:
            readings.add("temperature_celsius", 1, sensor="x")

    nameless = Nameless()
    sampler = make_sampler([nameless], SensorFiles(tmp_path))
    sampler.start()
    try:
        wait_until(lambda: nameless.num_asked > 6)
        assert sampler.snapshot() == DeviceSnapshot()
    finally:
        sampler.close()
    assert caplog.messages == ["rounds of the sensors fail, all their series end; please report this"]


@pytest.mark.usefixtures("no_thread_stays")
def test_closing_does_not_wait_for_a_sensor_that_hangs(tmp_path: Path) -> None:
    files = SensorFiles(tmp_path)
    with hanging_file(tmp_path / "stuck"):
        sampler = DeviceSampler([FilesCollector(files, ["stuck"])], files=files, interval_seconds=1)
        sampler.start()
        wait_until(lambda: files.is_reading)
        closing = threading.Thread(target=sampler.close)
        closing.start()
        closing.join(20)
        assert not closing.is_alive()
        assert num_threads("device-conductor") == 0


@pytest.mark.usefixtures("no_thread_stays")
def test_a_round_that_never_ends_ends_all_series(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Endless:
        """Waits in a way that nobody watches."""

        name = "endless"

        def __init__(self) -> None:
            self.may_end, self.num_rounds = threading.Event(), 0

        def collect(self, readings: Readings) -> None:
            readings.add("temperature_celsius", 1, sensor="x")
            self.num_rounds += 1
            if self.num_rounds == 2:
                self.may_end.wait()

    endless, clock = Endless(), FakeClock()
    sampler = DeviceSampler(
        [endless], files=SensorFiles(tmp_path), interval_seconds=0, give_up_seconds=0.01, clock=clock
    )
    sampler.start()
    try:
        wait_until(lambda: endless.num_rounds == 2)
        assert temperatures(sampler.snapshot()) == {("x",): 1.0}
        clock.now += 61
        wait_until(lambda: sampler.snapshot() == DeviceSnapshot())
        assert caplog.messages == ["a round of the sensors does not end, all their series end limit_s=60"]
        endless.may_end.set()
        wait_until(lambda: temperatures(sampler.snapshot()) == {("x",): 1.0})
    finally:
        endless.may_end.set()
        sampler.close()


@pytest.mark.usefixtures("no_thread_stays")
def test_closing_again_or_without_a_start_is_harmless(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {"temp": "1"})
    never_started = make_sampler([FilesCollector(files, ["temp"])], files)
    never_started.close()
    never_started.close()
    sampler = make_sampler([FilesCollector(files, ["temp"])], files)
    sampler.start()
    sampler.close()
    sampler.close()
    assert num_threads("device-conductor") == 0


@pytest.mark.parametrize(
    ("now", "due_at"),
    [
        pytest.param(100.2, 101.0, id="a round that began late delays none after it"),
        pytest.param(101.0, 101.0, id="just in time"),
        pytest.param(103.5, 103.5, id="missed rounds are not made up for"),
    ],
)
def test_rounds_keep_their_interval(now: float, due_at: float) -> None:
    assert next_due_at(100.0, interval_seconds=1.0, now=now) == due_at
