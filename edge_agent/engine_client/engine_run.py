"""One engine process from its spawn to its end: both channels, the stall timer, and what its end looked like.

Runs on the event loop. Passes messages on without knowing requests; whether another run follows is not its business.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from edge_agent.engine_client.channel import FrameChannel
from edge_agent.engine_client.engine_end import EngineEnd
from edge_agent.engine_client.pending_answers import AnswerT, PendingAnswers
from edge_agent.engine_client.process import EngineProcess
from edge_agent.engine_client.stall_timer import StallTimer
from edge_agent.engine_client.stall_watch import StallWatch
from edge_agent.engine_client.stderr_tail import printable
from edge_agent.engine_client.watch_limits import WatchLimits
from edge_agent.frames import encode_frame
from edge_agent.protocol import (
    Answer,
    EngineSettings,
    Load,
    LoadFailed,
    LoopMessage,
    Message,
    Ready,
    Refused,
    Report,
    Stop,
)

# What the engine says of its failure may come out of a hostile file; a page of it is enough.
MAX_REASON_CHARACTERS = 1000


class EngineLaunch(msgspec.Struct, frozen=True, kw_only=True):
    """What every run of the engine is started with. `environ` None inherits the agent's."""

    settings: EngineSettings
    command: Sequence[str]
    environ: Mapping[str, str] | None
    limits: WatchLimits


class EngineRun:
    """Raises OSError from its constructor, before anything is left behind, when the process cannot be spawned.

    `close()` must follow in any case.
    """

    def __init__(
        self,
        launch: EngineLaunch,
        *,
        clock: Callable[[], float],
        on_message: Callable[[LoopMessage], None],
        on_answer: Callable[[Answer], None],
    ) -> None:
        self.answers = PendingAnswers()
        self._limits = launch.limits
        self._clock = clock
        self._on_message = on_message
        self._on_answer = on_answer
        self._over = asyncio.Event()
        self._ready_at: float | None = None
        self._load_error: str | None = None
        self._stall: str | None = None
        self._fault: str | None = None
        self._stop_timer: asyncio.TimerHandle | None = None
        self._commands: FrameChannel[Answer] = FrameChannel(
            msgspec.msgpack.Decoder(Answer), on_message=self._hear_answer, on_broken=self._break
        )
        self._reports: FrameChannel[LoopMessage] = FrameChannel(
            msgspec.msgpack.Decoder(LoopMessage), on_message=self._hear, on_broken=self._break
        )
        self._spawn(launch)
        self.spawned_at = clock()
        self._watch = StallWatch(launch.limits, max_step_seconds=launch.settings.max_step_seconds, now=self.spawned_at)
        self._timer = StallTimer(
            self._watch, clock=clock, late_seconds=launch.limits.late_seconds, on_stall=self._end_stalled
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    async def begin(self, settings: EngineSettings) -> None:
        """Listen to the process and let it load."""
        loop = asyncio.get_running_loop()
        for ended in (self._process.exited, self._commands.closed, self._reports.closed):
            ended.add_done_callback(lambda _: self._over.set())
        self._timer.arm()
        await self._process.read_stderr()
        await loop.create_unix_connection(lambda: self._commands, sock=self._commands_socket)
        await loop.create_unix_connection(lambda: self._reports, sock=self._reports_socket)
        self.send(Load(settings))

    def send(self, message: Message) -> None:
        self.send_frame(encode_frame(message))

    def send_frame(self, frame: bytes) -> None:
        """Send a command; dropped when the engine is gone."""
        self._commands.send(frame)

    def ask(self, answer_id: int, frame: bytes, kind: type[AnswerT]) -> asyncio.Future[AnswerT | Refused]:
        """Send a command that the intake answers under this id, with this kind of message or a refusal."""
        future = self.answers.expect(answer_id, kind)
        self._watch.asked(self._clock())
        self._timer.refresh()
        self.send_frame(frame)
        return future

    def request_stop(self) -> None:
        """Ask the engine to end; kill it if it takes too long."""
        self.send(Stop())
        if self._stop_timer is None:
            loop = asyncio.get_running_loop()
            self._stop_timer = loop.call_later(self._limits.stop_seconds, self._process.kill)

    async def wait_end(self) -> EngineEnd:
        """Return when the process has ended, or hangs or misbehaved and was killed, and all it said was read."""
        await self._over.wait()
        ended_at = self._clock()
        self._timer.disarm()
        await self._settle()
        return EngineEnd(
            returncode=self._process.exited.result() if self._process.exited.done() else None,
            load_error=self._load_error,
            stall=self._stall,
            fault=self._fault,
            ready_seconds=None if self._ready_at is None else ended_at - self._ready_at,
            stderr=tuple(self._process.stderr.lines),
        )

    async def close(self) -> None:
        """Leave nothing behind: kill the process if it lives and wait for its end, close what was open."""
        self._timer.disarm()
        if self._stop_timer is not None:
            self._stop_timer.cancel()
        self._commands.abort()
        self._reports.abort()
        await self._process.close()
        await asyncio.wait({self._commands.closed, self._reports.closed})
        self._commands_socket.close()
        self._reports_socket.close()

    # --- spawn -------------------------------------------------------------------------------------------------

    def _spawn(self, launch: EngineLaunch) -> None:
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as engines:
            self._commands_socket, commands_fd = _open_pair(ours, engines)
            self._reports_socket, reports_fd = _open_pair(ours, engines)
            command = [*launch.command, "--commands-fd", str(commands_fd), "--reports-fd", str(reports_fd)]
            self._process = EngineProcess(command, pass_fds=(commands_fd, reports_fd), environ=launch.environ)
            ours.pop_all()

    # --- listen ------------------------------------------------------------------------------------------------

    def _hear(self, message: LoopMessage) -> None:
        if isinstance(message, Report):
            self._watch.step_done(self._clock())
            self._timer.refresh()
        else:
            self._watch.heard(self._clock())
            self._note_load(message)
        self._on_message(message)

    def _note_load(self, message: LoopMessage) -> None:
        if isinstance(message, Ready):
            self._ready_at = self._clock()
        elif isinstance(message, LoadFailed):
            self._load_error = printable(message.message[:MAX_REASON_CHARACTERS])
            self._over.set()

    def _hear_answer(self, answer: Answer) -> None:
        try:
            if self.answers.resolve(answer):
                self._on_answer(answer)
        except ValueError as error:
            self._break(f"the engine's intake sent {error}")
        self._watch.answered(self._clock(), num_owed=len(self.answers))

    # --- end ---------------------------------------------------------------------------------------------------

    def _end_stalled(self, reason: str) -> None:
        self._stall = reason
        self._process.kill()
        self._over.set()

    def _break(self, reason: str) -> None:
        self._fault = self._fault or printable(reason[:MAX_REASON_CHARACTERS])
        self._process.kill()
        self._over.set()

    async def _settle(self) -> None:
        """Let the process end by itself and its last words arrive, for a limited time."""
        ends: set[asyncio.Future[Any]]
        ends = {self._process.exited, self._commands.closed, self._reports.closed, self._process.stderr.closed}
        await asyncio.wait(ends, timeout=self._limits.drain_seconds)
        if self._process.exited.done():
            return
        if self._load_error is None:
            self._fault = self._fault or "it closed a channel and did not end"
        self._process.kill()
        await asyncio.wait({self._process.exited}, timeout=self._limits.drain_seconds)


def _open_pair(ours: contextlib.ExitStack, engines: contextlib.ExitStack) -> tuple[socket.socket, int]:
    """The agent's end of a new pair and the number of the engine's, each to be closed by its stack."""
    here, there = socket.socketpair()
    ours.enter_context(here)
    engines.enter_context(there)
    return here, there.fileno()
