"""Tells systemd how the service is, by datagrams to $NOTIFY_SOCKET: started, status, alive, stopping (sd_notify(3)).

It only reads the engine's state; whether the engine's supervision still moves, `engine_progress` decides. Event loop
of the agent process: a loop that does not turn feeds no watchdog. Without $NOTIFY_SOCKET nothing happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from edge_agent.engine_client.listener import EndCause, EngineState
from edge_agent.engine_client.watch_limits import DEFAULT_LIMITS, WatchLimits
from edge_agent.engine_progress import EngineProgress, EngineSigns

# A change of state shows after this at most; one comparison a second costs nothing.
TICK_SECONDS = 1.0
# While the model loads, systemd is asked for a minute more, three times a minute: the unit needs no guess of how long
# a 4 GB file takes off an SD card.
EXTENSION_SECONDS = 60.0
EXTEND_EVERY_SECONDS = 20.0
# After the drain: the engine's end, the listeners, the last push.
STOP_MARGIN_SECONDS = 30.0
# One line of `systemctl status`.
MAX_STATUS_CHARACTERS = 300

logger = logging.getLogger(__name__)


class WatchedEngine(Protocol):
    """What of `EngineClient` is looked at."""

    @property
    def state(self) -> EngineState: ...

    @property
    def load_error(self) -> str | None: ...

    @property
    def load_progress(self) -> float: ...

    @property
    def last_heard(self) -> float: ...

    async def wait_settled(self) -> None: ...


class ServiceNotifier:
    """One for the life of the service. `num_ends` counts the engine's unasked ends by cause; nothing here may block."""

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        engine: WatchedEngine,
        model_alias: str,
        num_ends: Callable[[], Mapping[EndCause, int]],
        clock: Callable[[], float],
        limits: WatchLimits = DEFAULT_LIMITS,
    ) -> None:
        self._engine = engine
        self._model_alias = model_alias
        self._num_ends = num_ends
        self._clock = clock
        self._socket = _open_socket(environ.get("NOTIFY_SOCKET", ""))
        self._watchdog_seconds = _watchdog_seconds(environ, pid=os.getpid())
        self._progress = EngineProgress(limits, now=clock())
        self._ends_seen = dict(num_ends())
        self._last_end: EndCause | None = None
        self._is_started = False
        self._is_stopping = False
        self._is_stuck = False
        self._status_told = ""
        self._extended = self._fed = -float("inf")

    async def run(self) -> None:
        """Tell until cancelled; returns at once where nobody listens."""
        while self._socket is not None:
            self._observe()
            self._tell()
            await self._pause()

    def stopping(self, *, drain_seconds: float) -> None:
        """The service has been asked to end and may take `drain_seconds` to do it."""
        self._is_stopping = True
        if self._socket is not None:
            microseconds = _microseconds(drain_seconds + STOP_MARGIN_SECONDS)
            self._socket.send(f"STOPPING=1\nSTATUS=finishing open answers\nEXTEND_TIMEOUT_USEC={microseconds}")

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    # --- what is seen ------------------------------------------------------------------------------------------

    def _observe(self) -> None:
        engine = self._engine
        signs = EngineSigns(engine.state, engine.load_progress, engine.last_heard)
        self._progress.observe(signs, now=self._clock())
        ends = dict(self._num_ends())
        risen = [cause for cause in ends if ends[cause] > self._ends_seen.get(cause, 0)]
        self._last_end = risen[-1] if risen else self._last_end
        self._ends_seen = ends
        self._note_whether_stuck()

    def _note_whether_stuck(self) -> None:
        is_stuck = self._progress.stands_still
        if is_stuck and not self._is_stuck:
            logger.error(
                "the supervision of the engine stands still, the watchdog is fed no more state=%s silent_seconds=%.0f",
                self._engine.state.value,
                self._progress.silent_seconds,
            )
        self._is_stuck = is_stuck

    def _status(self) -> str:
        match self._engine.state:
            case EngineState.LOADING:
                status = f"loading {self._model_alias} ({self._engine.load_progress:.0%})"
            case EngineState.READY:
                status = f"ready, serving {self._model_alias}"
            case EngineState.RESTARTING:
                status = "engine restarting" + (f" after {self._last_end.value}" if self._last_end else "")
            case EngineState.LOAD_FAILED:
                status = f"{self._model_alias} cannot be loaded: {self._engine.load_error}"
            case EngineState.STOPPED:
                status = "engine stopped"
        return _one_line(status)

    # --- what is told ------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        if not self._is_stopping:
            self._tell_status(self._status())
            self._tell_start()
        self._feed_watchdog()

    def _tell_status(self, status: str) -> None:
        if status != self._status_told and self._send(f"STATUS={status}"):
            self._status_told = status

    def _tell_start(self) -> None:
        """Started once the model is loaded or its load has failed; until then, that it takes longer."""
        if self._is_started:
            return
        if self._engine.state in {EngineState.READY, EngineState.LOAD_FAILED}:
            self._is_started = self._send("READY=1")
        elif not self._is_stuck and self._is_due(self._extended, EXTEND_EVERY_SECONDS):
            self._ask_for_time()

    def _ask_for_time(self) -> None:
        if self._send(f"EXTEND_TIMEOUT_USEC={_microseconds(EXTENSION_SECONDS)}"):
            self._extended = self._clock()

    def _feed_watchdog(self) -> None:
        if self._watchdog_seconds is None or self._is_stuck:
            return
        if self._is_due(self._fed, self._watchdog_seconds / 2) and self._send("WATCHDOG=1"):
            self._fed = self._clock()

    def _is_due(self, last: float, every_seconds: float) -> bool:
        return self._clock() - last >= every_seconds

    def _send(self, message: str) -> bool:
        return self._socket is not None and self._socket.send(message)

    async def _pause(self) -> None:
        tick = min(TICK_SECONDS, (self._watchdog_seconds or TICK_SECONDS) / 4)
        if self._engine.state in {EngineState.LOADING, EngineState.RESTARTING}:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._engine.wait_settled(), tick)
        else:
            await asyncio.sleep(tick)


@contextlib.asynccontextmanager
async def notifying(notifier: ServiceNotifier) -> AsyncIterator[ServiceNotifier]:
    """The notifier at work for the length of the block, closed after it."""
    task = asyncio.create_task(notifier.run(), name="service notifier")
    try:
        yield notifier
    finally:
        task.cancel()
        await asyncio.wait({task})
        notifier.close()


# --- the socket and the environment ------------------------------------------------------------------------------


class _NotifySocket:
    """Sends without waiting; a datagram that could not be sent is answered with False and logged once."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._is_failing = False

    def send(self, message: str) -> bool:
        try:
            self._socket.sendto(message.encode(errors="replace"), self._address)
        except OSError as error:
            if not self._is_failing:
                logger.warning("systemd cannot be told, retrying each second error=%s", error.strerror)
            self._is_failing = True
            return False
        if self._is_failing:
            logger.info("systemd can be told again")
        self._is_failing = False
        return True

    def close(self) -> None:
        self._socket.close()


def _open_socket(address: str) -> _NotifySocket | None:
    if not address:
        return None
    if address.startswith("/"):
        return _NotifySocket(address)
    if address.startswith("@") and len(address) > 1:
        return _NotifySocket("\0" + address[1:])
    logger.warning("NOTIFY_SOCKET is neither a path nor @name, systemd is not told value=%s", _one_line(address))
    return None


def _watchdog_seconds(environ: Mapping[str, str], *, pid: int) -> float | None:
    """The period within which this process must show that it lives; None when nobody waits for that."""
    text = environ.get("WATCHDOG_USEC", "")
    if not text or environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    # 18 digits: thousands of years, and short enough to convert.
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and int(text)):
        logger.warning("WATCHDOG_USEC is no number of microseconds, no watchdog is fed value=%s", _one_line(text))
        return None
    return int(text) / 1e6


def _microseconds(seconds: float) -> int:
    return round(seconds * 1e6)


def _one_line(text: str) -> str:
    """Bounded, and without what would begin a message of its own: a model file's error may hold anything."""
    line = " ".join(text[: 4 * MAX_STATUS_CHARACTERS].split())
    return "".join(character if character.isprintable() else "?" for character in line)[:MAX_STATUS_CHARACTERS]
