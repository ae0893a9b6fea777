"""Tunes beside the service, once: when nobody has asked anything for a minute, and not while anybody does.

Runs on the event loop of the agent process, as one task for the life of the service. How a search is measured and kept,
others know; this module knows when.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Protocol

from edge_agent.benchmark.speeds import MeasurementError
from edge_agent.engine_client.listener import EngineState
from edge_agent.errors import EdgeAgentError
from edge_agent.protocol import EngineSettings, ModelFacts
from edge_agent.tuned_settings import TunedSettings
from edge_agent.tuning.tuner import ThrottledError

# A minute: whoever is in a conversation asks sooner.
IDLE_SECONDS = 60.0
# Three: a board that is throttled each time needs a fan or another power supply, no further heating up.
MAX_THROTTLED = 3

logger = logging.getLogger(__name__)


class ServingEngine(Protocol):
    """What of `EngineClient` is needed."""

    @property
    def state(self) -> EngineState: ...

    @property
    def settings(self) -> EngineSettings: ...

    @property
    def model(self) -> ModelFacts | None: ...

    async def wait_settled(self) -> None: ...

    async def wait_busy(self) -> None: ...

    async def wait_idle(self) -> None: ...

    def reload(self, settings: EngineSettings) -> bool: ...


class Tuning(Protocol):
    """A search for this model on this machine, which goes on where it was when it is run again."""

    async def run(self) -> TunedSettings:
        """Measure to the end and keep the record; returns the choice."""
        ...

    def settings_for(self, choice: TunedSettings) -> EngineSettings:
        """What serves with this choice."""
        ...

    def reject(self, reason: str) -> None:
        """Keep the default instead of the choice."""
        ...


class AutoTuner:
    """One for the life of the service. `pause` is asyncio.sleep, or a test's own."""

    def __init__(
        self,
        engine: ServingEngine,
        tuning: Tuning,
        *,
        pause: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
    ) -> None:
        self._engine = engine
        self._tuning = tuning
        self._pause = pause
        self._num_throttled = 0

    async def run(self) -> None:
        """Return when the settings are chosen and in use, or it turns out that they cannot be."""
        try:
            choice = await self._choose()
            if choice is not None:
                await self._use(choice)
        except EdgeAgentError as error:
            logger.info("the model is not tuned, it serves with its present settings: %s", error)
        except Exception:
            logger.exception("tuning failed, the model serves with its present settings")

    async def _choose(self) -> TunedSettings | None:
        while await self._idle_minute():
            if self._is_on_gpu():
                raise MeasurementError(
                    "it is on a GPU, whose memory may not hold it twice: stop the service and run "
                    "edge-agent bench --tune"
                )
            logger.info("tuning starts, any request stops it")
            try:
                run = asyncio.ensure_future(self._tuning.run())
                if await self._done_before_request(run):
                    return run.result()
                logger.info("tuning stopped for a request, it goes on after the next idle minute")
            except ThrottledError:
                self._note_throttled()
        return None

    def _note_throttled(self) -> None:
        self._num_throttled += 1
        if self._num_throttled == MAX_THROTTLED:
            raise MeasurementError(f"the board was throttled {MAX_THROTTLED} times while it was measured: cool it")
        logger.info("tuning stopped, the board is throttled; it goes on after the next idle minute")

    async def _use(self, choice: TunedSettings) -> None:
        """Serve with the choice as soon as that interrupts nobody."""
        wanted = self._tuning.settings_for(choice)
        while self._engine.settings != wanted:
            if self._engine.reload(wanted):
                await self._see_reloaded(wanted)
                return
            if not await self._idle_minute():
                return

    async def _see_reloaded(self, wanted: EngineSettings) -> None:
        logger.info("the engine is reloaded with the settings that were measured to be the fastest")
        await self._engine.wait_settled()
        if self._engine.state is not EngineState.STOPPED and self._engine.settings != wanted:
            self._tuning.reject("the fastest settings could not be loaded to serve with")

    # --- waiting -----------------------------------------------------------------------------------------------

    async def _idle_minute(self) -> bool:
        """Return after a whole minute in which a loaded model was asked nothing; False when that will never be."""
        while True:
            await self._engine.wait_settled()
            if self._engine.state in {EngineState.LOAD_FAILED, EngineState.STOPPED}:
                return False
            await self._engine.wait_idle()
            minute = asyncio.ensure_future(self._pause(IDLE_SECONDS))
            if await self._done_before_request(minute) and self._engine.state is EngineState.READY:
                return True

    async def _done_before_request(self, work: asyncio.Future[Any]) -> bool:
        """Wait for the work; when a request comes first, cancel it, see its end, and return False."""
        request = asyncio.ensure_future(self._engine.wait_busy())
        try:
            await asyncio.wait({work, request}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in (work, request):
                waiting.cancel()
            await asyncio.wait({work, request})
        return work.done() and not work.cancelled()

    def _is_on_gpu(self) -> bool:
        return self._engine.model is not None and self._engine.model.num_gpu_layers > 0


@contextlib.asynccontextmanager
async def tuning_when_idle(tuner: AutoTuner | None) -> AsyncIterator[None]:
    """Let it run for the length of the block. None: nothing is to be tuned."""
    if tuner is None:
        yield
        return
    running = asyncio.create_task(tuner.run(), name="tuning")
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait({running})
