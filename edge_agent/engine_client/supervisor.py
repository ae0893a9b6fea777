"""Keeps one engine running: spawns it, follows its load, sees its end, decides with the policy, begins again.

One coroutine on the event loop. Owns the engine's state; tells the open requests and the listener what becomes of it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec

from edge_agent.engine_client.engine_end import EngineEnd
from edge_agent.engine_client.engine_run import EngineLaunch, EngineRun
from edge_agent.engine_client.listener import EndCause, EngineListener, EngineState
from edge_agent.engine_client.oom import OomKills, read_oom_kills
from edge_agent.engine_client.open_requests import OpenRequests
from edge_agent.engine_client.prefix_calls import PrefixCalls
from edge_agent.engine_client.restart_policy import RestartPolicy
from edge_agent.errors import EngineLostError, ModelFileError
from edge_agent.protocol import (
    Answer,
    EngineSettings,
    Finished,
    Idle,
    LoadFailed,
    LoadProgress,
    LoopMessage,
    ModelFacts,
    Prefixes,
    Ready,
    Refused,
    Report,
)

logger = logging.getLogger(__name__)

STOPPED_REASON = "the engine was stopped while this request was being answered: send it again later"


class Supervisor:
    """`run()` returns after `stop()`, or when the model cannot be loaded. All attributes are to be read only."""

    def __init__(
        self,
        launch: EngineLaunch,
        *,
        listener: EngineListener,
        requests: OpenRequests,
        prefix_calls: PrefixCalls,
        check_file: Callable[[], None],
        clock: Callable[[], float],
        filesystem_root: Path,
        fallback: EngineSettings | None,
    ) -> None:
        self.state = EngineState.LOADING
        self.settled = asyncio.Event()
        # Those of the last engine that was ready, so they stay while another one loads.
        self.model: ModelFacts | None = None
        self.load_error: str | None = None
        self.load_progress = 0.0
        self.last_load_seconds: float | None = None
        self.last_heard = clock()
        # When the present process was spawned, or the next one will be.
        self.spawn_at = self.last_heard
        self.run_now: EngineRun | None = None
        self._launch = launch
        # What is loaded instead when the settings cannot be; None once they were.
        self._fallback = fallback
        # The process that ends because it was asked to, for another one to follow.
        self._replaced: EngineRun | None = None
        self._listener = listener
        self._requests = requests
        self._prefix_calls = prefix_calls
        self._check_file = check_file
        self._clock = clock
        self._filesystem_root = filesystem_root
        self._policy = RestartPolicy(launch.limits)
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        try:
            if await self._is_file_usable():
                await self._keep_running()
        except Exception:
            logger.exception("the supervision of the engine failed")
            self._give_up("the supervision of the engine failed, see the log; restart edge-agent")

    def stop(self) -> None:
        """Let `run()` end soon; every open request is told at once."""
        self.state = EngineState.STOPPED
        self._stopping.set()
        self.settled.set()
        if self.run_now is not None:
            self._lose(self.run_now, STOPPED_REASON)
            self.run_now.request_stop()

    @property
    def settings(self) -> EngineSettings:
        """What the present process was started with, or the next one will be."""
        return self._launch.settings

    def reload(self, settings: EngineSettings) -> bool:
        """Have another process load with these settings; the present ones stay if it cannot. False: not now."""
        run = self.run_now
        if run is None or self.state is not EngineState.READY or self._owes_answers(run):
            return False
        self._fallback = self.settings
        self._launch = msgspec.structs.replace(self._launch, settings=settings)
        self._replaced = run
        self.state = EngineState.LOADING
        self.settled.clear()
        self.load_progress = 0.0
        self.spawn_at = self._clock()
        run.request_stop()
        return True

    def _owes_answers(self, run: EngineRun) -> bool:
        return len(self._requests) + len(run.answers) + len(self._prefix_calls) > 0

    # --- the model file ----------------------------------------------------------------------------------------

    async def _is_file_usable(self) -> bool:
        check = asyncio.ensure_future(asyncio.to_thread(self._check_file))
        stop = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait({check, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if self._stopping.is_set():
            # The thread cannot be ended; what it finds out no longer matters.
            check.add_done_callback(lambda done: done.cancelled() or done.exception())
            return False
        return self._note_check(check)

    def _note_check(self, check: asyncio.Future[None]) -> bool:
        try:
            check.result()
        except (ModelFileError, OSError) as error:
            logger.error("the model file cannot be used cause=%s error=%s", EndCause.LOAD_FAILED.value, error)
            self._give_up(str(error))
            self._listener.engine_ended(EndCause.LOAD_FAILED)
            return False
        return True

    def _give_up(self, load_error: str) -> None:
        self.load_error = load_error
        self.state = EngineState.LOAD_FAILED
        self.settled.set()

    # --- one process after another -----------------------------------------------------------------------------

    async def _keep_running(self) -> None:
        while not self._stopping.is_set():
            pause = await self._run_engine()
            if pause is None:
                return
            await self._pause(pause)

    async def _run_engine(self) -> float | None:
        """One process, from spawn to end. Returns the pause before the next one; None: there is none."""
        oom_before = await self._read_oom_kills()
        try:
            run = EngineRun(self._launch, clock=self._clock, on_message=self._hear, on_answer=self._hear_answer)
        except OSError as error:
            return self._conclude(EngineEnd(spawn_error=f"the engine process could not be started: {error}"))
        logger.info("engine spawned pid=%d", run.pid)
        self.spawn_at = run.spawned_at
        self.load_progress = 0.0
        self.run_now = run
        try:
            await run.begin(self._launch.settings)
            return await self._see_end(run, oom_before)
        finally:
            self.run_now = None
            self._lose(run, STOPPED_REASON)
            await run.close()

    async def _see_end(self, run: EngineRun, oom_before: OomKills) -> float | None:
        if self._stopping.is_set():
            run.request_stop()
        end = await run.wait_end()
        if end.returncode == -signal.SIGKILL:
            has_risen = (await self._read_oom_kills()).rose_since(oom_before)
            end = msgspec.structs.replace(end, has_oom_risen=has_risen)
        if self._stopping.is_set():
            logger.info("engine stopped pid=%d", run.pid)
            return None
        if run is self._replaced:
            logger.info("engine ended to be loaded again pid=%d", run.pid)
            return 0.0
        pause = self._conclude(end)
        self._lose(run, _lost_reason(end.cause))
        return pause

    async def _read_oom_kills(self) -> OomKills:
        return await asyncio.to_thread(read_oom_kills, self._filesystem_root)

    async def _pause(self, seconds: float) -> None:
        if seconds == 0:
            return
        logger.info("engine restarts backoff_seconds=%.1f", seconds)
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    # --- an end ------------------------------------------------------------------------------------------------

    def _conclude(self, end: EngineEnd) -> float | None:
        """Decide what follows, log and count the end. Returns the pause before the next process."""
        self._log_end(end)
        pause = self._pause_after(end)
        if end.is_load_failure:
            self.load_error = end.load_failure
        if pause is None:
            self._give_up(end.load_failure)
        else:
            self.state = EngineState.RESTARTING
            self.settled.clear()
            self.spawn_at = self._clock() + pause
        self.load_progress = 0.0
        self._listener.engine_ended(end.cause)
        return pause

    def _pause_after(self, end: EngineEnd) -> float | None:
        if self._fallback is None or not end.is_load_failure:
            return self._policy.pause_after(end)
        logger.warning("the model cannot be loaded with these settings, it is loaded with others")
        self._launch = msgspec.structs.replace(self._launch, settings=self._fallback)
        self._fallback = None
        return 0.0

    def _log_end(self, end: EngineEnd) -> None:
        logger.error(
            "engine ended cause=%s detail=%s ready_seconds=%s open_requests=%d",
            end.cause.value,
            end.detail,
            "never" if end.ready_seconds is None else f"{end.ready_seconds:.1f}",
            len(self._requests),
        )
        for line in end.stderr:
            logger.error("engine stderr before its end line=%s", line)

    def _lose(self, run: EngineRun, reason: str) -> None:
        run.answers.lose(lambda: EngineLostError(reason))
        self._prefix_calls.lose(lambda: EngineLostError(reason))
        self._requests.lose_all(reason)

    # --- what the engine says ----------------------------------------------------------------------------------

    def _hear(self, message: LoopMessage) -> None:
        match message:
            case Report():
                self.last_heard = self._clock()
                self._requests.report(message)
            case Finished():
                self._requests.finish(message)
            case Idle():
                self.last_heard = self._clock()
                self._listener.idle(message)
            case Prefixes() | Refused():
                self._requests.refuse(message.id)
                self._prefix_calls.resolve(message)
            case LoadProgress():
                self.load_progress = message.fraction
            case Ready():
                self._become_ready(message.model)
            case LoadFailed():
                # The run notes it and ends.
                pass

    def _become_ready(self, model: ModelFacts) -> None:
        if self._stopping.is_set():
            return
        self.last_heard = self._clock()
        self.last_load_seconds = self.last_heard - self.spawn_at
        self.model = model
        self.load_error = None
        self._fallback = None
        self.load_progress = 1.0
        self.state = EngineState.READY
        self.settled.set()
        logger.info("engine is ready load_seconds=%.1f context_length=%d", self.last_load_seconds, model.context_length)
        self._listener.engine_ready(model)

    def _hear_answer(self, answer: Answer) -> None:
        if isinstance(answer, Refused):
            self._requests.refuse(answer.id)


def _lost_reason(cause: EndCause) -> str:
    return f"the engine ended while this request was being answered (cause: {cause.value}): send it again"
