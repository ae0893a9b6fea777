"""Boards as directory trees: those of the fixtures, small ones that a test writes, and a sensor that hangs."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from edge_agent.device.reading import Collector, Readings
from edge_agent.device.sensor_files import SensorFiles

BOARDS = Path(__file__).parent.parent / "fixtures" / "boards"


class FakeClock:
    """Shows what the test sets."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def board(name: str) -> SensorFiles:
    """A board of the fixtures: pi4, pi5, x86 or vm."""
    return SensorFiles(BOARDS / name)


def write_tree(root: Path, files: Mapping[str, str]) -> SensorFiles:
    """Write files, each ended as the kernel ends it, below a root; it may hold others already."""
    for path, content in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(place, f"{content}\n")
    return SensorFiles(root)


def _write_whole(place: Path, text: str) -> None:
    """Whoever reads meanwhile reads the old or the new, as of sysfs; never a file that is empty yet."""
    new = place.with_name(f".{place.name}.new")
    new.write_text(text)
    new.replace(place)


def collect(collector: Collector) -> Readings:
    """One round of one collector."""
    readings = Readings()
    with readings.sensor():
        collector.collect(readings)
    return readings


def values(readings: Readings, metric: str) -> dict[str, float]:
    """A metric's values by the value of its one label."""
    return {reading.labels[0][1]: reading.value for reading in readings.found if reading.metric == metric}


def problems(readings: Readings) -> list[str]:
    return [str(error) for error in readings.errors]


@contextlib.contextmanager
def hanging_file(path: Path) -> Iterator[Callable[[], None]]:
    """A file whose reader waits for ever: a FIFO that nobody writes to. The callable ends the reader's wait."""
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    is_released = threading.Event()

    def release() -> None:
        if not is_released.is_set():
            is_released.set()
            # Both ways: so it opens without a reader too. The file takes its place for the next reader.
            descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
            _write_whole(path, "1000\n")
            os.close(descriptor)

    try:
        yield release
    finally:
        release()


def wait_until(is_true: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Wait for something that other threads do. Fails when it does not come."""
    never = threading.Event()
    for _ in range(int(seconds / 0.005)):
        if is_true():
            return
        never.wait(0.005)
    raise AssertionError(f"waited {seconds} s in vain")


def num_threads(name: str) -> int:
    """Threads of that name which are alive."""
    return sum(thread.name == name for thread in threading.enumerate())
