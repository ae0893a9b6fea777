"""What systemd is told, heard on a real datagram socket; the engine's state and the clock are set by hand."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.engine_client.listener import EndCause, EngineState
from edge_agent.service_notifier import ServiceNotifier, notifying

# 40 ms: the notifier looks every 10 ms; when it feeds, the hand-set clock says.
WATCHDOG = {"WATCHDOG_USEC": "40000"}
DEADLINE_SECONDS = 10.0


class ScriptedEngine:
    """Is what it was last set to; being set to a settled state wakes who waits, as the client does."""

    def __init__(self) -> None:
        self.state = EngineState.LOADING
        self.load_error: str | None = None
        self.load_progress = 0.0
        self.last_heard = 0.0
        self.num_ends = dict.fromkeys(EndCause, 0)
        self._settled = asyncio.Event()

    def become(self, state: EngineState, *, load_error: str | None = None) -> None:
        self.state = state
        self.load_error = load_error
        if state is EngineState.RESTARTING:
            self._settled.clear()
        else:
            self._settled.set()

    async def wait_settled(self) -> None:
        await self._settled.wait()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def until(has_come: Callable[[], bool], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + DEADLINE_SECONDS
    while not has_come():
        assert asyncio.get_running_loop().time() < deadline, f"did not come: {what!r}"
        await asyncio.sleep(0.005)


class Systemd:
    """The receiving end: every datagram, in order."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(address)
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.heard.append(self._socket.recv(4096).decode())
        return self.heard

    async def wait_for(self, message: str, *, count: int = 1) -> None:
        await until(lambda: self.listen().count(message) >= count, message)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    receiver = Systemd(str(tmp_path / "notify"))
    yield receiver
    receiver.close()


@pytest.fixture
async def engine() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_notifier(environ: dict[str, str], engine: ScriptedEngine, clock: Clock) -> ServiceNotifier:
    return ServiceNotifier(
        environ, engine=engine, model_alias="tiny", num_ends=lambda: dict(engine.num_ends), clock=clock
    )


@pytest.fixture
async def notifier(
    tmp_path: Path, systemd: Systemd, engine: ScriptedEngine, clock: Clock
) -> AsyncIterator[ServiceNotifier]:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), **WATCHDOG}
    async with notifying(make_notifier(environ, engine, clock)) as running:
        yield running


def forget(systemd: Systemd) -> None:
    """So that the next message heard is a new one."""
    systemd.listen()
    systemd.heard.clear()


@pytest.mark.usefixtures("notifier")
async def test_a_loading_model_is_not_started_and_asks_for_more_time(systemd: Systemd) -> None:
    await systemd.wait_for("WATCHDOG=1")

    assert systemd.heard == ["STATUS=loading tiny (0%)", "EXTEND_TIMEOUT_USEC=60000000", "WATCHDOG=1"]


@pytest.mark.usefixtures("notifier")
async def test_more_time_is_asked_for_as_long_as_the_load_takes(systemd: Systemd, clock: Clock) -> None:
    for times in range(1, 4):
        await systemd.wait_for("EXTEND_TIMEOUT_USEC=60000000", count=times)
        clock.now += 20.0


@pytest.mark.usefixtures("notifier")
async def test_a_loaded_model_is_a_started_service_once(systemd: Systemd, engine: ScriptedEngine, clock: Clock) -> None:
    await systemd.wait_for("STATUS=loading tiny (0%)")
    engine.become(EngineState.READY)
    await systemd.wait_for("READY=1")
    clock.now += 30.0
    await systemd.wait_for("WATCHDOG=1", count=2)

    assert systemd.heard.count("READY=1") == 1
    assert "STATUS=ready, serving tiny" in systemd.heard


@pytest.mark.usefixtures("notifier")
async def test_a_model_that_cannot_be_loaded_is_a_started_service_that_says_why(
    systemd: Systemd, engine: ScriptedEngine
) -> None:
    engine.become(EngineState.LOAD_FAILED, load_error="the file is truncated")
    await systemd.wait_for("READY=1")

    assert "STATUS=tiny cannot be loaded: the file is truncated" in systemd.heard


@pytest.mark.usefixtures("notifier")
async def test_an_error_from_a_hostile_file_stays_one_bounded_line(systemd: Systemd, engine: ScriptedEngine) -> None:
    engine.become(EngineState.LOAD_FAILED, load_error="bad\nWATCHDOG=trigger\x1b[2J\udc80" + "x" * 5000)
    await systemd.wait_for("READY=1")

    status = next(message for message in systemd.heard if message.startswith("STATUS=tiny cannot"))
    assert status.startswith("STATUS=tiny cannot be loaded: bad WATCHDOG=trigger?[2J?xxx")
    assert len(status) == len("STATUS=") + 300


@pytest.mark.usefixtures("notifier")
async def test_an_engine_that_ended_is_told_with_its_cause_and_does_not_cost_the_watchdog(
    systemd: Systemd, engine: ScriptedEngine, clock: Clock
) -> None:
    engine.become(EngineState.READY)
    await systemd.wait_for("READY=1")
    engine.num_ends[EndCause.OOM] += 1
    engine.become(EngineState.RESTARTING)
    await systemd.wait_for("STATUS=engine restarting after oom")
    forget(systemd)
    clock.now += 1.0
    await systemd.wait_for("WATCHDOG=1")

    assert "READY=1" not in systemd.heard
    assert not any(message.startswith("EXTEND_TIMEOUT_USEC") for message in systemd.heard)


@pytest.mark.usefixtures("notifier")
async def test_a_supervision_that_stands_still_is_fed_no_more_until_it_moves(
    systemd: Systemd, engine: ScriptedEngine, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    engine.become(EngineState.READY)
    await systemd.wait_for("READY=1")
    # In steps of less than the five seconds that would count as the agent's own pause; 660 s are allowed.
    for times in range(2, 167):
        clock.now += 4.0
        await systemd.wait_for("WATCHDOG=1", count=times)
    clock.now += 4.0
    await until(lambda: "stands still" in caplog.text, "standstill in the log")
    forget(systemd)
    clock.now += 4.0
    engine.become(EngineState.LOAD_FAILED, load_error="gone")
    await systemd.wait_for("STATUS=tiny cannot be loaded: gone")

    assert "fed no more state=ready silent_seconds=664" in caplog.text
    await systemd.wait_for("WATCHDOG=1")
    assert systemd.heard.index("STATUS=tiny cannot be loaded: gone") < systemd.heard.index("WATCHDOG=1")


async def test_stopping_is_told_at_once_with_the_time_it_may_take(
    systemd: Systemd, engine: ScriptedEngine, clock: Clock, notifier: ServiceNotifier
) -> None:
    engine.become(EngineState.READY)
    await systemd.wait_for("READY=1")
    notifier.stopping(drain_seconds=3600.0)
    await systemd.wait_for("STOPPING=1\nSTATUS=finishing open answers\nEXTEND_TIMEOUT_USEC=3630000000")
    engine.become(EngineState.STOPPED)
    forget(systemd)
    clock.now += 30.0
    await systemd.wait_for("WATCHDOG=1")

    assert systemd.heard == ["WATCHDOG=1"]


async def test_an_abstract_socket_is_reached(engine: ScriptedEngine, clock: Clock) -> None:
    name = f"edge-agent-test-{os.getpid()}"
    with contextlib.closing(Systemd(f"\0{name}")) as systemd:
        async with notifying(make_notifier({"NOTIFY_SOCKET": f"@{name}"}, engine, clock)):
            await systemd.wait_for("STATUS=loading tiny (0%)")

    # Nobody asked for a watchdog.
    assert "WATCHDOG=1" not in systemd.heard


async def test_what_could_not_be_told_is_told_later_and_logged_once(
    tmp_path: Path, engine: ScriptedEngine, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    engine.become(EngineState.READY)
    path = str(tmp_path / "notify")
    async with notifying(make_notifier({"NOTIFY_SOCKET": path, **WATCHDOG}, engine, clock)):
        await until(lambda: "systemd cannot be told" in caplog.text, "warning in the log")
        with contextlib.closing(Systemd(path)) as systemd:
            await systemd.wait_for("READY=1")

    assert caplog.text.count("systemd cannot be told") == 1
    assert caplog.text.count("systemd can be told again") == 1


@pytest.mark.parametrize("value", ["vsock:2:1234", "relative/path", "@", "\x1b[2J"])
async def test_an_address_of_another_kind_is_left_alone_and_said(
    value: str, engine: ScriptedEngine, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = make_notifier({"NOTIFY_SOCKET": value}, engine, clock)
    await notifier.run()
    notifier.stopping(drain_seconds=1.0)
    notifier.close()

    assert "NOTIFY_SOCKET is neither a path nor @name" in caplog.text
    assert "\x1b" not in caplog.text


async def test_without_a_socket_nothing_happens(
    engine: ScriptedEngine, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = make_notifier({}, engine, clock)
    await notifier.run()
    notifier.stopping(drain_seconds=1.0)
    notifier.close()

    assert caplog.text == ""


@pytest.mark.parametrize(
    ("watchdog", "warning"),
    [
        ({"WATCHDOG_USEC": "40000", "WATCHDOG_PID": "1"}, ""),
        ({"WATCHDOG_USEC": "soon"}, "WATCHDOG_USEC is no number of microseconds"),
        ({"WATCHDOG_USEC": "0"}, "WATCHDOG_USEC is no number of microseconds"),
        ({"WATCHDOG_USEC": "9" * 5000}, "WATCHDOG_USEC is no number of microseconds"),
    ],
)
async def test_a_watchdog_that_is_not_ours_or_no_number_is_not_fed(
    watchdog: dict[str, str],
    warning: str,
    tmp_path: Path,
    systemd: Systemd,
    engine: ScriptedEngine,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine.become(EngineState.READY)
    async with notifying(make_notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), **watchdog}, engine, clock)):
        await systemd.wait_for("READY=1")

    assert systemd.listen() == ["STATUS=ready, serving tiny", "READY=1"]
    assert warning in caplog.text


async def test_a_watchdog_of_this_very_process_is_fed(
    tmp_path: Path, systemd: Systemd, engine: ScriptedEngine, clock: Clock
) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_PID": str(os.getpid()), **WATCHDOG}
    async with notifying(make_notifier(environ, engine, clock)):
        await systemd.wait_for("WATCHDOG=1")
