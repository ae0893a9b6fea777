"""Carries a search out: an engine process for each candidate, between two of the best so far. Runs on the event loop.

When it is to run, and what becomes of the result, it does not know. Cancelled anywhere it leaves no process behind and
goes on, when run again, with the candidate that it was at.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec

from edge_agent.benchmark.board_speeds import median_speeds, probe
from edge_agent.benchmark.heat import is_held_back
from edge_agent.benchmark.measured_engine import BACKGROUND_ENGINE, measurable, measured_engine
from edge_agent.benchmark.speeds import MeasurementError, Speeds
from edge_agent.benchmark.workload import Prompts, Sizes, sizes_for
from edge_agent.device.snapshot import DeviceSnapshotSource
from edge_agent.errors import EngineError
from edge_agent.protocol import EngineSettings
from edge_agent.tuned_settings import TunedSettings
from edge_agent.tuning.candidates import describe_change, with_tuned
from edge_agent.tuning.search import Search

# 1,024 cells and one sequence: enough for what is asked, and little memory beside an engine that serves.
CONTEXT_LENGTH = 1024
# 3 s for a prompt and as much for an answer, four times for each candidate: some minutes for a 4B model on a Pi.
ROUND_SECONDS = 3.0
# A candidate that something else disturbed is measured again, so often at most.
MAX_TRIES = 3

logger = logging.getLogger(__name__)


class ThrottledError(MeasurementError):
    """The board was held back meanwhile, so that the measurement says nothing."""


class Tuner:
    """One search upon one engine's settings.

    `fits` says whether an engine of such settings may be started beside what runs now.
    """

    def __init__(
        self,
        search: Search,
        settings: EngineSettings,
        *,
        environ: Mapping[str, str],
        fits: Callable[[EngineSettings], bool],
        device: DeviceSnapshotSource,
        say: Callable[[str], None],
        command: Sequence[str] = BACKGROUND_ENGINE,
        round_seconds: float = ROUND_SECONDS,
    ) -> None:
        self.search = search
        self._settings = small(measurable(settings))
        self._environ = environ
        self._fits = fits
        self._device = device
        self._say = say
        self._command = command
        self._round_seconds = round_seconds
        # Chosen on the first engine, the same for all.
        self._sizes: Sizes | None = None

    async def run(self) -> None:
        """Measure until the search is over.

        Raises ThrottledError; EngineError or MeasurementError when the best so far itself cannot be measured.
        """
        if self.search.next_candidate() is None:
            return
        self._check_room()
        before = await self._measure(self.search.best, "the default" if not self.search.trials else "the best so far")
        while (candidate := self.search.next_candidate()) is not None:
            before = await self._try(candidate, before)

    def _check_room(self) -> None:
        if not self._fits(with_tuned(self._settings, self.search.best)):
            raise MeasurementError(
                "memory does not hold an engine for measuring beside what runs: stop the service and run "
                "edge-agent bench --tune"
            )

    async def _try(self, candidate: TunedSettings, before: Speeds) -> Speeds:
        """Measure the candidate and then the best again. Returns the last speeds of what is the best afterwards."""
        best = self.search.best
        change = describe_change(best, candidate)
        if not self._fits(with_tuned(self._settings, candidate)):
            self._leave_out(change, "too little memory")
            return before
        for _ in range(MAX_TRIES):
            speeds = await self._measure_candidate(candidate, change)
            if speeds is None:
                return before
            after = await self._measure(best, "the best so far")
            if self.search.is_steady(before, after):
                self.search.note_speeds(speeds, before=before, after=after)
                return after if self.search.best == best else speeds
            before = after
        self._leave_out(change, "the machine does other work, which makes its speed uncertain")
        return before

    async def _measure_candidate(self, candidate: TunedSettings, change: str) -> Speeds | None:
        """None, and noted: no engine can be run with it."""
        try:
            return await self._measure(candidate, change)
        except ThrottledError:
            raise
        except (EngineError, MeasurementError) as error:
            self._say(f"{change}: failed, {error}")
            self.search.note_failure(str(error))
            return None

    def _leave_out(self, change: str, reason: str) -> None:
        self._say(f"{change}: left out, {reason}")
        self.search.note_skip(reason)

    async def _measure(self, tuned: TunedSettings, what: str) -> Speeds:
        settings = with_tuned(self._settings, tuned)
        before = self._device()
        async with measured_engine(settings, environ=self._environ, command=self._command) as engine:
            prompts = Prompts(engine.model.vocabulary_size)
            rough = await probe(engine, prompts)
            if self._sizes is None:
                self._sizes = sizes_for(rough, seconds=self._round_seconds, context_length=engine.model.context_length)
            speeds = await median_speeds(engine, prompts, self._sizes)
        if is_held_back(before, self._device()):
            raise ThrottledError("the board was throttled while it was measured: cool it, and tune again")
        self._say(f"{what}: prefill {speeds.prefill:.1f}, decode {speeds.decode:.1f} tokens/s")
        return speeds


def small(settings: EngineSettings) -> EngineSettings:
    """The settings for one sequence of a short context."""
    return msgspec.structs.replace(
        settings, context_length=min(settings.context_length, CONTEXT_LENGTH), max_sequences=1, mlock=False
    )
