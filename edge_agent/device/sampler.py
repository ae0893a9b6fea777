"""Reads all sensors every `device.interval_seconds` and holds what they said, for whoever asks.

Two threads of the agent process. The reader runs the collectors, one round after the other. The conductor starts the
rounds and waits for them; when a read hangs, it leaves that reader to its fate and goes on with a new one, which passes
over the file that hung. So a blocked sensor costs its own series, and no read pays for that with a thread hop.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence

from edge_agent.device.reading import Collector, Reading, Readings
from edge_agent.device.sensor_files import ReaderGivenUpError, SensorFiles
from edge_agent.device.sensor_log import SensorLog
from edge_agent.device.snapshot import DeviceSnapshot
from edge_agent.device.thermal_state import thermal_state_of

# 1 s: a slow bus (1-wire: 0.75 s a sensor) is waited for; a driver that needs longer is taken to hang.
GIVE_UP_SECONDS = 1.0
# 2 s: an ordinary round ends in milliseconds. Whoever hangs longer is left: the threads do not keep a process alive.
CLOSE_SECONDS = 2.0
# 60 s: a bus of twenty slow sensors takes 20. Beyond it nothing is known, and nothing old is passed off as new.
STALE_SECONDS = 60.0

logger = logging.getLogger(__name__)


class DeviceSampler:
    """The sampler of one board. `snapshot` may be asked from any thread, before `start` and after `close` too."""

    def __init__(
        self,
        collectors: Sequence[Collector],
        *,
        files: SensorFiles,
        interval_seconds: float,
        give_up_seconds: float = GIVE_UP_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._collectors = tuple(collectors)
        self._files = files
        self._interval_seconds = interval_seconds
        self._give_up_seconds = give_up_seconds
        self._clock = clock
        self._log = SensorLog()
        self._snapshot = DeviceSnapshot()
        # The conductor's: None before the first round, and when the one that there was hangs.
        self._reader: _Reader | None = None
        self._stopping = threading.Event()
        self._conductor = threading.Thread(target=self._conduct, name="device-conductor", daemon=True)

    def snapshot(self) -> DeviceSnapshot:
        """What the last round found."""
        return self._snapshot

    def start(self) -> None:
        """Begin; the first round starts at once."""
        self._conductor.start()

    def close(self) -> None:
        """End after the round under way, or without it when it hangs. May be called again."""
        self._stopping.set()
        if self._conductor.is_alive():
            self._conductor.join(CLOSE_SECONDS)

    def sample_once(self) -> DeviceSnapshot:
        """One round on the calling thread; it becomes the snapshot. Not while the sampler runs."""
        self._files.begin_round()
        self._snapshot = self._round()
        return self._snapshot

    # --- the conductor's thread ----------------------------------------------------------------------------------

    def _conduct(self) -> None:
        is_told = False
        due_at = self._clock()
        while not self._stopping.wait(max(0.0, due_at - self._clock())):
            due_at = next_due_at(due_at, interval_seconds=self._interval_seconds, now=self._clock())
            try:
                self._conduct_round()
                is_told = False
            except Exception:
                # Such as no more threads to be had. Were this thread to end, the last snapshot would stay for ever.
                if not is_told:
                    logger.exception("rounds of the sensors fail, all their series end; please report this")
                is_told = True
                self._snapshot = DeviceSnapshot()
        if self._reader is not None:
            self._reader.end()

    def _conduct_round(self) -> None:
        """One round by the reader that there is, and by another one in its place when it hangs.

        Raises what the round failed with.
        """
        begun_at = self._clock()
        self._files.begin_round()
        pending = self._begin_reading()
        while not pending.is_done.wait(self._give_up_seconds) and not self._stopping.is_set():
            if self._files.give_up(after_seconds=self._give_up_seconds):
                self._reader = None
                pending = self._begin_reading()
            elif self._clock() - begun_at > STALE_SECONDS and self._snapshot.readings:
                logger.warning("a round of the sensors does not end, all their series end limit_s=%g", STALE_SECONDS)
                self._snapshot = DeviceSnapshot()
        if pending.failure is not None:
            raise pending.failure
        if pending.snapshot is not None:
            self._snapshot = pending.snapshot

    def _begin_reading(self) -> _PendingRound:
        if self._reader is None:
            self._reader = _Reader(self._round)
        return self._reader.begin()

    # --- the reader's thread -------------------------------------------------------------------------------------

    def _round(self) -> DeviceSnapshot:
        found: list[Reading] = []
        for collector in self._collectors:
            found += self._collect(collector)
        return DeviceSnapshot(tuple(found), thermal_state_of(found))

    def _collect(self, collector: Collector) -> list[Reading]:
        readings = Readings()
        started_at = self._clock()
        is_broken = False
        try:
            with readings.sensor():
                collector.collect(readings)
        except ReaderGivenUpError:
            raise
        except Exception:
            is_broken = True
            self._log.broken(collector.name)
        else:
            self._log.told(collector.name, readings)
        # Beside what was found, not among it: a collector that found too much has these two all the same.
        label = (("collector", collector.name),)
        is_success = not is_broken and not readings.errors
        return [
            *readings.found,
            Reading("collector_success", float(is_success), label),
            Reading("collector_duration_seconds", self._clock() - started_at, label),
        ]


def next_due_at(due_at: float, *, interval_seconds: float, now: float) -> float:
    """When the round after the one that was due at `due_at` begins: no drift, and nothing made up for when late."""
    return max(due_at + interval_seconds, now)


class _PendingRound:
    """A round that was begun. Once `is_done` there is a `snapshot` or a `failure`."""

    def __init__(self) -> None:
        self.is_done = threading.Event()
        self.snapshot: DeviceSnapshot | None = None
        self.failure: Exception | None = None


class _Reader:
    """A thread that runs rounds, one at a time, as they are begun."""

    def __init__(self, run_round: Callable[[], DeviceSnapshot]) -> None:
        self._run_round = run_round
        self._rounds: queue.SimpleQueue[_PendingRound | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="device-reader", daemon=True)
        self._thread.start()

    def begin(self) -> _PendingRound:
        pending = _PendingRound()
        self._rounds.put(pending)
        return pending

    def end(self) -> None:
        """End, and wait for it; not for a reader that hangs, which ends when its read comes back."""
        self._rounds.put(None)
        self._thread.join(CLOSE_SECONDS / 4)

    def _run(self) -> None:
        while (pending := self._rounds.get()) is not None:
            try:
                pending.snapshot = self._run_round()
            except ReaderGivenUpError as error:
                logger.debug("a reader ends that was given up read=%s", error)
                return
            except Exception as error:
                # The conductor's matter: it says so once, with the traceback.
                pending.failure = error
            pending.is_done.set()
